"""A listener that the decoder must be understood by, in the decoder and joint stages.

Not in the paper. The L1 distance of mels is content with the mean of all words that the lips could have
said, which is no word. The listener learns beside the decoder, on the real mels of each batch, to name
the word that sounds in every video frame (their times come from the alignments); the mels made from the
lips, and those with swapped faces, must be named alike, with the listener's weights held fixed. Multi-task
lip-to-speech systems train with such a loss (Kim et al., 2023, "Lip-to-Speech Synthesis in the Wild with
Multi-task Learning"). It hears about 0.6 s around a frame, so that it cannot guess a word from the grammar
of a sentence. It lives in training alone: synthesis does not load it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facetron.model.config import ModelConfig
from facetron.train.dataset import NO_WORD, WORD_CLASS, Batch
from facetron.train.stage import Made
from facetron.train.swap import through
from manifests.errors import BadInput
from manifests.manifest import Manifest

CHANNELS = 160
DILATIONS = (1, 2, 4)
DROPOUT = 0.2
MEAN_LOG_MEL, SPREAD_LOG_MEL = -5.0, 3.0
"""Mean and spread of the default log mels, roughly, so that the first convolution sees numbers around ±1."""


class Listener(nn.Module):
    """Names the word of each video frame from a mel: a convolution, an average over the mel frames of
    a video frame, and residual dilated convolutions of kernel 3.

    Args:
        n_mels: bands of the mel.
        rate: mel frames per video frame.
    """

    def __init__(self, n_mels: int, rate: int) -> None:
        super().__init__()
        self.rate = rate
        self.first = nn.Conv1d(n_mels, CHANNELS, 5, padding=2)
        self.blocks = nn.ModuleList(
            nn.Conv1d(CHANNELS, CHANNELS, 3, padding=dilation, dilation=dilation)
            for dilation in DILATIONS
        )
        self.dropout = nn.Dropout(DROPOUT)
        self.head = nn.Conv1d(CHANNELS, len(WORD_CLASS) + 1, 1)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, n_mels, rate · T) → (B, words, T) logits; class 0 is the pause."""
        x = functional.relu(self.first((mel - MEAN_LOG_MEL) / SPREAD_LOG_MEL))
        x = functional.avg_pool1d(x, self.rate)
        for block in self.blocks:
            x = x + self.dropout(functional.relu(block(x)))
        logits: Tensor = self.head(x)
        return logits


def listener_of(config: ModelConfig) -> Listener | None:
    """Builds a listener, where its loss has weight."""
    if not config.loss.words:
        return None
    return Listener(config.mel_spec.n_mels, config.decoder.upsampling)


def require_words(clips: Manifest) -> None:
    """Raises `BadInput` where no clip has a word of GRID with its time."""
    if not any(span.word in WORD_CLASS for row in clips for span in row.words):
        raise BadInput(
            f"loss.words needs the times of GRID's words, and {clips.path} has none",
            "leave loss.words at 0 for this corpus",
        )


def heard(listener: Listener | None, mel: Tensor, made: Made) -> Made:
    """The listener's logits: `heard_real` of the real mels, from which it learns, and `heard` of those
    made, `heard_swapped` of those with swapped faces, from which only the decoder does."""
    if listener is None:
        return {}
    found: Made = {"heard_real": listener(mel)}
    for name, of in (("heard", "mel"), ("heard_swapped", "swapped")):
        if of in made:
            logits = through(listener, made[of])
            assert isinstance(logits, Tensor)
            found[name] = logits
    return found


def word_losses(
    made: Made, batch: Batch, weight: float
) -> tuple[Tensor | float, dict[str, Tensor]]:
    """Cross entropies of the listener's words.

    Returns:
        The sum to add to a stage's loss (0 without a listener), and its terms: `words_real`, of real
        mels, which trains the listener, and `words`, of the mels made, mean of own and swapped faces.
        Frames whose word is not known do not count; 0 where none is.
    """
    if "heard_real" not in made:
        return 0.0, {}
    real = _entropy(made["heard_real"], batch["words"])
    by = [made[name] for name in ("heard", "heard_swapped") if name in made]
    words = torch.stack([_entropy(logits, batch["words"]) for logits in by]).mean()
    return real + weight * words, {"words": words, "words_real": real}


def _entropy(logits: Tensor, words: Tensor) -> Tensor:
    known = words != NO_WORD
    total = functional.cross_entropy(logits.float(), words, ignore_index=NO_WORD, reduction="sum")
    return total / known.sum().clamp(min=1)
