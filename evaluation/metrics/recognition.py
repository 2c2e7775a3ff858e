"""Word and character errors of a recognizer's transcript against the sentence, and of lip transcripts.

Rates are weighted by the length of their reference, so that their mean over clips is the corpus's
rate: all errors over all words. Means of per-clip rates, which some papers print, differ.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.inputs import homophones
from evaluation.inputs.pairs import Array, Pair, RunDir, Unscorable, paired
from evaluation.inputs.settings import Settings
from evaluation.inputs.text import (
    NORMALIZER,
    WHISPER_NORMALIZER,
    Comparison,
    compare,
    compare_normalized,
    fits_grammar,
    in_vocabulary,
    normalize,
)
from evaluation.metrics.base import Measured, Metric, MetricInfo
from evaluation.models import registry
from evaluation.models.recognizer import Recognizer
from evaluation.models.whisper import english_normalizer, normalizer_library
from manifests.errors import MissingDependency
from manifests.grammar import SLOTS
from manifests.records import RunClip
from manifests.versions import library_version

KEYWORDS = ("letter", "digit")
CITATION = "Morris, Maier, Green, Interspeech 2004; jiwer"


def transcribe(
    samples: Array, rate_hz: int, recognizer: str = registry.DEFAULT, weights: Path | None = None
) -> str:
    """The words that a recognizer hears, "" for none.

    Args:
        samples: (n,) or (n, channels), floats of full scale ±1 or integers.
        rate_hz: of the samples; they are brought to 16 kHz.
        recognizer: `las` comes with the toolkit and knows GRID's sentences; `las-grammar` can write
            nothing else; `las-unseen` heard nothing of s1, s2, s4 and s29; `whisper` and
            `speechbrain-pretrained` need their weights.
        weights: a file or a folder, where the recognizer needs any.

    Raises:
        Unscorable: there is no value; its `reason` is stable (`silent`, `length_mismatch`, …).
        BadInput: arrays that are no sound.
        MissingDependency: the recognizer's library or weights are absent.

    Example:
        >>> import numpy as np
        >>> from evaluation import metrics
        >>> rng = np.random.default_rng(0)
        >>> speech = rng.standard_normal(32_000) * np.sin(np.arange(32_000) / 3000) ** 2 / 8
        >>> noisy = speech + 0.02 * rng.standard_normal(32_000)
        >>> isinstance(metrics.transcribe(speech, 16_000), str)
        True
    """
    chosen = registry.create(recognizer, weights)
    chosen.require()
    return chosen.transcript(paired(None, samples, rate_hz))


def word_error_rate(sentence: str, heard: str) -> float:
    """Word errors over the words of the sentence, in percent, after GRID's normalization of both texts
    (lower case, digits as words, z and 0 as zero; jiwer). Above 100 where much was inserted.

    Args:
        sentence: what was said.
        heard: what was recognized.

    Raises:
        ValueError: a sentence without words.

    Example:
        >>> from evaluation import metrics
        >>> metrics.word_error_rate("bin blue at f two now", "Bin blue at F2, soon.")
        16.666666666666668
    """
    return compare(sentence, heard).words.rate_percent


def character_error_rate(sentence: str, heard: str) -> float:
    """Character errors over the characters of the sentence, in percent, spaces included; otherwise as
    `word_error_rate`.

    Example:
        >>> from evaluation import metrics
        >>> metrics.character_error_rate("set red in a one now", "set red in a one now")
        0.0
    """
    return compare(sentence, heard).characters.rate_percent


def slot_accuracy(sentence: str, heard: str) -> dict[str, bool]:
    """Returns whether each of the six words of a GRID sentence was recognized, after alignment of the
    words.

    Args:
        sentence: what was said: command, color, preposition, letter, digit, adverb.
        heard: what was recognized; it need not keep to GRID's grammar.

    Returns:
        Slot → whether its word was recognized, in the order of the sentence.

    Raises:
        Unscorable: `not_grid`, a sentence that does not have six words.
        ValueError: a sentence without words.

    Example:
        >>> from evaluation import metrics
        >>> found = metrics.slot_accuracy("bin blue at f two now", "bin blue at s two")
        >>> [slot for slot, right in found.items() if not right]
        ['letter', 'adverb']
    """
    slots = grid_slots(compare(sentence, heard))
    return {slot: said == found for slot, (said, found) in slots.items()}


def keyword_accuracy(sentence: str, heard: str) -> float:
    """Percentage of the letter and the digit that were recognized: the keyword score of GRID (Cooke et
    al., JASA 120(5), 2006). Arguments and errors are those of `slot_accuracy`.

    Example:
        >>> from evaluation import metrics
        >>> metrics.keyword_accuracy("bin blue at f two now", "bin blue at s two now")
        50.0
    """
    right = slot_accuracy(sentence, heard)
    return 100 * sum(right[slot] for slot in KEYWORDS) / len(KEYWORDS)


class Recognition(Metric):
    """Base of the metrics of one recognizer's transcript of the speech or of the recording."""

    def __init__(self, recognizer: Recognizer | None = None) -> None:
        self.recognizer = recognizer
        stated = None
        source = note = ""
        if recognizer is not None:
            stated = {"name": recognizer.name, "label": recognizer.label, **recognizer.parameters}
            source = f"{recognizer.name}: {recognizer.label}"
            note = f"Recognizer: {recognizer.label}."
        self.info = type(self).info.variant(
            parameters={"recognizer": stated, "source": source, "normalizer": NORMALIZER},
            note=note,
        )

    @classmethod
    def configured(cls, settings: Settings) -> Metric:
        if not settings.recognizer:
            return cls()
        label = settings.transcripts_by
        return cls(registry.create(settings.recognizer, settings.recognizer_path, label))

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return bool(settings.recognizer)

    def require(self) -> None:
        if self.recognizer is None:
            raise MissingDependency(
                "words cannot be scored without a recognizer",
                f"name one with --recognizer ({', '.join(registry.RECOGNIZERS)}) or put a "
                "transcripts.jsonl into each run directory",
            )
        self.recognizer.require()
        super().require()

    def clip_inputs(self, root: Path, clip: RunClip) -> list[Any]:
        stated = self.info.parameters["recognizer"] or {"name": ""}
        heard = registry.clip_inputs(stated["name"], root, clip, of_recording=self.of_recording)
        return [clip.sentence, *heard]

    def applies(self, run: RunDir) -> bool:
        """A recognizer of GRID's words is not asked about a run in which nobody says them."""
        said = _sentences(run)
        return not self._knows_grid_only or not said or any(map(in_vocabulary, said))

    @property
    def _knows_grid_only(self) -> bool:
        return self.recognizer is not None and self.recognizer.name in registry.GRID_ONLY

    def comparison(self, pair: Pair) -> Comparison:
        """Returns the alignment, computed once for all metrics of a clip. Raises `Unscorable`."""
        if self.recognizer is None:
            raise Unscorable("no_recognizer", "no recognizer was named")
        if self._knows_grid_only and not in_vocabulary(normalize(pair.clip.sentence).split()):
            raise Unscorable(
                "other_vocabulary",
                f"{self.recognizer.name} knows GRID's words alone, not {pair.clip.sentence!r}",
            )
        text = self.recognizer.transcript(pair)
        return pair.once(f"comparison {text}", lambda: _compare(pair.clip, text))


