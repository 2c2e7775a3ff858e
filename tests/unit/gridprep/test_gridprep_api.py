"""The functions behind the commands: the same features, and one line for what cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builds import STUB, add_clip, digests, gridprep
from clips import pictures, tiny_clip

import gridprep as toolkit
from gridprep.api import recipe_of
from gridprep.pipeline.recipe import Recipe
from manifests import Manifest
from manifests.corpus_lists import expected_stems_of
from manifests.errors import BadInput
from manifests.mel import PRESETS

pytestmark = pytest.mark.usefixtures("stub")


@pytest.fixture(scope="module")
def corpus(sound_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    for speaker, stem in (("s1", "bbaf2n"), ("s3", sorted(expected_stems_of("s3"))[0])):
        add_clip(root, speaker, stem, sound_clip)
    return root


def test_a_build_is_that_of_the_command(corpus: Path, tmp_path: Path) -> None:
    report = toolkit.build(
        corpus,
        tmp_path / "a",
        split="all-seen",
        landmarks=STUB,
        content="off",
        jobs=1,
        mels=["facetron", "vca-gan"],
    )
    assert (report.rows, report.failures, report.clips) == (2, (), 2)
    code, _, err = gridprep(
        *("build", "--corpus", corpus, "--out", tmp_path / "b", "--split", "all-seen"),
        *("--landmarks", STUB, "--jobs", "1", "--mel", "facetron", "--mel", "vca-gan"),
    )
    assert code == 0, err
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    clips = Manifest(tmp_path / "a")
    assert clips[0].mel("vca-gan").shape[0] == 80
    again = toolkit.build(
        corpus,
        tmp_path / "a",
        split="all-seen",
        landmarks=STUB,
        content="off",
        jobs=1,
        mels=["facetron", "vca-gan"],
    )
    assert again.reused == 2


def test_speakers_are_a_text_or_a_list(corpus: Path, tmp_path: Path) -> None:
    options: dict[str, object] = {"landmarks": STUB, "jobs": 1, "split": "all-seen"}
    report = toolkit.build(corpus, tmp_path, speakers=["s3"], **options)  # type: ignore[arg-type]
    assert report.clips == 1
    assert toolkit.verify(corpus, speakers="s1-s3", jobs=1).count("ok") == 2


def test_defaults_are_those_of_a_recipe() -> None:
    assert recipe_of() == Recipe()


def test_what_cannot_be_built_is_one_line(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="unknown mel preset 'mel80'; use one of facetron"):
        toolkit.build(corpus, tmp_path, mels=["mel80"])
    with pytest.raises(BadInput, match="unknown landmark backend 'dlib'"):
        toolkit.build(corpus, tmp_path, landmarks="dlib")
    with pytest.raises(BadInput, match="no split 'mine'"):
        toolkit.build(corpus, tmp_path, landmarks=STUB, split="mine")
    with pytest.raises(BadInput, match="nowhere"):
        toolkit.build(tmp_path / "nowhere", tmp_path / "out", landmarks=STUB)
    with pytest.raises(BadInput, match="nowhere"):
        toolkit.verify(tmp_path / "nowhere")


def test_crops_are_those_of_a_build(corpus: Path, tmp_path: Path) -> None:
    toolkit.build(corpus, tmp_path, landmarks=STUB, content="off", jobs=1, split="all-seen")
    row = Manifest(tmp_path)[0]
    cut = toolkit.crop(corpus / row.source_path, landmarks=STUB)
    np.testing.assert_array_equal(cut.landmarks.points_px, row.landmarks().points_px)
    # Stored as JPEG, which costs a picture of noise some levels.
    assert np.abs(cut.lips.astype(int) - row.lips()).mean() < 6
    assert np.abs(cut.faces.astype(int) - row.faces()).mean() < 6
    assert cut.faces.shape == (15, 160, 160, 3)
    assert cut.face_frames.tolist() == list(range(0, 75, 5))
    assert cut.found_share == row.qc["found_share"]
    assert cut.source_fps == pytest.approx(25)


def test_a_video_of_another_rate_is_cut_at_25_frames(tmp_path: Path) -> None:
    clip = tiny_clip(tmp_path / "a.mp4", frames=60, fps=50, audio=False)
    cut = toolkit.crop(clip, landmarks=STUB)
    assert len(cut.lips) == 30
    assert cut.source_fps == pytest.approx(50, abs=0.1)


def test_what_cannot_be_cut_is_one_line(tmp_path: Path) -> None:
    red = np.zeros_like(pictures(10))
    red[..., 0] = 250
    clip = tiny_clip(tmp_path / "red.mpg", frames=red)
    with pytest.raises(
        BadInput, match=r"red\.mpg: no face in any frame.*; give one in which a face"
    ):
        toolkit.crop(clip, landmarks=STUB)
    with pytest.raises(BadInput, match=r"none\.mpg"):
        toolkit.crop(tmp_path / "none.mpg", landmarks=STUB)
    (tmp_path / "text.mpg").write_text("no video")
    with pytest.raises(BadInput, match=r"text\.mpg"):
        toolkit.crop(tmp_path / "text.mpg", landmarks=STUB)


def test_a_mel_is_that_of_the_contract() -> None:
    wave = np.sin(np.arange(48_000) / 20).astype(np.float32) / 4
    assert toolkit.mel_spectrogram(wave).shape == (80, 150)
    assert toolkit.mel_spectrogram(wave, PRESETS["lip2wav"]).shape == (80, 241)


def test_who_is_an_option_of_the_landmark_backend() -> None:
    assert recipe_of(who="left").landmark_options == (("who", "left"),)
    assert recipe_of(who="left") == recipe_of(landmark_options={"who": "left"})
