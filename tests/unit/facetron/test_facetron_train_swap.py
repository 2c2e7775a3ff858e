"""Swapped faces: who is whose partner, what the losses reward, what the validation finds."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from facetron_build import PITCH_HZ, make_build
from torch import Tensor

from facetron.checkpoints import checkpoint
from facetron.model.excitation import MIDDLE_HZ, Pitch, PitchReader
from facetron.model.facetron import Facetron
from facetron.model.losses import contrastive_loss, speaker_contrast
from facetron.model.prosody import ProsodyEncoder
from facetron.model.sizes import model_config
from facetron.train.run import train
from facetron.train.swap import SwapValidation, median_octaves, partners, swap_losses, through
from manifests.errors import BadInput
from manifests.io import read_manifest, write_jsonl

CONFIG = model_config("debug")


def test_partners_are_of_another_speaker() -> None:
    assert partners(["a", "a", "b", "c"]) == [2, 2, 3, 0]
    assert partners(["a", "a"]) == [0, 1], "a lone speaker has no other face"
    assert partners([]) == []


def test_contrastive_loss_is_infonce() -> None:
    """Two embeddings at cosines 1 and 0, temperature 1: −ln(e / (e + 1))."""
    axes = torch.eye(2)
    value = contrastive_loss(axes, axes, ["a", "b"], ["a", "b"], temperature=1.0)
    assert float(value) == pytest.approx(math.log(1 + math.exp(-1)), rel=1e-6)
    same = contrastive_loss(axes, axes, ["a", "a"], ["a", "a"], temperature=1.0)
    assert float(same) == pytest.approx(0, abs=1e-6), "all are positives"
    assert float(contrastive_loss(axes, axes, ["x", "y"], ["a", "b"])) == 0, "no positive counts 0"


def test_an_embedding_without_a_positive_spoils_no_gradient() -> None:
    found = torch.randn(3, 4, requires_grad=True)
    loss = contrastive_loss(found, torch.randn(2, 4), ["a", "b", "x"], ["a", "b"])
    loss = loss + speaker_contrast(found, ["a", "a", "b"])
    loss.backward()
    assert found.grad is not None
    assert bool(found.grad.isfinite().all())


def test_speaker_contrast_leaves_the_embedding_itself_out() -> None:
    """Cosines 1 with the positive, 0 with the negative, temperature 1: −ln(e / (e + 1)) for a
    speaker's two embeddings, 0 for the lone third."""
    found = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    value = speaker_contrast(found, ["a", "a", "b"], temperature=1.0)
    assert float(value) == pytest.approx(2 / 3 * math.log(1 + math.exp(-1)), rel=1e-6)


def test_one_point_for_all_speakers_meets_the_cosine_and_not_the_contrast() -> None:
    wanted = torch.nn.functional.normalize(torch.tensor([[1.0, 0.1], [1.0, -0.1]]), dim=1)
    point = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    names = ["a", "b"]
    assert float((point * wanted).sum(1).mean()) > 0.99
    apart = contrastive_loss(wanted, wanted, names, names, 0.01)
    assert float(contrastive_loss(point, wanted, names, names, 0.01)) > float(apart) + 0.3


def test_gradients_pass_through_a_frozen_teacher() -> None:
    prosody = ProsodyEncoder(CONFIG.prosody, 80).eval()
    mel = torch.randn(2, 80, 64, requires_grad=True)
    heard = through(prosody, mel)
    assert isinstance(heard, Tensor)
    torch.testing.assert_close(heard, prosody(mel))
    heard.sum().backward()
    assert mel.grad is not None
    assert float(mel.grad.abs().sum()) > 0
    assert all(p.grad is None for p in prosody.parameters())


class Tone(PitchReader):
    """Reads band 0 as octaves and band 1 as voicing: a pitch that a test can choose."""

    def forward(self, mel: Tensor) -> Pitch:
        return Pitch(mel[:, 0], mel[:, 1])


def tones(*octaves: float) -> Tensor:
    """(B, 80, 64) mels whose pitch wavers by 0.1 octaves around the given ones."""
    mel = torch.zeros(len(octaves), 80, 64)
    mel[:, 0] = torch.tensor(octaves)[:, None] + 0.1 * torch.sin(torch.arange(64.0))
    mel[:, 1] = 5.0
    return mel


def test_swapped_pitch_is_the_own_melody_in_the_register_of_the_face() -> None:
    prosody, reader = ProsodyEncoder(CONFIG.prosody, 80).eval(), Tone(80)
    real, names = tones(-0.5, 0.5), ["s1", "s4"]
    right = swap_losses(tones(0.5, -0.5), real, names, prosody, reader, 0.1)["swap_pitch"]
    wrong = swap_losses(real, real, names, prosody, reader, 0.1)["swap_pitch"]
    assert float(wrong) - float(right) == pytest.approx(1.0, abs=1e-4), "an octave too far"
    alone = swap_losses(real, real, ["s1", "s1"], prosody, reader, 0.1)
    assert {name: float(value) for name, value in alone.items()} == {
        "swap_voice": 0,
        "swap_pitch": 0,
    }
    without = swap_losses(real, real, names, prosody, None, 0.1)
    assert float(without["swap_pitch"]) == 0
    assert float(without["swap_voice"]) > 0