def _sentences(run: RunDir) -> list[list[str]]:
    """The words of every clip that has any, normalized."""
    return [words for clip in run.clips if (words := normalize(clip.sentence).split())]


def _compare(clip: RunClip, text: str) -> Comparison:
    try:
        return compare(clip.sentence, text)
    except ValueError:
        raise Unscorable("no_sentence", "clips.jsonl holds no sentence of this clip") from None


class WordErrorRate(Recognition):
    info = MetricInfo(
        name="wer",
        label="WER",
        unit="%",
        direction="lower",
        definition=(
            "Word errors (substitutions, deletions, insertions) of the recognizer over the words "
            "of all sentences, pooled over the corpus; both texts normalized (lower case, digits "
            "as words, z and 0 as zero)."
        ),
        citation=CITATION,
        license="Apache-2.0 (jiwer)",
        group="headline",
        decimals=1,
        needs_reference=False,
        has_floor=True,
        libraries=("jiwer",),
    )

    def refusal(self, run: RunDir) -> str:
        """Names recognizers that suit where this one knows none of the words."""
        if self.applies(run) or self.recognizer is None:
            return ""
        return (
            f"{run.info.name}: no WER, since the recognizer {self.recognizer.name} knows GRID's words "
            f"alone; use --recognizer {' or '.join(registry.ENGLISH)}"
        )

    def measure(self, pair: Pair) -> Measured:
        return word_errors(self.comparison(pair))


