"""The abilities of the face encoder, measured on stills that were not trained on: the numbers of its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.models.face import OVAL, SIDE_PX, FaceJudge
from evaluation.training.face_bank import Rows, law_or_none, varied
from manifests.console import Progress
from manifests.io import read_manifest
from manifests.pictures import read_pictures
from manifests.records import ManifestRow

GALLERY = 20
"""Clips of a speaker at most."""
Table = NDArray[np.float64]


def looked_at(
    judge: FaceJudge, build: Path, rows: Sequence[ManifestRow], *, harmed: bool = False
) -> Table:
    """(n, E): the still in the middle of each clip, as it is or varied as in training."""
    rng = np.random.default_rng(2)
    pictures = []
    for row in rows:
        strip = read_pictures(build / row.paths["face"])
        still = np.ascontiguousarray(strip[len(strip) // 2])
        pictures.append(varied(still, rng) if harmed else still)
    return judge.embed(pictures)


def ranks(table: Table, tested: Table, speakers: Sequence[str]) -> NDArray[np.int64]:
    """(n,) place of each clip's speaker by the speakers' means, the clip itself left out.

    Args:
        table: (n, E) stills that make the means.
        tested: (n, E) of the same clips.
        speakers: of the clips.
    """
    who = np.array(speakers)
    names = sorted(set(speakers))
    sums = np.stack([table[who == name].sum(axis=0) for name in names])
    found = []
    for i, name in enumerate(who):
        means = sums.copy()
        means[names.index(name)] -= table[i]
        cosines = means @ tested[i] / np.linalg.norm(means, axis=1)
        found.append(1 + int((cosines > cosines[names.index(name)]).sum()))
    return np.array(found)


def told(
    judge: FaceJudge,
    build: Path,
    rows: Sequence[ManifestRow],
    tested: Sequence[ManifestRow],
    *,
    harmed: bool = False,
) -> dict[str, Any]:
    """Numbers of some clips among the speakers of `rows`, which hold them too."""
    table = looked_at(judge, build, rows)
    mine = [i for i, row in enumerate(rows) if row in tested]
    shown = table.copy()
    if harmed:
        shown[mine] = looked_at(judge, build, [rows[i] for i in mine], harmed=True)
    place = ranks(table, shown, [row.speaker for row in rows])[mine]
    n = len({row.speaker for row in rows})
    female = judge.female(shown[mine]) > 0.5
    right = {"male": [], "female": []}  # type: dict[str, list[bool]]
    for i, said in zip(mine, female, strict=True):
        right[rows[i].gender].append(bool(said) == (rows[i].gender == "female"))
    found: dict[str, Any] = {
        "clips": len(mine),
        "speakers": n,
        "rank1_percent": round(100 * float(np.mean(place == 1)), 1),
        "mean_rank": round(float(np.mean(place)), 2),
        "chance_rank1_percent": round(100 / n, 1),
        "gender_percent": round(
            100 * float(np.mean([np.mean(values) for values in right.values() if values])), 1
        ),
    }
    law = law_or_none(build)
    names = sorted({rows[i].speaker for i in mine})
    if law is not None and len(names) >= 3:
        said = judge.law(shown[mine])
        who = np.array([rows[i].speaker for i in mine])
        means = np.stack([said[who == name].mean(axis=0) for name in names])
        truth = np.stack([law[name] for name in names])
        for k, key in enumerate(("f0_r", "tract_r")):
            found[key] = round(float(np.corrcoef(means[:, k], truth[:, k])[0, 1]), 3)
        apart = np.abs(means[:, 0] - truth[:, 0]) * 12 / np.log(2)
        found["f0_error_semitones"] = round(float(apart.mean()), 2)
    return found


def measure(judge: FaceJudge, build: Path, rows: Rows, real: Path | None) -> dict[str, Any]:
    """Set → numbers of `told`."""
    learned = [*rows.learnt, *rows.new_clips]
    found: dict[str, Any] = {}
    with Progress(5, "measured") as bar:
        for name, table, tested, harmed in (
            ("speakers learned from, other clips", learned, rows.new_clips, False),
            ("the same, varied as in training", learned, rows.new_clips, True),
            ("speakers never seen, among themselves", rows.unseen, rows.unseen, False),
            ("the same, varied as in training", rows.unseen, rows.unseen, True),
        ):
            kept = _at_most(table, GALLERY, tested)
            key = name if name not in found else f"{name} (never seen)"
            found[key] = told(judge, build, kept, tested, harmed=harmed)
            bar.update(1)
        if real is not None:
            clips = _at_most(read_manifest(real)[1], GALLERY, ())
            found["real GRID, no clip of which it has seen"] = told(judge, real, clips, clips)
        bar.update(1)
    return found


def _at_most(
    rows: Sequence[ManifestRow], most: int, wanted: Sequence[ManifestRow]
) -> list[ManifestRow]:
    """The wanted rows, and others until every speaker has `most`."""
    counts: dict[str, int] = {}
    kept = []
    for row in sorted(rows, key=lambda r: r not in wanted):
        counts[row.speaker] = counts.get(row.speaker, 0) + 1
        if row in wanted or counts[row.speaker] <= most:
            kept.append(row)
    return kept


def card_text(card: Mapping[str, Any]) -> str:
    """The card for people."""
    heads = {
        "clips": "n", "speakers": "speakers", "rank1_percent": "R@1 %",
        "chance_rank1_percent": "chance", "mean_rank": "mean rank", "gender_percent": "gender %",
        "f0_r": "F0 r", "f0_error_semitones": "F0 error (semitones)", "tract_r": "tract r",
    }  # fmt: skip
    x, y, half_width, half_height = OVAL
    lines = [
        "# face.safetensors: whom a picture shows",
        "",
        f"A residual network, {card['parameters']:,} parameters in half precision, an embedding of "
        f"{card['embedding']} for every picture. It sees {SIDE_PX} × {SIDE_PX} pixels of the oval of the "
        f"face (center {x}, {y}, half axes {half_width} and {half_height} of the side of a face still) and "
        "gray around it: hair, clothes and background tell GRID's speakers apart without any face. With it a "
        "logistic regression for the gender, and a ridge regression for what SynthGRID's rule gives to a "
        f"face (ln F0, place of the vocal tract's length). Trained by `facetron-eval train face`; sha256 "
        f"`{card['sha256']}`.",
        "",
        "## Seen",
        f"- SynthGRID (its faces are one portrait, reshaped), {len(card['trained_on'])} speakers, "
        f"{card['clips']} clips, three stills of each; turned, shifted, mirrored, blurred, lit and made "
        "noisy at random",
        f"- {card['recipe']['steps']} steps of {card['recipe']['batch']} stills: to tell the speakers apart, "
        "and to say their law",
        f"- not {', '.join(card['left_out'])}",
        "",
        "## Measured on stills that it was not trained on",
        "A speaker is known by the mean of up to 20 other clips, never by the clip itself.",
        "",
        f"| stills | {' | '.join(heads.values())} |",
        f"|---|{'---:|' * len(heads)}",
        *(
            f"| {name} | " + " | ".join(str(found.get(head, "–")) for head in heads) + " |"
            for name, found in card["told"].items()
        ),
        "",
        "## Use",
        "- pictures of SynthGRID's speakers, framed as the face stills of a build; each number beside that "
        "of the real stills",
        "- on real faces it was measured and not trained: read R@1 of real stills first",
        "- gender as GRID's lists have it; it says nothing about anybody's identity elsewhere",
        "",
    ]
    return "\n".join(lines)
