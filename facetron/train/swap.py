"""Swapped faces: the lips of one clip with the face of another speaker, in training and validation.

Not in the paper, whose many speakers leave the decoder no other source of the voice than the face.
With few speakers the lips themselves give the speaker away, the decoder learns to ignore the face,
and no loss of Eq. 4 notices: every clip of a training set pairs the lips and the face of one person.
Here each clip is also synthesized with the face of another speaker of its batch, and that mel must
sound like the other speaker: to the prosody encoder (the teacher of Eq. 5), and in pitch, which must
follow the melody of the own clip, transposed to the register of the other speaker.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from facetron.model.config import VocoderConfig
from facetron.model.excitation import CENTS, MIDDLE_HZ, Pitch, PitchReader
from facetron.model.facetron import Facetron
from facetron.model.losses import contrastive_loss
from facetron.model.padding import embedded, inside
from facetron.model.prosody import ProsodyEncoder
from facetron.model.vocoder import Vocoder
from facetron.train.lengths import averaged
from facetron.train.observed import Observed
from manifests.corpus_lists import gender_of
from manifests.errors import BadInput

CLIPS_PER_SPEAKER = 4
"""Clips of each speaker that a swap validation synthesizes with the faces of others."""
FACES_PER_CLIP = 9
"""Faces of other speakers that each of these clips is given."""
LEAST_VOICED_FRAMES = 10
"""Mels with fewer voiced frames (50 per second) have no median pitch."""
NEAR_CENTS = 200.0


class PitchTeacher(nn.Module):
    """A vocoder that does not learn, kept for the pitch reader of its harmonic source."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.vocoder = Vocoder(config)
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> PitchTeacher:
        super().train(False)
        return self


def partners(speakers: Sequence[str]) -> list[int]:
    """Returns for each clip of a batch the index of another clip, of another speaker where there is one:
    the next in the batch, from the last on to the first. A lone speaker's clips are their own
    partners."""
    n = len(speakers)
    return [
        next(
            (j for step in range(1, n) if speakers[j := (i + step) % n] != speakers[i]),
            i,
        )
        for i in range(n)
    ]


def through(module: nn.Module, *inputs: Tensor) -> object:
    """Returns the output of a module with gradients for its inputs and none for its weights."""
    frozen = {name: value.detach() for name, value in module.state_dict(keep_vars=True).items()}
    # cuDNN's recurrent networks have no backward pass in evaluation mode.
    with torch.backends.cudnn.flags(enabled=False):
        return torch.func.functional_call(module, frozen, inputs)


def swap_losses(
    made: Tensor,
    mel: Tensor,
    speakers: Sequence[str],
    prosody: ProsodyEncoder,
    reader: PitchReader | None,
    temperature: float,
    lengths: Tensor | None = None,
) -> dict[str, Tensor]:
    """Losses that measure how far the voice of a mel with a swapped face is from the face's
    speaker.

    Args:
        made: (B, n_mels, T) mels of the lips of each clip with the face of its partner (`partners`).
        mel: (B, n_mels, T) real mels of the clips.
        speakers: B names.
        prosody: the teacher of Eq. 5.
        reader: of a vocoder with a harmonic source; without it pitch is not compared.
        temperature: see `contrastive_loss`.
        lengths: (B,) mel frames of each clip, where shorter ones were padded.

    Returns:
        `swap_voice` (`contrastive_loss` between the swapped mels and the real ones) and
        `swap_pitch` (octaves, mean over voiced frames, plus the cross entropy of voicing). Both 0 for
        a batch of one speaker.
    """
    other = partners(speakers)
    swapped = [i for i, j in enumerate(other) if i != j]
    nothing = made.sum() * 0
    if not swapped:
        return {"swap_voice": nothing, "swap_pitch": nothing}
    voices = [speakers[other[i]] for i in swapped]
    with torch.no_grad():
        wanted = embedded(prosody, lengths, mel)
    of_swapped = None if lengths is None else lengths[swapped]

    def voice_of(mel: Tensor) -> Tensor:
        found = through(prosody, mel)
        assert isinstance(found, Tensor)
        return found

    heard = embedded(voice_of, of_swapped, made[swapped])
    found = {"swap_voice": contrastive_loss(heard, wanted, voices, speakers, temperature)}
    if reader is None:
        return found | {"swap_pitch": nothing}
    with torch.no_grad():
        real = reader(mel)
        voiced = real.voicing > 0
        if lengths is not None:
            voiced &= inside(lengths, voiced)
        count = voiced.sum(1)
        mean = (real.octaves * voiced).sum(1) / count.clamp(min=1)
    own = torch.tensor(swapped, device=mel.device)
    face = torch.tensor([other[i] for i in swapped], device=mel.device)
    target = real.octaves[own] - mean[own, None] + mean[face, None]
    usable = (count[own] > 0) & (count[face] > 0)
    mask = voiced[own] & usable[:, None]
    read = through(reader, made[swapped])
    assert isinstance(read, Pitch)
    distance = ((read.octaves - target).abs() * mask).sum() / mask.sum().clamp(min=1)
    voicing = averaged(
        functional.binary_cross_entropy_with_logits, of_swapped, read.voicing, voiced[own].float()
    )
    return found | {"swap_pitch": distance + 0.25 * voicing}


def median_octaves(pitch: Pitch) -> list[float]:
    """Median pitch over the voiced frames of each clip, in octaves above `MIDDLE_HZ`; NaN for clips
    with fewer than `LEAST_VOICED_FRAMES`."""
    return [
        float(octaves[voiced].median()) if int(voiced.sum()) >= LEAST_VOICED_FRAMES else math.nan
        for octaves, voiced in zip(pitch.octaves, pitch.voicing > 0, strict=True)
    ]


