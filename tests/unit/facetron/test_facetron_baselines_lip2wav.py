"""Lip2Wav: its attention, its teacher, its prenet at synthesis, and Facetron's eyes in it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from facetron_build import make_build

from facetron import options
from facetron.baselines.eyes import BaselineConfig
from facetron.baselines.lip2wav import DEBUG, Decoded, Lip2WavStage, defaults, guided, off_diagonal
from facetron.checkpoints import checkpoint
from facetron.checkpoints.checkpoint import CheckpointInfo
from facetron.model import encoders
from facetron.model.sizes import DEBUG as FACETRON_DEBUG
from facetron.synthesis.base import load_synthesizer
from facetron.train.run import create, train
from manifests.errors import BadInput, SpecMismatch
from manifests.manifest import Manifest
from manifests.specs import MelSpec

FAST = ("train.epochs=1", "train.batch_size=2", "train.loggers=csv")
LIPS = replace(DEBUG, front="lip", speaker="face", lip=FACETRON_DEBUG.lip, face=FACETRON_DEBUG.face)


def facetron_eyes(
    path: Path, crop: str = "0123456789abcdef", speakers: tuple[str, ...] = ()
) -> Path:
    """A checkpoint of a Facetron at `debug`, lip and face encoder only."""
    torch.manual_seed(3)
    parts = {
        "lip": encoders.build("lip", FACETRON_DEBUG.lip),
        "face": encoders.build("face", FACETRON_DEBUG.face),
    }
    info = CheckpointInfo(
        "export", options.to_dict(FACETRON_DEBUG), ("lip", "face"),
        FACETRON_DEBUG.mel_spec.fingerprint(), crop, speakers,
    )  # fmt: skip
    checkpoint.save(path, checkpoint.named(parts), info)
    return path


def eye_sets() -> tuple[str, ...]:
    """`LIPS` as texts."""
    lip = options.to_dict(FACETRON_DEBUG.lip)
    return (*FAST, "front=lip", "speaker=face", *(f"lip.{k}={v}" for k, v in lip.items()))


def test_attention_on_the_diagonal_is_nowhere_off_it() -> None:
    straight = torch.eye(75)[None]
    assert float(off_diagonal(straight)) == 0
    assert float(guided(straight)) == pytest.approx(0)
    shifted = torch.roll(straight, 5, dims=2)
    assert 4 < float(off_diagonal(shifted)) < 10
    still = torch.zeros(1, 75, 75)
    still[:, :, 0] = 1
    assert float(off_diagonal(still)) == pytest.approx(37)
    assert float(guided(still)) > 0.5


def test_the_decoder_makes_two_mel_frames_a_picture_of_any_length() -> None:
    decoder = Decoded(DEBUG, 6).eval()
    for pictures in (1, 30, 75):
        before, after, weights = decoder(torch.randn(2, pictures, 6), torch.zeros(2, 0))
        assert before.shape == after.shape == (2, 80, 2 * pictures)
        assert weights.shape == (2, pictures, pictures)
        assert torch.allclose(weights.sum(-1), torch.ones(2, pictures))


def test_what_it_says_alone_hangs_neither_on_the_true_mel_nor_on_the_batch() -> None:
    decoder = Decoded(DEBUG, 6).eval()
    lips, none = torch.randn(3, 10, 6), torch.zeros(3, 0)
    alone = decoder(lips, none)[1]
    assert torch.equal(decoder(lips, none, torch.randn(3, 80, 20))[1], alone)
    torch.manual_seed(5)  # the prenet draws from a generator of its own
    assert torch.allclose(decoder(lips[:1], none[:1])[1], alone[:1], atol=1e-6)


def test_the_true_frame_before_is_heard_in_training() -> None:
    torch.manual_seed(0)
    decoder = Decoded(replace(DEBUG, zoneout=0.0), 6).train()
    decoder.postnet.eval()
    lips, none, wanted = torch.randn(1, 4, 6), torch.zeros(1, 0), torch.randn(1, 80, 8)
    other = wanted.clone()
    other[:, :, 1] += 5  # the last frame of the first step is what the second step hears
    made = []
    for mel in (wanted, other):
        torch.manual_seed(1)
        made.append(decoder(lips, none, mel)[0])
    assert torch.equal(made[0][:, :, :2], made[1][:, :, :2])
    assert not torch.allclose(made[0][:, :, 2:], made[1][:, :, 2:])


def test_the_teacher_leaves_by_the_step_alone() -> None:
    config = replace(DEBUG, forced_steps=10, falling_steps=20, guide=2.0, guide_steps=40)
    stage = Lip2WavStage(config, defaults("decoder", config))
    shares = []
    for step in (0, 10, 20, 30, 99):
        stage.begin(step)
        shares.append(stage.model.decoder.true_share)
    assert shares == pytest.approx([1, 1, 0.5, 0, 0])
    assert stage._guide == 0


def test_mels_are_standardized_by_the_training_clips(tmp_path: Path) -> None:
    build = make_build(tmp_path, clips=2)
    stage = Lip2WavStage(DEBUG, defaults("decoder", DEBUG))
    rows = Manifest(build).where(subset="train")
    stage.survey(rows)
    mels = torch.stack([torch.from_numpy(row.mel()) for row in rows])
    scaled = stage.model.decoder.scale(mels)
    assert float(scaled.mean()) == pytest.approx(0, abs=1e-3)
    assert float(scaled.std()) == pytest.approx(1, abs=1e-3)
    assert torch.allclose(stage.model.decoder.scale.back(scaled), mels, atol=1e-4)


def test_with_facetrons_eyes_it_trains_and_speaks_clips_of_any_length(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", clips=3)
    eyes = facetron_eyes(tmp_path / "eyes.safetensors")
    sets = (*eye_sets(), "train.lip_variants=1")
    with pytest.raises(BadInput, match="needs a trained lip"):
        train("decoder", build, tmp_path / "none", "debug", sets=sets, system="lip2wav")
    best = train(
        "decoder", build, tmp_path / "out", "debug", sets=sets, sources=[eyes], system="lip2wav"
    )
    _, given = checkpoint.load(eyes)
    _, kept = checkpoint.load(best)
    assert all(torch.equal(kept[name], value) for name, value in given.items())
    voice = load_synthesizer(best, "griffin-lim", "cpu")
    assert voice.notes == ("lips as Facetron's", "with the face")
    rng = np.random.default_rng(0)
    faces = voice.face_embeddings(rng.integers(0, 255, (2, 32, 32, 3), dtype=np.uint8))
    assert np.linalg.norm(faces, axis=1) == pytest.approx([1, 1], abs=1e-5)
    clips = [rng.integers(0, 255, (n, 32, 32, 3), dtype=np.uint8) for n in (20, 130, 20)]
    spoken = voice.speak_many(clips, [faces[0], faces[1], faces[1]])
    assert [s.mel.shape for s in spoken] == [(80, 40), (80, 260), (80, 40)]
    assert [len(s.wave) for s in spoken] == [12_800, 83_200, 12_800]
    with pytest.raises(BadInput, match="a face of shape"):
        voice.speak(clips[0], faces[0][:3])


def test_eyes_that_saw_a_held_out_speaker_or_other_crops_are_refused(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", clips=2)
    told = ((("s1",), "", "was trained on s1, held out"), ((), "beef", "was trained on crops beef"))
    for speakers, crop, words in told:
        eyes = facetron_eyes(tmp_path / "eyes.safetensors", crop, speakers)
        with pytest.raises(SpecMismatch, match=words):
            train(
                "decoder", build, tmp_path / "out", "debug", sets=eye_sets(), sources=[eyes],
                system="lip2wav",
            )  # fmt: skip


def test_a_mel_without_a_whole_number_of_frames_per_picture_is_refused() -> None:
    assert isinstance(BaselineConfig().mel_spec, MelSpec)
    with pytest.raises(BadInput, match="no multiple of 25"):
        BaselineConfig(mel="hifigan-22k")
    with pytest.raises(BadInput, match="leaves no 3 px"):
        replace(DEBUG, channels=(4, 4, 4))


def test_small_has_facetrons_small_eyes() -> None:
    from facetron.baselines.lip2wav import SMALL

    made = create("decoder", SMALL, defaults("decoder", SMALL), "lip2wav")
    assert made.needs == ("lip",)
    assert dict(made.borrows) == {"lip": "facetron", "face": "facetron"}
    own = sum(p.numel() for p in made.parts["decoder"].parameters())
    assert own < 1_900_000  # under 4 MB in half precision


def test_attention_that_does_not_follow_the_lips_is_told_in_the_log(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", clips=3)
    told: list[str] = []
    train("decoder", build, tmp_path / "out", "debug", sets=FAST, report=told.append,
          system="lip2wav")  # fmt: skip
    (line,) = csv.DictReader((tmp_path / "out" / "log.csv").read_text().splitlines())
    off = float(line["val_attention_off_pictures"])
    assert off > 3  # nothing was learned in two steps
    assert f"its peak lies {off:.1f} pictures off the diagonal" in line["warning"]
    assert told[-1] == f"decoder 1: warning: {line['warning']}"


def test_attention_is_not_warned_of_where_it_follows_or_the_teacher_speaks() -> None:
    stage = Lip2WavStage(replace(DEBUG, forced_steps=10), defaults("decoder", DEBUG))
    assert stage.warnings({"step": 10, "val_attention_off_pictures": 3.0}) == []
    assert stage.warnings({"step": 9, "val_attention_off_pictures": 30.0}) == []
    assert len(stage.warnings({"step": 10, "val_attention_off_pictures": 3.1})) == 1
    assert len(stage.warnings({"step": 10, "train_attention_off_pictures": 3.1})) == 1
