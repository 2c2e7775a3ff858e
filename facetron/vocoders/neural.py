"""HiFi-GAN as a vocoder of `facetron.vocoders.registry`: the part `vocoder` of a checkpoint, or published
weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from facetron.checkpoints import bundled
from facetron.checkpoints.checkpoint import fill, load
from facetron.devices import choose
from facetron.model.sizes import VOCODERS
from facetron.model.vocoder import Vocoder
from facetron.published.norms import remove_norms
from facetron.published.read import is_safetensors, load_published, read_published
from facetron.vocoders.griffin_lim import GriffinLim
from manifests.errors import BadInput, SpecMismatch
from manifests.io import sha256_file
from manifests.specs import MelSpec

PART = "vocoder"
PUBLISHED_PART = "generator"

CHUNK_FRAMES = 512
"""Mel frames made at once: memory does not grow with the length of a clip."""
CONTEXT_FRAMES = 64
"""Mel frames computed and thrown away on either side of a chunk: more than any version of HiFi-GAN
reaches, so that chunks join without a seam."""


@dataclass(frozen=True)
class NeuralVocoder:
    """A vocoder (see `facetron.vocoders.registry`). It pickles as its path: processes start cheaply.

    Attributes:
        spec: spec of the mels to turn into waveforms.
        checkpoint: name of bundled weights, a checkpoint of facetron, or a published `state_dict` of
            HiFi-GAN (`g_02500000`), whose version is found by its shapes.
        device: `auto`, `cpu`, `cuda`.

    Raises:
        BadInput: no checkpoint, an unusable one, or one without a vocoder.
        SpecMismatch: it takes other mels than `spec`.
    """

    spec: MelSpec
    checkpoint: str | Path = ""
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not str(self.checkpoint):
            held = ", ".join(bundled.names()) or "none in this installation"
            raise BadInput(
                "the vocoder hifigan needs weights",
                f"give --checkpoint with a path or bundled weights ({held})",
            )
        own = self.module.spec.fingerprint()
        self.spec.require(own, f"the vocoder of {self.checkpoint}")

    @property
    def module(self) -> Vocoder:
        """The network in evaluation mode, without norms, on the device."""
        path = bundled.resolve(self.checkpoint)
        return module_of(path, choose(self.device))

    @property
    def sample_rate_hz(self) -> int:
        return self.spec.sample_rate_hz

    @property
    def label(self) -> str:
        if self.module.pitch is not None:
            return "HiFi-GAN with harmonic source and iSTFT"
        return "HiFi-GAN with iSTFT" if self.module.istft_hop else "HiFi-GAN"

    def parameters(self) -> dict[str, Any]:
        path = bundled.resolve(self.checkpoint)
        return {
            "vocoder": "hifigan",
            "checkpoint": str(self.checkpoint)
            if path.parent.parent == bundled.FOLDER
            else path.name,
            "checkpoint_sha256": _sha256(path, path.stat().st_mtime_ns),
            "mel": self.spec.fingerprint(),
        }

    def __call__(
        self,
        mel: NDArray[np.floating[Any]],
        rng: np.random.Generator | None = None,
        n_samples: int | None = None,
    ) -> NDArray[np.float32]:
        """(n_mels, T) → (n_samples,) within ±1, by default T · hop. Nothing is drawn from `rng`.

        Raises `BadInput` for another shape or NaN.
        """
        sound = self.many([mel])[0]
        if n_samples is not None:
            sound = np.pad(sound[:n_samples], (0, max(0, n_samples - len(sound))))
        return sound

    def many(self, mels: Sequence[NDArray[np.floating[Any]]]) -> list[NDArray[np.float32]]:
        """Turns mels of one length, each (n_mels, T), into waveforms (T · hop,) in one batch."""
        for mel in mels:
            if np.ndim(mel) != 2 or mel.shape[0] != self.spec.n_mels or mel.shape[1] == 0:
                raise BadInput(
                    f"mel has shape {np.shape(mel)}, not ({self.spec.n_mels}, T)", "pass one clip"
                )
            if not np.isfinite(mel).all():
                raise BadInput("mel holds NaN or infinite values", "make it again")
        module = self.module
        batch = torch.from_numpy(np.stack(mels).astype(np.float32))
        frames, hop = batch.shape[2], self.spec.hop_samples
        # One block from the start: pieces that stay between the chunks' large arrays would keep the
        # memory of those from being used again, and it would grow with the length after all.
        sounds = np.empty((len(batch), frames * hop), np.float32)
        with torch.inference_mode():
            # Of the whole, for pulses must go on from chunk to chunk.
            excited = module.excite(batch.to(choose(self.device)))
            start, span = 0, CHUNK_FRAMES + 2 * CONTEXT_FRAMES
            while start < frames:
                # All of one length, the last one moved back: what one frees fits the next.
                first = max(0, min(start - CONTEXT_FRAMES, frames - span))
                last = min(first + span, frames)
                stop = frames if last == frames else last - CONTEXT_FRAMES
                part = None if excited is None else excited[:, :, first * hop : last * hop]
                wave = module(batch[:, :, first:last].to(choose(self.device)), part)[:, 0]
                wave = wave[:, (start - first) * hop : (stop - first) * hop].clamp(-1, 1)
                sounds[:, start * hop : stop * hop] = wave.cpu().numpy()
                start = stop
        return list(sounds)


@dataclass(frozen=True)
class RefinedVocoder(NeuralVocoder):
    """HiFi-GAN followed by rounds of Griffin-Lim that start from its phase.

    This suits vocoders of little training: the network gives the fine structure, and the rounds
    restore the given mel, which a small network only approximates.

    Attributes:
        rounds: number of rounds of Griffin-Lim.
    """

    rounds: int = 100

    @property
    def label(self) -> str:
        return f"{super().label}, {self.rounds} rounds of Griffin-Lim"

    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), "vocoder": "hifigan-refined", "rounds": self.rounds}

    def many(self, mels: Sequence[NDArray[np.floating[Any]]]) -> list[NDArray[np.float32]]:
        """Does what `NeuralVocoder.many` does, and refines it."""
        begun = super().many(mels)
        rounds = GriffinLim(self.spec, self.rounds)
        rng = np.random.default_rng(0)  # not drawn from: there is a start
        return [rounds(mel, rng, len(sound), sound) for mel, sound in zip(mels, begun, strict=True)]


@lru_cache(maxsize=4)
def _sha256(path: Path, _mtime_ns: int) -> str:
    return sha256_file(path)


def module_of(path: Path, device: torch.device) -> Vocoder:
    """The network of a checkpoint of facetron or of HiFi-GAN's authors, whatever mels it takes."""
    return _module(path, path.stat().st_mtime_ns, device)


