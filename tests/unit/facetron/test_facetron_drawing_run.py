"""`facetron draw`: run directories of pictures, taken up again, with the control and failures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from facetron_build import make_build

from facetron.cli import cli
from facetron.drawing.run import DrawOptions, draw
from facetron.train.run import train
from manifests.errors import BadInput, TooManyFailures
from manifests.pictures import read_picture
from manifests.runs import read_picture_run, read_run


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_build(tmp_path_factory.mktemp("build"), clips=4, validation=2)


@pytest.fixture(scope="module")
def weights(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    sets = ("train.batch_size=2", "train.epochs=1", "train.loggers=csv", "train.workers=0")
    out = tmp_path_factory.mktemp("trained")
    return train("painting", build, out, "debug", sets=sets, system="wav2pix")


def options(build: Path, weights: Path, out: Path, **more: object) -> DrawOptions:
    return DrawOptions(build, str(weights), out, subset="val", device="cpu", **more)  # type: ignore[arg-type]


def test_a_run_says_whom_it_shows_and_what_was_heard(
    build: Path, weights: Path, tmp_path: Path
) -> None:
    report = draw(options(build, weights, tmp_path / "run"))
    assert (report.asked, report.wrote, report.kept, report.failures) == (4, 4, 0, ())
    assert report.speakers == {"s3": True, "s5": True}
    info, clips, failures = read_picture_run(tmp_path / "run")
    assert (info.kind, info.n_expected, info.sample_rate_hz) == ("faces", 4, 16_000)
    assert info.name == "Wav2Pix (best)"
    assert not info.shuffled_speech
    assert info.parameters["trained_on"] == ["s3", "s5"]
    assert info.parameters["checkpoint_sha256"]
    assert failures == []
    for clip in clips:
        assert clip.source == clip.clip_id
        assert clip.seen
        picture = read_picture(tmp_path / "run" / clip.picture)
        assert picture is not None
        assert picture.shape == (16, 16, 3)
        assert (
            (tmp_path / "run" / clip.reference)
            .resolve()
            .samefile(build / "face" / clip.speaker / f"{clip.stem}.jpg")
        )
    with pytest.raises(BadInput, match="is a run of pictures"):
        read_run(tmp_path / "run")


def test_a_run_goes_on_where_it_stopped(build: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    draw(options(build, weights, out))
    pictures = sorted(out.rglob("*.png"))
    before = {path: path.read_bytes() for path in pictures}
    pictures[0].unlink()
    pictures[1].write_bytes(b"half")
    report = draw(options(build, weights, out))
    assert (report.wrote, report.kept) == (2, 2)
    assert {path: path.read_bytes() for path in pictures} == before
    # Other noise is another picture.
    assert draw(options(build, weights, out, dropout=True, name="Wav2Pix (best)")).kept == 0


def test_shuffled_speech_is_of_other_speakers(build: Path, weights: Path, tmp_path: Path) -> None:
    draw(options(build, weights, tmp_path / "own"))
    draw(options(build, weights, tmp_path / "run", shuffle_speech=True))
    info, clips, _ = read_picture_run(tmp_path / "run")
    assert info.shuffled_speech
    assert info.name == "Wav2Pix (best, shuffled speech)"
    own = {clip.clip_id: clip for clip in read_picture_run(tmp_path / "own")[1]}
    for clip in clips:
        assert clip.source.split("/")[0] != clip.speaker
        assert (tmp_path / "run" / clip.picture).read_bytes() == (
            tmp_path / "own" / own[clip.source].picture
        ).read_bytes()
    other = draw(options(build, weights, tmp_path / "seed", shuffle_speech=True, seed=3))
    assert other.wrote == 4


def test_speech_that_cannot_be_used_fails_and_the_rest_goes_on(
    weights: Path, tmp_path: Path
) -> None:
    build = make_build(tmp_path / "build", clips=4, validation=2)
    paths = sorted((build / "audio").rglob("*.wav"))
    names = {path.stem for path in paths}
    assert len(names) == 4
    val = [path for path in paths if path.stem in ("pgbx9p", "swiz8a")]
    val[0].unlink()
    val[1].write_bytes(b"no sound")
    soundfile.write(val[2], np.zeros(48_000), 16_000, "PCM_16")
    report = draw(options(build, weights, tmp_path / "run"))
    assert (report.asked, report.wrote, len(report.failures)) == (4, 1, 3)
    details = sorted(failure.detail for failure in report.failures)
    assert any("does not exist" in detail for detail in details)
    assert any("silent" in detail and str(val[2]) in detail for detail in details)
    assert {failure.stage for failure in report.failures} == {"drawing"}
    command = ["draw", "--manifest", str(build), "--checkpoint", str(weights), "--subset", "val",
               "--out", str(tmp_path / "run")]  # fmt: skip
    done = CliRunner().invoke(cli, command)
    assert isinstance(done.exception, TooManyFailures)
    assert "3 of 4 clips failed" in str(done.exception)


def test_one_speaker_has_nobody_to_be_exchanged_with(
    build: Path, weights: Path, tmp_path: Path
) -> None:
    report = draw(options(build, weights, tmp_path / "run", shuffle_speech=True, limit=1))
    assert len(report.failures) == 1
    assert "raise --limit" in report.failures[0].detail


def test_the_command_tells_what_it_drew(build: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = ["draw", "--manifest", str(build), "--checkpoint", str(weights), "--subset", "val",
               "--limit", "2", "--out", str(out), "--name", "Mine", "--device", "cpu"]  # fmt: skip
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "s3: seen (1 clips)",
        "s5: seen (1 clips)",
        f"{out}: wrote 2 + failed 0 = asked 2",
    ]
    assert json.loads((out / "run.json").read_text())["name"] == "Mine"


@pytest.mark.parametrize("name", ["synthgrid", "voc"])
def test_weights_that_speak_do_not_draw(build: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="speaks and draws no faces"):
        draw(DrawOptions(build, name, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
