"""Face2Speech: text and timing become a mel, voices are frozen, and where the text comes from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from facetron_build import make_build
from torch.nn import functional

from facetron import options
from facetron.baselines import phonemes
from facetron.baselines.face2speech import (
    DEBUG,
    SMALL,
    Face2SpeechConfig,
    Face2SpeechSynthesizer,
    FaceStage,
    TtsStage,
    VoiceStage,
    defaults,
    face_encoder,
    text_to_speech,
)
from facetron.baselines.text_to_speech import PLACES, DurationModel, TtsConfig, spread
from facetron.checkpoints import checkpoint
from facetron.checkpoints.checkpoint import CheckpointInfo
from facetron.cli import cli
from facetron.synthesis.base import load_synthesizer
from facetron.synthesis.run import SynthesisOptions, synthesize
from facetron.train.dataset import ClipDataset, collate
from facetron.train.run import create, train
from manifests.errors import BadInput
from manifests.io import read_manifest, write_jsonl
from manifests.manifest import Manifest
from manifests.mel import DEFAULT
from manifests.runs import read_run


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_build(tmp_path_factory.mktemp("build"), clips=3)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights, as if they had learned from s3 and s5."""
    torch.manual_seed(0)
    parts = {"face": face_encoder(DEBUG), "tts": text_to_speech(DEBUG)}
    info = CheckpointInfo(
        "export", options.to_dict(DEBUG), tuple(parts), DEFAULT.fingerprint(), "0123456789abcdef",
        ("s3", "s5"), system="face2speech",
    )  # fmt: skip
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    checkpoint.save(path, checkpoint.named(parts), info)
    return path


def voice_of(weights: Path) -> Face2SpeechSynthesizer:
    made = load_synthesizer(weights, "griffin-lim", "cpu")
    assert isinstance(made, Face2SpeechSynthesizer)
    return made


def test_frames_know_their_phoneme_and_their_places() -> None:
    durations = torch.tensor([[2, 0, 3, 1]])
    spans = torch.tensor([[[0, 0], [1, 2], [1, 2], [3, 3]]])
    index, places = spread(durations, spans, 8)
    assert index.tolist() == [[0, 0, 2, 2, 2, 3, 3, 3]]
    assert places.shape == (1, 8, PLACES)
    torch.testing.assert_close(places[0, 3], torch.tensor([0.5, 0.5, 0.3, 0.5, 0.15]))
    torch.testing.assert_close(places[0, 7], places[0, 5])  # after the end nothing moves
    assert bool((places >= 0).all())


def test_a_clip_is_told_the_same_alone_and_in_a_batch() -> None:
    torch.manual_seed(0)
    model = DurationModel(replace(DEBUG.tts, convs=2), 8).eval()
    short, long = (phonemes.utterance(text.split()) for text in ("at", "place white with x"))
    padded = torch.zeros(2, len(long.phones), phonemes.FEATURES)
    for row, said in zip(padded, (short, long), strict=True):
        row[: len(said.phones)] = said.features()
    counts = torch.tensor([len(short.phones), len(long.phones)])
    voice = functional.normalize(torch.randn(2, 8), dim=-1)
    with torch.no_grad():
        both = model(padded, voice, counts)
        alone = model(short.features()[None], voice[:1])
    torch.testing.assert_close(both[:1, : counts[0]], alone)


def test_the_data_gives_phonemes_that_fill_the_clip(build: Path) -> None:
    data = ClipDataset(build, "train", ("mel", "phones"), DEBUG)
    batch = collate([data[0], data[1]])
    assert batch["phones"].shape[::2] == (2, phonemes.FEATURES)
    assert batch["phone_count"].tolist() == [
        len(phonemes.utterance(row.sentence.split()).phones) for row in data.rows[:2]
    ]
    assert batch["durations"].sum(1).tolist() == [150, 150]
    words = data.rows[0].words
    first = batch["phones"][0, 0]
    assert first[0] == 1  # a pause until the first word, at 50 frames per second
    assert int(batch["durations"][0, 0]) == round(words[0].start_s * 50)


def test_a_clip_without_times_is_named(build: Path, tmp_path: Path) -> None:
    _, rows = read_manifest(build)
    write_jsonl(
        build / "silent.jsonl", "manifest", [replace(row, words=()) for row in rows],
        held_out_speakers=[],
    )  # fmt: skip
    data = ClipDataset(build / "silent.jsonl", "train", ("phones",), DEBUG)
    with pytest.raises(BadInput, match=f"{data.rows[0].clip_id}: the times are of 'no words'"):
        data[0]


