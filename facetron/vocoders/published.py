"""Any vocoder's weights by path: HiFi-GAN's, BigVGAN's, Vocos's or a checkpoint of facetron with a
vocoder, whatever mels it was trained on (`facetron.vocoders.bridge`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facetron.checkpoints import bundled
from facetron.devices import choose
from facetron.published.families import Found, recognize
from facetron.published.norms import remove_norms
from facetron.published.read import is_foreign
from facetron.vocoders import bigvgan, neural, vocos
from facetron.vocoders.bridge import VocoderMel, bridge
from facetron.vocoders.neural import CHUNK_FRAMES, CONTEXT_FRAMES, NeuralVocoder
from manifests.errors import BadInput, in_short
from manifests.io import sha256_file
from manifests.specs import MelSpec

Float = NDArray[np.float32]

RATES_HZ = {80: (22_050, 8000.0), 100: (24_000, 12_000.0), 128: (44_100, 22_050.0)}
"""Bands of a published BigVGAN → its sample rate and the end of its mels, where no `config.json` lies
beside the weights."""

BUFFERS = ("feature_extractor.", "head.istft.")
"""What Vocos's files hold beside weights."""


@dataclass(frozen=True)
class PublishedVocoder:
    """A vocoder (see `facetron.vocoders.registry`) of any family, for mels of any spec. It pickles as
    its path.

    Attributes:
        spec: spec of the mels to turn into waveforms.
        checkpoint: name of bundled weights, a checkpoint of facetron with a vocoder, or published
            weights. A `config.json` beside BigVGAN's decides its sample rate and band.
        device: `auto`, `cpu`, `cuda`.

    Raises:
        BadInput: no checkpoint, an unusable one, or one without a vocoder.
        SpecMismatch: it takes mels that `spec` cannot be bridged to.
    """

    spec: MelSpec
    checkpoint: str | Path = ""
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not str(self.checkpoint):
            raise BadInput(
                "the vocoder published needs weights",
                "give their path (`facetron published` lists what can be used)",
            )
        assert self._loaded.mel.n_mels > 0

    @property
    def _path(self) -> Path:
        return bundled.resolve(self.checkpoint)

    @property
    def _loaded(self) -> _Loaded:
        path = self._path
        return _load(path, path.stat().st_mtime_ns, choose(self.device))

    @property
    def sample_rate_hz(self) -> int:
        return self._loaded.mel.sample_rate_hz

    @property
    def label(self) -> str:
        loaded = self._loaded
        same = loaded.own is not None and loaded.own == self.spec
        return loaded.label if same else f"{loaded.label}, mel bridged"

    def parameters(self) -> dict[str, Any]:
        path, loaded = self._path, self._loaded
        return {
            "vocoder": "published",
            "family": loaded.label,
            "checkpoint": path.name,
            "checkpoint_sha256": _sha256(path, path.stat().st_mtime_ns),
            "mel": self.spec.fingerprint(),
            "vocoder_mel": [loaded.mel.sample_rate_hz, loaded.mel.hop_samples, loaded.mel.n_mels],
        }

    def __call__(
        self,
        mel: NDArray[np.floating[Any]],
        rng: np.random.Generator | None = None,
        n_samples: int | None = None,
    ) -> Float:
        """(n_mels, T) → (n_samples,) within ±1 at `sample_rate_hz`, by default as long as the mel.
        Nothing is drawn from `rng`.

        Raises `BadInput` for another shape or NaN.
        """
        if np.ndim(mel) != 2 or mel.shape[0] != self.spec.n_mels or mel.shape[1] == 0:
            raise BadInput(
                f"mel has shape {np.shape(mel)}, not ({self.spec.n_mels}, T)", "pass one clip"
            )
        loaded = self._loaded
        if loaded.own == self.spec:
            sound = NeuralVocoder(self.spec, self.checkpoint, self.device)(mel)
        else:
            sound = self._spoken(loaded, bridge(mel, self.spec, loaded.mel))
        if n_samples is None:
            seconds = mel.shape[1] * self.spec.hop_samples / self.spec.sample_rate_hz
            n_samples = round(seconds * self.sample_rate_hz)
        return np.pad(sound[:n_samples], (0, max(0, n_samples - len(sound))))

    def _spoken(self, loaded: _Loaded, mel: Float) -> Float:
        """(n_mels, T) of the vocoder's own mels → its samples."""
        if loaded.own is not None:
            return NeuralVocoder(loaded.own, self.checkpoint, self.device)(mel)
        hop, frames = loaded.mel.hop_samples, mel.shape[1]
        batch, where = torch.from_numpy(mel)[None], choose(self.device)
        pieces: list[Float] = []
        with torch.inference_mode():
            for start in range(0, frames, CHUNK_FRAMES):
                stop = min(start + CHUNK_FRAMES, frames)
                first, last = max(0, start - CONTEXT_FRAMES), min(stop + CONTEXT_FRAMES, frames)
                wave = loaded.network(batch[:, :, first:last].to(where))[0, 0]
                piece = wave[(start - first) * hop : (stop - first) * hop].clamp(-1, 1)
                pieces.append(piece.float().cpu().numpy())
        return np.concatenate(pieces)


