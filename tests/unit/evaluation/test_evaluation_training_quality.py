"""How the quality network's training data is made and how its training is taken up again; PESQ
itself is replaced by a number, since its library is optional."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from evaluation.models.quality_net import QualityNet
from evaluation.training import quality, quality_data
from evaluation.training.common import UNSEEN
from evaluation.training.quality_data import Shard, build, gather, plan
from evaluation.training.quality_degradations import FAMILIES, HELD_OUT, SEEN, degrade
from evaluation.training.quality_report import agreement, judge
from manifests.errors import BadInput

RATE_HZ = 16_000
Make = Callable[..., NDArray[np.float64]]
SIZES = {"train": 60, "val": 8, "speakers": 30, "families": 20, "both": 12}


@pytest.fixture(scope="module")
def sound() -> NDArray[np.float64]:
    """Harmonics under an envelope, a pause at the end."""
    t = np.arange(RATE_HZ) / RATE_HZ
    voice = sum(np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 30))
    return np.asarray(0.2 * voice * np.sin(2 * np.pi * 2 * t) ** 2 * (t < 0.8))


@pytest.fixture
def builds(tmp_path: Path, sound: NDArray[np.float64]) -> tuple[Path, Path]:
    for corpus in ("real", "synthetic"):
        for speaker in ("s1", "s3", "s5", "s29"):
            folder = tmp_path / corpus / "audio" / speaker
            folder.mkdir(parents=True)
            for k in range(12):
                soundfile.write(folder / f"bbaf{k}n.wav", np.roll(sound, 97 * k), RATE_HZ)
    return tmp_path / "real", tmp_path / "synthetic"


@pytest.fixture
def fake_pesq(monkeypatch: pytest.MonkeyPatch) -> None:
    def pesq(reference: NDArray[np.float64], degraded: NDArray[np.float64], *_: object) -> float:
        return float(1 + 3 * abs(np.corrcoef(reference, degraded)[0, 1]))

    monkeypatch.setattr(quality_data, "pesq", pesq)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_keeps_its_promises(name: str, sound: NDArray[np.float64]) -> None:
    weak, strong = (degrade(sound, [name], s, np.random.default_rng(3)) for s in (0.02, 1.0))
    for out in (weak, strong):
        assert out.shape == sound.shape
        assert out.dtype == np.float64
        assert np.isfinite(out).all()
    again = degrade(sound, [name], 1.0, np.random.default_rng(3))
    np.testing.assert_array_equal(strong, again)

    def spectral_distance(out: NDArray[np.float64]) -> float:
        ours, theirs = (np.abs(np.fft.rfft(x.reshape(-1, 400))) for x in (out, sound))
        return float(np.abs(np.log(ours + 0.1) - np.log(theirs + 0.1)).mean())

    if name != "replaced":
        assert spectral_distance(weak) < 0.6 * spectral_distance(strong)


def test_noise_is_as_loud_as_asked(sound: NDArray[np.float64]) -> None:
    added = degrade(sound, ["white_noise"], 1.0, np.random.default_rng(0)) - sound
    frames = np.sort((sound.reshape(-1, 320) ** 2).mean(axis=1))
    snr_db = 10 * np.log10(frames[len(frames) // 2 :].mean() / (added**2).mean())
    assert snr_db == pytest.approx(-5, abs=0.1)


def test_what_is_left_out_is_left_out(builds: tuple[Path, Path]) -> None:
    items = plan(*builds, sizes=SIZES)
    assert items == plan(*builds, sizes=SIZES)
    assert items != plan(*builds, seed=1, sizes=SIZES)
    assert {s: sum(i.subset == s for i in items) for s in SIZES} == SIZES
    paths = {s: {i.path for i in items if i.subset == s} for s in SIZES}
    assert not paths["train"] & (paths["val"] | paths["families"])
    for item in items:
        held = item.speaker in UNSEEN
        assert held is (item.subset in ("speakers", "both"))
        unseen = bool(set(item.families) & set(HELD_OUT))
        assert unseen is (item.subset in ("families", "both"))
        assert 0 < item.strength <= 1
    assert {i.corpus for i in items} == {"real", "synthetic"}
    assert any(len(i.families) > 1 for i in items)
    assert set(SEEN).isdisjoint(HELD_OUT)
    assert len(HELD_OUT) >= 5


def test_an_interrupted_build_ends_the_same(
    builds: tuple[Path, Path], tmp_path: Path, fake_pesq: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality_data, "SHARD", 10)
    items = plan(*builds, sizes={"train": 25})
    whole = build(items, tmp_path / "whole")
    made = quality_data.make
    calls = []

    def dies(item: quality_data.Item) -> tuple[NDArray[np.float16], float]:
        calls.append(item)
        if len(calls) == 15:
            raise KeyboardInterrupt
        return made(item)

    monkeypatch.setattr(quality_data, "make", dies)
    with pytest.raises(KeyboardInterrupt):
        build(items, tmp_path / "again")
    assert len(list((tmp_path / "again").glob("*.npz"))) == 1
    again = build(items, tmp_path / "again")
    assert len(calls) == 15 + 15, "the first ten were kept"
    for a, b in zip(whole, again, strict=True):
        np.testing.assert_array_equal(a.mels, b.mels)
        np.testing.assert_array_equal(a.mos, b.mos)
    clean = [m for s in whole for m, i in zip(s.mos, s.items, strict=True) if not i.families]
    assert all(m == np.float32(4.64) for m in clean)
    with pytest.raises(BadInput, match="another plan"):
        build(plan(*builds, seed=1, sizes={"train": 25}), tmp_path / "again")
    with pytest.raises(BadInput, match=r"holds no audio/sN"):
        plan(tmp_path, builds[1])


def examples(n: int, subset: str = "train") -> Shard:
    """Loudness to be told from mels of noise."""
    rng = np.random.default_rng(0)
    mos = rng.uniform(1, 4.6, n).astype(np.float32)
    mels = (rng.normal(size=(n, 48, 60)) * 0.3 + mos[:, None, None] - 3).astype(np.float16)
    items = tuple(
        quality_data.Item(subset, "real", "s3", "x", ("hum",), 0.5, -26.0, i) for i in range(n)
    )
    return Shard(items, mels, mos)


def test_training_learns_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = quality.QualityTrainingOptions(
        steps=30, batch=8, crop_frames=48, average=0.8, save_every=15
    )
    data = examples(64)
    network = quality.train(data, data, tmp_path / "whole", options)
    found = agreement(quality.predictions(network, data.mels), data.mos)
    assert found["pearson"] is not None
    assert found["pearson"] > 0.9

    real = quality.predictions

    def killed(*_: object) -> NDArray[np.float32]:
        raise KeyboardInterrupt

    monkeypatch.setattr(quality, "predictions", killed)
    with pytest.raises(KeyboardInterrupt):
        quality.train(data, data, tmp_path / "again", options)
    monkeypatch.setattr(quality, "predictions", real)
    resumed = quality.train(data, data, tmp_path / "again", options)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0, msg=name)


def test_judging_counts_sets_and_families() -> None:
    data = examples(12)
    shards = [Shard(data.items, data.mels, data.mos)]
    shards += [examples(5, subset) for subset in ("val", "speakers", "families", "both")]
    shards[0].mos[3] = np.nan
    assert len(gather(shards, "train").items) == 11
    results = judge(QualityNet(), shards)
    assert results["train"]["all"]["n"] == 11
    assert results["both"]["hum"]["n"] == 5
    flat = agreement(np.ones(4, np.float32), np.full(4, 2.0, np.float32))
    assert flat == {"n": 4, "pearson": None, "spearman": None, "rmse": 1.0, "bias": -1.0}
