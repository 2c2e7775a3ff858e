"""Training of the recognizer LAS: joint CTC and attention on spliced and varied sentences."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from evaluation.inputs.text import compare
from evaluation.models.las import Las, LasSpec
from evaluation.models.las_decoding import best_path
from evaluation.models.las_features import (
    BLANK,
    BOS,
    EOS,
    VOCABULARY_SIZE,
    features,
    text_of,
    tokens_of,
)
from evaluation.training.common import average_into, learning_rate, read_state, write_state
from evaluation.training.recognizer_augment import Float, mask, vary
from evaluation.training.recognizer_data import CUTS, LETTER, Clip, Spliced, splice
from manifests.console import Progress
from manifests.grammar import VOCABULARY

STATE, LOG = "state.pt", "log.jsonl"
IGNORED = -100


@dataclass(frozen=True)
class RecognizerTrainingOptions:
    """
    Attributes:
        steps: updates in all; the learning rate falls over them.
        batch: sentences an update.
        epoch_steps: after so many a checkpoint is written and the held-out clips are read.
        peak: learning rate.
        ctc: weight of the CTC loss beside that of attention.
        smoothing: of the labels of attention.
        misread: share of the characters that the speller is told wrongly, so that it listens more
            than it guesses: GRID's sentences are easy to guess.
        decay: of the averaged weights, which are the ones that are kept.
        varied: share of the sentences whose sound is varied, and `eased` the share of the steps over
            which it grows to that.
        spliced: share of the sentences put together from several clips.
        cuts: slots that such a sentence may be cut before.
        shares: how often each source is drawn.
        balanced: share of the sentences whose letter is drawn first and whose speaker is one of those
            who said it: letters are what is misheard most.
        edged: share of the sentences that begin or end where the sound does.
        reach: how far voices, paces and pitches are varied; 1 is that of `vary`.
        bf16: half precision where it is safe; quicker on CPUs that have it.
    """

    steps: int = 1250
    batch: int = 16
    epoch_steps: int = 100
    peak: float = 1.5e-3
    ctc: float = 0.4
    smoothing: float = 0.05
    misread: float = 0.1
    decay: float = 0.995
    varied: float = 0.85
    eased: float = 0.2
    spliced: float = 0.6
    cuts: tuple[int, ...] = CUTS
    shares: tuple[tuple[str, float], ...] = (
        ("real/s1", 0.4),
        ("real", 0.25),
        ("synth", 0.17),
        ("espeak", 0.18),
    )
    balanced: float = 0.0
    reach: float = 1.0
    edged: float = 0.25
    seed: int = 0
    bf16: bool = False


@dataclass(frozen=True)
class Material:
    """Clips by speaker, the sentences that must not be made, and clips to watch progress on."""

    clips: dict[str, list[Clip]]
    forbidden: frozenset[str]
    watched: dict[str, list[Clip]]


class Sampler:
    """Sentences without end, drawn by source, then by speaker, then spliced."""

    def __init__(self, material: Material, options: RecognizerTrainingOptions) -> None:
        self.material, self.options = material, options
        self.pools: list[tuple[float, list[str]]] = []
        left = set(material.clips)
        for prefix, share in options.shares:
            speakers = sorted(t for t in left if t == prefix or t.startswith(f"{prefix}/"))
            left -= set(speakers)
            if speakers and share > 0:
                self.pools.append((share, speakers))
        self.weights = np.array([share for share, _ in self.pools])
        self.weights /= self.weights.sum()

        self.letters = {
            speaker: {clip.words[LETTER] for clip in clips}
            for speaker, clips in material.clips.items()
        }

    def speaker(self, rng: np.random.Generator, letter: str = "") -> str:
        """Draws by source, then evenly among its speakers, or among those of them who said the letter."""
        speakers = self.pools[int(rng.choice(len(self.pools), p=self.weights))][1]
        speakers = [s for s in speakers if not letter or letter in self.letters[s]] or speakers
        return speakers[int(rng.integers(len(speakers)))]

    def sentence(self, rng: np.random.Generator) -> Spliced:
        options, letter = self.options, ""
        if options.balanced and rng.random() < options.balanced:
            letter = str(rng.choice([*VOCABULARY[LETTER].values()]))
        clips = self.material.clips[self.speaker(rng, letter)]
        return splice(clips, rng, self.material.forbidden, options.spliced, options.cuts, letter)

    def babble(self, rng: np.random.Generator) -> Float:
        clips = self.material.clips[self.speaker(rng)]
        clip = clips[int(rng.integers(len(clips)))]
        return clip.sound(clip.edges_samples[0], clip.edges_samples[-1])

    def batch(self, step: int) -> tuple[Tensor, list[str]]:
        """(B, T, 64) and sentences; the same for the same step, so that training can be taken up."""
        rng = np.random.default_rng([self.options.seed, step])
        frames = int(rng.integers(176, 265))
        eased = max(self.options.eased * self.options.steps, 1)
        strength = min(1.0, 0.2 + 0.8 * step / eased) * self.options.varied
        heard, sentences = [], []
        for _ in range(self.options.batch):
            spoken = self.sentence(rng)
            samples, hearing = vary(
                spoken,
                frames,
                rng,
                lambda: self.babble(rng),
                strength,
                self.options.reach,
                self.options.edged,
            )
            heard.append(mask(features(samples, hearing), rng))
            sentences.append(spoken.sentence)
        return torch.from_numpy(np.stack(heard)), sentences


def targets(sentences: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
    """(B, L) characters padded with `BLANK`, (B,) lengths, and (B, L + 1) the same ended by `EOS` and
    padded with `IGNORED`."""
    rows = [tokens_of(sentence) for sentence in sentences]
    longest = max(map(len, rows))
    plain = torch.full((len(rows), longest), BLANK)
    ended = torch.full((len(rows), longest + 1), IGNORED)
    for k, row in enumerate(rows):
        plain[k, : len(row)] = torch.tensor(row)
        ended[k, : len(row) + 1] = torch.tensor([*row, EOS])
    return plain, torch.tensor([len(row) for row in rows]), ended


def loss(
    model: Las, heard: Tensor, sentences: Sequence[str], options: RecognizerTrainingOptions
) -> Tensor:
    """Joint loss of a batch, per character."""
    plain, lengths, ended = targets(sentences)
    with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
        states = model.listen(heard)
    states = states.float()
    log_probs = model.ctc_logits(states).log_softmax(-1).transpose(0, 1)
    frames = torch.full((len(sentences),), states.shape[1])
    ctc = functional.ctc_loss(
        log_probs, plain, frames, lengths, blank=BLANK, reduction="sum", zero_infinity=True
    )
    before = torch.cat([torch.full((len(plain), 1), BOS), plain], dim=1)
    wrong = torch.rand(before.shape) < options.misread
    wrong[:, 0] = False
    before = torch.where(wrong, torch.randint(EOS + 1, VOCABULARY_SIZE, before.shape), before)
    attention = functional.cross_entropy(
        model.spell(states, before).transpose(1, 2),
        ended,
        ignore_index=IGNORED,
        label_smoothing=options.smoothing,
        reduction="sum",
    )
    return (options.ctc * ctc + (1 - options.ctc) * attention) / lengths.sum()


@torch.inference_mode()
def quick_rates(model: Las, clips: Sequence[Clip], batch: int = 16) -> dict[str, float]:
    """Errors of the two halves alone, each at its quickest: CER of the best CTC path, and the share
    of characters that the speller gets wrong when told the right ones before."""
    model.eval()
    errors = length = wrong = spelled = 0
    whole = [clip for clip in clips if len(clip.samples) == len(clips[0].samples)]
    for k in range(0, len(whole), batch):
        part = whole[k : k + batch]
        heard = torch.from_numpy(
            np.stack([features(clip.sound(0, len(clip.samples))) for clip in part])
        )
        states = model.listen(heard)
        logits = model.ctc_logits(states)
        for clip, own in zip(part, logits, strict=True):
            counts = compare(clip.sentence, text_of(best_path(own))).characters
            errors, length = errors + counts.errors, length + counts.length
        plain, _, ended = targets([clip.sentence for clip in part])
        before = torch.cat([torch.full((len(part), 1), BOS), plain], dim=1)
        guesses = model.spell(states, before).argmax(-1)
        counted = ended != IGNORED
        wrong += int((guesses != ended)[counted].sum())
        spelled += int(counted.sum())
    return {"ctc_cer": 100 * errors / length, "spelling": 100 * wrong / spelled}


def train(
    out: Path, material: Material, options: RecognizerTrainingOptions, start: Las | None = None
) -> tuple[Las, list[tuple[int, dict[str, Any]]]]:
    """Trains, or takes up the training in `out`.

    Writes `state.pt` and `log.jsonl` (a line an epoch) after every epoch.

    Args:
        start: network to go on from, in the place of random weights; it is not changed.

    Returns:
        The averaged network, and the options with the step from which each of them held.
    """
    torch.manual_seed(options.seed)
    model = Las(LasSpec()) if start is None else copy.deepcopy(start)
    averaged = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.peak, weight_decay=0.01)
    step, trained_s = 0, 0.0
    recipes: list[tuple[int, dict[str, Any]]] = []
    state = read_state(out / STATE)
    if state is not None:
        model.load_state_dict(state["model"])
        averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        step, trained_s = state["step"], state["trained_s"]
        recipes = [(start, recipe) for start, recipe in state["recipes"]]
    if step < options.steps and (not recipes or recipes[-1][1] != asdict(options)):
        recipes.append((step, asdict(options)))
    sampler = Sampler(material, options)
    started_s = time.monotonic() - trained_s
    with Progress(options.steps, "train recognizer", "step") as progress:
        progress.done = step
        while step < options.steps:
            model.train()
            total = 0.0
            end = min(options.steps, (step // options.epoch_steps + 1) * options.epoch_steps)
            n_steps = end - step
            while step < end:
                torch.manual_seed(options.seed + step)
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(options.peak, step, options.steps)
                heard, sentences = sampler.batch(step)
                value = loss(model, heard, sentences, options)
                optimizer.zero_grad()
                value.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
                optimizer.step()
                # Early on the weights move too fast for a long memory.
                average_into(averaged, model, min(options.decay, (1 + step) / (10 + step)))
                total += float(value.detach())
                step += 1
                progress.update(loss=round(float(value.detach()), 3))
            line: dict[str, Any] = {"step": step, "loss": total / n_steps}
            for name, clips in material.watched.items():
                line[name] = quick_rates(averaged, clips)
            trained_s = time.monotonic() - started_s
            line["trained_s"] = round(trained_s, 1)
            _keep(out, model, averaged, optimizer, line, recipes)
    return averaged.eval(), recipes


def _keep(
    out: Path,
    model: Las,
    averaged: Las,
    optimizer: torch.optim.Optimizer,
    line: dict[str, Any],
    recipes: list[tuple[int, dict[str, Any]]],
) -> None:
    write_state(
        out / STATE,
        {
            "model": model.state_dict(),
            "averaged": averaged.state_dict(),
            "optimizer": optimizer.state_dict(),
            "step": line["step"],
            "trained_s": line["trained_s"],
            "recipes": recipes,
        },
    )
    with open(out / LOG, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
