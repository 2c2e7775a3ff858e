"""Compares file formats of crops: size, fidelity and time, measured on the clips of a GRID folder.

    python -m benchmarks --only crop-formats

Prints the table of docs/formats.md. Times are ratios to the fastest in the same run as well as
milliseconds, since only ratios travel between machines.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from gridprep.corpora.grid import find_clips
from gridprep.features.crop_store import CODECS, encode, read_pictures, suffix_of
from gridprep.features.crops import crop_clip, track
from gridprep.landmarks.registry import create
from gridprep.media.decode import decode
from gridprep.media.quality import check_video
from manifests.console import format_table
from manifests.errors import ClipError
from manifests.specs import CropSpec, LandmarkSpec


def psnr_db(original: np.ndarray, decoded: np.ndarray) -> float:
    """Peak signal-to-noise ratio over all pixels and channels."""
    error = np.mean((original.astype(np.float64) - decoded) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def measure(clips: list[np.ndarray], codec: str) -> dict[str, float]:
    """Means over clips of size in KiB, PSNR, and best-of-three times in milliseconds."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"clip{suffix_of(codec)}"
        for pictures in clips:
            started = time.perf_counter()
            data = encode(pictures, codec)
            encode_s = time.perf_counter() - started
            path.write_bytes(data)
            decode_s = np.inf
            for _ in range(3):
                started = time.perf_counter()
                back = read_pictures(path)
                decode_s = min(decode_s, time.perf_counter() - started)
            rows.append((len(data) / 1024, psnr_db(pictures, back), encode_s * 1e3, decode_s * 1e3))
    mean = np.mean(rows, 0)
    return dict(zip(("kib", "psnr_db", "encode_ms", "decode_ms"), mean.tolist(), strict=True))


def table(corpus: Path, clips: int, scratch: Path) -> str:
    """Both tables, over about `clips` / 6 clips spread over the corpus."""
    del scratch
    clips = max(8, clips // 6)
    backend, landmark_spec, crop_spec = create("facemesh"), LandmarkSpec(), CropSpec()
    found = find_clips(corpus).clips
    lips: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    for clip in found[:: max(1, len(found) // clips)]:
        try:
            frames = check_video(decode(clip.video, audio=False)).frames
            geometry = track(backend.detect(frames, landmark_spec.every), landmark_spec, crop_spec)
        except ClipError:
            continue
        cut = crop_clip(frames, geometry, crop_spec)
        lips.append(cut.lips)
        faces.append(cut.stills)
    texts = []
    for name, pictures in (("lips 144×144×75", lips), ("face 160×160×15", faces)):
        results = {codec: measure(pictures, codec) for codec in CODECS}
        fastest = min(r["decode_ms"] for r in results.values())
        rows = [
            (
                codec,
                f"{r['kib']:.0f}",
                f"{r['psnr_db']:.1f}",
                f"{r['encode_ms']:.1f}",
                f"{r['decode_ms']:.1f}",
                f"{r['decode_ms'] / fastest:.1f}×",
            )
            for codec, r in results.items()
        ]
        texts.append(
            f"{name}, mean over {len(pictures)} clips, one thread\n"
            + format_table(
                ("format", "KiB", "PSNR dB", "encode ms", "decode ms", "decode ratio"), rows
            )
        )
    return "\n\n".join(texts)
