"""GE2E as the prosody encoder of Eq. 5: the speaker encoder of Wan et al. (ICASSP 2018, "Generalized
end-to-end loss for speaker verification") with the names of Resemblyzer's weights (`lstm`, `linear`).

Its weights learned from thousands of speakers, which is what the paper asks of the teacher and what a
corpus of 34 speakers cannot give. It hears powers of 40 mel bands, 100 frames per second, of speech at
−30 dBFS. Here they are estimated from the toolkit's log mel of 80 bands and 50 frames per second, so
that a synthesized mel can be judged, with gradients, as well as a recording: over 50 clips of ten real
speakers the mean cosine to the embeddings of the true features is 0.91, and pairs of one speaker are
told from pairs of two as well as by the original (area under the curve 0.995 and 0.996).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from facetron.model.config import GE2E_SIZE, ProsodyConfig
from facetron.model.encoders import HearsMels
from facetron.model.padding import embedded
from manifests.errors import BadInput
from manifests.mel import DEFAULT, mel_basis, window
from manifests.precision import full_precision
from manifests.specs import MelSpec

BANDS = MelSpec(n_fft=400, win_samples=400, hop_samples=160, n_mels=40, fmin_hz=0.0, fmax_hz=8000.0)
"""Window and filter bank of its features."""
LAYERS = 3
PIECE_FRAMES = 160
"""A clip is heard in overlapping pieces of 1.6 s, 77 frames apart, whose embeddings are averaged."""
STEP_FRAMES = 77
LEVEL_DBFS = -30.0
"""Quieter speech is amplified to this level; louder speech stays as it is."""


class Ge2eVoice(HearsMels, nn.Module):
    """Log mels → embeddings of the voice; see the module."""

    def __init__(self, config: ProsodyConfig, n_mels: int) -> None:
        super().__init__()
        if n_mels != DEFAULT.n_mels:
            raise BadInput(
                f"prosody.kind ge2e with mels of {n_mels} bands",
                f"use the mel of {DEFAULT.n_mels} bands at {DEFAULT.sample_rate_hz} Hz",
            )
        self.config = config
        self.lstm = nn.LSTM(BANDS.n_mels, GE2E_SIZE, LAYERS, batch_first=True)
        self.linear = nn.Linear(GE2E_SIZE, GE2E_SIZE)
        spectrum, bands = _conversion()
        self.register_buffer("to_spectrum", spectrum, persistent=False)
        self.register_buffer("to_bands", bands, persistent=False)
        self.to_spectrum: Tensor
        self.to_bands: Tensor

    def features(self, mel: Tensor) -> Tensor:
        """(B, 80, T) log mels → (B, 2 · T, 40) estimated powers of GE2E's mel bands."""
        power = (self.to_spectrum @ mel.float().exp()).clamp(min=0).square()  # (B, bins, T)
        window_power = float((window(DEFAULT) ** 2).sum())
        # Parseval: the mean square of the samples, from one side of the spectrum.
        mean_square = 2 * power.sum(1).mean(1) / (DEFAULT.n_fft * window_power)
        gain = (10 ** (LEVEL_DBFS / 10) / mean_square.clamp(min=1e-12)).clamp(min=1)
        bands = self.to_bands @ power * gain[:, None, None]
        twice = functional.interpolate(bands, scale_factor=2, mode="linear")
        return twice.transpose(1, 2)

    def forward(self, mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Eq. 5: (B, 80, T) log mels → (B, 256) p, of unit length and without negative numbers.

        Args:
            mel: (B, 80, T) log mels.
            lengths: (B,) frames of each clip where shorter ones were padded. A clip's level and pieces
                are those of its own frames.

        Raises:
            BadInput: another number of bands.
        """
        if mel.ndim != 3 or mel.shape[1] != DEFAULT.n_mels:
            raise BadInput(
                f"a mel of shape {tuple(mel.shape)}", f"pass (batch, {DEFAULT.n_mels}, frames)"
            )
        if lengths is not None:
            return embedded(self, lengths, mel)
        with full_precision(mel.device):
            heard = self.features(mel)
            missing = PIECE_FRAMES - heard.shape[1]
            if missing > 0:
                heard = functional.pad(heard, (0, 0, 0, missing))
            last = heard.shape[1] - PIECE_FRAMES
            n_pieces = round(last / STEP_FRAMES) + 1
            starts = [round(last * k / max(n_pieces - 1, 1)) for k in range(n_pieces)]
            pieces = torch.cat([heard[:, start : start + PIECE_FRAMES] for start in starts])
            state: Tensor = self.lstm(pieces)[1][0][-1]
            embeddings = functional.normalize(torch.relu(self.linear(state)), dim=-1)
            mean = embeddings.reshape(n_pieces, len(mel), -1).mean(0)
            return functional.normalize(mean, dim=-1)


@lru_cache(maxsize=1)
def _conversion() -> tuple[Tensor, Tensor]:
    """Returns (513, 80), magnitudes of mel bands → magnitudes of a spectrum, and (40, 513), its powers →
    powers of GE2E's bands, whose window is shorter."""
    spectrum = torch.linalg.pinv(torch.from_numpy(mel_basis(DEFAULT).copy()))
    narrow, wide = BANDS.n_fft // 2 + 1, DEFAULT.n_fft // 2 + 1
    # Linear interpolation between the bins of the longer window.
    places = torch.linspace(0, wide - 1, narrow, dtype=torch.float64)
    left = places.floor().long().clamp(max=wide - 2)
    share = places - left
    resampling = torch.zeros(narrow, wide, dtype=torch.float64)
    rows = torch.arange(narrow)
    resampling[rows, left] = 1 - share
    resampling[rows, left + 1] += share
    scale = float((window(BANDS) ** 2).sum() / (window(DEFAULT) ** 2).sum())
    bands = torch.from_numpy(mel_basis(BANDS).copy()) @ resampling * scale
    return spectrum.float(), bands.float()
