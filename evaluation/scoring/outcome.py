"""The outcome of a scoring: reasons of failures, faults of a run as a whole, counts for scripts."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

from evaluation.metrics.base import DIED, RAISED
from evaluation.scoring.run import ScoredRun
from manifests.errors import TooManyFailures
from manifests.records import Score

NOT_THERE = "reference_file_missing"


def failures_by_reason(item: ScoredRun) -> dict[str, list[tuple[str, Score]]]:
    """Reason → (clip label, failed score), the most frequent first."""
    found: dict[str, list[tuple[str, Score]]] = collections.defaultdict(list)
    for (label, _), score in item.scores.items():
        if score.status != "ok":
            found[score.reason.split(":")[0]].append((label, score))
    return dict(sorted(found.items(), key=lambda entry: -len(entry[1])))


def reason_lines(item: ScoredRun) -> list[str]:
    """A line per reason: how many scores of how many clips, of which metrics, and one of them in words."""
    lines = []
    for reason, failed in failures_by_reason(item).items():
        clips = len({label for label, _ in failed})
        names = dict.fromkeys(score.metric for _, score in failed)
        label, score = failed[0]
        detail = " ".join(score.reason.partition(":")[2].split())
        lines.append(
            f"{reason}: {_count(len(failed), 'score')} of {_count(clips, 'clip')} "
            f"({', '.join(names)}), e.g. {label}: {detail}"
        )
    return lines


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def complaints(scored: Sequence[ScoredRun]) -> list[tuple[str, str]]:
    """(problem, remedy) of every run that as a whole cannot be scored as requested: its recordings
    are missing, a metric raises or dies on every clip, or no score has a value."""
    found = []
    for item in scored:
        root = item.run.root
        by_metric: dict[str, list[Score]] = collections.defaultdict(list)
        for (_, metric), score in item.scores.items():
            by_metric[metric].append(score)
        missing = [score for _, score in failures_by_reason(item).get(NOT_THERE, ())]
        named = [path for clip in item.run.clips if (path := item.run.reference(clip))]
        if missing and not any(path.is_file() for path in named):
            found.append(
                (
                    f"{root}: none of its {len(named)} recordings is there (the first: {named[0]})",
                    "restore the build at its place relative to the run, or move both together",
                )
            )
        broken = {
            metric: scores[0].reason
            for metric, scores in by_metric.items()
            if all(s.reason.split(":")[0] in (RAISED, DIED) for s in scores)
        }
        if broken:
            reason = " ".join(next(iter(broken.values())).split())
            found.append(
                (
                    f"{root}: {', '.join(broken)} failed on every clip by no fault of the clips ({reason})",
                    "fix the cause and score again: these scores are computed anew",
                )
            )
        if item.scores and item.n_failed == len(item.scores) and not found:
            found.append((f"{root}: no clip could be scored", "see the reasons of the failures"))
    return found


def check_outcome(scored: Sequence[ScoredRun]) -> None:
    """Raises `TooManyFailures`, in one line, where `complaints` has any."""
    found = complaints(scored)
    if found:
        problems, remedies = zip(*found, strict=True)
        raise TooManyFailures("; ".join(problems), "; ".join(dict.fromkeys(remedies)))


def summary(item: ScoredRun) -> dict[str, Any]:
    """Counts of one run as plain values, for scripts."""
    metrics: dict[str, dict[str, Any]] = {}
    for (_, name), score in item.scores.items():
        entry = metrics.setdefault(
            name, {"ok": 0, "failed": 0, "mean_over_clips": None, "unit": score.unit, "reasons": {}}
        )
        if score.status == "ok":
            entry["ok"] += 1
        else:
            entry["failed"] += 1
            reason = score.reason.split(":")[0]
            entry["reasons"][reason] = entry["reasons"].get(reason, 0) + 1
    for name, entry in metrics.items():
        known = [s for (_, m), s in item.scores.items() if m == name and s.value is not None]
        if known:
            mass = sum(s.weight for s in known)
            entry["mean_over_clips"] = sum(s.weight * (s.value or 0.0) for s in known) / mass
    return {
        "run": str(item.run.root),
        "name": item.run.info.name,
        "clips": len(item.run.clips),
        "missing": item.run.n_missing,
        "scores": len(item.scores),
        "failed": item.n_failed,
        "computed": item.n_new,
        "metrics": metrics,
    }
