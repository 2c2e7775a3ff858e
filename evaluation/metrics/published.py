"""Metrics as published code computes them, faults included (`evaluation.metrics.protocols`).

They show what a paper's protocol makes of the same files. Nothing here is ranked or bold.
"""

from __future__ import annotations

import math
import warnings
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from evaluation.inputs.pairs import SCORING_RATE_HZ, Pair, Samples, Unscorable
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import Direction, Measured, Metric, MetricInfo
from evaluation.metrics.perceptual import PesqNarrowBand, PesqWideBand, p862
from evaluation.metrics.protocols import protocol_of
from evaluation.metrics.recognition import CharacterErrorRate, WordErrorRate

NARROW_HZ = 8000
WORST_MISMATCH_SAMPLES = 10_000
"""Mira et al. stop beyond it."""
WINDOW_SAMPLES, STEP_SAMPLES, FFT, FILTERS, KEPT, LIFTER = 400, 160, 512, 26, 13, 22
"""Defaults of python_speech_features 0.6 at 16 kHz."""


def wrapped_int16(samples: Samples) -> NDArray[np.int16]:
    """int16(round(65536·x)) as NumPy casts it: values beyond ±0.5 come back with the other sign.

    Args:
        samples: (n,), full scale ±1.

    Example:
        >>> import numpy as np
        >>> wrapped_int16(np.array([0.25, 0.5, 0.75, -0.75])).tolist()
        [16384, -32768, -16384, 16384]
    """
    return np.round(samples * 2**16).astype(np.int64).astype(np.int16)


def raw_mos(mos_lqo: float) -> float:
    """P.862's raw score from the MOS-LQO of P.862.1, whose mapping is strictly increasing.

    Example:
        >>> round(raw_mos(4.548638343811035), 4)
        4.5
    """
    return (4.6607 - math.log(4 / (mos_lqo - 0.999) - 1)) / 1.4945


