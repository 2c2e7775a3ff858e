"""Viterbi's algorithm where most transitions are impossible, as in pYIN.

librosa's walks all pairs of states in every frame, 700 × 700 of them in pYIN, of which a pitch can
reach a quarter. It is three quarters of the time of a pitch track, and pitch is the most expensive
step of scoring. This one gives the same states, bit for bit.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


class Reachable(NamedTuple):
    """The transitions of a matrix that are possible.

    Attributes:
        before: (states, most) the states from which each can come, ascending, padded by any.
        log: (states, most) logarithms of their probabilities, −∞ where padded.
        impossible: what the logarithm of a probability of 0 counts as.
    """

    before: NDArray[np.intp]
    log: Doubles
    impossible: float


def reachable(transition: Doubles) -> Reachable:
    """The possible transitions of a matrix (states, states), row from, column to."""
    tiny = np.finfo(transition.dtype).tiny
    possible = transition.T > 0
    most = max(int(possible.sum(axis=1).max()), 1)
    # A stable sort brings the possible ones to the front in ascending order.
    before = np.argsort(~possible, axis=1, kind="stable")[:, :most]
    there = np.take_along_axis(possible, before, axis=1)
    log = np.log(np.take_along_axis(transition.T, before, axis=1) + tiny)
    return Reachable(before, np.where(there, log, -np.inf), float(np.log(tiny)))


@lru_cache(maxsize=2)
def _known(content: bytes, states: int) -> Reachable:
    return reachable(np.frombuffer(content, np.float64).reshape(states, states))


def viterbi(
    prob: Doubles,
    transition: Doubles,
    *,
    p_init: Doubles,
    transition_min_prob: float | None = None,
) -> NDArray[np.uint16]:
    """The likeliest states, as `librosa.sequence.viterbi` gives them.

    Args:
        prob: (…, states, frames) of the observation in each state.
        transition: (states, states), row from, column to.
        p_init: (states,) of the first frame.
        transition_min_prob: the least probability that librosa's pYIN lets by from its version 1.0 on, to be
            quicker. Nothing here heeds it: all possible transitions count, so that a pitch track is the same
            with every version.

    Returns:
        (…, frames) states. Of equally likely ones the lowest.
    """
    states = len(transition)
    matrix = np.ascontiguousarray(transition, np.float64)
    steps = _known(matrix.tobytes(), states)
    flat = prob.reshape(-1, *prob.shape[-2:])
    tiny = np.finfo(prob.dtype).tiny
    log_init = np.log(p_init + np.finfo(p_init.dtype).tiny)
    found = [_walked(np.log(one.T + tiny), log_init, steps) for one in flat]
    return np.stack(found).reshape(*prob.shape[:-2], prob.shape[-1])


def _walked(log_prob: Doubles, log_init: Doubles, steps: Reachable) -> NDArray[np.uint16]:
    """(frames, states) log probabilities → (frames,) states."""
    frames, states = log_prob.shape
    came = np.zeros((frames, states), np.uint16)
    rows = np.arange(states)
    value = log_prob[0] + log_init
    reached = np.empty(steps.log.shape)
    for t in range(1, frames):
        # "clip" only lets numpy write into `reached` directly: no index is out of range.
        np.take(value, steps.before, out=reached, mode="clip")
        reached += steps.log
        which = reached.argmax(axis=1)
        best, origin = reached[rows, which], steps.before[rows, which]
        # Impossible transitions are only very unlikely to librosa: the best of all states may still
        # be the best to come from. Where that one is a possible one, it was counted with more.
        top = int(value.argmax())
        jump = value[top] + steps.impossible
        jumps = (jump > best) | ((jump == best) & (top < origin))
        came[t] = np.where(jumps, top, origin)
        value = log_prob[t] + np.where(jumps, jump, best)
    path = np.zeros(frames, np.uint16)
    path[-1] = value.argmax()
    for t in range(frames - 2, -1, -1):
        path[t] = came[t + 1, path[t + 1]]
    return path
