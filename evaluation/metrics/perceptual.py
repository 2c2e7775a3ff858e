"""PESQ (ITU-T P.862), optional: the `pesq` package is built by a C compiler."""

from __future__ import annotations

from typing import Literal

from evaluation.inputs.pairs import SCORING_RATE_HZ, Array, Pair, Samples, Unscorable, paired
from evaluation.inputs.settings import Settings
from evaluation.metrics import protocols
from evaluation.metrics.base import Metric, MetricInfo


def pesq(
    reference: Array, degraded: Array, rate_hz: int, mode: Literal["wb", "nb"] = "wb"
) -> float:
    """PESQ as MOS-LQO (ITU-T P.862), 1 to 4.64 (`wb`, P.862.2) or 4.55 (`nb`, P.862.1), higher is better;
    the two do not compare. Needs the optional package `pesq`.

    Args:
        reference: (n,) or (n, channels) samples of the recording, floats of full scale ±1 or integers.
        degraded: the same of the speech that is scored, at most 0.25 s shorter or longer; the longer
            one is cut at its end.
        rate_hz: of both; they are brought to 16 kHz.
        mode: wide band, or narrow band as older papers print it.

    Raises:
        Unscorable: there is no value; its `reason` is stable (`silent`, `length_mismatch`, …).
        BadInput: arrays that are no sound.
        ImportError: the package is not installed.

    Example:
        >>> import numpy as np
        >>> from evaluation import metrics
        >>> rng = np.random.default_rng(0)
        >>> speech = rng.standard_normal(32_000) * np.sin(np.arange(32_000) / 3000) ** 2 / 8
        >>> noisy = speech + 0.02 * rng.standard_normal(32_000)
        >>> metrics.pesq(speech, noisy, 16_000)  # doctest: +SKIP
        1.4
    """
    return p862(*paired(reference, degraded, rate_hz).trimmed(), mode)


def p862(
    reference: Samples,
    degraded: Samples,
    mode: Literal["wb", "nb"],
    rate_hz: int = SCORING_RATE_HZ,
) -> float:
    """PESQ as MOS-LQO of (n,) samples at 16 kHz, or at 8 kHz in narrow band. Raises `Unscorable`:
    `no_utterances`, where PESQ finds no speech."""
    import pesq as library

    try:
        return float(library.pesq(rate_hz, reference, degraded, mode))
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
            "PESQ MOS-LQO, wide band (ITU-T P.862.2), at 16 kHz; PESQ aligns the signals itself."
        ),
        citation="ITU-T P.862.2, 2007",
        license="MIT wrapper around the ITU-T reference code",
        parameters={"mode": "wb", "sample_rate_hz": SCORING_RATE_HZ},
        decimals=2,
        libraries=("pesq",),
    )

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        """Returns True beside the columns of a published protocol."""
        return cls.info.name in protocols.beside(settings.as_published)

    def value(self, pair: Pair) -> float:
        return p862(*pair.trimmed(), "wb")


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
        return p862(*pair.trimmed(), "nb")
