"""The network of the recognizer LAS: SpeechBrain's CRDNN as listener, its attentional GRU as speller,
and a CTC layer on the listener.

Chan et al., "Listen, attend and spell", ICASSP 2016; Kim, Hori, Watanabe, "Joint CTC-attention based
end-to-end speech recognition using multi-task learning", ICASSP 2017. Characters are the units, as in
the recognizer of the Facetron paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from evaluation.models.las_features import BOS, SPEC, VOCABULARY_SIZE
from evaluation.models.shipped import open_shipped, save_shipped
from evaluation.models.torchaudio_placeholder import ensure_torchaudio, forget_lazy_modules
from manifests.errors import BadInput, in_short
from manifests.specs import Spec

WEIGHTS = Path(__file__).parents[1] / "weights" / "recognizer.safetensors"
UNSEEN_WEIGHTS = WEIGHTS.with_name("recognizer-unseen.safetensors")
"""Trained without the speakers that the large-unseen protocol keeps from every model."""
TIME_POOLING = 2


@dataclass(frozen=True)
class LasSpec(Spec):
    """Sizes of the network.

    Attributes:
        cnn_channels: of the two convolutional blocks; each pools the mel bands by `cnn_pooling`.
        rnn_units: of each direction of the two bidirectional GRU layers.
        states: width of the listener's output and of the speller's state.
        attention, embedding: widths of attention and of the characters' embedding.
        location_channels, location_frames: convolution over the previous attention weights and how
            far it reaches to either side.
        mel: fingerprint of the features' spec.
    """

    cnn_channels: tuple[int, ...] = (16, 32)
    cnn_pooling: tuple[int, ...] = (4, 2)
    rnn_units: int = 160
    rnn_layers: int = 2
    states: int = 192
    attention: int = 128
    embedding: int = 64
    location_channels: int = 8
    location_frames: int = 12
    dropout: float = 0.15
    mel: str = SPEC.fingerprint()


class Las(nn.Module):
    """Log-mels → characters.

    Args:
        spec: sizes. The spec of the features must be this version's.
    """

    def __init__(self, spec: LasSpec = LasSpec()) -> None:
        super().__init__()
        SPEC.require(spec.mel, "the recognizer")
        ensure_torchaudio()
        from speechbrain.lobes.models.CRDNN import CRDNN
        from speechbrain.nnet.linear import Linear
        from speechbrain.nnet.RNN import GRU, AttentionalRNNDecoder

        forget_lazy_modules()

        self.spec = spec
        self.listener = CRDNN(
            input_shape=[None, None, SPEC.n_mels],
            dropout=spec.dropout,
            cnn_blocks=len(spec.cnn_channels),
            cnn_channels=list(spec.cnn_channels),
            inter_layer_pooling_size=list(spec.cnn_pooling),
            time_pooling=True,
            time_pooling_size=TIME_POOLING,
            rnn_class=GRU,
            rnn_layers=spec.rnn_layers,
            rnn_neurons=spec.rnn_units,
            rnn_bidirectional=True,
            dnn_blocks=1,
            dnn_neurons=spec.states,
        )
        self.embedding = nn.Embedding(VOCABULARY_SIZE, spec.embedding)
        self.speller = AttentionalRNNDecoder(
            rnn_type="gru",
            attn_type="location",
            hidden_size=spec.states,
            attn_dim=spec.attention,
            num_layers=1,
            enc_dim=spec.states,
            input_size=spec.embedding,
            kernel_size=spec.location_frames,
            channels=spec.location_channels,
            dropout=spec.dropout,
        )
        # SpeechBrain's own layer: its searchers read the size of the vocabulary from it.
        self.spelled = Linear(n_neurons=VOCABULARY_SIZE, input_size=spec.states)
        self.heard = Linear(n_neurons=VOCABULARY_SIZE, input_size=spec.states)

    def listen(self, features: Tensor) -> Tensor:
        """(B, T, 64) → (B, T // 2, states)."""
        return cast("Tensor", self.listener(features))

    def ctc_logits(self, states: Tensor) -> Tensor:
        """(B, S, states) → (B, S, vocabulary)."""
        return cast("Tensor", self.heard(states))

    def spell(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Logits of each next character, given the right ones before it.

        Args:
            states: (B, S, states) of clips of equal length.
            tokens: (B, L) characters before each place, the first of them `BOS`.

        Returns:
            (B, L, vocabulary).
        """
        assert bool((tokens[:, 0] == BOS).all())
        shares = torch.ones(len(states), device=states.device)
        outputs, _ = self.speller(self.embedding(tokens), states, shares)
        return cast("Tensor", self.spelled(outputs))


def save_las(path: Path, model: Las, about: dict[str, Any], card: dict[str, Any]) -> str:
    """Writes weights in half precision and their card; returns the sha256.

    Args:
        about: plain values about the training, for the file's header.
        card: what a reader is owed.
    """
    tensors = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    return save_shipped(path, tensors, {"spec": model.spec.to_dict(), **about}, card)


@lru_cache(maxsize=2)
def load_las(path: Path = WEIGHTS) -> Las:
    """The network in evaluation mode.

    Raises:
        BadInput: no such file, not its card's, or not weights of this network.
    """
    shipped = open_shipped(path)
    if "spec" not in shipped.metadata:
        raise BadInput(f"{path} holds no recognizer of this toolkit", "check the path")
    model = Las(LasSpec.from_dict(shipped.metadata["spec"]))
    try:
        model.load_state_dict({n: torch.from_numpy(t.copy()) for n, t in shipped.tensors.items()})
    except RuntimeError as error:
        raise BadInput(
            f"{path} does not fit the network ({in_short(error, 200)})", "check the file"
        ) from None
    return model.eval()
