"""A second recognizer that nobody trained on GRID: pocketsphinx 5 with its model of American English
(both BSD), along GRID's grammar.

Acoustic model and pronunciations lie in its wheel. Letters are pronounced by their names, z as "zee"
or "zed", and the article's "uh" is left out. Only sentences of GRID can come out, and nothing where a
sound fits none of them to its end: silence, noise and half a sentence give no words.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.inputs.pairs import Samples, Unscorable
from evaluation.models.recognizer import AcousticRecognizer
from manifests.errors import BadInput, MissingDependency
from manifests.grammar import VOCABULARY, WORDS
from manifests.versions import library_version

PRONOUNCED = {"a": ("EY",), "z": ("Z IY", "Z EH D")}
"""Words whose pronunciation as a letter is not the dictionary's."""
LONGEST_S = 10.0
"""Longer sound is no sentence of GRID, which last 3 s: of a sentence that is said twenty times the grammar
would hear one, and hide the rest."""


class PocketSphinx(AcousticRecognizer):
    """Only sentences of GRID can come out; see the module."""

    name = "pocketsphinx"

    def __init__(self, path: Path | None = None, label: str = "") -> None:
        self.path = path
        self.label = "pocketsphinx (en-US), along GRID's grammar"
        self.parameters: dict[str, Any] = {
            "decoding": "GRID's grammar, letters by their names, z as zee or zed",
            "longest_s": LONGEST_S,
            "versions": {"pocketsphinx": library_version("pocketsphinx")},
        }

    def require(self) -> None:
        if self.path is not None:
            raise BadInput(
                "pocketsphinx takes no weights: its model lies in its wheel",
                "leave --recognizer-path out",
            )
        if library_version("pocketsphinx") == "absent":
            raise MissingDependency(
                "the recognizer pocketsphinx is not installed",
                "pip install 'facetron-toolkit[judges]'",
            )

    def transcribe(self, sounds: Sequence[Samples]) -> list[str]:
        return [_decoded(sound) for sound in sounds]


def grammar() -> str:
    """GRID's grammar in JSGF."""
    slots = ("( " + " | ".join(dict.fromkeys(slot.values())) + " )" for slot in VOCABULARY)
    return f"#JSGF V1.0;\ngrammar grid;\npublic <sentence> = {' '.join(slots)};\n"


def dictionary(of_english: Path) -> str:
    """Pronunciations of GRID's words, out of the dictionary of the wheel."""
    known: dict[str, list[str]] = {}
    for line in of_english.read_text(encoding="utf-8").splitlines():
        word, _, phones = line.partition(" ")
        known.setdefault(word.split("(")[0], []).append(phones.strip())
    lines = []
    for word in WORDS:
        for k, phones in enumerate(PRONOUNCED.get(word, tuple(known[word]))):
            lines.append(f"{word}({k + 1}) {phones}" if k else f"{word} {phones}")
    return "\n".join(lines) + "\n"


@lru_cache(maxsize=1)
def _decoder() -> Any:
    import pocketsphinx

    model = Path(pocketsphinx.get_model_path()) / "en-us"
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder) / "grid.dict"
        words.write_text(dictionary(model / "cmudict-en-us.dict"), encoding="utf-8")
        config = pocketsphinx.Config(
            hmm=str(model / "en-us"), dict=str(words), lm=None, loglevel="FATAL",
            # Means over the whole clip, so that the text does not hang on the clips before it.
            cmn="batch",
        )  # fmt: skip
        decoder = pocketsphinx.Decoder(config)
    decoder.add_jsgf_string("grid", grammar())
    decoder.activate_search("grid")
    return decoder


def _decoded(sound: Samples) -> str:
    if len(sound) > LONGEST_S * 16_000:
        raise Unscorable("too_long", f"{len(sound) / 16_000:.0f} s are no sentence")
    pcm = np.round(np.clip(sound, -1, 1) * 32_767).astype("<i2").tobytes()
    decoder = _decoder()
    # Forgets what it heard before: after noise, the next sentence would be heard otherwise.
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return str(found.hypstr) if found is not None else ""
