"""NISQA-TTS: the network and the features of the official checkpoint, written anew, so that the
weights that papers used can be loaded by path. The weights are CC BY-NC-SA 4.0 and not part of this
toolkit.

Mittag and Möller, "Deep learning based assessment of synthetic speech naturalness", Interspeech 2020:
a mel-spectrogram cut into overlapping segments, a CNN over each, a bidirectional LSTM over their
sequence, and a linear layer on its last step of both directions.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluation.inputs.compiled import import_librosa
from evaluation.models.weights import loaded

N_FFT, HOP_S, WIN_S, N_MELS, FMAX_HZ = 4096, 0.01, 0.02, 48, 8000.0
AMIN, TOP_DB = 1e-4, 80.0
SEGMENT_FRAMES, MAX_SEGMENTS = 15, 6000
CHANNELS = (16, 32, 64, 64, 64, 64)
FEATURES, HIDDEN = 20, 128


class TooShort(ValueError):
    """The sound has fewer frames than one segment."""


def mel_db(samples: NDArray[np.floating[Any]], rate_hz: int) -> NDArray[np.float32]:
    """Mel magnitudes in dB relative to 1, at most 80 dB below the file's loudest.

    Args:
        samples: (n,) mono at the file's own rate.

    Returns:
        (48, 1 + n // hop) float32.
    """
    librosa = import_librosa()
    with warnings.catch_warnings():
        # Bands above the Nyquist frequency of 8 kHz files are empty, in the original too.
        warnings.simplefilter("ignore", UserWarning)
        mel = librosa.feature.melspectrogram(
            y=samples.astype(np.float32),
            sr=rate_hz,
            n_fft=N_FFT,
            hop_length=int(rate_hz * HOP_S),
            win_length=int(rate_hz * WIN_S),
            window="hann",
            center=True,
            pad_mode="reflect",
            power=1.0,
            n_mels=N_MELS,
            fmin=0.0,
            fmax=FMAX_HZ,
            htk=False,
            norm="slaney",
        )
    decibels = librosa.amplitude_to_db(mel, ref=1.0, amin=AMIN, top_db=TOP_DB)
    return cast("NDArray[np.float32]", decibels.astype(np.float32))


def segments(mel: NDArray[np.float32]) -> Tensor:
    """(48, T) → (T − 14, 1, 48, 15): every run of 15 frames. Raises `TooShort`, and `ValueError`
    beyond the 6000 segments (a minute) that the network was made for."""
    n = mel.shape[1] - SEGMENT_FRAMES + 1
    if n < 1:
        raise TooShort(f"{mel.shape[1]} frames of 10 ms are fewer than {SEGMENT_FRAMES}")
    if n > MAX_SEGMENTS:
        raise ValueError(f"{n} segments are more than {MAX_SEGMENTS}")
    cut = torch.from_numpy(np.ascontiguousarray(mel)).unfold(1, SEGMENT_FRAMES, 1)
    return cut.permute(1, 0, 2).unsqueeze(1).contiguous()


class SegmentCnn(nn.Module):
    """(n, 1, 48, 15) → (n, 20)."""

    def __init__(self) -> None:
        super().__init__()
        for i, (before, after) in enumerate(zip((1, *CHANNELS), CHANNELS, strict=False), 1):
            self.add_module(f"conv{i}", nn.Conv2d(before, after, 3, padding=1))
            self.add_module(f"bn{i}", nn.BatchNorm2d(after))
        self.first_pool = nn.MaxPool2d(2, padding=(0, 1))
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout2d(0.2)
        self.fc_out = nn.Linear(CHANNELS[-1] * (N_MELS // 8) * 2, FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        for i in range(1, len(CHANNELS) + 1):
            if i >= 3:
                x = self.dropout(x)
            x = torch.relu(self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(x)))
            if i == 1:
                x = self.first_pool(x)
            elif i in (2, 4):
                x = self.pool(x)
        return cast("Tensor", self.fc_out(x.flatten(1)))


def _holder(**modules: nn.Module) -> nn.Module:
    """The checkpoint's names have a `model` in every part."""
    inner = nn.Module()
    for name, module in modules.items():
        inner.add_module(name, module)
    return inner


class NisqaTts(nn.Module):
    """Naturalness of one file, about 1 to 5, not clipped; 303,925 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn = _holder(model=SegmentCnn())
        lstm = nn.LSTM(FEATURES, HIDDEN, batch_first=True, bidirectional=True)
        self.time_dependency = _holder(model=_holder(lstm=lstm))
        self.pool = _holder(model=_holder(linear=nn.Linear(2 * HIDDEN, 1)))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, 48, 15) of one file → ()."""
        features = self.cnn.get_submodule("model")(x)
        states, _ = self.time_dependency.get_submodule("model.lstm")(features.unsqueeze(0))
        # The last state of each direction: the backward one ends at the first segment.
        ends = torch.cat([states[0, -1, :HIDDEN], states[0, 0, HIDDEN:]])
        return cast("Tensor", self.pool.get_submodule("model.linear")(ends).squeeze())

    @torch.inference_mode()
    def naturalness(self, samples: NDArray[np.floating[Any]], rate_hz: int) -> float:
        """Score of (n,) mono samples at their own rate; the level matters (nothing is normalized).

        Raises:
            TooShort: under 15 frames (0.14 s). ValueError: over a minute.
        """
        return float(self(segments(mel_db(samples, rate_hz))))


@lru_cache(maxsize=2)
def load_nisqa(path: Path) -> NisqaTts:
    """The network with the weights of a checkpoint, ready to score.

    Raises:
        BadInput: no checkpoint, or one of another network.
    """
    return loaded(
        NisqaTts(),
        path,
        "is no checkpoint of NISQA-TTS",
        "give the official nisqa_tts.tar",
        "model_state_dict",
    )
