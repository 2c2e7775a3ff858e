"""Run directories on disk."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from manifests.audio import wav_key, write_wav
from manifests.errors import BadInput, Locked, ManifestError
from manifests.records import ClipFailure, RunClip, RunInfo
from manifests.runs import (
    FACES,
    close_run,
    content_key,
    open_run,
    picture_path,
    read_info,
    read_picture_run,
    read_run,
    relative_reference,
    running,
)

INFO = RunInfo("a model", "model", "small", "test", 16_000, 2, parameters={"rounds": 3})


def clip(speaker: str, stem: str) -> RunClip:
    return RunClip(speaker, stem, "bin blue at f two now", "male", f"wavs/{speaker}/{stem}.wav")


def test_written_run_reads_back_sorted(tmp_path: Path) -> None:
    root = tmp_path / "run"
    open_run(root, INFO)
    failure = ClipFailure("s2", "bbaf2n", "vocoder", "unusable_mel", "no such file")
    close_run(root, [clip("s10", "bbaf2n"), clip("s2", "lbaf2n"), clip("s2", "bbaf3n")], [failure])
    info, clips, failures = read_run(root)
    assert info == INFO
    assert [c.clip_id for c in clips] == ["s2/bbaf3n", "s2/lbaf2n", "s10/bbaf2n"]
    assert failures == [failure]


def drawn(speaker: str, stem: str, variant: str, source: str = "") -> RunClip:
    return RunClip(
        speaker, stem, "bin blue at f two now", "male", "",
        picture=picture_path(speaker, stem, variant), source=source or f"{speaker}/{stem}",
        variant=variant,
    )  # fmt: skip


def test_a_run_of_pictures_reads_back_with_its_variants(tmp_path: Path) -> None:
    info = RunInfo(
        "a painter", FACES, "small", "test", 16_000, 4, parameters={"shuffled_speech": True}
    )
    open_run(tmp_path, info)
    clips = [drawn("s2", "bbaf2n", "z0", "s4/lbaf2n"), drawn("s2", "bbaf2n", "z1", "s4/lbaf2n")]
    close_run(tmp_path, clips, [])
    found, back, failures = read_picture_run(tmp_path)
    assert (found, back, failures) == (info, clips, [])
    assert found.shuffled_speech
    assert not INFO.shuffled_speech
    assert [clip.label for clip in back] == ["s2/bbaf2n.z0", "s2/bbaf2n.z1"]
    assert [clip.picture for clip in back] == [
        "pictures/s2/bbaf2n.z0.png",
        "pictures/s2/bbaf2n.z1.png",
    ]
    assert picture_path("s1", "bbaf2n") == "pictures/s1/bbaf2n.png"


def test_speech_and_pictures_are_not_mistaken_for_each_other(tmp_path: Path) -> None:
    pictures, speech = tmp_path / "pictures", tmp_path / "speech"
    open_run(pictures, RunInfo("a painter", FACES, "small", "test", 16_000, 1))
    close_run(pictures, [drawn("s2", "bbaf2n", "")], [])
    open_run(speech, INFO)
    close_run(speech, [clip("s2", "bbaf2n")], [])
    with pytest.raises(BadInput, match=f"{pictures} is a run of pictures \\(kind faces\\)"):
        read_run(pictures)
    with pytest.raises(BadInput, match=f"{speech} is a run of speech \\(kind model\\)"):
        read_picture_run(speech)


def test_a_line_without_a_picture_or_twice_is_named(tmp_path: Path) -> None:
    open_run(tmp_path, RunInfo("a painter", FACES, "small", "test", 16_000, 1))
    close_run(tmp_path, [drawn("s2", "bbaf2n", "z1"), drawn("s2", "bbaf2n", "z1")], [])
    with pytest.raises(ManifestError, match=r"lists s2/bbaf2n\.z1 twice"):
        read_picture_run(tmp_path)
    close_run(tmp_path, [clip("s2", "bbaf2n")], [])
    with pytest.raises(ManifestError, match="s2/bbaf2n names no picture"):
        read_picture_run(tmp_path)


def test_unfinished_run_has_no_clips(tmp_path: Path) -> None:
    open_run(tmp_path, INFO)
    close_run(tmp_path, [clip("s1", "bbaf2n")], [])
    leftover = tmp_path / "wavs" / "s1" / ".tmp-abc.wav"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    open_run(tmp_path, INFO)  # goes on, and is killed here
    assert not leftover.exists()
    with pytest.raises(ManifestError, match=r"clips\.jsonl"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    "change", [{"name": "another"}, {"split": "large-seen"}, {"subset": "val"}]
)
def test_another_run_is_not_overwritten(tmp_path: Path, change: dict[str, str]) -> None:
    open_run(tmp_path, INFO)
    with pytest.raises(BadInput, match=next(iter(change))):
        open_run(tmp_path, RunInfo(**{**INFO.to_dict(), **change}))
    assert read_info(tmp_path) == INFO


def test_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("do not touch")
    with pytest.raises(BadInput, match="no run directory"):
        open_run(tmp_path, INFO)
    file = tmp_path / "thesis.tex"
    with pytest.raises(BadInput, match="no run directory"):
        open_run(file, INFO)


@pytest.mark.parametrize("text", ["[]", "{", '{"name": "x"}'])
def test_damaged_run_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ManifestError, match=r"run\.json"):
        read_info(tmp_path)


def test_wav_is_pcm16_and_carries_its_key(tmp_path: Path) -> None:
    sound = np.sin(np.arange(48000) / 20).astype(np.float32)
    path = tmp_path / "wavs" / "s1" / "bbaf2n.wav"
    write_wav(path, sound, 16_000, "0123456789abcdef")
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.frames, info.subtype) == (
        16_000,
        1,
        48_000,
        "PCM_16",
    )
    back, _ = soundfile.read(path)
    np.testing.assert_allclose(back, sound, atol=1 / 32768)
    assert wav_key(path, 48_000) == "0123456789abcdef"
    assert [p.name for p in path.parent.iterdir()] == ["bbaf2n.wav"]


def test_full_scale_does_not_wrap(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.array([1.0, -1.0, 1.5, -1.5]), 16_000)
    back, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert back.tolist() == [32767, -32768, 32767, -32768]


def test_wav_key_is_empty_for_what_cannot_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    assert wav_key(path, 100) == ""
    path.write_bytes(b"RIFF")
    assert wav_key(path, 100) == ""
    write_wav(path, np.zeros(100), 16_000, "key")
    assert wav_key(path, 100) == "key"
    assert wav_key(path, 101) == ""
    path.write_bytes(path.read_bytes()[:150])
    assert wav_key(path, 100) == ""


@pytest.mark.parametrize("sound", [np.zeros((2, 10)), np.zeros(0), np.full(10, np.nan)])
def test_bad_sound_is_refused(tmp_path: Path, sound: np.ndarray) -> None:
    with pytest.raises(BadInput):
        write_wav(tmp_path / "a.wav", sound, 16_000)
    assert not list(tmp_path.iterdir())


def test_reference_survives_a_move_of_both(tmp_path: Path) -> None:
    build, run = tmp_path / "work" / "build ä", tmp_path / "work" / "runs" / "gl"
    build.mkdir(parents=True)
    run.mkdir(parents=True)
    (build / "a.wav").write_bytes(b"x")
    reference = relative_reference(run, build / "a.wav")
    assert reference == "../../build ä/a.wav"
    (tmp_path / "work").rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "runs" / "gl" / reference).read_bytes() == b"x"


def test_reference_through_a_link_still_resolves(tmp_path: Path) -> None:
    (tmp_path / "disk" / "deep" / "run").mkdir(parents=True)
    (tmp_path / "a.wav").write_bytes(b"x")
    os.symlink(tmp_path / "disk" / "deep" / "run", tmp_path / "run")
    reference = relative_reference(tmp_path / "run", tmp_path / "a.wav")
    assert (tmp_path / "run" / reference).read_bytes() == b"x"


def test_content_key_separates_its_parts() -> None:
    assert content_key("ab", "c") != content_key("a", "bc")
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1})
    assert content_key(b"x") != content_key("x")


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    root = tmp_path / "run"
    with running(root, INFO):
        assert (root / "run.json").exists()
        with pytest.raises(Locked, match="is being written by process"), running(root, INFO):
            raise AssertionError("two writers")
    with running(root, INFO):  # free again, and its lock file is no stranger's
        close_run(root, [], [])


def test_no_lock_is_left_in_a_strangers_folder(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(BadInput, match="no run directory"), running(tmp_path, INFO):
        raise AssertionError("opened")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