class CharacterErrorRate(Recognition):
    info = WordErrorRate.info.variant(
        name="cer",
        label="CER",
        definition=(
            "Character errors of the recognizer over the characters of all sentences, spaces "
            "between words included, pooled over the corpus; texts normalized as for the WER."
        ),
        has_floor=True,
    )

    def measure(self, pair: Pair) -> Measured:
        return character_errors(self.comparison(pair))


def word_errors(found: Comparison) -> Measured:
    details: dict[str, Any] = {"heard": found.hypothesis, **vars(found.words)}
    if found.normalizer != NORMALIZER:
        details["normalizer"] = found.normalizer
    return Measured(found.words.rate_percent, found.words.length, details)


def character_errors(found: Comparison) -> Measured:
    counts = found.characters
    return Measured(counts.rate_percent, counts.length, dict(vars(counts)))


class HomophoneWordErrorRate(WordErrorRate):
    """WER of a recognizer of general English when words that sound like GRID's are read as those."""

    info = WordErrorRate.info.variant(
        name="wer_homophones",
        label="WER (homophones)",
        definition=(
            "WER after words that sound like a word of GRID are read as that word (are as r, too as "
            "two): a recognizer of general English cannot know which of them the corpus means."
        ),
        group="recognition",
    )

    def __init__(self, recognizer: Recognizer | None = None) -> None:
        super().__init__(recognizer)
        self.info = self.info.variant(
            parameters={**self.info.parameters, "homophones": homophones.VERSION}
        )

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.recognizer in registry.ENGLISH

    def applies(self, run: RunDir) -> bool:
        """Other corpora have other words."""
        said = _sentences(run)
        return super().applies(run) and (not said or any(map(in_vocabulary, said)))

    def refusal(self, run: RunDir) -> str:
        """The WER says it."""
        return ""

    def comparison(self, pair: Pair) -> Comparison:
        if not in_vocabulary(normalize(pair.clip.sentence).split()):
            raise Unscorable("other_vocabulary", f"{pair.clip.sentence!r} is not of GRID's words")
        if self.recognizer is None:
            raise Unscorable("no_recognizer", "no recognizer was named")
        text = homophones.projected(self.recognizer.transcript(pair))
        return pair.once(f"comparison {text}", lambda: _compare(pair.clip, text))


class HomophoneCharacterErrorRate(HomophoneWordErrorRate):
    info = HomophoneWordErrorRate.info.variant(
        name="cer_homophones",
        label="CER (homophones)",
        definition="CER after words that sound like a word of GRID are read as that word.",
    )

    def measure(self, pair: Pair) -> Measured:
        return character_errors(self.comparison(pair))


