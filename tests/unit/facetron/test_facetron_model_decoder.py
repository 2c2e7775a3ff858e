"""The decoder: exactly two mel frames a video frame, the paper's size, unbounded output."""

import dataclasses

import pytest
import torch

from facetron.model.config import DecoderConfig
from facetron.model.decoder import Decoder
from facetron.model.hifigan import Generator
from facetron.model.sizes import DEBUG, PAPER, SMALL
from facetron.published.norms import remove_norms
from manifests.errors import BadInput, ToolkitError

torch.set_num_threads(1)


def decoder() -> Decoder:
    torch.manual_seed(0)
    return Decoder(DEBUG.decoder, 20, 80).eval()


@pytest.mark.parametrize("frames", [1, 2, 7, 75])
def test_two_mel_frames_a_video_frame(frames: int) -> None:
    assert decoder()(torch.randn(2, 20, frames)).shape == (2, 80, 2 * frames)


@pytest.mark.parametrize(("resblock", "parameters"), [(1, 24_016_880), (2, 11_101_040)])
def test_paper_size(resblock: int, parameters: int) -> None:
    config = dataclasses.replace(PAPER.decoder, resblock=resblock)  # type: ignore[arg-type]
    with torch.device("meta"):
        model = Decoder(config, 640, 80).eval()
        assert model(torch.empty(2, 640, 75)).shape == (2, 80, 150)
    widths = [up.weight.shape[:2] for up in model.ups]
    assert widths == [(640, 320), (320, 160), (160, 80)]
    assert [tuple(up.kernel_size) for up in model.ups] == [(16,), (16,), (4,)]
    assert model.conv_post.weight.shape == (80, 80, 7)
    biases_and_weights = sum(
        layer.weight.numel() + layer.bias.numel()
        for layer in model.modules()
        if isinstance(layer, torch.nn.Conv1d | torch.nn.ConvTranspose1d)
    )
    gains = sum(p.numel() for name, p in model.named_parameters() if name.endswith("original0"))
    assert sum(p.numel() for p in model.parameters()) == biases_and_weights + gains == parameters


def test_small_size_fits_in_a_package() -> None:
    with torch.device("meta"):
        model = Decoder(SMALL.decoder, SMALL.condition_size, 80)
    assert sum(p.numel() for p in model.parameters()) < 2.5e6


@pytest.mark.parametrize("kernels", [(16, 16, 4), (15, 16, 5), (1, 3, 2), (2, 1, 3), (16, 16, 7)])
def test_any_kernels_give_exact_lengths(kernels: tuple[int, ...]) -> None:
    config = dataclasses.replace(DEBUG.decoder, kernels=kernels)
    assert Decoder(config, 20, 80)(torch.randn(1, 20, 9)).shape == (1, 80, 18)


def test_half_frames_of_even_kernels_cancel() -> None:
    """What each of the two stages of kernel 16 at rate 1 shifts by half a frame, the other shifts
    back: a pulse stays where it was."""
    model = Generator(1, 1, (1, 1, 1), (1, 1), (16, 16), ((3, (1,)),), 2)
    remove_norms(model)
    for layer in model.modules():
        if isinstance(layer, torch.nn.ConvTranspose1d):
            torch.nn.init.constant_(layer.weight, 1 / 16)
        elif isinstance(layer, torch.nn.Conv1d):
            torch.nn.init.dirac_(layer.weight)
        if hasattr(layer, "bias") and isinstance(layer.bias, torch.Tensor):
            torch.nn.init.zeros_(layer.bias)
    pulse = torch.zeros(1, 1, 61)
    pulse[..., 30] = 1.0
    out = model(pulse)[0, 0]
    assert out.shape == (61,)
    torch.testing.assert_close(out, out.flip(0))


def test_a_log_mel_is_unbounded() -> None:
    model = decoder()
    with torch.no_grad():
        model.conv_post.bias.fill_(-11.5)
    assert float(model(torch.randn(1, 20, 5)).detach().mean()) < -9
    bounded = Decoder(dataclasses.replace(DEBUG.decoder, output="tanh"), 20, 80)
    bounded.load_state_dict(model.state_dict())
    assert float(bounded(torch.randn(1, 20, 5)).detach().abs().max()) <= 1


def test_determinism_batches_and_gradients() -> None:
    model, x = decoder(), torch.randn(3, 20, 9, requires_grad=True)
    out = model(x)
    assert torch.equal(out, model(x))
    torch.testing.assert_close(model(x[1:2])[0], out[1])
    out.square().sum().backward()
    assert x.grad is not None
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    torch.manual_seed(3)
    one = Decoder(DEBUG.decoder, 20, 80)
    torch.manual_seed(3)
    two = Decoder(DEBUG.decoder, 20, 80)
    assert torch.equal(one(x), two(x))


def test_faults_are_real_errors() -> None:
    with pytest.raises(BadInput, match="Decoder was given"):
        decoder()(torch.zeros(1, 21, 9))
    with pytest.raises(BadInput, match=r"decoder\.kernels"):
        DecoderConfig(kernels=(16, 16, 1))
    model = decoder()
    model.upsampling = 3
    with pytest.raises(ToolkitError, match="18 mel frames of 9"):
        model(torch.zeros(1, 20, 9))
