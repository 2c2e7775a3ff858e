"""Training data of the recognizer: recordings and synthetic speech cut into words, and new sentences
put together from them.

GRID has 1,000 sentences a speaker of 64,000, so a recognizer can learn sentences by heart. Words of one
speaker are therefore cut apart and joined into sentences that this speaker never said.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.console import Progress
from manifests.errors import MissingDependency
from manifests.espeak import speak, spelled
from manifests.grammar import SLOTS, VOCABULARY, sentence_of, stem_of
from manifests.io import read_manifest
from manifests.records import ManifestRow

RATE_HZ = 16_000
Float = NDArray[np.float32]
JOIN_SAMPLES = 96
"""Cross-fade at a cut: 6 ms, short against the shortest consonant."""
SWITCH = 0.5
"""Chance that a sentence goes on with another clip's words where it may be cut."""
CUTS = (1, 4, 5)
"""Slots that a cut may stand before: command | color preposition letter | digit | adverb. A quick
speaker's preposition takes 60 ms, no more than alignments are off by: cut there, sentences would be
labeled with prepositions and letters that are not in them."""
LETTER = SLOTS.index("letter")
LEVEL = 0.05
VOICES = (
    "en",
    "en-us",
    "en-gb-scotland",
    "en-gb-x-rp",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
)
VARIANTS = (
    *(f"m{k}" for k in range(1, 9)),
    *(f"f{k}" for k in range(1, 6)),
    *("Andy", "linda", "travis", "steph2", "belinda", "grandma", "grandpa", "aunty"),
)
FLITE_VOICES = {"awb": 130.0, "rms": 95.0, "slt": 175.0, "kal16": 105.0}
"""Voice → its median pitch in Hz, about."""
FLITE_LETTERS = {
    "a": "ay", "b": "bee", "c": "see", "d": "dee", "e": "ee", "f": "eff", "g": "jee", "h": "aitch",
    "i": "eye", "j": "jay", "k": "kay", "l": "ell", "m": "em", "n": "en", "o": "oh", "p": "pea",
    "q": "cue", "r": "are", "s": "ess", "t": "tea", "u": "you", "v": "vee", "x": "ex", "y": "why",
    "z": "zed",
}  # fmt: skip
"""Words that sound as the letters' British names: flite reads "a" as an article and "z" as zee."""


@dataclass(frozen=True)
class Clip:
    """A sentence with its cuts.

    Attributes:
        speaker: clips of one speaker may be spliced; `real/s1`, `synth/s3`, `espeak/17`.
        samples: (n,) int16 at 16 kHz.
        words: six.
        edges_samples: (7,) where each word starts, and where the last ends.
        whole: only the first and the last edge are known, so the clip is never cut.
    """

    speaker: str
    samples: NDArray[np.int16]
    words: tuple[str, ...]
    edges_samples: tuple[int, ...]
    whole: bool = False

    @property
    def sentence(self) -> str:
        return " ".join(self.words)

    def sound(self, start: int, end: int) -> Float:
        """Samples of [start, end) in ±1, zeros beyond the clip."""
        inside = self.samples[max(start, 0) : max(min(end, len(self.samples)), 0)]
        padding = (max(-start, 0), max(end - max(len(self.samples), start), 0))
        sound = np.pad(inside.astype(np.float32) / 32768, padding)[: end - start]
        return np.asarray(sound, np.float32)


def _levelled(samples: NDArray[np.floating[Any]], edges: Sequence[int]) -> NDArray[np.int16]:
    """Brings the spoken part to one level: words of different clips are to follow each other."""
    spoken = samples[edges[0] : edges[-1]]
    rms = float(np.sqrt((spoken**2).mean())) or 1.0
    return np.asarray(np.clip(samples * (LEVEL / rms), -1, 1) * 32767, dtype=np.int16)