class WhisperNormalizedWordErrorRate(WordErrorRate):
    """WER as papers count it that normalize by OpenAI's rules: beside ours, never instead of it."""

    info = WordErrorRate.info.variant(
        name="wer_whisper_normalizer",
        label="WER (Whisper's normalizer)",
        definition=(
            "WER after OpenAI's EnglishTextNormalizer of both texts, as most papers that score with "
            "Whisper count it, pooled over the corpus. It writes numbers as digits, and the letter o "
            "before a digit becomes a zero that joins it (at o two → at 02): such a sentence of GRID has "
            "five words. Homophones (two, too) stay errors."
        ),
        citation="Radford et al. (Whisper), ICML 2023, appendix C; jiwer",
        license="MIT (OpenAI's normalizer)",
        group="recognition",
    )

    def __init__(self, recognizer: Recognizer | None = None, folder: Path | None = None) -> None:
        super().__init__(recognizer)
        self.folder = folder
        library = normalizer_library(folder)
        self.info = self.info.variant(
            parameters={
                **self.info.parameters,
                "normalizer": WHISPER_NORMALIZER,
                "normalizer_version": f"{library} {library_version(library)}" if library else "",
            }
        )

    @classmethod
    def configured(cls, settings: Settings) -> Metric:
        if not settings.recognizer:
            return cls()
        made = registry.create(
            settings.recognizer, settings.recognizer_path, settings.transcripts_by
        )
        return cls(made, settings.recognizer_path)

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.recognizer in registry.ENGLISH and bool(
            normalizer_library(settings.recognizer_path)
        )

    def require(self) -> None:
        english_normalizer(self.folder)
        super().require()

    def refusal(self, run: RunDir) -> str:
        """The WER says it."""
        return ""

    def comparison(self, pair: Pair) -> Comparison:
        if self.recognizer is None:
            raise Unscorable("no_recognizer", "no recognizer was named")
        plain = english_normalizer(self.folder)
        text = plain(self.recognizer.transcript(pair))
        said = plain(pair.clip.sentence)
        if not said:
            raise Unscorable("no_sentence", "clips.jsonl holds no sentence of this clip")
        key = f"comparison {WHISPER_NORMALIZER} {text}"
        return pair.once(key, lambda: compare_normalized(said, text, WHISPER_NORMALIZER))

    def measure(self, pair: Pair) -> Measured:
        found = self.comparison(pair)
        details: dict[str, Any] = {"heard": found.hypothesis, **vars(found.words)}
        return Measured(found.words.rate_percent, found.words.length, details)


class GrammarWordErrorRate(WordErrorRate):
    """WER of the same recognizer when its output is restricted to sentences of GRID."""

    info = WordErrorRate.info.variant(
        name="wer_grammar",
        label="WER (grammar)",
        definition=(
            "WER of the same recognizer when its output is restricted to sentences of GRID's "
            "grammar, which hides errors."
        ),
        group="recognition",
        has_floor=True,
    )

    @classmethod
    def configured(cls, settings: Settings) -> Metric:
        name = registry.GRAMMATICAL.get(settings.recognizer)
        return cls(registry.create(name, settings.recognizer_path) if name else None)

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.recognizer in registry.GRAMMATICAL

    def refusal(self, run: RunDir) -> str:
        """The WER without a grammar says it."""
        return ""

    def require(self) -> None:
        if self.recognizer is None:
            raise MissingDependency(
                f"{self.info.name} needs a recognizer that can keep to GRID's grammar",
                f"name one with --recognizer ({', '.join(registry.GRAMMATICAL)})",
            )
        super().require()


class GrammarCharacterErrorRate(GrammarWordErrorRate):
    info = GrammarWordErrorRate.info.variant(
        name="cer_grammar",
        label="CER (grammar)",
        definition=(
            "CER of the same recognizer when its output is restricted to sentences of GRID's "
            "grammar, which hides errors."
        ),
        has_floor=True,
    )

    def measure(self, pair: Pair) -> Measured:
        return character_errors(self.comparison(pair))


