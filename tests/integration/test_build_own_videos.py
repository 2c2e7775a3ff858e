"""A folder of videos as telephones and editors write them, from the folder to a manifest."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import pictures, tone
from numpy.typing import NDArray
from odd_media import Pictures, Sound, turned_in_the_header, write

import gridprep
from gridprep.corpora.grid import find_clips
from gridprep.media.decode import decode
from manifests.io import read_manifest, validate
from manifests.manifest import Manifest

SIZE = (160, 128)
SECONDS = 2.0


def frames_at(
    fps: float, seconds: float = SECONDS, size: tuple[int, int] = SIZE
) -> NDArray[np.uint8]:
    """Pictures at a rate; those of the same 40 ms are alike, and tell their number."""
    at = np.minimum((np.arange(round(seconds * fps)) / fps * 25 + 1e-6).astype(int), 79)
    return pictures(80, size)[at]


def sound(start_s: float = 0.0, default: bool = True) -> Sound:
    return Sound(tone(SECONDS)[:, 0], start_s=start_s, default=default)


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One video for each oddity."""
    root = tmp_path_factory.mktemp("phone") / "videos"
    anna = root / "anna"
    anna.mkdir(parents=True)
    for fps in (24, 30_000 / 1001, 30, 50, 60):
        write(anna / f"fps{round(fps, 2)}.mp4", Pictures(frames_at(fps), fps=fps), sound())
    steps_s = np.where(np.arange(60) % 10 < 7, 1 / 30, 1 / 24)
    times_s = np.concatenate([[0.0], np.cumsum(steps_s)[:-1]])
    numbers = np.minimum((times_s * 25 + 1e-6).astype(int), 79)
    vary = Pictures(pictures(80, SIZE)[numbers], fps=30, times_s=tuple(times_s))
    write(anna / "vary.mp4", vary, sound())
    held_s = tuple(np.concatenate([np.arange(20), 30 + np.arange(20)]) / 25)
    write(anna / "held.mp4", Pictures(pictures(40, SIZE), times_s=held_s), sound())
    write(anna / "late.mp4", Pictures(frames_at(25)), sound(start_s=0.3))
    silence = Sound(np.zeros(88_200), default=False)
    write(anna / "tracks.mp4", Pictures(frames_at(25)), silence, sound())
    deep = Pictures(frames_at(25), codec="libx265", pixels="yuv420p10le", tag="hvc1",
                    options={"preset": "ultrafast", "x265-params": "log-level=none"})  # fmt: skip
    write(anna / "deep.mov", deep, sound())
    boxed = np.zeros((50, 128, 240, 3), np.uint8)
    boxed[:, :, 40:200] = frames_at(25)
    write(anna / "boxed.mp4", Pictures(boxed), sound())
    turned = write(anna / "turned.mp4", Pictures(np.rot90(frames_at(25), axes=(1, 2))), sound())
    turned_in_the_header(turned, -90)
    write(anna / "mute.mp4", Pictures(frames_at(25)))
    write(anna / "blink.mp4", Pictures(frames_at(25, 0.2)), sound())
    (anna / "broken.mp4").write_bytes(b"no video at all")
    return root


def test_what_telephones_write_becomes_rows(phone: Path, tmp_path: Path, stub: str) -> None:
    out = tmp_path / "out"
    report = gridprep.build(phone, out, landmarks=stub, jobs=1, content="off")
    header, rows = read_manifest(out)
    validate(rows, out)
    assert header["corpus_kind"] == "folder"
    frames = {row.stem: row.video_frames for row in rows}
    assert frames.pop("vary") == pytest.approx(54, abs=1)
    assert frames == dict.fromkeys(
        ["boxed", "deep", "fps24", "fps29.97", "fps30", "fps50", "fps60", "held", "late", "tracks",
         "turned"], 50,
    )  # fmt: skip
    flags = {row.stem: set(row.flags) for row in rows}
    resampled = {stem for stem, found in flags.items() if "fps_resampled" in found}
    assert resampled == {"fps24", "fps29.97", "fps30", "fps50", "fps60", "held", "vary"}
    assert "audio_shifted" in flags["late"]
    assert "picture_turned" in flags["turned"]
    assert {row.speaker for row in rows} == {"anna"}
    assert {row.subset for row in rows} == {"train"}
    reasons = {failure.stem: failure.reason for failure in report.failures}
    assert reasons == {"blink": "too_short", "broken": "not_media", "mute": "no_audio"}
    late = next(clip for clip in Manifest(out) if clip.stem == "late")
    samples, rate_hz = late.audio()
    assert np.abs(samples[: round(0.25 * rate_hz)]).max() < 0.01 < np.abs(samples[6000:8000]).max()


def test_a_clip_of_grid_in_a_plain_folder_has_the_same_features(
    synth_corpus: Path, tmp_path: Path, stub: str
) -> None:
    (clip,) = [c for c in find_clips(synth_corpus).clips if c.speaker == "s1"][:1]
    folder = tmp_path / "videos" / "somebody"
    folder.mkdir(parents=True)
    shutil.copy(clip.video, folder / "my clip.mpg")
    options = {"landmarks": stub, "jobs": 1, "content": "off"}
    gridprep.build(synth_corpus, tmp_path / "grid", speakers="s1", **options)
    gridprep.build(tmp_path / "videos", tmp_path / "own", **options)
    (own,) = read_manifest(tmp_path / "own")[1]
    grid = next(row for row in read_manifest(tmp_path / "grid")[1] if row.stem == clip.stem)
    assert own.sha256 == grid.sha256
    assert (own.clip_id, own.sentence, own.words) == ("somebody/my_clip", "", ())
    assert own.fingerprints["mel"] == grid.fingerprints["mel"]
    assert own.fingerprints["crop"] == grid.fingerprints["crop"]
    assert own.fingerprints["audio"] != grid.fingerprints["audio"]


def test_of_several_faces_the_central_and_large_one_is_taken_or_the_one_asked_for(
    synth_corpus: Path, tmp_path: Path
) -> None:
    """The same rule as for a clip of GRID with somebody in its background; the row says that it chose."""
    small, large = (
        decode(sorted((synth_corpus / speaker).glob("*.mpg"))[0]).frames[:20]
        for speaker in ("s4", "s1")
    )
    height, width = large.shape[1:3]
    scene = np.zeros((20, height, 2 * width, 3), np.uint8)
    scene[:] = large[:, :, :1]  # the background goes on to the left
    scene[:, 48:240, 60:300] = np.stack([cv2.resize(f, (240, 192)) for f in small])
    scene[:, :, width:] = large
    folder = tmp_path / "videos" / "pair"
    folder.mkdir(parents=True)
    write(folder / "talk.mp4", Pictures(scene), Sound(tone(0.8)[:, 0]))
    for who, choice, side in (("", "central_largest", 1), ("left", "left", 0)):
        out = tmp_path / f"out{who}"
        report = gridprep.build(tmp_path / "videos", out, who=who, jobs=1, content="off")
        assert not report.failures
        (row,) = Manifest(out)
        assert "several_faces" in row.flags
        assert (row.qc["faces"], row.qc["face_choice"]) == (2, choice)
        seen = row.landmarks()
        noses_x = seen.named("nose_tip")[seen.found, 0, 0]
        assert (noses_x // width == side).all()
