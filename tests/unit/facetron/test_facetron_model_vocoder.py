"""HiFi-GAN: lengths, names of published weights, norms, and its formula done by hand."""

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from facetron_hifigan_names import Shapes, generator, mpd, msd
from torch import Tensor, nn
from torch.nn import functional

from facetron.model.discriminators import WaveDiscriminator
from facetron.model.sizes import DEBUG, V1_22K, VOCODERS
from facetron.model.vocoder import Vocoder
from facetron.published.norms import remove_norms, spectral_norm, weight_norm
from facetron.published.read import load_published, read_published
from manifests.errors import BadInput, SpecMismatch

torch.set_num_threads(1)


def vocoder() -> Vocoder:
    torch.manual_seed(0)
    return Vocoder(DEBUG.vocoder).eval()


def meta_state(shapes: Shapes) -> dict[str, Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def new_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As `torch.nn.utils.parametrizations` would name the weight-normed ones."""
    return {
        name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): value
        for name, value in state.items()
    }


@pytest.mark.parametrize("name", VOCODERS)
def test_exactly_hop_samples_a_frame(name: str) -> None:
    config = VOCODERS[name]
    with torch.device("meta"), torch.no_grad():
        model = Vocoder(config)
        for frames in (1, 13, 150):
            wave = model(torch.empty(2, 80, frames))
            assert wave.shape == (2, 1, frames * config.mel_spec.hop_samples)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("v1", 13.09),
        ("v2", 0.92),
        ("v3", 1.47),
        ("v1-22k", 13.94),
        ("v2-22k", 0.93),
        ("v3-22k", 1.46),
    ],
)
def test_sizes(name: str, millions: float) -> None:
    with torch.device("meta"):
        model = Vocoder(VOCODERS[name])
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("v1-22k", generator(512, [16, 16, 4, 4], 1)),
        ("v2-22k", generator(128, [16, 16, 4, 4], 1)),
        ("v3-22k", generator(256, [16, 16, 8], 2)),
    ],
)
def test_generator_has_the_published_names_and_shapes(name: str, shapes: Shapes) -> None:
    with torch.device("meta"):
        model = Vocoder(VOCODERS[name])
    ours = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    assert ours == shapes
    model.load_state_dict(meta_state(shapes), assign=True)
    model.load_state_dict(new_names(meta_state(shapes)), assign=True)


def test_discriminators_have_the_published_names_and_shapes() -> None:
    with torch.device("meta"):
        model = WaveDiscriminator(V1_22K)
    for module, shapes in ((model.mpd, mpd()), (model.msd, msd())):
        assert {key: tuple(value.shape) for key, value in module.state_dict().items()} == shapes
        module.load_state_dict(meta_state(shapes), assign=True)


def test_every_way_of_naming_gives_the_same_sound() -> None:
    model, mel = vocoder(), torch.randn(2, 80, 5)
    for layer in model.modules():  # gains that are not the norms they start at
        if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            with torch.no_grad():
                layer.parametrizations.weight.original0.mul_(1.3)
    expected, state = model(mel), model.state_dict()
    folded = copy.deepcopy(model)
    remove_norms(folded)
    torch.testing.assert_close(folded(mel), expected)
    assert set(folded.state_dict()) == {
        name.replace("weight_g", "weight") for name in state if not name.endswith("weight_v")
    }
    for names in (state, new_names(state), folded.state_dict()):
        normed, plain = Vocoder(DEBUG.vocoder), Vocoder(DEBUG.vocoder)
        remove_norms(plain)
        for fresh in (normed, plain):
            fresh.load_state_dict(names)
            torch.testing.assert_close(fresh(mel), expected)
    assert set(copy.deepcopy(model).state_dict()) == set(state)


def test_formula_by_hand() -> None:
    """The published generator, written once more as plain functions of the published tensors."""
    model, mel = vocoder(), torch.randn(1, 80, 6)
    state = model.state_dict()

    def weights(name: str) -> tuple[Tensor, Tensor]:
        v, g = state[f"{name}.weight_v"], state[f"{name}.weight_g"]
        return v * g / v.norm(dim=(1, 2), keepdim=True), state[f"{name}.bias"]

    x = functional.conv1d(mel, *weights("conv_pre"), padding=3)
    for stage, (rate, kernel) in enumerate([(8, 16), (8, 16), (5, 11)]):
        x = functional.leaky_relu(x, 0.1)
        x = functional.conv_transpose1d(
            x, *weights(f"ups.{stage}"), stride=rate, padding=(kernel - rate) // 2
        )
        for layer, dilation in enumerate((1, 2)):
            y = functional.leaky_relu(x, 0.1)
            name = f"resblocks.{stage}.convs.{layer}"
            x = x + functional.conv1d(y, *weights(name), padding=dilation, dilation=dilation)
    x = functional.leaky_relu(x, 0.01)
    x = torch.tanh(functional.conv1d(x, *weights("conv_post"), padding=3))
    torch.testing.assert_close(model(mel), x)


@pytest.mark.parametrize(
    ("kind", "spectral"),
    [(nn.Conv1d, False), (nn.Conv2d, False), (nn.ConvTranspose1d, False), (nn.Conv1d, True)],
)
def test_pytorchs_old_norms_read_ours_and_the_other_way_round(kind: Any, spectral: bool) -> None:
    new, old = (
        (spectral_norm, nn.utils.spectral_norm)
        if spectral
        else (
            weight_norm,
            nn.utils.weight_norm,
        )
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs, back = new(kind(3, 4, 5)), old(kind(3, 4, 5)), new(kind(3, 4, 5))
    x = torch.randn(2, 3, 9, 9) if kind is nn.Conv2d else torch.randn(2, 3, 9)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(theirs.eval()(x), ours.eval()(x))
    back.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(back.eval()(x), ours(x))


def test_determinism_batches_bounds_and_gradients() -> None:
    model, mel = vocoder(), 5 * torch.randn(3, 80, 5)
    wave = model(mel)
    assert torch.equal(wave, model(mel))
    torch.testing.assert_close(model(mel[1:2])[0], wave[1])
    assert float(wave.detach().abs().max()) <= 1
    wave.square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_mels_of_another_spec_are_refused() -> None:
    model = vocoder()
    model.require(DEBUG.mel_spec.fingerprint(), "a mel")
    with pytest.raises(SpecMismatch, match="a mel"):
        model.require(VOCODERS["v1-22k"].mel_spec.fingerprint(), "a mel")
    with pytest.raises(BadInput, match="a mel"):
        model.require("", "a mel")
    with pytest.raises(BadInput, match="Vocoder was given"):
        model(torch.zeros(1, 64, 5))


def test_published_files_load(tmp_path: Path) -> None:
    model, other = vocoder(), Vocoder(DEBUG.vocoder).eval()
    judge = WaveDiscriminator(DEBUG.vocoder)
    torch.save({"generator": model.state_dict()}, tmp_path / "g_1")
    torch.save(
        {"mpd": judge.mpd.state_dict(), "msd": judge.msd.state_dict(), "steps": 1},
        tmp_path / "do_1",
    )
    torch.save({"generator": Vocoder(VOCODERS["v2"]).state_dict()}, tmp_path / "v2")
    load_published(other, tmp_path / "g_1", "generator")
    mel = torch.randn(1, 80, 4)
    torch.testing.assert_close(other(mel), model(mel))
    load_published(WaveDiscriminator(DEBUG.vocoder).msd, tmp_path / "do_1", "msd")

    with pytest.raises(BadInput, match=r"g_1 has no 'mpd'; it holds generator"):
        read_published(tmp_path / "g_1", "mpd")
    with pytest.raises(BadInput, match="not a plain state_dict"):
        read_published(tmp_path / "do_1")
    with pytest.raises(
        BadInput, match=r"v2 does not fit Vocoder: its conv_pre\.bias is \(128,\), not \(16,\)"
    ):
        load_published(other, tmp_path / "v2", "generator")
    with pytest.raises(BadInput, match=r"do_1 does not fit Vocoder: it has no conv_pre"):
        load_published(other, tmp_path / "do_1", "msd")
    surplus = {**model.state_dict(), "more": torch.zeros(1)}
    torch.save(surplus, tmp_path / "surplus")
    with pytest.raises(BadInput, match=r"surplus does not fit Vocoder: it has more, which"):
        load_published(other, tmp_path / "surplus")


class Evil:
    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('ran')",))


def test_damaged_foreign_and_hostile_files_are_one_line(tmp_path: Path) -> None:
    torch.save({"generator": vocoder().state_dict()}, tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_text("<html>not found</html>")
    torch.save(Evil(), tmp_path / "evil")
    for name in ("cut", "empty", "text", "evil", "absent"):
        with pytest.raises(BadInput, match=name) as caught:
            read_published(tmp_path / name, "generator")
        assert "\n" not in str(caught.value)
