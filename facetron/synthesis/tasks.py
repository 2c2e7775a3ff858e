"""Tasks of a synthesis: for each clip its row, the clip whose lips are read, and the voice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facetron.synthesis.swaps import Pair
from manifests.errors import BadInput
from manifests.ordering import natural
from manifests.records import ManifestRow

PICTURE = "image-"
"""The voice of a picture's face is named by this prefix and the name of its file."""


@dataclass(frozen=True)
class SynthesisTask:
    """One clip to synthesize.

    Attributes:
        row: row of the clip, with its sentence, recording and name.
        lips: the clip whose lips are read; not `row` in the control of shuffled lips, None where
            there is no other.
        voice: the speaker whose face gives the voice, or the name of a picture's voice.
        face: the clip whose stills show that face; None chooses among all stills of the speaker.
    """

    row: ManifestRow
    lips: ManifestRow | None
    voice: str
    face: ManifestRow | None = None

    @property
    def swapped(self) -> bool:
        return self.voice != self.row.speaker

    @property
    def of_picture(self) -> bool:
        """Returns whether the face comes from a picture and not from the manifest."""
        return self.voice.startswith(PICTURE)

    @property
    def label(self) -> str:
        """Name of the clip's files: `s1/bbaf2n`, or `s1/bbaf2n.s4` with the voice of another speaker."""
        return f"{self.row.clip_id}.{self.voice}" if self.swapped else self.row.clip_id

    def path(self, folder: str, suffix: str) -> str:
        """Path of one of the clip's files, relative to the run directory."""
        return f"{folder}/{self.label}{suffix}"


def own_voices(rows: Sequence[ManifestRow], seen: Sequence[str]) -> list[SynthesisTask]:
    """Returns tasks in which each speaker has their own voice. Unseen speakers show the face of the
    clip itself; for speakers in `seen` the still is chosen from their training clips."""
    return [
        SynthesisTask(row, row, row.speaker, None if row.speaker in seen else row)
        for row in sorted(rows, key=_order)
    ]


def picture_voice(path: Path) -> str:
    """Names the voice of a picture, `me.jpg` → `image-me`, in letters that every file system allows."""
    return PICTURE + re.sub(r"[^A-Za-z0-9_-]", "_", path.stem)


def one_voice(rows: Sequence[ManifestRow], voice: str) -> list[SynthesisTask]:
    """Returns tasks in which all clips have the face of one speaker."""
    return [SynthesisTask(row, row, voice) for row in sorted(rows, key=_order)]


def swapped(rows: Sequence[ManifestRow], pairs: Sequence[Pair]) -> list[SynthesisTask]:
    """Returns the tasks of swapped faces. Raises `BadInput` for a pair with a clip or a speaker that is
    not among the rows."""
    by_name = {(row.speaker, row.stem): row for row in rows}
    speakers = {row.speaker for row in rows}
    tasks = []
    for pair in pairs:
        row = by_name.get((pair.speaker, pair.stem))
        face = by_name.get((pair.voice, pair.voice_stem))
        if row is None or pair.voice not in speakers or (pair.voice_stem and face is None):
            raise BadInput(
                f"the pair {pair.speaker}/{pair.stem} with {pair.voice}/{pair.voice_stem} names "
                "a clip or a speaker that is not among the manifest's clips",
                "correct it, or choose another --subset",
            )
        tasks.append(SynthesisTask(row, row, pair.voice, face))
    return sorted(tasks, key=lambda task: (*_order(task.row), task.voice))


def shuffled_lips(tasks: Sequence[SynthesisTask], seed: int) -> list[SynthesisTask]:
    """Returns the tasks of the control: each clip with the lips of another clip of its speaker.

    Lips are exchanged along a seeded ring through the speaker's clips, so that no clip keeps its own
    and none is used twice. The only clip of a speaker gets None.
    """
    ring: dict[str, ManifestRow | None] = {}
    for speaker in {task.row.speaker for task in tasks}:
        rows = sorted((t.row for t in tasks if t.row.speaker == speaker), key=_order)
        rng = np.random.default_rng([seed, *speaker.encode()])
        order = [rows[i] for i in rng.permutation(len(rows))]
        for row, following in zip(order, [*order[1:], order[0]], strict=True):
            ring[row.clip_id] = following if following is not row else None
    return [SynthesisTask(t.row, ring[t.row.clip_id], t.voice, t.face) for t in tasks]


def _order(row: ManifestRow) -> tuple[Any, str]:
    return natural(row.speaker), row.stem
