"""The sounds of a listening test: level-normalized copies under anonymous names.

Every sound is 16 kHz PCM16, mono but for the tones of the headphone check. Names are HMACs under
the key's secret; files are written in the order of their names, so that neither names nor times
reveal which sounds belong together.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from evaluation.inputs.levels import clip_level_dbov, common_level_dbov, gain_for
from evaluation.inputs.pairs import SCORING_RATE_HZ, load_sound
from evaluation.mos.records import KeySound, relative
from manifests.console import Progress
from manifests.io import atomic_path

Samples = NDArray[np.float64]

ANCHOR_CUTOFF_HZ = 3500.0
ANCHOR_Q_DB = 5.0
"""Speech-to-noise ratio of the modulated noise (P.810): about 1.5 on the MOS scale."""
TRAP_LEAD_S = 1.0
"""Length of the piece of the clip that a trapping question begins with."""
TONE_HZ, TONE_S, TONE_GAP_S, TONE_RAMP_S = 200.0, 1.0, 0.5, 0.1
TONE_PEAK, QUIETER_DB = 0.25, 6.0

Kind = Literal["plain", "anchor", "trap", "tones"]


@dataclass(frozen=True)
class Source:
    """The source of a sound.

    Attributes:
        kind: unchanged, degraded, interrupted by a message, or the tones of the headphone check.
        part, condition, clip: place of its use; equal sounds of two parts get two names, so that
            nothing connects them.
        path: the file, None for tones.
        detail: the number that a trap asks for; the places of the quiet and the antiphase tone.
        copy: distinguishes a repetition from its original.
    """

    kind: Kind
    part: str
    condition: str
    clip: str
    path: Path | None
    detail: tuple[int, ...] = ()
    copy: int = 0

    def name(self, secret: str) -> str:
        """16 hex digits and `.wav`."""
        parts = [self.kind, self.part, self.condition, self.clip, self.detail, self.copy]
        return f"{hashed(secret, json.dumps(parts))}.wav"


def hashed(secret: str, text: str, n: int = 16) -> str:
    """Returns n hexadecimal digits that reveal nothing without the secret."""
    return hmac.new(bytes.fromhex(secret), text.encode(), hashlib.sha256).hexdigest()[:n]


def identifier(secret: str, text: str, n: int) -> str:
    """Returns n characters like `hashed`, the first of them a `t`.

    A spreadsheet reads `848933112345` and `12e4567890ab` as numbers and writes back something else;
    it leaves alone what begins with this letter.
    """
    return f"t{hashed(secret, text, n - 1)}"


def low_anchor(samples: Samples, seed: int) -> Samples:
    """Low-pass at 3.5 kHz and multiplied noise (MNRU, P.810) at Q = 5 dB, low-passed again."""
    filters = signal.butter(8, ANCHOR_CUTOFF_HZ, fs=SCORING_RATE_HZ, output="sos")
    narrow = signal.sosfiltfilt(filters, samples)
    noise = np.random.default_rng(seed).standard_normal(len(samples))
    return np.asarray(signal.sosfiltfilt(filters, narrow * (1 + 10 ** (-ANCHOR_Q_DB / 20) * noise)))


@lru_cache(maxsize=5)
def message(number: int) -> Samples:
    """Returns the spoken request to choose a number (`make_messages.py`), at 0 dBov of active level; not
    to be written to."""
    import soundfile

    data = (resources.files("evaluation.mos") / f"choose_{number}.ogg").read_bytes()
    samples, rate_hz = soundfile.read(io.BytesIO(data), dtype="float64")
    if rate_hz != SCORING_RATE_HZ:
        raise ValueError(f"choose_{number}.ogg is at {rate_hz} Hz")
    spoken = samples * 10 ** (-clip_level_dbov(samples, SCORING_RATE_HZ) / 20)
    spoken.setflags(write=False)
    return np.asarray(spoken)


def interrupted(samples: Samples, number: int) -> Samples:
    """Returns the clip's first second, faded out, then the message at the same level."""
    n = round(TRAP_LEAD_S * SCORING_RATE_HZ)
    lead = samples[:n].copy()
    fade = min(len(lead), round(0.05 * SCORING_RATE_HZ))
    lead[len(lead) - fade :] *= np.linspace(1, 0, fade)
    pause = np.zeros(round(0.15 * SCORING_RATE_HZ))
    level_dbov = clip_level_dbov(samples, SCORING_RATE_HZ)
    return np.concatenate([lead, pause, message(number) * 10 ** (level_dbov / 20)])


