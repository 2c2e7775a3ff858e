"""The real recordings of the speakers that a run is about: those whose lips it reads, and those whose
faces give it voices. A run of swaps holds few clips of a speaker, so the build that its recordings lie
in is asked for more.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evaluation.inputs.build_files import find_build, rows_of
from evaluation.inputs.pairs import RunDir
from manifests.errors import ManifestError


def recordings(run: RunDir, most: int) -> dict[str, dict[str, Path]]:
    """Speaker → clip id → recording, at most `most` of each, evenly over their names. The run's own
    come first; where a speaker has fewer, the build's fill up."""
    found: dict[str, dict[str, Path]] = {}
    for clip in run.clips:
        found.setdefault(clip.voice or clip.speaker, {})
        of_speaker = found.setdefault(clip.speaker, {})
        path = run.reference(clip)
        if path is not None:
            of_speaker[clip.clip_id] = path
    kept = {speaker: even(found[speaker], most) for speaker in sorted(found)}
    short = {speaker for speaker, clips in kept.items() if len(clips) < most}
    for speaker, more in _of_build(run, short).items():
        others = {name: path for name, path in more.items() if name not in kept[speaker]}
        kept[speaker] |= even(others, most - len(kept[speaker]))
    return kept


def even(clips: dict[str, Path], most: int) -> dict[str, Path]:
    """Returns at most `most` of some clips, evenly over their names."""
    names = sorted(clips)
    chosen = np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int)
    return {names[i]: clips[names[i]] for i in chosen}


def _of_build(run: RunDir, speakers: set[str]) -> dict[str, dict[str, Path]]:
    """Speaker → clip id → recording in the build, of these speakers; nothing where there is no build."""
    paths = (run.reference(clip) for clip in run.clips)
    first = next((path for path in paths if path is not None), None)
    build = find_build(first) if first is not None and speakers else None
    if build is None:
        return {}
    found: dict[str, dict[str, Path]] = {}
    try:
        rows = rows_of(build).values()
    except ManifestError:
        return {}  # a broken build is no reason not to score what the run itself holds
    for row in rows:
        if row.speaker in speakers and "audio" in row.paths:
            found.setdefault(row.speaker, {})[row.clip_id] = build / row.paths["audio"]
    return found
