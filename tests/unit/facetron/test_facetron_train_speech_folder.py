"""A folder of speech as training data of the stage `prosody`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

from facetron.checkpoints import checkpoint
from facetron.commands.train import train
from facetron.train.speech_folder import speech_files, speech_manifest
from manifests.errors import BadInput
from manifests.manifest import Manifest
from manifests.mel import DEFAULT, mel_spectrogram

torch.set_num_threads(1)


def hum(path: Path, pitch_hz: float, seconds: float, rate_hz: int = 16_000) -> None:
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.2 * np.sin(2 * np.pi * pitch_hz * t), rate_hz)


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    root = tmp_path / "speech"
    for number in range(4):
        hum(root / "anna" / "book" / f"{number}.wav", 220, 3.0)
        hum(root / "Björn" / f"{number}.flac", 110, 7.0, 44_100)
    return root


def test_files_are_cut_into_pieces(speech: Path, tmp_path: Path) -> None:
    soundfile.write(speech / "anna" / "silence.wav", np.zeros(48_000), 16_000)
    (speech / "anna" / "notes.txt").write_text("no sound")
    manifest, problems = speech_manifest(speech, tmp_path / "out", DEFAULT)
    assert problems == []
    rows = Manifest(manifest)
    # 7 s are two pieces; the last second is too short for a third.
    assert {s: len(rows.where(speaker=s)) for s in ("anna", "Björn")} == {"anna": 4, "Björn": 8}
    assert {row.mel().shape for row in rows} == {(80, 150)}
    t = np.arange(48_000) / 16_000
    expected = mel_spectrogram(0.2 * np.sin(2 * np.pi * 220 * t))
    # As magnitudes: between the harmonics of a pure tone is only the rounding to 16 bits.
    found = np.exp(rows.where(speaker="anna")[0].mel())
    np.testing.assert_allclose(found, np.exp(expected), atol=2e-3)


def test_mels_are_made_once(speech: Path, tmp_path: Path) -> None:
    manifest, _ = speech_manifest(speech, tmp_path / "out", DEFAULT)
    mel = next((tmp_path / "out").rglob("*.npy"))
    made_ns = mel.stat().st_mtime_ns
    speech_manifest(speech, tmp_path / "out", DEFAULT)
    assert mel.stat().st_mtime_ns == made_ns
    hum(speech / "anna" / "new.wav", 220, 3.0)
    again, _ = speech_manifest(speech, tmp_path / "out", DEFAULT)
    assert again == manifest
    assert len(Manifest(again)) == 13


def test_unreadable_files_are_told(speech: Path, tmp_path: Path) -> None:
    (speech / "anna" / "broken.wav").write_bytes(b"RIFF no more")
    _, problems = speech_manifest(speech, tmp_path / "out", DEFAULT)
    assert len(problems) == 1
    assert "broken.wav cannot be read" in problems[0]


def test_speech_of_one_speaker_teaches_nothing(speech: Path, tmp_path: Path) -> None:
    for path in (speech / "anna").rglob("*.wav"):
        path.unlink()
    with pytest.raises(BadInput, match="speech of 1 speakers"):
        speech_files(speech)
    with pytest.raises(BadInput, match="is no folder"):
        speech_files(tmp_path / "nowhere")


def test_the_stage_prosody_learns_from_it(speech: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    sets = ("train.epochs=1", "train.batch_size=4", "loss.contrastive=0.5", "train.device=cpu",
            "train.speaker_balance=1", "train.loggers=csv")  # fmt: skip
    command = ["prosody", "--speech", str(speech), "--out", str(out), "--size", "debug"]
    result = CliRunner().invoke(train, [*command, *(f"--set={text}" for text in sets)])
    assert result.exit_code == 0, result.output
    info = checkpoint.read_info(out / "best.safetensors")
    assert (info.speakers, info.crop) == (("Björn", "anna"), "")
    assert "prosody" in info.parts


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lip", "--speech", "x"], "cannot learn from --speech"),
        (["prosody"], "--manifest or --speech"),
        (["prosody", "--speech", "x", "--manifest", "y"], "--manifest or --speech"),
    ],
)
def test_what_does_not_go_together(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(train, [*arguments, "--out", str(tmp_path)])
    assert isinstance(result.exception, BadInput)
    assert message in str(result.exception)
