"""The lip stage (III, IV-A): the lip encoder learns letters by CTC."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from torch import Tensor, nn
from torch.nn import functional

from facetron.model import encoders
from facetron.model.config import ModelConfig
from facetron.model.ctc import decode, greedy
from facetron.model.lip import LipEncoder
from facetron.model.losses import ctc_loss
from facetron.train.batches import to_model
from facetron.train.config import TrainConfig
from facetron.train.dataset import NO_WORD, WORD_CLASS, Batch
from facetron.train.observed import Observed
from facetron.train.pictures import Exhibit
from facetron.train.stage import FacetronStage, Made, Pairs


class LipReader(nn.Module):
    """The encoder and, where the word loss is on, a head that names the word of each frame."""

    def __init__(self, config: ModelConfig, words: bool) -> None:
        super().__init__()
        self.lip: LipEncoder = encoders.build("lip", config.lip)
        size = self.lip.embedding_size
        self.word_head = nn.Linear(size, len(WORD_CLASS) + 1) if words else None

    def forward(self, batch: Batch) -> Made:
        embedding, logits = self.lip(to_model(batch["lips"]), batch["lengths"])
        made = {"logits": logits}
        if self.word_head is not None:
            made["words"] = self.word_head(functional.relu(embedding))
        return made


class LipStage(FacetronStage):
    """Trains by CTC and, optionally, by a per-frame loss of the words from the alignments (not in the
    paper), with which the letters find their places sooner than by CTC alone."""

    name = "lip"
    fields = ("lips",)
    takes = ("lip",)
    monitor = "cer"

    def __init__(self, config: ModelConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        reader = LipReader(config, training.word_loss > 0)
        self.generator, self.parts = reader, {"lip": reader.lip}
        self._errors: Observed[NDArray[np.float64]] = Observed()

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        ctc = ctc_loss(made["logits"], batch["lengths"], batch["targets"], batch["target_lengths"])
        found = {"loss": ctc, "ctc": ctc}
        if "words" in made:
            words = functional.cross_entropy(
                made["words"].float().transpose(1, 2),
                batch["words"],
                ignore_index=NO_WORD,
                reduction="none",
            )
            # Each clip by its own length, then the mean, so that the share of a process counts.
            found["words"] = (words.sum(1) / batch["lengths"]).mean()
            found["loss"] = ctc + self.training.word_loss * found["words"]
        return found

    def observe(self, made: Made, batch: Batch) -> None:
        read = greedy(made["logits"].float().cpu().numpy(), batch["lengths"].cpu().numpy())
        errors = np.zeros(4)
        for text, target, n in zip(read, batch["targets"], batch["target_lengths"], strict=True):
            said = decode(target[: int(n)].tolist())
            errors += (
                Levenshtein.distance(said, text),
                len(said),
                Levenshtein.distance(said.split(), text.split()),
                len(said.split()),
            )
        self._errors.notes.append(errors)

    def metrics(self) -> dict[str, float | None]:
        """Returns CER and WER of greedy decoding, over all letters and words."""
        letters, n_letters, words, n_words = sum(self._errors.taken(), np.zeros(4))
        if not n_letters:
            return {"cer": None, "wer": None}
        return {"cer": float(letters / n_letters), "wer": float(words / n_words)}

    def show(self, made: Made, batch: Batch, which: Sequence[int]) -> list[Exhibit]:
        """Returns the reference and the text read, as letters."""
        picked = list(which)
        logits = made["logits"][picked].float().cpu().numpy()
        texts = greedy(logits, batch["lengths"][picked].cpu().numpy())
        targets = [batch["targets"][i][: int(batch["target_lengths"][i])] for i in picked]
        return [
            Exhibit(batch["clips"][i], said=decode(target.tolist()), read=text)
            for i, target, text in zip(picked, targets, texts, strict=True)
        ]
