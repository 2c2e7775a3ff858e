"""The demo page: which clips it shows where, what its files hold, and what it refuses."""

from __future__ import annotations

import errno
import hashlib
import re
import resource
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from facetron_build import make_build
from facetron_demo_run import make_run

from facetron.commands.page import page as command
from facetron.demo.clips import Builds, Shown, choose, read_runs
from facetron.demo.markup import compared
from facetron.demo.page import DemoPageOptions, write_page
from facetron.demo.video import encoded, read_sound, source_pictures, write_mp4
from facetron.train.mel_picture import above, color_range, mel_picture
from manifests.errors import BadInput, ManifestError
from manifests.io import read_manifest, write_jsonl
from manifests.pictures import read_pictures
from manifests.records import RunClip


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_build(tmp_path_factory.mktemp("demo") / "build", ("s3", "s5", "s6"), clips=4)


def known(clip: RunClip) -> RunClip:
    """s3 is seen, the others are not; s6's third word is misread."""
    words = clip.sentence.split()
    if clip.speaker == "s6":
        words[2] = "<i>"
    return replace(clip, seen=clip.speaker == "s3", transcript=" ".join(words))


@pytest.fixture(scope="module")
def runs(build: Path) -> list[Path]:
    """A model, its upper bound with fewer clips, a small data set, and swaps."""
    root = build.parent
    return [
        make_run(root / "model", build, change=known),
        make_run(
            root / "bound", build, "upper <bound>", "resynthesis",
            change=lambda clip: clip if clip.stem in ("bbaf2n", "lrwm5s") else None,
        ),
        make_run(
            root / "small", build, split="small",
            change=lambda clip: known(clip) if clip.speaker == "s3" else None,
        ),
        make_run(
            root / "swaps", build,
            change=lambda clip: replace(clip, voice="s6", seen=False)
            if clip.speaker == "s3"
            else None,
        ),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def chosen(runs: list[Path]) -> list[Shown]:
    return choose(read_runs(runs), Builds(), 2, 0)


@pytest.fixture(scope="module")
def out(runs: list[Path], build: Path) -> Path:
    out = build.parent / "demo"
    write_page(DemoPageOptions(tuple(runs), out, clips_each=1, notes=("A <note>.",)))
    return out


def test_sections_are_what_the_runs_hold(chosen: list[Shown]) -> None:
    told = [(shown.section, shown.clip.speaker, shown.seen) for shown in chosen]
    assert told == [
        ("small", "s3", True), ("small", "s3", True),
        ("seen", "s3", True), ("seen", "s3", True),
        ("unseen", "s5", False), ("unseen", "s5", False),
        ("unseen", "s6", False), ("unseen", "s6", False),
        ("swapped", "s3", False), ("swapped", "s3", False),
    ]  # fmt: skip


def test_clips_that_the_most_runs_hold_come_first(chosen: list[Shown]) -> None:
    for shown in chosen:
        names = [run.info.name for run, _ in shown.made]
        if shown.section in ("seen", "unseen"):
            assert names == ["Facetron", "upper <bound>"]
            assert shown.clip.stem in ("bbaf2n", "lrwm5s")
        else:
            assert names == ["Facetron"]
        assert shown.recording is not None
        assert shown.swapped == (shown.section == "swapped")


def test_chance_is_seeded(runs: list[Path]) -> None:
    def stems(seed: int) -> list[str]:
        return [s.clip.stem for s in choose(read_runs(runs[2:3]), Builds(), 2, seed)]

    assert stems(0) == stems(0)
    assert len({tuple(stems(seed)) for seed in range(8)}) > 1


def test_the_split_says_who_is_seen_where_no_run_does(build: Path, tmp_path: Path) -> None:
    run = make_run(build.parent / "bare", build, "bound", "resynthesis")
    assert {shown.section for shown in choose(read_runs([run]), Builds(), 1, 0)} == {"seen"}
    _, rows = read_manifest(build)
    held_out = build / "held_out.jsonl"
    kept = [row if row.speaker == "s3" else replace(row, subset="test") for row in rows]
    write_jsonl(held_out, "manifest", kept)
    found = choose(read_runs([run]), Builds(held_out), 1, 0)
    assert [shown.section for shown in found] == ["seen", "unseen", "unseen"]


def test_every_file_of_the_page_is_there_and_no_other(out: Path) -> None:
    page = (out / "index.html").read_text(encoding="utf-8")
    named = set(re.findall(r'(?:src|poster)="media/([^"]+)"', page))
    assert named == {path.name for path in (out / "media").iterdir()}
    assert len([n for n in named if n.endswith(".mp4")]) == 2 + 3 + 3 + 3 + 2
    assert not re.findall(r'(?:src|href)="(?!media/|#)', page)
    assert "://" not in page
    assert {"small", "seen", "unseen", "swapped"} == set(re.findall(r'<section id="(\w+)"', page))


def test_texts_from_outside_are_escaped(out: Path) -> None:
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "upper &lt;bound&gt;" in page
    assert "A &lt;note&gt;." in page
    assert "<mark>&lt;i&gt;</mark>" in page
    assert "1 of 6 words wrong" in page
    assert "Lips of s3 (male), face of s6 (male)" in page
    assert "<bound>" not in page


def test_a_video_holds_the_lips_and_the_sound(out: Path, build: Path) -> None:
    import av

    path = next((out / "media").glob("*-s3-*-1.mp4"))
    stem = path.name.split("-")[2]
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    with av.open(str(path)) as container:
        heard = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    lips = read_pictures(build / "lips" / "s3" / f"{stem}.avi")
    assert len(frames) == 75
    assert np.abs(np.stack(frames).astype(int) - lips).mean() < 12
    sound, _ = read_sound(build / "audio" / "s3" / f"{stem}.wav")
    assert np.corrcoef(heard[:48_000], sound / 2)[0, 1] > 0.98
    assert np.std(heard) == pytest.approx(np.std(sound / 2), rel=0.05)


def test_the_same_page_twice_is_the_same(runs: list[Path], out: Path, tmp_path: Path) -> None:
    def digests(folder: Path) -> dict[str, str]:
        """Of everything; of videos their names, for encoders do not promise their bytes."""
        return {
            path.name: ""
            if path.suffix == ".mp4"
            else hashlib.sha256(path.read_bytes()).hexdigest()
            for path in [folder / "index.html", *(folder / "media").iterdir()]
        }

    write_page(DemoPageOptions(tuple(runs), tmp_path / "again", clips_each=1, notes=("A <note>.",)))
    assert digests(tmp_path / "again") == digests(out)


def test_an_earlier_page_is_replaced_and_nothing_else(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "page"
    write_page(DemoPageOptions(tuple(runs[2:]), out, clips_each=1))
    report = write_page(DemoPageOptions(tuple(runs[2:3]), out, clips_each=1))
    assert report.sections == {"small": 1}
    assert (report.filmed, report.lips, report.sound_only) == (0, 1, 0)
    assert len(list((out / "media").iterdir())) == 5
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("<p>mine</p>")
    with pytest.raises(BadInput, match="is not a demo page"):
        write_page(DemoPageOptions(tuple(runs), tmp_path / "mine"))
    assert (tmp_path / "mine" / "index.html").read_text() == "<p>mine</p>"


def test_without_a_build_there_is_sound_alone(build: Path, tmp_path: Path) -> None:
    root = make_run(
        tmp_path / "run", build, rate_hz=11_000,
        change=lambda clip: replace(clip, reference="") if clip.speaker == "s5" else None,
    )  # fmt: skip
    report = write_page(DemoPageOptions((root,), tmp_path / "page", clips_each=1))
    assert (report.sections, report.sound_only) == ({"speakers": 1}, 1)
    page = report.page.read_text(encoding="utf-8")
    assert "<audio controls" in page
    assert "<video" not in page
    named = write_page(DemoPageOptions((root,), tmp_path / "page", clips_each=1, manifest=build))
    assert (named.sections, named.lips) == ({"seen": 1}, 1)


def test_pictures_come_from_the_source_where_it_is_the_same(build: Path, tmp_path: Path) -> None:
    _, rows = read_manifest(build)
    noise = np.random.default_rng(0).integers(0, 255, (75, 9, 12, 3), np.uint8)
    filmed = np.ascontiguousarray(noise.repeat(8, axis=1).repeat(80, axis=2))  # 72 × 960
    write_mp4(tmp_path / "a.mp4", encoded(filmed), np.zeros(48_000, np.float32), 16_000)
    sha = hashlib.sha256((tmp_path / "a.mp4").read_bytes()).hexdigest()
    row = replace(rows[0], source_path="a.mp4", source_sha256=sha)
    found = source_pictures(row, tmp_path)
    assert found is not None
    assert found.shape == (75, 36, 480, 3)
    assert np.abs(found[40].astype(int) - filmed[40, ::2, ::2]).mean() < 8
    assert source_pictures(row, None) is None
    assert source_pictures(replace(row, source_sha256="0"), tmp_path) is None
    assert source_pictures(replace(row, flags=("frames_repeated",)), tmp_path) is None
    assert source_pictures(replace(row, video_frames=76), tmp_path) is None
    (tmp_path / "b.mp4").write_bytes(b"no video")
    sha = hashlib.sha256(b"no video").hexdigest()
    with pytest.raises(BadInput, match=r"b\.mp4 cannot be decoded"):
        source_pictures(replace(row, source_path="b.mp4", source_sha256=sha), tmp_path)


def test_what_is_refused(runs: list[Path], build: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"run\.json is missing"):
        write_page(DemoPageOptions((tmp_path,), tmp_path / "page"))
    with pytest.raises(BadInput, match="have the same name, 'Facetron', and both hold s3/"):
        write_page(DemoPageOptions((runs[0], runs[0]), tmp_path / "page"))
    empty = make_run(tmp_path / "empty", build, change=lambda clip: None)
    with pytest.raises(BadInput, match="hold no clips"):
        write_page(DemoPageOptions((empty,), tmp_path / "page"))
    lost = make_run(tmp_path / "lost", build)
    for path in lost.rglob("*.wav"):
        path.unlink()
    with pytest.raises(BadInput, match=r"\.wav cannot be read"):
        write_page(DemoPageOptions((lost,), tmp_path / "page"))


def test_the_command(runs: list[Path], tmp_path: Path) -> None:
    result = CliRunner().invoke(
        command, [str(runs[2]), "--out", str(tmp_path / "page"), "--clips", "1", "--title", "T & U"]
    )
    assert result.exit_code == 0, result.output
    assert "1 small (pictures: 0 as filmed, 1 lip crops, 0 none)" in result.output
    assert "<title>T &amp; U</title>" in (tmp_path / "page" / "index.html").read_text()


def test_words_are_compared() -> None:
    assert compared("bin blue at", "bin blue at") == ((("bin blue at", False),), "no word wrong")
    assert compared("bin blue at", "bin at")[1] == "1 of 3 words wrong"
    assert ("red", True) in compared("bin blue at", "bin red at")[0]
    assert compared("", "a<b") == ((("a<b", False),), "")


def test_a_mel_picture_is_low_at_the_bottom() -> None:
    mel = np.full((4, 5), -10.0, np.float32)
    mel[0, 2] = 1.0
    picture = mel_picture(mel, (-10.0, 1.0), zoom=3)
    assert picture.shape == (12, 15, 3)
    brightness = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    assert brightness[9:, 6:9].min() > 200
    assert np.delete(brightness, np.s_[6:9], axis=1).max() < 20
    scale = color_range(np.linspace(0, 100, 1001).reshape(7, 143))
    assert scale == pytest.approx((2, 99.9))
    both = above(mel, np.full((4, 3), np.nan, np.float32))
    assert both.shape == (10, 5, 3)
    assert (both[4:6] == 255).all()
    with pytest.raises(BadInput, match="a mel of shape"):
        mel_picture(np.zeros((3, 0), np.float32), (0, 1))


@pytest.mark.parametrize("n_bytes", [0, 2_000, 20_000])
def test_a_full_disk_is_told_by_the_name_of_the_video(tmp_path: Path, n_bytes: int) -> None:
    """FFmpeg's own error names nothing, or the temporary file, and cannot be changed."""
    film = encoded(np.random.default_rng(0).integers(0, 255, (25, 64, 64, 3), np.uint8))
    out = tmp_path / "001.mp4"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            write_mp4(out, film, np.zeros(16_000, np.float32), 16_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(out))
    assert list(tmp_path.iterdir()) == []
