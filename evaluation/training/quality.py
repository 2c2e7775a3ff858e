"""Trains the quality network that the toolkit ships:

    facetron-eval train quality --real BUILD --synthetic BUILD --out FOLDER

where the builds are `gridprep build`s of real clips and of SynthGRID. Degrades and scores the clips
(`quality_data`; needs the extra `pesq`), trains for a fixed number of steps, judges the result on
what was left out (`quality_report`) and writes `quality.safetensors` and its cards. A killed
run goes on where it was: every batch is drawn from the seed and its step alone.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor

from evaluation.metrics.base import get_metric
from evaluation.models.quality_net import QualityNet, tensors_to_ship
from evaluation.models.quality_net_features import MEL
from evaluation.models.shipped import save_shipped
from evaluation.training.common import (
    UNSEEN,
    average_into,
    learning_rate,
    out_option,
    read_state,
    real_option,
    synthetic_option,
    threads_option,
    write_state,
)
from evaluation.training.quality_card import card
from evaluation.training.quality_data import Shard, build, gather, plan
from evaluation.training.quality_degradations import HELD_OUT
from evaluation.training.quality_report import agreement, judge, predictions, table
from manifests.console import Progress
from manifests.io import write_text
from manifests.outputs import Command

STATE = "training.pt"


@dataclass(frozen=True)
class QualityTrainingOptions:
    """
    Attributes:
        steps, batch: optimizer steps and clips in each.
        learning_rate: at its highest, after `warm_up` of all steps; a half cosine follows.
        weight_decay: of AdamW.
        crop_frames: of 10 ms, cut at random from every clip.
        average: share of the running mean of the weights that a step keeps; the mean is shipped.
        save_every: steps between two saved states.
        seed: of the first weights and of every batch.
    """

    steps: int = 2200
    batch: int = 32
    learning_rate: float = 2e-3
    warm_up: float = 0.08
    weight_decay: float = 0.01
    crop_frames: int = 256
    average: float = 0.995
    save_every: int = 200
    seed: int = 0


def batch_of(data: Shard, step: int, options: QualityTrainingOptions) -> tuple[Tensor, Tensor]:
    """(mels (B, 48, crop_frames), MOS-LQO (B,)) of one step; every clip once an epoch."""
    per_epoch = len(data.items) // options.batch
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng([options.seed, epoch]).permutation(len(data.items))
    chosen = order[place * options.batch : (place + 1) * options.batch]
    rng = np.random.default_rng([options.seed, epoch, place])
    width = min(options.crop_frames, data.mels.shape[-1])
    starts = rng.integers(0, data.mels.shape[-1] - width + 1, len(chosen))
    mels = np.stack(
        [data.mels[i, :, start : start + width] for i, start in zip(chosen, starts, strict=True)]
    )
    return torch.from_numpy(mels.astype(np.float32)), torch.from_numpy(data.mos[chosen])


def train(
    data: Shard, val: Shard, out: Path, options: QualityTrainingOptions = QualityTrainingOptions()
) -> QualityNet:
    """The averaged network after all steps, resumed from `out` where it was interrupted."""
    torch.manual_seed(options.seed)
    # bfloat16 and this layout train 2.7 times as fast on one core; weights stay in float32.
    network = QualityNet()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
    )
    first = 0
    path = out / STATE
    if stored := read_state(path):
        network.load_state_dict(stored["network"])
        mean.load_state_dict(stored["mean"])
        optimizer.load_state_dict(stored["optimizer"])
        first = int(stored["step"])
    with Progress(options.steps - first, "train", "step") as bar:
        for step in range(first, options.steps):
            # Dropout too is decided by the step, so that a resumed run is the same run.
            torch.manual_seed(options.seed * 1_000_003 + step)
            network.train()
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(
                    options.learning_rate, step, options.steps, options.warm_up
                )
            mels, mos = batch_of(data, step, options)
            with torch.autocast("cpu", torch.bfloat16):
                found = network(mels)
            loss = torch.nn.functional.smooth_l1_loss(found.float(), mos, beta=0.5)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
            optimizer.step()
            average_into(mean, network, min(options.average, (1 + step) / (10 + step)))
            bar.update(1, loss=round(loss.item(), 3))
            if (step + 1) % options.save_every == 0 or step + 1 == options.steps:
                state = {
                    "network": network.state_dict(),
                    "mean": mean.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step + 1,
                }
                write_state(path, state)
                on_val = agreement(predictions(mean, val.mels), val.mos)
                click.echo(
                    f"step {step + 1}: val Pearson {on_val['pearson']}, RMSE {on_val['rmse']}",
                    err=True,
                )
    mean.eval()
    return mean


@click.command(cls=Command)
@real_option
@synthetic_option
@out_option
@threads_option
def main(real: Path, synthetic: Path, out: Path, threads: int) -> None:
    """Train the quality network: OUT/quality.safetensors, .json and .md."""
    get_metric("pesq_wb").require()
    torch.set_num_threads(threads)
    shards = build(plan(real, synthetic), out)
    options = QualityTrainingOptions()
    learnt = gather(shards, "train")
    network = train(learnt, gather(shards, "val"), out, options)
    # What is judged is what is shipped: weights in half precision.
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.copy_(value.half())
    results = judge(network, shards)
    about = {"predicts": "PESQ wb MOS-LQO without a reference", "mel": MEL.fingerprint()}
    facts = {
        **about,
        "options": asdict(options),
        "held_out_speakers": UNSEEN,
        "held_out_families": HELD_OUT,
        "results": results,
    }
    path = out / "quality.safetensors"
    sha256 = save_shipped(path, tensors_to_ship(network), about, facts)
    n_parameters = sum(value.numel() for value in network.parameters())
    write_text(path.with_suffix(".md"), card(results, learnt.items, n_parameters, sha256))
    click.echo(table(results))
