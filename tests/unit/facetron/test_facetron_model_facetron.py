"""The assembled model: Eq. 1 to 3, and what is frozen."""

import pytest
import torch
from torch import Tensor

from facetron.model.facetron import FaceToSpeech, Facetron, concatenate
from facetron.model.sizes import DEBUG, SIZES, model_config
from manifests.errors import BadInput, SpecMismatch

torch.set_num_threads(1)


def model(*sets: str) -> Facetron:
    torch.manual_seed(0)
    return Facetron(model_config("debug", sets=sets)).eval()


def batch(clips: int = 2, frames: int = 9) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    lips = torch.randn(clips, 1, frames, 16, 16, generator=generator)
    return lips, torch.randn(clips, 3, 32, 32, generator=generator)


@pytest.mark.parametrize("size", SIZES)
def test_a_clip_becomes_its_mel(size: str) -> None:
    config = SIZES[size]
    lip, face = config.lip, config.face
    with torch.device("meta"):
        facetron = Facetron(config).eval()
        lips = torch.empty(2, lip.input_channels, 75, lip.input_px, lip.input_px)
        mel = facetron(lips, torch.empty(2, 3, face.input_px, face.input_px))
    assert mel.shape == (2, 80, 150)
    assert facetron.mel_spec.frames(48_000) == 150


def test_equations_1_to_3_step_by_step() -> None:
    facetron, (lips, faces) = model(), batch()
    words, voice = facetron.read_lips(lips), facetron.see_face(faces)
    conditions = concatenate(words.embedding, voice)
    assert conditions.shape == (2, 20, 9)
    for k in range(9):
        torch.testing.assert_close(
            conditions[1, :, k], torch.cat([words.embedding[1, k], voice[1]])
        )
    torch.testing.assert_close(facetron.decoder(conditions), facetron(lips, faces))
    torch.testing.assert_close(facetron.speak(words.embedding, voice), facetron(lips, faces))


def test_lips_and_face_are_independent_inputs() -> None:
    facetron, (lips, faces) = model(), batch()
    swapped = facetron(lips, faces.flip(0))
    straight = facetron(lips, faces)
    assert not torch.allclose(swapped, straight)
    torch.testing.assert_close(facetron(lips.flip(0), faces.flip(0)).flip(0), straight)
    assert torch.equal(facetron.read_lips(lips).logits, facetron.read_lips(lips).logits)


def test_a_clip_does_not_depend_on_its_batch_nor_on_its_padding() -> None:
    facetron, (lips, faces) = model(), batch(3)
    together = facetron(lips, faces)
    torch.testing.assert_close(facetron(lips[2:], faces[2:])[0], together[2])
    words = facetron.read_lips(lips, torch.tensor([9, 4, 9])).embedding[1, :4]
    torch.testing.assert_close(facetron.read_lips(lips[1:2, :, :4]).embedding[0], words)


def test_frozen_lips_take_no_gradient_and_never_drop() -> None:
    facetron, (lips, faces) = model().train(), batch()
    assert not facetron.lip.training
    assert facetron.face.training
    assert torch.equal(facetron.read_lips(lips).embedding, facetron.read_lips(lips).embedding)
    facetron(lips, faces).square().sum().backward()
    learned = {name.split(".")[0] for name, p in facetron.named_parameters() if p.grad is not None}
    assert learned == {"face", "decoder"}
    silent = {name for name, p in facetron.named_parameters() if p.grad is None}
    assert {name.split(".")[0] for name in silent} == {"lip"}


def test_unfrozen_lips_learn_through_the_decoder() -> None:
    facetron, (lips, faces) = model("lip.frozen=false").train(), batch()
    assert facetron.lip.training
    facetron(lips, faces).square().sum().backward()
    silent = {name for name, p in facetron.named_parameters() if p.grad is None}
    assert silent == {"lip.fc2.weight", "lip.fc2.bias"}  # the CTC head is beside the way to sound
    gru = model("lip.frozen=false", "lip.embedding=gru")
    assert gru.decoder.conv_pre.in_channels == 16 + 8


def test_end_to_end_speech() -> None:
    torch.manual_seed(0)
    whole, (lips, faces) = FaceToSpeech(DEBUG).eval(), batch()
    speech = whole(lips, faces)
    assert speech.mel.shape == (2, 80, 18)
    assert speech.wave.shape == (2, 1, 18 * 320)
    assert torch.equal(speech.wave, whole.vocoder(whole.facetron(lips, faces)))
    speech.wave.square().sum().backward()
    assert all(p.grad is not None for p in whole.facetron.face.parameters())


def test_a_vocoder_of_another_mel_is_refused() -> None:
    config = model_config("debug", sets=["vocoder=v3-22k", "vocoder.channels=16"])
    with pytest.raises(SpecMismatch, match="facetron"):
        FaceToSpeech(config)


def test_faults_are_named() -> None:
    facetron, (lips, faces) = model(), batch()
    with pytest.raises(BadInput, match="2 clips of lips with 1 faces"):
        facetron(lips, faces[:1])
