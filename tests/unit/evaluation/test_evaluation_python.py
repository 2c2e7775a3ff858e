"""The Python API: every function's example runs, arrays score as files do, tables hold what was scored."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import evaluation
from evaluation import Recording, Unscorable, metrics
from evaluation.inputs.enrollment import Enrolled, trials
from evaluation.inputs.pairs import SCORING_RATE_HZ, as_channels
from evaluation.metrics.base import get_metric
from evaluation.scoring.run import COLUMNS
from manifests.errors import BadInput, MissingDependency

Make = Callable[..., NDArray[np.float64]]
RATE_HZ = SCORING_RATE_HZ


@pytest.mark.parametrize("name", metrics.__all__)
def test_the_example_of_every_metric_runs(name: str) -> None:
    function = getattr(metrics, name)
    module = importlib.import_module(function.__module__)
    (found,) = doctest.DocTestFinder(recurse=False).find(function, name, module=module, globs={})
    assert found.examples, f"{name} has no example"
    lines: list[str] = []
    assert doctest.DocTestRunner().run(found, out=lines.append).failed == 0, "".join(lines)


def test_speaker_accuracy_is_that_of_the_metric() -> None:
    rng = np.random.default_rng(0)
    speakers = {name: rng.standard_normal(8) for name in ("s1", "s2", "s3")}
    targets = ["s1", "s2", "s3", "s3", "s1", "s2"] * 4
    voices = np.array([speakers[t] for t in targets]) + 1.5 * rng.standard_normal((24, 8))
    voices /= np.linalg.norm(voices, axis=1, keepdims=True)
    known = {n: Enrolled(("another",), v[None]) for n, v in speakers.items()}
    nearest = [trials(v, t, "clip", known).nearest for v, t in zip(voices, targets, strict=True)]
    expected = 100 * np.mean([one == other for one, other in zip(nearest, targets, strict=True)])
    assert 40 < expected < 100
    assert metrics.speaker_accuracy(voices, targets, speakers) == pytest.approx(expected)
    assert metrics.speaker_accuracy([[1, 0]], ["a"], {"a": [1, 0], "b": [2, 0]}) == 0, "a tie"


@pytest.mark.parametrize(
    ("voices", "targets", "speakers"),
    [
        ([], [], {"a": [1.0], "b": [2.0]}),
        ([[1.0]], ["a"], {"a": [1.0]}),
        ([[1.0]], ["c"], {"a": [1.0], "b": [2.0]}),
        ([[1.0, 2.0]], ["a"], {"a": [1.0], "b": [2.0]}),
        ([[np.nan]], ["a"], {"a": [1.0], "b": [2.0]}),
    ],
)
def test_a_speaker_accuracy_without_sense_is_refused(
    voices: list[list[float]], targets: list[str], speakers: dict[str, list[float]]
) -> None:
    with pytest.raises(ValueError, match=r"speaker|shape|finite"):
        metrics.speaker_accuracy(voices, targets, speakers)


@pytest.mark.parametrize(
    ("female", "genders"),
    [([], []), ([0.5], ["male", "male"]), ([0.5], ["other"]), ([1.5], ["male"]), ([np.nan], ["male"])],
)  # fmt: skip
def test_a_gender_agreement_without_sense_is_refused(
    female: list[float], genders: list[str]
) -> None:
    with pytest.raises(ValueError, match="probabilit"):
        metrics.gender_agreement(female, genders)


@pytest.mark.parametrize("module", ["manifests.ordering", "evaluation.stats.numbers"])
def test_examples_of_helpers_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert (result.failed, result.attempted > 0) == (0, True)


def test_importing_loads_no_heavy_library() -> None:
    code = "import sys, evaluation; from evaluation import metrics; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torch", "scipy", "pandas", "librosa", "soundfile"}


def test_arrays_score_as_files_do(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(
        tmp_path / "run", change=lambda s, i: 0.7 * s + 0.01 * np.cos(np.arange(len(s)))
    )
    names = [
        "stoi",
        "estoi",
        "mcd",
        "mel_l1",
        "f0_rmse",
        "vuv_error",
        "offset_ms",
        "degradation_index",
    ]
    of_run = evaluation.score(root, metrics=[*names, "level_dbfs"])
    assert tuple(of_run.columns) == COLUMNS
    assert len(of_run) == 4 * (len(names) + 2), "quality brings its floor along"
    file = "s1_bbaf2n.wav"
    reference, degraded = (
        soundfile.read(folder / file)[0] for folder in (tmp_path / "recordings", root / "wavs")
    )
    of_arrays = evaluation.score([(reference, degraded)], names, rate_hz=RATE_HZ)
    of_paths = evaluation.score([(tmp_path / "recordings" / file, root / "wavs" / file)], names)
    clip = of_run[of_run["clip"] == "s1/bbaf2n"].set_index("metric")["value"]
    for table in (of_arrays, of_paths):
        assert table.set_index("metric")["value"].to_dict() == clip[names].to_dict()
    pure = {
        "stoi": metrics.stoi(reference, degraded, RATE_HZ),
        "mcd": metrics.mcd(reference, degraded, RATE_HZ),
        "f0_rmse": metrics.f0_errors(reference, degraded, RATE_HZ).rmse_cents,
        "offset_ms": metrics.offset_ms(reference, degraded, RATE_HZ),
        "degradation_index": metrics.degradation_index(degraded, RATE_HZ),
    }
    assert pure == pytest.approx(clip[list(pure)].to_dict(), rel=1e-8)


def test_failures_have_reasons_and_no_value(make_sound: Make) -> None:
    sound = make_sound(1, 1.0)
    table = evaluation.score([(sound, np.zeros(16_000)), (None, sound)], ["stoi"], rate_hz=RATE_HZ)
    assert table["value"].isna().all()
    assert [reason.split(":")[0] for reason in table["reason"]] == ["silent", "no_reference"]
    with pytest.raises(Unscorable, match="length_mismatch"):
        metrics.stoi(sound, make_sound(1, 2.0), RATE_HZ)


def test_words_of_pairs(make_sound: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from evaluation.models.las_recognizer import LasRecognizer

    monkeypatch.setattr(LasRecognizer, "transcript", lambda *_: "bin blue at f nine now")
    sound = make_sound(1, 1.0)
    said = ["bin blue at f two now"]
    table = evaluation.score([(None, sound)], ["wer"], rate_hz=RATE_HZ, sentences=said)
    assert table["value"].tolist() == [pytest.approx(100 / 6)]
    with pytest.raises(BadInput, match="2 sentences for 1 pairs"):
        evaluation.score([(None, sound)], ["wer"], rate_hz=RATE_HZ, sentences=[*said, *said])


def test_samples_of_any_kind(make_sound: Make) -> None:
    sound = make_sound(1, 1.0)
    whole = np.round(sound * 32768).astype(np.int16)
    assert np.abs(Recording(whole, RATE_HZ).samples - sound).max() < 1e-4
    stereo = np.stack([sound, sound], axis=1)
    assert np.allclose(Recording(stereo, RATE_HZ).samples, sound)
    assert (
        np.abs(as_channels(np.array([0, 128, 255], np.uint8))[:, 0] - [-1, 0, 0.992]).max() < 1e-3
    )
    for bad, rate_hz in ((stereo.T, RATE_HZ), (sound, 0), (sound, None), (sound > 0, RATE_HZ)):
        with pytest.raises(BadInput):
            Recording(bad, rate_hz)


def test_what_cannot_be_scored_is_refused(tmp_path: Path, make_sound: Make) -> None:
    sound = make_sound(1, 1.0)
    with pytest.raises(BadInput, match="no metric 'sto'"):
        evaluation.score([(sound, sound)], ["sto"], rate_hz=RATE_HZ)
    with pytest.raises(BadInput, match="is not a folder"):
        evaluation.score(tmp_path / "nothing")
    with pytest.raises(BadInput, match="recognizer given for pairs"):
        evaluation.score([(sound, sound)], ["stoi"], rate_hz=RATE_HZ, recognizer="las")
    with pytest.raises(MissingDependency):
        evaluation.score([(sound, sound)], ["nisqa_tts"], rate_hz=RATE_HZ)


def test_an_open_run_is_taken(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    from manifests import Run

    table = evaluation.score(Run(make_run(tmp_path / "run")), metrics=["level_dbfs"])
    assert set(table["clip"]) == {"s1/bbaf2n", "s1/lgbf6s", "s2/bbaf2n", "s2/lgbf6s"}


def test_the_floor_of_a_metric_is_the_metric_on_the_recordings(make_sound: Make) -> None:
    from evaluation.inputs.pairs import paired

    real, made = make_sound(1, 1.5), make_sound(2, 1.5)
    metric = get_metric("degradation_index")
    floor = get_metric(metric.info.floor)
    assert (floor.info.group, floor.info.needs_degraded) == ("floor", False)
    on_recording = metric.score(paired(None, real, RATE_HZ)).value
    assert floor.score(paired(real, made, RATE_HZ)).value == on_recording
    assert floor.score(paired(None, made, RATE_HZ)).reason.startswith("no_reference")
    with pytest.raises(BadInput, match="no metric 'stoi_floor'"):
        get_metric("stoi_floor")