def read_clips(root: Path, rows: Sequence[ManifestRow], source: str) -> list[Clip]:
    """Clips of a build; rows without six words, or whose sound is silent, are left out."""
    import soundfile

    clips = []
    for row in rows:
        if len(row.words) != len(VOCABULARY):
            continue
        samples, _ = soundfile.read(root / row.paths["audio"], dtype="float32")
        starts = [round(word.start_s * RATE_HZ) for word in row.words]
        edges = (*starts, min(round(row.words[-1].end_s * RATE_HZ), len(samples)))
        if np.abs(samples[edges[0] : edges[-1]]).max(initial=0.0) > 0:
            words = tuple(word.word for word in row.words)
            clips.append(Clip(f"{source}/{row.speaker}", _levelled(samples, edges), words, edges))
    return clips


def read_build(
    root: Path, source: str, left_out: Collection[str]
) -> tuple[list[Clip], list[Clip], list[Clip]]:
    """Clips of a build as (train, val, test).

    Args:
        left_out: speakers of whom nothing may be trained on; all their clips go to test.
    """
    _, rows = read_manifest(root)
    parts: dict[str, list[ManifestRow]] = {"train": [], "val": [], "test": []}
    for row in rows:
        parts["test" if row.speaker in left_out else row.subset].append(row)
    train, val, test = (read_clips(root, parts[name], source) for name in ("train", "val", "test"))
    return train, val, test


def random_stem(rng: np.random.Generator, forbidden: Collection[str]) -> str:
    """A stem of the grammar's 64,000, none of the forbidden ones."""
    while True:
        stem = "".join(str(rng.choice(list(slot))) for slot in VOCABULARY)
        if stem not in forbidden:
            return stem


def espeak_clips(
    speakers: int, each: int, rng: np.random.Generator, forbidden: Collection[str]
) -> list[Clip]:
    """Sentences by espeak-ng: every speaker is a voice, an accent, a pitch, a tract and a pace."""
    import soxr

    clips: list[Clip] = []
    with Progress(speakers * each, "espeak-ng") as progress:
        for speaker in range(speakers):
            voice = f"{rng.choice(VOICES)}+{rng.choice(VARIANTS)}"
            pitch, spread = int(rng.integers(15, 80)), int(rng.integers(20, 75))
            faster = float(np.exp(rng.uniform(np.log(0.85), np.log(1.2))))
            pace = rng.uniform(130, 215)
            for _ in range(each):
                progress.update()
                stem = random_stem(rng, forbidden)
                rate = round(pace * rng.uniform(0.93, 1.07) / faster)
                said = speak(spelled(stem), voice, rate, pitch, spread)
                if len(said.words_s) != len(VOCABULARY):
                    continue
                sound = soxr.resample(said.samples, said.rate_hz * faster, RATE_HZ)
                edges = tuple(
                    min(round(at / faster * RATE_HZ), len(sound))
                    for at in (*said.words_s, said.end_s)
                )
                words = tuple(sentence_of(stem).split())
                clips.append(Clip(f"espeak/{speaker}", _levelled(sound, edges), words, edges))
    return clips


def flite_clips(each: int, rng: np.random.Generator, forbidden: Collection[str]) -> list[Clip]:
    """Sentences by the program flite, whose voices are made of the recordings of four people. Every
    voice counts as a speaker; pitch and pace are drawn for every sentence.

    Raises:
        MissingDependency: there is no program flite.
    """
    import soundfile

    program = shutil.which("flite")
    if program is None:
        raise MissingDependency("the voices of flite need the program flite", "install flite 2.2")
    clips: list[Clip] = []
    with (
        Progress(len(FLITE_VOICES) * each, "flite") as progress,
        tempfile.TemporaryDirectory() as folder,
    ):
        path = Path(folder) / "spoken.wav"
        for voice, pitch_hz in FLITE_VOICES.items():
            for _ in range(each):
                progress.update()
                stem = random_stem(rng, forbidden)
                words = sentence_of(stem).split()
                text = " ".join(
                    FLITE_LETTERS[word] if k == LETTER else word for k, word in enumerate(words)
                )
                subprocess.run(
                    [
                        program,
                        *("-voice", voice, "-t", text, "-o", str(path)),
                        *("--setf", f"duration_stretch={rng.uniform(0.75, 1.25):.3f}"),
                        *("--setf", f"int_f0_target_mean={pitch_hz * rng.uniform(0.75, 1.3):.1f}"),
                    ],
                    check=True,
                    capture_output=True,
                )
                sound, rate_hz = soundfile.read(path, dtype="float32")
                if rate_hz != RATE_HZ:
                    raise ValueError(f"flite's {voice} speaks at {rate_hz} Hz")
                loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max())
                edges = (*[int(loud[0])] * len(words), int(loud[-1]) + 1)
                clips.append(
                    Clip(f"flite/{voice}", _levelled(sound, edges), tuple(words), edges, whole=True)
                )
    return clips


