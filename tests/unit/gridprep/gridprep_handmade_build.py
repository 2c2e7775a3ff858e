"""A small build written by hand: clips of several lengths, some without text, words or gender, which no
GRID has."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from gridprep.features.crop_store import write_pictures
from manifests.io import write_jsonl
from manifests.mel import DEFAULT, mel_spectrogram
from manifests.records import ManifestRow, WordSpan
from manifests.specs import AudioSpec, CropSpec, LandmarkSpec

RATE_HZ = 16_000


@dataclass(frozen=True)
class Said:
    """One clip of the build: who, which, how long, what."""

    speaker: str
    stem: str
    subset: str
    frames: int = 25
    words: tuple[tuple[str, float, float], ...] = ()
    sentence: str = ""
    gender: str = ""


CLIPS = (
    Said("s10", "bbaf2n", "train", 75, (("bin", 0.5, 0.7), ("blue", 0.7, 1.02)), "bin blue", "male"),
    Said("s2", "lgal8n", "train", 75, (("lay", 0.48, 0.62), ("green", 0.7, 1)), "lay green", "female"),
    Said("s2", "pwij1p", "test", 75, (("place", 0, 0.4), ("white", 0.4, 3)), "place white", "female"),
    Said("Zoë", "take.1", "train", 30, (), 'say "hello" again', "female"),
    Said("Zoë", "take.2", "val", 12, (), "été", "female"),
    Said("nobody", "mumble", "train", 20),
)  # fmt: skip


def write_build(root: Path, clips: tuple[Said, ...] = CLIPS, face_every: int = 5) -> Path:
    """Writes the build and returns its folder."""
    rows = [_row(root, clip, face_every) for clip in clips]
    specs = {
        "audio": AudioSpec().to_dict(),
        "mel": DEFAULT.to_dict(),
        "crop": CropSpec(face_every=face_every).to_dict(),
        "landmarks": LandmarkSpec().to_dict(),
    }
    header = {"split": "by hand", "split_version": 1, "held_out_speakers": [], "specs": specs}
    write_jsonl(root / "manifest.jsonl", "manifest", rows, **header, rows=len(rows))
    return root


def _row(root: Path, clip: Said, face_every: int) -> ManifestRow:
    seed = int.from_bytes(hashlib.sha256(clip.stem.encode()).digest()[:4], "big")
    random = np.random.default_rng(seed)
    n_samples = clip.frames * 640
    paths = {
        name: f"{name}/{clip.speaker}/{clip.stem}{suffix}"
        for name, suffix in (("audio", ".wav"), ("lips", ".avi"), ("face", ".jpg"), ("mel", ".npy"))
    }
    for path in paths.values():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
    sound = (0.1 * random.standard_normal(n_samples)).astype(np.float32)
    soundfile.write(root / paths["audio"], sound, RATE_HZ, "PCM_16")
    np.save(root / paths["mel"], mel_spectrogram(sound, DEFAULT))
    # A dark bar walks down over gray, so that a frame shows which it is.
    lips = np.full((clip.frames, 144, 144, 3), (150, 120, 110), np.uint8)
    for i, frame in enumerate(lips):
        frame[(i * 144 // clip.frames) :][:12] = 20
    write_pictures(root / paths["lips"], lips, "mjpeg90")
    faces = np.full((-(-clip.frames // face_every), 160, 160, 3), (160, 130, 120), np.uint8)
    for i, face in enumerate(faces):
        face[:, : 8 + 4 * i] = 40
    write_pictures(root / paths["face"], faces, "jpeg90")
    return ManifestRow(
        speaker=clip.speaker,
        gender=clip.gender,
        stem=clip.stem,
        sentence=clip.sentence,
        subset=clip.subset,
        words=tuple(
            WordSpan(
                word, start_s, end_s, int(start_s * 25 + 1e-6), int(np.ceil(end_s * 25 - 1e-6))
            )
            for word, start_s, end_s in clip.words
        ),
        paths=paths,
        video_frames=clip.frames,
        audio_samples=n_samples,
        sample_rate_hz=RATE_HZ,
        mel_frames=2 * clip.frames,
        samples_added=0,
        flags=(),
        qc={},
        source_path=f"{clip.speaker}/{clip.stem}.mp4",
        source_sha256="0" * 64,
        fingerprints={},
    )
