"""Error rates of the recognizer by speaker group: the numbers of its card."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.inputs.text import Comparison, compare
from evaluation.models.las import Las
from evaluation.models.las_decoding import decode, greedy
from evaluation.models.las_features import features
from evaluation.training.recognizer_augment import through_mel
from evaluation.training.recognizer_data import Clip
from manifests.console import Progress

WAYS = ("greedy", "beam", "grammar")
GRIFFIN_LIM_ITERATIONS = 32
RESAMPLES = 1000


@dataclass(frozen=True)
class Rates:
    """Pooled over the clips, in percent; the interval of the WER is that of resampled clips (95 %)."""

    clips: int
    cer: float
    wer: float
    wer_low: float
    wer_high: float
    letters: float
    """Letters heard right, of all."""


def pooled(found: Sequence[Comparison]) -> Rates:
    """Raises `ValueError` without clips."""
    if not found:
        raise ValueError("there are no clips")
    errors = np.array([c.words.errors for c in found])
    words = np.array([c.words.length for c in found])
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(found), size=(RESAMPLES, len(found)))
    low, high = np.percentile(100 * errors[drawn].sum(1) / words[drawn].sum(1), (2.5, 97.5))
    slots = [c.slots for c in found if c.slots is not None]
    letters = [said == heard for said, heard in (s["letter"] for s in slots)]
    return Rates(
        clips=len(found),
        cer=100 * sum(c.characters.errors for c in found) / sum(c.characters.length for c in found),
        wer=float(100 * errors.sum() / words.sum()),
        wer_low=float(low),
        wer_high=float(high),
        letters=100 * float(np.mean(letters)) if letters else float("nan"),
    )


def read_aloud(model: Las, samples: NDArray[np.floating[Any]]) -> dict[str, str]:
    """The text of a clip by each way of decoding."""
    with torch.inference_mode():
        states = model.listen(torch.from_numpy(features(samples)).unsqueeze(0))
        return {
            "greedy": greedy(model, states),
            "beam": decode(model, states),
            "grammar": decode(model, states, grammar=True),
        }


def measure(
    model: Las, sets: Mapping[str, Sequence[Clip]], griffin_lim: bool = True
) -> dict[str, Any]:
    """Set → way → rates, each set also after a round trip through mels and Griffin-Lim; and how many
    clips a second one thread reads (features, network and free search)."""
    told: dict[str, Any] = {}
    rng = np.random.default_rng(0)
    rounds = (False, True) if griffin_lim else (False,)
    total = len(rounds) * sum(len(clips) for clips in sets.values())
    with Progress(total, "read") as progress:
        for name, clips in sets.items():
            for inverted in rounds:
                found: dict[str, list[Comparison]] = {way: [] for way in WAYS}
                for clip in clips:
                    sound = clip.sound(0, len(clip.samples))
                    if inverted:
                        sound = through_mel(sound, rng, GRIFFIN_LIM_ITERATIONS, 0.0)
                    for way, text in read_aloud(model, sound).items():
                        found[way].append(compare(clip.sentence, text))
                    progress.update()
                place = f"{name}, Griffin-Lim" if inverted else name
                told[place] = {way: asdict(pooled(found[way])) for way in WAYS if found[way]}
    return told


def clips_per_second(model: Las, clips: Sequence[Clip]) -> float:
    """Clips per second of free decoding, in CPU time of this process, whatever else the machine does."""
    start_s = time.process_time()
    for clip in clips:
        with torch.inference_mode():
            heard = features(clip.sound(0, len(clip.samples)))
            decode(model, model.listen(torch.from_numpy(heard).unsqueeze(0)))
    return len(clips) / (time.process_time() - start_s)


def card_text(card: Mapping[str, Any], file: str = "recognizer") -> str:
    """The card of `file` as Markdown."""
    lines = [
        "# Recognizer LAS",
        "",
        "Listen, attend and spell with a CTC layer, of SpeechBrain's parts (CRDNN, attentional GRU),",
        f"{card['parameters']:,} parameters, characters as units, 16 kHz mono. Trained by",
        "`facetron-eval train recognizer`; the file beside this one holds the weights in half precision,",
        f"`{file}.json` their sha256, recipe and these numbers.",
        "",
        "## Trained on",
        "",
        *(f"- {line}" for line in card["trained_on"]),
        "",
        "## Left out",
        "",
        *(f"- {line}" for line in card["left_out"]),
        "",
        "## How well it reads",
        "",
        "Percent, pooled over clips; 95 % intervals of the WER by resampling clips.",
        "",
        "| speech | clips | decoding | CER | WER | 95 % | letters right |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, ways in card["rates"].items():
        for way, r in ways.items():
            lines.append(
                f"| {name} | {r['clips']} | {way} | {r['cer']:.1f} | {r['wer']:.1f} "
                f"| {r['wer_low']:.1f}–{r['wer_high']:.1f} | {r['letters']:.0f} |"
            )
    if card.get("known"):
        lines += ["", "## Known weaknesses", "", *card["known"]]
    lines += [
        "",
        f"Reads {card['clips_per_s']:.1f} clips of 3 s a second on one CPU thread (free search).",
        "",
        "## What it is for",
        "",
        *card["use"],
        "",
    ]
    return "\n".join(lines)
