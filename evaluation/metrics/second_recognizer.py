"""Words as a second, independent recognizer hears them, and how far the two agree.

A number that only one recognizer gives may be that recognizer's taste. Both are printed beside what they
give for the recordings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.inputs.pairs import Pair, Unscorable
from evaluation.inputs.settings import Settings
from evaluation.inputs.text import normalize
from evaluation.metrics.base import Measured, Metric
from evaluation.metrics.recognition import (
    CharacterErrorRate,
    Recognition,
    WordErrorRate,
    character_errors,
)
from evaluation.models import registry
from evaluation.models.recognizer import Recognizer
from manifests.records import RunClip

SECOND = "pocketsphinx"


class SecondWordErrorRate(WordErrorRate):
    info = WordErrorRate.info.variant(
        name="wer_second",
        label="WER (pocketsphinx)",
        definition=(
            "WER by a second recognizer that was not trained on GRID, pocketsphinx with its model of "
            "American English, restricted to sentences of GRID's grammar."
        ),
        citation="Huggins-Daines et al. (PocketSphinx), ICASSP 2006",
        license="BSD-2-Clause (pocketsphinx, code and model)",
        libraries=("jiwer", "pocketsphinx"),
    )

    @classmethod
    def configured(cls, settings: Settings) -> Metric:
        return cls(registry.create(SECOND))

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.recognizer not in ("", SECOND)


class SecondCharacterErrorRate(SecondWordErrorRate):
    info = SecondWordErrorRate.info.variant(
        name="cer_second",
        label="CER (pocketsphinx)",
        definition="CER by the second recognizer, pocketsphinx along GRID's grammar.",
        group="recognition",
    )

    def measure(self, pair: Pair) -> Measured:
        return character_errors(self.comparison(pair))


class RecognizerAgreement(Recognition):
    """Agreement of the chosen recognizer with the second one."""

    info = CharacterErrorRate.info.variant(
        name="recognizer_agreement",
        label="Recognizers agree",
        direction="higher",
        definition=(
            "Words on which the recognizer and pocketsphinx agree: 100 % less the word edits between "
            "their two transcripts over the words of the longer one, pooled over the corpus. A clip in "
            "which neither hears a word has no score. It needs no sentence, and says how far the error "
            "rates can be trusted."
        ),
        group="recognition",
        libraries=("pocketsphinx",),
    )

    def __init__(self, recognizer: Recognizer | None = None) -> None:
        super().__init__(recognizer)
        self.second = registry.create(SECOND)
        self.info = self.info.variant(
            parameters={**self.info.parameters, "second": self.second.parameters}
        )

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.recognizer not in ("", SECOND)

    def require(self) -> None:
        super().require()
        self.second.require()

    def clip_inputs(self, root: Path, clip: RunClip) -> list[Any]:
        return super().clip_inputs(root, clip)[1:]

    def measure(self, pair: Pair) -> Measured:
        from rapidfuzz.distance import Levenshtein

        if self.recognizer is None:
            raise Unscorable("no_recognizer", "no recognizer was named")
        heard = [
            normalize(each.transcript(pair)).split() for each in (self.recognizer, self.second)
        ]
        longer = max(map(len, heard))
        if not longer:  # an agreement on nothing would let noise win the column
            raise Unscorable("nothing_heard", "neither recognizer heard a word")
        edits = Levenshtein.distance(*heard)
        details = {"first": " ".join(heard[0]), "second": " ".join(heard[1])}
        return Measured(100 * (1 - edits / longer), longer, details)