@dataclass(frozen=True)
class _Heard:
    """Clips of one batch, on the CPU.

    Attributes:
        speakers: B names.
        faces: (B, D) face embeddings.
        octaves: B medians of the real pitch.
        lips: speaker and (T, E) lip embeddings of the clips that may be synthesized.
    """

    speakers: list[str]
    faces: Tensor
    octaves: list[float]
    lips: list[tuple[str, Tensor]]


class SwapValidation(Observed[_Heard]):
    """Measures whose voice the validation clips have when they are given the faces of other
    speakers.

    Attributes:
        reader: reads the pitch of made and real mels alike; without one nothing can be said.
    """

    def __init__(self, facetron: Facetron, reader: PitchReader | None) -> None:
        super().__init__()
        self.facetron, self.reader = facetron, reader

    def add(self, lips: Tensor, faces: Tensor, mel: Tensor, speakers: Sequence[str]) -> None:
        """Clips of a validation.

        Args:
            lips: (B, T, E) lip embeddings.
            faces: (B, D) face embeddings.
            mel: (B, n_mels, 2 · T) real mels.
            speakers: B names.
        """
        if self.reader is None:
            return
        held = Counter(speaker for heard in self.notes for speaker, _ in heard.lips)
        kept = []
        for i, speaker in enumerate(speakers):
            if held[speaker] < CLIPS_PER_SPEAKER:
                held[speaker] += 1
                kept.append((speaker, lips[i].detach().cpu()))
        octaves = median_octaves(self.reader(mel))
        self.notes.append(_Heard(list(speakers), faces.detach().cpu(), octaves, kept))

    @torch.no_grad()
    def metrics(self) -> dict[str, float | None]:
        """Returns the metrics over all clips added since the last call, and forgets these clips.

        Returns:
            `swap_cents` (median distance of the median pitch from that of the owner of the face),
            `swap_near` (share within `NEAR_CENTS`), `swap_women` and `swap_men` (share of voices on
            the side of their face's gender, the border halfway between the two genders' mean
            octaves), and `swap_f0_hz_SPEAKER` per face. None where it cannot be known.
        """
        lips: dict[str, list[Tensor]] = {}
        faces: dict[str, list[Tensor]] = {}
        octaves: dict[str, list[float]] = {}
        for note in self.taken():
            for speaker, face, value in zip(note.speakers, note.faces, note.octaves, strict=True):
                faces.setdefault(speaker, []).append(face)
                octaves.setdefault(speaker, []).append(value)
            for speaker, clip in note.lips:
                lips.setdefault(speaker, []).append(clip)
        own = {s: _median([x for x in values if math.isfinite(x)]) for s, values in octaves.items()}
        known = [s for s, value in own.items() if value is not None]
        if self.reader is None or len(known) < 2:
            return {"swap_cents": None, "swap_near": None, "swap_women": None, "swap_men": None}
        seen = {
            s: functional.normalize(torch.stack(faces[s]).float().mean(0), dim=0) for s in known
        }
        device = next(self.facetron.parameters()).device
        heard: dict[str, list[float]] = {s: [] for s in known}
        number = 0
        for speaker, clips in lips.items():
            others = [s for s in known if s != speaker]
            for clip in clips[:CLIPS_PER_SPEAKER]:
                count = min(FACES_PER_CLIP, len(others))
                chosen = [others[(number + k) % len(others)] for k in range(count)]
                number += count
                embeddings = torch.stack([seen[s] for s in chosen])
                repeated = clip[None].expand(count, -1, -1).float()
                mel = self.facetron.speak(repeated.to(device), embeddings.to(device)).float()
                for s, value in zip(chosen, median_octaves(self.reader(mel)), strict=True):
                    heard[s].append(value)
        return _summary(heard, {s: own[s] for s in known})


def _summary(
    heard: dict[str, list[float]], own: dict[str, float | None]
) -> dict[str, float | None]:
    cents: list[float] = []
    for speaker, values in heard.items():
        target = own[speaker]
        assert target is not None
        # A voice that is not voiced is as far from its target as can be.
        cents += [abs(v - target) * CENTS if math.isfinite(v) else math.inf for v in values]
    found: dict[str, float | None] = {
        "swap_cents": _median([c for c in cents if math.isfinite(c)]),
        "swap_near": sum(c <= NEAR_CENTS for c in cents) / len(cents) if cents else None,
    }
    sides = _sides(own)
    for name, gender in (("swap_women", "female"), ("swap_men", "male")):
        right = (
            [
                math.isfinite(v) and (v > sides[1]) == (gender == "female")
                for s, values in heard.items()
                if sides is not None and sides[0].get(s) == gender
                for v in values
            ]
            if sides is not None
            else []
        )
        found[name] = sum(right) / len(right) if right else None
    for speaker, values in sorted(heard.items()):
        middle = _median([v for v in values if math.isfinite(v)])
        found[f"swap_f0_hz_{speaker}"] = None if middle is None else MIDDLE_HZ * 2**middle
    return found


def _sides(own: dict[str, float | None]) -> tuple[dict[str, str], float] | None:
    """Gender of each speaker, and the pitch halfway between the genders; None without both."""
    genders: dict[str, str] = {}
    for speaker in own:
        try:
            genders[speaker] = gender_of(speaker)
        except BadInput:
            return None  # a corpus whose genders nobody lists
    means = []
    for gender in ("female", "male"):
        octaves = [v for s, v in own.items() if genders[s] == gender and v is not None]
        if not octaves:
            return None
        means.append(sum(octaves) / len(octaves))
    return genders, sum(means) / 2


def _median(values: Sequence[float]) -> float | None:
    return float(torch.tensor(values).median()) if values else None
