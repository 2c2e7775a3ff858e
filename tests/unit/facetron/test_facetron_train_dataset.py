"""A manifest as training data: what is refused, what is drawn, and that it is drawn again alike."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from facetron_build import ALL, make_build, training_clips
from torch.utils.data import DataLoader

from facetron.model import encoders
from facetron.model.ctc import decode
from facetron.model.lip import lip_input
from facetron.model.sizes import DEBUG, model_config
from facetron.train import augment
from facetron.train.augment import Augmentation
from facetron.train.batches import to_model
from facetron.train.dataset import (
    NO_WORD,
    WORD_CLASS,
    ClipDataset,
    collate,
    open_training_set,
    picture_bytes,
    varied_batch,
)
from manifests.errors import BadInput, ManifestError, SpecMismatch
from manifests.io import read_manifest, write_jsonl
from manifests.manifest import Manifest
from manifests.mel import DEFAULT, PRESETS
from manifests.pictures import read_pictures
from manifests.records import WordSpan


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_build(tmp_path_factory.mktemp("build"))


def test_training_set_knows_speakers_and_subsets(build: Path) -> None:
    data = open_training_set(build / "manifest.jsonl", DEFAULT)
    assert data.speakers == ("s3", "s5")
    assert (len(data.train), len(data.val), data.held_out) == (6, 2, ("s1", "s2"))
    assert data.crop == "0123456789abcdef"


@pytest.mark.parametrize("subset", ["train", "val"])
def test_held_out_speakers_are_refused(tmp_path: Path, build: Path, subset: str) -> None:
    _, rows = read_manifest(build)
    rows = [replace(row, subset=subset) if row.speaker == "s5" else row for row in rows]
    path = tmp_path / "manifest.jsonl"
    write_jsonl(path, "manifest", rows, held_out_speakers=["s5"])
    with pytest.raises(ManifestError, match=r"manifest\.jsonl has s5/.*holds s5 out"):
        open_training_set(path, DEFAULT)


def test_other_mels_and_empty_splits_are_refused(tmp_path: Path, build: Path) -> None:
    with pytest.raises(SpecMismatch, match=r"manifest\.jsonl has MelSpec"):
        open_training_set(build, PRESETS["hifigan-22k"])
    _, rows = read_manifest(build)
    write_jsonl(tmp_path / "manifest.jsonl", "manifest", [replace(r, subset="test") for r in rows])
    with pytest.raises(ManifestError, match="no clips to train on"):
        open_training_set(tmp_path, DEFAULT)


def test_a_batch_has_the_shapes_it_promises(build: Path) -> None:
    data = training_clips(build, segment_frames=20)
    batch = collate([data[0, 0], data[0, 3]])
    assert batch["lips"].shape == (2, 1, 75, 16, 16)
    assert batch["lips"].dtype == torch.uint8
    assert batch["face"].shape == (2, 3, 32, 32)
    assert batch["mel"].shape == (2, 80, 150)
    assert batch["wave"].shape == (2, 1, 6400)
    assert batch["wave_mel"].shape == (2, 80, 20)
    assert batch["speakers"] == ["s3", "s5"]
    read = [
        decode(t[:n].tolist())
        for t, n in zip(batch["targets"], batch["target_lengths"], strict=True)
    ]
    assert read == ["bin blue at f two now", "bin blue at f two now"]
    assert batch["words"][0, 10:19].unique().tolist() == [WORD_CLASS["bin"]]
    assert batch["words"][0, 0] == 0


def test_waveform_and_mel_segments_are_of_the_same_time(build: Path) -> None:
    data = training_clips(build, segment_frames=20)
    item = data[3, 1]
    start = int(item["wave_start"])
    assert torch.equal(item["wave_mel"], item["mel"][:, start : start + 20])
    again = DEFAULT.hop_samples * 20
    assert item["wave"].shape[-1] == again


def test_lips_are_what_synthesis_sees_but_for_rounding(build: Path) -> None:
    data = training_clips(build)
    stored = torch.from_numpy(read_pictures(build / data.rows[0].paths["lips"]))
    expected = lip_input(stored, DEBUG.lip)
    assert (to_model(data[0, 0]["lips"]) - expected).abs().max() <= 0.5 / 128 + 1e-6


def test_draws_depend_on_seed_epoch_and_clip_alone(build: Path) -> None:
    def drawn(data: ClipDataset, key: tuple[int, int]) -> torch.Tensor:
        lips: torch.Tensor = data[key]["lips"]
        return lips

    one, two = (
        training_clips(build, Augmentation(), seed=3),
        training_clips(build, Augmentation(), seed=3),
    )
    drawn(two, (7, 2))
    for key in ((0, 0), (1, 0), (1, 3)):
        assert torch.equal(drawn(one, key), drawn(two, key))
    assert not torch.equal(drawn(one, (0, 0)), drawn(one, (1, 0)))


def test_cache_changes_nothing_and_has_a_limit(build: Path) -> None:
    cached, plain = training_clips(build, cache_bytes=75 * 16 * 16), training_clips(build)
    for _ in range(2):
        for number in range(len(plain)):
            assert torch.equal(cached[0, number]["lips"], plain[0, number]["lips"])
    assert list(cached._cache) == [("lips", 0)]
    assert not plain._cache


def test_cached_pictures_share_one_block(build: Path) -> None:
    """Arrays of their own between the large ones of decoding leave memory in pieces (1 GB of cache
    made 5 GB of process)."""
    data = training_clips(build, cache_bytes=2**40)
    assert data._store is None  # nor is it sent to a worker
    for number in range(len(data)):
        data[0, number]
    assert len(data._cache) == 2 * len(data)
    assert data._store is not None
    assert data._store.nbytes == len(data) * picture_bytes(DEBUG, ALL)
    starts = sorted(kept.ctypes.data for kept in data._cache.values())
    sizes = {kept.ctypes.data: kept.nbytes for kept in data._cache.values()}
    assert all(np.shares_memory(kept, data._store) for kept in data._cache.values())
    assert all(one + sizes[one] <= other for one, other in itertools.pairwise(starts))


def test_word_crops_keep_frames_and_letters_together(build: Path) -> None:
    data = training_clips(build, replace(augment.NONE, word_crop=1.0, word_crop_decay=1.0))
    items = [data[epoch, 0] for epoch in range(30)]
    batch = collate(items)
    assert len(set(batch["lengths"].tolist())) > 3
    for item in items:
        text = decode(item["targets"].tolist())
        assert item["lips"].shape[1] == 9 * len(text.split()) == len(item["words"])
        classes = list(dict.fromkeys(item["words"].tolist()))
        assert classes == [WORD_CLASS[word] for word in text.split()]
    shortest = int(batch["lengths"].argmin())
    assert batch["words"][shortest, -1] == NO_WORD


def test_word_crops_become_rarer() -> None:
    words = [WordSpan("at", 0.0, 0.1, 0, 3)]
    rng = np.random.default_rng(0)
    assert augment.some_words(words, 1.0, rng) == (0, 1)
    assert augment.some_words(words, 0.0, rng) is None
    assert augment.some_words([], 1.0, rng) is None


def test_jitter_keeps_length_and_order() -> None:
    rng = np.random.default_rng(1)
    times = augment.jittered_times(75, 0.2, rng)
    assert len(times) == 75
    assert (np.diff(times) >= 0).all()
    assert 0 < 75 - len(set(times.tolist())) < 40
    assert augment.jittered_times(75, 0.0, rng).tolist() == list(range(75))


def test_a_change_of_speed_keeps_order_and_covers_the_clip() -> None:
    for seed in range(20):
        times = augment.resampled_times(75, 0.2, np.random.default_rng(seed))
        assert 62 <= len(times) <= 94
        assert (np.diff(times) >= 0).all()
        assert times[0] <= 1
        assert times[-1] >= 73
    still = augment.resampled_times(75, 0.0, np.random.default_rng(0))
    assert still.tolist() == list(range(75))


def test_masked_runs_hold_the_mean_frame() -> None:
    frames = np.random.default_rng(3).integers(0, 256, (75, 4, 4, 1)).astype(np.uint8)
    before = frames.copy()
    masked = augment.mask_time(frames, 10, np.random.default_rng(4))
    assert np.array_equal(frames, before)
    changed = [t for t in range(75) if not np.array_equal(masked[t], frames[t])]
    assert 0 < len(changed) <= 30
    mean = frames.mean(axis=0).astype(np.uint8)
    assert all(np.array_equal(masked[t], mean) for t in changed)
    word = frames[:20]
    assert augment.mask_time(word, 10, np.random.default_rng(4)) is word


def test_faster_speech_has_the_same_letters(build: Path) -> None:
    plain = training_clips(build)[0]
    fast = training_clips(build, replace(augment.NONE, speed=0.3, time_mask_frames=5))
    lengths = set()
    for epoch in range(6):
        item = fast[epoch, 0]
        lengths.add(item["lips"].shape[1])
        assert item["lips"].shape[1] == len(item["words"])
        assert item["targets"].tolist() == plain["targets"].tolist()
    assert len(lengths) > 1


def test_a_clip_is_varied_as_one(build: Path) -> None:
    frames = np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1), 5, axis=0)

    def vary(how: Augmentation, rng: np.random.Generator) -> augment.Frames:
        return augment.varied(frames, augment.drawn(how, 16, rng))

    varied = vary(Augmentation(), np.random.default_rng(5))
    assert varied.shape == frames.shape
    assert all(np.array_equal(varied[0], picture) for picture in varied)
    flipped = vary(replace(augment.NONE, flip=1.0), np.random.default_rng())
    assert np.array_equal(flipped, frames[:, :, ::-1])


def test_pictures_are_stretched_and_turned_about_their_middle() -> None:
    """A spot 8 to the right and 4 down of the middle: half as far by a factor of ½ and, turned a
    quarter, below the middle in the place of right of it."""
    frames = np.zeros((3, 41, 41, 3), np.uint8)
    frames[:, 23:26, 27:30] = 255

    def spot(by: augment.Variation) -> list[int]:
        seen = augment.varied(frames, by)
        assert all(np.array_equal(picture, seen[0]) for picture in seen)
        down, right = np.argwhere(seen[0, :, :, 0] > 100).mean(0) - 20
        return [round(right), round(down)]

    assert spot(augment.Variation()) == [8, 4]
    assert spot(augment.Variation(wide=0.5)) == [4, 4]
    assert spot(augment.Variation(high=1.5)) == [8, 6]
    assert spot(augment.Variation(turn_degrees=90.0)) == [-4, 8]
    assert spot(augment.Variation(wide=0.5, turn_degrees=90.0)) == [-4, 4]
    assert spot(augment.Variation(flip=True, right=2, high=0.5)) == [-10, 2]


def test_shapes_are_drawn_apart_and_leave_other_draws_as_they_were() -> None:
    plain = Augmentation()
    bent = replace(plain, stretch=0.2, turn_degrees=8.0)
    drawn = [augment.drawn(bent, 56, np.random.default_rng(seed)) for seed in range(50)]
    for seed, by in enumerate(drawn):
        same = replace(by, wide=1.0, high=1.0, turn_degrees=0.0)
        assert augment.drawn(plain, 56, np.random.default_rng(seed)) == same
        assert augment.Variation.of(by.numbers().tolist()) == by
    for values, reach in (
        ([by.wide - 1 for by in drawn], 0.2),
        ([by.high - 1 for by in drawn], 0.2),
        ([by.turn_degrees for by in drawn], 8.0),
    ):
        assert -reach <= min(values) < -reach / 2
        assert reach / 2 < max(values) <= reach
    assert np.corrcoef([by.wide for by in drawn], [by.high for by in drawn])[0, 1] < 0.5


@pytest.mark.parametrize("kind", ["lips", "face", "mel", "audio"])
@pytest.mark.parametrize("fault", ["absent", "damaged"])
def test_unusable_features_are_named(tmp_path: Path, kind: str, fault: str) -> None:
    build = make_build(tmp_path, ("s3",), 2)
    data = training_clips(build)
    path = build / data.rows[0].paths[kind]
    path.unlink() if fault == "absent" else path.write_bytes(b"no feature")
    with pytest.raises(BadInput, match=path.name):
        data[0, 0]


def test_mels_that_are_no_numbers_are_named(build: Path, tmp_path: Path) -> None:
    broken = make_build(tmp_path, ("s3",), 2)
    data = training_clips(broken)
    np.save(broken / data.rows[0].paths["mel"], np.full((80, 150), np.nan, np.float32))
    with pytest.raises(BadInput, match=r"bbaf2n\.npy does not hold"):
        data[0, 0]


# -- as anybody's data set --------------------------------------------------------------------------


def test_an_integer_is_the_clip_of_the_epoch_that_was_set(build: Path) -> None:
    data = training_clips(build, Augmentation(), seed=3)
    assert torch.equal(data[1]["lips"], data[0, 1]["lips"])
    data.set_epoch(4)
    assert torch.equal(data[1]["lips"], data[4, 1]["lips"])
    assert torch.equal(data[-1]["face"], data[4, len(data) - 1]["face"])
    assert len(list(data)) == len(data) == 6


def test_without_a_model_pictures_are_as_they_are_stored(build: Path) -> None:
    data = ClipDataset(build, "val", ("lips", "face"))
    row = data.rows[0]
    np.testing.assert_array_equal(data[0]["lips"].movedim(0, -1).numpy(), row.lips())
    still = data[0]["face"].movedim(0, -1).numpy()
    assert any(np.array_equal(still, stored) for stored in row.faces())
    assert len(data) == 2


def test_any_loader_takes_it(build: Path) -> None:
    data = ClipDataset(build, "all", ("face", "lips"), DEBUG)
    here = list(DataLoader(data, batch_size=3, collate_fn=data.collate))
    there = list(
        DataLoader(
            data,
            batch_size=3,
            collate_fn=data.collate,
            num_workers=2,
            multiprocessing_context="forkserver",
        )
    )
    assert [b["clips"] for b in here] == [b["clips"] for b in there]
    assert all(torch.equal(one["lips"], two["lips"]) for one, two in zip(here, there, strict=True))
    assert sum(len(b["clips"]) for b in here) == 8


def test_a_manifest_that_was_chosen_from_is_taken(build: Path) -> None:
    clips = Manifest(build).where(speaker="s5")
    assert {row.speaker for row in ClipDataset(clips, "train", ("face",), DEBUG).rows} == {"s5"}


def test_a_mel_needs_a_spec_from_the_manifest_or_the_model(build: Path) -> None:
    with pytest.raises(ManifestError, match="states no mel spec"):
        ClipDataset(build, "train", ("mel",))
    stated = Manifest.of(Manifest(build), build, {"specs": {"mel": DEFAULT.to_dict()}})
    assert ClipDataset(stated, "train", ("mel",))[0]["mel"].shape == (80, 150)


def test_what_cannot_be_had_is_one_line(build: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"has no test clip \(6 train, 2 val, 0 test\)"):
        ClipDataset(build, "test", ("face",))
    with pytest.raises(BadInput, match="no field lip; choose among lips, face, mel, wave, pitch"):
        ClipDataset(build, "train", ("lip",))  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="no subset 'dev'"):
        ClipDataset(build, "dev", ("face",))
    with pytest.raises(ManifestError, match="nowhere does not exist"):
        ClipDataset(tmp_path / "nowhere")


def test_clips_of_different_lengths_are_padded_alike() -> None:
    short, long = (
        {
            "speaker": "s1",
            "clip": f"s1/{n}",
            "lips": torch.zeros(3, n, 4, 4, dtype=torch.uint8),
            "targets": torch.ones(3, dtype=torch.int64),
            "words": torch.zeros(n, dtype=torch.int64),
            "mel": torch.full((2, 2 * n), -float(n)),
            "wave": torch.ones(1, 640 * n),
            "wave_f0_hz": torch.ones(2 * n),
            "reading": torch.ones(n, 5),
        }
        for n in (20, 48)
    )
    batch = collate([short, long])
    assert batch["lips"].shape == (2, 3, 60, 4, 4)
    assert batch["mel"].shape == (2, 2, 120)
    assert batch["lengths"].tolist() == [20, 48]
    assert (batch["mel"][0, :, 40:] == -48).all()
    assert (batch["mel"][1, :, :96] == -48).all()
    assert (batch["words"][0, 20:] == NO_WORD).all()
    assert batch["wave"][0, 0, 640 * 20 :].abs().sum() == 0
    assert batch["wave_f0_hz"][0, 40:].isnan().all()
    assert batch["reading"].shape == (2, 48, 5)
    assert batch["reading"][0, 20:].abs().sum() == 0


def test_pictures_vary_later_as_they_vary_at_once(build: Path) -> None:
    """What a GPU does to a batch is what the CPU does to its clips."""
    how = replace(augment.NONE, flip=0.5, shift=0.2, brightness=0.2, contrast=0.3)
    config = model_config("debug", sets=["lip.input_channels=3", "lip.input_px=32"])
    both = [
        ClipDataset(build, "train", ("lips", "face"), config, how, vary_later=later)
        for later in (False, True)
    ]
    keys = [(epoch, number) for epoch in range(2) for number in range(3)]
    at_once, later = (collate([clips[key] for key in keys]) for clips in both)
    assert later["lips_varied"].shape == later["face_varied"].shape == (6, 8)
    assert len({tuple(row) for row in later["lips_varied"].tolist()}) == 6
    assert not torch.equal(later["lips"], at_once["lips"])
    varied = varied_batch(later, torch.device("cpu"))
    assert set(varied) == set(at_once)
    assert torch.equal(varied["lips"], at_once["lips"])
    assert torch.equal(varied["face"], at_once["face"])


def test_shapes_vary_later_as_they_vary_at_once(build: Path) -> None:
    how = replace(augment.NONE, flip=0.5, shift=0.1, contrast=0.2, stretch=0.2, turn_degrees=10.0)
    config = model_config("debug", sets=["lip.input_channels=3", "lip.input_px=32"])
    at_once, later = (
        collate([data[0, number] for number in range(3)])
        for data in (
            ClipDataset(build, "train", ("lips", "face"), config, how, vary_later=later)
            for later in (False, True)
        )
    )
    plain = collate([ClipDataset(build, "train", ("lips", "face"), config)[0, n] for n in range(3)])
    varied = varied_batch(later, torch.device("cpu"))
    for kind in ("lips", "face"):
        off = (varied[kind].int() - at_once[kind].int()).abs()
        assert off.max() <= 2
        assert (
            plain[kind].int() - at_once[kind].int()
        ).abs().float().mean() > 10 * off.float().mean()


def test_bytes_of_the_models_size_are_not_converted(build: Path) -> None:
    """They are the same as through the numbers that the encoder sees."""
    config = model_config("debug", sets=["lip.input_channels=3", "lip.input_px=32"])
    assert encoders.keeps("lip", config.lip, 32)
    assert not encoders.keeps("lip", config.lip, 64)
    assert encoders.keeps("face", config.face, 32)
    kept = ClipDataset(build, "train", ("lips", "face"), config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoders, "keeps", lambda *_: False)
        converted = ClipDataset(build, "train", ("lips", "face"), config)[0]
    item = kept[0]
    assert torch.equal(item["lips"], converted["lips"])
    assert torch.equal(item["face"], converted["face"])
    assert np.array_equal(item["lips"].movedim(0, -1).numpy(), kept.rows[0].lips())
