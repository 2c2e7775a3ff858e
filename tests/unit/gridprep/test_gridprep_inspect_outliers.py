"""Which clips stand out, by numbers alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gridprep.inspection.criteria import CRITERIA, Criterion, Norm, confident_offset, number
from gridprep.inspection.outliers import (
    FailureGroup,
    Ranking,
    group_failures,
    norms,
    rank,
    speaker_summaries,
)
from manifests.records import ClipFailure, ManifestRow, WordSpan
from manifests.sync import CONFIDENT_MARGIN

ORDINARY: dict[str, Any] = {
    "jitter_px": 0.1,
    "found_share": 1.0,
    "lips_border_px": 0.0,
    "face_border_px": 0.0,
    "mouth_off_center_px": 1.2,
    "scale": 1.7,
    "av_offset_frames": -0.4,
    "av_correlation": 0.6,
    "av_margin": 0.3,
    "rms_dbfs": -19.0,
    "voiced_share": 0.35,
    "f0_median_hz": 110.0,
}


def row(stem: str = "bbaf2n", speaker: str = "s1", **qc: Any) -> ManifestRow:
    words = (WordSpan("bin", 0.5, 1.0, 12, 25), WordSpan("now", 1.0, 2.5, 25, 63))
    return ManifestRow(
        speaker=speaker,
        gender="male",
        stem=stem,
        sentence="bin now",
        subset="train",
        words=words,
        paths={},
        video_frames=75,
        audio_samples=48_000,
        sample_rate_hz=16_000,
        mel_frames=150,
        samples_added=352,
        flags=(),
        qc={**ORDINARY, **qc},
        source_path=f"{speaker}/{stem}.mpg",
        source_sha256="",
        fingerprints={},
    )


def ordinary(n: int = 5, speaker: str = "s1") -> list[ManifestRow]:
    return [row(f"bbaf{i}n", speaker) for i in range(1, n + 1)]


def by_key(rows: list[ManifestRow], worst: int = 12) -> dict[str, Ranking]:
    return {r.criterion.key: r for r in rank(rows, worst)}


def test_keys_are_unique_and_ordinary_clips_are_not_flagged() -> None:
    assert len({c.key for c in CRITERIA}) == len(CRITERIA)
    assert sum(r.n_flagged for r in rank(ordinary(), 12)) == 0
    assert all(r.n_judged == 5 for r in rank(ordinary(), 12))


@pytest.mark.parametrize(
    ("key", "qc", "value"),
    [
        ("jitter", {"jitter_px": 0.8}, 0.8),
        ("interpolated", {"found_share": 0.8}, 20.0),
        ("lips-border", {"lips_border_px": 0.4}, 0.4),
        ("face-border", {"face_border_px": 3.0}, 3.0),
        ("mouth", {"mouth_off_center_px": 5.5}, 5.5),
        ("face-size", {"scale": 1.36}, 25.0),
        ("av-offset", {"av_offset_frames": -6.0}, -6.0),
        ("av-correlation", {"av_correlation": 0.1}, 0.1),
        ("level", {"rms_dbfs": -44.0}, -44.0),
        ("voiced", {"voiced_share": 0.02}, 2.0),
        ("voice", {"f0_median_hz": 220.0}, 12.0),
    ],
)
def test_each_criterion_flags_its_own_fault_only(
    key: str, qc: dict[str, Any], value: float
) -> None:
    odd = row("zodd", **qc)
    found = by_key([*ordinary(), odd])
    assert [k for k, r in found.items() if r.n_flagged] == [key]
    worst = found[key].worst[0]
    assert (worst.row.stem, worst.flagged) == ("zodd", True)
    assert worst.value == pytest.approx(value)


def test_fields_of_the_row_are_judged_too() -> None:
    short = replace(row("short"), samples_added=1188)
    late = replace(row("late"), words=(WordSpan("now", 1.0, 2.97, 25, 75),))
    just = replace(row("just"), words=(WordSpan("now", 1.0, 2.92, 25, 73),))
    found = by_key([*ordinary(), short, late, just])
    assert [f.row.stem for f in found["samples-added"].worst if f.flagged] == ["short"]
    assert [f.row.stem for f in found["last-word"].worst if f.flagged] == ["late"]
    # 1000 · (3 − 2.92) is 80.00000000000007 in floating point, and not below 80.
    assert found["last-word"].worst[1].value == 80


def test_an_unsure_offset_is_not_judged() -> None:
    unsure = row("unsure", av_offset_frames=8.0, av_margin=CONFIDENT_MARGIN - 0.01)
    sure = row("sure", av_offset_frames=4.0, av_margin=CONFIDENT_MARGIN)
    found = by_key([*ordinary(), unsure, sure])["av-offset"]
    assert [f.row.stem for f in found.worst if f.flagged] == ["sure"]
    assert (found.n_judged, found.n_unjudged) == (6, 1)
    assert confident_offset(unsure) is None
    assert confident_offset(sure) == 4.0


def test_a_build_without_these_numbers_is_not_judged_and_not_wrong() -> None:
    bare = [replace(r, qc={}, words=()) for r in ordinary()]
    for ranking in rank(bare, 12):
        if ranking.criterion.key != "samples-added":
            assert (ranking.n_judged, ranking.n_flagged, ranking.worst) == (0, 0, ())
            assert ranking.n_unjudged == 5
    (speaker,) = speaker_summaries(bare, [])
    assert speaker.jitter_px is speaker.av_offset_frames is speaker.av_confident_percent is None


@pytest.mark.parametrize("value", [None, "9", True, float("nan"), float("inf")])
def test_what_is_no_number_is_not_measured(value: object) -> None:
    assert number(row(jitter_px=value), "jitter_px") is None


def test_worst_first_ties_by_name_and_perfect_values_left_out() -> None:
    rows = [row("b", jitter_px=0.5), row("a", jitter_px=0.5), row("c", jitter_px=0.9)]
    rows += [row("d", jitter_px=0.0)]
    found = by_key(rows)["jitter"]
    assert [f.row.stem for f in found.worst] == ["c", "a", "b"]
    assert found.n_judged == 4
    assert [f.row.stem for f in by_key(rows, worst=2)["jitter"].worst] == ["c", "a"]
    assert by_key(rows)["interpolated"].worst == ()
    levels = [row("b", rms_dbfs=-20.0), row("a", rms_dbfs=-40.0), row("c", rms_dbfs=-30.0)]
    assert [f.row.stem for f in by_key(levels)["level"].worst] == ["a", "c", "b"]


def test_what_is_usual_is_the_speakers_own() -> None:
    woman = [replace(r, qc={**r.qc, "f0_median_hz": 220.0}) for r in ordinary(5, "s4")]
    found = by_key([*ordinary(5, "s1"), *woman])
    assert found["voice"].n_flagged == 0
    assert norms(ordinary(2)) == {"s1": Norm(None, None)}
    assert by_key([row("a"), row("b", f0_median_hz=400.0)])["voice"].n_judged == 0


def test_limits_are_told() -> None:
    def told(worst: Any, limit: float, unit: str) -> str:
        return Criterion("k", "t", "s", unit, worst, limit, lambda *_: None).rule

    assert told("high", 0.3, "px") == "above 0.3 px"
    assert told("low", -35.0, "dBFS") == "below −35 dBFS"
    assert told("far", 2.5, "frames") == "beyond ±2.5 frames"
    assert told("low", 0.25, "") == "below 0.25"


def failure(speaker: str, stem: str, reason: str = "grey_frames") -> ClipFailure:
    return ClipFailure(speaker, stem, "decode", reason, f"{stem} is bad")


def test_speakers_are_summed_up() -> None:
    rows = [
        row("a", jitter_px=0.1, av_offset_frames=-1.0),
        row("b", jitter_px=0.2, av_offset_frames=-2.0, lips_border_px=2.0, face_border_px=1.0),
        row("c", jitter_px=0.9, av_offset_frames=9.0, av_margin=0.0),
        replace(row("d", "s10"), subset="test"),
    ]
    first, second, third = speaker_summaries(rows, [failure("s1", "x"), failure("s30", "y")])
    assert (first.speaker, second.speaker, third.speaker) == ("s1", "s10", "s30")
    assert (first.rows, first.failures, first.flagged) == (3, 1, 2)
    assert first.subsets == {"train": 3}
    assert first.jitter_px == pytest.approx(0.2)
    assert first.over_border == 1
    assert first.av_offset_frames == pytest.approx(-1.5)
    assert first.av_confident_percent == pytest.approx(200 / 3)
    assert second.subsets == {"test": 1}
    assert (third.rows, third.failures, third.gender) == (0, 1, "")


def test_failures_are_grouped_by_reason_with_examples() -> None:
    failures = [failure("s10", "b"), failure("s2", "a"), failure("s1", "z", "no_face")]
    failures += [failure("s2", f"c{i}") for i in range(7)]
    grey, face = group_failures(failures, n_examples=3)
    assert (grey.reason, grey.count, grey.speakers) == ("grey_frames", 9, {"s2": 8, "s10": 1})
    assert [f.clip_id for f in grey.examples] == ["s2/a", "s2/c0", "s2/c1"]
    assert face == FailureGroup("decode", "no_face", 1, {"s1": 1}, (failures[2],))
    assert group_failures([]) == ()
