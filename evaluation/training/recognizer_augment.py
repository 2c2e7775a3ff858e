"""Varies sentences while the recognizer learns: voices, rooms, channels, noise, and the phases
that Griffin-Lim invents, since synthesized speech is what it will be asked to read."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft, ndimage, signal

from evaluation.models.las_features import SPEC, Hearing
from evaluation.training.recognizer_data import RATE_HZ, Spliced
from manifests.mel import DEFAULT, mel_basis

Float = NDArray[np.float32]
N_BINS = SPEC.n_fft // 2 + 1
MARGIN_SAMPLES = 400
SHORTEST_HOP_SAMPLES = 150


def faster(spoken: Spliced, factor: float) -> Spliced:
    """Replayed at another speed: pace, pitch and formants together."""
    at = np.arange(0, len(spoken.samples) - 1, factor, dtype=np.float32)
    samples = np.interp(at, np.arange(len(spoken.samples)), spoken.samples).astype(np.float32)
    end = min(round(spoken.end / factor), len(samples))
    return Spliced(samples, spoken.sentence, round(spoken.start / factor), end)


@lru_cache(maxsize=1)
def _basis() -> torch.Tensor:
    return torch.from_numpy(mel_basis(DEFAULT).copy()).float()


@lru_cache(maxsize=1)
def _inverse_basis() -> torch.Tensor:
    return torch.from_numpy(np.linalg.pinv(mel_basis(DEFAULT))).float()


def through_mel(
    samples: Float, rng: np.random.Generator, iterations: int, blur_frames: float
) -> Float:
    """Through the toolkit's 80 mels and back by Griffin-Lim, blurred in time as models' mels are.

    Perraudin, Balazs, Søndergaard, "A fast Griffin-Lim algorithm", WASPAA 2013.
    """
    hann = torch.hann_window(DEFAULT.n_fft)

    def analysis(x: torch.Tensor) -> torch.Tensor:
        return torch.stft(x, DEFAULT.n_fft, DEFAULT.hop_samples, window=hann, return_complex=True)

    spectrum = analysis(torch.from_numpy(samples)).abs()
    mel = torch.log(_basis() @ spectrum + 1e-5)
    if blur_frames > 0:
        mel = torch.from_numpy(ndimage.gaussian_filter1d(mel.numpy(), blur_frames, axis=1))
    magnitude = (_inverse_basis() @ mel.exp()).clamp(min=0)
    angle = torch.from_numpy(rng.random(magnitude.shape, dtype=np.float32)) * (2 * np.pi)
    guess = torch.polar(magnitude, angle)
    before = torch.zeros_like(guess)
    for _ in range(iterations):
        sound = torch.istft(
            guess, DEFAULT.n_fft, DEFAULT.hop_samples, window=hann, length=len(samples)
        )
        now = analysis(sound)
        ahead = now + 0.99 * (now - before)
        before = now
        guess = magnitude * ahead / ahead.abs().clamp(min=1e-8)
    sound = torch.istft(guess, DEFAULT.n_fft, DEFAULT.hop_samples, window=hann, length=len(samples))
    return np.asarray(sound.numpy(), dtype=np.float32)


def in_room(samples: Float, rng: np.random.Generator) -> Float:
    """Convolved with noise that dies away within 0.1 to 0.5 s."""
    length = round(rng.uniform(0.1, 0.5) * RATE_HZ)
    tail = rng.standard_normal(length, dtype=np.float32)
    tail *= np.exp(np.linspace(0, -6.9, length, dtype=np.float32))
    tail *= 10 ** (rng.uniform(-18, -3) / 20) / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    wet = signal.fftconvolve(samples, tail)[: len(samples)]
    return np.asarray(wet, dtype=np.float32)


def colored_noise(length: int, rng: np.random.Generator) -> Float:
    """Noise whose power falls with frequency to a random power between 0 and 2, of unit RMS."""
    size = fft.next_fast_len(length, real=True)
    half = size // 2 + 1
    slope = np.maximum(np.arange(half, dtype=np.float32), 20.0) ** np.float32(-rng.uniform(0, 1))
    spectrum = rng.standard_normal(2 * half, dtype=np.float32).view(np.complex64) * slope
    noise = np.asarray(fft.irfft(spectrum, size)[:length], dtype=np.float32)
    return np.asarray(noise / np.sqrt((noise**2).mean()), dtype=np.float32)


def channel(rng: np.random.Generator) -> Float:
    """(257,) a smooth random color of ±8 dB, sometimes with a band limit."""
    points = rng.normal(0, 3.0, 8)
    decibels = np.interp(np.linspace(0, 7, N_BINS), np.arange(8), np.clip(points, -8, 8))
    gain = 10 ** (decibels / 20)
    if rng.random() < 0.15:
        edge = int(rng.uniform(3200, 7000) / (RATE_HZ / 2) * N_BINS)
        gain[edge:] *= 1e-3
    if rng.random() < 0.1:
        gain[: int(rng.uniform(100, 350) / (RATE_HZ / 2) * N_BINS)] *= 0.03
    return np.asarray(gain, dtype=np.float32)


def placed(
    spoken: Spliced, frames: int, hop: int, rng: np.random.Generator, edged: float = 0.0
) -> tuple[Float, int, slice]:
    """A window of `frames` hops with all words somewhere inside, the hop (longer where they would not
    fit), and where the words are.

    Args:
        edged: share of the windows that begin or end with the words, or both where that takes no hop
            below `SHORTEST_HOP_SAMPLES`, as recordings do that were cut to their words.
    """
    said = spoken.end - spoken.start
    needed = said + 2 * MARGIN_SAMPLES
    hop = max(hop, -(-needed // (frames - 1)))
    length = (frames - 1) * hop
    lead = int(rng.integers(0, length - needed + 1)) + MARGIN_SAMPLES
    if edged and rng.random() < edged:
        close = int(rng.integers(0, MARGIN_SAMPLES + 1))
        cut = -(-(said + 2 * close) // (frames - 1))
        which = rng.integers(3)
        if which == 0 and SHORTEST_HOP_SAMPLES <= cut <= hop:
            hop, length = cut, (frames - 1) * cut
        lead = length - said - close if which == 1 else close
    start = spoken.start - lead
    window = np.zeros(length, dtype=np.float32)
    a, b = max(start, 0), min(start + length, len(spoken.samples))
    window[a - start : b - start] = spoken.samples[a:b]
    return window, hop, slice(lead, lead + spoken.end - spoken.start)


def vary(
    spoken: Spliced,
    frames: int,
    rng: np.random.Generator,
    babble: Callable[[], Float],
    strength: float = 1.0,
    reach: float = 1.0,
    edged: float = 0.0,
) -> tuple[Float, Hearing]:
    """Samples and how to hear them, such that exactly `frames` frames come out and all words lie
    within them.

    Args:
        babble: gives the sound of somebody else.
        strength: share of the sentences that are varied at all, but for where they lie.
        reach: exponent of the factors of speed, pace and vocal tract.
        edged: share of the sentences at the edge of the window (`placed`).
    """
    if rng.random() >= strength:
        window, hop, _ = placed(spoken, frames, SPEC.hop_samples, rng, edged)
        return window, Hearing(hop)
    spoken = faster(spoken, float(np.exp(reach * rng.uniform(np.log(0.88), np.log(1.14)))))
    samples = spoken.samples
    if rng.random() < 0.1:
        samples = through_mel(samples, rng, int(rng.integers(5, 18)), rng.uniform(0, 1.2))
    spoken = Spliced(samples, spoken.sentence, spoken.start, spoken.end)
    stretch = float(np.exp(reach * rng.uniform(np.log(0.82), np.log(1.18))))
    hop = round(SPEC.hop_samples * stretch)
    window, hop, words = placed(spoken, frames, hop, rng, edged)
    if rng.random() < 0.15:
        window = in_room(window, rng)
    length = len(window)
    rms = float(np.sqrt((window[words] ** 2).mean())) + 1e-6
    kind = rng.random()
    if kind < 0.55:
        noise = colored_noise(length, rng)
        window = window + noise * np.float32(rms * 10 ** (-rng.uniform(5, 40) / 20))
    elif kind < 0.65:
        other = np.resize(babble(), length)
        own = float(np.sqrt((other**2).mean())) + 1e-6
        window = window + other * np.float32(rms / own * 10 ** (-rng.uniform(10, 25) / 20))
    warp = 1.0
    if rng.random() < 0.8:
        warp = float(np.exp(reach * rng.uniform(np.log(0.86), np.log(1.16))))
    gain = channel(rng) if rng.random() < 0.6 else None
    return window, Hearing(hop, warp, gain)


def mask(features: Float, rng: np.random.Generator) -> Float:
    """SpecAugment (Park et al., Interspeech 2019), with time masks shorter than a letter's name."""
    masked = features.copy()
    for _ in range(2):
        width = int(rng.integers(0, 9))
        at = int(rng.integers(0, masked.shape[1] - width))
        masked[:, at : at + width] = 0
    for _ in range(2):
        width = int(rng.integers(0, 6))
        at = int(rng.integers(0, masked.shape[0] - width))
        masked[at : at + width] = 0
    return masked
