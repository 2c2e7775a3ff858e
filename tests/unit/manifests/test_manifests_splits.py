"""The frozen splits: pinned, reproducible, exact in their shares and free of leaks."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from manifests import corpus_lists, splits
from manifests.corpus_lists import SPEAKERS
from manifests.errors import BadInput, ManifestError
from manifests.splits import build, frozen, rules

FOLDER = Path(frozen.__file__).parent
PINNED = {
    "small": "f6f79e30a64ede9c9ad6dbbea8ad063b1fbec756a244484ed2777be5b27a32cd",
    "large-seen": "500c439a87aea6c7e9d4230249f76d4fdfe01f4e33ccd30debef3473f7ab39d5",
    "large-unseen": "d5083c96d5f168f38d058d90725d274d76a45941147390395c59ab022394809e",
    "all-seen": "368704e01e5b79c8c8086bba282fb9cb73c00553fe35c05d4de6bfc99f8627ca",
    "lipnet-unseen": "52e65603553b3f6980f3529c8a7ff07f780ee636bddbbc70b2f22a8146bdd1cb",
    "vcagan-unseen": "dc93e6f54a882b65f5443a10867000c8165eb32caca1de29d9c2d8c34d6216ba",
}
"""If one of these fails, results of before and after do not compare: count up the version."""


def test_the_frozen_files_are_the_pinned_ones() -> None:
    assert {name: splits.load(name).sha256 for name in splits.names()} == PINNED
    assert {splits.load(name).version for name in splits.names()} == {1}


def test_building_again_gives_the_same_bytes() -> None:
    texts, index = build.build()
    assert index == json.loads((FOLDER / "index.json").read_text("utf-8"))
    for name, text in texts.items():
        assert gzip.decompress((FOLDER / f"{name}.csv.gz").read_bytes()) == text
        assert hashlib.sha256(text).hexdigest() == PINNED[name]


@pytest.mark.parametrize(
    ("name", "train", "val", "test", "speakers"),
    [
        ("small", 3600, 200, 200, (4, 4, 4)),
        ("large-seen", 25_988, 1444, 1444, (29, 29, 29)),
        ("large-unseen", 25_988, 2888, 4000, (29, 29, 4)),
        ("all-seen", 29_588, 1644, 1644, (33, 33, 33)),
        ("lipnet-unseen", 25_988, 2888, 4000, (29, 29, 4)),
        ("vcagan-unseen", 15_888, 7000, 9982, (16, 7, 10)),
    ],
)
def test_counts(name: str, train: int, val: int, test: int, speakers: tuple[int, ...]) -> None:
    split = splits.load(name)
    assert split.counts() == {"train": train, "val": val, "test": test}
    assert tuple(len(split.speakers(s)) for s in ("train", "val", "test")) == speakers
    index = json.loads((FOLDER / "index.json").read_text("utf-8"))
    assert index["splits"][name]["clips"] == split.counts()


@pytest.mark.parametrize("name", ["small", "large-seen", "all-seen"])
def test_shares_are_exact_for_every_speaker(name: str) -> None:
    split = splits.load(name)
    for speaker in split.speakers():
        counts = split.counts(speaker)
        total = sum(counts.values())
        assert counts["test"] == counts["val"] == int(total * 0.05 + 0.5)
        assert total == len(corpus_lists.stems_of(speaker))


def test_the_held_out_speakers_are_nowhere_in_training() -> None:
    for name, held_out in {
        "small": (),
        "large-seen": (),
        "all-seen": (),
        "large-unseen": ("s1", "s2", "s4", "s29"),
        "lipnet-unseen": ("s1", "s2", "s20", "s22"),
        "vcagan-unseen": rules.VCAGAN_TEST,
    }.items():
        split = splits.load(name)
        assert split.held_out_speakers == held_out
        assert not set(held_out) & set(split.speakers("train", "val"))


def test_large_splits_leave_the_small_speakers_out_of_training() -> None:
    for name in ("large-seen", "large-unseen"):
        assert not {"s1", "s2", "s4", "s29"} & set(splits.load(name).speakers("train", "val"))
    assert set(splits.load("large-unseen").speakers()) == set(SPEAKERS)


def test_one_training_serves_both_large_tests() -> None:
    seen, unseen = splits.load("large-seen"), splits.load("large-unseen")
    assert set(seen.clips("train")) == set(unseen.clips("train"))
    assert set(seen.clips("val", "test")) == set(unseen.clips("val"))


def test_a_clip_has_one_place_in_all_splits_by_clip() -> None:
    for speaker in SPEAKERS:
        places = rules.places(speaker)
        for name in ("small", "large-seen", "all-seen"):
            split = splits.load(name)
            if speaker in split.speakers():
                assert split.subsets[speaker] == places


def test_a_clip_that_a_split_by_clip_tests_on_trains_in_no_other_by_places() -> None:
    tested = set(splits.load("small").clips("test")) | set(splits.load("large-seen").clips("test"))
    assert tested == set(splits.load("all-seen").clips("test"))
    for name in ("small", "large-seen", "all-seen", "large-unseen", "lipnet-unseen"):
        assert not tested & set(splits.load(name).clips("train"))


def test_places_follow_the_documented_hash() -> None:
    stems = corpus_lists.stems_of("s1")
    order = sorted(
        stems,
        key=lambda stem: hashlib.sha256(
            f"facetron-toolkit/grid-90-5-5/1:s1:{stem}".encode()
        ).hexdigest(),
    )
    split = splits.load("small")
    assert {split.subset_of("s1", stem) for stem in order[:50]} == {"test"}
    assert {split.subset_of("s1", stem) for stem in order[50:100]} == {"val"}
    assert {split.subset_of("s1", stem) for stem in order[100:]} == {"train"}


def test_vcagan_has_the_clips_of_its_public_file() -> None:
    """That file writes `subset/speaker/stem` a line and is 525,921 bytes long."""
    split = splits.load("vcagan-unseen")
    lines = [f"{split.subset_of(s, stem)}/{s}/{stem}\n" for s, stem in split.clips()]
    assert len(lines) == 32_870
    assert sum(map(len, lines)) == 525_921
    assert split.subset_of("s20", "prwo5p") == "val"
    assert split.subset_of("s13", "pgap7a") == "test"
    assert split.subset_of("s4", "pwbx6s") is None  # in VIPL's list only


def test_subset_of_knows_only_the_true_speaker() -> None:
    split = splits.load("large-unseen")
    assert split.subset_of("s1", "bbaf2n") == "test"
    assert split.subset_of("s2", "bbaf2n") is None
    assert split.subset_of("s21", "bbaf2n") is None
    assert split.subset_of("s1", "nonsense") is None


def test_an_unknown_split_lists_the_choices() -> None:
    with pytest.raises(BadInput, match="choose one of small, large-seen, large-unseen") as caught:
        splits.load("medium")
    assert caught.value.exit_code == 2


def test_a_split_that_cannot_be_rebuilt_says_why() -> None:
    with pytest.raises(BadInput, match="2,211 of 8,415"):
        splits.load("lipnet-overlapped")


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The split folder, copied to where a test may spoil it."""
    for path in FOLDER.glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(frozen, "HERE", tmp_path)
    frozen.load.cache_clear()
    yield tmp_path
    frozen.load.cache_clear()


