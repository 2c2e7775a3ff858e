"""The prosody encoder: Mellotron's names, the transpose done right, style tokens."""

import dataclasses

import pytest
import torch

from facetron.model.config import ProsodyConfig
from facetron.model.prosody import ProsodyEncoder
from facetron.model.sizes import DEBUG
from manifests.errors import BadInput

torch.set_num_threads(1)


def encoder(kind: str) -> ProsodyEncoder:
    torch.manual_seed(0)
    return ProsodyEncoder(dataclasses.replace(DEBUG.prosody, kind=kind), 80).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["gru", "gst"])
def test_shapes_determinism_batches_and_gradients(kind: str) -> None:
    model, mel = encoder(kind), torch.randn(3, 80, 150)
    out = model(mel)
    assert out.shape == (3, 8)
    assert torch.equal(out, model(mel))
    torch.testing.assert_close(model(mel[1:2])[0], out[1])
    assert model(mel[:, :, :7]).shape == (3, 8)
    model.train()(mel).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_names_and_sizes_are_mellotrons() -> None:
    with torch.device("meta"):
        model = ProsodyEncoder(ProsodyConfig(kind="gst"), 80)
        assert model(torch.empty(2, 80, 150)).shape == (2, 128)
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    assert shapes["encoder.convs.5.weight"] == (128, 128, 3, 3)
    assert shapes["encoder.bns.5.bias"] == (128,)
    assert shapes["encoder.gru.weight_ih_l0"] == (384, 256)  # 128 filters at 2 of 80 bands
    assert shapes["stl.embed"] == (10, 32)
    assert shapes["stl.attention.W_query.weight"] == (256, 128)
    assert shapes["stl.attention.W_key.weight"] == (256, 32)
    assert shapes["stl.attention.W_value.weight"] == (256, 32)
    own = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("project"))
    assert own == 485_024
    with torch.device("meta"):
        plain = ProsodyEncoder(ProsodyConfig(), 80)
    assert isinstance(plain.project, torch.nn.Identity)  # the state itself


def test_bands_and_frames_are_not_scrambled() -> None:
    """A change in one frame stays near it in time; folding by `view` would spread it over all."""
    model, mel = encoder("gru"), torch.randn(1, 80, 64)
    changed = mel.clone()
    changed[:, :, 20] += 1.0
    seen: list[torch.Tensor] = []
    model.encoder.convs[0].register_forward_hook(lambda m, i, o: seen.append(o))
    model(mel)
    model(changed)
    rows = (seen[0] - seen[1]).abs().amax(dim=(0, 1, 3))
    assert rows.shape == (32,)
    assert torch.nonzero(rows).flatten().tolist() == [10]
    changed = mel.clone()
    changed[:, 20] += 1.0
    model(changed)
    columns = (seen[0] - seen[2]).abs().amax(dim=(0, 1, 2))
    assert torch.nonzero(columns).flatten().tolist() == [10]


def test_style_is_a_mixture_of_tokens() -> None:
    """With equal tokens the attention cannot matter: the style is that token's value."""
    model = encoder("gst")
    assert model.stl is not None
    with torch.no_grad():
        model.stl.embed[:] = model.stl.embed[0]
    style = model.stl(torch.randn(5, 8))
    value = model.stl.attention.W_value(torch.tanh(model.stl.embed[0]))
    torch.testing.assert_close(style, value.expand(5, -1))


def test_style_attention_equals_pytorchs() -> None:
    model = encoder("gst")
    assert model.stl is not None
    attention, query = model.stl.attention, torch.randn(3, 8)
    keys = torch.tanh(model.stl.embed)
    split = lambda x: x.unflatten(-1, (2, 4)).transpose(-2, -3)  # noqa: E731
    q, k, v = (
        split(layer(x))
        for layer, x in (
            (attention.W_query, query[:, None]),
            (attention.W_key, keys[None].expand(3, -1, -1)),
            (attention.W_value, keys[None].expand(3, -1, -1)),
        )
    )
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(attention(query, keys), expected.transpose(1, 2).flatten(1))


def test_other_bands_are_refused() -> None:
    with pytest.raises(BadInput, match="a mel of shape"):
        encoder("gru")(torch.zeros(1, 64, 150))


@pytest.mark.parametrize("kind", ["gru", "gst"])
@pytest.mark.parametrize("frames", [64, 97, 150])
def test_an_embedding_does_not_depend_on_padding(kind: str, frames: int) -> None:
    model, mel = encoder(kind), torch.randn(2, 80, 150)
    alone = model(mel[:1, :, :frames])[0]
    for fill in (-11.5, 40.0):
        batch = mel.clone()
        batch[0, :, frames:] = fill
        found = model(batch, torch.tensor([frames, 150]))
        torch.testing.assert_close(found[0], alone)
        torch.testing.assert_close(found[1], model(mel[1:])[0])


def test_in_training_statistics_are_of_the_clips_own_frames() -> None:
    """What pads a batch changes neither an embedding nor what the batch norms remember."""
    mel, lengths = torch.randn(3, 80, 150), torch.tensor([150, 40, 101])
    found, buffers = [], []
    for fill, more in ((-11.5, 0), (40.0, 0), (0.0, 75)):
        model = encoder("gru").train()
        batch = torch.nn.functional.pad(mel, (0, more), value=fill)
        for clip, length in zip(batch, lengths.tolist(), strict=True):
            clip[:, length:] = fill
        found.append(model(batch, lengths))
        buffers.append({name: value.clone() for name, value in model.named_buffers()})
    for other, kept in zip(found[1:], buffers[1:], strict=True):
        torch.testing.assert_close(other, found[0])
        torch.testing.assert_close(kept, buffers[0])


def test_lengths_that_pad_nothing_change_nothing() -> None:
    mel, lengths = torch.randn(3, 80, 150), torch.full((3,), 150)
    for model in (encoder("gru"), encoder("gru").train()):
        torch.testing.assert_close(model(mel, lengths), model(mel))
