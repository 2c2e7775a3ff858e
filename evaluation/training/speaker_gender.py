"""Fits the gender classifier: `facetron-eval train gender --real BUILD --synthetic BUILD --out DIR`.

A classifier that has heard a speaker knows the speaker, not the gender, so every accuracy here is of
speakers left out: one at a time among the real ones, and those of the large-unseen split for good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.inputs.pitch import track_f0
from evaluation.models.ecapa import active_mel, load_ecapa
from evaluation.models.gender import WEIGHTS, Kind, features, probability
from evaluation.models.shipped import save_shipped
from evaluation.training.common import UNSEEN, out_option, real_option, synthetic_option
from evaluation.training.speaker_bank import Build, read_build
from manifests.console import Progress
from manifests.io import write_text
from manifests.outputs import Command

REAL_CLIPS, SYNTHETIC_CLIPS = 24, 8
"""Largest number of clips of one speaker."""
KINDS: tuple[Kind, ...] = ("voice", "f0")
PENALTY, PITCH_GAIN = 1.0, 3.0
"""C of the regression, and how much less pitch is held small than each of the embedding's numbers.
Left to itself the embedding of 96 outvotes pitch, the surer witness. Of C 0.01 to 1 and gains 1 to 10
these had the least log-loss on degraded clips of the heard real speakers, each left out in turn."""


@dataclass(frozen=True)
class Sample:
    """One recording.

    Attributes:
        origin: `real` or `synthetic`.
        f0_hz: (T,) of `track_f0`.
        embedding: (E,).
    """

    origin: str
    speaker: str
    gender: str
    f0_hz: NDArray[np.float64]
    embedding: NDArray[np.float64]

    def features(self, kind: Kind) -> NDArray[np.float64]:
        return features(self.f0_hz, self.embedding, kind)


def listen(build: Build, origin: str, most: int) -> list[Sample]:
    """Up to `most` clips of every speaker, drawn by a fixed seed."""
    samples = []
    network = load_ecapa()
    speakers = sorted({*build.learnt, *build.held_out})
    with Progress(len(speakers), f"{origin} speakers") as bar:
        for speaker in speakers:
            rows = [*build.learnt.get(speaker, ()), *build.held_out.get(speaker, ())]
            order = np.random.default_rng(1).permutation(len(rows))[:most]
            for row in (rows[i] for i in order):
                sound = build.sound(row)
                voice = network.embed([active_mel(sound)])[0]
                samples.append(Sample(origin, speaker, row.gender, track_f0(sound), voice))
            bar.update(1)
    return samples


def fit(samples: Sequence[Sample], kind: Kind) -> dict[str, NDArray[np.float32]]:
    """Numbers for `probability`. Speakers weigh the same within origin and gender, and so do these."""
    from sklearn.linear_model import LogisticRegression

    table = np.stack([sample.features(kind) for sample in samples])
    mean, scale = table.mean(axis=0), table.std(axis=0)
    scale[1:] *= PITCH_GAIN
    truth = [sample.gender == "female" for sample in samples]
    model = LogisticRegression(C=PENALTY, max_iter=1000)
    model.fit((table - mean) / scale, truth, sample_weight=weights(samples))
    found = {"mean": mean, "scale": scale, "weight": model.coef_[0], "bias": model.intercept_}
    return {f"{kind}.{name}": value.astype(np.float32) for name, value in found.items()}


def weights(samples: Sequence[Sample]) -> NDArray[np.float64]:
    """(n,) with mean 1."""
    clips: dict[tuple[str, str], int] = {}
    speakers: dict[tuple[str, str], set[str]] = {}
    for s in samples:
        clips[s.origin, s.speaker] = clips.get((s.origin, s.speaker), 0) + 1
        speakers.setdefault((s.origin, s.gender), set()).add(s.speaker)
    found = [1 / clips[s.origin, s.speaker] / len(speakers[s.origin, s.gender]) for s in samples]
    return np.array(found) * len(samples) / sum(found)


def accuracies(
    numbers: dict[str, NDArray[Any]], samples: Sequence[Sample], kind: Kind
) -> dict[str, float]:
    """Speaker → share of right clips."""
    right: dict[str, list[bool]] = {}
    for s in samples:
        female = probability(s.features(kind), numbers, kind) > 0.5
        right.setdefault(s.speaker, []).append(female == (s.gender == "female"))
    return {speaker: float(np.mean(found)) for speaker, found in right.items()}


def balanced_percent(shares: dict[str, float], samples: Sequence[Sample]) -> float:
    """Mean over the genders of the mean over their speakers."""
    genders = {s.speaker: s.gender for s in samples}
    by = [[v for t, v in shares.items() if genders[t] == g] for g in sorted(set(genders.values()))]
    return round(100 * float(np.mean([np.mean(values) for values in by])), 2)


def left_out(samples: Sequence[Sample], kind: Kind) -> dict[str, float]:
    """Real speaker → share right by a classifier of all the others (of both origins, this speaker's
    synthetic namesake stays: it shares a name only)."""
    real = sorted({s.speaker for s in samples if s.origin == "real"})
    found: dict[str, float] = {}
    for speaker in real:
        mine = [s for s in samples if (s.origin, s.speaker) == ("real", speaker)]
        others = [s for s in samples if (s.origin, s.speaker) != ("real", speaker)]
        found |= accuracies(fit(others, kind), mine, kind)
    return found


def study(samples: Sequence[Sample]) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
    """(numbers to ship, what the card says of them)."""
    heard = [s for s in samples if s.speaker not in UNSEEN]
    numbers: dict[str, NDArray[np.float32]] = {}
    card: dict[str, Any] = {
        "trained_on": sorted({f"{s.origin} {s.speaker}" for s in heard}),
        "balanced_accuracy_percent": {},
    }
    for kind in KINDS:
        own = fit(heard, kind)
        numbers |= own
        found: dict[str, Any] = {}
        for origin in ("real", "synthetic"):
            unheard = [s for s in samples if s.origin == origin and s.speaker in UNSEEN]
            found[f"{origin}, unheard"] = balanced_percent(accuracies(own, unheard, kind), unheard)
        shares = left_out(samples, kind)
        real = [s for s in samples if s.origin == "real"]
        found["real, each speaker left out"] = balanced_percent(shares, real)
        found["speakers left out"] = {t: round(100 * v, 1) for t, v in shares.items()}
        card["balanced_accuracy_percent"][kind] = found
    threshold = numbers["f0.mean"] - numbers["f0.scale"] * numbers["f0.bias"] / numbers["f0.weight"]
    card["f0_threshold_hz"] = round(100 * float(2 ** threshold[0]), 1)
    return numbers, card


def card_text(card: dict[str, Any]) -> str:
    """The card for people."""
    heads = ("real, unheard", "synthetic, unheard", "real, each speaker left out")
    lines = [
        "# gender.safetensors: a woman's voice or a man's",
        "",
        "Logistic regression on the median F0 (pYIN) and the embedding of speaker.safetensors, and beside "
        f"it the baseline on the F0 alone (women above {card['f0_threshold_hz']} Hz). Fitted by "
        f"`facetron-eval train gender`; sha256 `{card['sha256']}`.",
        "",
        "## Heard",
        f"- {', '.join(card['trained_on'])}: up to {REAL_CLIPS} clips of a real speaker, "
        f"{SYNTHETIC_CLIPS} of a synthetic one, speakers weighing the same",
        f"- not {', '.join(UNSEEN)}, in neither corpus",
        "",
        "## Balanced accuracy in percent, of speakers that were not fitted on (chance 50)",
        "",
        f"| features | {' | '.join(heads)} |",
        "|---|---:|---:|---:|",
    ]
    for kind, name in (("voice", "F0 and embedding"), ("f0", "F0 alone")):
        found = card["balanced_accuracy_percent"][kind]
        lines.append(f"| {name} | " + " | ".join(str(found[head]) for head in heads) + " |")
    lines += [
        "",
        "Each of the ten real speakers left out in turn; the network behind the embedding had heard "
        "seven of them, so only `unheard` is strict for it.",
        "",
        "## Use",
        "- agreement of a voice with the gender of a face, for adults who read GRID's sentences",
        "- GRID's men and women do not overlap in F0 here, so on clean speech F0 alone does as well; a "
        "voice whose pitch is right and nothing else is told by reading both columns",
        "- two classes as GRID's lists have them; it says nothing about anybody's identity",
        "",
    ]
    return "\n".join(lines)


@click.command(cls=Command)
@real_option
@synthetic_option
@out_option
def main(real: Path, synthetic: Path, out: Path) -> None:
    """Fit and measure the gender classifier: OUT/gender.safetensors, .json and .md."""
    torch.set_num_threads(1)
    samples = listen(read_build(real), "real", REAL_CLIPS)
    samples += listen(read_build(synthetic), "synthetic", SYNTHETIC_CLIPS)
    click.echo(write(out / WEIGHTS.name, samples))


def write(path: Path, samples: Sequence[Sample]) -> str:
    """Weights and cards; returns the card's text."""
    numbers, card = study(samples)
    about = {"features": "log2(median F0 / 100 Hz), embedding"}
    text = card_text({"sha256": save_shipped(path, dict(numbers), about, card), **card})
    write_text(path.with_suffix(".md"), text)
    return text