@dataclass(frozen=True)
class Spliced:
    """A sentence to train on: samples with what is said between `start` and `end`."""

    samples: Float
    sentence: str
    start: int
    end: int


def splice(
    clips: Sequence[Clip],
    rng: np.random.Generator,
    forbidden: Collection[str],
    share: float,
    cuts: Collection[int] = CUTS,
    letter: str = "",
) -> Spliced:
    """A clip of one speaker, or words of several joined.

    Args:
        clips: of one speaker.
        forbidden: stems that must not come out.
        share: of the sentences that are joined.
        cuts: slots that a cut may stand before.
        letter: that is to be said, where the speaker has said it and the sentence is not forbidden.
    """
    carriers = [clip for clip in clips if letter and clip.words[LETTER] == letter] or clips
    joined = len(clips) > 1 and not any(clip.whole for clip in clips) and rng.random() < share
    first = (clips if joined else carriers)[int(rng.integers(len(clips if joined else carriers)))]
    donors = [first] * len(VOCABULARY)
    if joined:
        current = first
        before_letter = max((cut for cut in cuts if cut <= LETTER), default=0)
        for k in range(len(VOCABULARY)):
            if letter and k == before_letter:
                current = carriers[int(rng.integers(len(carriers)))]
            elif k in cuts and rng.random() < SWITCH:
                current = clips[int(rng.integers(len(clips)))]
            donors[k] = current
        words = " ".join(donor.words[k] for k, donor in enumerate(donors))
        if stem_of(words) in forbidden:
            donors = [first] * len(VOCABULARY)
    return join(donors)


def join(donors: Sequence[Clip]) -> Spliced:
    """Word k of donor k, all in a row, with the silence before the first and after the last."""
    half = JOIN_SAMPLES // 2
    fade = np.linspace(0, 1, 2 * half, dtype=np.float32)
    runs: list[tuple[Clip, int, int]] = []
    for k, donor in enumerate(donors):
        if runs and runs[-1][0] is donor:
            runs[-1] = (donor, runs[-1][1], k + 1)
        else:
            runs.append((donor, k, k + 1))
    pieces = []
    length = 0
    for number, (donor, a, b) in enumerate(runs):
        start = 0 if number == 0 else donor.edges_samples[a] - half
        last = number == len(runs) - 1
        end = len(donor.samples) if last else donor.edges_samples[b] + half
        piece = donor.sound(start, end)
        if number:
            piece[: 2 * half] *= fade[: len(piece)]
        if not last:
            piece[-2 * half :] *= fade[::-1][-len(piece) :]
        at = length - 2 * half if number else 0
        pieces.append((at, piece))
        length = at + len(piece)
    whole = np.zeros(length, dtype=np.float32)
    for at, piece in pieces:
        whole[at : at + len(piece)] += piece
    tail = len(donors[-1].samples) - donors[-1].edges_samples[-1]
    sentence = " ".join(donor.words[k] for k, donor in enumerate(donors))
    return Spliced(whole, sentence, donors[0].edges_samples[0], length - tail)
