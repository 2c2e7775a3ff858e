"""The protocol card of a report: who judged, on what, and how numbers were made of it.

Numbers of two papers rarely compare because these facts are not printed. The card is written beside
every report as JSON, and a short section of the pages says the same in words.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from typing import Any

from evaluation.metrics.base import Metric
from evaluation.metrics.protocols import Protocol, protocol_of
from evaluation.reporting.tables import TableOptions, speakers_of
from evaluation.scoring.run import ScoredRun

FILE = "protocol.json"
NORMALIZER = (
    "lower case, digits to words, z and zero alike, silence marks dropped; rates are of all words "
    "together (edits over reference words)"
)
FAILURES = "a failed or missing clip is counted beside the number and enters no mean"


def protocol(
    scored: Sequence[ScoredRun],
    metrics: Sequence[Metric],
    options: TableOptions,
    versions: dict[str, str],
) -> dict[str, Any]:
    """Returns the card as plain values.

    Args:
        scored: the runs of the tables.
        metrics: the columns and their floors.
        options: of the intervals, the method decided.
        versions: library → version.
    """
    labels = [{clip.label for clip in item.run.clips} for item in scored]
    shared = set.intersection(*labels) if labels else set()
    manifests = sorted({i.run.info.manifest_sha256 for i in scored if i.run.info.manifest_sha256})
    card: dict[str, Any] = {
        "schema": "protocol",
        "schema_version": 1,
        "clips": {
            "split": sorted({item.run.info.split for item in scored}),
            "subset": sorted({item.run.info.subset for item in scored}),
            "manifest_sha256": manifests,
            "speakers": speakers_of(scored),
            "common": len(shared),
            "common_sha256": hashlib.sha256("\n".join(sorted(shared)).encode()).hexdigest(),
        },
        "systems": [
            {
                "name": item.run.info.name,
                "kind": item.run.info.kind,
                "clips": len(item.run.clips),
                "expected": item.run.info.n_expected,
                "missing": item.run.n_missing,
                "failed_scores": item.n_failed,
            }
            for item in scored
        ],
        "reference": "the recording of the same clip, brought to mono and 16 kHz",
        "normalizer": NORMALIZER,
        "aggregation": {
            "mean": "over clips, weighted by words where rates are of words",
            "interval": options.method,
            "confidence": options.confidence,
            "resamples": options.n_resamples if options.method == "bootstrap" else None,
            "seed": options.seed if options.method == "bootstrap" else None,
        },
        "failures": FAILURES,
        "metrics": [
            {
                "name": metric.info.name,
                "label": metric.info.label,
                "unit": metric.info.unit,
                "direction": metric.info.direction,
                "definition": metric.info.definition,
                "citation": metric.info.citation,
                "license": metric.info.license,
                "judge": metric.info.note,
                "parameters": metric.info.parameters,
                "revision": metric.info.revision,
                "versions": {name: versions.get(name, "") for name in metric.info.libraries},
            }
            for metric in metrics
            if metric.info.group != "floor"
        ],
        "as_published": [each.to_dict() for each in published(metrics)],
        "versions": {**versions, "python": platform.python_version()},
    }
    return card


def published(metrics: Sequence[Metric]) -> tuple[Protocol, ...]:
    """Returns the publications whose protocols some of the columns repeat."""
    columns = [m.info.name for m in metrics if m.info.group == "published"]
    return tuple(dict.fromkeys(map(protocol_of, columns)))


def sentences(card: dict[str, Any]) -> list[str]:
    """Returns the card in a few sentences, for pages."""
    judges = list(dict.fromkeys(m["judge"] for m in card["metrics"] if m["judge"]))
    clips = card["clips"]
    speakers = clips["speakers"]
    manifest = ", ".join(sha[:12] for sha in clips["manifest_sha256"]) or "none"
    how = card["aggregation"]
    interval = (
        f"bootstrap, {how['resamples']} resamples, seed {how['seed']}"
        if how["interval"] == "bootstrap"
        else "Student's t, clustered by speaker"
    )
    of_words = any(m["name"].removeprefix("lip_").split("_")[0] in ("cer", "wer", "keyword", "slot")
                   for m in card["metrics"])  # fmt: skip
    return [
        f"Clips: {clips['common']} that all systems hold, of {len(speakers)} "
        f"speaker{'' if len(speakers) == 1 else 's'}; split {', '.join(clips['split']) or 'none'}, "
        f"manifest {manifest}.",
        *([f"Judges: {' '.join(judges)}"] if judges else []),
        *([f"Words: {card['normalizer']}."] if of_words else []),
        f"Reference: {card['reference']}.",
        f"Numbers: mean over clips; {100 * how['confidence']:.0f} % interval by {interval}.",
        f"Failures: {card['failures']}.",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in card["versions"].items()),
    ]
