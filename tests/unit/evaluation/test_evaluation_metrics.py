"""Each metric's pure function: pinned numbers, closed forms, and what must fail."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from evaluation.inputs.pairs import Pair, Recording, Unscorable
from evaluation.inputs.pitch import track_f0
from evaluation.metrics import base, cepstrum, intelligibility, offset, perceptual, pitch
from manifests.errors import BadInput
from manifests.mel import mel_spectrogram
from manifests.records import RunClip

RATE_HZ = 16_000
Make = Callable[..., NDArray[np.float64]]


def make_pair(folder: Path, reference: NDArray[np.float64], degraded: NDArray[np.float64]) -> Pair:
    soundfile.write(folder / "reference.wav", reference, RATE_HZ, subtype="FLOAT")
    soundfile.write(folder / "degraded.wav", degraded, RATE_HZ, subtype="FLOAT")
    clip = RunClip("s1", "bbaf2n", "bin blue at f two now", "male", "degraded.wav")
    return Pair(clip, Recording(folder / "degraded.wav"), Recording(folder / "reference.wav"))


def test_stoi_equals_pystoi(make_sound: Make) -> None:
    import pystoi

    a = make_sound(1)
    b = a + 0.05 * np.random.default_rng(0).standard_normal(len(a))
    assert intelligibility.stoi(a, b, RATE_HZ) == pystoi.stoi(a, b, RATE_HZ)
    assert intelligibility.estoi(a, b, RATE_HZ) == pytest.approx(
        pystoi.stoi(a, b, RATE_HZ, extended=True)
    )


def test_stoi_with_too_little_speech_is_no_score(make_sound: Make) -> None:
    short = make_sound(1, 0.25)
    with pytest.raises(Unscorable) as failure:
        intelligibility.stoi(short, short, RATE_HZ)
    assert failure.value.reason == "too_little_speech"


def test_mcd_ignores_level_and_mel_l1_does_not(make_sound: Make) -> None:
    sound = make_sound(2, 1.0)
    a = mel_spectrogram(sound)
    half = cepstrum.cepstra(Recording(sound / 2, RATE_HZ))
    # Above the floor, a gain is a constant in the logarithm: c0 alone.
    assert cepstrum.distortion(cepstrum.cepstra(Recording(sound, RATE_HZ)), half) < 0.05
    assert cepstrum.mel_mean_l1(a, a + np.log(0.5)) == pytest.approx(np.log(2), abs=1e-5)


def test_mel_cepstra_return_those_that_made_the_spectrum() -> None:
    known = np.random.default_rng(5).normal(size=(7, 25)) / (1 + np.arange(25))
    basis, _ = cepstrum._warped(24, 0.42, 512)
    found = cepstrum.mel_cepstra(np.exp(2 * known @ basis))
    assert np.abs(found - known).max() < 1e-6


def test_mel_cepstra_equal_those_of_sptk() -> None:
    """Golden values: diffsptk 2.1.0, `MelCepstralAnalysis(24, 512, alpha=0.42, n_iter=30)`, float64."""
    noise = np.random.RandomState(0).rand(6, 257) ** 2 + 0.05
    found = cepstrum.mel_cepstra(noise * np.exp(-np.linspace(0, 6, 257)))
    first = [-1.48757063, 1.10235010, -0.20062338, 0.24209894]
    assert found[0, :4] == pytest.approx(first, abs=1e-8)
    assert found[5, [1, 12, 24]] == pytest.approx([1.08487427, -0.00365073, -0.06614807], abs=1e-8)


def test_kominek_constant_is_decibels_of_the_log_spectrum() -> None:
    """(10√2/ln 10)·‖Δc‖ is the RMS difference of two log spectra over the warped axis, in dB."""
    a, b = np.random.default_rng(6).normal(size=(2, 1, 24))
    places = np.arange(1, 25)[:, None] * np.linspace(0, np.pi, 4001)
    decibels = 20 / np.log(10) * (a - b) @ np.cos(places)
    rms = np.sqrt(np.trapezoid(decibels**2, dx=np.pi / 4000) / np.pi)
    assert cepstrum.distortion(a, b) == pytest.approx(float(rms[0]), rel=1e-6)


def test_dtw_equals_librosa() -> None:
    import librosa

    distances = np.random.default_rng(1).random((23, 31))
    total, path = librosa.sequence.dtw(C=distances)
    ours = cepstrum.dtw_path(distances)
    assert distances[ours[:, 0], ours[:, 1]].sum() == pytest.approx(total[-1, -1])
    assert np.array_equal(ours, path[::-1])


def test_dtw_undoes_a_stretch() -> None:
    fast = np.random.default_rng(2).normal(size=(40, 24)).cumsum(axis=0)
    slow = np.repeat(fast, 2, axis=0)
    assert cepstrum.distortion_dtw(fast, slow) == pytest.approx(0, abs=1e-5)
    assert cepstrum.distortion(fast, slow[:40]) > 1


def test_f0_metrics_closed_form() -> None:
    a = np.r_[np.linspace(100, 200, 40), np.full(10, np.nan)]
    b = a * 2 ** (100 / 1200)
    found = pitch.f0_metrics(a, b)
    assert found.rmse_cents == pytest.approx(100)
    assert found.correlation == pytest.approx(1)
    assert found.vuv_error_percent == 0
    b[:5] = np.nan
    b[-5:] = 100
    assert pitch.f0_metrics(a, b).vuv_error_percent == pytest.approx(20)
    assert pitch.f0_metrics(a, b).n_voiced_both == 35


def test_f0_metrics_without_common_voicing() -> None:
    voiced, unvoiced = np.full(50, 100.0), np.full(50, np.nan)
    found = pitch.f0_metrics(voiced, unvoiced)
    assert found.rmse_cents is None
    assert found.correlation is None
    assert found.vuv_error_percent == 100
    constant = pitch.f0_metrics(voiced, voiced)
    assert constant.rmse_cents == 0
    assert constant.correlation is None


def test_track_f0_of_a_known_tone() -> None:
    t = np.arange(RATE_HZ) / RATE_HZ
    tone = sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 15))
    f0 = track_f0(np.asarray(tone))
    assert np.nanmedian(f0) == pytest.approx(150, rel=0.005)
    assert np.isfinite(f0[3:-3]).all()


def test_hum_and_pauses_are_unvoiced() -> None:
    """50 Hz hum through the whole file, and a faint tone in the pause, are not speech."""
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    speech = sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 15)) * (t < 1)
    faint = 0.005 * np.sin(2 * np.pi * 200 * t) * (t > 1)
    f0 = track_f0(np.asarray(speech + faint + 0.1 * np.sin(2 * np.pi * 50 * t)))
    assert np.isfinite(f0[5:45]).all()
    assert not np.isfinite(f0[55:]).any()


@pytest.mark.parametrize("delay", [0, 640, -640, 123, -1777])
def test_offset_of_a_shift(tmp_path: Path, make_sound: Make, delay: int) -> None:
    sound = make_sound(3, 3.4)
    reference, degraded = sound[3200:-3200], sound[3200 - delay : len(sound) - 3200 - delay]
    pair = make_pair(tmp_path, reference, degraded)
    assert offset.offset_samples(pair) == pytest.approx(delay, abs=8)  # half a millisecond
    a, b = offset.aligned(pair)
    assert len(a) == len(b)


def test_offset_survives_new_phases_and_noise(tmp_path: Path, make_sound: Make) -> None:
    """A vocoder keeps envelopes, not waveforms: here every phase is turned round."""
    sound = make_sound(4, 3.0)
    flipped = -np.roll(sound, 480) + 0.01 * np.random.default_rng(0).standard_normal(len(sound))
    pair = make_pair(tmp_path, sound, flipped)
    assert offset.offset_samples(pair) == pytest.approx(480, abs=16)


def test_pesq_maps_its_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    class PesqError(RuntimeError):
        pass

    library = types.ModuleType("pesq")
    library.PesqError = PesqError  # type: ignore[attr-defined]
    answers: list[object] = [1.77, PesqError(b"No utterances detected"), ValueError("NaN")]

    def fake(rate_hz: int, _a: object, _b: object, mode: str) -> float:
        assert (rate_hz, mode) == (RATE_HZ, "wb")
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return float(answer)  # type: ignore[arg-type]

    library.pesq = fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pesq", library)
    sound = np.random.default_rng(0).normal(size=8000) / 9
    assert perceptual.pesq(sound, sound, RATE_HZ, "wb") == 1.77
    for text in ("No utterances detected", "NaN"):
        with pytest.raises(Unscorable, match=text) as failure:
            perceptual.pesq(sound, sound, RATE_HZ, "wb")
        assert failure.value.reason == "no_utterances"


def test_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = base.library_version
    monkeypatch.setattr(
        base, "library_version", lambda name: "absent" if name == "pesq" else real(name)
    )
    metrics, absent = base.select(["pesq_wb", "stoi"])
    assert [m.info.name for m in metrics] == ["stoi"]
    assert len(absent) == 1
    assert "facetron-toolkit[pesq]" in absent[0]


def test_unknown_metric_lists_the_choices() -> None:
    with pytest.raises(BadInput, match=r"choose from .*stoi, estoi"):
        base.get_metric("stooi")


def test_default_selection_leaves_optional_ones_out() -> None:
    metrics, absent = base.select(None)
    assert not absent
    chosen = {m.info.name for m in metrics}
    assert not chosen & set(base.OPTIONAL)
    floors = {m.info.name for m in metrics if m.info.group == "floor"}
    assert floors == {m.info.floor for m in metrics} - {""}


class Broken(base.Metric):
    info = base.get_metric("stoi").info

    def __init__(self, answer: float | Exception) -> None:
        self.answer = answer

    def value(self, pair: Pair) -> float:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (float("nan"), "not_a_number"),
        (float("inf"), "not_a_number"),
        (Unscorable("silent", "really"), "silent: really"),
        (ZeroDivisionError("oops"), "raised: ZeroDivisionError: oops"),
    ],
)
def test_what_goes_wrong_is_a_failed_score(
    tmp_path: Path, answer: float | Exception, reason: str
) -> None:
    score = Broken(answer).score(make_pair(tmp_path, np.zeros(10), np.zeros(10)))
    assert (score.status, score.value) == ("failed", None)
    assert score.reason.startswith(reason)


def test_digital_silence_has_the_same_estoi_each_time(make_sound: Make) -> None:
    """ESTOI compares there what pystoi adds at random."""
    speech = make_sound(0, 2.0)
    holes = np.where(np.arange(len(speech)) < len(speech) // 2, 0.0, speech)
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    found = {intelligibility.estoi(speech, holes, RATE_HZ) for _ in range(3)}
    assert len(found) == 1
    assert np.random.get_state()[1].tolist() == state, "nobody else's draws change"  # noqa: NPY002
    with mock.patch.object(intelligibility, "same_dither", nullcontext):
        assert np.ptp([intelligibility.estoi(speech, holes, RATE_HZ) for _ in range(3)]) > 1e-5
