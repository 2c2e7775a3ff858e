"""The packaged lists against real clips and against the table that they were made from."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

import manifests
from manifests import build_lists, corpus_lists, splits

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("GRIDPREP_REAL_DATA") or ROOT.parent / "shared" / "data" / "grid")
TABLE = DATA.parent / "grid_stems.tsv"


@pytest.mark.skipif(
    not DATA.is_dir(), reason="no real clips; set GRIDPREP_REAL_DATA to their folder"
)
def test_every_real_clip_is_known_to_belong_to_its_folders_speaker() -> None:
    clips = [*DATA.glob("original/*/*.mpg"), *DATA.glob("compact/*/*.mkv")]
    assert clips
    unseen = splits.load("large-unseen")
    for clip in clips:
        assert corpus_lists.speaker_of(clip.stem) == clip.parent.name
        assert unseen.subset_of(clip.parent.name, clip.stem) in ("train", "val", "test")


@pytest.mark.skipif(not TABLE.is_file(), reason="no table of stems beside the real clips")
def test_the_packaged_lists_can_be_built_again() -> None:
    rows = build_lists.read_table(TABLE)
    package = Path(manifests.__file__).parent
    assert (package / "speakers.csv").read_bytes() == build_lists.speakers_csv(rows)
    assert gzip.decompress((package / "stems.csv.gz").read_bytes()) == build_lists.stems_csv(rows)
