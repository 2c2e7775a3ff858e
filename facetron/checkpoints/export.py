"""Export: the trained parts of several stages in one small file for synthesis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facetron import systems
from facetron.checkpoints import borrowed, checkpoint
from facetron.checkpoints.checkpoint import CheckpointInfo
from facetron.systems import System
from manifests.errors import BadInput, SpecMismatch

STAGE = "export"


@dataclass(frozen=True)
class Exported:
    """An exported file.

    Attributes:
        info: header of the file.
        size_bytes: size of the file.
        origin: part → the checkpoint that it came from.
    """

    info: CheckpointInfo
    size_bytes: int
    origin: dict[str, Path]


def export(
    sources: Sequence[Path],
    out: Path,
    half: bool = True,
    note: str = "",
    share: Mapping[str, str] | None = None,
) -> Exported:
    """Writes one checkpoint with the parts of several; of two with the same part the later wins.

    Args:
        half: store weights as float16, half the size; synthesis computes in float32.
        note: a note kept in the file, such as the corpus.
        share: part → bundled weights that it is borrowed from instead of being stored.

    Raises:
        BadInput: a part that synthesis needs is in none of the sources, a weight overflows float16,
            or the sources are of different systems.
        SpecMismatch: the parts were trained on different mels, crops or splits: a speaker held out by
            one split may be seen by another, and "unseen" would mean nothing.
    """
    infos: dict[str, CheckpointInfo] = {}
    origin: dict[str, Path] = {}
    tensors: dict[str, Tensor] = {}
    speakers: set[str] = set()
    system = systems.get(checkpoint.read_info(sources[0]).system)
    for path in sources:
        info, values = checkpoint.load(path)
        info.require_system(system.name, path)
        speakers.update(info.speakers)  # also of parts that a later stage went on with
        for part in (part for part in system.parts if part in info.parts):
            for name in [name for name in tensors if name.startswith(f"{part}.")]:
                del tensors[name]
            tensors |= {n: v for n, v in values.items() if n.startswith(f"{part}.")}
            infos[part], origin[part] = info, path
    missing = [part for part in system.needed if part not in infos]
    if missing:
        raise BadInput(
            f"no checkpoint given with --from has a trained {', '.join(missing)}",
            "add the checkpoint of its stage",
        )
    _agree(infos, origin)
    if half:
        tensors = {name: _halved(name, value) for name, value in tensors.items()}
    info = _merged(system, infos, speakers, note)
    for part, name in (share or {}).items():
        if part not in system.parts:
            raise BadInput(
                f"{system.name} has no part {part}", f"share one of {', '.join(system.parts)}"
            )
        info = replace(
            info,
            parts=tuple(held for held in info.parts if held != part),
            borrowed={**info.borrowed, part: borrowed.lend(part, name, tensors)},
        )
        tensors = {n: v for n, v in tensors.items() if not n.startswith(f"{part}.")}
    out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(out, tensors, info)
    return Exported(info, out.stat().st_size, origin)


def _halved(name: str, value: Tensor) -> Tensor:
    if not value.is_floating_point():
        return value
    short = value.to(torch.float16)
    if not bool(torch.isfinite(short).all()):
        raise BadInput(f"{name} has values outside the range of float16", "export with --float32")
    return short


def _agree(infos: dict[str, CheckpointInfo], origin: dict[str, Path]) -> None:
    """Checks that mels, crops and splits are the same wherever a part was trained with them."""
    for what in ("mel", "crop", "split"):
        found = {
            value: origin[part] for part, info in infos.items() if (value := getattr(info, what))
        }
        if len(found) > 1:
            told = ", ".join(f"{path}: {value}" for value, path in sorted(found.items()))
            raise SpecMismatch(
                f"the sources were trained on different {what}s ({told})",
                "train every stage on the same build",
            )


def _merged(
    system: System, infos: dict[str, CheckpointInfo], speakers: set[str], note: str
) -> CheckpointInfo:
    parts = tuple(part for part in system.parts if part in infos)
    first = infos[system.needed[-1]]
    config: dict[str, Any] = dict(first.config)
    for part in parts:  # a section of the config has the name of the part that it shapes
        if part in infos[part].config:
            config[part] = infos[part].config[part]
    metrics = {
        f"{part}.{name}": value
        for part in parts
        for name, value in infos[part].record(part)["metrics"].items()
        if name.startswith("val_")
    }
    training: dict[str, Any] = {}
    for part in parts:
        record = infos[part].record(part)
        told = {name: record[name] for name in ("stage", "epoch", "revision")}
        training[part] = {**told, **record["training"]}
    if note:
        training["note"] = note
    # Those of the lip encoder's training, for which they are kept.
    said = [infos[part].sentences for part in ("lip", *parts) if part in infos]
    made = replace(
        first,
        stage=STAGE,
        config=config,
        parts=parts,
        speakers=tuple(sorted(speakers)),
        epoch=0,
        step=0,
        metrics=metrics,
        trained={part: infos[part].record(part) for part in parts},
        training=training,
        progress={},
        history=(),
        sentences=next(filter(None, said), ()),
    )
    made.model_config()  # the sections of different checkpoints must still fit together
    return made
