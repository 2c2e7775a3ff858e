"""Fits the matcher of voices and faces: `facetron-eval train match --synthetic BUILD --out DIR`.

Both sides are ridge regressions on the truth of SynthGRID's list of speakers. Maps that were trained to
bring a speaker's voice and face together (symmetric cross-entropy over 29 speakers) found voices of speakers
left out less well: 90.6 % of two and 77.1 % of four, where these find 95.7 % and 87.1 %.
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

from evaluation.inputs.pairs import Recording
from evaluation.models.face import load_face
from evaluation.models.match import (
    WEIGHTS,
    Matcher,
    k_way,
    load_match,
    nearness,
    voice_features,
)
from evaluation.models.shipped import open_shipped, save_shipped
from evaluation.training.common import UNSEEN, out_option, seed_option, synthetic_option, write_card
from evaluation.training.face_bank import VIEWS, Face, Rows, read_faces, read_rows, varied
from manifests.console import Progress
from manifests.outputs import Command
from manifests.records import ManifestRow

CLIPS = 12
"""Of a speaker at most."""
LEAST_SCALE = 1e-3
"""Inputs that hardly vary are not blown up beyond this."""


@dataclass(frozen=True)
class Recipe:
    """
    Attributes:
        voice_penalty, face_penalty: of the ridge regressions, on standardized inputs.
        seed: of the varied pictures.
    """

    voice_penalty: float = 10.0
    face_penalty: float = 10.0
    seed: int = 0


@dataclass(frozen=True)
class Person:
    """A speaker's voices and faces.

    Attributes:
        voices: (n, V) of `voice_features`.
        faces: (m, E) embeddings of stills and of varied ones.
        law: (2,) `LAW` of the speaker.
    """

    speaker: str
    gender: str
    law: NDArray[np.float64]
    voices: NDArray[np.float64]
    faces: NDArray[np.float64]


def read_people(build: Path, rows: Sequence[ManifestRow], seed: int, views: int) -> list[Person]:
    """The speakers of these rows, `CLIPS` clips of each at most.

    Args:
        views: varied pictures of a clip beside its stills.
    """
    rng = np.random.default_rng(seed)
    kept: dict[str, list[ManifestRow]] = {}
    for row in rows:
        kept.setdefault(row.speaker, []).append(row)
    people = []
    with Progress(len(kept), "speakers heard and seen") as bar:
        for speaker, mine in kept.items():
            mine = mine[:CLIPS]
            voices = [voice_features(Recording(build / row.paths["audio"])) for row in mine]
            clips = read_faces(build, mine, progress=False)
            faces = np.concatenate([_seen(face, rng, views) for face in clips])
            people.append(Person(speaker, mine[0].gender, clips[0].law, np.stack(voices), faces))
            bar.update(1)
    return people


def _seen(face: Face, rng: np.random.Generator, views: int) -> NDArray[np.float64]:
    pictures = [*face.stills, *(varied(face.stills[0], rng) for _ in range(views))]
    return load_face().embed(pictures)


def fit(people: Sequence[Person], recipe: Recipe) -> dict[str, NDArray[np.float32]]:
    """The numbers of a `Matcher`."""
    from sklearn.linear_model import Ridge

    law = np.stack([person.law for person in people])
    law = (law - law.mean(axis=0)) / law.std(axis=0)
    numbers: dict[str, NDArray[np.float32]] = {}
    for side, penalty, tables in (
        ("voice", recipe.voice_penalty, [person.voices for person in people]),
        ("face", recipe.face_penalty, [person.faces for person in people]),
    ):
        whole = np.concatenate(tables)
        truth = np.repeat(law, [len(table) for table in tables], axis=0)
        mean, scale = whole.mean(axis=0), np.maximum(whole.std(axis=0), LEAST_SCALE)
        ridge = Ridge(alpha=penalty).fit((whole - mean) / scale, truth)
        for name, values in (
            ("mean", mean), ("scale", scale), ("weight", ridge.coef_), ("bias", ridge.intercept_),
        ):  # fmt: skip
            numbers[f"{side}.{name}"] = np.asarray(values, np.float32)
    return numbers


def accuracy(
    matcher: Matcher, people: Sequence[Person], k: int, same_gender: bool = False
) -> float:
    """Percentage of draws in which a face finds its voice among K.

    Args:
        same_gender: the other voices are of the face's gender.
    """
    voices = {p.speaker: matcher.voices(p.voices) for p in people}
    found = []
    for person in people:
        rivals = [p for p in people if not same_gender or p.gender == person.gender]
        for code in matcher.faces(person.faces):
            others = [
                nearness(voices[p.speaker], code) for p in rivals if p.speaker != person.speaker
            ]
            own = nearness(voices[person.speaker], code)
            found += [100 * k_way(float(value), others, k) for value in own]
    return round(float(np.mean(found)), 1)


FOLDS = 7
"""Groups of training speakers, each left out in turn: what the recipe was chosen by."""


def left_out(people: Sequence[Person], recipe: Recipe) -> dict[str, float]:
    """K-way accuracies of training speakers who were left out, four or five at a time."""
    order = np.random.default_rng(0).permutation(len(people))
    found: dict[str, list[float]] = {"2-way": [], "4-way": [], "2-way within a gender": []}
    for fold in range(FOLDS):
        out = [people[i] for i in order[fold::FOLDS]]
        rest = [people[i] for k, i in enumerate(order) if k % FOLDS != fold]
        matcher = Matcher({k: v.astype(np.float64) for k, v in fit(rest, recipe).items()})
        found["2-way"].append(accuracy(matcher, out, 2))
        found["4-way"].append(accuracy(matcher, out, 4))
        genders = [person.gender for person in out]
        if min(map(genders.count, genders)) > 1:
            found["2-way within a gender"].append(accuracy(matcher, out, 2, same_gender=True))
    return {name: round(float(np.mean(values)), 1) for name, values in found.items() if values}


def describe(path: Path, build: Path, rows: Rows, people: Sequence[Person], recipe: Recipe) -> str:
    """Measures weights as they are shipped and completes their card; returns its text."""
    matcher = load_match(path)
    told: dict[str, dict[str, float]] = {
        "training speakers left out in turn": left_out(people, recipe)
    }
    for name, part, ks in (
        ("speakers learned from, other clips", rows.new_clips, (2, 4, 10)),
        (f"speakers never heard or seen ({', '.join(UNSEEN)})", rows.unseen, (2, 4)),
    ):
        others = read_people(build, part, seed=1, views=0)
        told[name] = {
            **{f"{k}-way": accuracy(matcher, others, k) for k in ks if k <= len(others)},
            "2-way within a gender": accuracy(matcher, others, 2, same_gender=True),
        }
    card: dict[str, Any] = {
        **open_shipped(path).card, "left_out": list(UNSEEN), "told_percent": told,
    }  # fmt: skip
    return write_card(path, card, card_text(card))


def card_text(card: dict[str, Any]) -> str:
    """The card for people."""
    heads = ("2-way", "4-way", "10-way", "2-way within a gender")
    lines = [
        "# match.safetensors: whether a voice and a face are one person's",
        "",
        "Two ridge regressions that say pitch and vocal tract, as SynthGRID's rule connects them: of a "
        "voice, by the speaker network's embedding and the mean spectrum, and of a face, by the face "
        "encoder's embedding. The nearer the two, the better the match. Fitted by `facetron-eval train "
        f"match`; sha256 `{card['sha256']}`.",
        "",
        "## Learned from",
        f"- SynthGRID, {len(card['trained_on'])} speakers, up to {CLIPS} clips of each, stills as they are "
        "and varied",
        f"- not from {', '.join(card['left_out'])}",
        "",
        "## Faces that find their voice, in percent of draws",
        "",
        f"| speakers | {' | '.join(heads)} |",
        f"|---|{'---:|' * len(heads)}",
        *(
            f"| {name} | " + " | ".join(str(found.get(head, "–")) for head in heads) + " |"
            for name, found in card["told_percent"].items()
        ),
        "| chance | 50 | 25 | 10 | 50 |",
        "",
        "## Use",
        "- pictures of SynthGRID's speakers, read beside the same number of the real stills",
        "- it learned SynthGRID's rule, by which a face tells the pitch and the vocal tract; of real faces "
        "it knows nothing",
        "",
    ]
    return "\n".join(lines)


@click.command(cls=Command)
@synthetic_option
@out_option
@seed_option
def main(synthetic: Path, out: Path, seed: int) -> None:
    """Fit the matcher of voices and faces and measure it: OUT/match.safetensors, .json and .md."""
    torch.set_num_threads(1)
    recipe = Recipe(seed=seed)
    rows = read_rows(synthetic, UNSEEN)
    people = read_people(synthetic, rows.learnt, seed, VIEWS)
    path = out / WEIGHTS.name
    card = {"trained_on": [person.speaker for person in people], "recipe": asdict(recipe)}
    save_shipped(path, dict(fit(people, recipe)), {"maps": ["voice", "face"]}, card)
    click.echo(describe(path, synthetic, rows, people, recipe))
