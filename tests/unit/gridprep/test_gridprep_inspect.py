"""`gridprep inspect` on a tiny build: the page stands alone, the sheets show what was built."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest import mock

import builds
import cv2
import numpy as np
import pytest
from builds import STUB, add_clip, gridprep
from clips import pictures, place_of, tiny_clip

from gridprep.inspection import run as inspection
from gridprep.inspection.panels import band_of_hz
from gridprep.inspection.sheet import HEIGHT_PX, WIDTH_PX, draw_sheet
from gridprep.inspection.view import BuildSpecs, load_view, source_frames
from gridprep.landmarks import registry
from gridprep.pipeline.recipe import Recipe
from gridprep.pipeline.run import run
from gridprep.pipeline.selection import BuildOptions
from manifests.corpus_lists import stems_of
from manifests.errors import BadInput
from manifests.io import read_manifest
from manifests.mel import DEFAULT, PRESETS, mel_spectrogram
from manifests.records import LIP_POINTS, POINT_NAMES, ManifestRow
from manifests.specs import LandmarkSpec

ROWS = {"s1": stems_of("s1")[:3], "s4": stems_of("s4")[:1]}
FACELESS = stems_of("s1")[3]


class Serial:
    def map(self, function: Any, items: list[Any]) -> Iterator[Any]:
        yield from map(function, items)


@pytest.fixture(scope="module")
def made(sound_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `corpus` and `build`: four rows of two speakers and a failure. Not to be changed."""
    root = tmp_path_factory.mktemp("inspect")
    for speaker, stems in ROWS.items():
        for stem in stems:
            add_clip(root / "corpus", speaker, stem, sound_clip)
    red = pictures()
    red[..., 0] = 250  # where the stub sees no face
    add_clip(root / "corpus", "s1", FACELESS, tiny_clip(root / "red.mpg", frames=red))
    builds.register_stub()
    try:
        with mock.patch("gridprep.pipeline.run.create_executor", return_value=Serial()):
            recipe = Recipe(landmarks=LandmarkSpec(backend=STUB), content="off")
            report = run(
                BuildOptions(
                    str(root / "corpus"), str(root / "build"), recipe, split="large-unseen"
                )
            )
    finally:
        del registry.BACKENDS[STUB]
    assert (report.rows, len(report.failures)) == (4, 1)
    return root


@pytest.fixture
def build(made: Path, tmp_path: Path) -> Path:
    """A copy of the build that may be changed."""
    return Path(shutil.copytree(made / "build", tmp_path / "build"))


