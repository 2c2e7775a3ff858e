"""The prosody stage: E_prosody learns how a speaker sounds, apart from what is said.

The paper fine-tunes Mellotron's pretrained encoder and says not how. Mellotron trains it by
rebuilding speech from text and its embedding: what the text does not tell must pass through it. So
here, with the words of each frame in place of the text and the paper's decoder in place of
Tacotron; both are dropped afterwards. `--from` starts it from earlier weights.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from facetron.model import encoders
from facetron.model.config import ModelConfig
from facetron.model.decoder import Decoder
from facetron.model.facetron import concatenate
from facetron.model.losses import mel_loss, speaker_contrast
from facetron.model.prosody import ProsodyEncoder
from facetron.train.config import TrainConfig
from facetron.train.dataset import WORD_CLASS, Batch
from facetron.train.lengths import averaged, mel_lengths
from facetron.train.stage import FacetronStage, Made, Pairs


class Retelling(nn.Module):
    """(words of each frame, how the clip sounded) → the clip's mel."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        n_mels = config.mel_spec.n_mels
        self.prosody: ProsodyEncoder = encoders.build("prosody", config.prosody, n_mels)
        self.words = nn.Embedding(len(WORD_CLASS) + 1, config.lip.embedding_size)
        self.decoder = Decoder(config.decoder, config.condition_size, n_mels)

    def forward(self, batch: Batch) -> Made:
        heard = self.prosody(batch["mel"], mel_lengths(batch))
        prosody = functional.normalize(heard, dim=-1)
        words = batch["words"].clamp(min=0)  # words that are not GRID's, and padding, as pauses
        mel = self.decoder(concatenate(self.words(words), prosody))
        return {"prosody": prosody, "mel": mel}


class ProsodyStage(FacetronStage):
    name = "prosody"
    fields = ("mel",)
    takes = ("prosody",)
    watched = "prosody"

    def __init__(self, config: ModelConfig, training: TrainConfig) -> None:
        super().__init__(config, training)
        model = Retelling(config)
        self.generator, self.parts = model, {"prosody": model.prosody}

    def losses(self, made: Made, batch: Batch, pairs: Pairs) -> dict[str, Tensor]:
        weights = self.config.loss
        mel = averaged(mel_loss, mel_lengths(batch), made["mel"], batch["mel"])
        if not weights.contrastive:
            return {"loss": mel}
        p, speakers = made["prosody"], batch["speakers"]
        contrast = speaker_contrast(p, speakers, weights.temperature)
        return {"loss": mel + weights.contrastive * contrast, "mel": mel, "contrastive": contrast}
