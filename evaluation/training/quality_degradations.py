"""Ways to spoil speech, in families, for a network that has to hear how much was spoilt.

A family is a function of (samples, strength in (0, 1], seeded generator) at 16 kHz that keeps the
length. 0 is next to nothing and 1 a wreck; strengths are laid out so that PESQ (wb) falls through
most of its range. What a family draws beside the strength (which pitch a hum has, which room) comes
from the generator, so equal seeds give equal sounds.

`HELD_OUT` families are never trained on: they measure what the network makes of damage that it
has not met. Those that work on spectrograms are in `quality_spectral.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from evaluation.training import quality_spectral as spectral

Samples = NDArray[np.float64]
Degrade = Callable[[Samples, float, np.random.Generator], Samples]
RATE_HZ = 16_000


def ramp(strength: float, weak: float, strong: float) -> float:
    """Linear from `weak` at strength 0 to `strong` at 1."""
    return weak + (strong - weak) * strength


def geometric(strength: float, weak: float, strong: float) -> float:
    """Geometric from `weak` at strength 0 to `strong` at 1: equal steps of strength are equal
    factors."""
    return float(weak * (strong / weak) ** strength)


def active_power(sound: Samples) -> float:
    """Mean power of the loudest half of 20 ms frames, so that pauses do not count."""
    frames = sound[: len(sound) // 320 * 320].reshape(-1, 320)
    powers = np.sort((frames**2).mean(axis=1))
    return float(powers[len(powers) // 2 :].mean()) + 1e-12


def mixed(sound: Samples, noise: Samples, snr_db: float) -> Samples:
    """Sound plus noise at a ratio to the sound's active power."""
    power = float((noise**2).mean()) + 1e-20
    return np.asarray(sound + noise * np.sqrt(active_power(sound) / power / 10 ** (snr_db / 10)))


# --- added ---------------------------------------------------------------------------------------


