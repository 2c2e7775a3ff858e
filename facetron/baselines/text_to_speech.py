"""Text-to-speech in a given voice: how long each phoneme of a sentence lasts, and the mel of phonemes that
last so long. Three recurrent layers each, as Face2Speech (Goto et al., Interspeech 2020) has them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from facetron.baselines import phonemes
from facetron.baselines.eyes import Scale
from facetron.model.padding import inside
from manifests.errors import BadInput
from manifests.precision import full_precision

PLACES = 5
"""Numbers of a mel frame beside its phoneme's: its place in the phoneme from both ends, the phoneme's
length, its place in the word and the word's length."""


@dataclass(frozen=True)
class TtsConfig:
    """Options of the text-to-speech model; the defaults are Face2Speech's."""

    width: int = 420
    """Size of a phoneme before the recurrences; Face2Speech's phonemes have as many linguistic features."""
    convs: int = 0
    """Convolutions over the phonemes."""
    kernel: int = 5
    hidden: int = 512
    layers: int = 3
    duration_hidden: int = 512
    duration_layers: int = 3
    dropout: float = 0.0
    absolute: float = 0.0
    """Weight of the absolute error of the mel beside the squared."""
    voice_noise: float = 0.0
    """Deviation of noise that training adds to the embedding of length 1, so that one from a face,
    which is never quite the speech encoder's, says the same."""

    def __post_init__(self) -> None:
        units = (self.width, self.hidden, self.layers, self.duration_hidden, self.duration_layers)
        if min(units) < 1 or min(self.convs, self.absolute, self.voice_noise) < 0:
            raise BadInput("tts has a layer without units, or less than none", "give 1 or more")
        if self.kernel % 2 == 0 or not 0 <= self.dropout < 1:
            raise BadInput(
                f"tts.kernel {self.kernel} or tts.dropout {self.dropout} cannot be",
                "give an odd kernel and a dropout of 0 or more, below 1",
            )


