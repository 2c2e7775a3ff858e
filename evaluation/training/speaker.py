"""Trains the speaker network: `facetron-eval train speaker --real BUILD --synthetic BUILD --out DIR`.

Classes are speakers (at several speeds, `speaker_bank`); the loss is the additive angular margin of
Deng et al., "ArcFace", CVPR 2019. Speakers that the large-unseen split holds out are not heard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluation.models.ecapa import PARAMETERS, WEIGHTS, Size, build, load_ecapa, normalized
from evaluation.models.shipped import open_shipped, save_shipped
from evaluation.training.common import (
    UNSEEN,
    measure_only_option,
    out_option,
    real_option,
    seed_option,
    steps_option,
    synthetic_option,
    threads_option,
    write_card,
)
from evaluation.training.speaker_bank import (
    HARMS,
    HELD_OUT_CLIPS,
    REAL_SPEEDS,
    SYNTHETIC_SPEEDS,
    Build,
    Voice,
    read_build,
    voices,
)
from evaluation.training.speaker_report import card_text, clips_per_second, measure
from manifests.console import Progress
from manifests.outputs import Command

USE = (
    "similarity, identification and EER of speech in GRID's manner: short sentences read in a quiet "
    "room, in English; it was tried on nothing else",
    "speakers are known by their recordings in the run, so it need not have heard them",
    "few real speakers were heard: read every number beside that of the recordings",
)


@dataclass(frozen=True)
class Recipe:
    """
    Attributes:
        steps, batch, learning_rate, weight_decay: of AdamW, the rate rising and falling once.
        margin_rad, scale: of the loss; the margin grows over the first third.
        crop_frames: least and most, drawn for every batch, 10 ms each.
        real_share: of a batch.
        seed: of everything.
    """

    steps: int = 480
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    margin_rad: float = 0.2
    scale: float = 20.0
    crop_frames: tuple[int, int] = (100, 200)
    real_share: float = 0.55
    seed: int = 0


class AngularMargin(nn.Module):
    """Cross-entropy of cosines to a center a class, the right one's angle made larger."""

    def __init__(self, embedding: int, classes: int, scale: float) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.randn(classes, embedding) * 0.05)
        self.scale = scale

    def forward(self, found: Tensor, truth: Tensor, margin_rad: float) -> tuple[Tensor, Tensor]:
        """(B, embedding), (B,) → loss (), share recognized ()."""
        unit = nn.functional.normalize(self.centers)
        cosines = nn.functional.normalize(found) @ unit.T
        angle = torch.acos(cosines.clamp(-1 + 1e-6, 1 - 1e-6))
        harder = torch.cos((angle + margin_rad).clamp(max=math.pi))
        right = nn.functional.one_hot(truth, len(unit)).bool()
        loss = nn.functional.cross_entropy(
            self.scale * torch.where(right, harder, cosines), truth, label_smoothing=0.05
        )
        return loss, (cosines.argmax(1) == truth).float().mean()


