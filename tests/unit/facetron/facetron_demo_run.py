"""Run directories around a small build, for tests of the demo page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from manifests.audio import write_wav
from manifests.io import read_manifest
from manifests.records import RunClip, RunInfo
from manifests.runs import close_run, open_run, relative_reference, wav_path


def make_run(
    root: Path,
    build: Path,
    name: str = "Facetron",
    kind: str = "model",
    split: str = "large-unseen",
    change: Callable[[RunClip], RunClip | None] = lambda clip: clip,
    rate_hz: int = 16_000,
) -> Path:
    """A run that says each clip of a build at half its level. `change` may alter a clip, or leave
    it out by None."""
    _, rows = read_manifest(build)
    open_run(root, RunInfo(name, kind, split, "all", rate_hz, len(rows)))
    clips = []
    for row in rows:
        sound, _ = soundfile.read(build / row.paths["audio"])
        step = 16_000 / rate_hz
        heard = np.interp(np.arange(0, len(sound), step), np.arange(len(sound)), sound / 2)
        clip = change(
            RunClip(
                row.speaker, row.stem, row.sentence, row.gender, wav_path(row.speaker, row.stem),
                relative_reference(root, build / row.paths["audio"]), voice=row.speaker,
            )
        )  # fmt: skip
        if clip is not None:
            if clip.voice != clip.speaker:
                clip = replace(clip, wav=f"wavs/{clip.speaker}/{clip.stem}_{clip.voice}.wav")
            write_wav(root / clip.wav, heard, rate_hz)
            clips.append(clip)
    close_run(root, clips, [])
    return root