@pytest.fixture(scope="module")
def inspected(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a plain run."""
    out = tmp_path_factory.mktemp("page")
    code, printed, _ = gridprep("inspect", made / "build", "--out", out)
    assert code == 0
    assert "4 rows, 1 failures, 2 sheets" in printed
    assert printed.endswith(f"page: {out}/index.html\n")
    return out


def view_of(root: Path, speaker: str = "s1") -> Any:
    header, rows = read_manifest(root / "build")
    row = next(r for r in rows if r.speaker == speaker)
    specs = BuildSpecs.from_header(header)
    return load_view(str(root / "build"), row, specs, str(root / "corpus"))


class Page(HTMLParser):
    """What a page refers to, and whether its tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "action")]
        if tag not in ("meta", "img", "br", "rect", "line"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_stands_alone(inspected: Path) -> None:
    text = (inspected / "index.html").read_text("utf-8")
    page = Page(text)
    assert page.open == []
    assert all(r.startswith(("data:image/jpeg;base64,", "#")) for r in page.references)
    assert not re.search(r"https?://|url\(|@import|<link", text)
    anchors = {r[1:] for r in page.references if r.startswith("#")}
    assert anchors >= {"speakers", "outliers", "failures", "sheets", "sheet-s1", "sheet-s4"}
    assert all(f'id="{anchor}"' in text for anchor in anchors)
    assert len(text) < 2_000_000


def test_the_page_says_what_the_build_holds(inspected: Path) -> None:
    page = Page((inspected / "index.html").read_text("utf-8"))
    assert "split large-unseen v1" in page.text
    assert f"landmarks by {STUB}" in page.text
    assert f"s1/{FACELESS}: no face in any frame" in page.text
    assert "no_face" in page.text
    for clip in [f"{speaker}/{stem}" for speaker, stems in ROWS.items() for stem in stems]:
        assert clip in page.text  # somewhere in the tables of outliers


def test_sheets_are_pictures_beside_the_page(inspected: Path) -> None:
    sheets = sorted(path.name for path in (inspected / "sheets").iterdir())
    assert [name.split("_")[0] for name in sheets] == ["s1", "s4"]
    for name in sheets:
        picture = cv2.imread(str(inspected / "sheets" / name))
        assert picture.shape == (HEIGHT_PX, WIDTH_PX, 3)
        assert 20 < picture.std() < 120
    assert not list(inspected.rglob(".tmp-*"))


def test_the_same_seed_makes_the_same_bytes(made: Path, inspected: Path, tmp_path: Path) -> None:
    assert gridprep("inspect", made / "build", "--out", tmp_path)[0] == 0
    ours = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    theirs = {p.relative_to(inspected): p.read_bytes() for p in inspected.rglob("*") if p.is_file()}
    assert ours == theirs


def test_chance_picks_clips_speaker_by_speaker(made: Path) -> None:
    _, rows = read_manifest(made / "build")

    def chosen(rows: list[ManifestRow], per_speaker: int, seed: int) -> list[str]:
        return [r.clip_id for r in inspection._chosen(rows, per_speaker, seed)]

    assert chosen(rows, 1, 0) == chosen(rows[::-1], 1, 0)
    assert chosen([r for r in rows if r.speaker == "s4"], 1, 0) == chosen(rows, 1, 0)[1:]
    assert len({tuple(chosen(rows, 1, seed)) for seed in range(20)}) == 3
    assert chosen(rows, 9, 0) == sorted(r.clip_id for r in rows)
    assert chosen(rows, 0, 0) == []


def test_speakers_can_be_chosen(made: Path, tmp_path: Path) -> None:
    code, printed, _ = gridprep("inspect", made / "build", "--out", tmp_path, "--speakers", "s4")
    assert code == 0
    assert "1 rows, 0 failures, 1 sheets" in printed
    assert "sheet-s1" not in (tmp_path / "index.html").read_text("utf-8")


def test_without_sheets_nothing_links_to_them(made: Path, tmp_path: Path) -> None:
    code, _, _ = gridprep("inspect", made / "build", "--out", tmp_path, "--per-speaker", 0)
    text = (tmp_path / "index.html").read_text("utf-8")
    assert code == 0
    assert "#sheet" not in text
    assert not (tmp_path / "sheets").exists()


def test_the_picture_is_the_frame_it_says(made: Path) -> None:
    view = view_of(made)
    assert view.frame_note == ""
    assert view.frame is not None
    assert place_of(view.frame) == view.frame_number
    assert view.frame_number % 2 == 0  # one that the backend saw: it looks at every second


def test_boxes_lie_where_the_crops_were_cut(made: Path) -> None:
    view = view_of(made)
    # Warping the boxes upright gives the stored crops back.
    for box, stored, side in (
        (view.lip_box_px, view.lips[view.frame_number], 144),
        (view.face_box_px, view.faces[view.frame_number // 5], 160),
    ):
        square = np.float32([[0, 0], [side, 0], [side, side]])
        matrix = cv2.getAffineTransform(box[:3].astype(np.float32), square)
        upright = cv2.warpAffine(view.frame, matrix, (side, side), flags=cv2.INTER_CUBIC)
        if side == 160 and view.frame_number % 5:
            continue  # no still was taken of this frame
        assert np.abs(upright.astype(int) - stored).mean() < 6
    lips = view.points_px[[POINT_NAMES.index(name) for name in LIP_POINTS]].mean(0)
    assert view.lip_box_px.mean(0) == pytest.approx(lips, abs=1)
    assert (view.face_box_px.min(0) < view.lip_box_px.min(0)).all()


def test_one_time_axis(made: Path) -> None:
    view = view_of(made)
    assert view.lip_s[[0, -1]] == pytest.approx([0.02, 2.98])
    assert view.mel_s[[0, -1]] == pytest.approx([0.01, 2.99])
    assert (view.prosody_s == view.mel_s).all()
    assert len(view.lip_height_px) == len(view.lip_gap_px) == len(view.lip_s) == 75
    assert view.face_frames.tolist() == list(range(0, 75, 5))
    # Full scale is 0 dBFS; the clip is a tone of about 0.1 with 352 samples of nothing behind it.
    assert -30 < np.median(view.energy_db) < -10
    assert view.energy_db[-1] < view.energy_db[-3] - 3


@pytest.mark.parametrize("name", ["facetron", "lip2wav", "vca-gan"])
def test_frequencies_find_their_band(name: str) -> None:
    spec = PRESETS[name]
    t = np.arange(round(0.5 * spec.sample_rate_hz)) / spec.sample_rate_hz
    for hz in (500, 1000, 3000, 6000):
        mel = mel_spectrogram(0.5 * np.sin(2 * np.pi * hz * t), spec)
        loudest = int(mel[:, 10:20].mean(1).argmax())
        assert band_of_hz(np.array([hz]), spec)[0] == pytest.approx(loudest, abs=1)
    assert (np.diff(band_of_hz(np.arange(100, 7500, 100), DEFAULT)) > 0).all()


def test_a_corpus_that_is_gone_is_a_note(build: Path, tmp_path: Path, made: Path) -> None:
    provenance = json.loads((build / "provenance.json").read_text())
    (build / "provenance.json").write_text(json.dumps({**provenance, "corpus": "/gone/grid"}))
    code, _, _ = gridprep("inspect", build)
    assert code == 0
    text = Page((build / "inspect" / "index.html").read_text("utf-8")).text
    assert "The corpus is no longer at /gone/grid: the sheets have no source pictures." in text
    drawn = cv2.imread(str(next((build / "inspect" / "sheets").glob("s4*"))))
    frame_area = drawn[90:370, 90:440]
    assert np.median(frame_area) > 235  # an empty field with the note on it
    (build / "provenance.json").unlink()
    assert gridprep("inspect", build, "--per-speaker", "0")[0] == 0
    text = Page((build / "inspect" / "index.html").read_text("utf-8")).text
    assert "The corpus is not named in provenance.json" in text


def test_a_source_that_went_bad_is_a_note(made: Path, tmp_path: Path) -> None:
    _, rows = read_manifest(made / "build")
    source = tmp_path / rows[0].source_path
    source.parent.mkdir(parents=True)
    source.write_bytes(b"no video\n" * 99)
    frames, note = source_frames(rows[0], str(tmp_path))
    assert frames is None
    assert "is not a video that FFmpeg can read" in note
    assert source_frames(rows[0], "")[1] == "the build does not record the folder of its corpus"


@pytest.mark.parametrize(
    ("artifact", "damage"),
    [
        *((name, "cut") for name in ("landmarks", "audio", "mel", "prosody", "lips", "face")),
        ("landmarks", "gone"),
        ("face", "gone"),
    ],
)
def test_a_damaged_artifact_costs_its_clip_only(
    artifact: str, damage: str, build: Path, tmp_path: Path
) -> None:
    _, rows = read_manifest(build)
    row = next(r for r in rows if r.speaker == "s4")
    path = build / row.paths[artifact]
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:60])
    code, printed, err = gridprep("inspect", build, "--out", tmp_path / "out")
    assert code == 1
    assert "4 rows, 1 failures, 1 sheets" in printed
    told = [line for line in err.splitlines() if not line.startswith("inspect: ")]
    assert len(told) == 1
    assert row.stem in told[0]
    assert "again" in told[0] or "--repair" in told[0]
    text = Page((tmp_path / "out" / "index.html").read_text("utf-8")).text
    assert told[0] in text


def test_texts_from_outside_do_no_harm(build: Path, made: Path) -> None:
    lines = (build / "manifest.jsonl").read_text().splitlines()
    evil = "<script>alert('x')</script> $\\frac{1$ {braces} & \"quotes\""
    for i, line in enumerate(lines[1:], 1):
        values = json.loads(line)
        values["flags"] = [evil]
        values["source_path"] = evil
        lines[i] = json.dumps(values)
    (build / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    failures = (build / "failures.jsonl").read_text().replace("no face in any", "<b onclick=x>$a")
    (build / "failures.jsonl").write_text(failures)
    assert gridprep("inspect", build)[0] == 0
    text = (build / "inspect" / "index.html").read_text("utf-8")
    page = Page(text)
    assert page.open == []
    assert text.count("<script>") == 1
    assert "<b onclick" not in text
    assert evil in page.text
    assert "<b onclick=x>$a" in page.text


def test_artifacts_outside_the_numbers_known_still_draw(build: Path, made: Path) -> None:
    # A manifest of another version: without QC numbers, words or flags.
    lines = (build / "manifest.jsonl").read_text().splitlines()
    for i, line in enumerate(lines[1:], 1):
        values = json.loads(line)
        lines[i] = json.dumps({**values, "qc": {}, "words": [], "samples_added": 0})
    (build / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    assert gridprep("inspect", build)[0] == 0


def test_what_cannot_be_used_is_one_line(made: Path, build: Path, tmp_path: Path) -> None:
    code, _, err = gridprep("inspect", tmp_path)
    assert code == 2
    assert err.startswith("gridprep: ")
    assert "manifest.jsonl does not exist" in err
    assert err.count("\n") == 1
    code, _, err = gridprep(
        "inspect", made / "build", "--speakers", "s2,s30", "--out", tmp_path / "page"
    )
    assert code == 2
    assert "has no clip of s2, s30; it has s1, s4" in err
    assert gridprep("inspect", tmp_path / "nowhere")[0] == 2
    (build / "provenance.json").write_text("[1]")
    with pytest.raises(BadInput, match="holds no object"):
        inspection.inspect_build(str(build), str(tmp_path / "out"))


def test_many_sheets_still_fit_the_page(made: Path) -> None:
    jpeg = np.frombuffer(inspection._jpeg(draw_sheet(view_of(made)), 1500, 82), np.uint8)
    alone = inspection._fit([jpeg])
    assert alone == [jpeg.tobytes()]
    many = inspection._fit([jpeg] * 60)
    assert sum(map(len, many)) <= inspection.SHEET_BUDGET_BYTES
    height, width = cv2.imdecode(np.frombuffer(many[0], np.uint8), cv2.IMREAD_COLOR).shape[:2]
    assert 640 <= width < 1500
    assert height / width == pytest.approx(HEIGHT_PX / WIDTH_PX, rel=0.01)


def test_help_does_not_wait_for_the_libraries_that_draw() -> None:
    code, printed, _ = gridprep("inspect", "--help")
    assert code == 0
    assert "--per-speaker" in printed
    ask = (
        "import sys, gridprep.commands.inspect; "
        "print(sorted({'cv2', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert loaded.stdout == "[]\n"
