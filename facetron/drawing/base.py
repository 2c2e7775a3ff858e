"""Interface of the systems that draw faces from speech, the reverse direction of Facetron.

`facetron draw` uses nothing else of a system, so that all are drawn from the same speech with the
same seeds and scored alike.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facetron import systems
from facetron.checkpoints import bundled, checkpoint
from facetron.synthesis.base import Trained, identity, read_weights
from manifests.errors import BadInput, SpecMismatch, ToolkitError
from manifests.records import ManifestRow

__all__ = ["FacePainter", "identity", "load_painter", "pixels", "read_weights"]

Float = NDArray[np.float32]
Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class FacePainter(Trained):
    """A trained model of some system, ready to draw; make it with `load`.

    Attributes:
        seed: seed of everything that drawing draws at random, the same for every clip.
        dropout: whether dropout is left on, for systems whose noise it is.
    """

    seed: int
    dropout: bool

    @classmethod
    @abstractmethod
    def load(
        cls, checkpoint: str | Path, device: str = "auto", seed: int = 0, dropout: bool = False
    ) -> FacePainter:
        """Reads a checkpoint of this system.

        Raises:
            BadInput: the checkpoint is absent, damaged, of another system or without a part, there
                is no such CUDA device, or the system has no dropout to leave on.
        """

    @property
    @abstractmethod
    def side_px(self) -> int:
        """Side of a picture."""

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the pictures of one clip; "z0" is that of the noise's mean. ("",) without noise."""
        return ("",)

    @abstractmethod
    def draw(self, wave: Float) -> list[Pictures]:
        """Draws the face of whoever speaks.

        Args:
            wave: (samples,) in ±1 at `sample_rate_hz`, of any length.

        Returns:
            A picture (side, side, 3) uint8 RGB for each of `variants`.

        Raises:
            BadInput: no sound at all.
        """

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of the speech."""
        return self.info.model_config().mel_spec.sample_rate_hz

    def require(self, rows: Iterable[ManifestRow], what: str | Path) -> None:
        """Raises `SpecMismatch` unless the recordings of a manifest have the rate that is heard."""
        wanted = self.sample_rate_hz
        for rate_hz in sorted({row.sample_rate_hz for row in rows} - {wanted}):
            raise SpecMismatch(
                f"{what} has sound of {rate_hz} Hz, and {self.path} hears {wanted} Hz",
                "build the features again at that rate",
            )

    def middle(self, wave: Float, samples: int) -> Tensor:
        """The middle of a clip, (1, 1, samples); shorter ones are padded with silence on both sides."""
        wave = np.asarray(wave, np.float32)
        if wave.ndim != 1 or not np.isfinite(wave).all() or not np.abs(wave).max(initial=0) > 0:
            raise BadInput(
                f"sound of shape {wave.shape} that is silent or no finite numbers",
                "give a recording of speech",
            )
        missing = max(samples - len(wave), 0)
        wave = np.pad(wave, (missing // 2, missing - missing // 2))
        start = (len(wave) - samples) // 2
        return torch.from_numpy(wave[start : start + samples].copy())[None, None]


def load_painter(
    name: str | Path, device: str = "auto", seed: int = 0, dropout: bool = False
) -> FacePainter:
    """Loads the painter of a checkpoint; the checkpoint names its system.

    Args:
        name: path of a checkpoint, or the name of bundled weights, of a system that draws.
        device: `auto`, `cpu`, `cuda` or `cuda:1`.
        seed: seed of everything that is drawn at random.
        dropout: leave dropout on.

    Raises:
        BadInput: the checkpoint is absent, damaged, of a system that is not registered or that does
            not draw, there is no such CUDA device, or the system has no dropout to leave on.
    """
    path = bundled.resolve(name)
    info = checkpoint.read_info(path)
    try:
        painter = systems.get(info.system).painter_class()
    except ToolkitError as error:
        raise BadInput(f"{path}: {error.problem}", error.remedy) from None
    return painter.load(name, device, seed, dropout)


def pixels(picture: Tensor) -> Pictures:
    """(3, H, W) about ±1, the scale of the encoders → (H, W, 3) uint8 RGB."""
    stored = (picture.float() * 128 + 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(stored.movedim(0, -1).cpu().numpy())