def test_the_speech_encoder_stays_as_it_is_while_others_learn(build: Path, tmp_path: Path) -> None:
    sets = ("train.batch_size=2", "train.epochs=1", "train.loggers=csv")
    best = train("ge2e", build, tmp_path / "ge2e", "debug", sets=sets, system="face2speech")
    _, heard = checkpoint.load(best)
    with pytest.raises(BadInput, match="the stage tts needs a trained prosody"):
        train("tts", build, tmp_path / "tts", "debug", sets=sets, system="face2speech")
    for stage in ("tts", "face"):
        made = train(
            stage, build, tmp_path / stage, "debug", sets=sets, sources=[best], system="face2speech"
        )
        info, kept = checkpoint.load(made)
        assert all(torch.equal(kept[name], value) for name, value in heard.items())
        assert info.record("prosody")["stage"] == "ge2e"
        assert info.record(stage)["stage"] == stage


def test_centroids_are_the_means_of_all_speech_of_a_speaker(build: Path) -> None:
    stage = create("face", DEBUG, defaults("face", DEBUG), "face2speech")
    assert isinstance(stage, FaceStage)
    rows = Manifest(build).where(subset="train")
    stage.survey(rows)
    stage.model.similarity.requires_grad_(False)
    heard = {}
    for name in ("s3", "s5"):
        mels = torch.stack([torch.from_numpy(row.mel()) for row in rows if row.speaker == name])
        heard[name] = functional.normalize(stage.model.teacher(mels).mean(0), dim=-1)
    torch.testing.assert_close(stage.model.centroids, torch.stack([heard["s3"], heard["s5"]]))
    right = {"face": stage.model.centroids.clone()}
    batch = {"speakers": ["s3", "s5"]}
    assert float(stage.losses(right, batch, {})["nearest"]) == 1
    wrong = {"face": -stage.model.centroids}
    assert float(stage.losses(wrong, batch, {})["loss"]) > float(
        stage.losses(right, batch, {})["loss"]
    )
    stranger = stage.losses(right, {"speakers": ["s9", "s9"]}, {})
    assert float(stranger["loss"]) == 0  # of a face that no speech is known of nothing is learned


def test_batches_compare_several_clips_of_several_speakers(build: Path, tmp_path: Path) -> None:
    config = replace(DEBUG, utterances=2)
    for stage in (VoiceStage, FaceStage):
        assert stage(config, defaults("ge2e", config)).clips_per_speaker == 2
    assert TtsStage(config, defaults("tts", config)).clips_per_speaker == 0
    sets = ("train.batch_size=2", "utterances=2")
    with pytest.raises(BadInput, match="2 of each of 2 speakers, for 1 processes leaves none"):
        train("ge2e", build, tmp_path / "out", "debug", sets=sets, system="face2speech")
    sets = ("train.batch_size=2", "train.gender_balance=true")
    with pytest.raises(BadInput, match="the stage ge2e draws all speakers equally often"):
        train("ge2e", build, tmp_path / "out", "debug", sets=sets, system="face2speech")


def test_it_speaks_the_text_and_follows_the_recordings_times(weights: Path, build: Path) -> None:
    voice = voice_of(weights)
    row = next(iter(Manifest(build).where(subset="val")))
    rng = np.random.default_rng(0)
    lips = rng.integers(0, 255, (75, 32, 32, 3), dtype=np.uint8)
    (face,) = voice.face_embeddings(rng.integers(0, 255, (1, 32, 32, 3), dtype=np.uint8))
    assert voice.notes == ("text given",)
    predicted = voice.speak_rows([lips], [face], [row])[0]
    assert (predicted.mel.shape, len(predicted.wave), predicted.text) == ((80, 150), 48_000, "")
    timed = voice.told(None, "reference", None)
    assert timed.notes == ("text given", "durations given")
    mel = timed.speak_rows([lips], [face], [row])[0].mel
    said = phonemes.utterance(row.sentence.split())
    durations = said.durations(row.words, 150, 50)
    with torch.no_grad():
        wanted = voice.tts.say(said, durations, torch.from_numpy(face)).numpy()
    np.testing.assert_allclose(mel, wanted, atol=1e-5)
    assert timed.told_key(row) != voice.told_key(row)
    other = replace(row, sentence="set red at a one now")
    assert voice.told_key(row) != voice.told_key(other)
    with pytest.raises(BadInput, match="a face of shape"):
        voice.speak_rows([lips], [face[:3]], [row])