def crop(mel: NDArray[np.float32], frames: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(T, 80) → (frames, 80): a random stretch, short mels repeated; a few bands and frames blank."""
    if len(mel) < frames:
        mel = np.tile(mel, (-(-frames // len(mel)), 1))
    start = rng.integers(0, len(mel) - frames + 1)
    cut = normalized(mel[start : start + frames])
    if rng.random() < 0.4:
        band = rng.integers(0, cut.shape[1] - 10)
        cut[:, band : band + rng.integers(1, 10)] = 0
    if rng.random() < 0.4:
        at = rng.integers(0, frames - 15)
        cut[at : at + rng.integers(1, 15)] = 0
    return cut


def shares(heard: Sequence[Voice], real_share: float) -> NDArray[np.float64]:
    """Returns how often each voice is drawn: all speakers equally, half of a speaker's crops at
    their own speed."""
    weight = np.zeros(len(heard))
    for origin, part in (("real", real_share), ("synthetic", 1 - real_share)):
        mine = [i for i, voice in enumerate(heard) if voice.speaker.startswith(origin)]
        for i in mine:
            same = [j for j in mine if heard[j].speaker == heard[i].speaker]
            own = 0.5 if heard[i].speed == 1.0 else 0.5 / max(len(same) - 1, 1)
            weight[i] = part * own * len(same) / len(mine)
    return np.asarray(weight / weight.sum())


def train(heard: Sequence[Voice], size: Size, recipe: Recipe) -> nn.Module:
    """The network, trained."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    network = build(size).train()
    loss_of = AngularMargin(size.embedding, len(heard), recipe.scale)
    parameters = [*network.parameters(), *loss_of.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.steps, pct_start=0.2
    )
    drawn_as = shares(heard, recipe.real_share)
    recent: list[float] = []
    with Progress(recipe.steps, f"train on {len(heard)} voices") as bar:
        for step in range(recipe.steps):
            frames = int(rng.integers(*recipe.crop_frames, endpoint=True))
            chosen = rng.choice(len(heard), recipe.batch, p=drawn_as)
            crops = [
                crop(heard[i].mels[rng.integers(len(heard[i].mels))], frames, rng) for i in chosen
            ]
            margin = recipe.margin_rad * min(1.0, 3 * step / recipe.steps)
            found = network(torch.from_numpy(np.stack(crops))).squeeze(1)
            loss, right = loss_of(found, torch.from_numpy(chosen), margin)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
            schedule.step()
            recent.append(float(right))
            bar.update(1, loss=round(float(loss), 3), right=round(float(np.mean(recent[-100:])), 3))
    return network.eval()


def save(
    path: Path, network: nn.Module, size: Size, recipe: Recipe, heard: Sequence[Voice]
) -> None:
    """Weights and the part of their card that training knows."""
    speakers = sorted({voice.speaker for voice in heard})
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    about = {"network": "speechbrain ECAPA_TDNN", "size": asdict(size), "features": PARAMETERS}
    save_shipped(path, tensors, about, {"trained_on": speakers, "recipe": asdict(recipe)})


def describe(path: Path, real: Build, synthetic: Build) -> str:
    """Measures weights as they are shipped and completes their card; returns its text."""
    shipped, network = open_shipped(path), load_ecapa(path)
    heard = [
        f"{len(build.learnt)} speakers of {name}, "
        + ", ".join(f"{speaker} {len(rows)}" for speaker, rows in build.learnt.items())
        + f" clips, each at {len(speeds)} speeds, and each speed as a speaker of its own"
        for name, build, speeds in (
            ("GRID (CC BY 4.0)", real, REAL_SPEEDS),
            ("SynthGRID (espeak-ng)", synthetic, SYNTHETIC_SPEEDS),
        )
    ]
    heard.append(
        f"two thirds of it harmed by one or two of {', '.join(HARMS)}; crops of 1 to 2 s, each band's "
        "mean taken off"
    )
    card = {
        **shipped.card,
        "parameters": sum(p.numel() for p in network.network.parameters()),
        "embedding": shipped.metadata["size"]["embedding"],
        "heard": heard,
        "left_out": [
            f"{', '.join(UNSEEN)} of both corpora: the speakers that the large-unseen protocol keeps "
            "from every model",
            f"of every other speaker the clips outside the build's train subset, and {HELD_OUT_CLIPS}",
        ],
        "use": list(USE),
        "told": measure(network, real, synthetic, UNSEEN),
        "clips_per_s": clips_per_second(network, real),
    }
    return write_card(path, card, card_text(card))


@click.command(cls=Command)
@real_option
@synthetic_option
@out_option
@steps_option(Recipe.steps)
@threads_option
@seed_option
@measure_only_option
def main(
    real: Path, synthetic: Path, out: Path, steps: int, threads: int, seed: int, measure_only: bool
) -> None:
    """Train the speaker network and measure it: OUT/speaker.safetensors, .json and .md."""
    torch.set_num_threads(threads)
    size, recipe = Size(), Recipe(steps=steps, seed=seed)
    builds = read_build(real, UNSEEN), read_build(synthetic, UNSEEN)
    path = out / WEIGHTS.name
    if not measure_only:
        rng = np.random.default_rng(recipe.seed)
        bank = voices(builds[0], "real", REAL_SPEEDS, rng)
        bank += voices(builds[1], "synthetic", SYNTHETIC_SPEEDS, rng)
        save(path, train(bank, size, recipe), size, recipe, bank)
    click.echo(describe(path, *builds))
