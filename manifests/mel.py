"""The project's one mel function: audio → log-mel, in NumPy for features and in torch for losses.

Both paths (the other is `manifests.mel_torch`, imported when a tensor comes) run the same steps from
the same `MelSpec` and the same cached filter bank. `PRESETS` are equal to their originals'
formulas, so that a mel made here can be fed to their published weights:

| preset | rate | n_fft / win / hop | Hz | before the STFT | after the mel |
|---|---|---|---|---|---|
| `facetron` | 16 kHz | 1024 / 1024 / 320 | 0–8000 | – | ln(max(x, 1e-5)) |
| `hifigan-22k` | 22.05 kHz | 1024 / 1024 / 256 | 0–8000 | – | ln(max(x, 1e-5)) |
| `vca-gan` | 16 kHz | 640 / 640 / 160 | 55–7500 | high-pass, peak 0.9, pre-emphasis | ln, −1 … |
| `lip2wav` | 16 kHz | 800 / 800 / 200 | 55–7600 | pre-emphasis | dB in [−4, 4] |

Sources: jik876/hifi-gan `meldataset.py` (the mel only: its data set scales training clips to 0.95);
ms-dot-k/Visual-Context-Attentional-GAN `src/data/vid_aud_grid.py` and `stft.py`; Rudrabha/Lip2Wav
`preprocess.py`, `synthesizer/hparams.py` and the `audio.py` it shares with Real-Time-Voice-Cloning
(its `rescale=True` is never read when mels are made, so the sound keeps its level; librosa 0.7 pads
by reflection).

The caller resamples: audio must be at `spec.sample_rate_hz`.
"""

from __future__ import annotations

import math
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from manifests.errors import BadInput
from manifests.specs import MelSpec

if TYPE_CHECKING:
    import torch

ArrayT = TypeVar("ArrayT", bound="NDArray[Any] | torch.Tensor")

DEFAULT = MelSpec()
PRESETS: dict[str, MelSpec] = {
    "facetron": DEFAULT,
    "hifigan-22k": MelSpec(sample_rate_hz=22_050, hop_samples=256),
    "vca-gan": MelSpec(
        n_fft=640,
        win_samples=640,
        hop_samples=160,
        fmin_hz=55.0,
        fmax_hz=7500.0,
        padding="center",
        magnitude_eps=0.0,
        highpass_hz=55.0,
        peak=0.9,
        preemphasis=0.97,
        clip_audio=True,
        scale=-2.0 / math.log(1e-5),  # (m - ln 1e-5) / (-ln 1e-5 / 2) - 1
        offset=1.0,
    ),
    "lip2wav": MelSpec(
        n_fft=800,
        win_samples=800,
        hop_samples=200,
        fmin_hz=55.0,
        fmax_hz=7600.0,
        padding="center",
        magnitude_eps=0.0,
        log="db",
        preemphasis=0.97,
        scale=0.08,  # 8 * ((dB - 20) + 100) / 100 - 4: ref_level_db 20, min_level_db -100
        offset=2.4,
        clip_min=-4.0,
        clip_max=4.0,
    ),
}

BLOCK_FRAMES = 25
"""So many frames are transformed at a time: what is made of them on the way stays in the processor's
cache."""
HIGHPASS_ORDER = 7
LOUDEST = 8.0
"""Float audio above this is PCM that nobody divided by 32768."""


def mel_spectrogram(audio: ArrayT, spec: MelSpec = DEFAULT) -> ArrayT:
    """Log-mel of audio at `spec.sample_rate_hz`.

    Args:
        audio: (..., samples) floating point, full scale ±1; a NumPy array or a torch tensor. The
            torch path is differentiable and stays on the tensor's device.
        spec: every parameter; 48,000 samples give exactly 150 frames with the default.

    Returns:
        (..., n_mels, T) float32 of the same kind, T = `spec.frames(samples)`.

    Raises:
        BadInput: not floating point, too short to be padded by reflection, or (NumPy only, since a
            tensor would have to leave its device) NaN, infinite or unscaled samples.

    Example:
        >>> import numpy as np
        >>> from manifests import MelSpec, mel_spectrogram
        >>> wave = 0.1 * np.sin(2 * np.pi * 220 * np.arange(48_000) / 16_000)
        >>> mel_spectrogram(wave).shape, mel_spectrogram(wave, MelSpec(hop_samples=160)).shape
        ((80, 150), (80, 300))
    """
    if isinstance(audio, np.ndarray):
        return cast(ArrayT, _numpy_mel(audio, spec))
    torch = sys.modules.get("torch")  # a tensor cannot exist before its library was imported
    if torch is not None and isinstance(audio, torch.Tensor):
        from manifests.mel_torch import torch_mel

        return cast(ArrayT, torch_mel(audio, spec))
    raise BadInput(
        f"audio is a {type(audio).__name__}", "pass a NumPy array or a torch tensor of samples"
    )