@dataclass(frozen=True)
class _Loaded:
    """A vocoder in memory.

    Attributes:
        network: (1, n_mels, T) → (1, 1, samples), in evaluation mode.
        mel: the mels that it takes.
        own: the same as a `MelSpec`, where `NeuralVocoder` speaks with it.
    """

    label: str
    network: nn.Module
    mel: VocoderMel
    own: MelSpec | None = None


@lru_cache(maxsize=2)
def _load(path: Path, _mtime_ns: int, device: torch.device) -> _Loaded:
    found = recognize(path) if is_foreign(path) else None
    if found is None or found.name == "hifi-gan":
        module = neural.module_of(path, device)
        return _Loaded("HiFi-GAN", module, VocoderMel.of(module.spec), module.spec)
    with torch.random.fork_rng(devices=[]):  # weights start at random, which is nobody's business
        if found.name == "bigvgan":
            label, network, mel = _bigvgan(found, path)
        elif found.name == "vocos":
            label, network, mel = _vocos(found, path)
        else:
            raise BadInput(
                f"{path} holds {found.name}, which is no vocoder",
                "see `facetron published` for those that are",
            )
    remove_norms(network)
    return _Loaded(label, network.requires_grad_(False).eval().to(device), mel)


def _bigvgan(found: Found, path: Path) -> tuple[str, nn.Module, VocoderMel]:
    config = bigvgan.config_of(found.tensors)
    network = bigvgan.BigVgan(config)
    _fill(network, found.tensors, path)
    if config.n_mels not in RATES_HZ:
        raise BadInput(f"{path} takes {config.n_mels} mel bands", "give 80, 100 or 128")
    rate_hz, end_hz = RATES_HZ[config.n_mels]
    hop = int(np.prod(config.rates))
    stated = _beside(path)
    mel = VocoderMel(
        int(stated.get("sampling_rate", rate_hz)),
        int(stated.get("n_fft", 4 * hop)),
        int(stated.get("hop_size", hop)),
        config.n_mels,
        float(stated.get("fmin", 0)),
        float(stated["fmax"] or stated["sampling_rate"] / 2) if "fmax" in stated else end_hz,
    )
    if mel.hop_samples != hop:
        raise BadInput(
            f"{path} makes {hop} samples a frame, and config.json beside it says {mel.hop_samples}",
            "put the config.json of the same model beside the weights",
        )
    return f"BigVGAN{'' if config.final_bias else '-v2'}", network, mel


def _vocos(found: Found, path: Path) -> tuple[str, nn.Module, VocoderMel]:
    tensors = {n: v for n, v in found.tensors.items() if not n.startswith(BUFFERS)}
    config = vocos.config_of(tensors)
    network = vocos.Vocos(config)
    _fill(network, tensors, path)
    mel = VocoderMel(
        24_000, config.n_fft, config.hop_samples, config.n_mels, 0.0, 12_000.0, "htk", 1e-7, True
    )
    return "Vocos", network, mel


def _fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    try:
        network.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise BadInput(
            f"{path} is of no version that is known ({in_short(error)})", "see `facetron published`"
        ) from None
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise BadInput(f"{path}: the vocoder's weights are not finite numbers", "fetch it again")


def _beside(path: Path) -> dict[str, Any]:
    """Returns what the `config.json` beside published weights says; nothing where there is none."""
    file = path.with_name("config.json")
    if not file.is_file():
        return {}
    try:
        stated = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{file} cannot be read ({error})", "fetch it again, or remove it") from None
    if not isinstance(stated, dict):
        raise BadInput(f"{file} is no object", "fetch it again, or remove it")
    return stated


@lru_cache(maxsize=4)
def _sha256(path: Path, _mtime_ns: int) -> str:
    return sha256_file(path)