def test_a_changed_split_file_is_noticed(copied: Path) -> None:
    path = copied / "small.csv.gz"
    text = gzip.decompress(path.read_bytes()).replace(b"s1,bbaf2n,train", b"s1,bbaf2n,test")
    path.write_bytes(gzip.compress(text))
    with pytest.raises(ManifestError, match=r"small\.csv\.gz is not the frozen one"):
        splits.load("small")


@pytest.mark.parametrize("content", [b"", b"not gzip", gzip.compress(b"x" * 99, mtime=0)[:-12]])
def test_a_damaged_split_file_is_named(copied: Path, content: bytes) -> None:
    (copied / "small.csv.gz").write_bytes(content)
    with pytest.raises(ManifestError, match=r"small\.csv\.gz"):
        splits.load("small")


def test_a_frozen_version_cannot_be_overwritten_by_other_clips() -> None:
    _, index = build.build()
    changed = json.loads(json.dumps(index))
    changed["splits"]["small"]["sha256"] = "0" * 64
    with pytest.raises(BadInput, match="split small would change under its version 1"):
        build.check_versions(index, changed)
    changed["splits"]["small"]["version"] = 2
    build.check_versions(index, changed)
    build.check_versions(index, index)


@pytest.mark.parametrize(
    "text", [b"", b"speaker,stem\n", b"speaker,stem,subset\ns21,bbaf2n,train\n"]
)
def test_parse_refuses_what_is_no_split(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"header|line"):
        frozen.parse(text)
