"""Scores of a listening test as `mos.json`, `mos.csv`, `ratings.csv` and `mos.md`, and as the `mos.json` of
each run directory, where the report finds it. Texts from outside are escaped in each."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

from evaluation.inputs.pairs import read_speech_run
from evaluation.mos.columns import add_test
from evaluation.mos.records import Key, find_key
from evaluation.mos.scoring import ConditionScore, Estimate, PartScore, TestScore
from evaluation.mos.screening import Verdict
from evaluation.reporting.printed import markdown, markdown_table, terminal_table, text_table
from evaluation.stats.numbers import fixed
from manifests.errors import ToolkitError
from manifests.io import write_json, write_text
from manifests.tables import write_csv

TEST_FILE = "mos.json"
SCHEMA = "listening-test"
SUMMARY_COLUMNS = (
    "part", "system", "kind", "value", "mean", "t_low", "t_high", "bootstrap_low",
    "bootstrap_high", "deviation", "n_ratings", "n_subjects", "n_clips", "n_rejected",
)  # fmt: skip
RATING_COLUMNS = (
    "part", "subject", "number", "system", "clip", "rating", "z", "seconds", "accepted",
)  # fmt: skip


def plain(value: Any) -> Any:
    """Dataclasses and tuples as JSON has them; NaN as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 9) if math.isfinite(value) else None
    return value


def summary(score: TestScore) -> dict[str, Any]:
    """Returns the content of a run directory's `mos.json`: all conditions, no individual subjects."""
    return {
        "schema": SCHEMA,
        "schema_version": 1,
        "design": score.design,
        "title": score.title,
        "subjects": {
            "designed": score.n_designed,
            "received": len(score.verdicts),
            "accepted": score.n_accepted,
        },
        "options": plain(score.options),
        "parts": plain(score.parts),
    }


def write_scores(score: TestScore, out: Path) -> list[Path]:
    """Writes the four files into `out`; returns their paths."""
    whole = summary(score)
    whole["screening"] = plain(score.verdicts)
    whole["rejections"] = plain(score.rejections)
    whole["comments"] = score.comments
    paths = [out / TEST_FILE, out / "mos.csv", out / "ratings.csv", out / "mos.md"]
    write_json(paths[0], whole)
    write_csv(paths[1], SUMMARY_COLUMNS, _summary_rows(score))
    write_csv(paths[2], RATING_COLUMNS, _rating_rows(score))
    write_text(paths[3], markdown_text(score))
    return paths


def publish(score: TestScore, key: Key, key_path: Path) -> tuple[list[Path], list[str]]:
    """Writes each run directory's `mos.json`: (paths, why some got none)."""
    folder = find_key(key_path).parent
    runs = {
        condition.name: condition.run_dir
        for part in key.conditions
        for condition in key.conditions_of(part)
        if condition.run_dir
    }
    paths, notes = [], []
    for name, run_dir in runs.items():
        root = Path(os.path.normpath(folder / run_dir))
        try:
            found = read_speech_run(root).info.name
        except ToolkitError as error:
            notes.append(f"{name}: {error.problem}, so no report will show its scores")
            continue
        if found != name:
            notes.append(f"{root} is now named {found!r}, not {name!r}: nothing written there")
            continue
        paths.append(add_test(root, name, summary(score)))
    return paths, notes


# --- terminal

LINES_SHOWN = 10


def terminal_tables(score: TestScore) -> str:
    """Returns one small table per part, and the number of accepted subjects."""
    parts = []
    for part in score.parts:
        rows = [
            [c.name, _mean(c.rating, 2), _interval(c.rating.t, 2), c.n_ratings, c.n_subjects]
            for c in part.conditions
        ]
        heads = [part.scale.label, "mean", "t", "ratings", "subjects"]
        parts.append(terminal_table(text_table(heads, rows)))
    parts.append(
        f"{score.n_accepted} of {len(score.verdicts)} subjects accepted; {len(score.rejections)} "
        "answers or files rejected"
    )
    return "\n\n".join(parts)


def rejection_lines(score: TestScore) -> list[str]:
    """Returns the first few rejections; all are listed in `mos.md`."""
    lines = [
        f"rejected: {' '.join(filter(None, (r.file, r.subject, r.trial)))}: {r.reason}"
        for r in score.rejections[:LINES_SHOWN]
    ]
    if len(score.rejections) > LINES_SHOWN:
        lines.append(f"… and {len(score.rejections) - LINES_SHOWN} more, listed in mos.md")
    return lines


# --- CSV


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _summary_rows(score: TestScore) -> list[list[object]]:
    rows: list[list[object]] = []
    for part in score.parts:
        for condition in part.conditions:
            for name, estimate in (
                ("rating", condition.rating),
                ("z", condition.normalized),
                ("percent_same", condition.share),
            ):
                if estimate is None:
                    continue
                ends = [*(estimate.t or (None, None)), *(estimate.bootstrap or (None, None))]
                rows.append(
                    [
                        *(part.part, condition.name, condition.kind, name),
                        *map(_number, (estimate.mean, *ends)),
                        _number(condition.deviation) if name == "rating" else "",
                        *(condition.n_ratings, condition.n_subjects, condition.n_clips),
                        condition.n_rejected,
                    ]
                )
    return rows


def _rating_rows(score: TestScore) -> list[list[object]]:
    rows: list[list[object]] = []
    for rating in score.ratings:
        trial = rating.answer.trial
        seconds = rating.answer.seconds
        rows.append(
            [
                *(trial.part, trial.subject, trial.number, trial.condition),
                *(trial.clip, rating.answer.rating, _number(rating.z)),
                *(None if math.isnan(seconds) else seconds, int(rating.accepted)),
            ]
        )
    return rows


