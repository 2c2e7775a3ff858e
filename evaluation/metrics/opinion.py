"""Opinions of listeners that independent networks predict without the recording: DNSMOS, DistillMOS."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict

from evaluation.inputs.pairs import Array, Pair, Samples, paired
from evaluation.metrics.base import Measured, Metric, MetricInfo
from evaluation.models.judges import DISTILLMOS, DNSMOS

LONGEST_S = 120.0
"""What is longer is no clip; a network hears it in pieces of some seconds, one a second."""


def dnsmos(samples: Array, rate_hz: int) -> float:
    """Overall opinion of listeners (P.808), 1 to 5, as DNSMOS predicts it without a reference.

    Args:
        samples: (n,) or (n, channels), floats of full scale ±1 or integers.
        rate_hz: of the samples; they are brought to 16 kHz.

    Raises:
        Unscorable: there is no value; its `reason` is stable (`silent`, …).
        BadInput: arrays that are no sound.
        MissingDependency: onnxruntime or the networks are absent.

    Example:
        >>> from evaluation import metrics
        >>> metrics.dnsmos(speech, 16_000)  # doctest: +SKIP
        3.69
    """
    return _told_by(Dnsmos(), samples, rate_hz)


def distillmos(samples: Array, rate_hz: int) -> float:
    """Opinion of listeners, 1 to 5, as DistillMOS predicts it without a reference.

    Args:
        samples: (n,) or (n, channels), floats of full scale ±1 or integers.
        rate_hz: of the samples; they are brought to 16 kHz.

    Raises:
        Unscorable: there is no value; its `reason` is stable (`silent`, …).
        BadInput: arrays that are no sound.
        MissingDependency: the weights are absent.

    Example:
        >>> from evaluation import metrics
        >>> metrics.distillmos(speech, 16_000)  # doctest: +SKIP
        3.8
    """
    return _told_by(DistillMos(), samples, rate_hz)


def _told_by(metric: Opinion, samples: Array, rate_hz: int) -> float:
    metric.require()
    return metric.value(paired(None, samples, rate_hz))


class Opinion(Metric):
    """Base of the metrics of this module."""

    @abstractmethod
    def of_sound(self, samples: Samples) -> Measured:
        """Returns the opinion of (n,) samples at 16 kHz."""

    def measure(self, pair: Pair) -> Measured:
        recording = pair.degraded
        sound = recording.clip_sound(LONGEST_S)  # refuses silence
        return recording.once(f"opinion {self.info.name}", lambda: self.of_sound(sound.samples))


class Dnsmos(Opinion):
    judge = DNSMOS
    info = MetricInfo(
        name="dnsmos",
        label="DNSMOS P.808",
        unit="",
        direction="higher",
        definition=(
            "Overall opinion (P.808, 1 to 5) that a network trained for noise suppressors predicts "
            "without the recording. Recordings do not reach 5, so read it beside their score."
        ),
        citation="Reddy, Gopal, Cutler, ICASSP 2021; speechmos 0.0.1.1",
        license="MIT (Microsoft, networks included)",
        parameters={"sha256": [file.sha256 for file in DNSMOS.files]},
        group="headline",
        decimals=2,
        needs_reference=False,
        has_floor=True,
        libraries=("onnxruntime",),
    )

    def of_sound(self, samples: Samples) -> Measured:
        from evaluation.models.dnsmos import p808

        return Measured(round(p808(samples), 4))


class DnsmosOverall(Dnsmos):
    info = Dnsmos.info.variant(
        name="dnsmos_ovrl",
        label="DNSMOS OVRL",
        definition=(
            "Overall opinion of signal and background together (P.835, 1 to 5), predicted by the other "
            "network of DNSMOS, which takes over ten times as long."
        ),
        citation="Reddy, Gopal, Cutler, ICASSP 2022; speechmos 0.0.1.1",
        group="main",
    )

    def of_sound(self, samples: Samples) -> Measured:
        from evaluation.models.dnsmos import p835

        found = asdict(p835(samples))
        details = {name: round(value, 4) for name, value in found.items() if name != "ovrl"}
        return Measured(round(found["ovrl"], 4), details=details)


class DistillMos(Opinion):
    judge = DISTILLMOS
    info = MetricInfo(
        name="distillmos",
        label="DistillMOS",
        unit="",
        direction="higher",
        definition=(
            "Opinion of listeners (1 to 5) that a network distilled from a large one predicts without "
            "the recording. Recordings do not reach 5, so read it beside their score."
        ),
        citation="Stahl and Gamper, ICASSP 2025; distillmos 0.9.1, variant 7",
        license="MIT (Microsoft, weights included)",
        parameters={"sha256": [file.sha256 for file in DISTILLMOS.files]},
        group="headline",
        decimals=2,
        needs_reference=False,
        has_floor=True,
        libraries=("torch",),
    )

    def of_sound(self, samples: Samples) -> Measured:
        from evaluation.models.distillmos import opinion

        return Measured(round(opinion(samples), 4))