def test_the_control_says_the_text_of_another_clip(weights: Path, tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", clips=4, validation=2)
    asked = SynthesisOptions(build, str(weights), tmp_path / "own", subset="val", device="cpu")
    synthesize(asked)
    synthesize(replace(asked, out=tmp_path / "shuffled", shuffle_lips=True))
    info, clips, _ = read_run(tmp_path / "shuffled")
    assert (info.kind, info.parameters["text"]) == ("control", "given")
    mels = {
        run: {clip.clip_id: np.load(tmp_path / run / clip.mel) for clip in clips}
        for run in ("own", "shuffled")
    }
    one, two = (clip.clip_id for clip in clips if clip.speaker == "s3")
    for mine, other in ((one, two), (two, one)):
        assert not np.array_equal(mels["shuffled"][mine], mels["own"][mine])
        # The face is the speaker's in both.
        np.testing.assert_allclose(mels["shuffled"][mine], mels["own"][other], atol=1e-5)


def test_the_lips_may_be_read_instead(weights: Path, tmp_path: Path) -> None:
    voice = voice_of(weights).told("lips", None, "synthgrid")
    assert voice.notes == ("text from the lips by synthgrid, greedy",)
    assert voice.told_parameters["reader"] == "synthgrid"
    assert voice.seen("s3")
    assert voice.seen("s10")  # the lip encoder knows who these weights do not
    assert not voice.seen("s1")
    rng = np.random.default_rng(0)
    lips = rng.integers(0, 255, (30, 144, 144, 3), dtype=np.uint8)
    (face,) = voice.face_embeddings(rng.integers(0, 255, (1, 32, 32, 3), dtype=np.uint8))
    spoken = voice.speak(lips, face)
    reading = voice._eyes.read(lips)
    assert spoken.text == reading.text
    said = phonemes.utterance(phonemes.nearest_words(reading.text))
    durations = voice.tts.durations(said, torch.from_numpy(face), 60)
    with torch.no_grad():
        wanted = voice.tts.say(said, durations, torch.from_numpy(face)).numpy()
    np.testing.assert_allclose(spoken.mel, wanted, atol=1e-5)
    assert len(spoken.wave) == 19_200


def test_sources_of_the_text_that_do_not_go_together_are_one_line(
    weights: Path, build: Path, tmp_path: Path
) -> None:
    voice = voice_of(weights)
    with pytest.raises(BadInput, match="the text is given, so that synthgrid has nothing to read"):
        voice.told("given", None, "synthgrid")
    with pytest.raises(BadInput, match="not of those that were read"):
        voice.told("lips", "reference", None)
    with pytest.raises(
        BadInput, match="is a checkpoint of the system face2speech, not of facetron"
    ):
        voice.told("lips", None, str(weights))
    common = ["--manifest", str(build), "--subset", "val", "--out", str(tmp_path / "run")]
    told = CliRunner().invoke(
        cli, ["synthesize", "--checkpoint", "synthgrid", "--text", "given", *common]
    )
    assert "facetron speaks what the lips show, and no text" in str(told.exception)
    _, rows = read_manifest(build)
    for name, changed, words in (
        ("words", {"sentence": "hello grid"}, "'grid', 'hello' is none of GRID's 51 words"),
        ("none", {"sentence": ""}, "there is no sentence"),
    ):
        path = tmp_path / name / "manifest.jsonl"
        path.parent.mkdir()
        changes = [replace(row, **changed) for row in rows]  # type: ignore[arg-type]
        write_jsonl(path, "manifest", changes, held_out_speakers=[])
        with pytest.raises(BadInput, match=words):
            synthesize(
                SynthesisOptions(
                    path, str(weights), tmp_path / "run", "val", vocoder="griffin-lim", device="cpu"
                )
            )


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(BadInput, match=r"prosody.embedding_size 8 beside face.embedding_size 4"):
        replace(DEBUG, face=replace(DEBUG.face, embedding_size=4))
    with pytest.raises(BadInput, match="no multiple of 25"):
        Face2SpeechConfig(mel="hifigan-22k")
    with pytest.raises(BadInput, match="give an odd kernel"):
        TtsConfig(kernel=4)
    parts = [face_encoder(SMALL), text_to_speech(SMALL)]
    numbers = sum(p.numel() for part in parts for p in part.parameters())
    assert numbers < 1_600_000  # with the speech encoder under 4 MB in half precision
