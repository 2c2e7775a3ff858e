"""SyncNet, written anew under the names of the public `syncnet_v2.model`, so that the weights that
papers used for LSE-C and LSE-D can be loaded by path. They are not part of this toolkit.

Chung and Zisserman, "Out of time: automated lip sync in the wild", ACCV workshop 2016 (two streams of
5 frames, 0.2 s); Prajwal et al. (Wav2Lip), ACM MM 2020, for the use of its distance and confidence.
The public pipeline throws away faces that are tracked for fewer than 100 frames, which is every clip
of GRID; here no clip is too long or too short but one of under 6 frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft
from torch import Tensor, nn

from evaluation.models.weights import loaded

SIDE_PX, WINDOW_FRAMES, FEATURES = 224, 5, 1024
RATE_HZ, SAMPLES_A_FRAME, CEPSTRA_A_FRAME = 16_000, 640, 4
LARGEST_SHIFT_FRAMES = 15
BATCH_WINDOWS = 10

Frames = NDArray[np.uint8]

# --- sound


def mfcc(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """(13, T) cepstra every 10 ms as the package `python_speech_features` 0.6 makes them by default,
    which is what SyncNet was trained on: 25 ms without a window, pre-emphasis 0.97, 512-point power
    spectrum, 26 mel bands, lifter 22, c0 replaced by the log energy.

    Args:
        samples: (n,) at 16 kHz as 16-bit integers; the level matters.
    """
    x = samples.astype(np.float64)
    x = np.append(x[:1], x[1:] - 0.97 * x[:-1])
    length, step, n_fft = 400, 160, 512
    count = 1 if len(x) <= length else 1 + -(-(len(x) - length) // step)
    x = np.pad(x, (0, max(0, (count - 1) * step + length - len(x))))
    frames = np.lib.stride_tricks.sliding_window_view(x, length)[::step][:count]
    power = np.abs(np.fft.rfft(frames, n_fft)) ** 2 / n_fft
    tiny = np.finfo(float).eps
    energy = power.sum(axis=1)
    bands = power @ _mel_bank(n_fft).T
    cepstra = fft.dct(np.log(np.where(bands == 0, tiny, bands)), type=2, axis=1, norm="ortho")[
        :, :13
    ]
    cepstra = cepstra * (1 + 11 * np.sin(np.pi * np.arange(13) / 22))
    cepstra[:, 0] = np.log(np.where(energy == 0, tiny, energy))
    return np.ascontiguousarray(cepstra.T, dtype=np.float32)


@lru_cache(maxsize=1)
def _mel_bank(n_fft: int, n_bands: int = 26) -> NDArray[np.float64]:
    """(26, 257) triangles whose corners are whole bins."""
    mel = np.linspace(0, 2595 * np.log10(1 + RATE_HZ / 2 / 700), n_bands + 2)
    bins = np.floor((n_fft + 1) * 700 * (10 ** (mel / 2595) - 1) / RATE_HZ)
    bank = np.zeros((n_bands, n_fft // 2 + 1))
    for j in range(n_bands):
        low, middle, high = bins[j : j + 3].astype(int)
        bank[j, low:middle] = (np.arange(low, middle) - bins[j]) / (bins[j + 1] - bins[j])
        bank[j, middle:high] = (bins[j + 2] - np.arange(middle, high)) / (bins[j + 2] - bins[j + 1])
    return bank


# --- the network


def _audio_cnn() -> nn.Sequential:
    """(n, 1, 13, 20) → (n, 512, 1, 1)."""
    return nn.Sequential(
        *_block(nn.Conv2d(1, 64, 3, padding=1)),
        nn.MaxPool2d(1, 1),
        *_block(nn.Conv2d(64, 192, 3, padding=1)),
        nn.MaxPool2d(3, (1, 2)),
        *_block(nn.Conv2d(192, 384, 3, padding=1)),
        *_block(nn.Conv2d(384, 256, 3, padding=1)),
        *_block(nn.Conv2d(256, 256, 3, padding=1)),
        nn.MaxPool2d(3, 2),
        *_block(nn.Conv2d(256, 512, (5, 4))),
    )


def _lip_cnn() -> nn.Sequential:
    """(n, 3, T, 224, 224) → (n, 512, T − 4, 1, 1): only the first layer looks along time."""
    return nn.Sequential(
        *_block(nn.Conv3d(3, 96, (5, 7, 7), (1, 2, 2))),
        nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
        *_block(nn.Conv3d(96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1))),
        nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
        *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
        *_block(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
        nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
        *_block(nn.Conv3d(256, 512, (1, 6, 6))),
    )


def _block(convolution: nn.Conv2d | nn.Conv3d) -> Sequence[nn.Module]:
    flat = isinstance(convolution, nn.Conv2d)
    norm = nn.BatchNorm2d if flat else nn.BatchNorm3d
    return convolution, norm(convolution.out_channels), nn.ReLU(inplace=True)


def _head() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, FEATURES)
    )


class SyncNet(nn.Module):
    """Two streams into one space, where what belongs together lies close."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = _audio_cnn()
        self.netfcaud = _head()
        self.netfclip = _head()
        self.netcnnlip = _lip_cnn()

    @torch.inference_mode()
    def audio_features(self, cepstra: NDArray[np.float32], windows: int) -> Tensor:
        """(13, T) cepstra → (windows, 1024), a window of 0.2 s for each video frame."""
        length = WINDOW_FRAMES * CEPSTRA_A_FRAME
        cut = torch.from_numpy(cepstra).unfold(1, length, CEPSTRA_A_FRAME)[:, :windows]
        deep = self.netcnnaud(cut.permute(1, 0, 2).unsqueeze(1))
        return cast("Tensor", self.netfcaud(deep.flatten(1)))

    @torch.inference_mode()
    def lip_features(self, frames: Frames, windows: int) -> Tensor:
        """(T, 224, 224, 3) RGB → (windows, 1024), a window of five frames for each."""
        found = []
        for start in range(0, windows, BATCH_WINDOWS):
            stop = min(windows, start + BATCH_WINDOWS)
            # As OpenCV reads pictures: blue first, 0 to 255.
            part = np.ascontiguousarray(frames[start : stop + WINDOW_FRAMES - 1, ..., ::-1])
            x = torch.from_numpy(part).permute(3, 0, 1, 2).unsqueeze(0).float()
            deep = self.netcnnlip(x)[0, :, :, 0, 0].T
            found.append(self.netfclip(deep))
        return torch.cat(found)


