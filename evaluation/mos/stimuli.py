"""Sounds of a trial: an item under a condition in one part of the test."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.mos.audio import Source
from evaluation.mos.material import ANCHORS, REFERENCE, Item, Material
from evaluation.mos.options import DesignOptions
from evaluation.mos.records import Condition
from evaluation.mos.scales import SCALES
from manifests.errors import BadInput

COUNTERPART = "beside"
"""Stands for the condition of the recording that a pair's other sound is judged beside."""


@dataclass
class Draft:
    """A trial of a session that is being assembled."""

    part: str
    role: str
    condition: str = ""
    clip: str = ""
    sounds: tuple[Source, ...] = ()
    expected: tuple[int, int] | None = None
    original: Draft | None = None
    trial: str = ""


class Stimuli:
    """The sounds of an item under each condition of one part."""

    def __init__(self, material: Material, part: str, options: DesignOptions) -> None:
        self.material, self.part, self.seed = material, part, options.seed
        self.conditions = list(material.systems)
        kinds = {condition.kind for condition in self.conditions}
        items = material.main
        if options.reference and "recording" not in kinds:
            self._offer(Condition(REFERENCE, "recording"), items)
        if options.anchor:
            self._offer(Condition(ANCHORS[part], "anchor"), items)

    def _offer(self, condition: Condition, items: Sequence[Item]) -> None:
        if condition.name in {c.name for c in self.conditions}:
            raise BadInput(
                f"a run is named {condition.name!r}, as a condition of the test is",
                "give it another name in run.json",
            )
        if all(self._path(condition, item) is not None for item in items):
            self.conditions.append(condition)
        else:
            self.material.notes.append(
                f"{SCALES[self.part].label}: no {condition.name!r}, since its recordings are "
                "missing."
            )

    def _path(self, condition: Condition, item: Item) -> Path | None:
        table = self.material.files.get(condition.name)
        if table is not None:
            return table[item.label]
        if condition.kind == "recording":
            return self.material.hidden_reference(self.part, item, self.seed)
        if self.part == "mos":
            return item.recording
        return self.material.stranger(self.part, item, self.seed)

    def possible(self, condition: Condition, item: Item) -> bool:
        return self._path(condition, item) is not None

    def sounds(self, condition: Condition, item: Item, *, trap: int = 0) -> tuple[Source, ...]:
        """One sound, or two in an order that is fixed at random for each stimulus."""
        path = self._path(condition, item)
        degraded = condition.kind == "anchor" and self.part == "mos"
        judged = Source(
            kind="trap" if trap else "anchor" if degraded else "plain",
            part=self.part,
            condition=condition.name,
            clip=item.label,
            path=path,
            detail=(trap,) if trap else (),
        )
        if not SCALES[self.part].pair:
            return (judged,)
        beside = self.material.counterpart(self.part, item, self.seed)
        other = Source("plain", self.part, COUNTERPART, item.label, beside)
        if trap:  # the message comes last, or it would be forgotten
            return (other, judged)
        coin = zlib.crc32(f"{self.seed}|{self.part}|{condition.name}|{item.label}".encode()) & 1
        return (judged, other) if coin else (other, judged)
