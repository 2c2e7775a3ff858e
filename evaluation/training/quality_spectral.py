"""Degradations of the short-time spectrum: what vocoders, mel models and noise reduction leave."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from manifests.mel import mel_basis
from manifests.specs import MelSpec

Samples = NDArray[np.float64]
N_FFT, HOP = 512, 128
RATE_HZ = 16_000


def analysis(sound: Samples) -> NDArray[np.complex128]:
    """(n,) → (257, T), 32 ms Hann windows 8 ms apart."""
    _, _, spectrum = signal.stft(sound, RATE_HZ, nperseg=N_FFT, noverlap=N_FFT - HOP)
    return np.asarray(spectrum)


def synthesis(spectrum: NDArray[np.complex128], n_samples: int) -> Samples:
    """Least-squares inverse of `analysis`."""
    _, sound = signal.istft(spectrum, RATE_HZ, nperseg=N_FFT, noverlap=N_FFT - HOP)
    return np.asarray(np.pad(sound, (0, max(0, n_samples - len(sound))))[:n_samples])


@lru_cache(maxsize=8)
def _bank(n_mels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mel filter bank (n_mels, 257) and its pseudo-inverse."""
    basis = mel_basis(MelSpec(n_fft=N_FFT, win_samples=N_FFT, hop_samples=HOP, n_mels=n_mels))
    return basis, np.asarray(np.linalg.pinv(basis), np.float64)


def _phase_for(
    magnitude: NDArray[np.float64], n_samples: int, rounds: int, rng: np.random.Generator
) -> Samples:
    """Griffin and Lim's iteration (1984) from a random phase."""
    phase = np.exp(2j * np.pi * rng.random(magnitude.shape))
    for _ in range(rounds):
        again = analysis(synthesis(magnitude * phase, n_samples))[:, : magnitude.shape[1]]
        phase = again / np.maximum(np.abs(again), 1e-12)
    return synthesis(magnitude * phase, n_samples)


def _log_mel(sound: Samples, n_mels: int) -> NDArray[np.float64]:
    return np.asarray(np.log(np.maximum(_bank(n_mels)[0] @ np.abs(analysis(sound)), 1e-7)))


def _from_log_mel(
    mel: NDArray[np.float64], n_samples: int, rounds: int, rng: np.random.Generator
) -> Samples:
    magnitude = np.maximum(_bank(len(mel))[1] @ np.exp(mel), 1e-9)
    return _phase_for(magnitude, n_samples, rounds, rng)


