"""STOI and ESTOI (pystoi), as is and with the constant delay removed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from evaluation.inputs.pairs import SCORING_RATE_HZ, Array, Pair, Unscorable, paired
from evaluation.metrics import offset
from evaluation.metrics.base import Metric, MetricInfo


def stoi(reference: Array, degraded: Array, rate_hz: int, *, aligned: bool = False) -> float:
    """Short-time objective intelligibility (Taal et al., 2011; pystoi), about 0 to 1, higher is better.

    Args:
        reference: (n,) or (n, channels) samples of the recording, floats of full scale ±1 or integers.
        degraded: the same of the speech that is scored, at most 0.25 s shorter or longer; the longer
            one is cut at its end.
        rate_hz: of both; they are brought to 16 kHz.
        aligned: remove the constant delay of the speech first.

    Raises:
        Unscorable: there is no value; its `reason` is stable (`silent`, `length_mismatch`, …).
        BadInput: arrays that are no sound.

    Example:
        >>> import numpy as np
        >>> from evaluation import metrics
        >>> rng = np.random.default_rng(0)
        >>> speech = rng.standard_normal(32_000) * np.sin(np.arange(32_000) / 3000) ** 2 / 8
        >>> noisy = speech + 0.02 * rng.standard_normal(32_000)
        >>> round(metrics.stoi(speech, noisy, 16_000), 2)
        0.98
    """
    return _measured(reference, degraded, rate_hz, extended=False, aligned=aligned)


def estoi(reference: Array, degraded: Array, rate_hz: int, *, aligned: bool = False) -> float:
    """Extended STOI (Jensen and Taal, 2016; pystoi), about 0 to 1, higher is better; otherwise as `stoi`.

    Example:
        >>> import numpy as np
        >>> from evaluation import metrics
        >>> rng = np.random.default_rng(0)
        >>> speech = rng.standard_normal(32_000) * np.sin(np.arange(32_000) / 3000) ** 2 / 8
        >>> noisy = speech + 0.02 * rng.standard_normal(32_000)
        >>> metrics.estoi(speech, noisy, 16_000) < metrics.estoi(speech, speech, 16_000)
        True
    """
    return _measured(reference, degraded, rate_hz, extended=True, aligned=aligned)


def _measured(
    reference: Array, degraded: Array, rate_hz: int, *, extended: bool, aligned: bool
) -> float:
    return _pystoi(paired(reference, degraded, rate_hz), extended=extended, aligned=aligned)


def _pystoi(pair: Pair, *, extended: bool, aligned: bool) -> float:
    import pystoi

    both = offset.aligned(pair) if aligned else pair.trimmed()
    # All its warnings mean that there is no value; whoever calls us may have silenced them.
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            with same_dither():
                return float(pystoi.stoi(*both, SCORING_RATE_HZ, extended=extended))
        except RuntimeWarning as warning:
            if "Not enough STFT frames" in str(warning):
                raise Unscorable(
                    "too_little_speech",
                    "fewer than 30 STFT frames (384 ms) of the recording are within 40 dB of its "
                    "loudest frame",
                ) from None
            raise Unscorable("not_a_number", f"pystoi warned: {warning}") from None


@contextmanager
def same_dither() -> Iterator[None]:
    """Makes pystoi add the same noise each time. ESTOI adds some of 1e-16 and then brings every band to one
    level, so that in digital silence nothing but this noise is compared: on published speech that is half
    zeros the number changed by 0.005 from call to call."""
    before = np.random.get_state()  # noqa: NPY002  pystoi draws from this generator
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


class Stoi(Metric):
    extended = aligned = False
    info = MetricInfo(
        name="stoi",
        label="STOI",
        unit="",
        direction="higher",
        highest=1.0,
        definition=(
            "Short-time objective intelligibility against the recording of the same clip "
            "(pystoi, 10 kHz); the signals are cut to the shorter one and not aligned."
        ),
        citation="Taal et al., IEEE TASLP 19(7), 2011",
        parameters={"sample_rate_hz": SCORING_RATE_HZ, "aligned": False},
        libraries=("pystoi",),
    )

    def value(self, pair: Pair) -> float:
        return _pystoi(pair, extended=self.extended, aligned=self.aligned)


class Estoi(Stoi):
    extended = True
    info = Stoi.info.variant(
        name="estoi",
        label="ESTOI",
        definition="Extended STOI, under the same conditions as STOI.",
        citation="Jensen and Taal, IEEE/ACM TASLP 24(11), 2016",
        revision=2,  # 1 drew another dither each time
    )


ALIGNED_PARAMETERS = {"sample_rate_hz": SCORING_RATE_HZ, "aligned": True, **offset.PARAMETERS}


class StoiAligned(Stoi):
    aligned = True
    info = Stoi.info.variant(
        name="stoi_aligned",
        label="STOI, aligned",
        definition="STOI after the constant offset of each clip has been removed.",
        parameters=ALIGNED_PARAMETERS,
        group="aligned",
    )


class EstoiAligned(Estoi):
    aligned = True
    info = Estoi.info.variant(
        name="estoi_aligned",
        label="ESTOI, aligned",
        definition="ESTOI after the constant offset of each clip has been removed.",
        parameters=ALIGNED_PARAMETERS,
        group="aligned",
    )
