"""What every registered metric must keep, and the order that all of them must see."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from evaluation.inputs.pairs import Pair, Recording
from evaluation.metrics.base import OPTIONAL, REGISTRY, Group, get_metric
from manifests.records import RunClip

RATE_HZ = 16_000
Make = Callable[..., NDArray[np.float64]]
RANKED = [
    name
    for name in REGISTRY
    if name not in OPTIONAL
    and get_metric(name).info.direction != "none"
    # A speaker is told among the run's speakers: `test_evaluation_speaker` has those orders.
    and get_metric(name).info.group != "voice"
    # What hears no recording cannot know a perfect copy: `test_evaluation_quality_net` and
    # `test_evaluation_judges` have their values.
    and get_metric(name).info.needs_reference
]
PERFECT = {
    "stoi": 1.0, "estoi": 1.0, "stoi_aligned": 1.0, "estoi_aligned": 1.0, "mcd": 0.0,
    "mcd_dtw": 0.0, "mel_l1": 0.0, "f0_rmse": 0.0, "vuv_error": 0.0, "f0_corr": 1.0,
}  # fmt: skip


def pair_of(
    folder: Path, reference: NDArray[np.float64], degraded: NDArray[np.float64], name: str
) -> Pair:
    paths = folder / f"{name}_reference.wav", folder / f"{name}.wav"
    soundfile.write(paths[0], reference, RATE_HZ)
    soundfile.write(paths[1], degraded, RATE_HZ)
    clip = RunClip("s1", name, "bin blue at f two now", "male", paths[1].name, paths[0].name)
    return Pair(clip, Recording(paths[1]), Recording(paths[0]))


@pytest.fixture
def pairs(tmp_path: Path, make_sound: Make) -> dict[str, Pair]:
    """The recording against: itself, itself late by 40 ms, another sentence, white noise."""
    sound = make_sound(1, 2.5)
    late = np.concatenate([sound[-640:], sound[:-640]])
    noise = 0.1 * np.random.default_rng(0).standard_normal(len(sound))
    other = make_sound(5, 2.5, f0_hz=180)
    build = partial(pair_of, tmp_path, sound)
    return {
        "same": build(sound, "same"),
        "late": build(late, "late"),
        "other": build(other, "other"),
        "noise": build(noise, "noise"),
    }


@pytest.mark.parametrize("name", REGISTRY)
def test_information_is_complete(name: str) -> None:
    info = get_metric(name).info
    assert info.name == name
    assert info.direction in ("higher", "lower", "none")
    assert info.group in get_args(Group)
    assert all([info.label, info.definition, info.citation, info.license])
    assert info.identity()["metric"] == name


def test_every_ranked_metric_is_in_the_orders_below() -> None:
    assert set(PERFECT) == set(RANKED)


def test_orders(pairs: dict[str, Pair]) -> None:
    scores = {
        key: {name: get_metric(name).score(pair) for name in RANKED} for key, pair in pairs.items()
    }
    for name in RANKED:
        higher = get_metric(name).info.direction == "higher"
        same = scores["same"][name]
        assert same.value == pytest.approx(PERFECT[name], abs=1e-6), name
        for worse in ("other", "noise"):
            score = scores[worse][name]
            if score.status == "failed":  # noise has no F0 to compare
                assert name in ("f0_rmse", "f0_corr"), name
                assert score.reason.startswith("too_few_voiced")
            else:
                assert score.value is not None
                assert (score.value < same.value) is higher, (name, worse)  # type: ignore[operator]
    value = {key: {n: s.value or 0.0 for n, s in found.items()} for key, found in scores.items()}
    for plain in ("stoi", "estoi"):
        assert value["noise"][plain] < 0.4
        assert value["late"][plain] < 0.75, "a shift of 40 ms costs the raw score"
        assert value["late"][f"{plain}_aligned"] > 0.97, "and not the aligned one"
    assert value["late"]["mcd_dtw"] < 0.5 * value["late"]["mcd"]
    assert value["noise"]["mcd"] > value["late"]["mcd"]
    assert get_metric("offset_ms").score(pairs["late"]).value == pytest.approx(40, abs=0.5)


@pytest.mark.parametrize("name", [n for n in REGISTRY if n not in OPTIONAL])
def test_silence_fails_everywhere(tmp_path: Path, make_sound: Make, name: str) -> None:
    sound = make_sound(1, 1.0)
    silent = pair_of(tmp_path, sound, np.zeros_like(sound), "silent")
    score = get_metric(name).score(silent)
    assert (score.status, score.value) == ("failed", None)
    assert score.reason.startswith("silent")
    deaf = get_metric(name).score(pair_of(tmp_path, np.zeros_like(sound), sound, "deaf"))
    if get_metric(name).info.needs_reference:
        assert deaf.reason.startswith("reference_silent")
    elif name.startswith(("speaker_", "ge2e_")):
        assert deaf.reason.startswith("no_enrollment"), "a pair alone has no other speakers"
    else:
        assert deaf.status == "ok"
