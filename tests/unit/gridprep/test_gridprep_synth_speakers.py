"""The law by which a look predicts a voice."""

from __future__ import annotations

import numpy as np
import pytest

from gridprep.synth.speakers import NEVER_EXTREME, synthetic_speaker
from manifests.corpus_lists import SPEAKERS, gender_of
from manifests.errors import BadInput

PEOPLE = {s: synthetic_speaker(s, 0) for s in SPEAKERS}


def look_features(speaker: str) -> list[float]:
    look = PEOPLE[speaker].look
    return [
        1.0,
        look.jaw_width,
        look.brow_thickness,
        look.hair_tone,
        look.stubble,
        look.face_length,
    ]


def test_speakers_are_grids() -> None:
    assert len(PEOPLE) == 33
    assert "s21" not in PEOPLE
    assert all(p.gender == gender_of(s) for s, p in PEOPLE.items())
    assert all(88 <= p.voice.f0_hz <= 150 for p in PEOPLE.values() if p.gender == "male")
    assert all(168 <= p.voice.f0_hz <= 262.01 for p in PEOPLE.values() if p.gender == "female")


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_unseen_speakers_lie_inside_the_others(seed: int) -> None:
    people = {s: synthetic_speaker(s, seed) for s in SPEAKERS}
    for speaker in NEVER_EXTREME:
        own = people[speaker]
        peers = [p for s, p in people.items() if s not in NEVER_EXTREME and p.gender == own.gender]
        for value in (
            lambda p: p.voice.f0_hz,
            lambda p: p.voice.formant_scale,
            lambda p: p.look.jaw_width,
            lambda p: p.look.hair_tone,
            lambda p: p.look.face_length,
        ):
            assert min(map(value, peers)) < value(own) < max(map(value, peers))


def test_look_predicts_the_voice_of_speakers_never_seen() -> None:
    seen = [s for s in SPEAKERS if s not in NEVER_EXTREME]
    x = np.array([look_features(s) for s in seen])
    for target, tolerance in (
        (lambda p: np.log(p.voice.f0_hz), 0.02),
        (lambda p: np.log(p.voice.formant_scale), 0.03),
    ):
        y = np.array([target(PEOPLE[s]) for s in seen])
        weights = np.linalg.lstsq(x, y, rcond=None)[0]
        for speaker in NEVER_EXTREME:
            predicted = float(np.array(look_features(speaker)) @ weights)
            assert abs(predicted - target(PEOPLE[speaker])) < tolerance


def test_jaw_alone_gives_pitch() -> None:
    jaw = [p.look.jaw_width for p in PEOPLE.values()]
    log_f0 = [np.log(p.voice.f0_hz) for p in PEOPLE.values()]
    assert np.corrcoef(jaw, log_f0)[0, 1] < -0.999


def test_speakers_differ_and_repeat() -> None:
    assert synthetic_speaker("s1", 0) == synthetic_speaker("s1", 0)
    assert synthetic_speaker("s1", 0) != synthetic_speaker("s1", 1)
    assert len({p.look.jaw_width for p in PEOPLE.values()}) == 33


@pytest.mark.parametrize("name", ["s21", "s35", "x", ""])
def test_unknown_speaker(name: str) -> None:
    with pytest.raises(BadInput, match="not a GRID speaker"):
        synthetic_speaker(name, 0)
