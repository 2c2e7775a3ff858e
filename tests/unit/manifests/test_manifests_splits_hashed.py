"""Splits by hash: stable, never empty, and held fast by their file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from manifests.errors import BadInput, ManifestError
from manifests.splits.frozen import described_at, load_file
from manifests.splits.hashed import freeze, hashed

CLIPS = [(f"speaker {i}", f"clip{j}") for i in range(40) for j in range(10)]


def test_whole_speakers_are_held_out_in_the_given_shares() -> None:
    found = hashed(CLIPS, "speaker", 0.05, 0.1)
    by_speaker: dict[str, set[str]] = {}
    for (speaker, _), subset in found.items():
        by_speaker.setdefault(speaker, set()).add(subset)
    assert all(len(subsets) == 1 for subsets in by_speaker.values())
    counts = Counter(next(iter(subsets)) for subsets in by_speaker.values())
    assert counts == {"train": 34, "val": 2, "test": 4}
    assert found == hashed(reversed(CLIPS), "speaker", 0.05, 0.1)
    assert found != hashed(CLIPS, "speaker", 0.05, 0.1, key="another")


def test_clips_of_every_speaker_are_held_out() -> None:
    found = hashed(CLIPS, "clip", 0.1, 0.2)
    for speaker in ("speaker 0", "speaker 39"):
        own = Counter(subset for (name, _), subset in found.items() if name == speaker)
        assert own == {"train": 7, "val": 1, "test": 2}
    few = hashed([("a", "1"), ("a", "2"), ("b", "1"), ("b", "2"), ("b", "3")], "clip", 0.1, 0.1)
    assert Counter(few.values()) == {"train": 3, "val": 1, "test": 1}


@pytest.mark.parametrize(
    ("clips", "shares", "message"),
    [
        (CLIPS, (0.5, 0.5), "give two that leave some to train on"),
        (CLIPS, (-0.1, 0.5), "shares of -0.1 for val"),
        ([("a", "1"), ("b", "1")], (0.1, 0.1), "2 speakers cannot be split .* --by clip"),
    ],
)
def test_what_cannot_be_split_is_one_line(
    clips: list[tuple[str, str]], shares: tuple[float, float], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        hashed(clips, "speaker", *shares)


def test_a_file_holds_a_split_fast(tmp_path: Path) -> None:
    target = tmp_path / "mine.csv"
    clips = [("Jörg, 2", 'a "b"'), ("x", "1"), ("y", "1")]
    subsets = hashed(clips, "speaker", 0.1, 0.1)
    split = freeze(target, subsets, "three clips", "a rule")
    assert (split.name, split.version, split.origin, split.rule) == (
        "mine", 1, "three clips", "a rule",
    )  # fmt: skip
    assert {clip: split.subset_of(*clip) for clip in clips} == subsets
    assert split.subset_of("x", "2") is None
    assert len(split.held_out_speakers) == 1
    assert freeze(target, subsets, "three clips", "a rule") == split
    with pytest.raises(BadInput, match=r"mine\.csv is frozen already, with other clips"):
        freeze(target, {("x", "1"): "train"}, "", "")
    target.write_text(target.read_text().replace("train", "test"))
    with pytest.raises(ManifestError, match="is not the frozen split"):
        load_file(target)
    described_at(target).write_text("{}")
    with pytest.raises(ManifestError, match="is damaged"):
        load_file(target)
    with pytest.raises(BadInput, match=r"absent\.csv cannot be read"):
        load_file(tmp_path / "absent.csv")
    with pytest.raises(BadInput, match=r"is no \.csv"):
        freeze(tmp_path / "mine.txt", subsets, "", "")
