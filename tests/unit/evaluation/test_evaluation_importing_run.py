"""Other people's speech becomes a run directory: every format, every file accounted for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from odd_media import Sound as Track
from odd_media import renamed_codec, write

from evaluation.cli import cli
from evaluation.importing.audio import decode
from evaluation.importing.matching import ImportedFile
from evaluation.inputs.pairs import load_sound, read_run
from manifests.errors import BadInput, TooManyFailures
from manifests.io import read_jsonl, write_jsonl
from manifests.records import ClipFailure, ManifestRow, RunClip

Sound = NDArray[np.float64]


def run_cli(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["import", *map(str, arguments)], standalone_mode=False)


def bring(
    wavs: Path, out: Path, *more: object, pattern: str = "{speaker}/{stem}.wav", name: str = "Them"
) -> Result:
    return run_cli("--wavs", wavs, "--pattern", pattern, "--name", name, "--out", out, *more)


def lines_of(out: Path) -> dict[str, ImportedFile]:
    return {x.file: x for x in read_jsonl(out / "import.jsonl", "import", ImportedFile)[1]}


def clips_of(out: Path) -> list[RunClip]:
    return read_jsonl(out / "clips.jsonl", "run-clips", RunClip)[1]


def encode(path: Path, sound: Sound, rate_hz: int, codec: str, layout: str, form: str) -> None:
    """Writes (n, channels) by FFmpeg; `form` is the encoder's sample format, packed or planar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz)
        stream.codec_context.layout = layout
        stream.codec_context.format = form
        step = stream.codec_context.frame_size or 1024
        for start in range(0, len(sound) - step + 1, step):
            piece = sound[start : start + step].astype(np.float32)
            shaped = piece.T if form.endswith("p") else piece.reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(shaped), form, layout)
            frame.sample_rate, frame.pts = rate_hz, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture
def sound(make_sound: Callable[..., Sound]) -> Sound:
    return make_sound(3, 1.0)


def level(samples: Sound) -> float:
    return float(np.sqrt(np.mean(samples**2)))


@pytest.mark.parametrize(
    ("subtype", "rate_hz", "stored"),
    [
        ("PCM_16", 8000, "PCM_16"), ("PCM_16", 44_100, "PCM_16"), ("DOUBLE", 16_000, "FLOAT"),
        ("FLOAT", 48_000, "FLOAT"), ("PCM_24", 16_000, "FLOAT"), ("PCM_U8", 16_000, "PCM_16"),
    ],
)  # fmt: skip
def test_wavs_keep_rate_and_samples(
    tmp_path: Path, sound: Sound, subtype: str, rate_hz: int, stored: str
) -> None:
    source = tmp_path / "in" / "s1" / "bbaf2n.wav"
    source.parent.mkdir(parents=True)
    soundfile.write(source, sound, rate_hz, subtype=subtype)
    assert bring(tmp_path / "in", tmp_path / "run").exit_code == 0
    (clip,) = clips_of(tmp_path / "run")
    made = tmp_path / "run" / clip.wav
    info = soundfile.info(made)
    assert (info.samplerate, info.channels, info.frames) == (rate_hz, 1, len(sound))
    assert info.subtype == stored
    want = soundfile.read(source, dtype="float64")[0]
    if subtype == "DOUBLE":
        want = want.astype(np.float32)
    np.testing.assert_array_equal(soundfile.read(made, dtype="float64")[0], want)
    line = lines_of(tmp_path / "run")["s1/bbaf2n.wav"]
    assert (line.rate_hz, line.channels, line.samples) == (rate_hz, 1, len(sound))
    assert (line.codec, line.stored) == (f"wav {subtype}", stored)
    assert line.duration_s == pytest.approx(len(sound) / rate_hz, abs=1e-4)


