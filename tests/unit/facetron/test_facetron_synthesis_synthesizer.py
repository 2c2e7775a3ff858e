"""The model that talks: what it says is what the modules say, in one pass, batched or in windows."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from facetron_build import make_build
from facetron_trained import PARTS, make_checkpoint
from numpy.typing import NDArray
from safetensors.torch import save_file

from facetron.checkpoints import checkpoint
from facetron.model import ctc
from facetron.model.face import face_input
from facetron.model.facetron import FaceToSpeech
from facetron.model.letters import letter_model, some_sentences
from facetron.model.lip import lip_input
from facetron.model.sizes import DEBUG
from facetron.synthesis.synthesizer import Synthesizer
from facetron.synthesis.windows import (
    MARGIN_FRAMES,
    OVERLAP_FRAMES,
    WINDOW_FRAMES,
    Blend,
    fade,
    windows,
)
from manifests.errors import BadInput, SpecMismatch
from manifests.grammar import VOCABULARY
from manifests.io import read_manifest
from manifests.mel import PRESETS

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("weights") / "model.safetensors")


@pytest.fixture(scope="module")
def voice(path: Path) -> Synthesizer:
    return Synthesizer.load(path, vocoder="hifigan", device="cpu")


def lips(frames: int, seed: int = 0) -> NDArray[np.uint8]:
    """A mouth that wanders: slow changes, as in a real clip."""
    rng = np.random.default_rng([frames, seed])
    steps = rng.integers(-25, 26, (frames, 8, 8, 3)).cumsum(axis=0) + 128
    return np.clip(steps, 0, 255).astype(np.uint8).repeat(2, axis=1).repeat(2, axis=2)


def face(seed: int = 0) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).normal(size=8).astype(np.float32)
    return values / np.float32(np.linalg.norm(values))


def whole_model(path: Path) -> FaceToSpeech:
    model = FaceToSpeech(DEBUG)
    for part, module in (
        ("lip", model.facetron.lip),
        ("face", model.facetron.face),
        ("decoder", model.facetron.decoder),
        ("vocoder", model.vocoder),
    ):
        checkpoint.load_part(module, part, path)
    return model.eval()


def test_it_says_what_the_model_says(path: Path, voice: Synthesizer) -> None:
    model, clip = whole_model(path), lips(75)
    stills = np.random.default_rng(3).integers(0, 256, (2, 40, 40, 3)).astype(np.uint8)
    faces = voice.face_embeddings(stills)
    with torch.no_grad():
        f = model.facetron.see_face(face_input(torch.from_numpy(stills), DEBUG.face))
        x = lip_input(torch.from_numpy(clip), DEBUG.lip)[None]
        read = model.facetron.read_lips(x)
        mel = model.facetron.speak(read.embedding, f[:1])
        wave = model.vocoder(mel)[0, 0]
    np.testing.assert_allclose(faces, f.numpy(), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(faces, axis=1), 1, atol=1e-5)
    reading, spoken = voice.read(clip), voice.speak(clip, faces[0])
    np.testing.assert_allclose(reading.embedding, read.embedding[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(np.exp(reading.log_probs).sum(axis=1), 1, atol=1e-4)
    assert reading.text == ctc.greedy(read.logits.numpy())[0] == spoken.text
    np.testing.assert_allclose(spoken.mel, mel[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(spoken.wave, wave.numpy(), atol=1e-4)
    assert (spoken.mel.shape, spoken.wave.shape) == ((80, 150), (48_000,))
    assert voice.sample_rate_hz == 16_000


@pytest.mark.parametrize("frames", [1, 2, 10, WINDOW_FRAMES])
def test_any_length_up_to_a_window_is_one_pass(path: Path, voice: Synthesizer, frames: int) -> None:
    clip = lips(frames)
    with torch.no_grad():
        x = lip_input(torch.from_numpy(clip), DEBUG.lip)[None]
        read = whole_model(path).facetron.read_lips(x)
    spoken = voice.speak(clip, face())
    np.testing.assert_allclose(voice.read(clip).embedding, read.embedding[0].numpy(), atol=1e-5)
    assert (spoken.mel.shape, spoken.wave.shape) == ((80, 2 * frames), (640 * frames,))
    assert np.isfinite(spoken.wave).all()
    assert np.abs(spoken.wave).max() <= 1


def test_windows_cover_a_clip_evenly() -> None:
    for frames in (1, 75, 76, 100, 200, 375, 1500):
        spans = windows(frames)
        assert spans[0][0] == 0
        assert spans[-1][1] == frames
        total = np.zeros(frames)
        for start, end in spans:
            weight = fade(start, end, frames).numpy()
            total[start:end] += weight
            if start > 0:
                assert weight[:MARGIN_FRAMES].max() == 0
        for (_, end), (start, _) in pairwise(spans):
            assert end - start >= OVERLAP_FRAMES
        assert total.min() > 0.5
    assert len(windows(75)) == 1
    assert len(windows(3000)) < 2.2 * len(windows(1500))


def test_a_blend_of_one_truth_is_that_truth() -> None:
    truth = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    blend = Blend(400, 3)
    for start, end in windows(400):
        blend.add(start, truth[start:end])
    np.testing.assert_allclose(blend.result().numpy(), truth.numpy(), atol=1e-6)


def test_seams_of_a_long_clip_do_not_show(path: Path, voice: Synthesizer) -> None:
    clip = lips(500)
    with torch.no_grad():
        x = lip_input(torch.from_numpy(clip), DEBUG.lip)[None]
        whole = whole_model(path).facetron.read_lips(x).embedding[0].numpy()
    made = voice.read(clip)
    assert made.log_probs.shape == (len(clip), 28)
    np.testing.assert_allclose(np.exp(made.log_probs).sum(axis=1), 1, atol=1e-4)
    # Windows that are merely put side by side differ by twice the embedding's size.
    assert np.abs(made.embedding - whole).max() < 0.2 * whole.std()


def test_clips_together_are_clips_one_by_one(voice: Synthesizer) -> None:
    clips = [lips(n, seed) for seed, n in enumerate((75, 20, 75, 140, 20))]
    faces = [face(seed) for seed in range(5)]
    together = voice.speak_many(clips, faces)
    for clip, f, made in zip(clips, faces, together, strict=True):
        alone = voice.speak(clip, f)
        np.testing.assert_allclose(made.mel, alone.mel, atol=1e-4)
        np.testing.assert_allclose(made.wave, alone.wave, atol=1e-4)
        assert made.text == alone.text
    assert voice.speak_many([], []) == []


def test_another_face_moves_the_mel_and_not_the_words(voice: Synthesizer) -> None:
    one, two = voice.speak(lips(30), face(1)), voice.speak(lips(30), face(2))
    assert one.text == two.text
    assert np.abs(one.mel - two.mel).max() > 1e-3


def test_decodings(path: Path) -> None:
    free = Synthesizer.load(path, device="cpu", decoding="beam")
    grid = Synthesizer.load(path, device="cpu", decoding="grammar")
    clip = lips(75)
    logs = free.read(clip).log_probs[None]
    assert free.read(clip).text == ctc.beam(logs)[0].text
    words = grid.read(clip).text.split()
    assert [w in slot.values() for w, slot in zip(words, VOCABULARY, strict=True)] == [True] * 6
    assert isinstance(grid.read(lips(6)).text, str)  # too short for a sentence: spelt freely
    for sentences in ((), ("zzz zzz",)):
        helped = Synthesizer.load(path, device="cpu", decoding="letters")
        helped = replace(helped, info=replace(helped.info, sentences=sentences))
        expected = ctc.beam(logs, allowed=letter_model(sentences or some_sentences()))[0].text
        assert helped.read(clip).text == expected


def test_griffin_lim_needs_no_vocoder(tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path / "m.safetensors", parts=("lip", "face", "decoder"))
    voice = Synthesizer.load(path, vocoder="griffin-lim", device="cpu")
    spoken = voice.speak(lips(20), face())
    assert spoken.wave.shape == (12_800,)
    np.testing.assert_array_equal(spoken.wave, voice.speak(lips(20), face()).wave)
    other = Synthesizer.load(path, vocoder="griffin-lim", device="cpu", seed=1)
    assert not np.array_equal(spoken.wave, other.speak(lips(20), face()).wave)
    with pytest.raises(BadInput, match="has no vocoder; choose --vocoder griffin-lim"):
        Synthesizer.load(path, vocoder="hifigan", device="cpu")


def test_seen_and_the_global_generator(path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    voice = Synthesizer.load(path, device="cpu")
    assert torch.equal(torch.rand(1), expected)
    assert voice.seen("s3")
    assert not voice.seen("s5")
    assert len(voice.sha256) == 64


@pytest.mark.parametrize("part", ["lip", "face", "decoder"])
def test_a_missing_part_is_named(tmp_path: Path, part: str) -> None:
    rest = tuple(name for name in PARTS if name != part)
    path = make_checkpoint(tmp_path / "m.safetensors", parts=rest)
    with pytest.raises(BadInput, match=f"has no {part}"):
        Synthesizer.load(path, device="cpu")


def test_foreign_and_damaged_files_are_one_line(path: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(2)}, foreign)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(path.read_bytes()[:-1000])
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    info, tensors = checkpoint.load(path)
    nan = tmp_path / "nan.safetensors"
    checkpoint.save(nan, tensors | {"lip.fc1.bias": torch.full((12,), torch.nan)}, info, False)
    newer = tmp_path / "newer.safetensors"
    unknown = replace(info, config=info.config | {"mixer": {"size": 3}})
    checkpoint.save(newer, tensors, unknown, False)
    for file, word in (
        (foreign, "not a checkpoint of facetron"),
        (cut, "not a readable safetensors file"),
        (text, "not a readable safetensors file"),
        (nan, "not finite numbers"),
        (newer, "mixer"),
        (tmp_path / "none.safetensors", "nor the name of bundled weights"),
    ):
        with pytest.raises(BadInput, match=word) as error:
            Synthesizer.load(file, device="cpu")
        assert str(file) in str(error.value)
        assert "\n" not in str(error.value)


def test_words_that_mean_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(BadInput, match="there are 0 CUDA devices"):
        Synthesizer.load(path, device="cuda")
    with pytest.raises(BadInput, match="no device 'tpu'"):
        Synthesizer.load(path, device="tpu")
    with pytest.raises(BadInput, match="no decoding"):
        Synthesizer.load(path, device="cpu", decoding="magic")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="no vocoder 'world'"):
        Synthesizer.load(path, vocoder="world", device="cpu")


def test_bad_pictures_are_named(voice: Synthesizer) -> None:
    for bad in (np.zeros((0, 16, 16, 3), np.uint8), np.zeros((5, 16, 16, 3), np.float32)):
        with pytest.raises(BadInput, match="lips of shape"):
            voice.read(bad)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="lips of shape"):
        voice.read(np.zeros((5, 16, 12, 3), np.uint8))
    with pytest.raises(BadInput, match="1 clips of lips with 2 faces"):
        voice.speak_many([lips(5)], [face(), face()])
    with pytest.raises(BadInput, match="a face of shape"):
        voice.speak(lips(5), np.zeros(9, np.float32))
    with pytest.raises(BadInput, match="a face of shape"):
        voice.speak(lips(5), np.full(8, np.nan, np.float32))
    with pytest.raises(BadInput, match="stills of shape"):
        voice.face_embeddings(np.zeros((0, 16, 16, 3), np.uint8))


def test_features_of_other_specs_are_refused(path: Path, tmp_path: Path) -> None:
    rows = read_manifest(make_build(tmp_path / "build", ("s3",), clips=1))[1]
    voice = Synthesizer.load(path, device="cpu")
    voice.require(rows, "the build")
    other_mel = [replace(rows[0], fingerprints={"mel": PRESETS["lip2wav"].fingerprint()})]
    with pytest.raises(SpecMismatch, match="the build has MelSpec"):
        voice.require(other_mel, "the build")
    foreign = make_checkpoint(tmp_path / "c.safetensors", crop="fedcba9876543210")
    with pytest.raises(SpecMismatch, match="trained on crops fedcba9876543210"):
        Synthesizer.load(foreign, device="cpu").require(rows, "the build")