def invert(mel: NDArray[np.floating[Any]], spec: MelSpec = DEFAULT) -> NDArray[np.float32]:
    """Undoes the logarithm and its scaling: log-mel → mel magnitude.

    Args:
        mel: (..., n_mels, T) as `mel_spectrogram` gives it, or as a model predicts it.
        spec: the mel's own spec.

    Returns:
        (..., n_mels, T) float32, ≥ `spec.floor`. What clipping and the floor took away stays lost.

    Raises:
        BadInput: another number of mel bands, or NaN or infinite values.
    """
    mel = np.asarray(mel)
    if mel.ndim < 2 or mel.shape[-2] != spec.n_mels or mel.shape[-1] == 0:
        raise BadInput(
            f"mel has shape {tuple(mel.shape)}, not (..., {spec.n_mels}, T)",
            "pass the mel with the spec that it was made with",
        )
    if not np.isfinite(mel).all():
        raise BadInput("mel has NaN or infinite values", "check what made it")
    values = mel.astype(np.float64)
    if spec.clip_min is not None or spec.clip_max is not None:
        values = np.clip(values, spec.clip_min, spec.clip_max)
    values = (values - spec.offset) / spec.scale
    # A wild prediction must stay a number: e^25 is 200 dB above full scale's neighborhood.
    if spec.log == "ln":
        magnitude = np.exp(np.minimum(values, 25.0))
    else:
        magnitude = 10.0 ** (np.minimum(values, 220.0) / 20)
    return np.asarray(np.maximum(magnitude, spec.floor), dtype=np.float32)


def padding_samples(spec: MelSpec) -> int:
    """Samples that reflection adds at each end."""
    return (spec.n_fft - spec.hop_samples) // 2 if spec.padding == "hop" else spec.n_fft // 2


def frame_centers_samples(n_frames: int, spec: MelSpec = DEFAULT) -> NDArray[np.int64]:
    """(T,) sample index at the center of each mel frame's window: t·hop + hop/2 with `hop`
    padding, t·hop with `center`. F0 and energy keep to the same grid."""
    offset = spec.n_fft // 2 - padding_samples(spec)
    return np.arange(n_frames, dtype=np.int64) * spec.hop_samples + offset


@lru_cache(maxsize=16)
def mel_basis(spec: MelSpec) -> NDArray[np.float64]:
    """(n_mels, n_fft // 2 + 1) Slaney mel filter bank, read-only; equal to
    `librosa.filters.mel(htk=False, norm="slaney")`, without importing librosa in every worker.

    Slaney's scale (Auditory Toolbox, 1998) is linear below 1 kHz (3 mels per 200 Hz) and
    logarithmic above (27 mels per factor 6.4); each triangle has unit area in Hz.
    """
    if not 0 <= spec.fmin_hz < spec.fmax_hz <= spec.sample_rate_hz / 2:
        raise BadInput(
            f"mel range {spec.fmin_hz}–{spec.fmax_hz} Hz at {spec.sample_rate_hz} Hz",
            "choose 0 ≤ fmin < fmax ≤ half the sample rate",
        )
    log_step = math.log(6.4) / 27

    def to_mel(hz: float) -> float:
        return 3 * hz / 200 if hz < 1000 else 15 + math.log(hz / 1000) / log_step

    mels = np.linspace(to_mel(spec.fmin_hz), to_mel(spec.fmax_hz), spec.n_mels + 2)
    edges_hz = np.where(mels < 15, 200 * mels / 3, 1000 * np.exp(log_step * (mels - 15)))
    bins_hz = np.arange(spec.n_fft // 2 + 1) * (spec.sample_rate_hz / spec.n_fft)
    lower, center, upper = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising = (bins_hz - lower) / (center - lower)
    falling = (upper - bins_hz) / (upper - center)
    basis: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling)) * (2 / (upper - lower))
    basis.flags.writeable = False
    return basis