def test_median_pitch_needs_voiced_frames() -> None:
    mel = tones(0.5, 0.5)
    mel[1, 1] = -5.0
    first, second = median_octaves(Tone(80)(mel))
    assert first == pytest.approx(0.5, abs=0.02)
    assert math.isnan(second)


class Obedient(Facetron):
    """Speaks at the pitch that stands in the face embedding (or in the lips, if it is deaf to it)."""

    follows_face = True

    def speak(self, lip_embedding: Tensor, face_embedding: Tensor) -> Tensor:
        pitch = face_embedding[:, 0] if self.follows_face else lip_embedding[:, 0, 0]
        return tones(*pitch.tolist())


@pytest.mark.parametrize("follows", [True, False])
def test_validation_tells_whether_the_voice_follows_the_face(follows: bool) -> None:
    facetron = Obedient(CONFIG)
    facetron.follows_face = follows
    found = SwapValidation(facetron, Tone(80))
    octaves = {"s1": -0.6, "s2": -0.5, "s4": 0.6, "s31": 0.7}
    for speaker, value in octaves.items():
        face = torch.zeros(1, 128)
        face[0, 0], face[0, 1] = value, math.sqrt(1 - value**2)
        lips = torch.full((1, 32, 8), value)
        found.add(lips, face, tones(value), [speaker])
    metrics = found.metrics()
    near, women, men = metrics["swap_near"], metrics["swap_women"], metrics["swap_men"]
    if follows:
        assert (near, women, men) == (1, 1, 1)
        assert metrics["swap_cents"] == pytest.approx(0, abs=1)
        assert metrics["swap_f0_hz_s4"] == pytest.approx(MIDDLE_HZ * 2**0.6, rel=0.01)
    else:
        assert near == pytest.approx(1 / 3), "only s1 and s2, s4 and s31 are that near"
        assert women == pytest.approx(1 / 3)
        assert men == pytest.approx(1 / 3)
    assert found.metrics()["swap_near"] is None, "forgotten"


def test_nothing_is_known_without_a_reader_or_with_one_speaker() -> None:
    silent = SwapValidation(Facetron(CONFIG), None)
    silent.add(torch.zeros(1, 4, 8), torch.zeros(1, 128), tones(0.0), ["s1"])
    assert set(silent.metrics().values()) == {None}
    lone = SwapValidation(Facetron(CONFIG), Tone(80))
    lone.add(torch.zeros(1, 4, 8), torch.zeros(1, 128), tones(0.0), ["s1"])
    assert set(lone.metrics().values()) == {None}


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_build(tmp_path_factory.mktemp("swap-build"), clips=5, validation=2)
    header, rows = read_manifest(root)
    pitched = []
    for row in rows:
        path = f"prosody/{row.speaker}/{row.stem}.npz"
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        f0_hz = np.full(row.mel_frames, PITCH_HZ[row.speaker], np.float32)
        np.savez(root / path, f0_hz=f0_hz, voiced=f0_hz > 0, energy=f0_hz)
        pitched.append(replace(row, paths={**row.paths, "prosody": path}))
    more = {name: header[name] for name in ("split", "held_out_speakers")}
    write_jsonl(root / "manifest.jsonl", "manifest", pitched, **more)
    return root


def test_decoder_and_joint_stage_train_with_swapped_faces(build: Path, tmp_path: Path) -> None:
    sets = ("train.epochs=1", "train.batch_size=6", "train.segment_frames=16")
    sets += ("loss.swap=1", "loss.contrastive=0.5", "train.speaker_balance=1")
    sets += ("vocoder.istft_hop=80", "vocoder.rates=[4]", "vocoder.kernels=[8]")
    sets += ("vocoder.source=harmonic",)
    lip = train("lip", build, tmp_path / "lip", "debug", sets=sets)
    with pytest.raises(BadInput, match="compares voices by a prosody encoder"):
        train("decoder", build, tmp_path / "no", "debug", sets=sets, sources=(lip,))
    made = [lip]
    for stage in ("prosody", "face", "vocoder", "decoder", "joint"):
        made.append(train(stage, build, tmp_path / stage, "debug", sets=sets, sources=made))
    for path in made[-2:]:
        info = checkpoint.read_info(path)
        line = info.history[-1]
        assert line["train_swap_pitch"] > 0
        assert line["train_swap_voice"] > 0
        assert line["train_contrastive"] > 0
        assert "val_swap_near" in line
    # Teachers that were given travel on with the decoder's checkpoint; the resume file agrees.
    assert {"prosody", "vocoder"} <= set(checkpoint.read_info(made[-2]).parts)
    again = train("decoder", build, tmp_path / "decoder", "debug", sets=sets, sources=made[:-2])
    assert again == made[-2]
    with pytest.raises(BadInput, match="other options or clips"):
        train("decoder", build, tmp_path / "decoder", "debug", sets=sets, sources=made[:3])


def test_teachers_that_were_not_given_are_not_stored(build: Path, tmp_path: Path) -> None:
    sets = ("train.epochs=1", "train.batch_size=6")
    lip = train("lip", build, tmp_path / "lip", "debug", sets=sets)
    decoder = train("decoder", build, tmp_path / "decoder", "debug", sets=sets, sources=(lip,))
    assert not {"prosody", "vocoder"} & set(checkpoint.read_info(decoder).parts)
