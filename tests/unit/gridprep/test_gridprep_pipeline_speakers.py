"""Clips that stand out among their speaker's."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from gridprep.pipeline.speakers import Patterns, Result, compared
from manifests.records import ClipFailure, ManifestRow

RNG = np.random.default_rng(0)
FACES = {name: RNG.uniform(0, 255, 144) for name in ("s1", "s4")}
VOICES = {name: RNG.normal(0, 1, 20) for name in ("s1", "s4")}
F0_HZ = {"s1": 110.0, "s4": 200.0}


def row(speaker: str, stem: str) -> ManifestRow:
    return ManifestRow(
        speaker, "male", stem, "", "train", (), {}, 75, 48_000, 16_000, 150, 0, (), {}, "x.mpg", "", {}
    )  # fmt: skip


def patterns(face: str, voice: str) -> Patterns:
    return Patterns(
        FACES[face] + RNG.normal(0, 10, 144), VOICES[voice] + RNG.normal(0, 0.05, 20), F0_HZ[voice]
    )


def results(*odd: Patterns | None, of: int = 6) -> list[Result]:
    usual: list[Result] = [(row("s1", f"u{i}"), patterns("s1", "s1")) for i in range(of)]
    return [*usual, *((row("s1", f"odd{i}"), p) for i, p in enumerate(odd))]


def test_the_clip_of_another_speaker_is_a_failure() -> None:
    found = list(compared(results(patterns("s4", "s4"))))
    assert [isinstance(result, ClipFailure) for result in found] == [False] * 6 + [True]
    failure = found[-1]
    assert isinstance(failure, ClipFailure)
    assert (failure.stage, failure.reason) == ("content", "other_speaker")
    assert "+0.862 octaves" in failure.detail
    assert failure.evidence["face_likeness"] < 0.6


def test_a_face_or_a_voice_alone_is_a_flag() -> None:
    found = list(compared(results(patterns("s4", "s1"), patterns("s1", "s4"))))
    flags = [result.flags for result in found if isinstance(result, ManifestRow)]
    assert flags == [()] * 6 + [("face_unlike_speaker",), ("voice_unlike_speaker",)]


def test_few_clips_say_nothing_and_results_keep_their_order() -> None:
    few = results(patterns("s4", "s4"), of=3)
    assert [r for r, _ in few] == list(compared(few))
    failure = ClipFailure("s1", "bad", "decode", "no_video", "", "")
    mixed: list[Result] = [(failure, None), *results(None), (row("s2", "other"), None)]
    found = list(compared(mixed))
    assert [r.stem for r in found] == [r.stem for r, _ in mixed]
    assert found[0] is failure
    assert "face_likeness" not in found[-2].qc  # type: ignore[union-attr]


def test_patterns_come_from_finished_stages() -> None:
    content = SimpleNamespace(data={"face_pattern": bytes(range(144)).hex(), "voice_pattern": None})
    mels = SimpleNamespace(data={"qc": {"f0_median_hz": 120.0}})
    found = Patterns.of_stages({"content": content, "mels": mels})
    assert found is not None
    assert found.face.tolist() == list(range(144))
    assert (found.voice, found.f0_hz) == (None, 120.0)
    assert Patterns.of_stages({"mels": mels}) is None
