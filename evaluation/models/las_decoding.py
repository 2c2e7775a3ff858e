"""Turns what the listener heard into text: SpeechBrain's beam search over the speller, its hypotheses
ranked by speller and CTC together; freely, or only along GRID's grammar.

The search is the speller's alone and CTC ranks what it found, the rescoring of Hori, Watanabe, Hershey,
"Joint CTC/attention decoding for end-to-end speech recognition", ACL 2017: CTC within SpeechBrain's
search takes three times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from evaluation.models.las import Las
from evaluation.models.las_features import (
    BLANK,
    BOS,
    EOS,
    VOCABULARY_SIZE,
    text_of,
    tokens_of,
)
from evaluation.models.torchaudio_placeholder import forget_lazy_modules
from manifests.grammar import VOCABULARY

BEAM = 6
CTC_WEIGHT = 0.4
LONGEST = 44
"""Characters that are spelled at most; GRID's longest sentence has 31."""
FORBIDDEN = -1e20
HEARD = -0.6
"""Logarithm of the probability that CTC gives each character, on the mean of the whole text: below this
the sound is not GRID's speech, whatever the speller makes of it. Set with earlier weights: the worst of 143
recordings of 13 speakers that were not trained on had -0.36; white and colored noise, silence and hum lay
below, and 20 of 25 cuts of other English. The card of the weights says what holds with them."""
WORD_HEARD = -2.0
"""A word is left out where CTC finds the text without it this much likelier, as a logarithm. Of the 858
words of those recordings that took one, which was wrong."""

Tokens = tuple[int, ...]


def best_path(log_probs: Tensor) -> Tokens:
    """(S, vocabulary) → characters of the likeliest CTC path, repeats and blanks gone."""
    path = log_probs.argmax(-1).tolist()
    return tuple(
        t for k, t in enumerate(path) if t != BLANK and (k == 0 or t != path[k - 1]) and t > EOS
    )


@torch.inference_mode()
def ctc_scores(log_probs: Tensor, hypotheses: Sequence[Tokens]) -> Tensor:
    """Log probability of each hypothesis under CTC; `FORBIDDEN` where the clip is too short for it.

    Args:
        log_probs: (S, vocabulary).
    """
    n = len(hypotheses)
    lengths = torch.tensor([len(h) for h in hypotheses])
    targets = torch.tensor([t for h in hypotheses for t in h], dtype=torch.long)
    losses = functional.ctc_loss(
        log_probs.unsqueeze(1).expand(-1, n, -1),
        targets,
        torch.full((n,), len(log_probs)),
        lengths,
        blank=BLANK,
        reduction="none",
    )
    return torch.where(losses.isfinite(), -losses, torch.full_like(losses, FORBIDDEN))


@torch.inference_mode()
def spelling_scores(model: Las, states: Tensor, hypotheses: Sequence[Tokens]) -> Tensor:
    """Log probability of each hypothesis, its end included, under the speller.

    Args:
        states: (1, S, states) of one clip.
    """
    longest = max(map(len, hypotheses)) + 1
    before = torch.full((len(hypotheses), longest), BOS)
    after = torch.full((len(hypotheses), longest), EOS)
    counted = torch.zeros(len(hypotheses), longest)
    for k, hypothesis in enumerate(hypotheses):
        n = len(hypothesis)
        before[k, 1 : n + 1] = torch.tensor(hypothesis, dtype=torch.long)
        after[k, :n] = torch.tensor(hypothesis, dtype=torch.long)
        counted[k, : n + 1] = 1
    logits = model.spell(states.expand(len(hypotheses), -1, -1), before)
    found = logits.log_softmax(-1).gather(2, after.unsqueeze(2)).squeeze(2)
    return (found * counted).sum(1)


@lru_cache(maxsize=1)
def grammar_table() -> Tensor:
    """(states, vocabulary) the state after each character, −1 where the grammar has none.

    State 0 is before the first character; the last but one follows the end and allows only more of it;
    the last is that of what is no sentence.
    """
    rows: list[dict[int, int]] = [{}]
    (space,) = tokens_of(" ")
    start = 0
    for number, slot in enumerate(VOCABULARY):
        ends = []
        for word in slot.values():
            at = start
            for token in tokens_of(word):
                if token not in rows[at]:
                    rows.append({})
                    rows[at][token] = len(rows) - 1
                at = rows[at][token]
            ends.append(at)
        rows.append({})
        start = len(rows) - 1
        for at in ends:
            rows[at][EOS if number == len(VOCABULARY) - 1 else space] = start
    rows[start][EOS] = start
    rows.append({})
    table = torch.full((len(rows), VOCABULARY_SIZE), -1)
    for at, following in enumerate(rows):
        for token, after in following.items():
            table[at, token] = after
    return table


def in_grammar(tokens: Tokens) -> bool:
    """Returns whether characters spell a whole sentence of GRID."""
    table, at = grammar_table(), 0
    for token in (*tokens, EOS):
        at = int(table[at, token])
        if at < 0:
            return False
    return True


