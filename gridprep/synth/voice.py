"""SynthGRID's speech: a stem spoken by a synthetic speaker with espeak-ng (`manifests.espeak`).

Pitch and formants: espeak-ng speaks at `F0 / r` and its sound is replayed `r` times faster, which moves
pitch and formants together; so `r` sets the formants (the length of the vocal tract) and espeak-ng's own
pitch setting, calibrated per speaker, the F0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gridprep.synth.speakers import SyntheticSpeaker, Voice
from gridprep.synth.visemes import Phoneme, plain_name
from manifests.errors import ToolkitError
from manifests.espeak import speak, spelled
from manifests.grammar import words_of
from manifests.specs import CLIP_SECONDS

RATE_HZ = 44_100
CLIP_SAMPLES = round(CLIP_SECONDS * RATE_HZ)
VARIANT_FORMANTS = {
    "en": 1.0, "en+m1": 0.97, "en+m3": 0.96, "en+m7": 1.0, "en+f1": 1.11, "en+f2": 1.11, "en+f5": 1.11
}  # fmt: skip
"""Mean factor of the first three formants in espeak-ng's voice files."""


def resampling(voice: Voice) -> float:
    """Returns how much faster espeak-ng's sound is replayed to give the speaker's formants."""
    return voice.formant_scale / VARIANT_FORMANTS[voice.espeak]


CALIBRATION_STEMS = ("bbaf2n", "lgio8p")


@lru_cache(maxsize=64)
def pitch_setting(voice: Voice) -> int:
    """espeak-ng's pitch (0–99) at which this voice reaches its F0, by bisection on measured F0."""
    target_hz = voice.f0_hz / resampling(voice)

    def measured_hz(setting: int) -> float:
        medians = []
        for stem in CALIBRATION_STEMS:
            said = speak(spelled(stem), voice.espeak, 180, setting, voice.pitch_range)
            f0_hz = track_f0(said.samples, said.rate_hz, target_hz, 0.01)
            medians.append(float(np.median(f0_hz[f0_hz > 0])) if (f0_hz > 0).any() else 0.0)
        return float(np.mean(medians))

    low, high = 0, 99
    while high - low > 1:
        middle = (low + high) // 2
        if measured_hz(middle) < target_hz:
            low = middle
        else:
            high = middle
    return min((low, high), key=lambda setting: abs(measured_hz(setting) - target_hz))


def track_f0(
    samples: NDArray[np.float64],
    rate_hz: int,
    expected_hz: float,
    hop_s: float,
    n_frames: int | None = None,
) -> NDArray[np.float32]:
    """F0 by normalized autocorrelation, frame k centered at (k + 1/2) hops; 0 where unvoiced.

    Good for these clean voices whose F0 is known to within a fifth or so; not a general tracker.
    """
    n_frames = n_frames or int(len(samples) / rate_hz / hop_s)
    half = int(rate_hz * max(1.5 / expected_hz, 0.010) * 1.4)
    centers = ((np.arange(n_frames) + 0.5) * hop_s * rate_hz).astype(int)
    padded = np.pad(samples, (half, half + int(n_frames * hop_s * rate_hz)))
    frames = padded[centers[:, None] + np.arange(2 * half)]
    frames = frames - frames.mean(1, keepdims=True)
    power = np.sqrt((frames**2).mean(1))
    size = 1 << int(np.ceil(np.log2(4 * half)))
    spectrum = np.fft.rfft(frames, size)
    acf = np.fft.irfft(np.abs(spectrum) ** 2, size)[:, : 2 * half]
    shortest, longest = int(rate_hz / (expected_hz * 1.6)), int(rate_hz / (expected_hz * 0.6)) + 1
    lags = np.arange(shortest, min(longest, 2 * half - 2))
    overlap = 1 - lags / (2 * half)
    score = acf[:, lags] / (acf[:, :1] + 1e-9) / overlap
    best = score[:, 1:-1].argmax(1) + 1
    rows = np.arange(n_frames)
    left, top, right = score[rows, best - 1], score[rows, best], score[rows, best + 1]
    curve = left - 2 * top + right
    offset = np.where(
        np.abs(curve) > 1e-9, 0.5 * (left - right) / np.where(curve == 0, 1, curve), 0
    )
    f0_hz = rate_hz / (lags[best] + np.clip(offset, -1, 1))
    voiced = (top > 0.6) & (power > 0.06 * power.max())
    return np.where(voiced, f0_hz, 0).astype(np.float32)


@dataclass(frozen=True)
class Utterance:
    """The spoken utterance of a clip.

    Attributes:
        samples: (132300, 2) int16, 44.1 kHz, three seconds.
        words: (word, start_s, end_s), contiguous.
        phonemes: sounds with times.
        f0_hz: (150,) at 50 Hz, frame k centered at (k + 1/2) · 20 ms, 0 where unvoiced.
    """

    samples: NDArray[np.int16]
    words: tuple[tuple[str, float, float], ...]
    phonemes: tuple[Phoneme, ...]
    f0_hz: NDArray[np.float32]


def utter(person: SyntheticSpeaker, stem: str, rng: np.random.Generator) -> Utterance:
    """Speaks a stem as a speaker, somewhere in the middle of three seconds."""
    import soxr

    voice, words = person.voice, words_of(stem)
    faster = resampling(voice)
    rate_wpm = round(voice.rate_wpm * rng.uniform(0.95, 1.05) / faster)
    said = speak(spelled(stem), voice.espeak, rate_wpm, pitch_setting(voice), voice.pitch_range)
    if len(said.words_s) != len(words):
        raise ToolkitError(
            f"espeak-ng counted {len(said.words_s)} words in {stem}", "reinstall espeakng-loader"
        )
    speech = soxr.resample(said.samples, said.rate_hz * faster, RATE_HZ, quality="HQ")
    length_s = said.end_s / faster
    start_s = float(np.clip((CLIP_SECONDS - length_s) / 2 + rng.uniform(-0.28, 0.02), 0.1, None))

    def time_s(spoken_s: float) -> float:
        return start_s + spoken_s / faster

    edges = [time_s(at) for at in (*said.words_s, said.end_s)]
    edges[0] = min(edges[0], time_s(said.phonemes[0][1]))
    starts = [at for _, at in said.phonemes]
    phonemes = tuple(
        Phoneme(plain_name(name), time_s(at), time_s(after))
        for (name, at), after in zip(said.phonemes, [*starts[1:], said.end_s], strict=True)
    )
    first = round(start_s * RATE_HZ)
    mono = np.zeros(CLIP_SAMPLES)
    part = speech[: CLIP_SAMPLES - first]
    mono[first : first + len(part)] = part
    f0_hz = track_f0(mono, RATE_HZ, voice.f0_hz, 0.02, 150)
    mono *= 10 ** (voice.rms_dbfs / 20) / np.sqrt((mono**2).mean())
    # The two channels of GRID differ slightly, as two microphones would.
    floor = 10 ** (-72 / 20)
    gains = 1 + rng.uniform(-0.04, 0.04, 2)
    stereo = mono[:, None] * gains + rng.normal(0, floor, (CLIP_SAMPLES, 2))
    samples = np.clip(np.round(stereo * 32767), -32768, 32767).astype(np.int16)
    spans = tuple(zip(words, edges[:-1], edges[1:], strict=True))
    return Utterance(samples, spans, phonemes, f0_hz)
