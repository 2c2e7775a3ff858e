"""What a training shows: the same few clips, on the same scale, in whatever TensorBoard reads."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from facetron_build import make_build

from facetron.checkpoints import checkpoint
from facetron.model.system import FACETRON
from facetron.train.mel_picture import above, color_range, mel_picture
from facetron.train.pictures import (
    Exhibit,
    fixed_clips,
    mels_shown,
    recordings,
    table,
    write,
)
from facetron.train.run import train
from manifests.errors import BadInput
from manifests.io import read_manifest
from manifests.manifest import FeatureRow
from manifests.mel import DEFAULT

SETS = ("train.batch_size=4", "train.epochs=2", "train.segment_frames=16", "lip.conv_dropout=0")
SHOWN = ("s3/brbk7n", "s5/brbk7n", "s6/brbk7n")
"""The first validation clip of each speaker."""


class Recorder:
    """Stands in for `SummaryWriter`: (kind, tag, value, epoch)."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.told: list[tuple[str, str, Any, int]] = []
        RECORDERS.append(self)

    def add_scalar(self, tag: str, value: float, epoch: int) -> None:
        self.told.append(("scalar", tag, value, epoch))

    def add_image(self, tag: str, picture: Any, epoch: int, dataformats: str) -> None:
        assert dataformats == "HWC"
        self.told.append(("image", tag, picture, epoch))

    def add_audio(self, tag: str, sound: Any, epoch: int, rate_hz: int) -> None:
        assert rate_hz == 16_000
        self.told.append(("audio", tag, sound, epoch))

    def add_text(self, tag: str, text: str, epoch: int) -> None:
        self.told.append(("text", tag, text, epoch))

    def flush(self) -> None:
        """Nothing is held back."""

    close = flush


RECORDERS: list[Recorder] = []


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_build(
        tmp_path_factory.mktemp("build"), ("s3", "s5", "s6"), clips=6, validation=2
    )  # fmt: skip


