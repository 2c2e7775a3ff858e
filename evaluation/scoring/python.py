"""`evaluation.score`: scores as a table, from run directories or from sounds at hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from evaluation.inputs.pairs import Source, paired, read_run
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import OPTIONAL, RECOGNITION, REGISTRY, Metric, get_metric, select
from evaluation.models.registry import DEFAULT
from evaluation.scoring.run import score_runs, scores_to_dataframe
from evaluation.scoring.settings import read_settings
from manifests.errors import BadInput, MissingDependency

if TYPE_CHECKING:
    import pandas as pd

PAIR_COLUMNS = ("pair", "metric", "value", "unit", "status", "reason", "weight", "details")


@runtime_checkable
class HasRoot(Protocol):
    """A run that is open already, such as `manifests.Run`."""

    @property
    def root(self) -> Path: ...


Scored = str | os.PathLike[str] | HasRoot
SoundPair = tuple[Source | None, Source]
"""(recording, speech): each a file or samples; None where there is no recording."""


def score(
    pairs: Scored | Sequence[Scored] | Sequence[SoundPair],
    metrics: Sequence[str] | None = None,
    *,
    rate_hz: int | None = None,
    sentences: Sequence[str] = (),
    jobs: int = 0,
    **brought: Any,
) -> pd.DataFrame:
    """Scores runs, or pairs of sounds, with any of the metrics.

    Args:
        pairs: a run directory (a path, or an open `manifests.Run`), several of them, or a list of
            (reference, degraded) sounds: files, or samples (n,) or (n, channels), floats of full scale
            ±1 or integers.
        metrics: names as in `facetron-eval score --metrics`; None for all that need nothing more than
            is there.
        rate_hz: of the samples of all pairs; files say their own.
        sentences: the sentence of each pair, for WER and other metrics of recognition.
        jobs: worker processes for runs; 0 works in this one.
        brought: recognizers and weights as the keywords of
            `evaluation.scoring.settings.read_settings`: `recognizer`, `recognizer_path`,
            `nisqa_weights`, `syncnet_weights`, …; for runs alone.

    Returns:
        One line per clip and metric. The columns for runs are `system`, `clip`, `speaker`, `stem`,
        `metric`, `value`, `unit`, `status`, `reason` and `weight`; for pairs, `pair` (its number)
        replaces the first four and `details` (the parts of the value) is added. A failed score has
        no value (NaN) and a reason. The scores of runs are kept in their `scores.jsonl`.

    Raises:
        BadInput: no run directory, an unknown metric, samples without a rate, or settings that do not
            fit.
        MissingDependency: a metric that was named needs a library or weights that are absent.

    Example:
        >>> import numpy as np
        >>> import evaluation
        >>> rng = np.random.default_rng(0)
        >>> speech = rng.standard_normal(32_000) * np.sin(np.arange(32_000) / 3000) ** 2 / 8
        >>> pairs = [(speech, speech), (speech, speech / 2)]
        >>> table = evaluation.score(pairs, metrics=["stoi", "mel_l1"], rate_hz=16_000)
        >>> table.pivot(index="pair", columns="metric", values="value").round(3).to_dict("list")
        {'mel_l1': [0.0, 0.693], 'stoi': [1.0, 1.0]}
    """
    if isinstance(pairs, (str, os.PathLike, HasRoot)):
        return _score_runs([pairs], metrics, jobs, brought)
    given = list(pairs)
    if given and all(isinstance(item, (str, os.PathLike, HasRoot)) for item in given):
        return _score_runs(given, metrics, jobs, brought)  # type: ignore[arg-type]
    if brought:
        raise BadInput(
            f"{', '.join(brought)} given for pairs of sounds",
            "pass them for run directories, or call evaluation.metrics directly",
        )
    return _score_pairs(given, metrics, rate_hz, sentences)  # type: ignore[arg-type]


def _score_runs(
    given: Sequence[Scored], names: Sequence[str] | None, jobs: int, brought: dict[str, Any]
) -> pd.DataFrame:
    runs = [read_run(Path(g) if isinstance(g, (str, os.PathLike)) else g.root) for g in given]
    chosen, absent = select(names, read_settings(runs, **brought))
    if names and absent:
        raise MissingDependency("; ".join(absent))
    return scores_to_dataframe(score_runs(runs, chosen, jobs, progress=False))


def _score_pairs(
    given: Sequence[SoundPair],
    names: Sequence[str] | None,
    rate_hz: int | None,
    sentences: Sequence[str],
) -> pd.DataFrame:
    import pandas as pd

    if sentences and len(sentences) != len(given):
        raise BadInput(f"{len(sentences)} sentences for {len(given)} pairs", "give one for each")
    lines = []
    chosen = _for_pairs(names, with_text=bool(sentences))
    for number, (reference, degraded) in enumerate(given):
        said = sentences[number] if sentences else ""
        pair = paired(reference, degraded, rate_hz, sentence=said)
        for metric in chosen:
            s = metric.score(pair)
            lines.append(
                (number, s.metric, s.value, s.unit, s.status, s.reason, s.weight, s.details)
            )
    return pd.DataFrame(lines, columns=list(PAIR_COLUMNS)).astype({"value": float})


def _for_pairs(names: Sequence[str] | None, *, with_text: bool) -> list[Metric]:
    """Metrics of pairs that belong to no run: by default neither those that ask who is speaking, nor
    those that need weights."""
    settings = Settings(recognizer=DEFAULT)
    asked = names or [
        *(n for n in REGISTRY if n not in OPTIONAL and get_metric(n).info.group != "voice"),
        *(n for n in ("cer", "wer") if with_text),
    ]
    chosen = []
    for name in asked:
        metric = get_metric(name, settings if name in RECOGNITION else Settings())
        metric.require()
        chosen.append(metric)
    return chosen
