"""The lip encoder: shapes, sizes, padding, initialization, and its input."""

import dataclasses

import pytest
import torch

from facetron.model.ctc import encode, greedy
from facetron.model.lip import ConvStage, LipEncoder, ResidualBlock, lip_input
from facetron.model.losses import ctc_loss
from facetron.model.sizes import DEBUG, PAPER, SMALL
from manifests.errors import BadInput

torch.set_num_threads(1)
CONFIG = DEBUG.lip


def encoder(**changes: object) -> LipEncoder:
    torch.manual_seed(0)
    return LipEncoder(dataclasses.replace(CONFIG, **changes)).eval()  # type: ignore[arg-type]


def lips(clips: int = 2, frames: int = 9, channels: int = 1, side: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(clips, channels, frames, side, side, generator=generator)


def test_paper_size() -> None:
    with torch.device("meta"):
        model = LipEncoder(PAPER.lip).eval()
        out = model(torch.empty(2, 3, 75, 144, 144))
    assert out.embedding.shape == (2, 75, 512)
    assert out.logits.shape == (2, 75, 28)
    assert sum(p.numel() for p in model.parameters()) == 14_292_860
    assert model.gru.input_size == 96 * 9 * 9


def test_small_size_has_a_million_parameters() -> None:
    with torch.device("meta"):
        model = LipEncoder(SMALL.lip)
    assert 0.8e6 < sum(p.numel() for p in model.parameters()) < 1.1e6


@pytest.mark.parametrize("frames", [1, 2, 9, 40])
def test_any_length(frames: int) -> None:
    out = encoder()(lips(frames=frames))
    assert out.embedding.shape == (2, frames, 12)
    assert out.logits.shape == (2, frames, 28)


def test_embedding_variants() -> None:
    model = encoder(embedding="gru")
    assert model(lips()).embedding.shape == (2, 9, 16) == (2, 9, model.config.embedding_size)
    assert not hasattr(encoder(bottleneck=0).stages[2].residual, "scale")
    color = encoder(input_channels=3)
    assert color(lips(channels=3)).logits.shape == (2, 9, 28)


def test_a_clip_does_not_depend_on_its_batch() -> None:
    model, batch = encoder(), lips(3)
    together = model(batch)
    for i in range(3):
        alone = model(batch[i : i + 1])
        torch.testing.assert_close(alone.embedding[0], together.embedding[i])
        torch.testing.assert_close(alone.logits[0], together.logits[i])


@pytest.mark.parametrize("filler", [0.0, 7.0, float("inf")])
def test_a_clip_does_not_depend_on_its_padding(filler: float) -> None:
    model, short = encoder(), lips(1, 6)
    padded = torch.full((2, 1, 11, 16, 16), filler)
    padded[0, :, :6] = short[0]
    padded[1] = lips(1, 11)[0]
    if filler == float("inf"):
        padded = padded.nan_to_num(posinf=1e6)
    out = model(padded, torch.tensor([6, 11]))
    torch.testing.assert_close(out.logits[0, :6], model(short).logits[0])
    torch.testing.assert_close(out.embedding[0, :6], model(short).embedding[0])
    torch.testing.assert_close(out.logits[1], model(padded[1:]).logits[0])


@pytest.mark.parametrize("bottleneck", [0, 4])
def test_batch_norms_learn_from_no_padding(bottleneck: int) -> None:
    """In training as well a clip is read alike however far it was padded."""
    short, long = lips(1, 6), lips(1, 11)
    found, buffers = [], []
    for frames, filler in ((11, 0.0), (15, 7.0)):
        model = encoder(
            batch_norm=True, conv_dropout=0.0, dropout=0.0, bottleneck=bottleneck
        ).train()
        padded = torch.full((2, 1, frames, 16, 16), filler)
        padded[0, :, :6], padded[1, :, :11] = short[0], long[0]
        out = model(padded, torch.tensor([6, 11]))
        found.append(torch.cat([out.logits[0, :6], out.logits[1, :11]]))
        buffers.append({name: value.clone() for name, value in model.named_buffers()})
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(buffers[0], buffers[1])


def test_evaluation_is_deterministic_and_training_drops_whole_channels() -> None:
    model = encoder()
    assert torch.equal(model(lips()).logits, model(lips()).logits)
    stage = ConvStage(1, 64, (3, 5, 5), 2, 0.5, False).train()
    torch.nn.init.constant_(stage.conv.bias, 5.0)  # all positive before dropout
    maps = stage(lips(1) * 0.01, None)[0]
    dead = (maps == 0).flatten(1).all(dim=1)
    assert 10 < int(dead.sum()) < 54
    assert bool((maps[~dead] > 0).all())


def test_every_parameter_learns() -> None:
    model = encoder().train()
    out = model(lips())
    out.logits.square().sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    assert silent == []
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters())  # type: ignore[arg-type]


