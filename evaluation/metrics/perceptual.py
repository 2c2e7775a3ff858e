"""PESQ (ITU-T P.862), optional: the `pesq` package is built by a C compiler."""

from __future__ import annotations

from typing import Literal

from evaluation.inputs.pairs import SCORING_RATE_HZ, Pair, Samples, Unscorable
from evaluation.metrics.base import Metric, MetricInfo


def pesq(
    reference: Samples, degraded: Samples, sample_rate_hz: int, mode: Literal["wb", "nb"]
) -> float:
    """MOS-LQO, 1 to 4.64 (wb, P.862.2) or 4.55 (nb, P.862.1); the two do not compare.

    Raises:
        Unscorable: `no_utterances`, where PESQ finds no speech in one of the two.
    """
    import pesq as library

    try:
        return float(library.pesq(sample_rate_hz, reference, degraded, mode))
    except (library.PesqError, ValueError) as error:
        # A silent file raises ValueError (NaN), not PesqError.
        text = error.args[0] if error.args else type(error).__name__
        text = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        raise Unscorable("no_utterances", f"PESQ: {text}") from None


class PesqWideBand(Metric):
    info = MetricInfo(
        name="pesq_wb",
        label="PESQ (wb)",
        unit="",
        direction="higher",
        definition=(
            "PESQ MOS-LQO, wide band (ITU-T P.862.2), 16 kHz; it aligns the signals itself."
        ),
        citation="ITU-T P.862.2, 2007",
        license="MIT wrapper around the ITU-T reference code",
        parameters={"mode": "wb", "sample_rate_hz": SCORING_RATE_HZ},
        decimals=2,
        libraries=("pesq",),
        extra="pesq",
    )

    def value(self, pair: Pair) -> float:
        return pesq(*pair.trimmed(), SCORING_RATE_HZ, "wb")


class PesqNarrowBand(Metric):
    info = PesqWideBand.info.variant(
        name="pesq_nb",
        label="PESQ (nb)",
        definition=(
            "PESQ MOS-LQO, narrow band (ITU-T P.862.1), at 16 kHz, as older papers print it; far "
            "above the wide-band value of the same pair."
        ),
        citation="ITU-T P.862.1, 2003",
        parameters={"mode": "nb", "sample_rate_hz": SCORING_RATE_HZ},
    )

    def value(self, pair: Pair) -> float:
        return pesq(*pair.trimmed(), SCORING_RATE_HZ, "nb")
