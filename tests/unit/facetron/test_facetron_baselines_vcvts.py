"""VCVTS: the codebook's health, CPC, the pitch, and units that come from lips."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from facetron_build import make_build

from facetron.baselines.vcvts import (
    DEBUG,
    Codebook,
    Content,
    ConversionStage,
    Speech,
    Vcvts,
    _pitch,
    defaults,
    perplexity,
)
from facetron.train.dataset import ClipDataset
from facetron.train.run import train
from manifests.errors import BadInput

MANY = replace(DEBUG, codes=32, code_size=4, decay=0.9)


def clusters(seed: int = 0) -> torch.Tensor:
    """(4, 100, 4) about eight points far from a random codebook."""
    points = 20 + 5 * np.random.default_rng(7).standard_normal((8, 4))
    rng = np.random.default_rng(seed)
    made = points[rng.integers(8, size=400)] + 0.1 * rng.standard_normal((400, 4))
    return torch.from_numpy(made.astype(np.float32)).reshape(4, 100, 4)


def used(book: Codebook) -> float:
    with torch.no_grad():
        return perplexity(book.eval()(clusters(9))[1], 32)


def test_codes_that_nothing_is_near_to_are_given_outputs_of_the_encoder() -> None:
    torch.manual_seed(0)
    plain, healthy = (Codebook(replace(MANY, refill=refill)) for refill in (0.0, 0.1))
    for book in (plain, healthy):
        book.table[2:] = 1e3
        book.sums[2:] = 1e3
        for step in range(30):
            book.train()(clusters(step % 3))
    assert used(plain) < 2.1
    assert used(healthy) > 16
    filled = Codebook(MANY)
    filled.fresh = True
    filled.train()(clusters())
    assert not filled.fresh
    units, codes, commitment = filled.eval()(clusters())
    assert float(commitment) < 0.1
    assert torch.allclose(units, filled.table[codes], atol=1e-4)


def test_perplexity_counts_the_codes_in_use() -> None:
    assert perplexity(torch.arange(8).repeat(5), 32) == pytest.approx(8)
    assert perplexity(torch.zeros(9, dtype=torch.long), 32) == pytest.approx(1)


def test_the_gradient_of_a_unit_goes_through_to_the_encoder() -> None:
    book = Codebook(MANY).eval()
    made = torch.randn(1, 3, 4, requires_grad=True)
    units, _, _ = book(made)
    (units * torch.arange(4)).sum().backward()
    assert made.grad is not None
    assert torch.equal(made.grad, torch.arange(4.0).expand(1, 3, 4))


def test_units_that_tell_what_comes_cost_less_than_noise() -> None:
    torch.manual_seed(0)
    content = Content(replace(DEBUG, context=16, cpc_steps=2))
    weights = [p for n, p in content.named_parameters() if n.startswith(("context", "ahead"))]
    optimizer = torch.optim.Adam(weights, 0.02)
    steady = torch.nn.functional.one_hot(torch.arange(40) % 4, 4).float()[None].repeat(4, 1, 1) * 3
    for _ in range(60):
        optimizer.zero_grad()
        content.predictive_loss(steady).backward()
        optimizer.step()
    noise = torch.randn(4, 40, 4) * 3
    with torch.no_grad():
        told, drawn = content.predictive_loss(steady), content.predictive_loss(noise)
    assert float(told) < 0.6 * float(drawn)


def test_the_codebook_is_in_use_after_the_plain_steps_alone() -> None:
    stage = ConversionStage(replace(DEBUG, plain_steps=5), defaults("conversion", DEBUG))
    told = []
    for step in (0, 4, 5, 6):
        stage.begin(step)
        book = stage.model.speech.codebook
        told.append((book.quantizes, book.fresh))
    assert told == [(False, False), (False, False), (True, True), (True, False)]
    stage.begin(0)
    assert stage.metrics()["perplexity"] is None


def test_pitch_is_in_octaves_and_zero_where_unvoiced() -> None:
    made = _pitch(torch.tensor([[150.0, float("nan"), 300.0]]))
    assert made.tolist() == [[[0, 1], [0, 0], [1, 1]]]


def test_the_decoder_is_given_the_predicted_pitch_where_none_is_given() -> None:
    torch.manual_seed(0)
    speech = Speech(replace(DEBUG, pitch=True, pitch_units=4)).eval()
    units, voice = torch.randn(1, 6, 4), torch.randn(1, 8)
    with torch.no_grad():
        told = speech(units, voice)[2]
        voiced = (told[..., 1:] > 0).float()
        same = speech(units, voice, torch.cat([told[..., :1] * voiced, voiced], -1))[0]
        other = speech(units, voice, torch.ones(1, 6, 2))[0]
        assert torch.equal(same, speech(units, voice)[0])
        assert not torch.allclose(same, other)


def test_the_voice_changes_the_mel_of_the_same_units() -> None:
    torch.manual_seed(0)
    model = Vcvts(DEBUG).eval()
    codes = torch.randint(8, (2, 10))
    with torch.no_grad():
        one, two = (model.say(codes, voice) for voice in (torch.zeros(2, 8), torch.ones(2, 8)))
    assert one.shape == (2, 80, 10)
    assert not torch.allclose(one, two)


def test_the_reference_is_another_clip_of_the_speaker(tmp_path: Path) -> None:
    build = make_build(tmp_path, clips=4)
    data = ClipDataset(build, "train", ("mel", "other"), DEBUG)
    mels = {item["clip"]: item["mel"] for item in (data[i] for i in range(len(data)))}
    for epoch in range(3):
        data.set_epoch(epoch)
        for number in range(len(data)):
            item = data[number]
            (found,) = (clip for clip, mel in mels.items() if torch.equal(mel, item["other"]))
            assert found != item["clip"]
            assert found.split("/")[0] == item["speaker"]


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadInput, match="make them equal"):
        replace(DEBUG, prosody=replace(DEBUG.prosody, embedding_size=4))
    with pytest.raises(BadInput, match="without a face has no voice"):
        replace(DEBUG, speaker="none")


def test_a_collapsed_codebook_is_told_in_the_log(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", clips=3)
    told: list[str] = []
    # A codebook of far too many codes that starts anywhere and is never refilled.
    sets = ("codes=60", "plain_steps=0", "refill=0", "train.epochs=1", "train.batch_size=2")
    train(
        "conversion", build, tmp_path / "out", "debug", sets=(*sets, "train.loggers=csv"),
        report=told.append, system="vcvts",
    )  # fmt: skip
    (line,) = csv.DictReader((tmp_path / "out" / "log.csv").read_text().splitlines())
    used = float(line["val_perplexity"])
    assert 1 <= used < 15
    assert f"the codebook has collapsed: a perplexity of {used:.1f} units of 60" in line["warning"]
    assert told[-1] == f"conversion 1: warning: {line['warning']}"


def test_a_codebook_in_use_is_not_warned_of() -> None:
    stage = ConversionStage(replace(DEBUG, codes=128), defaults("conversion", DEBUG))
    assert stage.warnings({"val_perplexity": 15.0}) == []
    assert stage.warnings({"val_perplexity": None}) == []
    assert stage.warnings({}) == []
    (told,) = stage.warnings({"val_perplexity": 14.9})
    assert "14.9 units of 128" in told
