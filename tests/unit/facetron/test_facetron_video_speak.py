"""`facetron speak` from a file to a file, with untrained weights on SynthGRID's faces."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import pytest
import soundfile
import torch
from clips import tiny_clip
from facetron_trained import make_checkpoint
from facetron_videos import played, to_and_fro, write_h264
from numpy.typing import NDArray

from facetron.checkpoints import checkpoint
from facetron.checkpoints.checkpoint import CheckpointInfo
from facetron.cli import cli
from facetron.model.i2i import select
from facetron.synthesis.confidence import UNMEASURED, domain
from facetron.synthesis.synthesizer import Spoken, Synthesizer
from facetron.video import speak as speaking
from facetron.video.align import Aligner, open_video
from facetron.video.speak import fitted
from gridprep.media.decode import decode
from manifests.console import run
from manifests.grammar import VOCABULARY
from manifests.specs import CropSpec

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    return make_checkpoint(path, crop=CropSpec().fingerprint())


@pytest.fixture(scope="module")
def clip(synth_corpus: Path) -> Path:
    return sorted((synth_corpus / "s1").glob("*.mpg"))[0]


@pytest.fixture(scope="module")
def face(clip: Path) -> NDArray[np.uint8]:
    """(75, 288, 360, 3)."""
    return decode(clip).frames


def facetron(*arguments: str | Path) -> tuple[int, str, str]:
    """Runs the program in this process: (exit code, standard output, standard error)."""
    out, err = io.StringIO(), io.StringIO()
    code: object = None
    with (
        mock.patch.object(sys, "argv", ["facetron", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            run(cli, "facetron")
        except SystemExit as stop:
            code = stop.code
    assert isinstance(code, int)
    return code, out.getvalue(), err.getvalue()


def speak(video: Path, out: Path, weights: Path, *more: str | Path) -> list[str]:
    """Lines on standard output, but for the first, of a run that went well and had nothing to say on
    the other but what is said of all weights that are not calibrated."""
    code, printed, error = facetron(
        "speak", video, "--out", out, "--checkpoint", weights, "--device", "cpu", *more
    )
    assert (code, error) == (0, f"{UNMEASURED}\n")
    known, *lines = printed.splitlines()
    assert known == f"weights: trained on {domain(checkpoint.read_info(weights))}"
    return lines


def test_a_clip_of_grid_talks(clip: Path, weights: Path, tmp_path: Path) -> None:
    out, wav = tmp_path / "deeper" / "out.mp4", tmp_path / "out.wav"
    read, voice, wrote = speak(clip, out, weights, "--wav", wav)
    found = played(out)
    assert found.codecs == "h264+aac"
    assert found.frames.shape == (75, 288, 360, 3)
    assert found.duration_s == pytest.approx(3, abs=0.001)
    assert (found.rate_hz, found.sound_start_s) == (16_000, 0)
    sound, rate_hz = soundfile.read(wav)
    assert (sound.shape, rate_hz) == ((48_000,), 16_000)
    synthesizer = Synthesizer.load(weights, device="cpu")
    aligner = Aligner()
    with open_video(clip) as footage:
        aligned = aligner.video(footage)
    aligner.close()
    voices = synthesizer.face_embeddings(aligned.stills)
    best = select(torch.from_numpy(voices), {}, "literal").index
    assert best is not None
    spoken = synthesizer.speak(aligned.lips, voices[best])
    np.testing.assert_allclose(sound, spoken.wave, atol=2 / 32768)
    assert read == f"read: {spoken.text or '(nothing)'}"
    assert voice == f"voice: from frame {5 * best} of {clip}"
    assert wrote.startswith(f"wrote {out} and {wav}: 3.00 s of speech in ")
    assert wrote.endswith("pictures encoded again as H.264")


@dataclass
class Listener:
    """In place of a `Synthesizer`: keeps what it is given, and embeds stills by their colors."""

    info: CheckpointInfo
    path: Path = Path("none")
    sample_rate_hz: int = 16_000
    calibration: None = None
    face_size: int = 3
    stills: list[NDArray[np.uint8]] = field(default_factory=list)
    spoken: list[tuple[NDArray[np.uint8], NDArray[np.float32]]] = field(default_factory=list)

    def face_embeddings(self, stills: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.stills.append(stills)
        return stills.mean((1, 2)).astype(np.float32)

    def speak(self, lips: NDArray[np.uint8], face: NDArray[np.float32]) -> Spoken:
        self.spoken.append((lips, face))
        return Spoken(np.zeros((80, 2), np.float32), np.zeros(9, np.float32), "")


def test_the_voice_is_that_of_the_face_and_the_words_those_of_the_lips(
    clip: Path, synth_corpus: Path, weights: Path, tmp_path: Path
) -> None:
    other = sorted((synth_corpus / "s4").glob("*.mpg"))[0]
    picture = tmp_path / "other.png"
    cv2.imwrite(str(picture), decode(other).frames[0][..., ::-1])
    listener: Any = Listener(checkpoint.read_info(weights))
    aligner = Aligner()
    for face in (None, other, picture):
        outcome = speaking.speak(
            speaking.SpeakRequest(clip, tmp_path / "out.mp4", face), listener, aligner
        )
        assert outcome.face == (str(face) if face else outcome.face)
    assert [len(stills) for stills in listener.stills] == [15, 15, 1]
    own, others, one = (aligner.stills(path)[0] for path in (clip, other, picture))
    aligner.close()
    for given, wanted in zip(listener.stills, (own, others, one), strict=True):
        np.testing.assert_array_equal(given, wanted)
    for (lips, face), stills in zip(listener.spoken, (own, others, one), strict=True):
        np.testing.assert_array_equal(lips, listener.spoken[0][0])
        colors = stills.mean((1, 2))
        apart = np.linalg.norm(colors[:, None] - colors[None], axis=-1).sum(1)
        np.testing.assert_allclose(face, colors[apart.argmin()], rtol=1e-5)  # the medoid
    assert len(played(tmp_path / "out.mp4").sound) >= 48_000  # what was missing is silence


def test_the_grammar_makes_a_sentence(clip: Path, weights: Path, tmp_path: Path) -> None:
    lines = speak(clip, tmp_path / "out.mp4", weights, "--text", "grammar", "--face", clip)
    words = lines[0].removeprefix("read: ").split()
    slots = [slot.values() for slot in VOCABULARY]
    assert all(word in slot for word, slot in zip(words, slots, strict=True))
    assert lines[1] == f"voice: from {clip}"


def test_without_sound_and_copied_and_again(
    face: NDArray[np.uint8], weights: Path, tmp_path: Path
) -> None:
    video, out = write_h264(tmp_path / "in.mp4", face[:30]), tmp_path / "out.mp4"
    more = ("--vocoder", "griffin-lim", "--text", "beam")
    lines = speak(video, out, weights, *more)
    assert lines[2].endswith("pictures as they were")
    first = played(out)
    assert first.codecs == "h264+aac"
    assert first.duration_s == pytest.approx(1.2, abs=0.05)
    speak(video, out, weights, *more)
    np.testing.assert_array_equal(played(out).sound, first.sound)


def test_ten_frames_talk(face: NDArray[np.uint8], weights: Path, tmp_path: Path) -> None:
    video = tiny_clip(tmp_path / "in.mpg", face[:10], audio=False)
    lines = speak(video, tmp_path / "out.mp4", weights, "--text", "grammar")
    assert "0.40 s of speech" in lines[2]
    found = played(tmp_path / "out.mp4")
    assert len(found.frames) == 10
    assert 6400 <= len(found.sound) < 6400 + 1024


def test_twelve_seconds_talk(face: NDArray[np.uint8], weights: Path, tmp_path: Path) -> None:
    video = write_h264(tmp_path / "in.mp4", to_and_fro(face, 300))
    lines = speak(video, tmp_path / "out.mp4", weights)
    assert "12.00 s of speech" in lines[2]
    found = played(tmp_path / "out.mp4")
    assert len(found.frames) == 300
    assert 192_000 <= len(found.sound) < 192_000 + 1024


def test_two_faces_are_said_on_standard_error(
    face: NDArray[np.uint8], weights: Path, tmp_path: Path
) -> None:
    video = write_h264(tmp_path / "in.mp4", np.concatenate([face[:20], face[:20]], axis=2))
    code, printed, error = facetron(
        "speak", video, "--out", tmp_path / "out.mp4", "--checkpoint", weights, "--device", "cpu"
    )
    assert code == 0
    assert error == (
        f"{video} shows 2 faces: took the most central and large one; "
        f"--who left|right|largest|N takes another\n{UNMEASURED}\n"
    )
    assert len(printed.splitlines()) == 4


CASES: dict[str, tuple[tuple[str, ...], str]] = {
    "no face": (
        ("{wall}",),
        "wall.mp4: no face in any frame, or too small a one; give one in which",
    ),
    "cut off": (("{half}",), "half.mp4 is not a video that FFmpeg can read"),
    "no video at all": (("{text}",), "text.txt is not a video that FFmpeg can read"),
    "absent": (("gone.mpg",), "gone.mpg does not exist or is not a file; check the path"),
    "face without a face": (("{clip}", "--face", "{blank}"), "blank.png: no face in the picture"),
    "absent face": (("{clip}", "--face", "gone.png"), "gone.png does not exist or is not a file"),
    "no CUDA": (("{clip}", "--device", "cuda:77"), "CUDA devices; use --device cpu"),
    "no such device": (("{clip}", "--device", "tpu"), "no device 'tpu'; choose"),
    "no such weights": (("{clip}", "--checkpoint", "x"), "x is neither a checkpoint file nor"),
    "other crops": (("{clip}", "--checkpoint", "{other}"), "was trained on crops 0123456789abcdef"),
    "no such face": (("{clip}", "--who", "middle"), "unknown face 'middle'; give left, right,"),
    "too few faces": (
        ("{clip}", "--who", "2"),
        "no face number 2, at most 1 in a frame; give --who a",
    ),
    "no such backend": (("{clip}", "--landmarks", "dlib"), "unknown landmark backend 'dlib'"),
    "no option": (("{clip}", "--landmark-option", "x"), "--landmark-option 'x' is not NAME=VALUE"),
    "wav is a folder": (("{clip}", "--wav", "{folder}"), "is a folder; name a file"),
    "out is the video": (("{clip}", "--out", "{h264}"), "in.mp4 itself; choose another --out"),
    "out is the face": (("{clip}", "--face", "{h264}", "--out", "{h264}"), "in.mp4 itself; choose"),
    "wav is the video": (("{clip}", "--wav", "{clip}"), "itself; choose another --wav"),
    "wav is out": (("{clip}", "--out", "x.mp4", "--wav", "x.mp4"), "is --out x.mp4 as well"),
    "no folder": (("{clip}", "--out", "{text}/x.mp4"), "x.mp4: Not a directory; check the path"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_done_is_one_line(
    case: str, clip: Path, face: NDArray[np.uint8], weights: Path, tmp_path: Path
) -> None:
    inputs = tmp_path / "in"
    inputs.mkdir()
    files = {name: inputs / f"{name}.mp4" for name in ("wall", "half")}
    files |= {"text": inputs / "text.txt", "blank": inputs / "blank.png", "folder": inputs}
    files |= {"clip": clip, "h264": inputs / "in.mp4", "other": inputs / "other.safetensors"}
    write_h264(files["wall"], np.full_like(face[:10], 90))
    write_h264(files["h264"], face[:10])
    files["half"].write_bytes(files["h264"].read_bytes()[: files["h264"].stat().st_size // 2])
    files["text"].write_text("no video")
    cv2.imwrite(str(files["blank"]), np.full((200, 200, 3), 90, np.uint8))
    make_checkpoint(files["other"])
    if case == "out is the video":
        files["clip"] = files["h264"]
    before = sorted(inputs.iterdir())
    given, expected = CASES[case]
    arguments = [argument.format(**files) for argument in given]
    defaults = {"--checkpoint": weights, "--device": "cpu", "--out": tmp_path / "out.mp4"}
    for option, value in defaults.items():
        if option not in arguments:
            arguments += [option, str(value)]
    code, printed, error = facetron("speak", *arguments)
    assert code == 2
    assert printed == ""
    assert error.startswith("facetron: ")
    assert expected in error
    assert error.count("\n") == 1
    assert sorted(inputs.iterdir()) == before
    assert sorted(tmp_path.iterdir()) == [inputs]


def test_sound_is_as_long_as_the_pictures() -> None:
    wave = np.ones(48_000, np.float32)
    assert fitted(wave, 75, 16_000).tolist() == wave.tolist()
    assert len(fitted(wave, 10, 22_050)) == 8820
    longer = fitted(wave[:100], 1, 16_000)
    assert (len(longer), longer.sum()) == (640, 100)
