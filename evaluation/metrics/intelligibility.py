"""STOI and ESTOI (pystoi), raw and with the constant delay taken out."""

from __future__ import annotations

import warnings

from evaluation.inputs.pairs import SCORING_RATE_HZ, Pair, Samples, Unscorable
from evaluation.metrics import offset
from evaluation.metrics.base import Metric, MetricInfo


def stoi(reference: Samples, degraded: Samples, sample_rate_hz: int) -> float:
    """Short-time objective intelligibility, about 0 to 1.

    Args:
        reference, degraded: (n,) both.
        sample_rate_hz: of both; pystoi resamples to 10 kHz.

    Raises:
        Unscorable: `too_little_speech`, where pystoi warns and returns 1e-5.
    """
    return _pystoi(reference, degraded, sample_rate_hz, extended=False)


def estoi(reference: Samples, degraded: Samples, sample_rate_hz: int) -> float:
    """Extended STOI; as `stoi`."""
    return _pystoi(reference, degraded, sample_rate_hz, extended=True)


def _pystoi(reference: Samples, degraded: Samples, sample_rate_hz: int, *, extended: bool) -> float:
    import pystoi

    # All its warnings mean that there is no value; whoever calls us may have silenced them.
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(pystoi.stoi(reference, degraded, sample_rate_hz, extended=extended))
        except RuntimeWarning as warning:
            if "Not enough STFT frames" in str(warning):
                raise Unscorable(
                    "too_little_speech",
                    "fewer than 30 STFT frames (384 ms) of the recording are within 40 dB of its "
                    "loudest frame",
                ) from None
            raise Unscorable("not_a_number", f"pystoi warned: {warning}") from None


class Stoi(Metric):
    info = MetricInfo(
        name="stoi",
        label="STOI",
        unit="",
        direction="higher",
        definition=(
            "Short-time objective intelligibility against the recording of the same clip "
            "(pystoi, 10 kHz); signals cut to the shorter one, not aligned."
        ),
        citation="Taal et al., IEEE TASLP 19(7), 2011",
        parameters={"sample_rate_hz": SCORING_RATE_HZ, "aligned": False},
        libraries=("pystoi",),
    )

    def value(self, pair: Pair) -> float:
        return stoi(*pair.trimmed(), SCORING_RATE_HZ)


class Estoi(Metric):
    info = Stoi.info.variant(
        name="estoi",
        label="ESTOI",
        definition="Extended STOI, under the same conditions.",
        citation="Jensen and Taal, IEEE/ACM TASLP 24(11), 2016",
    )

    def value(self, pair: Pair) -> float:
        return estoi(*pair.trimmed(), SCORING_RATE_HZ)


ALIGNED_PARAMETERS = {"sample_rate_hz": SCORING_RATE_HZ, "aligned": True, **offset.PARAMETERS}


class StoiAligned(Metric):
    info = Stoi.info.variant(
        name="stoi_aligned",
        label="STOI, aligned",
        definition="STOI after the constant offset of each clip has been taken out.",
        parameters=ALIGNED_PARAMETERS,
        group="aligned",
    )

    def value(self, pair: Pair) -> float:
        return stoi(*offset.aligned(pair), SCORING_RATE_HZ)


class EstoiAligned(Metric):
    info = Estoi.info.variant(
        name="estoi_aligned",
        label="ESTOI, aligned",
        definition="ESTOI after the constant offset of each clip has been taken out.",
        parameters=ALIGNED_PARAMETERS,
        group="aligned",
    )

    def value(self, pair: Pair) -> float:
        return estoi(*offset.aligned(pair), SCORING_RATE_HZ)
