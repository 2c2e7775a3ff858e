"""What a frozen lip encoder reads of every clip, taken once before an epoch instead of in each.

The lip encoder is frozen while the rest learns (IV-A: it "is trained beforehand"), so what it reads
of a clip changes only with how the clip is varied. On a CPU it costs as much as all the rest of a
decoder's step.
"""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from facetron.train.batches import to_model
from facetron.train.dataset import ClipDataset, collate
from manifests.console import Progress

CLIPS_AT_ONCE = 16


@torch.no_grad()
def lip_readings(lip: nn.Module, clips: ClipDataset, variants: int, fabric: Fabric) -> Tensor:
    """Lip embeddings of all clips.

    Args:
        lip: on any device; read in evaluation mode and left in it.
        clips: with lips; variant k is what they give for epoch k.
        variants: how many ways each clip is varied.

    Returns:
        (clips, variants, T, E) float16 in the machine's memory, T of the longest clip.
    """
    lip.eval().to(fabric.device)
    keys = [(variant, number) for number in range(len(clips)) for variant in range(variants)]
    rows: list[Tensor] = []
    with Progress(len(keys), "reading lips", "clip") as bar:
        for start in range(0, len(keys), CLIPS_AT_ONCE):
            batch = collate([clips[key] for key in keys[start : start + CLIPS_AT_ONCE]])
            with fabric.autocast():
                read = lip(to_model(batch["lips"].to(fabric.device))).embedding
            rows.append(read.to("cpu", torch.float16))
            bar.update(len(read))
    longest = max(row.shape[1] for row in rows)
    read = torch.cat([functional.pad(row, (0, 0, 0, longest - row.shape[1])) for row in rows])
    return read.reshape(len(clips), variants, *read.shape[1:])
