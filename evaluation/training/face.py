"""Trains the face encoder: `facetron-eval train face --synthetic BUILD --out DIR`.

Classes are the speakers that the large-unseen split trains on. The loss is the cross-entropy of cosines
to a center a class, and beside it the squared error of a linear reading of SynthGRID's law, without
which the embeddings of speakers that were never seen would say nothing. The regressions are fitted on
the same speakers afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from evaluation.models.face import (
    LAW,
    WEIGHTS,
    FaceJudge,
    FaceNetwork,
    Size,
    about,
    load_face,
    prepared,
)
from evaluation.models.shipped import open_shipped, save_shipped
from evaluation.training.common import (
    UNSEEN,
    average_into,
    learning_rate,
    measure_only_option,
    out_option,
    seed_option,
    steps_option,
    synthetic_option,
    write_card,
)
from evaluation.training.face_bank import VIEWS, Face, Rows, read_faces, read_rows, varied
from evaluation.training.face_report import card_text, measure
from manifests.console import Progress
from manifests.outputs import Command

PENALTY = 1.0
"""Of both regressions: C of the logistic one, and the ridge's weight on n observations."""


@dataclass(frozen=True)
class Recipe:
    """
    Attributes:
        steps, batch, rate, weight_decay: of AdamW, the rate rising and falling once.
        scale: of the cosines.
        law: weight of the law's squared error, whose truth has variance 1.
        averaging: share of the averaged weights kept at a step.
        seed: of everything.
    """

    steps: int = 240
    batch: int = 58
    rate: float = 3e-3
    weight_decay: float = 1e-2
    scale: float = 16.0
    law: float = 2.0
    averaging: float = 0.97
    seed: int = 0


def train(faces: Sequence[Face], size: Size, recipe: Recipe) -> FaceNetwork:
    """The network, trained on these clips."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    speakers = sorted({face.speaker for face in faces})
    of_speaker = [[face for face in faces if face.speaker == name] for name in speakers]
    law = np.stack([clips[0].law for clips in of_speaker])
    law = (law - law.mean(axis=0)) / law.std(axis=0)
    network, averaged = FaceNetwork(size), FaceNetwork(size)
    averaged.load_state_dict(network.state_dict())
    centers = nn.Parameter(torch.randn(len(speakers), size.embedding) * 0.05)
    reading = nn.Linear(size.embedding, len(LAW))
    parameters = [*network.parameters(), centers, *reading.parameters()]
    optimizer = torch.optim.AdamW(parameters, recipe.rate, weight_decay=recipe.weight_decay)
    recent: list[float] = []
    with Progress(recipe.steps, f"train on {len(speakers)} speakers") as bar:
        for step in range(recipe.steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe.rate, step, recipe.steps)
            drawn = _balanced(len(speakers), recipe.batch, rng)
            pictures = [_drawn(of_speaker[i], rng) for i in drawn]
            found = network(prepared(pictures))
            truth = torch.from_numpy(drawn)
            cosines = found @ nn.functional.normalize(centers).T
            who = nn.functional.cross_entropy(recipe.scale * cosines, truth, label_smoothing=0.05)
            wanted = torch.from_numpy(law[drawn].astype(np.float32))
            said = nn.functional.mse_loss(reading(found), wanted)
            loss = who + recipe.law * said
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
            average_into(averaged, network, min(recipe.averaging, (1 + step) / (10 + step)))
            recent.append(float((cosines.argmax(1) == truth).float().mean()))
            told = {"loss": loss.item(), "law": said.item(), "right": float(np.mean(recent[-50:]))}
            bar.update(1, **{name: round(value, 3) for name, value in told.items()})
    return averaged.eval()


def _balanced(classes: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(count,) classes, each as often as any other, give or take one."""
    rounds = [rng.permutation(classes) for _ in range(-(-count // classes))]
    return np.asarray(np.concatenate(rounds)[:count])


def _drawn(clips: Sequence[Face], rng: np.random.Generator) -> NDArray[np.uint8]:
    stills = clips[int(rng.integers(len(clips)))].stills
    return varied(stills[int(rng.integers(len(stills)))], rng)


def fit(network: FaceNetwork, faces: Sequence[Face], seed: int) -> dict[str, NDArray[np.float32]]:
    """The numbers of the regressions, every speaker weighing the same."""
    from sklearn.linear_model import LogisticRegression, Ridge

    rng = np.random.default_rng(seed)
    judge = FaceJudge(network, {})
    seen = [
        judge.embed(
            [*face.stills, *(varied(face.stills[i % len(face.stills)], rng) for i in range(VIEWS))]
        )
        for face in faces
    ]
    clip = np.repeat(np.arange(len(faces)), [len(part) for part in seen])
    table = np.concatenate(seen)
    counts = {name: sum(f.speaker == name for f in faces) for name in {f.speaker for f in faces}}
    shown = [faces[int(i)] for i in clip]
    weight = np.array([1 / counts[face.speaker] for face in shown])
    weight *= len(weight) / weight.sum()
    female = np.array([face.gender == "female" for face in shown])
    told = LogisticRegression(C=PENALTY, max_iter=1000).fit(table, female, sample_weight=weight)
    truth = np.stack([face.law for face in shown])
    ridge = Ridge(alpha=PENALTY).fit(table, truth, sample_weight=weight)
    return {
        "gender.weight": told.coef_.astype(np.float32),
        "gender.bias": told.intercept_.astype(np.float32),
        "law.weight": ridge.coef_.astype(np.float32),
        "law.bias": ridge.intercept_.astype(np.float32),
    }


def save(
    path: Path,
    network: FaceNetwork,
    numbers: dict[str, NDArray[np.float32]],
    size: Size,
    recipe: Recipe,
    faces: Sequence[Face],
) -> None:
    """Weights and the part of their card that training knows."""
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    card = {
        "trained_on": sorted({face.speaker for face in faces}),
        "clips": len(faces),
        "recipe": asdict(recipe),
    }
    save_shipped(path, {**tensors, **numbers}, about(size), card)


def describe(path: Path, build: Path, rows: Rows, real: Path | None) -> str:
    """Measures weights as they are shipped and completes their card; returns its text."""
    judge = load_face(path)
    card: dict[str, Any] = {
        **open_shipped(path).card,
        "parameters": sum(p.numel() for p in judge.network.parameters()),
        "embedding": judge.network.project.out_features,
        "left_out": list(UNSEEN),
        "told": measure(judge, build, rows, real),
    }
    return write_card(path, card, card_text(card))


@click.command(cls=Command)
@synthetic_option
@click.option(
    "--real", type=click.Path(path_type=Path), help="A build of GRID, to measure on besides."
)
@out_option
@steps_option(Recipe.steps)
@seed_option
@measure_only_option
def main(
    synthetic: Path, real: Path | None, out: Path, steps: int, seed: int, measure_only: bool
) -> None:
    """Train the face encoder and measure it: OUT/face.safetensors, .json and .md."""
    torch.set_num_threads(1)
    size, recipe = Size(), Recipe(steps=steps, seed=seed)
    rows = read_rows(synthetic, UNSEEN)
    path = out / WEIGHTS.name
    if not measure_only:
        faces = read_faces(synthetic, rows.learnt)
        network = train(faces, size, recipe)
        save(path, network, fit(network, faces, seed), size, recipe, faces)
    click.echo(describe(path, synthetic, rows, real))
