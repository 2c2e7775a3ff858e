"""The protocol card of a report: who judged, on what, and how numbers were made of it.

Numbers of two papers rarely compare because these facts are not printed. The card is written beside
every report as JSON, and a short section of the pages says the same in words.
"""

from __future__ import annotations

import hashlib
import platform
from collections import Counter
from collections.abc import Sequence
from typing import Any

from evaluation.inputs.build_files import build_of, corpus_name, header_of
from evaluation.inputs.pairs import RULES, RunDir
from evaluation.inputs.text import NORMALIZERS
from evaluation.metrics.base import Metric, MetricInfo
from evaluation.metrics.protocols import Protocol, protocol_of
from evaluation.reporting.heard import heard_in_training
from evaluation.reporting.tables import TableOptions, speakers_of
from evaluation.scoring.run import ScoredRun
from manifests.errors import ToolkitError
from manifests.splits import frozen

FILE = "protocol.json"
SCHEMA_VERSION = 2
FACES_REFERENCE = "real stills of the same speaker, the clip itself left out"


def protocol(
    scored: Sequence[ScoredRun],
    metrics: Sequence[Metric],
    options: TableOptions,
    versions: dict[str, str],
) -> dict[str, Any]:
    """Returns the card as plain values: all of it follows from the runs, the scores and the settings.

    Args:
        scored: the runs of the tables.
        metrics: the columns and their floors.
        options: of the intervals, the method decided.
        versions: library → version.
    """
    labels = [{clip.label for clip in item.run.clips} for item in scored]
    shared = set.intersection(*labels) if labels else set()
    manifests = sorted({i.run.info.manifest_sha256 for i in scored if i.run.info.manifest_sha256})
    shown = [metric.info for metric in metrics if metric.info.group != "floor"]
    return {
        "schema": "protocol",
        "schema_version": SCHEMA_VERSION,
        "clips": {
            "corpus": sorted({corpus_name(item.run) or "not known" for item in scored}),
            "split": sorted({item.run.info.split for item in scored}),
            "split_sha256": sorted({sha for item in scored if (sha := split_sha256(item.run))}),
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
        "listeners": _listeners(shown),
        "reference": _reference(scored, shown),
        "normalizers": _normalizers(scored, shown),
        "aggregation": {
            "unit": "clip",
            "columns": {
                info.name: info.pool or ("weighted mean" if _by_words(scored, info) else "mean")
                for info in shown
            },
            "interval": options.method,
            "confidence": options.confidence,
            "resamples": options.n_resamples if options.method == "bootstrap" else None,
            "seed": options.seed if options.method == "bootstrap" else None,
        },
        "failures": {
            "in_means": False,
            "counted_as_zero": sum(
                "counted_as_zero" in score.details
                for item in scored
                for score in item.scores.values()
            ),
            "reasons": {item.run.info.name: _reasons(item) for item in scored},
        },
        "metrics": [
            {
                "name": info.name,
                "label": info.label,
                "unit": info.unit,
                "direction": info.direction,
                "definition": info.definition,
                "citation": info.citation,
                "license": info.license,
                "judge": info.note,
                "parameters": info.parameters,
                "revision": info.revision,
                "versions": {name: versions.get(name, "") for name in info.libraries},
            }
            for info in shown
        ],
        "heard_in_training": [heard.to_dict() for heard in heard_in_training(scored, metrics)],
        "as_published": [each.to_dict() for each in published(metrics)],
        "versions": {**versions, "python": platform.python_version()},
    }


def split_sha256(run: RunDir) -> str:
    """SHA-256 of the frozen split behind a run: as its build states it, else that of the split of this
    name, "" where nobody knows it."""
    build = build_of(run)
    header = {} if build is None else header_of(build)
    if header.get("split") == run.info.split and header.get("split_sha256"):
        return str(header["split_sha256"])
    try:
        return frozen.load(run.info.split).sha256 if run.info.split in frozen.names() else ""
    except ToolkitError:
        return ""


def _listeners(shown: Sequence[MetricInfo]) -> list[dict[str, Any]]:
    """Recognizers and networks, each once, with the columns that they decide; formulas have none."""
    found: dict[str, dict[str, Any]] = {}
    for info in shown:
        recognizer = info.parameters.get("recognizer")
        network = info.parameters.get("weights_sha256") or info.parameters.get("sha256")
        if recognizer:
            entry = {
                "kind": "recognizer",
                "name": recognizer["name"],
                "label": recognizer["label"],
                "weights_sha256": recognizer.get("weights_sha256", ""),
                "decoding": recognizer.get("decoding", ""),
                "versions": recognizer.get("versions", {}),
            }
        elif network:
            whose = info.citation if info.citation != "this toolkit" else info.label
            entry = {
                "kind": "network",
                "name": whose,
                "label": info.label,
                "weights_sha256": network,
                "license": info.license,
            }
        else:
            continue
        key = f"{entry['kind']} {entry['name']} {entry.get('decoding')} {entry['weights_sha256']}"
        found.setdefault(key, {**entry, "columns": []})["columns"].append(info.name)
    return list(found.values())


def _reference(scored: Sequence[ScoredRun], shown: Sequence[MetricInfo]) -> dict[str, Any]:
    """Returns what the speech was compared with, and how both were brought to one form."""
    clips = [(item.run, clip) for item in scored for clip in item.run.clips]
    there = sum(run.reference(clip) is not None for run, clip in clips)
    if any(item.run.of_faces for item in scored):
        return {
            "what": FACES_REFERENCE,
            "clips_with": there,
            "clips_without": len(clips) - there,
            "columns": [info.name for info in shown if info.needs_reference],
        }
    return {
        "what": "recording of the same clip",
        "clips_with": there,
        "clips_without": len(clips) - there,
        "channels": "mean",
        **RULES,
        "columns": [info.name for info in shown if info.needs_reference],
    }


def _normalizers(
    scored: Sequence[ScoredRun], shown: Sequence[MetricInfo]
) -> dict[str, dict[str, Any]]:
    """Normalizer → what it does, its columns, and how many scores passed through it."""
    found: dict[str, dict[str, Any]] = {}
    for info in shown:
        usual = info.parameters.get("normalizer")
        if not usual:
            continue
        counted = Counter(
            score.details.get("normalizer", usual)
            for item in scored
            for (_, name), score in item.scores.items()
            if name == info.name and score.status == "ok"
        )
        for name, count in (counted or {usual: 0}).items():
            entry = found.setdefault(
                name, {"rules": NORMALIZERS.get(name, ""), "columns": [], "scores": 0}
            )
            entry["columns"].append(info.name)
            entry["scores"] += count
    return found


def _by_words(scored: Sequence[ScoredRun], info: MetricInfo) -> bool:
    return any(
        score.weight != 1
        for item in scored
        for (_, name), score in item.scores.items()
        if name == info.name
    )


def _reasons(item: ScoredRun) -> dict[str, int]:
    """Reason → failed scores of one system, floors left out."""
    return dict(
        Counter(
            score.reason.split(":")[0]
            for (_, name), score in sorted(item.scores.items())
            if score.status != "ok" and not name.endswith("_floor")
        )
    )


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
    split = ", ".join(clips["split"]) or "none"
    if clips["split_sha256"]:
        split += f" ({', '.join(sha[:12] for sha in clips['split_sha256'])})"
    reference = card["reference"]
    alike = ""
    if "resampler" in reference:  # of speech
        alike = f"; both brought to mono and {reference['scoring_rate_hz']} Hz by {reference['resampler']}"
    weighted = [n for n, way in how["columns"].items() if way == "weighted mean"]
    pooled = [n for n, way in how["columns"].items() if way not in ("mean", "weighted mean")]
    reasons = {name: told for name, told in card["failures"]["reasons"].items() if told}
    zeros = card["failures"]["counted_as_zero"]
    return [
        f"Clips: {clips['common']} that all systems hold, of {len(speakers)} "
        f"speaker{'' if len(speakers) == 1 else 's'}; split {split}, manifest "
        f"{manifest}.",
        *([f"Judges: {' '.join(judges)}"] if judges else []),
        *(
            f"Words, by {name}: {entry['rules']} ({', '.join(entry['columns'])})."
            for name, entry in card["normalizers"].items()
        ),
        f"Reference: the {reference['what']}, of {reference['clips_with']} clips "
        f"({reference['clips_without']} have none){alike}.",
        "Numbers: mean over clips"
        + (f", by words for {', '.join(weighted)}" if weighted else "")
        + (f", of the whole set for {', '.join(pooled)}" if pooled else "")
        + f"; {100 * how['confidence']:.0f} % interval by {interval}.",
        "Failures: counted beside the number, in no mean; "
        + (
            "; ".join(
                f"{name}: " + ", ".join(f"{reason} × {n}" for reason, n in told.items())
                for name, told in reasons.items()
            )
            or "there were none"
        )
        + (f"; {zeros} counted as zero by published protocols." if zeros else "."),
        "Versions: " + ", ".join(f"{name} {version}" for name, version in card["versions"].items()),
    ]