def white_noise(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    return mixed(sound, rng.standard_normal(len(sound)), ramp(strength, 55, -5))


def colored_noise(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """Noise that falls (or rises) by a random number of dB an octave, its level drifting."""
    n = len(sound)
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequency_hz = np.maximum(np.fft.rfftfreq(n, 1 / RATE_HZ), 40)
    noise = np.fft.irfft(spectrum * frequency_hz ** -rng.uniform(-0.5, 1.2), n)
    drift_db = np.interp(np.arange(n), np.linspace(0, n, 6), rng.uniform(-6, 6, 6))
    return mixed(sound, noise * 10 ** (drift_db / 20), ramp(strength, 45, -10))


def hum(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """Mains and its harmonics, or a whistle."""
    t = np.arange(len(sound)) / RATE_HZ
    base_hz = rng.choice([50.0, 60.0, 100.0, 120.0, rng.uniform(300, 3000)])
    count = 1 if base_hz > 250 else 16
    slope = rng.uniform(0.3, 1.2)
    tones = [
        (k + 1) ** -slope * np.sin(2 * np.pi * (k + 1) * base_hz * t + rng.uniform(0, 6.3))
        for k in range(count)
    ]
    return mixed(sound, np.sum(tones, axis=0), ramp(strength, 45, -10))


def babble(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """Six copies of the clip at other speeds, places and directions, so nobody is understood."""
    noise = np.zeros(len(sound))
    for _ in range(6):
        speed = rng.uniform(0.75, 1.3)
        place = np.arange(0, len(sound) - 1, speed)
        voice = np.interp(place, np.arange(len(sound)), sound)
        voice = np.tile(voice, 2)[: len(sound)]
        voice = np.roll(voice[:: rng.choice([-1, 1])], rng.integers(len(sound)))
        noise += rng.uniform(0.5, 1.0) * np.resize(voice, len(sound))
    return mixed(sound, noise, ramp(strength, 40, -5))


def replaced(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """No speech at all any more: noise of some color, or tones. The strength changes nothing."""
    nothing = np.full(len(sound), 1e-6)
    make = (white_noise, colored_noise, hum)[int(rng.integers(3))]
    noise = make(nothing, 1.0, rng)
    return np.asarray(noise * np.sqrt(active_power(sound) / ((noise**2).mean() + 1e-20)))


# --- bent ----------------------------------------------------------------------------------------


def clipping(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """Cut at a share of the peak, hard or soft."""
    ceiling = np.abs(sound).max() * geometric(strength, 0.8, 0.01) + 1e-9
    if rng.random() < 0.5:
        return np.clip(sound, -ceiling, ceiling)
    return np.asarray(ceiling * np.tanh(sound / ceiling))


def quantization(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """Few steps, even or μ-law."""
    peak = np.abs(sound).max() + 1e-9
    x = sound / peak
    if rng.random() < 0.5:
        steps = 2 ** ramp(strength, 13, 3)
        return np.asarray(np.round(x * steps / 2) / steps * 2 * peak)
    steps = 2 ** ramp(strength, 9, 2)
    squeezed = np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256)
    squeezed = np.round(squeezed * steps / 2) / steps * 2
    return np.asarray(np.sign(squeezed) * np.expm1(np.abs(squeezed) * np.log(256)) / 255 * peak)


def modulated_noise(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """MNRU (ITU-T P.810): noise that follows the speech, Q from 45 to −5 dB."""
    noise = rng.standard_normal(len(sound))
    return np.asarray(sound * (1 + 10 ** (-ramp(strength, 45, -5) / 20) * noise))


# --- filtered ------------------------------------------------------------------------------------


def low_pass(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    cutoff_hz = geometric(strength, 7600, 500)
    return _butter(sound, int(rng.choice([4, 8])), cutoff_hz, "lowpass")


def high_pass(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    return _butter(sound, int(rng.choice([4, 8])), geometric(strength, 80, 2500), "highpass")


def _butter(sound: Samples, order: int, cutoff_hz: float, kind: str) -> Samples:
    sections = signal.butter(order, cutoff_hz / (RATE_HZ / 2), kind, output="sos")
    return np.asarray(signal.sosfilt(sections, sound))


def reverberation(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """A direct path and an exponentially dying tail of noise."""
    decay_s = geometric(strength, 0.08, 1.6) * rng.uniform(0.8, 1.25)
    t = np.arange(int(decay_s * RATE_HZ)) / RATE_HZ
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / decay_s)
    tail *= np.sqrt(10 ** (-ramp(strength, 28, -6) / 10) / (tail**2).sum())
    delay = int(rng.uniform(0.001, 0.012) * RATE_HZ)
    wet = signal.fftconvolve(sound, tail)[: len(sound) - delay]
    return np.asarray(sound + np.pad(wet, (delay, 0)))


def echo(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """One delayed copy, fed back: a comb, or a metal pipe."""
    delay = int(geometric(rng.random(), 0.002, 0.06) * RATE_HZ)
    gain = ramp(strength, 0.04, 0.93)
    feedback = np.zeros(delay + 1)
    feedback[[0, -1]] = 1, -gain
    return np.asarray(signal.lfilter([1], feedback, sound))


def aliasing(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """Read at a lower rate without a filter, each value held; blended in below strength 0.5."""
    factor = geometric(strength, 1.3, 8)
    held = sound[(np.floor(np.arange(len(sound)) / factor) * factor).astype(int)]
    share = min(1.0, 2 * strength)
    return np.asarray((1 - share) * sound + share * held)


# --- in time -------------------------------------------------------------------------------------


def dropouts(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """Packets of 10 to 60 ms lost: silent, or the one before repeated."""
    length = int(rng.uniform(0.01, 0.06) * RATE_HZ)
    out = sound.copy()
    repeat = rng.random() < 0.4
    for start in range(length, len(sound) - length, length):
        if rng.random() < geometric(strength, 0.01, 0.5):
            lost = slice(start, start + length)
            out[lost] = out[start - length : start] if repeat else 0.0
    return out


def smear(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """Convolved with a burst of noise of 1 to 150 ms beside the direct sound: no room, no decay."""
    length = int(geometric(strength, 0.001, 0.15) * RATE_HZ) + 2
    burst = rng.standard_normal(length) * signal.get_window("hann", length)
    burst *= ramp(strength, 0.15, 1.5) / np.sqrt((burst**2).sum() + 1e-12)
    burst[length // 2] += 1
    return np.asarray(signal.fftconvolve(sound, burst, mode="same"))


def wobble(sound: Samples, strength: float, rng: np.random.Generator) -> Samples:
    """Uneven speed of playing, as of a worn tape: flutter of 2 to 30 Hz."""
    t = np.arange(len(sound)) / RATE_HZ
    rate_hz = geometric(rng.random(), 2, 30)
    depth_s = geometric(strength, 2e-5, 4e-3) * np.sqrt(2 / rate_hz)
    warped = t + depth_s * np.sin(2 * np.pi * rate_hz * t + rng.uniform(0, 6.3))
    return np.asarray(np.interp(warped, t, sound), np.float64)


@dataclass(frozen=True)
class Family:
    """
    Attributes:
        name: stable identifier.
        degrade: the function.
        held_out: never trained on.
    """

    name: str
    degrade: Degrade
    held_out: bool = False


FAMILIES: dict[str, Family] = {
    name: Family(name, function, held_out)
    for name, function, held_out in (
        ("white_noise", white_noise, False),
        ("colored_noise", colored_noise, False),
        ("hum", hum, False),
        ("replaced", replaced, False),
        ("clipping", clipping, False),
        ("quantization", quantization, False),
        ("low_pass", low_pass, False),
        ("high_pass", high_pass, False),
        ("reverberation", reverberation, False),
        ("dropouts", dropouts, False),
        ("smear", smear, False),
        ("wobble", wobble, False),
        ("griffin_lim", spectral.griffin_lim, False),
        ("mel_blur", spectral.mel_blur, False),
        ("mel_noise", spectral.mel_noise, False),
        ("phase_noise", spectral.phase_noise, False),
        ("noise_vocoder", spectral.noise_vocoder, False),
        ("spectral_holes", spectral.spectral_holes, False),
        ("babble", babble, True),
        ("modulated_noise", modulated_noise, True),
        ("echo", echo, True),
        ("aliasing", aliasing, True),
        ("lpc_vocoder", spectral.lpc_vocoder, True),
        ("over_subtraction", spectral.over_subtraction, True),
    )
}
SEEN = tuple(name for name, family in FAMILIES.items() if not family.held_out)
HELD_OUT = tuple(name for name, family in FAMILIES.items() if family.held_out)


def degrade(
    sound: Samples, families: Sequence[str], strength: float, rng: np.random.Generator
) -> Samples:
    """One family after the other; each of several gets its own part of the strength.

    Args:
        sound: (n,) at 16 kHz.

    Returns:
        (n,) float64, finite.
    """
    out = np.asarray(sound, dtype=np.float64)
    for name in families:
        own = strength if len(families) == 1 else strength * rng.uniform(0.4, 0.9)
        out = FAMILIES[name].degrade(out, own, rng)
    return out
