"""A build small enough to train on in a test: speakers whose color goes with the pitch of their hum,
and lips that show which word sounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from facetron.model.sizes import DEBUG
from facetron.train import augment
from facetron.train.augment import Augmentation
from facetron.train.dataset import ClipDataset
from gridprep.features.crop_store import write_pictures
from manifests.grammar import WORDS, sentence_of
from manifests.io import write_jsonl
from manifests.mel import DEFAULT, mel_spectrogram
from manifests.records import ManifestRow, WordSpan

STEMS = ("bbaf2n", "lrwm5s", "pgbx9p", "swiz8a", "brbk7n", "lgif1s", "pwaz4a", "sbwe3p")
FRAMES, SIDE = 75, 32
ALL = ("lips", "face", "mel", "wave")
COLORS = {"s3": (210, 120, 90), "s5": (90, 130, 200), "s6": (120, 200, 120)}
PITCH_HZ = {"s3": 110.0, "s5": 220.0, "s6": 330.0}


def make_build(
    root: Path,
    speakers: tuple[str, ...] = ("s3", "s5"),
    clips: int = 4,
    held_out: tuple[str, ...] = ("s1", "s2"),
    validation: int = 1,
    lengths: tuple[int, ...] = (FRAMES,),
) -> Path:
    """A folder with a manifest of `clips` clips a speaker, the last `validation` of each for
    validation. `lengths` in pictures, at least 75, are taken in turn."""
    rows = [
        _row(
            root,
            speaker,
            stem,
            "val" if number >= clips - validation else "train",
            lengths[number % len(lengths)],
        )
        for speaker in speakers
        for number, stem in enumerate(STEMS[:clips])
    ]
    write_jsonl(
        root / "manifest.jsonl", "manifest", rows, split="large-unseen", held_out_speakers=held_out
    )
    return root


def training_clips(build: Path, how: Augmentation = augment.NONE, **options: object) -> ClipDataset:
    """The training clips of a build, all fields but the pitch."""
    return ClipDataset(build, "train", ALL, DEBUG, how, **options)  # type: ignore[arg-type]


def _row(root: Path, speaker: str, stem: str, subset: str, frames: int) -> ManifestRow:
    words = tuple(
        WordSpan(word, 0.4 + 0.36 * i, 0.4 + 0.36 * (i + 1), 10 + 9 * i, 19 + 9 * i)
        for i, word in enumerate(sentence_of(stem).split())
    )
    paths = {
        kind: f"{kind}/{speaker}/{stem}.{suffix}"
        for kind, suffix in (("lips", "avi"), ("face", "jpg"), ("audio", "wav"), ("mel", "npy"))
    }
    for path in paths.values():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
    lips = np.zeros((frames, SIDE, SIDE, 3), np.uint8) + np.array(COLORS[speaker], np.uint8)
    time_s = np.arange(640 * frames) / 16_000
    hum = 0.02 * np.sin(2 * np.pi * PITCH_HZ[speaker] * time_s)
    for word in words:
        number = WORDS.index(word.word)
        inside = slice(word.start_frame, word.end_frame)
        lips[inside, : 4 + number % 24, 4 + number // 3 :] = 20
        sounding = slice(word.start_frame * 640, word.end_frame * 640)
        hum[sounding] += (
            0.2 * np.sin(2 * np.pi * PITCH_HZ[speaker] * (2 + number % 5) * time_s)[sounding]
        )
    write_pictures(root / paths["lips"], lips, "mjpeg90")
    still = np.zeros((3, SIDE, SIDE, 3), np.uint8) + np.array(COLORS[speaker], np.uint8)
    write_pictures(root / paths["face"], still, "jpeg90")
    soundfile.write(root / paths["audio"], hum, 16_000, "PCM_16")
    stored, _ = soundfile.read(root / paths["audio"], dtype="float32")
    np.save(root / paths["mel"], mel_spectrogram(stored))
    return ManifestRow(
        speaker, "male", stem, sentence_of(stem), subset, words, paths, frames, 640 * frames, 16_000,
        2 * frames, 0, (), {}, "", f"{speaker}{stem}",
        {"mel": DEFAULT.fingerprint(), "crop": "0123456789abcdef"},
    )  # fmt: skip
