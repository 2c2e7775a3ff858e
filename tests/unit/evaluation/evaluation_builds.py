"""A build of gridprep in miniature, with a run beside it: lips that open as loud as the speaker is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from gridprep.features.crops import mean_face
from manifests.grammar import words_of
from manifests.io import write_json, write_jsonl
from manifests.records import POINT_NAMES, ManifestRow, RunClip, RunInfo, WordSpan

RATE_HZ = 16_000
FRAMES = 75


def mouthy(
    opening_px: NDArray[np.floating], size: tuple[int, int] = (360, 288)
) -> NDArray[np.float32]:
    """(T, 20, 2) points of a still face in the middle of a picture, its lips `opening_px` apart."""
    still = mean_face().points_px * 0.55
    still = still - still.mean(0) + np.array(size) / 2
    points = np.repeat(still[None], len(opening_px), 0).astype(np.float32)
    points[:, POINT_NAMES.index("lip_bottom_outer"), 1] += opening_px
    return points


def loud_and_open(sound: NDArray[np.float64], shift_frames: int = 0) -> NDArray[np.float64]:
    """(75,) opening that follows the level of (48000,) samples, `shift_frames` before it."""
    level = np.array([np.sqrt((part**2).mean()) for part in np.split(sound, FRAMES)])
    return np.roll(12 * level / level.max(), -shift_frames)


def write_build(
    root: Path,
    sounds: dict[str, NDArray[np.float64]],
    *,
    shift_frames: int = 0,
    corpus: Path | None = None,
    every: int = 1,
) -> Path:
    """`sounds` are clip id → (48000,) samples. Landmarks stand on every k-th frame."""
    rows = []
    for clip_id, sound in sounds.items():
        speaker, stem = clip_id.split("/")
        paths = {"audio": f"audio/{clip_id}.wav", "landmarks": f"landmarks/{clip_id}.npz"}
        for path in paths.values():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / paths["audio"], sound, RATE_HZ)
        points = mouthy(loud_and_open(sound, shift_frames))
        points[np.arange(FRAMES) % every != 0] = np.nan
        np.savez(
            root / paths["landmarks"],
            points_px=points,
            found=np.isfinite(points[:, 0, 0]),
            faces=np.ones(FRAMES, np.int16),
            names=np.array(POINT_NAMES),
            backend=np.array("stub 1"),
            choice=np.array("only"),
        )
        words = tuple(
            WordSpan(word, 0.4 * k, 0.4 * k + 0.4, 10 * k, 10 * k + 10)
            for k, word in enumerate(words_of(stem))
        )
        rows.append(
            ManifestRow(
                speaker=speaker, gender="male", stem=stem, sentence=" ".join(words_of(stem)),
                subset="test", words=words, paths=paths, video_frames=FRAMES,
                audio_samples=len(sound), sample_rate_hz=RATE_HZ, mel_frames=150, samples_added=0,
                flags=(), qc={"source_fps": 25.0}, source_path=f"{clip_id}.mpg",
                source_sha256="0" * 64, fingerprints={},
            )
        )  # fmt: skip
    write_jsonl(root / "manifest.jsonl", "manifest", rows)
    write_json(root / "provenance.json", {"corpus": str(corpus or root / "nowhere")})
    return root


def write_run_on(
    root: Path,
    build: Path,
    sounds: dict[str, NDArray[np.float64]],
    *,
    name: str = "Model",
    voices: dict[str, str] | None = None,
) -> Path:
    """A run whose recordings are a build's. `voices` are clip id → speaker of the face."""
    clips = []
    for clip_id, sound in sounds.items():
        speaker, stem = clip_id.split("/")
        file = f"wavs/{speaker}_{stem}.wav"
        (root / "wavs").mkdir(parents=True, exist_ok=True)
        soundfile.write(root / file, sound, RATE_HZ)
        recording = f"../{build.name}/audio/{clip_id}.wav"
        sentence = " ".join(words_of(stem))
        clips.append(
            RunClip(speaker, stem, sentence, "male", file, recording,
                    voice=(voices or {}).get(clip_id, ""))
        )  # fmt: skip
    write_jsonl(root / "clips.jsonl", "run-clips", clips)
    info = RunInfo(name, "model", "large-unseen", "test", RATE_HZ, len(clips))
    write_json(root / "run.json", info.to_dict())
    return root
