"""Swapped faces (Table III): pairs of the lips of one speaker and the face of another.

Pairs come from a CSV file with the columns speaker, stem, voice and, to choose the clip that shows
the face, voice_stem; or they are drawn, seeded and balanced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, permutations
from pathlib import Path

import numpy as np

from manifests.errors import BadInput
from manifests.records import ManifestRow
from manifests.tables import read_table, speaker_name, stem_name, write_csv

COLUMNS = ("speaker", "stem", "voice", "voice_stem")
FILE = "pairs.csv"


@dataclass(frozen=True)
class Pair:
    """Attributes:
    speaker, stem: the clip whose lips are read.
    voice: the speaker whose face gives the voice.
    voice_stem: the clip whose stills show that face; "" leaves the choice to the face rule.
    """

    speaker: str
    stem: str
    voice: str
    voice_stem: str = ""


def read_pairs(path: Path) -> list[Pair]:
    """Reads the pairs of a CSV file (any delimiter or encoding, see `manifests.tables`).

    Raises:
        BadInput: absent, no CSV, columns missing, a pair twice, a speaker with their own face, or no
            pair at all; the message names file and line.
    """
    lines = [
        (
            line.number,
            Pair(
                speaker_name(line["speaker"]),
                stem_name(line["stem"]),
                speaker_name(line["voice"]),
                stem_name(line["voice_stem"]),
            ),
        )
        for line in read_table(path, COLUMNS[:3], COLUMNS[3:]).lines
    ]
    seen: set[tuple[str, str, str]] = set()
    for number, pair in lines:
        # One voice a clip and run: the name of its sound says no more.
        key = (pair.speaker, pair.stem, pair.voice)
        if not all(key) or pair.voice == pair.speaker or key in seen:
            raise BadInput(
                f"{path}, line {number}: {','.join(key)} is not a new pair of a clip and another "
                "speaker",
                "name a clip and another speaker, each pair once",
            )
        seen.add(key)
    if not lines:
        raise BadInput(f"{path} holds no pairs", "write at least one line")
    return [pair for _, pair in lines]


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    """Atomically writes pairs in the format of `read_pairs`."""
    write_csv(path, COLUMNS, [(p.speaker, p.stem, p.voice, p.voice_stem) for p in pairs])


def draw_pairs(rows: Sequence[ManifestRow], n: int, seed: int, unseen: Sequence[str]) -> list[Pair]:
    """Draws `n` pairs: speakers take turns as lips and as voice, and pairs of one gender alternate with
    pairs of two, where there are both.

    Args:
        rows: clips whose lips and stills may be used.
        unseen: unseen speakers, whose face is shown by a drawn clip, since they have no training clips
            to choose a still from.

    Raises:
        BadInput: there is one speaker only, or there are fewer than `n` pairs.
    """
    stems: dict[str, list[str]] = {}
    gender: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: (row.speaker, row.stem)):
        stems.setdefault(row.speaker, []).append(row.stem)
        gender[row.speaker] = row.gender
    most = sum(map(len, stems.values())) * (len(stems) - 1)
    if n < 1 or n > most:
        raise BadInput(
            f"--swap {n}, but {len(stems)} speakers make {most} pairs", f"give 1 to {most}"
        )
    rng = np.random.default_rng([seed, n])
    for own in stems.values():
        rng.shuffle(own)
    couples = list(permutations(stems, 2))
    rng.shuffle(couples)
    kinds = [
        [(a, b) for a, b in couples if (gender[a] == gender[b]) == same] for same in (True, False)
    ]
    turn = cycle(kind for kind in kinds if kind)
    used: Counter[tuple[str, str]] = Counter()
    spoken: Counter[str] = Counter()
    voiced: Counter[str] = Counter()
    taken: set[tuple[str, str, str]] = set()
    pairs: list[Pair] = []
    while len(pairs) < n:
        open_ = [(a, b) for a, b in next(turn) if used[a, b] < len(stems[a])]
        if not open_:
            continue
        a, b = min(open_, key=lambda c: (used[c], spoken[c[0]] + voiced[c[1]]))
        # A speaker's clips take turns as well; a voice speaks each of them once at most.
        order = [stems[a][(spoken[a] + step) % len(stems[a])] for step in range(len(stems[a]))]
        stem = next(stem for stem in order if (a, stem, b) not in taken)
        taken.add((a, stem, b))
        shown = stems[b][voiced[b] % len(stems[b])] if b in unseen else ""
        pairs.append(Pair(a, stem, b, shown))
        used[a, b] += 1
        spoken[a] += 1
        voiced[b] += 1
    return pairs
