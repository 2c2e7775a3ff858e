"""Pictures, sounds and transcripts of a few fixed validation clips, for people who watch a
training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from facetron.train.dataset import Batch
from facetron.train.mel_picture import Picture, above
from facetron.vocoders.griffin_lim import GriffinLim
from manifests.manifest import FeatureRow, select
from manifests.records import ManifestRow
from manifests.specs import MelSpec

CLIPS = 3
ROUNDS = 16
"""Rounds of Griffin-Lim: enough to hear words and voice, a tenth of a second for all clips."""

Sound = NDArray[np.float32]


@dataclass(frozen=True)
class Exhibit:
    """The parts of one clip that its stage can show.

    Attributes:
        clip: `s1/bbaf2n`.
        mels: the real mel above the made one.
        made, real: (n,) sound within ±1.
        said, read: what was said, and what was read from the lips.
    """

    clip: str
    mels: Picture | None = None
    made: Sound | None = None
    real: Sound | None = None
    said: str = ""
    read: str = ""


def fixed_clips(rows: Sequence[ManifestRow]) -> frozenset[str]:
    """Names of the clips to show, the same in every epoch and of as many speakers as may be."""
    chosen = select(list(rows), "all", CLIPS, Path("validation")) if rows else []
    return frozenset(row.clip_id for row in chosen)


def recordings(rows: Sequence[FeatureRow], rate_hz: int) -> list[Exhibit]:
    """The real sounds of clips; without those that have none of this rate. Raises `BadInput` for one
    that cannot be read."""
    found = []
    for row in rows:
        if "audio" not in row.paths:
            continue
        sound, its_rate_hz = row.audio()
        if its_rate_hz == rate_hz:
            found.append(Exhibit(row.clip_id, real=sound))
    return found


def mels_shown(
    batch: Batch, which: Sequence[int], made: Tensor, spec: MelSpec, waves: Tensor | None = None
) -> list[Exhibit]:
    """Real and made mels of some clips of a batch, with the sound of the made ones.

    Args:
        which: n indices.
        made: (n, n_mels, T).
        waves: (n, 1, samples) of a vocoder; None lets Griffin-Lim say the mels.
    """
    picked = list(which)
    wanted, found = _numbers(batch["mel"][picked]), _numbers(made)
    if waves is None:
        vocoder, rng = GriffinLim(spec, ROUNDS), np.random.default_rng(0)
        sounds = [vocoder(mel, rng) if np.isfinite(mel).all() else None for mel in found]
    else:
        sounds = list(_numbers(waves)[:, 0])
    return [
        Exhibit(clip, mels=above(a, b), made=sound)
        for clip, a, b, sound in zip(
            (batch["clips"][i] for i in picked), wanted, found, sounds, strict=True
        )
    ]


def table(exhibits: Sequence[Exhibit]) -> str:
    """Returns sentences and transcripts as a Markdown table, "" where nothing was read."""
    lines = [f"| {e.clip} | {e.said} | {e.read or '–'} |" for e in exhibits if e.said]
    return "\n".join(["| clip | said | read |", "|---|---|---|", *lines]) if lines else ""


def write(writer: Any, exhibits: Sequence[Exhibit], epoch: int, rate_hz: int) -> None:
    """Into a `SummaryWriter` of TensorBoard."""
    for exhibit in exhibits:
        if exhibit.mels is not None:
            tag = f"mel_real_above_made/{exhibit.clip}"
            writer.add_image(tag, exhibit.mels, epoch, dataformats="HWC")
        for name, sound in (("sound_made", exhibit.made), ("sound_real", exhibit.real)):
            if sound is not None:
                heard = np.nan_to_num(sound).clip(-1, 1)
                writer.add_audio(f"{name}/{exhibit.clip}", heard[None], epoch, rate_hz)
    text = table(exhibits)
    if text:
        writer.add_text("lips", text, epoch)


def _numbers(values: Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = values.detach().float().cpu().numpy()
    return found
