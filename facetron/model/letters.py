"""A letter model: how likely a letter is after the letters before it, estimated from sentences.

Unlike a grammar it forbids no text: a beam that is helped by it (shallow fusion, Graves and Jaitly, 2014,
with a weight and a bonus per letter as in Maas et al., 2015) prefers the words that it has seen, and still
spells others. Probabilities are interpolated by Witten and Bell's rule (1991) down to the uniform one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from facetron.model.ctc import BLANK, Automaton, Int, automaton, encode, vocabulary
from manifests.errors import BadInput
from manifests.grammar import VOCABULARY
from manifests.language import GRID

ORDER = 4
"""Letters that are looked at together: one and the three before it."""
WEIGHT, BONUS = 0.3, 0.9
"""Weight of the model's log probabilities beside those of the lips, and what each letter gains, for a
model alone prefers short texts; both chosen on `val` of real clips (docs/weights.md)."""

SAMPLE, SEED = 1000, 0

Context = tuple[int, ...]


@lru_cache(maxsize=1)
def some_sentences() -> tuple[str, ...]:
    """Returns sentences of GRID, drawn at random, for weights that name none of their training."""
    rng = np.random.default_rng(SEED)
    slots = [[*words.values()] for words in VOCABULARY]
    return tuple(
        " ".join(words[int(rng.integers(len(words)))] for words in slots) for _ in range(SAMPLE)
    )


@lru_cache(maxsize=4)
def letter_model(
    sentences: tuple[str, ...],
    order: int = ORDER,
    weight: float = WEIGHT,
    bonus: float = BONUS,
    language: str = GRID,
) -> Automaton:
    """Estimates a letter model, for `facetron.model.ctc.beam`.

    Args:
        sentences: texts to learn from.
        order: letters that are looked at together; 1 knows frequencies alone.
        weight: of its log probabilities; 0 leaves the bonus alone.
        bonus: added per letter.
        language: of the letters, see `facetron.model.ctc.vocabulary`.

    Returns:
        An automaton that allows every text; its states are contexts, those of a text's start included.

    Raises:
        BadInput: there are no sentences, or an order below 1.

    Example:
        >>> from facetron.model import ctc
        >>> model = letter_model(("bin red", "bin blue"), order=3)
        >>> after_bi = model.next_state[model.next_state[0, ctc.encode("b")[0]], ctc.encode("i")[0]]
        >>> int(model.weights[after_bi].argmax()) == ctc.encode("n")[0]
        True
    """
    if not sentences or order < 1:
        raise BadInput(f"{len(sentences)} sentences, order {order}", "give at least one of each")
    classes = len(vocabulary(language))
    counts = _counts((encode(text, language) for text in sentences), order)
    contexts: list[Context] = sorted(counts, key=lambda context: (len(context), context))
    start: Context = (BLANK,) if order > 1 else ()
    # State 0 is where a text begins.
    states = {context: number for number, context in enumerate(dict.fromkeys([start, *contexts]))}
    known = {context: _probabilities(context, counts, classes) for context in states}
    next_state: Int = np.full((len(states), classes), -1, dtype=np.int64)
    weights = np.zeros((len(states), classes))
    for context, state in states.items():
        weights[state] = weight * np.log(known[context]) + bonus
        weights[state, BLANK] -= bonus  # to end is no letter
        for letter in range(1, classes):
            onward = (*context, letter)[max(len(context) + 2 - order, 0) :]
            while onward not in states:
                onward = onward[1:]
            next_state[state, letter] = states[onward]
    free = automaton(next_state, np.ones(len(states), dtype=np.bool_))
    return Automaton(free.next_state, free.accepting, free.frames_needed, weights)


def _counts(texts: Iterable[Sequence[int]], order: int) -> dict[Context, Counter[int]]:
    """Context of up to `order` − 1 letters → how often each letter followed it. `BLANK` stands for the
    start of a text in contexts, and for its end as what follows."""
    found: dict[Context, Counter[int]] = defaultdict(Counter)
    for text in texts:
        whole = (BLANK, *text)
        for end, letter in enumerate((*text, BLANK), start=1):
            for length in range(min(order - 1, end) + 1):
                found[whole[end - length : end]][letter] += 1
    return found


def _probabilities(
    context: Context, counts: dict[Context, Counter[int]], classes: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(classes,) probability of each letter after a context, and of the text's end at `BLANK`."""
    found = np.full(classes, 1 / classes)
    for length in range(len(context) + 1):
        seen = counts.get(context[len(context) - length :])
        if seen is None:
            continue
        shorter = found * len(seen)
        for letter, times in seen.items():
            shorter[letter] += times
        found = shorter / (sum(seen.values()) + len(seen))
    return found
