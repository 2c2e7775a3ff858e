"""Writes a run as the lists and results of VERSA (`evaluation.inputs.versa`).

VERSA counts a failed PESQ as 0.0. What failed here is written as null, which its summaries leave out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from evaluation.inputs.versa import key_of
from evaluation.metrics.base import FLOOR_SUFFIX
from evaluation.scoring.run import ScoredRun
from manifests.io import write_text
from manifests.records import RunClip

SPEECH, RECORDINGS, TEXT, RESULTS = "pred.scp", "ref.scp", "text", "result.jsonl"


def write_versa(item: ScoredRun, out: Path) -> list[Path]:
    """Writes a run as VERSA's lists, and its scores as VERSA's results; returns the files.

    Clips without a recording are in no `ref.scp`, which then is shorter than `pred.scp`; VERSA matches
    the two by place, so `pred.scp` lists them last.
    """
    run = item.run
    clips = sorted(run.clips, key=lambda clip: (run.reference(clip) is None, key_of(clip)))
    lists: dict[str, list[str]] = {
        SPEECH: [f"{key_of(c)} {_from_here(run.wav(c))}" for c in clips],
        RECORDINGS: [
            f"{key_of(c)} {_from_here(reference)}"
            for c in clips
            if (reference := run.reference(c)) is not None
        ],
        TEXT: [f"{key_of(c)} {' '.join(c.sentence.split())}" for c in clips if c.sentence],
    }
    names = list(dict.fromkeys(n for _, n in item.scores if not n.endswith(FLOOR_SUFFIX)))
    lists[RESULTS] = [
        json.dumps({"key": key_of(c), **_values(item, c, names)}, allow_nan=False) for c in clips
    ]
    written = []
    for name, lines in lists.items():
        if lines and (name != RESULTS or names):
            write_text(out / name, "".join(f"{line}\n" for line in lines))
            written.append(out / name)
    return written


def _from_here(path: Path) -> str:
    return Path(os.path.relpath(path)).as_posix()


def _values(item: ScoredRun, clip: RunClip, names: Sequence[str]) -> dict[str, float | None]:
    known = {name: item.scores.get((clip.label, name)) for name in names}
    return {name: score.value for name, score in known.items() if score is not None}