def test_initialization_is_he_and_orthogonal() -> None:
    torch.manual_seed(0)
    model = LipEncoder(dataclasses.replace(SMALL.lip, input_px=16))
    for name, weight in model.gru.named_parameters():
        if name.startswith("weight_hh"):
            for gate in weight.detach().chunk(3):
                torch.testing.assert_close(gate @ gate.T, torch.eye(128), atol=1e-4, rtol=0)
    conv = model.stages[1].conv.weight
    assert float(conv.detach().std()) == pytest.approx((2 / (16 * 75)) ** 0.5, rel=0.05)


def test_residual_block_adds_a_fifth() -> None:
    block, x = ResidualBlock(6, 2, 0.2, 0.5).eval(), torch.randn(1, 6, 3, 4, 4)
    inner = block.expand(torch.relu(block.reduce(x)))
    torch.testing.assert_close(block(x, None), x + 0.2 * inner)


def test_input_is_made_from_stored_frames() -> None:
    frames = torch.randint(0, 256, (2, 5, 32, 32, 3), dtype=torch.uint8)
    grey = lip_input(frames, CONFIG)
    assert grey.shape == (2, 1, 5, 16, 16)
    luma = frames.float() @ torch.tensor([0.299, 0.587, 0.114])
    pooled = torch.nn.functional.avg_pool2d(luma, 2)
    torch.testing.assert_close(grey[:, 0], (pooled - 127.5) / 128, atol=1e-5, rtol=0)
    color = lip_input(frames, dataclasses.replace(CONFIG, input_channels=3, input_px=32))
    torch.testing.assert_close(color, (frames.permute(0, 4, 1, 2, 3) - 127.5) / 128)
    larger = lip_input(frames, dataclasses.replace(CONFIG, input_px=48))
    assert larger.shape == (2, 1, 5, 48, 48)
    one = lip_input(frames[0], CONFIG)
    torch.testing.assert_close(one, grey[0])


@pytest.mark.parametrize(("stored", "side"), [(144, 56), (144, 16), (96, 95), (33, 16)])
def test_input_is_pytorchs_area_of_all_frames(stored: int, side: int) -> None:
    """To a hundredth of a grey level, as checkpoints were trained with it; more frames than are
    worked on at once."""
    frames = torch.randint(0, 256, (17, stored, stored, 3), dtype=torch.uint8)
    made = lip_input(frames, dataclasses.replace(CONFIG, input_px=side))
    luma = (frames.float() @ torch.tensor([0.299, 0.587, 0.114])).unsqueeze(1)
    area = torch.nn.functional.interpolate(luma, (side, side), mode="area")
    torch.testing.assert_close(made, (area.transpose(0, 1) - 127.5) / 128, atol=1e-4, rtol=0)


@pytest.mark.parametrize("shape", [(2, 3, 9, 16, 16), (2, 1, 9, 15, 16), (1, 9, 16, 16)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="lips of shape"):
        encoder()(torch.zeros(shape))


def test_bad_lengths_and_frames_are_refused() -> None:
    for lengths in ([9], [0, 9]):
        with pytest.raises(BadInput, match="lengths"):
            encoder()(lips(), torch.tensor(lengths))
    with pytest.raises(BadInput, match="RGB"):
        lip_input(torch.zeros(5, 16, 16), CONFIG)


def test_it_learns_to_spell() -> None:
    """Two clips, two words: CTC goes to nothing and greedy decoding reads them."""
    model = encoder(conv_dropout=0.0, dropout=0.0).train()
    clips, lengths = lips(2, 12), torch.tensor([12, 12])
    targets = torch.tensor([encode("now"), encode("see")])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        loss = ctc_loss(model(clips).logits, lengths, targets, torch.tensor([3, 3]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1
    assert greedy(model.eval()(clips).logits.detach().numpy()) == ["now", "see"]
