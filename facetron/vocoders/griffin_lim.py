"""Griffin-Lim: phase reconstruction from a log mel of any spec, without a trained vocoder.

The textbook method fixes a linear magnitude first (pseudo-inverse of the filter bank) and searches a
phase for it. That magnitude is an estimate, blurred within each mel band, and the phase has to fit
the blur. Here only the mel is fixed: each round keeps the magnitude of the current waveform and
scales it, band by band, until its mel is the given one, so that harmonics sharpen as the phase settles
(the idea of bi-level consistency, Masuyama, Ueno and Ono, WASPAA 2023, with a multiplicative step).
Measured on 21 real clips of ten speakers, 60 rounds:

| magnitude | STOI | ESTOI | mean error of the log-mel |
|---|---|---|---|
| pseudo-inverse | 0.892 | 0.795 | 0.079 |
| non-negative least squares | 0.859 | 0.735 | 0.448 |
| multiplicative (KL) inverse | 0.906 | 0.818 | 0.066 |
| `mel` (ours, the default) | 0.926 | 0.854 | 0.014 |
| the true magnitude, not available | 0.958 | 0.914 | 0.041 |

30, 60, 100 and 200 rounds reach ESTOI 0.845, 0.854, 0.858 and 0.861; 100 take about 0.1 s per clip.
Momentum 0, 0.5, 0.9, 0.99 and 1.1 reach 0.832, 0.838, 0.848, 0.854 and 0.839.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from manifests.errors import BadInput
from manifests.mel import invert, mel_basis, padding_samples, window
from manifests.specs import MelSpec

Float = NDArray[np.float32]
Complex = NDArray[np.complex64]

TINY = np.float32(1e-8)
FULL_SCALE = 0.999


@dataclass(frozen=True)
class GriffinLim:
    """A vocoder (see `facetron.vocoders.registry`).

    Attributes:
        spec: spec of the mels to invert.
        iterations: number of rounds.
        momentum: momentum of the fast variant (Perraudin, Balazs and Søndergaard, WASPAA 2013); 0 is the
            original (Griffin and Lim, 1984).
        magnitude: `mel` as above, or `pinv` for the textbook method that papers report.
    """

    spec: MelSpec
    iterations: int = 100
    momentum: float = 0.99
    magnitude: Literal["mel", "pinv"] = "mel"

    def __post_init__(self) -> None:
        if self.iterations < 1 or not 0 <= self.momentum < 2:
            raise BadInput(
                f"Griffin-Lim with {self.iterations} iterations and momentum {self.momentum}",
                "choose iterations ≥ 1 and 0 ≤ momentum < 2",
            )
        if self.magnitude not in ("mel", "pinv"):
            raise BadInput(f"there is no magnitude {self.magnitude!r}", "choose mel or pinv")

    @property
    def sample_rate_hz(self) -> int:
        return self.spec.sample_rate_hz

    @property
    def label(self) -> str:
        return "Griffin-Lim" if self.magnitude == "mel" else "Griffin-Lim, pseudo-inverse"

    def parameters(self) -> dict[str, Any]:
        return {
            "vocoder": "griffin-lim",
            "iterations": self.iterations,
            "momentum": self.momentum,
            "magnitude": self.magnitude,
            "mel": self.spec.fingerprint(),
        }

    def __call__(
        self,
        mel: NDArray[np.floating[Any]],
        rng: np.random.Generator,
        n_samples: int | None = None,
        start: NDArray[np.floating[Any]] | None = None,
    ) -> Float:
        """Returns a waveform whose mel is `mel`.

        Args:
            mel: (n_mels, T) log mel of `spec`, computed or predicted.
            rng: source of the initial phase, where there is no `start`.
            n_samples: length of the result; None is that of T frames. Cut or padded with zeros.
            start: (samples,) waveform to begin with, such as a neural vocoder's: its phase is better
                than a random one, and the rounds give it the mel `mel`.

        Returns:
            (n_samples,) float32 within ±1, as loud as the mel says, or scaled down as a whole where
            that would clip. (Where the spec normalized the peak, that is the level.)

        Raises:
            BadInput: another shape, NaN, or fewer frames than the padding needs.
        """
        if np.ndim(mel) != 2:
            raise BadInput(
                f"mel has shape {np.shape(mel)}, not ({self.spec.n_mels}, T)", "pass one clip"
            )
        target = np.ascontiguousarray(invert(mel, self.spec).T)
        grid = _Grid(self.spec, len(target))
        begun = None
        if start is not None:
            begun = np.zeros(grid.n_samples, np.float32)
            begun[: len(start)] = start[: grid.n_samples]
        sound = grid.synthesis(self._iterate(grid, target, rng, begun))
        if self.spec.preemphasis:
            from scipy import signal  # half a second, which the default mel can do without

            sound = signal.lfilter([1], [1, -self.spec.preemphasis], sound)
        if n_samples is not None:
            sound = np.pad(sound[:n_samples], (0, max(0, n_samples - len(sound))))
        peak = float(np.abs(sound).max(initial=0.0))
        if peak > FULL_SCALE:
            sound = sound * (FULL_SCALE / peak)
        return np.asarray(sound, dtype=np.float32)

    def _iterate(
        self, grid: _Grid, target: Float, rng: np.random.Generator, start: Float | None
    ) -> Complex:
        basis = mel_basis(self.spec).astype(np.float32)
        # How much of each bin's correction every band decides; bins outside all bands stay zero.
        shares = basis / np.maximum(basis.sum(axis=0), 1e-12)
        if self.magnitude == "pinv":
            inverse = np.linalg.pinv(mel_basis(self.spec)).astype(np.float32)
            magnitude = np.maximum(target @ inverse.T, 0)
        else:
            magnitude = (target / np.maximum(basis.sum(axis=1), 1e-12)) @ shares
        if start is None:
            phase = 2 * np.pi * rng.random(magnitude.shape, dtype=np.float32)
            spectrum: Complex = (magnitude * np.exp(1j * phase)).astype(np.complex64)
        else:
            spectrum = grid.analysis(start).astype(np.complex64)
            own = np.abs(spectrum)
            fitting = own * ((target / np.maximum(own @ basis.T, TINY)) @ shares)
            spectrum = spectrum * (fitting / np.maximum(own, 1e-12))
        before: Complex | None = None
        momentum = np.float32(self.momentum)
        for _ in range(self.iterations):
            consistent = grid.analysis(grid.synthesis(spectrum))
            ahead = consistent
            if before is not None:
                ahead = consistent + momentum * (consistent - before)
            before = consistent
            if self.magnitude == "mel":
                own = np.abs(consistent)
                magnitude = own * ((target / np.maximum(own @ basis.T, TINY)) @ shares)
            spectrum = ahead * (magnitude / np.maximum(np.abs(ahead), 1e-12))
        return spectrum


class _Grid:
    """STFT and its inverse on exactly the frames of `mel_spectrogram`, padding by reflection
    included: the mel of what `synthesis` gives is the mel that `analysis` sees."""

    def __init__(self, spec: MelSpec, n_frames: int) -> None:
        self.spec = spec
        self.padding = padding_samples(spec)
        span = (n_frames - 1) * spec.hop_samples + spec.n_fft
        self.n_samples = span - 2 * self.padding
        if self.n_samples <= self.padding:
            raise BadInput(
                f"a mel of {n_frames} frames is too short", "pass at least a few frames of speech"
            )
        self.window = window(spec).astype(np.float32)
        weight = self._overlap_add(np.tile(self.window**2, (n_frames, 1)))
        self.weight = np.maximum(weight[self.padding : self.padding + self.n_samples], TINY)

    def analysis(self, sound: Float) -> Complex:
        """(n_samples,) → (T, n_fft // 2 + 1)."""
        padded = np.pad(sound, (self.padding, self.padding), mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.spec.n_fft)
        return np.asarray(fft.rfft(frames[:: self.spec.hop_samples] * self.window, axis=-1))

    def synthesis(self, spectrum: Complex) -> Float:
        """(T, n_fft // 2 + 1) → (n_samples,), the least-squares inverse."""
        frames = fft.irfft(spectrum, self.spec.n_fft, axis=-1) * self.window
        sound = self._overlap_add(frames)[self.padding : self.padding + self.n_samples]
        return np.asarray(sound / self.weight)

    def _overlap_add(self, frames: Float) -> Float:
        # Frames cut into hops: the hop does not divide the window, but shifted sums still line up.
        n_frames, hop = len(frames), self.spec.hop_samples
        hops = -(-self.spec.n_fft // hop)
        pieces = np.zeros((n_frames, hops * hop), dtype=np.float32)
        pieces[:, : self.spec.n_fft] = frames
        total = np.zeros((n_frames + hops - 1, hop), dtype=np.float32)
        for i in range(hops):
            total[i : i + n_frames] += pieces[:, i * hop : (i + 1) * hop]
        return total.ravel()
