"""The likeliest states where most transitions are impossible: those of librosa, bit for bit."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.inputs.compiled import import_librosa
from evaluation.inputs.pitch import track_f0
from evaluation.inputs.viterbi import reachable, viterbi

librosa = import_librosa()
PITCHES = 20


def band() -> NDArray[np.float64]:
    """pYIN's transitions, of 20 pitches voiced and unvoiced."""
    local = librosa.sequence.transition_local(PITCHES, 5, window="triangle", wrap=False)
    return np.kron(librosa.sequence.transition_loop(2, 0.99), local)


def test_only_what_is_possible_is_looked_at() -> None:
    steps = reachable(band())
    assert steps.before.shape == (40, 10)
    assert list(steps.before[10]) == [8, 9, 10, 11, 12, 28, 29, 30, 31, 32]
    assert np.isfinite(steps.log[10]).all()
    assert list(steps.before[0][np.isfinite(steps.log[0])]) == [0, 1, 2, 20, 21, 22]


@pytest.mark.parametrize("density", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("how", ["any", "rounded", "voiced", "gaps"])
def test_the_states_are_librosas(density: float, how: str) -> None:
    rng = np.random.default_rng(round(100 * density))
    transition = band()
    p_init = np.full(2 * PITCHES, 1 / (2 * PITCHES))
    for _ in range(4):
        shape = (1, 2 * PITCHES, 40)
        prob = rng.random(shape) * (rng.random(shape) < density)
        if how == "rounded":  # many ties
            prob = np.round(prob, 1)
        elif how == "voiced":  # no way out but impossible transitions
            prob[:, PITCHES:] = 0
        elif how == "gaps":
            prob[..., 10:20] = 0
        wanted = librosa.sequence.viterbi(prob, transition, p_init=p_init)
        assert np.array_equal(viterbi(prob, transition, p_init=p_init), wanted)
        # As librosa's pYIN calls it from version 1.0 on.
        quick = viterbi(prob, transition, p_init=p_init, transition_min_prob=0.5)
        assert np.array_equal(quick, wanted)


def test_a_pitch_track_is_as_with_librosas_own() -> None:
    time_s = np.arange(16_000) / 16_000
    rng = np.random.default_rng(0)
    phase = 2 * np.pi * np.cumsum(120 + 60 * np.sin(2 * np.pi * 1.5 * time_s)) / 16_000
    voice = sum(np.sin(k * phase) / k for k in range(1, 9)) * (np.sin(9 * time_s) > -0.3)
    sound = 0.1 * voice + 0.001 * rng.standard_normal(16_000)
    found = track_f0(sound)
    own = librosa.sequence.viterbi
    assert own is not viterbi  # put back
    with mock.patch("evaluation.inputs.pitch.viterbi", own):
        wanted = track_f0(sound)
    assert np.isfinite(found).sum() > 20
    assert np.array_equal(found, wanted, equal_nan=True)
