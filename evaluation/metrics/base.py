"""What a metric is, and the registry of all of them.

A metric is a pure function of arrays first (`intelligibility.stoi`), and a thin class second that
declares what a table has to print about it and turns whatever goes wrong into a failed score.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Literal

from evaluation.inputs import Pair, Unscorable
from manifests.errors import BadInput, MissingDependency
from manifests.records import Score

Direction = Literal["higher", "lower", "none"]
Group = Literal["main", "aligned", "input"]

REGISTRY: dict[str, str] = {
    "stoi": "evaluation.metrics.intelligibility:Stoi",
    "estoi": "evaluation.metrics.intelligibility:Estoi",
    "pesq_wb": "evaluation.metrics.pesq:PesqWideBand",
    "pesq_nb": "evaluation.metrics.pesq:PesqNarrowBand",
    "mcd": "evaluation.metrics.cepstrum:Mcd",
    "mel_l1": "evaluation.metrics.cepstrum:MelL1",
    "f0_rmse": "evaluation.metrics.pitch:F0Rmse",
    "vuv_error": "evaluation.metrics.pitch:VuvError",
    "f0_corr": "evaluation.metrics.pitch:F0Correlation",
    "stoi_aligned": "evaluation.metrics.intelligibility:StoiAligned",
    "estoi_aligned": "evaluation.metrics.intelligibility:EstoiAligned",
    "mcd_dtw": "evaluation.metrics.cepstrum:McdDtw",
    "offset_ms": "evaluation.metrics.offset:OffsetMs",
    "length_difference_ms": "evaluation.metrics.input_checks:LengthDifference",
    "level_dbfs": "evaluation.metrics.input_checks:Level",
    "clipped_percent": "evaluation.metrics.input_checks:Clipped",
    "sample_rate_hz": "evaluation.metrics.input_checks:SampleRate",
}
"""Name → "module:Class", in the order of the columns."""

OPTIONAL = ("pesq_wb", "pesq_nb")
"""Computed when asked for by name."""


@dataclass(frozen=True)
class MetricInfo:
    """What a table prints about a metric, and what its cache key covers.

    Attributes:
        name: as in the registry and in `scores.jsonl`.
        label: column head.
        unit: "" where it has none.
        direction: which way is better; `none` describes the input and is never ranked.
        definition: one or two sentences, printed in captions.
        citation: where it comes from.
        licence: of the implementation.
        parameters: everything that changes the value.
        group: the table it belongs to.
        decimals: digits printed.
        needs_reference: whether the recording of the same clip is needed.
        libraries: distributions whose version changes the value.
        extra: pip extra that brings them, "" where the toolkit itself does.
        revision: raised when our code changes the value.
    """

    name: str
    label: str
    unit: str
    direction: Direction
    definition: str
    citation: str
    licence: str = "MIT"
    parameters: dict[str, Any] = field(default_factory=dict)
    group: Group = "main"
    decimals: int = 3
    needs_reference: bool = True
    libraries: tuple[str, ...] = ()
    extra: str = ""
    revision: int = 1

    @property
    def arrow(self) -> str:
        return {"higher": "↑", "lower": "↓", "none": ""}[self.direction]

    @property
    def heading(self) -> str:
        """`MCD (dB) ↓`."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.label}{unit} {self.arrow}".rstrip()

    def identity(self) -> dict[str, Any]:
        """What decides the value beside the files' content: part of the cache key."""
        return {
            "metric": self.name,
            "revision": self.revision,
            "parameters": self.parameters,
            "versions": {name: library_version(name) for name in self.libraries},
        }

    def variant(self, **changes: Any) -> MetricInfo:
        return dataclasses.replace(self, **changes)


class Metric(ABC):
    """One column. Subclasses state `info` and compute `value`."""

    info: ClassVar[MetricInfo]

    @abstractmethod
    def value(self, pair: Pair) -> float:
        """The number, or `Unscorable` with the reason why there is none."""

    def require(self) -> None:
        """Raises `MissingDependency` when an optional library is absent."""
        missing = [n for n in self.info.libraries if library_version(n) == "absent"]
        if missing:
            remedy = (
                f"pip install 'facetron-toolkit[{self.info.extra}]'"
                if self.info.extra
                else f"pip install {' '.join(missing)}"
            )
            raise MissingDependency(f"{self.info.name} needs {', '.join(missing)}", remedy)

    def score(self, pair: Pair) -> Score:
        """Never raises for what a clip may hold: every failure becomes a failed score."""
        value: float | None = None
        try:
            value = float(self.value(pair))
            if not math.isfinite(value):
                raise Unscorable("not_a_number", f"the value is {value}")
            # Nine digits: below them lie the rounding of FFTs and ESTOI's random dither (1e-16).
            value = float(f"{value:.9g}")
            reason = ""
        except Unscorable as failure:
            value, reason = None, str(failure)
        except Exception as error:  # a defect in one metric must not cost the others
            value, reason = None, f"raised: {type(error).__name__}: {error}"
        return Score(
            speaker=pair.clip.speaker,
            stem=pair.clip.stem,
            metric=self.info.name,
            value=value,
            status="failed" if value is None else "ok",
            reason=reason,
            unit=self.info.unit,
            parameters=self.info.parameters,
        )


@cache
def library_version(name: str) -> str:
    """Installed version of a distribution, or `absent`."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


@cache
def get_metric(name: str) -> Metric:
    """The metric of that name. Raises `BadInput` with the choices for an unknown one."""
    if name not in REGISTRY:
        raise BadInput(f"there is no metric {name!r}", f"choose from {', '.join(REGISTRY)}")
    module, attribute = REGISTRY[name].split(":")
    metric = getattr(importlib.import_module(module), attribute)()
    if not isinstance(metric, Metric):
        raise TypeError(f"{REGISTRY[name]} is not a Metric")
    return metric


def select(names: Sequence[str] | None) -> tuple[list[Metric], list[str]]:
    """(metrics in the registry's order, one line for each one that was asked for and is absent).

    None asks for all but the optional ones. Raises `BadInput` for an unknown name.
    """
    asked = list(dict.fromkeys(names)) if names else [n for n in REGISTRY if n not in OPTIONAL]
    metrics, absent = [], []
    for metric in sorted(map(get_metric, asked), key=lambda m: list(REGISTRY).index(m.info.name)):
        try:
            metric.require()
        except MissingDependency as error:
            absent.append(str(error))
        else:
            metrics.append(metric)
    return metrics, absent