@dataclass(frozen=True)
class LipSync:
    """
    Attributes:
        distance: LSE-D, the mean distance of picture and sound at the best shift.
        confidence: LSE-C, how much the median shift's distance exceeds it.
        offset_frames: the best shift, positive where the sound comes early.
    """

    distance: float
    confidence: float
    offset_frames: int


def windows_of(n_frames: int, n_samples: int) -> int:
    """Windows that picture and sound both fill, counted as the public code does."""
    return max(0, min(n_frames, n_samples // SAMPLES_A_FRAME) - WINDOW_FRAMES)


def search(lips: Tensor, sound: Tensor, largest_shift: int = LARGEST_SHIFT_FRAMES) -> LipSync:
    """The shift of two (n, 1024) sequences at which they lie closest.

    As in the public code: Euclidean distances, beyond both ends against zeros, averaged over the clip.
    """
    n = len(lips)
    padded = nn.functional.pad(sound, (0, 0, largest_shift, largest_shift))
    shifts = 2 * largest_shift + 1
    distances = torch.stack(
        [nn.functional.pairwise_distance(lips, padded[k : k + n]).mean() for k in range(shifts)]
    )
    best = int(distances.argmin())
    least = float(distances[best])
    return LipSync(least, float(distances.median()) - least, largest_shift - best)


@lru_cache(maxsize=2)
def load_syncnet(path: Path) -> SyncNet:
    """The network with the weights of a file; nothing but tensors is unpickled.

    Raises:
        BadInput: no state dict of this network.
    """
    return loaded(SyncNet(), path, "is no SyncNet", "give the public syncnet_v2.model")