@pytest.mark.parametrize(
    ("file", "rate_hz", "codec", "layout", "form", "named"),
    [
        ("bbaf2n.webm", 48_000, "libopus", "mono", "flt", "opus"),
        ("bbaf2n.mov", 44_100, "pcm_f32le", "stereo", "flt", "mov pcm_f32le"),
        ("bbaf2n.mp4", 44_100, "aac", "3.0", "fltp", "mov aac"),
        ("bbaf2n.mkv", 16_000, "flac", "mono", "s16", "matroska"),
    ],
)
def test_what_ffmpeg_reads(
    tmp_path: Path,
    make_sound: Callable[..., Sound],
    file: str,
    rate_hz: int,
    codec: str,
    layout: str,
    form: str,
    named: str,
) -> None:
    channels = {"mono": 1, "stereo": 2, "3.0": 3}[layout]
    sound = make_sound(3, 2.0, rate_hz=rate_hz)
    many = np.repeat(sound[:, None], channels, axis=1)
    if channels == 3:
        many[:, 2] = 0  # claimed, and empty
    source = tmp_path / "in" / "s1" / file
    if form == "s16":
        many = many * 32767
        many = many.astype(np.int16)
        _encode_s16(source, many, rate_hz, codec, layout)
    else:
        encode(source, many, rate_hz, codec, layout, form)
    result = bring(tmp_path / "in", tmp_path / "run", pattern="{speaker}/{stem}" + source.suffix)
    assert result.exit_code == 0, result.output
    line = lines_of(tmp_path / "run")[f"s1/{file}"]
    assert line.outcome == "imported", line.detail
    assert named in line.codec
    assert (line.rate_hz, line.channels) == (rate_hz, channels)
    made, made_rate_hz = soundfile.read(tmp_path / "run" / clips_of(tmp_path / "run")[0].wav)
    assert made_rate_hz == rate_hz
    assert len(made) / rate_hz == pytest.approx(2.0, abs=0.1)
    assert level(made) == pytest.approx(level(sound), rel=0.08), "no channel pulls the level down"
    if channels == 3:
        assert "2 of 3 channels carry sound" in line.done
    if file.endswith("mov"):
        assert line.done[1] == "2 equal channels"
        np.testing.assert_array_equal(made, sound[: len(made)].astype(np.float32))


def _encode_s16(path: Path, sound: Any, rate_hz: int, codec: str, layout: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz)
        stream.codec_context.layout = layout
        frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), "s16", layout)
        frame.sample_rate, frame.pts = rate_hz, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_channels_that_cancel_each_other_are_told(tmp_path: Path, sound: Sound) -> None:
    path = tmp_path / "in" / "s1" / "bbaf2n.wav"
    path.parent.mkdir(parents=True)
    soundfile.write(path, np.stack([sound, -0.5 * sound], axis=1), 16_000)
    assert bring(tmp_path / "in", tmp_path / "run").exit_code == 0
    line = lines_of(tmp_path / "run")["s1/bbaf2n.wav"]
    assert line.done[0] == "mean of 2 channels"
    soundfile.write(path, np.stack([sound, -sound], axis=1), 16_000)
    assert bring(tmp_path / "in", tmp_path / "again").exit_code == 0
    line = lines_of(tmp_path / "again")["s1/bbaf2n.wav"]
    assert line.done[0] == "the loudest of 2 channels, which cancel each other"
    made, _ = soundfile.read(tmp_path / "again" / clips_of(tmp_path / "again")[0].wav)
    assert level(made) == pytest.approx(level(sound), rel=0.01)


def test_bad_files_are_failures_that_count_as_missing(tmp_path: Path, sound: Sound) -> None:
    folder = tmp_path / "in" / "s1"
    folder.mkdir(parents=True)
    soundfile.write(folder / "bbaf2n.wav", sound, 16_000)
    (folder / "bbaf3s.wav").write_text("no sound")
    (folder / "bbaf4p.wav").touch()
    soundfile.write(folder / "bbaf5a.wav", np.zeros((0, 1)), 16_000)
    soundfile.write(folder / "bbal6n.wav", np.zeros(70 * 8000), 8000)
    (folder / "bbal7s.wav").write_bytes((folder / "bbaf2n.wav").read_bytes()[:9000])
    (folder / "bbal8p.wav").symlink_to(folder / "gone.wav")
    soundfile.write(folder / "bbal9a.wav", np.full(16_000, np.nan), 16_000, subtype="FLOAT")
    soundfile.write(folder / "bbas1s.wav", 1.5 * np.ones(16_000), 16_000, subtype="FLOAT")
    result = bring(tmp_path / "in", tmp_path / "run")
    assert isinstance(result.exception, TooManyFailures)
    assert "imported 4 + failed 5 + missing 0 = asked 9" in result.output
    run = read_run(tmp_path / "run")
    assert (len(run.clips), run.info.n_expected, run.n_missing) == (4, 9, 5)
    failures = read_jsonl(tmp_path / "run" / "failures.jsonl", "failures", ClipFailure)[1]
    assert {f.stem: f.reason for f in failures} == {
        "bbaf3s": "unreadable", "bbaf4p": "unreadable", "bbaf5a": "empty",
        "bbal6n": "too_long", "bbal8p": "unreadable",
    }  # fmt: skip
    lines = lines_of(tmp_path / "run")
    assert lines["s1/bbal7s.wav"].samples == pytest.approx((9000 - 44) / 2, abs=2)
    assert lines["s1/bbal7s.wav"].done[0] == "its header states another length"
    assert lines["s1/bbaf2n.wav"].done == ("no recording to compare with",)
    assert "kept NaN or infinite samples" in lines["s1/bbal9a.wav"].done
    assert "kept samples beyond full scale" in lines["s1/bbas1s.wav"].done
    assert soundfile.read(tmp_path / "run" / "wavs/s1/bbas1s.wav")[0].max() == 1.5
    again = bring(tmp_path / "in", tmp_path / "run", "--max-failures", 5)
    assert again.exit_code == 0