@lru_cache(maxsize=16)
def window(spec: MelSpec) -> NDArray[np.float64]:
    """(n_fft,) periodic Hann window of `win_samples`, centered, zero outside; read-only."""
    if not 0 < spec.win_samples <= spec.n_fft:
        raise BadInput(
            f"window of {spec.win_samples} samples with n_fft {spec.n_fft}",
            "choose 0 < win_samples ≤ n_fft",
        )
    hann = np.zeros(spec.n_fft)
    start = (spec.n_fft - spec.win_samples) // 2
    turn = np.linspace(-np.pi, np.pi, spec.win_samples + 1)[:-1]
    hann[start : start + spec.win_samples] = 0.5 + 0.5 * np.cos(turn)
    hann.flags.writeable = False
    return hann


@lru_cache(maxsize=8)
def highpass(spec: MelSpec) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Numerator and denominator of VCA-GAN's Butterworth filter."""
    from scipy import signal  # half a second, which the default mel can do without

    # Coefficients, not second-order sections: the original's rounding belongs to its formula.
    b, a = signal.butter(HIGHPASS_ORDER, spec.highpass_hz / (spec.sample_rate_hz / 2), "high")
    return b, a


def check_length(n_samples: int, spec: MelSpec) -> None:
    """Raises `BadInput` where the spec's padding or filter needs more samples."""
    if spec.padding == "hop" and (spec.n_fft - spec.hop_samples) % 2:
        raise BadInput(
            f"n_fft {spec.n_fft} with hop {spec.hop_samples} cannot be padded evenly",
            "choose both even, or padding `center`",
        )
    # Reflection needs more samples than it adds; filtfilt pads by three times its order plus one.
    least = max(padding_samples(spec) + 1, spec.hop_samples)
    if spec.highpass_hz:
        least = max(least, 3 * (HIGHPASS_ORDER + 1) + 1)
    if n_samples < least:
        raise BadInput(
            f"{n_samples} samples of audio are too short for a mel with n_fft {spec.n_fft}",
            f"pass at least {least} samples",
        )


def _numpy_mel(audio: NDArray[Any], spec: MelSpec) -> NDArray[np.float32]:
    if not np.issubdtype(audio.dtype, np.floating) or audio.ndim == 0:
        raise BadInput(
            f"audio is {audio.dtype} of shape {audio.shape}",
            "pass floating-point samples in [-1, 1] (PCM16 divided by 32768)",
        )
    check_length(audio.shape[-1], spec)
    largest = float(np.abs(audio).max(initial=0.0))
    if not math.isfinite(largest):
        raise BadInput("audio has NaN or infinite samples", "decode it again")
    if largest > LOUDEST:
        raise BadInput(f"audio reaches {largest:.0f}", "divide PCM16 by 32768")

    # float64 costs a millisecond and makes the stored feature independent of the FFT's rounding.
    x = audio.astype(np.float64)
    if spec.highpass_hz:
        from scipy import signal

        x = signal.filtfilt(*highpass(spec), x, axis=-1)
    if spec.peak:
        peaks = np.abs(x).max(axis=-1, keepdims=True)
        x = x * (spec.peak / np.where(peaks > 0, peaks, 1.0))  # silence stays silence
    if spec.preemphasis:
        x[..., 1:] -= spec.preemphasis * x[..., :-1].copy()
    if spec.clip_audio:
        x = np.clip(x, -1.0, 1.0)

    pad = padding_samples(spec)
    x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(pad, pad)], mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(x, spec.n_fft, axis=-1)
    frames = frames[..., :: spec.hop_samples, :]
    magnitude = np.empty((*frames.shape[:-1], spec.n_fft // 2 + 1))
    for start in range(0, frames.shape[-2], BLOCK_FRAMES):
        block = np.s_[..., start : start + BLOCK_FRAMES, :]
        spectrum = np.fft.rfft(frames[block] * window(spec), axis=-1)
        power = np.square(spectrum.real, out=magnitude[block])
        power += spectrum.imag**2
        power += spec.magnitude_eps
        np.sqrt(power, out=power)
    mel = mel_basis(spec) @ np.swapaxes(magnitude, -1, -2)

    np.maximum(mel, spec.floor, out=mel)
    mel = np.log(mel, out=mel) if spec.log == "ln" else 20 * np.log10(mel, out=mel)
    mel = mel * spec.scale + spec.offset
    if spec.clip_min is not None or spec.clip_max is not None:
        mel = np.clip(mel, spec.clip_min, spec.clip_max)
    return np.asarray(mel, dtype=np.float32)