class Slot(Recognition):
    """Base of the metrics that ask whether the word of one slot was recognized. The hypothesis is not
    restricted by the grammar."""

    slot: str

    def applies(self, run: RunDir) -> bool:
        """Slots are only where somebody says a sentence of the grammar."""
        return super().applies(run) and _has_grammar(run)

    def measure(self, pair: Pair) -> Measured:
        said, heard = grid_slots(self.comparison(pair))[self.slot]
        return Measured(100.0 * (said == heard), details={"said": said, "heard": heard})


def _has_grammar(run: RunDir) -> bool:
    said = _sentences(run)
    return not said or any(map(fits_grammar, said))


def grid_slots(found: Comparison) -> dict[str, tuple[str, str]]:
    """Returns slot → (reference, hypothesis). Raises `Unscorable` for a sentence outside GRID."""
    if found.slots is None:
        raise Unscorable(
            "not_grid", f"{found.reference!r} does not have the {len(SLOTS)} words of GRID's slots"
        )
    return found.slots


def slot_info(slot: str) -> MetricInfo:
    return WordErrorRate.info.variant(
        name=f"slot_{slot}",
        label=slot.capitalize(),
        direction="higher",
        definition=f"Percentage of clips whose {slot} was recognized, after alignment of the words.",
        citation="Cooke et al., JASA 120(5), 2006",
        group="recognition",
        has_floor=False,
    )


class CommandSlot(Slot):
    slot, info = "command", slot_info("command")


class ColorSlot(Slot):
    slot, info = "color", slot_info("color")


class PrepositionSlot(Slot):
    slot, info = "preposition", slot_info("preposition")


class LetterSlot(Slot):
    slot, info = "letter", slot_info("letter")


class DigitSlot(Slot):
    slot, info = "digit", slot_info("digit")


class AdverbSlot(Slot):
    slot, info = "adverb", slot_info("adverb")


class Keywords(Recognition):
    info = slot_info("letter").variant(
        name="keyword",
        label="Keywords",
        definition="Percentage of letters and digits recognized: the classical keyword score of GRID.",
    )

    def applies(self, run: RunDir) -> bool:
        """Returns whether the run's sentences have slots as well."""
        return super().applies(run) and _has_grammar(run)

    def measure(self, pair: Pair) -> Measured:
        slots = grid_slots(self.comparison(pair))
        return Measured(100 * sum(slots[k][0] == slots[k][1] for k in KEYWORDS) / len(KEYWORDS))


class LipWordErrorRate(Metric):
    """WER of the text of the system's own lip reader: no speech and no recognizer is involved."""

    info = WordErrorRate.info.variant(
        name="lip_wer",
        label="Lip WER",
        definition=(
            "WER of the text of the system's lip reader (`transcript` in clips.jsonl), from which "
            "the speech was synthesized; no recognizer is involved."
        ),
        parameters={"normalizer": NORMALIZER},
        group="recognition",
        needs_degraded=False,
        has_floor=False,
    )

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.lips

    def applies(self, run: RunDir) -> bool:
        return any(clip.transcript.strip() for clip in run.clips)

    def clip_inputs(self, root: Path, clip: RunClip) -> list[Any]:
        return [clip.sentence, clip.transcript]

    def comparison(self, pair: Pair) -> Comparison:
        if not pair.clip.transcript.strip():
            raise Unscorable("no_lip_transcript", "clips.jsonl holds no transcript of this clip")
        return pair.once("comparison lips", lambda: _compare(pair.clip, pair.clip.transcript))

    def measure(self, pair: Pair) -> Measured:
        return word_errors(self.comparison(pair))


class LipCharacterErrorRate(LipWordErrorRate):
    info = LipWordErrorRate.info.variant(
        name="lip_cer",
        label="Lip CER",
        definition="CER of the text of the system's lip reader, from which the speech was synthesized.",
    )

    def measure(self, pair: Pair) -> Measured:
        return character_errors(self.comparison(pair))
