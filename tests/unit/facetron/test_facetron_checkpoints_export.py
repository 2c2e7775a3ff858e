"""Parts of several stages in one file: which wins, what is refused, how precise it stays."""

from pathlib import Path

import pytest
import torch
from torch import nn

from facetron import options
from facetron.checkpoints import checkpoint
from facetron.checkpoints.checkpoint import CheckpointInfo
from facetron.checkpoints.export import export
from facetron.model.decoder import Decoder
from facetron.model.face import FaceEncoder
from facetron.model.lip import LipEncoder
from facetron.model.sizes import model_config
from facetron.model.vocoder import Vocoder
from manifests.errors import BadInput, SpecMismatch

torch.set_num_threads(1)
CONFIG = model_config("debug")


def written(path: Path, parts: dict[str, nn.Module], seed_of: str = "", **changes: object) -> Path:
    values: dict[str, object] = {
        "stage": seed_of or "decoder",
        "config": options.to_dict(CONFIG),
        "parts": tuple(parts),
        "mel": CONFIG.mel_spec.fingerprint(),
        "crop": "c" * 16,
        "speakers": ("s3",),
        "split": "large-unseen",
        "metrics": {"val_cer": 0.25, "train_loss": 1.0},
    }
    checkpoint.save(path, checkpoint.named(parts), CheckpointInfo(**{**values, **changes}))  # type: ignore[arg-type]
    return path


def lip(seed: int = 0) -> LipEncoder:
    torch.manual_seed(seed)
    return LipEncoder(CONFIG.lip)


def speaking(seed: int = 0) -> dict[str, nn.Module]:
    torch.manual_seed(seed)
    decoder = Decoder(CONFIG.decoder, CONFIG.condition_size, CONFIG.mel_spec.n_mels)
    return {"lip": lip(seed), "face": FaceEncoder(CONFIG.face), "decoder": decoder}


def test_parts_of_several_stages_and_the_later_wins(tmp_path: Path) -> None:
    first = written(tmp_path / "lip.safetensors", {"lip": lip(1)}, "lip", speakers=("s5",))
    torch.manual_seed(2)
    vocoder = Vocoder(CONFIG.vocoder)
    parts = {**speaking(3), "mel_discriminator": nn.Linear(2, 2)}
    second = written(tmp_path / "decoder.safetensors", parts, sentences=("lay blue",))
    third = written(
        tmp_path / "vocoder.safetensors", {"vocoder": vocoder}, "vocoder", sentences=("set red",)
    )
    made = export([first, second, third], tmp_path / "deep" / "model.safetensors")
    assert made.info.parts == ("lip", "face", "decoder", "vocoder")
    assert made.origin["lip"] == second  # the decoder's copy came later
    assert made.info.speakers == ("s3", "s5")
    assert made.info.sentences == ("lay blue",)
    assert made.info.metrics["lip.val_cer"] == 0.25
    assert "lip.train_loss" not in made.info.metrics
    info, tensors = checkpoint.load(tmp_path / "deep" / "model.safetensors")
    assert info == made.info
    assert info.model_config() == CONFIG
    assert not any(name.startswith("mel_discriminator") for name in tensors)
    loaded = Vocoder(CONFIG.vocoder)
    checkpoint.fill(loaded, "vocoder", tensors, third)
    for ours, theirs in zip(loaded.parameters(), vocoder.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)  # half precision


def test_half_the_bytes_and_all_of_them(tmp_path: Path) -> None:
    source = written(tmp_path / "all.safetensors", speaking())
    export([source], tmp_path / "half.safetensors")
    export([source], tmp_path / "full.safetensors", half=False)
    half = checkpoint.load(tmp_path / "half.safetensors")[1]
    full = checkpoint.load(tmp_path / "full.safetensors")[1]
    assert {value.dtype for value in half.values() if value.is_floating_point()} == {torch.float16}
    original = checkpoint.load(source)[1]
    assert all(torch.equal(full[name], original[name]) for name in full)


def test_sections_come_with_their_parts(tmp_path: Path) -> None:
    other = model_config("debug", None, ["vocoder.channels=32"])
    vocoder = written(
        tmp_path / "v.safetensors",
        {"vocoder": Vocoder(other.vocoder)},
        "vocoder",
        config=options.to_dict(other),
    )
    source = written(tmp_path / "d.safetensors", speaking())
    for order in ([source, vocoder], [vocoder, source]):
        made = export(order, tmp_path / "out.safetensors")
        assert made.info.model_config().vocoder.channels == 32


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"mel": "0" * 16}, "different mels"),
        ({"crop": "0" * 16}, "different crops"),
        ({"split": "all-seen"}, "different splits"),
    ],
)
def test_what_does_not_belong_together(tmp_path: Path, changes: dict[str, str], told: str) -> None:
    source = written(tmp_path / "d.safetensors", speaking())
    vocoder = {"vocoder": Vocoder(CONFIG.vocoder)}
    stranger = written(tmp_path / "v.safetensors", vocoder, "vocoder", **changes)
    with pytest.raises(SpecMismatch, match=told):
        export([source, stranger], tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_a_part_that_speaking_needs(tmp_path: Path) -> None:
    source = written(tmp_path / "l.safetensors", {"lip": lip()}, "lip")
    with pytest.raises(
        BadInput, match="no checkpoint given with --from has a trained face, decoder"
    ):
        export([source], tmp_path / "out.safetensors")


def test_numbers_too_large_for_half(tmp_path: Path) -> None:
    parts = speaking()
    with torch.no_grad():
        next(parts["face"].parameters()).fill_(1e6)
    source = written(tmp_path / "d.safetensors", parts)
    with pytest.raises(BadInput, match="has values outside the range of float16"):
        export([source], tmp_path / "out.safetensors")
    export([source], tmp_path / "out.safetensors", half=False)


def test_each_part_keeps_the_record_of_its_own_training(tmp_path: Path) -> None:
    """The lips in a decoder's checkpoint were trained by the stage lip, and say so."""
    of_lip = {
        "stage": "lip", "epoch": 7, "revision": "abc", "metrics": {"val_cer": 0.1},
        "training": {"epochs": 7},
    }  # fmt: skip
    source = written(
        tmp_path / "d.safetensors",
        speaking(),
        metrics={"val_loss": 2.0},
        epoch=3,
        training={"epochs": 3},
        trained={"lip": of_lip},
    )
    info = export([source], tmp_path / "out.safetensors").info
    assert info.metrics == {"lip.val_cer": 0.1, "face.val_loss": 2.0, "decoder.val_loss": 2.0}
    assert info.training["lip"] == {"stage": "lip", "epoch": 7, "revision": "abc", "epochs": 7}
    assert info.training["decoder"]["epochs"] == 3
    again = export([tmp_path / "out.safetensors"], tmp_path / "again.safetensors").info
    assert again.metrics == info.metrics
