"""The torch half of `manifests.mel`: the same steps, differentiable, on the tensor's device."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft, signal

from manifests.errors import BadInput
from manifests.mel import (
    HIGHPASS_ORDER,
    check_length,
    highpass,
    mel_basis,
    padding_samples,
    window,
)
from manifests.precision import full_precision
from manifests.specs import MelSpec


def torch_mel(audio: torch.Tensor, spec: MelSpec) -> torch.Tensor:
    """(..., samples) → (..., n_mels, T) float32; see `manifests.mel.mel_spectrogram`."""
    if not audio.is_floating_point() or audio.ndim == 0:
        raise BadInput(
            f"audio is {audio.dtype} of shape {tuple(audio.shape)}",
            "pass floating-point samples in [-1, 1] (PCM16 divided by 32768)",
        )
    check_length(audio.shape[-1], spec)
    # An STFT in half precision overflows, so autocast must not reach it.
    with full_precision(audio.device):
        # float64 as in the NumPy path: float32 is up to 3e-4 off in the quietest bands. Apple's
        # GPUs have nothing else.
        x = audio.reshape(-1, audio.shape[-1])
        x = x.float() if x.device.type == "mps" else x.double()
        if spec.highpass_hz:
            x = torch_highpass(x, spec)
        if spec.peak:
            peaks = x.abs().amax(dim=-1, keepdim=True)
            x = x * (spec.peak / torch.where(peaks > 0, peaks, torch.ones_like(peaks)))
        if spec.preemphasis:
            x = torch.cat([x[:, :1], x[:, 1:] - spec.preemphasis * x[:, :-1]], dim=-1)
        if spec.clip_audio:
            x = x.clamp(-1.0, 1.0)

        pad = padding_samples(spec)
        x = torch.nn.functional.pad(x.unsqueeze(1), (pad, pad), mode="reflect").squeeze(1)
        hann, basis = _constants(spec, str(x.device), str(x.dtype).removeprefix("torch."))
        spectrum = torch.stft(
            x, spec.n_fft, spec.hop_samples, window=hann, center=False, return_complex=True
        )
        if spec.magnitude_eps:
            magnitude = (spectrum.real**2 + spectrum.imag**2 + spec.magnitude_eps).sqrt()
        else:
            magnitude = spectrum.abs()  # its gradient at zero is zero; that of sqrt is infinite
        mel = (basis @ magnitude).clamp(min=spec.floor)
        mel = mel.log() if spec.log == "ln" else 20 * mel.log10()
        mel = mel * spec.scale + spec.offset
        if spec.clip_min is not None or spec.clip_max is not None:
            mel = mel.clamp(spec.clip_min, spec.clip_max)
        return mel.float().reshape(*audio.shape[:-1], *mel.shape[-2:])


@lru_cache(maxsize=32)
def _constants(spec: MelSpec, device: str, dtype: str) -> tuple[torch.Tensor, torch.Tensor]:
    """(window, basis) on a device; the arrays behind them are the NumPy path's own."""
    kind = getattr(torch, dtype)
    # Made in inference mode and cached, they could not take part in a later gradient.
    with torch.inference_mode(False):
        return (
            torch.from_numpy(window(spec).copy()).to(device, kind),
            torch.from_numpy(mel_basis(spec).copy()).to(device, kind),
        )


@lru_cache(maxsize=8)
def _highpass_response(spec: MelSpec, n_samples: int, n_fft: int) -> NDArray[np.complex128]:
    """Spectrum of the high-pass filter's impulse response, cut at `n_samples`."""
    impulse = np.zeros(n_samples)
    impulse[0] = 1.0
    return np.asarray(fft.rfft(signal.lfilter(*highpass(spec), impulse), n_fft))


def torch_highpass(x: torch.Tensor, spec: MelSpec) -> torch.Tensor:
    """`scipy.signal.filtfilt` with a gradient: (B, samples) → (B, samples).

    The gradient is that of two convolutions: filtfilt extends the ends by odd reflection and starts
    each pass in the state that the first sample settles to, and since a high-pass answers a
    constant with zero, that is filtering the signal minus its first sample from rest. The value is
    SciPy's own: in coefficient form this filter carries rounding noise of 1e-4, which is part of
    the original's mels (up to 3e-3 of their range of 2) and which only the same code reproduces.
    """
    edge = 3 * (HIGHPASS_ORDER + 1)
    left = 2 * x[:, :1] - x[:, 1 : edge + 1].flip(-1)
    right = 2 * x[:, -1:] - x[:, -edge - 1 : -1].flip(-1)
    y = torch.cat([left, x, right], dim=-1)
    n_samples = y.shape[-1]
    n_fft = fft.next_fast_len(2 * n_samples, real=True)
    response = torch.from_numpy(_highpass_response(spec, n_samples, n_fft))
    response = response.to(x.device, torch.complex64 if x.dtype == torch.float32 else None)
    for _ in range(2):
        spectrum = torch.fft.rfft(y - y[:, :1], n_fft) * response
        y = torch.fft.irfft(spectrum, n_fft)[:, :n_samples].flip(-1)
    y = y[:, edge:-edge]
    exact = signal.filtfilt(*highpass(spec), x.detach().cpu().numpy(), axis=-1)
    return y + (torch.from_numpy(exact.copy()).to(y) - y).detach()