@pytest.fixture(scope="module")
def told(build: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """All stages in their order, and what each told its writer."""
    with pytest.MonkeyPatch.context() as patch:
        fake = ModuleType("torch.utils.tensorboard")
        fake.SummaryWriter = Recorder  # type: ignore[attr-defined]
        patch.setitem(sys.modules, "torch.utils.tensorboard", fake)
        find = importlib.util.find_spec
        patch.setattr(
            importlib.util, "find_spec", lambda n: True if n == "tensorboard" else find(n)
        )
        RECORDERS.clear()
        out = tmp_path_factory.mktemp("runs")
        train("all", build, out, "debug", sets=(*SETS, "train.vocoder.show_every=2"))
    return {Path(r.folder).parent.name: r.told for r in RECORDERS}


def of(told: list[Any], kind: str) -> dict[tuple[str, int], Any]:
    return {(tag, epoch): value for k, tag, value, epoch in told if k == kind}


def test_the_same_clips_of_several_speakers_are_shown(build: Path) -> None:
    _, rows = read_manifest(build)
    assert fixed_clips([row for row in rows if row.subset == "val"]) == set(SHOWN)
    assert fixed_clips(rows[:1]) == {rows[0].clip_id}
    assert fixed_clips([]) == frozenset()


def test_mels_and_sounds_of_each_epoch(told: dict[str, list[Any]]) -> None:
    assert list(told) == list(FACETRON.stages)
    for stage, epochs in (("decoder", (1, 2)), ("joint", (1, 2)), ("vocoder", (1,))):
        images, sounds = of(told[stage], "image"), of(told[stage], "audio")
        assert set(images) == {(f"mel_real_above_made/{c}", e) for c in SHOWN for e in epochs}
        made = {(f"sound_made/{c}", e) for c in SHOWN for e in epochs}
        real = {(f"sound_real/{c}", 1) for c in SHOWN}
        assert set(sounds) == made | real
        for picture in images.values():
            assert (picture.shape, picture.dtype) == ((162, 150, 3), np.uint8)
        for (tag, _), sound in sounds.items():
            # Griffin-Lim makes what the mel's frames span, a window's rest longer.
            assert abs(sound.shape[1] - 48_000) <= 1024, tag
            assert np.abs(sound).max() <= 1
    assert (
        {kind for kind, *_ in told["face"]} == {kind for kind, *_ in told["prosody"]} == {"scalar"}
    )


def test_the_upper_picture_is_the_real_mel(told: dict[str, list[Any]], build: Path) -> None:
    real = np.load(build / "mel" / "s5" / "brbk7n.npy")
    expected = mel_picture(real, color_range(real))
    for stage in ("decoder", "vocoder", "joint"):
        shown = of(told[stage], "image")["mel_real_above_made/s5/brbk7n", 1]
        np.testing.assert_array_equal(shown[:80], expected)
        assert (shown[82:] != expected).any()
    stored, _ = soundfile.read(build / "audio" / "s5" / "brbk7n.wav", dtype="float32")
    np.testing.assert_array_equal(of(told["joint"], "audio")["sound_real/s5/brbk7n", 1][0], stored)


def test_the_lip_stage_tells_what_it_reads(told: dict[str, list[Any]]) -> None:
    texts = of(told["lip"], "text")
    assert set(texts) == {("lips", 1), ("lips", 2)}
    lines = texts["lips", 2].splitlines()
    assert lines[:2] == ["| clip | said | read |", "|---|---|---|"]
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {clip}" for clip in SHOWN]
    assert "| bin red by k seven now |" in lines[2]


def test_showing_changes_no_number(build: Path, told: dict[str, list[Any]], tmp_path: Path) -> None:
    for stage in ("lip", "vocoder"):
        train(stage, build, tmp_path / stage, "debug", sets=(*SETS, "train.loggers=csv"))
        assert not (tmp_path / stage / "tensorboard").exists()
        history = checkpoint.read_info(tmp_path / stage / "last.safetensors").history
        scalars = of(told[stage], "scalar")
        for name in ("train_loss", "val_loss"):
            assert [line[name] for line in history] == [scalars[name, e] for e in (1, 2)]


def test_a_mel_without_numbers_is_drawn_and_not_said() -> None:
    real = torch.zeros(1, 80, 40)
    batch = {"clips": ["s1/b", "s1/a"], "mel": torch.cat([real - 5, real])}
    (exhibit,) = mels_shown(batch, [1], torch.full_like(real, torch.nan), DEFAULT)
    assert exhibit.clip == "s1/a"
    assert exhibit.made is None
    assert exhibit.mels is not None
    np.testing.assert_array_equal(exhibit.mels, above(real[0].numpy(), real[0].numpy() - 1))


def test_a_table_needs_texts() -> None:
    assert table([Exhibit("s1/a")]) == ""
    assert table([Exhibit("s1/a", said="bin")]).endswith("| s1/a | bin | – |")


def test_a_recording_that_is_gone_is_named(build: Path, tmp_path: Path) -> None:
    _, rows = read_manifest(build)
    with pytest.raises(BadInput, match=r"bbaf2n\.wav does not exist"):
        recordings([FeatureRow.of(rows[0], tmp_path)], 16_000)
    assert recordings([FeatureRow.of(rows[0], build)], 8_000) == []


def test_event_files_hold_them(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    picture = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    sound = np.array([0.5, 2.0, np.nan] * 100, np.float32)
    shown = [Exhibit("s1/a", picture, sound, sound), Exhibit("s1/b", said="bin", read="bit")]
    with SummaryWriter(str(tmp_path)) as writer:  # type: ignore[no-untyped-call]
        write(writer, shown, 3, 16_000)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    tags = events.Tags()
    assert tags["images"] == ["mel_real_above_made/s1/a"]
    assert sorted(tags["audio"]) == ["sound_made/s1/a", "sound_real/s1/a"]
    (image,) = events.Images("mel_real_above_made/s1/a")
    assert (image.step, image.width, image.height) == (3, 30, 20)
    (heard,) = events.Audio("sound_made/s1/a")
    assert (heard.sample_rate, heard.length_frames) == (16_000, 300)
    (text,) = events.Tensors("lips/text_summary")
    assert b"| s1/b | bin | bit |" in text.tensor_proto.string_val[0]
