"""`facetron.load`: a model that speaks, from videos and from arrays, and says what it is unsure of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from clips import tiny_clip
from facetron_trained import make_checkpoint
from facetron_videos import to_and_fro, write_h264

import facetron
from facetron.pretrained import PretrainedModel
from facetron.synthesis.confidence import UNMEASURED
from facetron.synthesis.synthesizer import Spoken, Synthesizer
from gridprep.media.decode import decode
from manifests.errors import BadInput
from manifests.specs import CropSpec

torch.set_num_threads(1)

pytestmark = pytest.mark.usefixtures("few_rounds")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PretrainedModel:
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    return facetron.load(make_checkpoint(path, ("s3", "s4"), crop=CropSpec().fingerprint()))


@pytest.fixture(scope="module")
def clip(synth_corpus: Path) -> Path:
    return sorted((synth_corpus / "s1").glob("*.mpg"))[0]


def test_a_video_is_said_with_all_that_belongs_to_it(model: PretrainedModel, clip: Path) -> None:
    speech = model.speak(clip)
    assert speech.wave.shape == (48_000,)
    assert np.abs(speech.wave).max() <= 1
    assert (speech.rate_hz, speech.mel.shape) == (16_000, (80, 150))
    assert speech.still is not None
    assert speech.still.shape == (160, 160, 3)
    assert speech.warnings[0] == UNMEASURED
    assert "trained on 2 speakers (s3, s4) saying GRID's 51 words" in speech.warnings[1]
    assert f"{speech.text!r}, is not a sentence of GRID's grammar" in speech.warnings[2]


def test_arrays_say_what_the_video_says(model: PretrainedModel, clip: Path) -> None:
    import gridprep

    cut = gridprep.crop(clip)
    speech, whole = model.synthesize(cut.lips, cut.faces), model.speak(clip)
    np.testing.assert_array_equal(speech.mel, whole.mel)
    np.testing.assert_array_equal(speech.wave, whole.wave)
    assert speech.text == whole.text
    voice = model.synthesizer.face_embeddings(cut.faces[:1])[0]
    by_embedding = model.synthesize(cut.lips, voice)
    by_still = model.synthesize(cut.lips, cut.faces[0])
    np.testing.assert_array_equal(by_embedding.wave, by_still.wave)
    assert by_embedding.still is None


def test_any_length_of_lips_is_said(model: PretrainedModel) -> None:
    lips, face = np.zeros((7, 144, 144, 3), np.uint8), np.zeros((160, 160, 3), np.uint8)
    assert model.synthesize(lips, face).wave.shape == (7 * 640,)


def test_what_is_odd_about_a_video_is_warned_of(
    model: PretrainedModel, clip: Path, tmp_path: Path
) -> None:
    slow = write_h264(tmp_path / "slow.mp4", to_and_fro(decode(clip).frames, 30), fps=12)
    assert any("12 frames per second" in warning for warning in model.speak(slow).warnings)


def test_a_sentence_of_the_grammar_is_not_warned_of(
    model: PretrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(text: str) -> None:
        spoken = Spoken(np.zeros((80, 150), np.float32), np.zeros(48_000, np.float32), text)
        monkeypatch.setattr(Synthesizer, "speak", lambda *_: spoken)

    lips, voice = np.zeros((75, 144, 144, 3), np.uint8), np.zeros(8, np.float32)
    for text, warnings in (
        ("bin blue at f two now", 1),
        ("bin blue at f two", 2),
        ("bin two at f blue now", 2),
        ("", 2),
    ):
        read(text)
        told = model.synthesize(lips, voice).warnings
        assert len(told) == warnings + 1, text
        assert told[-1] == UNMEASURED


def test_what_cannot_be_said_is_one_line(model: PretrainedModel, tmp_path: Path) -> None:
    lips = np.zeros((75, 144, 144, 3), np.uint8)
    with pytest.raises(
        BadInput, match=r"none\.mpg does not exist or is not a file; check the path"
    ):
        model.speak(tmp_path / "none.mpg")
    faceless = tiny_clip(tmp_path / "noise.mpg")
    with pytest.raises(BadInput, match=r"noise\.mpg.*; give one in which a face is seen"):
        model.speak(faceless)
    with pytest.raises(BadInput, match=r"a face of shape \(5,\) and int64; pass \(K, H, H, 3\)"):
        model.synthesize(lips, np.arange(5))  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"a face of shape \(3,\)"):
        model.synthesize(lips, np.zeros(3, np.float32))
    with pytest.raises(BadInput, match=r"lips of shape \(75, 144, 144\)"):
        model.synthesize(lips[..., 0], np.zeros((160, 160, 3), np.uint8))
    with pytest.raises(
        BadInput, match="nothing is neither a checkpoint file nor the name of bundled"
    ):
        facetron.load("nothing")
    with pytest.raises(BadInput, match="no decoding 'best'"):
        facetron.load("synthgrid", decoding="best")  # type: ignore[arg-type]


def test_a_model_says_what_it_is(model: PretrainedModel) -> None:
    assert "2 speakers, 16000 Hz" in repr(model)
    assert model.speakers == ("s3", "s4")
    model.close()
    model.close()
