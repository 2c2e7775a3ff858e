"""The listener: what it learns from, what learns from it, and a training with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from facetron_build import make_build

from facetron.checkpoints import checkpoint
from facetron.model.sizes import model_config
from facetron.train.dataset import NO_WORD, WORD_CLASS
from facetron.train.listener import Listener, heard, listener_of, word_losses
from facetron.train.run import train
from manifests.errors import BadInput
from manifests.io import read_manifest, write_jsonl

BIN = WORD_CLASS["bin"]


def test_without_weight_there_is_no_listener() -> None:
    assert listener_of(model_config("debug")) is None
    assert heard(None, torch.zeros(1, 80, 8), {}) == {}
    assert word_losses({}, {}, 0.0) == (0.0, {})


def test_it_learns_from_real_mels_alone_and_the_made_from_it() -> None:
    listener = Listener(80, 2)
    made = torch.randn(2, 80, 12, requires_grad=True)
    logits = heard(listener, torch.randn(2, 80, 12), {"mel": made})
    assert logits["heard_real"].shape == (2, len(WORD_CLASS) + 1, 6)
    words = torch.full((2, 6), BIN)
    _, terms = word_losses(logits, {"words": words}, 1.0)
    terms["words"].backward(retain_graph=True)
    assert made.grad is not None
    assert float(made.grad.abs().sum()) > 0
    assert all(p.grad is None for p in listener.parameters())
    made.grad = None
    terms["words_real"].backward()
    assert all(p.grad is not None for p in listener.parameters())
    assert made.grad is None


def test_the_terms_are_means_over_frames_whose_word_is_known() -> None:
    logits = torch.zeros(1, len(WORD_CLASS) + 1, 3)
    logits[0, BIN, 0] = 100  # sure of the one frame that counts
    words = torch.tensor([[BIN, NO_WORD, NO_WORD]])
    made = {"heard_real": torch.zeros_like(logits), "heard": logits}
    total, terms = word_losses(made, {"words": words}, 3.0)
    assert float(terms["words"]) == pytest.approx(0, abs=1e-6)
    assert float(terms["words_real"]) == pytest.approx(torch.tensor(52.0).log().item())
    assert float(total) == pytest.approx(float(terms["words_real"]))
    both, more = word_losses(made | {"heard_swapped": made["heard_real"]}, {"words": words}, 3.0)
    assert float(more["words"]) == pytest.approx(float(terms["words_real"]) / 2)
    assert float(both) == pytest.approx(2.5 * float(terms["words_real"]))
    nothing, _ = word_losses(made, {"words": torch.full((1, 3), NO_WORD)}, 3.0)
    assert float(nothing) == 0


def test_it_tells_two_sounds_apart_and_draws_a_mel_to_its_word() -> None:
    torch.manual_seed(0)
    low, high = torch.full((80, 12), -8.0), torch.full((80, 12), -8.0)
    low[:20], high[60:] = 0.0, 0.0
    mel = torch.stack([low, high])
    words = torch.tensor([[BIN] * 6, [WORD_CLASS["set"]] * 6])
    listener = Listener(80, 2)
    optimizer = torch.optim.Adam(listener.parameters(), 1e-3)
    for _ in range(30):
        logits = heard(listener, mel, {"mel": mel})
        _, terms = word_losses(logits, {"words": words}, 1.0)
        optimizer.zero_grad()
        terms["words_real"].backward()
        optimizer.step()
    listener.eval()
    assert torch.equal(listener(mel).argmax(1), words)
    # A mel half way, told to say "bin", becomes more like the sound of "bin".
    between = mel.mean(0, keepdim=True).clone().requires_grad_()
    _, terms = word_losses(heard(listener, mel[:1], {"mel": between}), {"words": words[:1]}, 1.0)
    terms["words"].backward()
    step = between.detach() - between.grad
    assert (step - low).norm() - (step - high).norm() < 0


def test_decoder_and_joint_stage_train_with_it_and_pass_it_on(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", clips=4, validation=1)
    sets = ("train.epochs=1", "train.batch_size=4", "train.segment_frames=16", "loss.words=1")
    lip = train("lip", build, tmp_path / "lip", "debug", sets=sets)
    made = [lip]
    for stage in ("prosody", "face", "vocoder", "decoder", "joint"):
        made.append(train(stage, build, tmp_path / stage, "debug", sets=sets, sources=made))
    for path in made[-2:]:
        info = checkpoint.read_info(path)
        assert "listener" in info.parts
        line = info.history[-1]
        assert line["train_words"] > 0
        assert line["val_words_real"] > 0
    assert "listener" not in checkpoint.read_info(made[0]).parts

    header, rows = read_manifest(build)
    more = {name: header[name] for name in ("split", "held_out_speakers")}
    silent = [replace(row, words=()) for row in rows]
    write_jsonl(build / "manifest.jsonl", "manifest", silent, **more)
    with pytest.raises(BadInput, match="needs the times of GRID's words"):
        train("decoder", build, tmp_path / "no", "debug", sets=sets, sources=made[:4])
