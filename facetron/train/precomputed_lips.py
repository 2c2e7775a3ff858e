"""Outputs of a frozen lip encoder for all clips, computed once before an epoch instead of in each
step.

The lip encoder is frozen while the rest learns (IV-A: it "is trained beforehand"), so what it reads
of a clip changes only with how the clip is varied. On a CPU it costs as much as all the rest of a
decoder's step.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.utils.data import Sampler

from facetron.train.batches import loader, to_model
from facetron.train.dataset import ClipDataset, varied_batch
from facetron.train.readings import Readings
from manifests.console import Progress
from manifests.errors import ToolkitError

CLIPS_AT_ONCE = 16


class _Walk(Sampler[list[tuple[int, int]]]):
    """Batches of (variant, clip), of which this process reads every `world`-th."""

    def __init__(self, clips: int, variants: int, rank: int, world: int) -> None:
        keys = [(variant, number) for number in range(clips) for variant in range(variants)]
        cut = [keys[i : i + CLIPS_AT_ONCE] for i in range(0, len(keys), CLIPS_AT_ONCE)]
        self.batches = cut[rank::world]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return iter(self.batches)


@torch.no_grad()
def lip_readings(
    lip: nn.Module,
    clips: ClipDataset,
    variants: int,
    fabric: Fabric,
    path: Path,
    workers: int = 0,
) -> Readings:
    """Lip embeddings of all clips, (clips, variants, T, E) with T of the longest clip. Processes that train
    together read a share each, and all see all.

    Args:
        lip: on any device; read in evaluation mode and left in it.
        clips: with lips; variant k is what they give for epoch k.
        variants: how many ways each clip is varied.
        path: file to write, which processes that train together share.
        workers: processes that read clips, of each process that trains.

    Raises:
        ToolkitError: the disk has no room for it.
    """
    lip.eval().to(fabric.device)
    frames = max(row.video_frames for row in clips.rows)
    size: int = lip.embedding_size  # type: ignore[assignment]
    shape = (len(clips), variants, frames, size)
    if fabric.is_global_zero:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            np.memmap(path, np.float16, "w+", shape=shape).flush()
        except OSError as error:
            raise ToolkitError(f"{path} cannot be written ({error})", "free space") from None
    fabric.barrier()
    into = np.memmap(path, np.float16, "r+", shape=shape)
    walk = _Walk(len(clips), variants, fabric.global_rank, fabric.world_size)
    numbers = {row.clip_id: number for number, row in enumerate(clips.rows)}
    batches = loader(clips, walk, workers, keep=False)
    with Progress(sum(map(len, walk.batches)), "reading lips", "clip") as bar:
        for keys, batch in zip(walk.batches, batches, strict=True):
            lips = varied_batch({k: v for k, v in batch.items() if "lips" in k}, fabric.device)
            with fabric.autocast():
                read = lip(to_model(lips["lips"]), batch["lengths"]).embedding
            values = read[:, :frames].to("cpu", torch.float16).numpy()
            for (variant, number), clip, value in zip(keys, batch["clips"], values, strict=True):
                assert numbers[clip] == number
                into[number, variant, : len(value)] = value
            bar.update(len(keys))
    into.flush()
    fabric.barrier()
    return Readings(path, shape)