@lru_cache(maxsize=2)
def _module(path: Path, _mtime_ns: int, device: torch.device) -> Vocoder:
    with torch.random.fork_rng(devices=[]):  # weights start at random, which is nobody's business
        module = _ours(path) if is_safetensors(path) else _published(path)
    if not all(bool(torch.isfinite(value).all()) for value in module.state_dict().values()):
        raise BadInput(f"{path}: the vocoder's weights are not finite numbers", "fetch it again")
    remove_norms(module)
    return module.requires_grad_(False).eval().to(device)


def _ours(path: Path) -> Vocoder:
    info, tensors = load(path)
    if PART not in info.parts:
        raise BadInput(f"{path} has no {PART}", f"it holds {', '.join(info.parts)}")
    # Whatever system it is of: one with such a part has a section of its name.
    config: Any = info.model_config()
    module = Vocoder(config.vocoder)
    fill(module, PART, tensors, path)
    return module


def _published(path: Path) -> Vocoder:
    """Raises `SpecMismatch` where the shapes are of no version."""
    part = PUBLISHED_PART if _has_part(path) else ""
    state = read_published(path, part)
    for config in VOCODERS.values():
        ups = [state.get(f"ups.{stage}.weight_v") for stage in range(len(config.kernels) + 1)]
        kernels = tuple(up.shape[-1] for up in ups if up is not None)
        width = state.get("conv_pre.bias")
        if kernels != config.kernels or width is None or len(width) != config.channels:
            continue
        module = Vocoder(config)
        if {name: value.shape for name, value in module.state_dict().items()} == {
            name: value.shape for name, value in state.items()
        }:
            load_published(module, path, part)
            return module
    raise SpecMismatch(
        f"{path} is not a HiFi-GAN of a known version", f"known versions: {', '.join(VOCODERS)}"
    )


def _has_part(path: Path) -> bool:
    try:
        read_published(path, PUBLISHED_PART)
    except BadInput:
        return False
    return True