class GrammarScorer:
    """Forbids SpeechBrain's search what the grammar does not have. It stands where the search expects a
    `ScorerBuilder`, which takes none but SpeechBrain's own scorers."""

    def __init__(self) -> None:
        self.weights = {"ctc": 0.0, "length": 0.0}

    def reset_scorer_mem(self, states: Tensor, lengths: Tensor) -> None:
        """Before the first character there is nothing to remember."""

    def score(
        self,
        inp_tokens: Tensor,
        memory: Tensor | None,
        attn: Tensor | None,
        log_probs: Tensor,
        beam_size: int,
    ) -> tuple[Tensor, Tensor]:
        """(hypotheses, vocabulary) log probabilities with the grammar's, and the states reached."""
        table = grammar_table()
        at = torch.zeros_like(inp_tokens)
        if memory is not None:
            at = table[memory, inp_tokens]
            at = torch.where(at < 0, len(table) - 1, at)
        scores = torch.where(table[at] < 0, FORBIDDEN, 0.0)
        # Nonsense that fills empty places of the beam must not end: the search stops when enough
        # hypotheses have ended.
        scores[:, EOS] *= 2
        return log_probs + scores, at

    def permute_scorer_mem(self, memory: Tensor, index: Tensor, candidates: Tensor) -> Tensor:
        return memory.index_select(0, index)


def _spelling(model: Las, states: Tensor) -> dict[str, Any]:
    """Interface of the speller for SpeechBrain's searchers, for (1, S, states)."""
    return {
        "embedding": model.embedding,
        "decoder": model.speller,
        "linear": model.spelled,
        "bos_index": BOS,
        "eos_index": EOS,
        "min_decode_ratio": 0.0,
        "max_decode_ratio": min(1.0, (LONGEST + 0.5) / states.shape[1]),
    }


def beam_hypotheses(model: Las, states: Tensor, beam: int, grammar: bool) -> list[Tokens]:
    """The speller's best hypotheses for one clip, the best first.

    Args:
        states: (1, S, states).
    """
    from speechbrain.decoders.seq2seq import S2SRNNBeamSearcher

    forget_lazy_modules()

    searcher = S2SRNNBeamSearcher(
        **_spelling(model, states),
        beam_size=beam,
        topk=beam,
        return_topk=True,
        using_eos_threshold=False,
        length_normalization=False,
        scorer=GrammarScorer() if grammar else None,
    )
    with torch.inference_mode():
        found, shares, _, _ = searcher(states, torch.ones(1))
    hypotheses = []
    for row, share in zip(found[0].tolist(), shares[0].tolist(), strict=True):
        tokens = tuple(row[: round(share * len(row))])
        hypotheses.append(tokens[: tokens.index(EOS)] if EOS in tokens else tokens)
    return list(dict.fromkeys(hypotheses))


def greedy(model: Las, states: Tensor) -> str:
    """The speller's likeliest next character, one after the other: no search, no CTC."""
    from speechbrain.decoders.seq2seq import S2SRNNGreedySearcher

    forget_lazy_modules()

    searcher = S2SRNNGreedySearcher(
        **_spelling(model, states),
    )
    with torch.inference_mode():
        found = searcher(states, torch.ones(1))[0]
    return text_of(found[0]).strip()


@torch.inference_mode()
def decode(
    model: Las,
    states: Tensor,
    *,
    grammar: bool = False,
    beam: int = BEAM,
    ctc_weight: float = CTC_WEIGHT,
) -> str:
    """Text of one clip: the hypothesis that speller and CTC together find likeliest.

    Args:
        states: (1, S, states), what the listener heard.
        grammar: only sentences of GRID may come out.

    Returns:
        Words separated by one space; "" where nothing was heard, or nothing of GRID.
    """
    log_probs = model.ctc_logits(states)[0].log_softmax(-1)
    hypotheses = beam_hypotheses(model, states, beam, grammar)
    # What CTC alone hears takes part: the speller can lose its place, CTC cannot.
    hypotheses.append(best_path(log_probs))
    hypotheses = [h for h in dict.fromkeys(hypotheses) if not grammar or in_grammar(h)]
    if not hypotheses:
        return ""
    scores = ctc_weight * ctc_scores(log_probs, hypotheses)
    scores = scores + (1 - ctc_weight) * spelling_scores(model, states, hypotheses)
    words = text_of(hypotheses[int(scores.argmax())]).split()
    return " ".join(words if grammar else heard_words(log_probs, words))


def heard_words(log_probs: Tensor, words: Sequence[str]) -> list[str]:
    """The words that CTC hears, too.

    The speller knows that a sentence of GRID has six words and writes them for noise, for other English,
    and in the place of a letter that was muted. CTC hears without knowing what came before: where the
    text is unlikely to it nothing is left, and words that it rather does without are left out.

    Args:
        log_probs: (S, vocabulary) of CTC.
        words: what speller and CTC together found likeliest.
    """
    if not words:
        return []
    texts = [" ".join(words), *(" ".join((*words[:k], *words[k + 1 :])) for k in range(len(words)))]
    scores = ctc_scores(log_probs, [tuple(tokens_of(text)) for text in texts])
    if float(scores[0]) / len(texts[0]) < HEARD:
        return []
    kept = (scores[0] - scores[1:]) > WORD_HEARD
    return [word for word, keep in zip(words, kept.tolist(), strict=True) if keep]