def tones(quiet: int, antiphase: int) -> Samples:
    """(n, 2) three tones of 200 Hz, 1 s each: one 6 dB quieter, another with its channels in
    opposite phase, which loudspeakers make quieter still and headphones do not (Woods et al. 2017,
    doi 10.3758/s13414-017-1361-2).

    Args:
        quiet, antiphase: places, 1 to 3.
    """
    t = np.arange(round(TONE_S * SCORING_RATE_HZ)) / SCORING_RATE_HZ
    ramp = np.clip(np.minimum(t, TONE_S - t) / TONE_RAMP_S, 0, 1)
    tone = TONE_PEAK * np.sin(2 * np.pi * TONE_HZ * t) * np.sin(np.pi / 2 * ramp) ** 2
    gap = np.zeros((round(TONE_GAP_S * SCORING_RATE_HZ), 2))
    pieces = []
    for place in (1, 2, 3):
        left = tone * (10 ** (-QUIETER_DB / 20) if place == quiet else 1.0)
        right = -left if place == antiphase else left
        pieces += [np.stack([left, right], axis=1), gap]
    return np.concatenate(pieces[:-1])


def faded(samples: Samples) -> Samples:
    """The same with 5 ms of fade at both ends: cut noise would click."""
    n = min(len(samples) // 2, round(0.005 * SCORING_RATE_HZ))
    ramp = np.linspace(0, 1, n)
    return np.concatenate([samples[:n] * ramp, samples[n:-n], samples[-n:] * ramp[::-1]])


def render(source: Source) -> Samples:
    """The sound before its level is set: (n,), or (n, 2) of tones."""
    if source.path is None:
        return tones(*source.detail)
    samples = load_sound(source.path).samples
    if source.kind == "trap":
        return interrupted(samples, *source.detail)
    if source.kind == "anchor":
        samples = low_anchor(samples, zlib.crc32(f"{source.clip}|{source.path.name}".encode()))
    return faded(samples)


def write_sounds(
    sources: Sequence[Source], folder: Path, key_folder: Path, secret: str, wanted_dbov: float
) -> tuple[list[KeySound], list[str]]:
    """Writes every sound once; returns what each is, sorted by name, and notes.

    Files of the folder that belong to no sound are removed.
    """
    import soundfile

    by_name = {source.name(secret): source for source in sources}
    names = sorted(by_name)
    measured: dict[str, tuple[float, float]] = {}
    lengths: dict[tuple[str, str], int] = {}
    for name in names:
        if by_name[name].kind != "tones":
            samples = render(by_name[name])
            if by_name[name].kind != "trap":
                group = by_name[name].part, by_name[name].clip
                lengths[group] = max(lengths.get(group, 0), len(samples))
            level = clip_level_dbov(samples, SCORING_RATE_HZ)
            measured[name] = (level, float(np.abs(samples).max()))
    target_dbov = wanted_dbov
    if measured:
        levels, peaks = zip(*measured.values(), strict=True)
        target_dbov = common_level_dbov(levels, peaks, wanted_dbov)
    notes = []
    if target_dbov < wanted_dbov - 0.01:
        notes.append(
            f"All sounds are played at {target_dbov:.1f} instead of {wanted_dbov:.1f} dBov, since "
            "peaks would clip."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        if stale.name not in by_name:
            stale.unlink()
    written = []
    with Progress(len(names), "sounds", "sound") as progress:
        for name in names:
            source = by_name[name]
            samples = render(source)
            gain = gain_for(*measured[name], target_dbov) if name in measured else 1.0
            if source.kind in ("plain", "anchor"):
                # Systems that cut their clips would be known by the length.
                missing = lengths[source.part, source.clip] - len(samples)
                samples = np.pad(samples, (0, missing))
            with atomic_path(folder / name) as temporary:
                soundfile.write(temporary, samples * gain, SCORING_RATE_HZ, "PCM_16", format="WAV")
            gain_db = 20 * float(np.log10(gain))
            level = measured[name][0] + gain_db if name in measured else float("nan")
            if level < target_dbov - 0.05:
                notes.append(
                    f"{source.condition} {source.clip} is {target_dbov - level:.1f} dB quieter "
                    "than the others: its peaks would clip."
                )
            written.append(
                KeySound(
                    sound=name,
                    kind=source.kind,
                    part=source.part,
                    condition=source.condition,
                    clip=source.clip,
                    source=relative(source.path, key_folder) if source.path else "",
                    level_dbov=round(level, 2) if name in measured else -99.0,
                    gain_db=round(gain_db, 2),
                    duration_s=len(samples) / SCORING_RATE_HZ,
                )
            )
            progress.update()
    return written, notes