# --- Markdown


def markdown_text(score: TestScore) -> str:
    """Returns the scores as Markdown."""
    options = score.options
    level = f"{100 * options.confidence:.0f} %"
    parts = [
        f"# {markdown(score.title)}: scores",
        f"Test {score.design}: designed for {score.n_designed} subjects; {len(score.verdicts)} "
        f"answered, {score.n_accepted} of them are accepted. Intervals ({level}) are over "
        "subjects: Student's t with clustered variance, and a bootstrap of subjects, then of "
        f"their ratings ({options.n_resamples} resamples, seed {options.seed}). z: ratings "
        "normalized by each subject's mean and standard deviation.",
    ]
    for part in score.parts:
        parts += _part_text(part, score)
    parts += [
        "## Subjects",
        markdown_table(text_table(_SUBJECT_HEADS, [_subject_row(v) for v in score.verdicts])),
    ]
    left_out = [verdict for verdict in score.verdicts if verdict.reasons]
    if left_out:
        parts.append("Rejected subjects:")
        lines = [f"- {markdown(v.subject)}: {markdown('; '.join(v.reasons))}" for v in left_out]
        parts.append("\n".join(lines))
    if score.rejections:
        rows = [[r.file, r.subject, r.trial, r.reason] for r in score.rejections]
        parts.append(f"## Rejected answers and files ({len(rows)})")
        heads = ["File", "Subject", "Trial", "Reason"]
        parts.append(markdown_table(text_table(heads, rows, n_text=len(heads))))
    if score.comments:
        parts.append("## Comments")
        lines = [f"- {markdown(s)}: {markdown(text)}" for s, text in score.comments.items()]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _part_text(part: PartScore, score: TestScore) -> list[str]:
    scale = part.scale
    heads = ["System", scale.label, "t interval", "bootstrap interval", "z"]
    heads += [f"{scale.share} (%)"] if scale.share else []
    heads += ["1 / 2 / 3 / 4 / 5", "ratings", "subjects", "clips"]
    texts = [f"## {scale.label}", f"{scale.definition}."]
    texts.append(markdown_table(text_table(heads, [_condition_row(c) for c in part.conditions])))
    if part.alpha is not None:
        told = f"Agreement: Krippendorff's α (ordinal) {fixed(part.alpha, 2)} over "
        told += f"{part.n_units} stimuli with ratings of two or more subjects."
        if part.intraclass:
            told += (
                f" ICC(2,1) {fixed(part.intraclass.single, 2)}, ICC(2,k) "
                f"{fixed(part.intraclass.average, 2)} for {part.intraclass.n_raters} subjects."
            )
        texts.append(told)
    if part.comparisons:
        test = {"wilcoxon": "Wilcoxon's signed-rank test", "t": "paired t test"}[score.options.test]
        texts.append(
            f"Differences: {test} over {score.options.unit}, Holm's correction over "
            f"{len(part.comparisons)} pairs; d: mean difference over its standard deviation."
        )
        rows = [
            [
                f"{c.first} − {c.second}",
                fixed(c.difference, 2),
                _interval((c.low, c.high) if c.low is not None and c.high is not None else None, 2),
                "–" if c.effect is None else fixed(c.effect, 2),
                _p(c.p),
                _p(c.p_holm),
                str(c.n),
            ]
            for c in part.comparisons
        ]
        heads = ["Pair", "difference", "interval", "d", "p", "p (Holm)", "n"]
        texts.append(markdown_table(text_table(heads, rows)))
    return texts


def _condition_row(condition: ConditionScore) -> list[str]:
    cells = [
        condition.name,
        _mean(condition.rating, 2),
        _interval(condition.rating.t, 2),
        _interval(condition.rating.bootstrap, 2),
        _mean(condition.normalized, 2),
    ]
    if condition.share is not None:
        cells.append(f"{_mean(condition.share, 1)} {_interval(condition.share.t, 1)}".strip())
    cells.append(" / ".join(map(str, condition.counts)))
    rejected = f" (+{condition.n_rejected} rejected)" if condition.n_rejected else ""
    cells.append(f"{condition.n_ratings}{rejected}")
    return [*cells, str(condition.n_subjects), str(condition.n_clips)]


_SUBJECT_HEADS = [
    "Subject", "answered", "headphones", "traps", "golds", "repeats differ", "most given",
    "correlation", "counts",
]  # fmt: skip


def _subject_row(verdict: Verdict) -> list[str]:
    def share(value: tuple[int, int] | None) -> str:
        return "–" if value is None else f"{value[0]}/{value[1]}"

    def number(value: float | None) -> str:
        return "–" if value is None else fixed(value, 2)

    return [
        verdict.subject,
        f"{verdict.complete:.0%}",
        *map(share, (verdict.headphones, verdict.traps, verdict.golds)),
        number(verdict.repeat_difference),
        "–" if verdict.same_share is None else f"{verdict.same_share:.0%}",
        number(verdict.correlation),
        "no" if verdict.reasons else "yes",
    ]


def _mean(estimate: Estimate, decimals: int) -> str:
    return "–" if estimate.mean is None else fixed(estimate.mean, decimals)


def _interval(ends: tuple[float, float] | None, decimals: int) -> str:
    return "" if ends is None else f"[{fixed(ends[0], decimals)}, {fixed(ends[1], decimals)}]"


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