class _Text(nn.Module):
    """Features of phonemes → (B, P, width)."""

    def __init__(self, config: TtsConfig) -> None:
        super().__init__()
        self.into = nn.Linear(phonemes.FEATURES, config.width)
        self.convs = nn.ModuleList(
            nn.Conv1d(config.width, config.width, config.kernel, padding=config.kernel // 2)
            for _ in range(config.convs)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, phones: Tensor, counts: Tensor | None = None) -> Tensor:
        made: Tensor = self.into(phones)
        for conv in self.convs:
            if counts is not None:  # padding must not differ from the end of a sentence
                made = made * inside(counts, made)[..., None]
            made = made + self.dropout(torch.relu(conv(made.transpose(1, 2)).transpose(1, 2)))
        return made


class DurationModel(nn.Module):
    """(phonemes, voice) → how long each lasts, as ln(1 + frames)."""

    def __init__(self, config: TtsConfig, voice_size: int) -> None:
        super().__init__()
        self.text = _Text(config)
        self.lstm = nn.LSTM(
            config.width + voice_size, config.duration_hidden, config.duration_layers,
            batch_first=True, bidirectional=True,
        )  # fmt: skip
        self.out = nn.Linear(2 * config.duration_hidden, 1)

    def forward(self, phones: Tensor, voice: Tensor, counts: Tensor | None = None) -> Tensor:
        """Args:
            phones: (B, P, FEATURES) of `facetron.baselines.phonemes`.
            voice: (B, E).
            counts: (B,) phonemes of each; None is P.

        Returns:
            (B, P).
        """
        with full_precision(phones.device):
            text = self.text(phones.float(), counts)
            heard = torch.cat([text, voice.float()[:, None].expand(-1, text.shape[1], -1)], dim=-1)
            if counts is None:
                states = self.lstm(heard)[0]
            else:
                packed = pack_padded_sequence(
                    heard, counts.cpu(), batch_first=True, enforce_sorted=False
                )
                states, _ = pad_packed_sequence(
                    self.lstm(packed)[0], batch_first=True, total_length=heard.shape[1]
                )
            made: Tensor = self.out(states)[..., 0]
            return made


class AcousticModel(nn.Module):
    """(phonemes, which of them sounds when, voice) → a standardized mel."""

    def __init__(self, config: TtsConfig, voice_size: int, n_mels: int) -> None:
        super().__init__()
        self.text = _Text(config)
        self.lstm = nn.LSTM(
            config.width + PLACES + voice_size, config.hidden, config.layers,
            batch_first=True, bidirectional=True, dropout=config.dropout if config.layers > 1 else 0,
        )  # fmt: skip
        self.out = nn.Linear(2 * config.hidden, n_mels)

    def forward(
        self,
        phones: Tensor,
        sounding: Tensor,
        places: Tensor,
        voice: Tensor,
        counts: Tensor | None = None,
    ) -> Tensor:
        """Args:
            phones: (B, P, FEATURES).
            sounding: (B, T) index of the phoneme of each frame.
            places: (B, T, PLACES).
            voice: (B, E).
            counts: (B,) phonemes of each; None is P.

        Returns:
            (B, n_mels, T).
        """
        with full_precision(phones.device):
            text = self.text(phones.float(), counts)
            frames = sounding.long()[..., None].expand(-1, -1, text.shape[2])
            spoken = voice.float()[:, None].expand(-1, sounding.shape[1], -1)
            heard = torch.cat([text.gather(1, frames), places.float(), spoken], dim=-1)
            made: Tensor = self.out(self.lstm(heard)[0])
            return made.transpose(1, 2)


def spread(durations: Tensor, spans: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Returns which phoneme sounds in each frame, and where in it.

    Args:
        durations: (B, P) whole frames, 0 after the last phoneme of a clip.
        spans: (B, P, 2) of `facetron.baselines.phonemes.Utterance`.
        frames: T. Frames after the last phoneme belong to the last that lasts any time.

    Returns:
        (B, T) index, (B, T, PLACES).
    """
    ends = durations.cumsum(1)
    starts = ends - durations
    time = torch.arange(frames, device=ends.device).expand(len(ends), -1).contiguous()
    within = torch.minimum(time, ends[:, -1:].sub(1).clamp(min=0))
    index = torch.searchsorted(ends, within, right=True).clamp(max=ends.shape[1] - 1)
    first, last = (spans[..., side].gather(1, index) for side in (0, 1))
    begun, over = starts.gather(1, index), ends.gather(1, index)
    word_begun, word_over = starts.gather(1, first), ends.gather(1, last)
    middle = within + 0.5
    length, word = (over - begun).clamp(min=1), (word_over - word_begun).clamp(min=1)
    places = [
        (middle - begun) / length,
        (over - middle) / length,
        length / 10,
        (middle - word_begun) / word,
        word / 20,
    ]
    return index, torch.stack(places, dim=-1)


class TextToSpeech(nn.Module):
    """Both models, and the scale of the mel."""

    def __init__(self, config: TtsConfig, voice_size: int, n_mels: int) -> None:
        super().__init__()
        self.scale = Scale()
        self.duration = DurationModel(config, voice_size)
        self.acoustic = AcousticModel(config, voice_size, n_mels)

    def durations(self, said: phonemes.Utterance, voice: Tensor, frames: int) -> Tensor:
        """(P,) whole frames, `frames` in all, of a sentence in a voice (E,)."""
        told = self.duration(said.features()[None].to(voice.device), voice[None])[0]
        wanted = told.expm1().clamp(min=0).cpu().numpy().astype(np.float64)
        return phonemes.fitted(wanted, said.pauses, frames)

    def say(self, said: phonemes.Utterance, durations: Tensor, voice: Tensor) -> Tensor:
        """(n_mels, T) log mel of a sentence, given (P,) frames of its phonemes and a voice (E,)."""
        spans = torch.from_numpy(said.spans)[None]
        index, places = spread(durations[None], spans, int(durations.sum()))
        where = voice.device
        made = self.acoustic(
            said.features()[None].to(where), index.to(where), places.to(where), voice[None]
        )
        mel: Tensor = self.scale.back(made[0])
        return mel