@cache
def _filters() -> NDArray[np.float64]:
    """(26, 257) triangles whose corners are whole bins."""
    top = 2595 * np.log10(1 + SCORING_RATE_HZ / 2 / 700)
    corners_hz = 700 * (10 ** (np.linspace(0, top, FILTERS + 2) / 2595) - 1)
    bins = np.floor((FFT + 1) * corners_hz / SCORING_RATE_HZ)
    bank = np.zeros((FILTERS, FFT // 2 + 1))
    for i in range(FILTERS):
        low, middle, high = bins[i : i + 3]
        rising, falling = np.arange(int(low), int(middle)), np.arange(int(middle), int(high))
        bank[i, rising] = (rising - low) / (middle - low)
        bank[i, falling] = (high - falling) / (high - middle)
    return bank


def mfccs(samples: Samples) -> NDArray[np.float64]:
    """(T, 13) MFCCs of (n,) samples at 16 kHz as python_speech_features 0.6 makes them by default:
    windows of 25 ms without a taper every 10 ms, the last filled with zeros, lifter 22, the log energy
    in the place of c0."""
    emphasized = np.append(samples[0], samples[1:] - 0.97 * samples[:-1])
    count = 1 + max(0, math.ceil((len(samples) - WINDOW_SAMPLES) / STEP_SAMPLES))
    filled = np.zeros((count - 1) * STEP_SAMPLES + WINDOW_SAMPLES)
    filled[: len(emphasized)] = emphasized[: len(filled)]
    frames = np.lib.stride_tricks.sliding_window_view(filled, WINDOW_SAMPLES)[::STEP_SAMPLES]
    power = np.abs(fft.rfft(frames, FFT)) ** 2 / FFT
    tiny = np.finfo(float).eps
    energy, bands = power.sum(axis=1), power @ _filters().T
    energy[energy == 0], bands[bands == 0] = tiny, tiny
    found = fft.dct(np.log(bands), type=2, norm="ortho")[:, :KEPT]
    found *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(KEPT) / LIFTER)
    found[:, 0] = np.log(energy)
    return np.asarray(found)


def wrapped_stoi(reference: Samples, degraded: Samples) -> float:
    """STOI of two sounds of one length after `wrapped_int16`; too little speech is 1e-5, as pystoi
    returns it."""
    import pystoi

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(pystoi.stoi(*map(wrapped_int16, (reference, degraded)), SCORING_RATE_HZ))


def narrow(reference: Samples, degraded: Samples) -> float:
    """PESQ as MOS-LQO of sounds at 16 kHz brought to 8 kHz. Raises `Unscorable` where there is none."""
    import soxr

    both = [soxr.resample(s, SCORING_RATE_HZ, NARROW_HZ, "HQ") for s in (reference, degraded)]
    return p862(both[0], both[1], "nb", NARROW_HZ)


def _cut(pair: Pair) -> tuple[Samples, Samples]:
    """(reference, degraded) cut to the shorter one, whatever they hold."""
    reference, degraded = pair.unchecked()
    if abs(len(reference) - len(degraded)) >= WORST_MISMATCH_SAMPLES:
        raise Unscorable("length_mismatch", "the published code stops at such lengths")
    n = min(len(reference), len(degraded))
    return reference[:n], degraded[:n]


def _as(
    column: str, of: MetricInfo, definition: str, direction: Direction = "higher"
) -> MetricInfo:
    """Describes the column of a protocol by the metric that it departs from."""
    protocol = protocol_of(column)
    return of.variant(
        name=column,
        label=f"{of.label.partition(' (')[0]} as {protocol.label}",
        direction=direction,
        definition=f"{definition}, as the code of {protocol.label} has it ({protocol.source})",
        citation=protocol.paper,
        parameters={"protocol": protocol.name},
        group="published",
        highest=None,
        revision=1,
    )


class _Published(Metric):
    """Base: computed where its protocol is asked for."""

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return protocol_of(cls.info.name).name in settings.as_published


STOI = MetricInfo("stoi", "STOI", "", "higher", "", "", libraries=("pystoi",))
WRAPS = "STOI of int16(round(65536·x)), which wraps around beyond half of full scale"


class StoiAsMira(_Published):
    info = _as("stoi_as_mira2022", STOI, WRAPS)

    def measure(self, pair: Pair) -> Measured:
        reference, degraded = _cut(pair)
        share = float(np.mean(np.abs(np.concatenate([reference, degraded])) >= 0.5))
        return Measured(wrapped_stoi(reference, degraded), details={"wrapped_share": share})


class StoiAsXts(StoiAsMira):
    info = _as("stoi_as_xts2021", STOI, WRAPS)


def _or_zero(measure: float | Unscorable) -> Measured:
    if isinstance(measure, Unscorable):
        return Measured(0.0, details={"counted_as_zero": str(measure)})
    return Measured(measure)


def _tried(pair: Pair, *, wide: bool) -> float | Unscorable:
    try:
        if wide:
            return p862(*pair.unchecked(), "wb")
        return raw_mos(narrow(*_cut(pair)))
    except Unscorable as failure:
        if failure.reason in ("no_utterances", "too_short"):
            return failure
        raise


class PesqAsXts(_Published):
    info = _as(
        "pesq_as_xts2021",
        PesqNarrowBand.info,
        "P.862's raw score, −0.5 to 4.5, narrow band at 8 kHz",
    )

    def measure(self, pair: Pair) -> Measured:
        return Measured(raw_mos(narrow(*pair.trimmed())))


class PesqAsMira(_Published):
    info = _as(
        "pesq_as_mira2022",
        PesqNarrowBand.info,
        "P.862's raw score, −0.5 to 4.5, narrow band at 8 kHz, with 0.0 for every error",
    )

    def measure(self, pair: Pair) -> Measured:
        return _or_zero(_tried(pair, wide=False))


class PesqAsVcaGan(_Published):
    info = _as(
        "pesq_as_vcagan2021", PesqNarrowBand.info, "PESQ MOS-LQO (P.862.1), narrow band at 8 kHz"
    )

    def measure(self, pair: Pair) -> Measured:
        return Measured(narrow(*pair.trimmed()))


class PesqAsVersa(_Published):
    info = _as(
        "pesq_as_versa2024",
        PesqWideBand.info,
        "PESQ MOS-LQO, wide band at 16 kHz, with 0.0 for every error",
    )

    def measure(self, pair: Pair) -> Measured:
        return _or_zero(_tried(pair, wide=True))


class McdAsMira(_Published):
    info = _as(
        "mcd_as_mira2022",
        MetricInfo("mcd", "MCD", "", "lower", "", "", decimals=2),
        "Mean over frames of the Euclidean distance of 13 MFCCs (python_speech_features, the log "
        "energy in the place of c0), no factor, no time warping; its unit is not the decibel",
        "lower",
    )

    def measure(self, pair: Pair) -> Measured:
        reference, degraded = _cut(pair)
        distances = np.linalg.norm(mfccs(reference) - mfccs(degraded), axis=1)
        return Measured(float(distances.mean()))


class WerAsMira(WordErrorRate):
    info = _as(
        "wer_as_mira2022",
        WordErrorRate.info,
        "Word edits over the words that the recognizer heard instead of those that were said, mean "
        "over clips; nothing heard counts as one word",
        "lower",
    )

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return "mira2022" in settings.as_published and bool(settings.recognizer)

    def measure(self, pair: Pair) -> Measured:
        found = self.comparison(pair)
        heard = max(len(found.hypothesis.split()), 1)
        return Measured(100 * found.words.errors / heard, details={"heard": found.hypothesis})


class WerAsVcaGan(WordErrorRate):
    info = _as(
        "wer_as_vcagan2021",
        WordErrorRate.info,
        "Mean over clips of the clip's word error rate",
        "lower",
    )

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return "vcagan2021" in settings.as_published and bool(settings.recognizer)

    def measure(self, pair: Pair) -> Measured:
        return Measured(self.comparison(pair).words.rate_percent)


class CerAsVcaGan(CharacterErrorRate):
    info = _as(
        "cer_as_vcagan2021",
        CharacterErrorRate.info,
        "Mean over clips of the clip's character error rate",
        "lower",
    )

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return "vcagan2021" in settings.as_published and bool(settings.recognizer)

    def measure(self, pair: Pair) -> Measured:
        return Measured(self.comparison(pair).characters.rate_percent)
