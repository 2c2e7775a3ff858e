"""Clips in batches: shared by processes, read ahead, the same whoever reads them."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from facetron_build import ALL, make_build, training_clips

from facetron.model.sizes import DEBUG
from facetron.train.augment import Augmentation
from facetron.train.batches import (
    Batches,
    SpeakerBatches,
    drawn,
    loader,
    reading_workers,
    shares,
)
from facetron.train.dataset import (
    Batch,
    ClipDataset,
    collate,
    picture_bytes,
)
from facetron.train.observed import interleaved
from manifests.errors import BadInput
from manifests.records import ManifestRow


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_build(tmp_path_factory.mktemp("build"))


def test_processes_share_each_global_batch() -> None:
    whole = Batches(13, 4, seed=9)
    shares = [Batches(13, 4, rank, 2, seed=9) for rank in range(2)]
    for one in (whole, *shares):
        one.start(5)
    for batch, left, right in zip(whole, *shares, strict=True):
        assert sorted(batch) == sorted([*left, *right])
    assert len(list(whole)) == len(whole) == 3
    whole.start(5, first_batch=2)
    assert len(list(whole)) == 1
    with pytest.raises(BadInput, match="fewer processes"):
        Batches(1, 1, 0, 2, seed=1)


def test_an_epoch_of_several_passes_varies_each() -> None:
    once, thrice = Batches(7, 2, seed=9), Batches(7, 2, seed=9, passes=3)
    assert (len(once), len(thrice)) == (3, 10)
    thrice.start(2)
    keys = [key for batch in thrice for key in batch]
    assert len(set(keys)) == len(keys) == 20
    for number in (6, 7):
        assert sorted(clip for at, clip in keys if at == number) == list(range(7))
    assert sum(at == 8 for at, _ in keys) == 6
    thrice.start(2, first_batch=4)
    assert [key for batch in thrice for key in batch] == keys[8:]
    one = Batches(7, 2, seed=9, passes=1)
    for epoch in range(3):
        once.start(epoch)
        one.start(epoch)
        assert list(one) == list(once)
        assert {at for batch in one for at, _ in batch} == {epoch}
    speakers = SpeakerBatches(["s1", "s2"] * 4, 2, 4, seed=1, passes=3)
    assert len(list(speakers)) == 6


def test_validation_goes_through_every_clip_once() -> None:
    batches = list(Batches(7, 3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert len(Batches(7, 3)) == 3
    assert [number for batch in batches for _, number in batch] == list(range(7))


def test_processes_validate_whole_batches_in_turn() -> None:
    whole = list(Batches(13, 3))
    shares = [Batches(13, 3, rank, 2) for rank in range(2)]
    assert [len(share) for share in shares] == [3, 2]
    assert interleaved([list(share) for share in shares]) == whole
    some = [Batches(13, 3, rank, 2).only(5) for rank in range(2)]
    assert interleaved([list(share) for share in some]) == list(Batches(13, 3).only(5))
    assert list(Batches(2, 4, 1, 2)) == []


def test_workers_suit_the_machine_and_the_cache() -> None:
    a_clip = picture_bytes(DEBUG, ("lips", "face"))
    assert a_clip == 75 * 16 * 16 + 15 * 3 * 32 * 32
    assert picture_bytes(DEBUG, ("mel",)) == 0
    assert reading_workers(-1, False, a_clip, a_clip) == 0
    assert reading_workers(-1, False, a_clip + 1, a_clip) == 1
    assert 1 <= reading_workers(-1, True, 0, 0) <= 8
    assert reading_workers(3, False, 0, 0) == 3


def test_a_worker_reads_the_same(build: Path) -> None:
    batches = Batches(6, 3, seed=4)
    read = [list(loader(training_clips(build, Augmentation()), batches, n)) for n in (0, 1)]
    for here, there in zip(*read, strict=True):
        assert here["clips"] == there["clips"]
        assert torch.equal(here["lips"], there["lips"])
        assert torch.equal(here["wave_mel"], there["wave_mel"])


def test_reading_ahead_changes_nothing(build: Path) -> None:
    batches = Batches(6, 2, seed=4)
    for epoch in range(2):
        batches.start(epoch)
        ahead = list(loader(training_clips(build, Augmentation()), batches, 0))
        plain = [
            collate([training_clips(build, Augmentation())[key] for key in keys])
            for keys in batches
        ]
        assert [b["clips"] for b in ahead] == [b["clips"] for b in plain]
        for here, there in zip(ahead, plain, strict=True):
            assert torch.equal(here["lips"], there["lips"])
            assert torch.equal(here["face"], there["face"])


def test_one_batch_is_read_while_another_is_used(build: Path) -> None:
    read: list[int] = []
    more = threading.Event()

    class Watched(ClipDataset):
        def __getitem__(self, key: int | tuple[int, int]) -> Batch:
            assert isinstance(key, tuple)
            read.append(key[1])
            if len(read) == 4:
                more.set()
            return super().__getitem__(key)

    data = Watched(build, "train", ALL, DEBUG)
    walk = iter(loader(data, Batches(6, 2), 0))
    next(walk)
    assert more.wait(30)  # the second batch, unasked
    walk.close()  # type: ignore[attr-defined]
    assert read == [0, 1, 2, 3]
    assert not [t for t in threading.enumerate() if t.name.startswith("read-ahead")]


def test_what_cannot_be_read_ahead_is_told_in_its_turn(tmp_path: Path) -> None:
    data = training_clips(make_build(tmp_path, ("s3",), 4))
    (tmp_path / data.rows[2].paths["mel"]).unlink()
    walk = iter(loader(data, Batches(3, 1), 0))
    assert [next(walk)["clips"] for _ in range(2)] == [["s3/bbaf2n"], ["s3/lrwm5s"]]
    with pytest.raises(BadInput, match=r"pgbx9p\.npy"):
        next(walk)


def rows_of(counts: dict[str, int]) -> list[ManifestRow]:
    return [
        cast(
            ManifestRow, SimpleNamespace(speaker=name, gender="female" if name == "s4" else "male")
        )
        for name, n in counts.items()
        for _ in range(n)
    ]


@pytest.mark.parametrize(
    ("balance", "genders", "expected"),
    [
        (0.0, False, None),
        (1.0, False, {"s1": 1 / 3, "s2": 1 / 3, "s4": 1 / 3}),
        (0.5, False, {"s1": 10 / 14, "s2": 2 / 14, "s4": 2 / 14}),
        (0.0, True, {"s1": 0.5 * 100 / 104, "s2": 0.5 * 4 / 104, "s4": 0.5}),
    ],
)
def test_draws_are_balanced(
    balance: float, genders: bool, expected: dict[str, float] | None
) -> None:
    rows = rows_of({"s1": 100, "s2": 4, "s4": 4})
    found = shares(rows, balance, genders)
    if expected is None:
        assert found is None
        return
    assert found is not None
    assert found.sum() == pytest.approx(len(rows))
    for speaker, share in expected.items():
        own = [value for value, row in zip(found, rows, strict=True) if row.speaker == speaker]
        assert sum(own) / len(rows) == pytest.approx(share)


def test_an_epoch_draws_what_is_expected_of_it() -> None:
    expected = np.array([0.5] * 10 + [5.0] + [0.0] * 4)
    rng = np.random.default_rng(0)
    numbers = drawn(expected, rng)
    counts = np.bincount(numbers, minlength=15)
    assert len(numbers) == 10
    assert (np.abs(counts - expected) < 1).all(), "rounded down or up"
    batches = Batches(15, 5, seed=3, expected=expected)
    batches.start(0)
    first = list(batches)
    batches.start(0)
    assert list(batches) == first, "an epoch that is taken up again draws the same"
    batches.start(1)
    assert list(batches) != first


def test_batches_of_speakers_have_some_clips_of_each() -> None:
    owners = ["s1"] * 5 + ["s2"] * 7 + ["s3"] * 2 + ["s4"] * 4
    batches = SpeakerBatches(owners, 3, 10, seed=4)
    batches.start(2)
    found = list(batches)
    assert len(found) == len(batches) == 2  # 18 clips in batches of 3 × 3
    for batch in found:
        speakers = [owners[i] for _, i in batch]
        assert {epoch for epoch, _ in batch} == {2}
        assert [len(set(speakers[k : k + 3])) for k in (0, 3, 6)] == [1, 1, 1]
        assert len(set(speakers)) == 3
    batches.start(2, first_batch=1)
    assert list(batches) == found[1:]
    batches.start(3)
    assert list(batches) != found


def test_a_speakers_clips_all_come_before_any_comes_again() -> None:
    owners = ["s1"] * 6 + ["s2"] * 30
    batches = SpeakerBatches(owners, 2, 4, seed=0)
    batches.start(0)
    drawn = [i for batch in batches for _, i in batch if owners[i] == "s1"]
    assert len(drawn) == 18
    for turn in range(3):
        assert sorted(drawn[6 * turn : 6 * turn + 6]) == list(range(6))


def test_processes_share_a_batch_by_speakers() -> None:
    owners = [f"s{k}" for k in range(5) for _ in range(4)]
    whole = SpeakerBatches(owners, 2, 9, seed=1)
    shares = [SpeakerBatches(owners, 2, 9, rank, 2, seed=1) for rank in range(2)]
    for one in (whole, *shares):
        one.start(0)
    for batch, left, right in zip(whole, *shares, strict=True):
        assert sorted(batch) == sorted([*left, *right])
        for half in (left, right):
            assert len({owners[i] for _, i in half}) == 2
    with pytest.raises(BadInput, match="2 of each of 5 speakers, for 4 processes leaves none"):
        SpeakerBatches(owners, 2, 9, 0, 4, seed=1)
    with pytest.raises(BadInput, match="leaves none to compare"):
        SpeakerBatches(["s1"] * 4, 2, 4, seed=1)
