"""What every kind of encoder promises, over everything registered, and with a kind of the tests' own."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from facetron.model import encoders
from facetron.model.config import GE2E_SIZE, FaceConfig, LipConfig, ProsodyConfig
from facetron.model.ctc import VOCABULARY
from facetron.model.facetron import Facetron
from facetron.model.lip import LipOutput, lip_input
from facetron.model.sizes import DEBUG, model_config
from facetron.train.config import train_config
from facetron.train.run import create
from manifests.errors import BadInput

torch.set_num_threads(1)
PAIRS = [(section, kind) for section, kinds in encoders.KINDS.items() for kind in kinds]


def config_of(section: str, kind: str) -> Any:
    changes: dict[str, Any] = {"input_px": 80} if kind == "inception_resnet_v1" else {}
    if section == "lip" and kind in encoders.LIP_VIEWS_PX:
        changes = {"input_px": encoders.LIP_VIEWS_PX[kind], "width": 64, "layers": 1}
    if kind == "ge2e":
        changes = {"embedding_size": GE2E_SIZE}
    return dataclasses.replace(getattr(DEBUG, section), kind=kind, **changes)


def stored(section: str) -> Tensor:
    """Two clips as a build stores them."""
    generator = torch.Generator().manual_seed(0)
    if section == "prosody":
        return torch.randn(2, DEBUG.mel_spec.n_mels, 90, generator=generator)
    shape = (2, 9, 144, 144, 3) if section == "lip" else (2, 160, 160, 3)
    return torch.randint(256, shape, dtype=torch.uint8, generator=generator)


def built(section: str, config: Any) -> Any:
    arguments = (DEBUG.mel_spec.n_mels,) if section == "prosody" else ()
    return encoders.build(section, config, *arguments).eval()


@pytest.mark.parametrize(("section", "kind"), PAIRS)
def test_what_is_stored_becomes_an_embedding(section: str, kind: str) -> None:
    config = config_of(section, kind)
    encoder = built(section, config)
    given = encoders.prepare(section, stored(section), config)
    assert given.dtype == torch.float32
    with torch.no_grad():
        made = encoder(given)
        again = encoder(given)
    embedding = made.embedding if section == "lip" else made
    assert embedding.shape[0] == 2
    assert embedding.shape[-1] == encoder.embedding_size == encoder.size_of(config)
    assert embedding.shape[-1] == config.embedding_size
    assert torch.equal(embedding, again.embedding if section == "lip" else again)
    if section == "lip":
        assert embedding.shape[1] == 9
        assert made.logits.shape == (2, 9, len(VOCABULARY))
        assert all(isinstance(layer, nn.Module) for layer in encoder.only_spelling())


@pytest.mark.parametrize(("section", "kind"), [p for p in PAIRS if p[0] != "prosody"])
def test_pictures_are_centered_and_scaled(section: str, kind: str) -> None:
    """What training keeps in bytes comes back as it was: (pixel − 127.5) / 128."""
    config = config_of(section, kind)
    for grey in (0, 128, 255):
        given = encoders.prepare(section, torch.full_like(stored(section), grey), config)
        torch.testing.assert_close(
            given, torch.full_like(given, (grey - 127.5) / 128), atol=1e-4, rtol=0
        )


@pytest.mark.parametrize(
    ("section", "kind"), [("lip", LipConfig), ("face", FaceConfig), ("prosody", ProsodyConfig)]
)
def test_an_unknown_kind_lists_the_known(section: str, kind: type) -> None:
    with pytest.raises(BadInput, match=rf"no {section}\.kind 'dowsing'; choose one of "):
        kind(kind="dowsing")
    with pytest.raises(BadInput, match=rf"no {section}\.kind 'dowsing'"):
        model_config("debug", sets=[f"{section}.kind=dowsing"])


class Brightness(nn.Module):
    """Reads nothing but how light the picture is, into five numbers."""

    prepare = staticmethod(lip_input)

    def __init__(self, config: LipConfig) -> None:
        super().__init__()
        self.config = config
        self.into, self.letters = nn.Linear(1, 5), nn.Linear(5, len(VOCABULARY))

    @staticmethod
    def size_of(config: LipConfig) -> int:
        return 5

    @property
    def embedding_size(self) -> int:
        return 5

    def only_spelling(self) -> list[nn.Module]:
        return [self.letters]

    def forward(self, lips: Tensor, lengths: Tensor | None = None) -> LipOutput:
        embedding = self.into(lips.mean((1, 3, 4))[..., None])
        return LipOutput(embedding, self.letters(embedding))


def test_a_kind_of_ones_own_reaches_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(encoders.LIP, "brightness", f"{__name__}:Brightness")
    config = model_config("debug", sets=["lip.kind=brightness"])
    assert config.condition_size == 5 + config.face.embedding_size
    facetron = Facetron(config).eval()
    assert isinstance(facetron.lip, Brightness)
    lips = encoders.prepare("lip", stored("lip"), config.lip)
    mel = facetron(lips, encoders.prepare("face", stored("face"), config.face))
    assert mel.shape == (2, config.mel_spec.n_mels, 18)
    for stage in ("lip", "prosody", "decoder", "joint"):
        options, training = train_config(stage, "debug", sets=["lip.kind=brightness"])
        made = create(stage, options, training)
        if "lip" in made.parts and stage != "lip":
            assert not any(p.requires_grad for p in made.parts["lip"].parameters())
