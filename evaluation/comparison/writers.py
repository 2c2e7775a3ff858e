"""A comparison of two runs for the terminal, as Markdown, CSV and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.comparison.run import SIGNIFICANT, Compared, Difference
from evaluation.reporting.printed import (
    Printed,
    PrintedTable,
    bullets,
    markdown,
    markdown_table,
    terminal_table,
    text_table,
    write_document,
)
from evaluation.reporting.writers import definition
from evaluation.stats.mapsswe import LEAST_GOOD_WORDS
from evaluation.stats.numbers import fixed
from manifests.io import write_json
from manifests.records import SCHEMA_VERSION
from manifests.tables import write_csv

FORMATS = ("md", "csv", "json")
COLUMNS = (
    "metric", "unit", "direction", "system_a", "system_b", "mean_a", "mean_b", "difference", "low",
    "high", "confidence", "test", "p", "p_holm", "winner", "effect_dz", "better_a", "better_b",
    "n_common", "n_missing_a", "n_missing_b", "mapsswe_segments", "mapsswe_z", "mapsswe_p",
)  # fmt: skip
DASH = "–"


def heads(compared: Compared) -> list[str]:
    return [
        "Metric",
        compared.a.info.name,
        compared.b.info.name,
        "Difference",
        f"{100 * compared.options.confidence:.0f} %",
        "p",
        "p (Holm)",
        "d_z",
        "better clips",
        "n",
        "missing",
    ]


def cells(difference: Difference) -> list[str | Printed]:
    """Returns a row of the table; the mean of a significantly better system is bold."""
    d, digits = difference, difference.info.decimals

    def number(value: float | None, sign: bool = False) -> str:
        if value is None:
            return DASH
        text = fixed(value, digits)
        return f"+{text}" if sign and value > 0 and not text.startswith("−") else text

    interval = DASH
    if d.low is not None and d.high is not None:
        interval = f"[{number(d.low)}, {number(d.high)}]"
    share = DASH
    if d.better_a is not None and d.better_b is not None:
        share = f"{100 * d.better_a:.0f} : {100 * d.better_b:.0f} %"
    return [
        d.info.heading,
        Printed(number(d.mean_a), bold=d.winner == "a"),
        Printed(number(d.mean_b), bold=d.winner == "b"),
        number(d.difference, sign=True),
        interval,
        probability(d.p),
        probability(d.p_holm),
        DASH if d.effect is None else fixed(d.effect, 2),
        share,
        str(d.n_common),
        f"{d.n_missing_a}/{d.n_missing_b}",
    ]


def probability(p: float | None) -> str:
    if p is None:
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def reading(compared: Compared) -> list[str]:
    """Returns the sentences that explain the table."""
    a, b, options = compared.a.info, compared.b.info, compared.options
    level = f"{100 * options.confidence:.0f} %"
    if options.method == "bootstrap":
        drawn = "speakers, then their clips" if compared.n_speakers > 1 else "clips"
        how = f"paired bootstrap, {options.n_resamples} resamples of {drawn}, seed {options.seed}"
    else:
        how = "paired Student t, clustered by speaker"
    plural = "s" if compared.n_speakers != 1 else ""
    sentences = [
        f"Split {a.split or DASH}, subset {a.subset or DASH}: {compared.n_asked} expected clips, of "
        f"{compared.n_speakers} speaker{plural} in common.",
        f"Difference: {b.name} − {a.name} over the n clips that have both scores, with its {level} "
        f"interval ({how}).",
        "p: two-sided; Holm's correction is over all metrics of the table. "
        f"Bold (*): better with p (Holm) < {SIGNIFICANT} and an interval without zero.",
        f"d_z: mean of the clips' differences over their standard deviation, positive where {b.name} "
        f"is better. Better clips: share on which {a.name} : {b.name} is better.",
        f"Missing: expected clips without a score of {a.name}/{b.name}.",
    ]
    for d in compared.differences:
        if d.words is not None:
            z = DASH if d.words.z is None else fixed(d.words.z, 2)
            sentences.append(
                f"{d.info.label} by MAPSSWE (Gillick and Cox, 1989), segments separated by "
                f"{LEAST_GOOD_WORDS} words that both systems have right: {d.words.n_segments} segments, "
                f"{d.words.errors_a} and {d.words.errors_b} errors, Z = {z}, p = "
                f"{probability(d.words.p)}; MAPSSWE takes no account of speakers."
            )
    notes = dict.fromkeys(d.info.note for d in compared.differences if d.info.note)
    return [*sentences, *notes, *compared.notes]


def table(compared: Compared) -> PrintedTable:
    """Returns the printed table, one row per metric."""
    return text_table(heads(compared), [cells(d) for d in compared.differences])


def terminal(compared: Compared) -> str:
    return "\n".join([terminal_table(table(compared)), *reading(compared)])


def write(compared: Compared, out: Path, formats: Sequence[str]) -> list[Path]:
    """Writes `compare.md`, `.csv`, `.json`; returns their paths."""
    paths = []
    for name, writer in (("md", _markdown), ("csv", _csv), ("json", _json)):
        if name in formats:
            paths.append(out / f"compare.{name}")
            writer(paths[-1], compared)
    return paths


def _markdown(path: Path, compared: Compared) -> None:
    a, b = (markdown(run.info.name) for run in (compared.a, compared.b))
    parts = [
        f"# {a} and {b}",
        markdown_table(table(compared)),
        bullets(reading(compared)),
        "## Definitions",
        "\n".join(
            f"- **{markdown(d.info.heading)}** (`{d.info.name}`): {markdown(definition(d.info))}"
            for d in compared.differences
        ),
    ]
    write_document(path, parts)


def _values(compared: Compared, d: Difference) -> dict[str, Any]:
    names = {"a": compared.a.info.name, "b": compared.b.info.name, "": ""}
    return {
        "metric": d.info.name,
        "unit": d.info.unit,
        "direction": d.info.direction,
        "system_a": names["a"],
        "system_b": names["b"],
        "mean_a": d.mean_a,
        "mean_b": d.mean_b,
        "difference": d.difference,
        "low": d.low,
        "high": d.high,
        "confidence": compared.options.confidence,
        "test": d.test,
        "p": d.p,
        "p_holm": d.p_holm,
        "winner": names[d.winner],
        "effect_dz": d.effect,
        "better_a": d.better_a,
        "better_b": d.better_b,
        "n_common": d.n_common,
        "n_missing_a": d.n_missing_a,
        "n_missing_b": d.n_missing_b,
        "mapsswe_segments": None if d.words is None else d.words.n_segments,
        "mapsswe_z": None if d.words is None else d.words.z,
        "mapsswe_p": None if d.words is None else d.words.p,
    }


def _csv(path: Path, compared: Compared) -> None:
    rows = []
    for d in compared.differences:
        values = _values(compared, d)
        rows.append([values[column] for column in COLUMNS])
    write_csv(path, COLUMNS, rows)


def values(compared: Compared) -> dict[str, Any]:
    """Returns the content of `compare.json`."""
    options = compared.options
    return {
        "schema": "comparison",
        "schema_version": SCHEMA_VERSION,
        "a": compared.a.info.name,
        "b": compared.b.info.name,
        "split": compared.a.info.split,
        "subset": compared.a.info.subset,
        "n_asked": compared.n_asked,
        "n_speakers": compared.n_speakers,
        "method": options.method,
        "n_resamples": options.n_resamples,
        "seed": options.seed,
        "significant": SIGNIFICANT,
        "metrics": [_values(compared, d) for d in compared.differences],
        "notes": list(compared.notes),
    }


def _json(path: Path, compared: Compared) -> None:
    write_json(path, values(compared))
