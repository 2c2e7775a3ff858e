"""A folder of speech as training data of the stage `prosody`: who speaks is all that must be known.

The paper's prosody encoder was pretrained on many speakers. Any folder SPEAKER/FILE.wav (LibriTTS, VCTK,
the sound of VoxCeleb …) becomes a manifest with mels of pieces of 3 s; there are no pictures in it,
and no words, so that the stage tells speakers apart by `loss.contrastive` and rebuilds each piece from
its embedding alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from manifests.console import Progress
from manifests.errors import BadInput
from manifests.features import npy
from manifests.io import read_jsonl, write_bytes, write_jsonl
from manifests.mel import mel_spectrogram
from manifests.records import ManifestRow
from manifests.specs import VIDEO_FPS, MelSpec

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
PIECE_FRAMES = 75
"""A piece lasts as long as a clip of GRID, in video frames."""
LEAST_SHARE = 0.5
"""The rest of a file is kept, filled up with silence, if it is this share of a piece."""
LEAST_DBFS = -55.0
"""Quieter pieces are left out."""
VALIDATION = 0.05
"""Share of the files that validate."""
MANIFEST = "manifest.jsonl"


def speech_files(folder: Path) -> dict[str, list[Path]]:
    """Returns the speech of each speaker, SPEAKER/…/FILE, in order.

    Raises:
        BadInput: no such folder, or fewer than two speakers in it.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder", "give a folder SPEAKER/FILE.wav")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if len(parts) > 1 and path.suffix.lower() in SUFFIXES and path.is_file():
            found.setdefault(parts[0], []).append(path)
    if len(found) < 2:
        raise BadInput(
            f"{folder} has speech of {len(found)} speakers ({', '.join(SUFFIXES)})",
            "arrange it as SPEAKER/FILE.wav, with two speakers or more",
        )
    return found


def speech_manifest(folder: Path, out: Path, spec: MelSpec) -> tuple[Path, list[str]]:
    """Makes the mels and the manifest of a folder of speech; one that is current is kept.

    Args:
        folder: SPEAKER/…/FILE, of any sample rate and number of channels.
        out: folder to write to.
        spec: mels to make.

    Returns:
        The path of the manifest, and a line for each file that could not be used.

    Raises:
        BadInput: no speech of two speakers, or none that can be used.
        OSError: `out` cannot be written.
    """
    files = speech_files(folder)
    known = [
        (str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns)
        for paths in files.values()
        for path in paths
    ]
    key = hashlib.sha256(repr((known, spec.fingerprint())).encode()).hexdigest()[:16]
    manifest = out / MANIFEST
    if manifest.exists():
        header, _ = read_jsonl(manifest, "manifest", ManifestRow)
        if header.get("speech_key") == key:
            return manifest, []
    rows: list[ManifestRow] = []
    problems: list[str] = []
    with Progress(sum(map(len, files.values())), "mels of speech", "file") as bar:
        for speaker, paths in files.items():
            for path in paths:
                try:
                    rows += _rows_of(path, folder, speaker, out, spec)
                except BadInput as error:
                    problems.append(str(error))
                bar.update(1)
    if len({row.speaker for row in rows if row.subset == "train"}) < 2:
        raise BadInput(
            f"{folder} has too little usable speech to train on"
            + (f" (first problem: {problems[0]})" if problems else ""),
            f"give at least {LEAST_SHARE * PIECE_FRAMES / VIDEO_FPS:g} s each of two speakers",
        )
    write_jsonl(manifest, "manifest", rows, split="speech", speech_key=key)
    return manifest, problems


def _rows_of(path: Path, folder: Path, speaker: str, out: Path, spec: MelSpec) -> list[ManifestRow]:
    name = path.relative_to(folder).as_posix()
    digest = hashlib.sha256(name.encode()).hexdigest()
    subset = "val" if int(digest[:8], 16) < VALIDATION * 2**32 else "train"
    rows = []
    for number, piece in enumerate(_pieces(_sound(path, spec.sample_rate_hz), spec)):
        stem = f"{path.stem}-{digest[:8]}-{number:03d}"
        mel = mel_spectrogram(piece, spec)
        stored = f"mel/{speaker}/{stem}.npy"
        write_bytes(out / stored, npy(mel))
        rows.append(
            ManifestRow(
                speaker=speaker, gender="", stem=stem, sentence="", subset=subset, words=(),
                paths={"mel": stored}, video_frames=PIECE_FRAMES, audio_samples=len(piece),
                sample_rate_hz=spec.sample_rate_hz, mel_frames=mel.shape[1], samples_added=0,
                flags=(), qc={}, source_path=name, source_sha256=digest,
                fingerprints={"mel": spec.fingerprint()},
            )
        )  # fmt: skip
    return rows


def _sound(path: Path, rate_hz: int) -> NDArray[np.float32]:
    """(samples,) of a file, mono, at a rate. Raises `BadInput` for what is no sound."""
    try:
        sound, found_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise BadInput(f"{path} cannot be read ({error})", "remove it or mend it") from None
    mono = sound.mean(axis=1)
    if not np.isfinite(mono).all():
        raise BadInput(f"{path} has samples that are not finite", "remove it or mend it")
    if found_hz != rate_hz:
        import soxr

        mono = soxr.resample(mono, found_hz, rate_hz, quality="HQ")
    return np.asarray(mono, np.float32)


def _pieces(sound: NDArray[np.float32], spec: MelSpec) -> Sequence[NDArray[np.float32]]:
    length = round(PIECE_FRAMES * spec.sample_rate_hz / VIDEO_FPS)
    pieces = []
    for start in range(0, len(sound), length):
        piece = sound[start : start + length]
        level = float(np.sqrt(np.mean(np.square(piece, dtype=np.float64))))
        if len(piece) >= LEAST_SHARE * length and level > 10 ** (LEAST_DBFS / 20):
            pieces.append(np.pad(piece, (0, length - len(piece))))
    return pieces
