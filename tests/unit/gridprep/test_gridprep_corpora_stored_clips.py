"""Clips in a temporary file: in the order of a sort in memory, and taken as from a list."""

from __future__ import annotations

import errno
import os
import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gridprep.corpora.base import ordered
from gridprep.corpora.stored_clips import StoredClips
from manifests.errors import BadInput
from manifests.ordering import natural
from manifests.records import Clip

ODD = Clip(
    "花子",
    "wei\udcffrd",
    "/c/wei\udcffrd.mp4",
    "/c/a.txt",
    "s2",
    ("speaker_folder", "alignment_folder"),
    1.25,
    3.5,
    "it's “odd”\n",
    "female",
    "val",
)


def clips(count: int) -> Iterator[Clip]:
    for i in range(count):
        yield replace(ODD, speaker=f"s{i % 7}", stem=f"{i:03d}", video=f"/c/{i}.mp4")


def test_clips_come_back_as_they_were() -> None:
    given = [ODD, *clips(500), Clip("s1", "bbaf2n", "/c/b.mpg")]
    stored = StoredClips.of(given)
    assert list(stored) == given
    assert len(stored) == 502
    assert (stored[0], stored[-1], stored[250]) == (given[0], given[-1], given[250])
    assert list(stored[3:400:7]) == given[3:400:7]
    assert list(stored.names()) == [(clip.speaker, clip.stem) for clip in given]
    with pytest.raises(IndexError):
        stored[502]


def test_of_clips_that_were_taken_others_are_taken() -> None:
    stored = StoredClips.of(clips(100))
    odd = stored.taken(range(1, 100, 2))
    assert list(odd.taken([0, 3, 49])) == [stored[1], stored[7], stored[99]]
    assert list(odd.places[:3]) == [1, 3, 5]
    assert not odd.taken([])


def test_two_readers_do_not_disturb_each_other() -> None:
    stored = StoredClips.of(clips(300))
    pairs = list(zip(stored, stored.taken(range(299, -1, -1)), strict=True))
    assert [first.video for first, _ in pairs] == [f"/c/{i}.mp4" for i in range(300)]
    assert [second.video for _, second in pairs] == [f"/c/{299 - i}.mp4" for i in range(300)]


def test_order_is_that_of_a_sort_in_memory_and_the_first_of_a_name_stays() -> None:
    rng = random.Random(0)
    names = ["s1", "s10", "s2", "S1", "s01", "?", "a b", "花子"]
    stems = ["1", "01", "a1", "a01", "a10", "b", "B", "é"]
    given = [
        Clip(rng.choice(names), rng.choice(stems), f"/c/{rng.randrange(50)}.mp4", start_s=i % 3)
        for i in range(400)
    ]
    expected: dict[str, Clip] = {}
    taken = []
    for clip in sorted(
        given, key=lambda c: (natural(c.speaker), c.speaker, natural(c.stem), c.video, c.start_s)
    ):
        if expected.setdefault(clip.clip_id, clip) is not clip:
            taken.append(clip.video)
    found = ordered("/c", given, [])
    assert list(found.clips) == list(expected.values())
    assert len(taken) > 100
    assert sorted(failure.video for failure in found.failures) == sorted(taken)
    assert {failure.reason for failure in found.failures} == {"same_name"}


def test_a_full_temporary_folder_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> object:
        return open("/dev/full", "w+b")

    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    problem = f"does not fit into {tempfile.gettempdir()} \\({os.strerror(errno.ENOSPC)}\\)"
    with pytest.raises(BadInput, match=problem):
        StoredClips.of(clips(5_000))
    with pytest.raises(BadInput, match=problem):
        list(StoredClips.of(clips(3)))  # which are written when they are read