def griffin_lim(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """Phase thrown away and sought again; from strength 0.25 on from a mel of ever fewer bands.

    Below, the sought sound is blended with the original.
    """
    rounds = round(60 * 0.04**strength) + 1
    if strength < 0.25:
        sought = _phase_for(np.abs(analysis(sound)), len(sound), rounds, rng)
        share = strength / 0.25
        return np.asarray((1 - share) * sound + share * sought)
    n_mels = int(rng.choice([128, 80, 80, 64, 40] if strength < 0.7 else [80, 40, 28, 20]))
    return _from_log_mel(_log_mel(sound, n_mels), len(sound), rounds, rng)


def mel_blur(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """A mel smoothed over time and bands, as an unsure model predicts it.

    In half of the clips the original phase and fine structure stay and only the envelope is blurred.
    """
    sigma = np.array([0.15, 0.3]) * (40**strength) * rng.uniform(0.5, 1.2, 2)
    mel = _log_mel(sound, 80)
    blurred = ndimage.gaussian_filter(mel, sigma)
    if rng.random() < 0.5:
        return _from_log_mel(blurred, len(sound), 20, rng)
    return _reshaped(sound, blurred - mel)


def mel_noise(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """A mel with smooth random errors of 0.7 to 20 dB, as a wrong model predicts it."""
    mel = _log_mel(sound, 80)
    error = ndimage.gaussian_filter(rng.standard_normal(mel.shape), rng.uniform(0.6, 4, 2))
    error *= 0.08 * 28**strength / error.std()
    if rng.random() < 0.4:
        return _from_log_mel(mel + error, len(sound), 20, rng)
    return _reshaped(sound, error)


def _reshaped(sound: Samples, log_gain: NDArray[np.float64]) -> Samples:
    """Gain that varies over (80 bands, T), put on the sound's own spectrum."""
    basis = _bank(len(log_gain))[0]
    shares = basis / np.maximum(basis.sum(axis=0), 1e-9)
    gain = np.exp(np.clip(shares.T @ log_gain, -8, 4))
    return synthesis(analysis(sound) * gain, len(sound))


def phase_noise(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """Phases off by up to anything: hoarse at first, then a whisper of metal."""
    spectrum = analysis(sound)
    spread = 0.06 * 60**strength
    return synthesis(
        spectrum * np.exp(1j * spread * rng.standard_normal(spectrum.shape)), len(sound)
    )


def noise_vocoder(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """Noise (or a drone of pulses) through the sound's band envelopes, blended with the sound."""
    n = len(sound)
    if rng.random() < 0.5:
        source = rng.standard_normal(n)
    else:
        source = np.zeros(n)
        source[:: int(RATE_HZ / rng.uniform(80, 250))] = 1.0
        source += 0.02 * rng.standard_normal(n)
    n_mels = int(rng.choice([80, 40, 24, 16]))
    spoken, dull = analysis(sound), analysis(source)
    basis = _bank(n_mels)[0]
    shares = basis / np.maximum(basis.sum(axis=0), 1e-9)
    ratio = (basis @ np.abs(spoken)) / np.maximum(basis @ np.abs(dull), 1e-7)
    voiced = synthesis(dull * (shares.T @ ratio), n)
    share = np.sin(np.pi / 2 * min(1.0, 0.02 * 50**strength))
    return np.asarray(np.sqrt(1 - share**2) * sound + share * voiced)


def spectral_holes(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """Patches of the spectrogram missing, as of a starved codec."""
    spectrum = analysis(sound)
    patches = rng.random((-(-spectrum.shape[0] // 6), -(-spectrum.shape[1] // 4)))
    gone = np.kron(patches < 0.01 * 80**strength, np.ones((6, 4)))
    gain = np.where(gone[: spectrum.shape[0], : spectrum.shape[1]] > 0, 0.03, 1.0)
    return synthesis(spectrum * gain, len(sound))


def over_subtraction(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """Noise added and its mean magnitude taken off again, too much of it: musical noise."""
    level = np.sqrt((sound**2).mean()) * 10 ** (-(40 - 40 * strength) / 20)
    noisy = analysis(sound + level * rng.standard_normal(len(sound)))
    floor = np.abs(analysis(level * rng.standard_normal(len(sound)))).mean(axis=1, keepdims=True)
    magnitude = np.abs(noisy)
    kept = np.maximum(magnitude - (1 + 1.5 * strength) * floor, 0.02 * magnitude)
    return synthesis(noisy * kept / np.maximum(magnitude, 1e-12), len(sound))


def lpc_vocoder(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """Linear prediction of order 16, the residual replaced by pulses and noise as in LPC-10.

    Below strength 0.5 part of the true residual stays.
    """
    length, hop, order = 480, 240, 16
    window = np.hanning(length + 1)[:-1]
    out = np.zeros(len(sound) + length)
    padded = np.pad(sound, (0, length))
    period = RATE_HZ / rng.uniform(90, 220)
    pulses = np.zeros(len(padded))
    pulses[np.arange(0, len(padded), period).astype(int)] = np.sqrt(period)
    share = min(1.0, 0.05 * 40**strength)
    for start in range(0, len(sound), hop):
        piece = padded[start : start + length] * window
        lags = signal.fftconvolve(piece, piece[::-1])[length - 1 : length + order]
        if lags[0] < 1e-9:
            continue
        lags[0] *= 1.0001
        predictor = np.concatenate([[1.0], -_levinson(lags, order)])
        residual = signal.lfilter(predictor, [1], piece)
        source = 0.8 * pulses[start : start + length] + 0.4 * rng.standard_normal(length)
        source *= window * np.sqrt((residual**2).sum() / ((source * window) ** 2).sum())
        mixture = np.sqrt(1 - share**2) * residual + share * source
        out[start : start + length] += signal.lfilter([1], predictor, mixture)
    return out[: len(sound)]


def _levinson(lags: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """Prediction coefficients (order,) from autocorrelation (order + 1,)."""
    from scipy.linalg import solve_toeplitz

    return np.asarray(solve_toeplitz(lags[:order], lags[1 : order + 1]))
