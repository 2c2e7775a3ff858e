"""Swaps: whose recordings the speakers are known by, whether the F0 goes with the face, and Table III."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from evaluation_builds import write_build, write_run_on
from numpy.typing import NDArray

from evaluation import Unscorable, metrics
from evaluation.inputs.pairs import read_run
from evaluation.inputs.settings import Settings
from evaluation.inputs.speaker_recordings import recordings
from evaluation.metrics.base import get_metric, select
from evaluation.reporting.reported import paper_tables
from evaluation.reporting.tables import TableOptions
from evaluation.scoring.run import ScoredRun, score_runs
from manifests.records import Score

Sounds = dict[str, NDArray[np.float64]]
STEMS = ("bbaf2n", "lgbf6s", "swbvzs")
F0_HZ = {"s1": 110.0, "s4": 220.0, "s2": 115.0}
METRICS = ["f0_voice", "f0_follows"]


@pytest.fixture
def sounds(make_sound: Callable[..., NDArray[np.float64]]) -> Sounds:
    return {
        f"{speaker}/{stem}": make_sound(k, 3.0, f0_hz=f0)
        for speaker, f0 in F0_HZ.items()
        for k, stem in enumerate(STEMS)
    }


def score(root: Path, names: list[str] = METRICS) -> ScoredRun:
    chosen, absent = select(names, Settings(swaps=True))
    assert not absent
    (found,) = score_runs([read_run(root)], chosen, progress=False)
    return found


def test_recordings_come_from_the_run_then_from_its_build(tmp_path: Path, sounds: Sounds) -> None:
    build = write_build(tmp_path / "build", sounds)
    some = {clip: sounds[clip] for clip in ("s1/lgbf6s",)}
    run = read_run(write_run_on(tmp_path / "run", build, some, voices={"s1/lgbf6s": "s4"}))
    found = recordings(run, 2)
    assert set(found) == {"s1", "s4"}, "those of lips and faces, no others"
    assert list(found["s1"]) == ["s1/lgbf6s", "s1/bbaf2n"], "the run's own first"
    assert list(found["s4"]) == ["s4/bbaf2n", "s4/swbvzs"], "evenly over the names"
    assert all(path.is_file() for clips in found.values() for path in clips.values())
    (build / "manifest.jsonl").write_text("{}")
    assert recordings(run, 2)["s4"] == {}, "a broken build costs only what it would have added"


def test_the_f0_goes_with_the_face_or_stays_with_the_lips(tmp_path: Path, sounds: Sounds) -> None:
    build = write_build(tmp_path / "build", sounds)
    voices = {"s1/bbaf2n": "s4", "s4/bbaf2n": "s1"}
    follows = {clip: sounds[f"{voice}/lgbf6s"] for clip, voice in voices.items()}
    stays = {clip: sounds[clip] for clip in voices}
    good = score(write_run_on(tmp_path / "good", build, follows, voices=voices))
    bad = score(write_run_on(tmp_path / "bad", build, stays, voices=voices))
    for found, share, least, most in ((good, 100.0, 0, 150), (bad, 0.0, 900, 1500)):
        for clip, voice in voices.items():
            label = f"{clip}→{voice}"
            assert found.scores[label, "f0_follows"].value == share
            away = found.scores[label, "f0_voice"].value
            assert away is not None
            assert least <= away <= most, "an octave lies between the two"
    details = good.scores["s1/bbaf2n→s4", "f0_follows"].details
    assert details["moved"] == pytest.approx(1, abs=0.15)
    assert details["lips_f0_hz"] < 130 < 180 < details["voice_f0_hz"]


def test_functions_of_arrays_agree_with_the_metrics(tmp_path: Path, sounds: Sounds) -> None:
    """Each speaker has one recording, so that the mean over a speaker's recordings is that one."""
    known = {f"{speaker}/lgbf6s": sounds[f"{speaker}/lgbf6s"] for speaker in ("s1", "s4")}
    swap = 0.6 * sounds["s1/bbaf2n"] + 0.4 * sounds["s4/bbaf2n"]
    root = write_run_on(
        tmp_path / "run",
        write_build(tmp_path / "build", known),
        {"s1/bbaf2n": swap},
        voices={"s1/bbaf2n": "s4"},
    )
    found = score(root, [*METRICS, "voice_follows"]).scores
    speech = soundfile.read(root / "wavs" / "s1_bbaf2n.wav")[0]
    build = tmp_path / "build" / "audio"
    lips, voice = (soundfile.read(build / s / "lgbf6s.wav")[0] for s in ("s1", "s4"))
    label = "s1/bbaf2n→s4"
    cents = metrics.f0_to_voice(speech, voice, 16_000)
    assert cents == pytest.approx(found[label, "f0_voice"].value)
    moved = metrics.f0_moved(speech, voice, lips, 16_000)
    assert moved == pytest.approx(found[label, "f0_follows"].details["moved"], abs=1e-3)
    follows = metrics.voice_follows(speech, voice, lips, 16_000)
    assert 100 * follows == found[label, "voice_follows"].value
    with pytest.raises(Unscorable, match="voices_alike"):
        metrics.f0_moved(speech, lips, lips, 16_000)