def write_clips(folder: Path, sound: Sound, *names: str, rate_hz: int = 16_000) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, sound, rate_hz)


def test_recordings_beside_the_speech(tmp_path: Path, sound: Sound) -> None:
    data = tmp_path / "data"
    for clip in ("s1_bbaf2n", "s2_bbaf3s", "s4_bbaf4p"):
        write_clips(data, sound, f"{clip}/real.wav")
    write_clips(data, sound[:12_000], "s1_bbaf2n/a.wav", "s4_bbaf4p/b.wav")
    write_clips(data, sound[:9000], "s2_bbaf3s/a.wav")
    result = bring(
        data, tmp_path / "run", "--references", data, "--reference-pattern",
        "{speaker}_{stem}/real.wav", "--split", "small", pattern="{speaker}_{stem}/a.wav",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "imported 2 + failed 0 + missing 1 = asked 3" in result.output
    assert "missing: s4/bbaf4p" in result.output
    assert "4 unmatched: 's1_bbaf2n/real.wav'" in result.output
    assert "2 × shorter than its recording by more than 0.25 s" not in result.output
    assert "1 × shorter than its recording by more than 0.25 s" in result.output
    run = read_run(tmp_path / "run")
    assert (run.info.split, run.info.subset, run.n_missing) == ("small", "test", 1)
    first = run.clips[0]
    assert (first.speaker, first.sentence, first.gender) == ("s1", "bin blue at f two now", "male")
    assert run.reference(first) is not None
    assert load_sound(run.reference(first)).file_samples == 16_000  # type: ignore[arg-type]
    assert not Path(first.reference).is_absolute(), "run and recordings can be moved together"
    assert not (tmp_path / "run" / "references").exists(), "nothing is copied without need"


def test_recordings_that_metrics_cannot_read_are_converted(
    tmp_path: Path, make_sound: Callable[..., Sound]
) -> None:
    sound = make_sound(1, 1.0, rate_hz=44_100)
    encode(tmp_path / "real/s1/bbaf2n.mov", sound[:, None], 44_100, "pcm_f32le", "mono", "flt")
    (tmp_path / "real/s1/bbaf3s.mov").write_text("no film")
    write_clips(tmp_path / "in", sound, "s1/bbaf2n.wav", "s1/bbaf3s.wav", rate_hz=44_100)
    result = bring(
        tmp_path / "in", tmp_path / "run", "--references", tmp_path / "real",
        "--reference-pattern", "{speaker}/{stem}.mov",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "1 failed among the recordings: 's1/bbaf3s.mov'" in result.output
    clips = {clip.stem: clip.reference for clip in clips_of(tmp_path / "run")}
    assert clips == {
        "bbaf2n": "references/s1/bbaf2n.wav",
        "bbaf3s": "../real/s1/bbaf3s.mov",  # metrics will say why it is none
    }
    made = soundfile.read(tmp_path / "run" / clips["bbaf2n"])[0]
    np.testing.assert_array_equal(made, sound[: len(made)].astype(np.float32))
    assert "1 × its recording cannot be read" in result.output


def write_manifest(build: Path, sound: Sound) -> None:
    rows = []
    for speaker, stem, subset in (
        ("s1", "bbaf2n", "test"), ("s2", "bbaf3s", "test"), ("s2", "bbaf4p", "test"),
        ("s3", "bbaf5a", "train"),
    ):  # fmt: skip
        write_clips(build, sound, f"audio/{speaker}/{stem}.wav")
        paths = {"audio": f"audio/{speaker}/{stem}.wav"}
        rows.append(
            ManifestRow(
                speaker, "female", stem, "bin blue at f two now", subset, (), paths, 75, 48_000,
                16_000, 150, 0, (), {}, "", "", {},
            )
        )  # fmt: skip
    write_jsonl(
        build / "manifest.jsonl", "manifest", rows, split="large-unseen", corpus_kind="synthgrid"
    )


def test_a_manifest_says_what_is_asked_for(tmp_path: Path, sound: Sound) -> None:
    write_manifest(tmp_path / "build", sound)
    write_clips(
        tmp_path / "in", sound,
        "bbaf2n.wav", "BBAF3S.wav", "bbaf5a.wav", "bbaf9z.wav", "notes.wav", "x y.wav",
    )  # fmt: skip
    (tmp_path / "in" / "LICENSE").touch()
    result = bring(
        tmp_path / "in", tmp_path / "run", "--manifest", tmp_path / "build", pattern="{stem}.wav"
    )
    assert result.exit_code == 0, result.output
    assert "imported 2 + failed 0 + missing 1 = asked 3" in result.output
    outcomes = {file: (x.outcome, x.detail) for file, x in lines_of(tmp_path / "run").items()}
    assert outcomes["BBAF3S.wav"] == ("imported", "")
    assert outcomes["bbaf5a.wav"][0] == "not_asked"
    assert outcomes["LICENSE"] == ("unmatched", "")
    assert outcomes["x y.wav"][0] == "unusable_name"
    assert outcomes["notes.wav"] == ("unknown_speaker", "no list says who speaks notes")
    assert len(outcomes) == 7, "every file of the folder has its line"
    run = read_run(tmp_path / "run")
    assert (run.info.split, run.info.n_expected) == ("large-unseen", 3)
    assert run.info.manifest_sha256
    assert run.info.corpus == "synthgrid"
    assert [(c.clip_id, c.gender) for c in run.clips] == [
        ("s1/bbaf2n", "female"),
        ("s2/bbaf3s", "female"),
    ]
    reference = run.reference(run.clips[0])
    assert reference is not None
    assert reference.resolve() == (tmp_path / "build/audio/s1/bbaf2n.wav").resolve()
    every = bring(
        tmp_path / "in", tmp_path / "all", "--manifest", tmp_path / "build/manifest.jsonl",
        "--subset", "all", pattern="{stem}.wav",
    )  # fmt: skip
    assert "imported 3 + failed 0 + missing 1 = asked 4" in every.output
    none = bring(
        tmp_path / "in", tmp_path / "val", "--manifest", tmp_path / "build", "--subset", "val"
    )
    assert "has no val clip" in str(none.exception)


def test_the_corpus_is_the_manifest_s_or_that_of_the_option(tmp_path: Path, sound: Sound) -> None:
    write_manifest(tmp_path / "build", sound)
    write_clips(tmp_path / "in", sound, "s1/bbaf2n.wav")
    other = bring(
        tmp_path / "in", tmp_path / "run", "--manifest", tmp_path / "build", "--corpus", "grid"
    )
    assert isinstance(other.exception, BadInput)
    assert "is of SynthGRID, --corpus says grid" in str(other.exception)
    for told, corpus in (((), ""), (("--corpus", "grid"), "grid")):
        bring(tmp_path / "in", tmp_path / "run", *told)
        assert read_run(tmp_path / "run").info.corpus == corpus


def test_a_misspelt_clip_is_told_with_the_nearest_and_an_alias_brings_it(
    tmp_path: Path, sound: Sound
) -> None:
    write_manifest(tmp_path / "build", sound)
    write_clips(tmp_path / "in", sound, "s1/bbaf2m.wav", "s2/bbaf3s.wav")
    bring(tmp_path / "in", tmp_path / "run", "--manifest", tmp_path / "build")
    line = lines_of(tmp_path / "run")["s1/bbaf2m.wav"]
    told = "not in the manifest, the nearest there is s1/bbaf2n"
    assert (line.outcome, line.detail) == ("not_asked", told)
    (tmp_path / "aliases.csv").write_text("written,meant\nbbaf2m,bbaf2n\n")
    bring(
        tmp_path / "in", tmp_path / "again", "--manifest", tmp_path / "build", "--aliases",
        tmp_path / "aliases.csv",
    )  # fmt: skip
    assert lines_of(tmp_path / "again")["s1/bbaf2m.wav"].clip == "s1/bbaf2n"


def test_a_clip_of_another_speaker_is_not_asked_for(tmp_path: Path, sound: Sound) -> None:
    from manifests.corpus_lists import speaker_of, stems_of

    write_manifest(tmp_path / "build", sound)
    stem = stems_of("s7")[0]
    assert speaker_of(stem) == "s7"
    write_clips(tmp_path / "in", sound, f"s2/{stem}.wav", "s1/bbaf2n.wav")
    bring(tmp_path / "in", tmp_path / "run", "--manifest", tmp_path / "build")
    line = lines_of(tmp_path / "run")[f"s2/{stem}.wav"]
    assert (line.outcome, line.detail) == ("not_asked", f"{stem} is a clip of s7, not of s2")


def test_swaps_have_their_own_files(tmp_path: Path, sound: Sound) -> None:
    write_clips(tmp_path / "in", sound, "s4/s1_bbaf2n.wav", "s1/s1_bbaf2n.wav")
    bring(tmp_path / "in", tmp_path / "run", pattern="{voice}/{speaker}_{stem}.wav")
    clips = read_run(tmp_path / "run").clips
    assert [(c.voice, c.wav) for c in clips] == [
        ("", "wavs/s1/bbaf2n.wav"),
        ("s4", "wavs/s1/bbaf2n.s4.wav"),
    ]


@pytest.mark.parametrize(
    ("files", "pattern", "message"),
    [
        (("a/s1/bbaf2n.wav", "b/s1/bbaf2n.wav"), "*/{speaker}/{stem}.wav", "are both s1/bbaf2n"),
        (("s1/bbaf2n.wav", "S01/bbaf2n.wav"), "{speaker}/{stem}.wav", "are both s1/bbaf2n"),
        (("s1/bbaf2n.wav",), "{speaker}/{stem}.mp4", "matches '{speaker}/{stem}.mp4' (s1/bbaf2n"),
        (("s1/bbaf2n.wav",), "{speaker}/x.wav", "has no {stem}"),
    ],
)
def test_what_cannot_be_decided_is_refused(
    tmp_path: Path, sound: Sound, files: tuple[str, ...], pattern: str, message: str
) -> None:
    write_clips(tmp_path / "in", sound, *files)
    result = bring(tmp_path / "in", tmp_path / "run", pattern=pattern)
    assert isinstance(result.exception, BadInput)
    assert message in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_other_folders_are_left_alone(tmp_path: Path, sound: Sound) -> None:
    write_clips(tmp_path / "in", sound, "s1/bbaf2n.wav")
    out = tmp_path / "in" / "run"
    assert bring(tmp_path / "in", out, pattern="**/{speaker}/{stem}.wav").exit_code == 0
    again = bring(tmp_path / "in", out, pattern="**/{speaker}/{stem}.wav")
    assert again.exit_code == 0, "its own wavs are no input"
    assert isinstance(bring(tmp_path / "in", out, name="Others").exception, BadInput)
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "mine.txt").touch()
    result = bring(tmp_path / "in", tmp_path / "papers")
    assert "is no run directory" in str(result.exception)
    values = json.loads((out / "run.json").read_text())
    values["parameters"] = {}
    (out / "run.json").write_text(json.dumps(values))
    assert "holds another run" in str(bring(tmp_path / "in", out).exception)
    gone = bring(tmp_path / "gone", tmp_path / "x")
    assert "is not a folder" in str(gone.exception)
    both = bring(tmp_path, tmp_path / "y", "--manifest", "a", "--references", "b")
    assert "both given" in str(both.exception)
    nameless = bring(tmp_path / "in", tmp_path / "z", name=" ")
    assert "the name of the run is empty; name the system" in str(nameless.exception)
    assert not (tmp_path / "z").exists()


def test_a_killed_import_is_gone_on_with(
    tmp_path: Path, sound: Sound, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evaluation.importing import run as importing

    write_clips(tmp_path / "in", sound, "s1/bbaf2n.wav", "s2/bbaf3s.wav")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importing, "_length", die)
        bring(tmp_path / "in", tmp_path / "run")
    with pytest.raises(BadInput, match=r"clips\.jsonl is missing"):
        read_run(tmp_path / "run")
    assert bring(tmp_path / "in", tmp_path / "run").exit_code == 0
    assert len(read_run(tmp_path / "run").clips) == 2


def test_links_are_copied(tmp_path: Path, sound: Sound) -> None:
    write_clips(tmp_path / "store", sound, "1.wav")
    (tmp_path / "in" / "s1").mkdir(parents=True)
    (tmp_path / "in" / "s1" / "bbaf2n.wav").symlink_to(tmp_path / "store" / "1.wav")
    bring(tmp_path / "in", tmp_path / "run")
    made = tmp_path / "run" / "wavs" / "s1" / "bbaf2n.wav"
    assert made.is_file()
    assert not made.is_symlink()


def test_imported_runs_are_scored(tmp_path: Path, sound: Sound) -> None:
    write_clips(tmp_path / "in", sound, "s1/bbaf2n.wav", "s2/bbaf3s.wav")
    bring(tmp_path / "in", tmp_path / "run", "--references", tmp_path / "in")
    arguments = ["score", str(tmp_path / "run"), "--metrics", "stoi,sample_rate_hz"]
    result = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert "4 scores, 4 ok, 0 failed" in result.output


def test_damaged_films_give_what_they_hold(
    tmp_path: Path, make_sound: Callable[..., Sound]
) -> None:
    sound = make_sound(1, 2.0, rate_hz=48_000)
    path = tmp_path / "a.mkv"
    encode(path, sound[:, None], 48_000, "libopus", "mono", "flt")
    whole = len(decode(path).samples)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 0.2 * whole < len(decode(path).samples) < 0.8 * whole


def test_sentences_of_another_corpus(tmp_path: Path, sound: Sound) -> None:
    wavs = tmp_path / "wavs"
    write_clips(wavs, sound, "p225_001.wav", "p226_001.wav", "p226_002.wav")
    table = tmp_path / "said.csv"
    table.write_bytes(
        "Stem;TEXT;Speaker;Gender\r\np225_001;Please call Stella.;anna;F\r\n"
        "p226_001;Ask her;;\r\n".encode("utf-16")
    )
    result = bring(wavs, tmp_path / "run", "--sentences", table, pattern="{stem}.wav")
    assert result.exit_code == 0, result.output
    assert [(c.speaker, c.stem, c.sentence, c.gender) for c in clips_of(tmp_path / "run")] == [
        ("anna", "p225_001", "Please call Stella.", "female"),
        ("unknown", "p226_001", "Ask her", ""),
    ]
    assert lines_of(tmp_path / "run")["p226_002.wav"].outcome == "unknown_speaker"


@pytest.mark.parametrize(
    ("text", "pattern", "message"),
    [
        ("stem,text\nother,a b\n", "{speaker}_{stem}.wav", "names none of the 1 clips"),
        ("stem,text\nother,a b\n", "{stem}.wav", "no list says who speaks anna_x1; add {speaker}"),
        ("stem,text,gender\nx1,a b,q\n", "{stem}.wav", "line 2: gender is 'q'; write female"),
        ("stem,text\nx1,a\nX1,a\nx1,b\n", "{stem}.wav", "line 4 names unknown/x1 again"),
        ("stem,text\na b,a\n", "{stem}.wav", "line 2: 'unknown' and 'a b' are not usable as names"),
        ("stem,text\n", "{stem}.wav", "holds no sentence"),
    ],
)
def test_sentences_that_fit_nothing(
    tmp_path: Path, sound: Sound, text: str, pattern: str, message: str
) -> None:
    write_clips(tmp_path / "wavs", sound, "anna_x1.wav")
    (tmp_path / "said.csv").write_text(text)
    result = bring(
        tmp_path / "wavs", tmp_path / "run", "--sentences", tmp_path / "said.csv", pattern=pattern
    )
    assert isinstance(result.exception, BadInput), result.output
    assert message in str(result.exception)


def test_a_decoder_s_defect_costs_one_file(
    tmp_path: Path, sound: Sound, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clips(tmp_path / "wavs", sound, "s1/bbaf2n.wav", "s2/bbaf2n.wav")

    def broken(path: Path) -> Any:
        if path.parent.name == "s1":
            raise LookupError("unknown codec\n'apac'")
        return decode(path)

    monkeypatch.setattr("evaluation.importing.run.decode", broken)
    result = bring(tmp_path / "wavs", tmp_path / "run")
    assert isinstance(result.exception, TooManyFailures)
    assert [clip.speaker for clip in clips_of(tmp_path / "run")] == ["s2"]
    failed = lines_of(tmp_path / "run")["s1/bbaf2n.wav"]
    assert (failed.outcome, failed.detail) == (
        "failed",
        "undecodable: LookupError: unknown codec 'apac'",
    )


def test_nothing_that_is_asked_for_is_an_error(tmp_path: Path, sound: Sound) -> None:
    write_manifest(tmp_path / "build", sound)
    write_clips(tmp_path / "wavs", sound, "s3/bbaf5a.wav")
    result = bring(tmp_path / "wavs", tmp_path / "run", "--manifest", tmp_path / "build")
    assert isinstance(result.exception, BadInput)
    assert "is expected: s3/bbaf5a is a train clip of the manifest" in str(result.exception)


def test_the_first_track_that_can_be_decoded_is_heard(tmp_path: Path, sound: Sound) -> None:
    """One file nobody can decode, and a pipe, cost a line each and not the import."""
    folder = tmp_path / "wavs" / "s4"
    folder.mkdir(parents=True)
    second = [Track(0.1 * sound, "pcm_s16le", 16_000), Track(sound, "aac", 16_000, default=False)]
    renamed_codec(write(folder / "bbal5p.mov", *second), b"sowt", b"apac")
    only = write(folder / "bbal6n.mov", second[0])
    renamed_codec(only, b"sowt", b"apac")
    os.mkfifo(folder / "bbal7s.mov")
    done = bring(
        tmp_path / "wavs", tmp_path / "run", "--max-failures", 9, pattern="{speaker}/{stem}.*"
    )
    assert done.exception is None
    lines = lines_of(tmp_path / "run")
    heard = lines["s4/bbal5p.mov"]
    assert (heard.outcome, heard.codec) == ("imported", "mov aac")
    assert "track 2 of 2" in heard.done
    samples, _ = soundfile.read(tmp_path / "run" / "wavs" / "s4" / "bbal5p.wav")
    assert level(samples) == pytest.approx(level(sound), rel=0.1)
    assert lines["s4/bbal6n.mov"].detail.startswith("no_decoder: its sound has a codec that FFmpeg")
    assert "is a named pipe, not a file" in lines["s4/bbal7s.mov"].detail


def test_names_that_look_like_addresses_are_files(
    tmp_path: Path, sound: Sound, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(Path("2024-01-01T12:30:45.mp4"), Track(sound, "aac", 16_000))
    assert decode(path).codec == "mov aac"


def test_speech_is_not_written_over_itself(tmp_path: Path, sound: Sound) -> None:
    wavs = tmp_path / "run" / "wavs" / "s4"
    wavs.mkdir(parents=True)
    soundfile.write(wavs / "bbal5p.wav", sound, 16_000)
    done = bring(tmp_path / "run" / "wavs", tmp_path / "run")
    assert isinstance(done.exception, BadInput)
    (tmp_path / "run" / "run.json").write_text('{"name": "Them", "parameters": {"imported": true}}')
    done = bring(tmp_path / "run" / "wavs", tmp_path / "run")
    assert "which is written to; choose another --out" in str(done.exception)


def test_the_outcome_as_json(tmp_path: Path, sound: Sound) -> None:
    write_clips(tmp_path / "wavs", sound, "s1/bbaf2n.wav")
    (tmp_path / "wavs" / "notes.txt").touch()
    result = bring(tmp_path / "wavs", tmp_path / "run", "--json")
    told = json.loads("{" + result.output.partition("{")[2])
    assert (told["asked"], told["imported"], told["failed"]) == (1, 1, 0)
    assert told["files"]["unmatched"] == 1
