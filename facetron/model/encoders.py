"""Encoders by kind: what the lips, the face and the prosody of a clip may be read with.

The paper's lip encoder is `lipnet` ("The design of the lip encoder is based on LipNet", III); its face
encoder is after FaceNet and its prosody encoder is Mellotron's. Another kind is a class with the
contract of `Encoder` and a line here. Importing this module does not import PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol

from manifests.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

LIP = {
    "lipnet": "facetron.model.lip:LipEncoder",
    "av-hubert": "facetron.model.av_hubert:AvHubertLips",
    "av-hubert-large": "facetron.model.av_hubert:AvHubertLips",
    "auto-avsr": "facetron.model.auto_avsr:AutoAvsrLips",
}
LIP_VIEWS_PX = {"av-hubert": 88, "av-hubert-large": 88, "auto-avsr": 88}
"""Kinds of lip encoders whose published weights see gray pictures of one side only."""
FACE = {
    "inception_resnet_v1": "facetron.model.face:FaceEncoder",
    "residual": "facetron.model.face:FaceEncoder",
    "vgg19": "facetron.model.face:FaceEncoder",
}
PROSODY = {
    "gru": "facetron.model.prosody:ProsodyEncoder",
    "gst": "facetron.model.prosody:ProsodyEncoder",
    "ge2e": "facetron.model.ge2e:Ge2eVoice",
}

KINDS: dict[str, dict[str, str]] = {"lip": LIP, "face": FACE, "prosody": PROSODY}
"""Section of the options → kind → "module:class", imported when used. A class is called with its
section of the options, a prosody encoder also with the number of mel bands."""


class Encoder(Protocol):
    """The interface that a class of any kind has beside being a `torch.nn.Module`. Encoders of lips and of
    mels take `lengths` (B,) beside a batch in which shorter clips were padded."""

    @property
    def embedding_size(self) -> int:
        """Numbers in an embedding: a frame's of the lips, a clip's of a face or a mel."""

    @staticmethod
    def size_of(config: Any) -> int:
        """The same, of an encoder with such options."""

    @staticmethod
    def prepare(stored: Tensor, config: Any) -> Tensor:
        """Turns what a build stores into the input of `forward`.

        Lips (…, T, H, W, 3) uint8 → (…, C, T, H', W'); stills (…, H, W, 3) uint8 → (…, 3, H', W');
        mels (…, n_mels, T) stay as they are. Pictures become (pixel − 127.5) / 128, which the
        training data keeps in bytes; an encoder that wants another scale converts in `forward`.
        """


class Sized:
    """The part of `Encoder` that encoders share which keep their options in `config`."""

    config: Any

    @staticmethod
    def size_of(config: Any) -> int:
        """Numbers in an embedding."""
        return int(config.embedding_size)

    @property
    def embedding_size(self) -> int:
        return self.size_of(self.config)


class HearsMels(Sized):
    """The part that prosody encoders share."""

    @staticmethod
    def prepare(stored: Tensor, config: Any) -> Tensor:
        """Log mels (…, n_mels, T) as they are stored."""
        return stored


def require(section: str, kind: str) -> None:
    """Raises `BadInput`, which lists the kinds, unless there is one of this name."""
    if kind not in KINDS[section]:
        raise BadInput(
            f"there is no {section}.kind {kind!r}", f"choose one of {', '.join(KINDS[section])}"
        )


def encoder_class(section: str, kind: str) -> Any:
    """The class of a kind. Raises `BadInput` for an unknown one."""
    require(section, kind)
    module, attribute = KINDS[section][kind].split(":")
    return getattr(importlib.import_module(module), attribute)


def build(section: str, config: Any, *arguments: Any) -> Any:
    """A fresh encoder of the kind that a section of the options names."""
    return encoder_class(section, config.kind)(config, *arguments)


def prepare(section: str, stored: Tensor, config: Any) -> Tensor:
    """Turns what a build stores into the input of the encoder that a section of the options describes."""
    made: Tensor = encoder_class(section, config.kind).prepare(stored, config)
    return made


def keeps(section: str, config: Any, stored_px: int) -> bool:
    """Returns whether an encoder sees stored RGB pictures of this side as they are, so that bytes need
    not be converted. A class says so by a static method `keeps(config, stored_px)`."""
    says = getattr(encoder_class(section, config.kind), "keeps", None)
    return bool(says(config, stored_px)) if says is not None else False