def test_when_the_f0_cannot_tell(tmp_path: Path, sounds: Sounds) -> None:
    build = write_build(tmp_path / "build", sounds)
    clips = {clip: sounds[clip] for clip in ("s1/bbaf2n", "s1/lgbf6s", "s4/swbvzs")}
    voices = {"s1/bbaf2n": "s2", "s4/swbvzs": "s9"}
    found = score(write_run_on(tmp_path / "run", build, clips, voices=voices)).scores
    assert found["s1/bbaf2n→s2", "f0_follows"].reason.startswith("voices_alike")
    assert found["s1/bbaf2n→s2", "f0_voice"].status == "ok"
    assert found["s1/lgbf6s", "f0_follows"].reason.startswith("no_swap")
    assert found["s4/swbvzs→s9", "f0_follows"].reason == (
        "no_recordings: neither run nor build holds a voiced recording of s9"
    )
    burst = np.zeros(48_000)
    burst[8_000:10_000] = 0.3 * np.sin(np.arange(2_000) * 0.05)
    noise = {"s1/bbaf2n": burst}
    quiet = score(write_run_on(tmp_path / "q", build, noise, voices={"s1/bbaf2n": "s4"})).scores
    assert quiet["s1/bbaf2n→s4", "f0_voice"].reason.startswith("too_few_voiced")


def test_other_recordings_are_another_score(tmp_path: Path, sounds: Sounds) -> None:
    build = write_build(tmp_path / "build", sounds)
    clip = {"s1/bbaf2n": sounds["s4/lgbf6s"]}
    root = write_run_on(tmp_path / "run", build, clip, voices={"s1/bbaf2n": "s4"})
    assert score(root, ["f0_voice"]).n_new == 1
    assert score(root, ["f0_voice"]).n_new == 0
    recording = build / "audio" / "s4" / "bbaf2n.wav"
    recording.write_bytes((build / "audio" / "s2" / "bbaf2n.wav").read_bytes())
    assert score(root, ["f0_voice"]).n_new == 1


def test_settings_want_them_in_swap_runs_only() -> None:
    for swaps in (True, False):
        names = {m.info.name for m in select(None, Settings(swaps=swaps))[0]}
        assert ({"f0_voice", "f0_follows"} <= names) is swaps
        assert bool({"voice_follows", "voice_follows_ge2e"} & names) is swaps


def with_scores(root: Path, values: dict[str, float]) -> ScoredRun:
    run = read_run(root)
    scores: dict[tuple[str, str], Score] = {}
    for clip in run.clips:
        for name, value in values.items():
            label = f"{clip.clip_id}→{clip.voice}" if clip.voice else clip.clip_id
            details: dict[str, Any] = {"expected": "male", "chance": 50.0}
            scores[label, name] = Score(clip.speaker, clip.stem, name, value, "ok", details=details)
    return ScoredRun(run, scores, 0)


def test_table_iii(tmp_path: Path, sounds: Sounds) -> None:
    build = write_build(tmp_path / "build", sounds)
    clips = {clip: sounds[clip] for clip in ("s1/bbaf2n", "s4/bbaf2n", "s1/lgbf6s")}
    voices = {"s1/bbaf2n": "s4", "s4/bbaf2n": "s1"}
    root = write_run_on(tmp_path / "run", build, clips, voices=voices)
    values = {"wer": 12.5, "voice_follows": 100.0, "gender_agreement": 90.0}
    chosen = [get_metric(name) for name in values]
    (table,) = paper_tables("disentanglement", [with_scores(root, values)], chosen, TableOptions())
    names = [info.name for info in table.columns]
    assert names == [
        "nisqa_tts", "cer", "wer", "voice_follows", "gender_agreement", "mos", "smos_speaker",
    ]  # fmt: skip
    measured, reported = table.rows
    assert (measured.kind, reported.kind) == ("model", "reported")
    cells = dict(zip(names, measured.cells, strict=True))
    assert (cells["wer"].mean, cells["wer"].n_ok) == (12.5, 2), (
        "the clip that is no swap is not in it"
    )
    assert cells["voice_follows"].mean == 100
    assert [c.shown for c in reported.cells] == ["3.41", "8.3", "14.3", "–", "–", "3.57", "3.8"]
    assert "with the sentence of the lips" in " ".join(table.remarks)


def test_table_iii_without_swaps_is_the_papers(tmp_path: Path, sounds: Sounds) -> None:
    build = write_build(tmp_path / "build", sounds)
    root = write_run_on(tmp_path / "run", build, {"s1/bbaf2n": sounds["s1/bbaf2n"]})
    scored = with_scores(root, {"voice_follows": 100.0})
    (table,) = paper_tables(
        "disentanglement", [scored], [get_metric("voice_follows")], TableOptions()
    )
    assert [info.name for info in table.columns][-1] == "smos_speaker"
    assert [row.kind for row in table.rows] == ["reported"]
    assert "against the sentence" not in " ".join(table.remarks)
