"""The clips that the quality network learns from and is judged by: degraded on purpose, and what
PESQ says of each.

A plan, drawn from one seed, lists every item: a clip, families of degradation, a strength, a
level. Items are made one by one, each from its own seed, and stored in shards of 100, so that an
interrupted build goes on where it stopped and ends the same.

| set | speakers | clips | families |
|---|---|---|---|
| `train` | others | nine in ten | seen |
| `val` | others | the rest | seen |
| `speakers` | held out | all | seen |
| `families` | others | the rest | held out |
| `both` | held out | all | held out |

Held out are s1, s2, s4 and s29, the unseen speakers of the paper's split, real and synthetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.pairs import SCORING_RATE_HZ, Samples, Unscorable
from evaluation.metrics.perceptual import pesq
from evaluation.models.quality_net_features import levelled_mel
from evaluation.training.common import UNSEEN
from evaluation.training.quality_degradations import HELD_OUT, SEEN, degrade
from manifests.console import Progress
from manifests.errors import BadInput
from manifests.io import atomic_path, read_json, write_json

SIZES = {"train": 4200, "val": 300, "speakers": 700, "families": 500, "both": 500}
SETS = tuple(SIZES)
PAIRS_SHARE, TRIPLES_SHARE, CLEAN_SHARE, REPLACED_SHARE = 0.30, 0.05, 0.05, 0.015
REAL_SHARE = 0.5
LEVELS_DBOV = (-36.0, -16.0)
SHARD = 100
CLEAN_MOS = 4.64
"""PESQ (wb) of a file against itself."""


@dataclass(frozen=True)
class Item:
    """
    Attributes:
        subset: one of `SETS`.
        corpus: `real` or `synthetic`.
        speaker, path: the clip.
        families: in the order in which they are applied; none for a clean clip.
        strength: in (0, 1].
        level_dbov: active level of the result.
        seed: of everything else that is drawn.
    """

    subset: str
    corpus: str
    speaker: str
    path: str
    families: tuple[str, ...]
    strength: float
    level_dbov: float
    seed: int


@dataclass(frozen=True)
class Shard:
    """Made items: mels (N, 48, T) float16, PESQ's MOS-LQO (N,), NaN where it found no speech."""

    items: tuple[Item, ...]
    mels: NDArray[np.float16]
    mos: NDArray[np.float32]


def clips_of(build: Path) -> dict[str, list[Path]]:
    """Speaker → wavs of a `gridprep` build, sorted. Raises `BadInput` where there are none."""
    found = {
        folder.name: sorted(folder.glob("*.wav"))
        for folder in sorted((build / "audio").glob("s*"))
        if folder.is_dir()
    }
    if not any(found.values()):
        raise BadInput(f"{build} holds no audio/sN/*.wav", "pass the folder of a `gridprep build`")
    return found


def plan(
    real: Path, synthetic: Path, seed: int = 0, sizes: dict[str, int] | None = None
) -> list[Item]:
    """Every item of every set. Speakers weigh alike within a corpus, corpora by `REAL_SHARE`."""
    rng = np.random.default_rng(seed)
    corpora = {"real": clips_of(real), "synthetic": clips_of(synthetic)}
    kept: dict[str, dict[str, dict[str, list[Path]]]] = {"train": {}, "rest": {}, "held": {}}
    for corpus, speakers in corpora.items():
        for part in kept.values():
            part[corpus] = {}
        for speaker, paths in speakers.items():
            if speaker in UNSEEN:
                kept["held"][corpus][speaker] = paths
                continue
            order = [paths[i] for i in rng.permutation(len(paths))]
            n_rest = max(1, len(order) // 10)
            kept["rest"][corpus][speaker] = order[:n_rest]
            kept["train"][corpus][speaker] = order[n_rest:]
    part_of = {
        "train": "train",
        "val": "rest",
        "speakers": "held",
        "families": "rest",
        "both": "held",
    }
    items = []
    for subset, size in (sizes or SIZES).items():
        families = HELD_OUT if subset in ("families", "both") else SEEN
        for _ in range(size):
            corpus = "real" if rng.random() < REAL_SHARE else "synthetic"
            speakers = kept[part_of[subset]][corpus]
            speaker = sorted(speakers)[int(rng.integers(len(speakers)))]
            path = speakers[speaker][int(rng.integers(len(speakers[speaker])))]
            items.append(
                Item(
                    subset,
                    corpus,
                    speaker,
                    str(path),
                    _families(families, rng, alone=families is HELD_OUT),
                    float(rng.uniform(0.02, 1.0)),
                    float(rng.uniform(*LEVELS_DBOV)),
                    int(rng.integers(2**31)),
                )
            )
    return items


def _families(names: Sequence[str], rng: np.random.Generator, *, alone: bool) -> tuple[str, ...]:
    usual = [name for name in names if name != "replaced"]
    draw = rng.random()
    if alone:
        return (str(rng.choice(usual)),)
    if draw < CLEAN_SHARE:
        return ()
    if draw < CLEAN_SHARE + REPLACED_SHARE:
        return ("replaced",)
    n = 1
    if draw > 1 - TRIPLES_SHARE:
        n = 3
    elif draw > 1 - TRIPLES_SHARE - PAIRS_SHARE:
        n = 2
    return tuple(str(name) for name in rng.choice(usual, n, replace=False))


def as_stored(sound: Samples, level_dbov: float) -> Samples:
    """The sound at an RMS-like level as a 16-bit file keeps it, turned down where it would clip."""
    from evaluation.inputs.levels import clip_level_dbov

    gain = 10 ** ((level_dbov - clip_level_dbov(sound, SCORING_RATE_HZ)) / 20)
    gain = min(gain, 0.999 / (float(np.abs(sound).max()) + 1e-12))
    return np.asarray(np.round(sound * gain * 32768) / 32768)


def make(item: Item) -> tuple[NDArray[np.float16], float]:
    """(mel (48, T), MOS-LQO or NaN) of one item."""
    import soundfile

    reference, rate_hz = soundfile.read(item.path, dtype="float64")
    if rate_hz != SCORING_RATE_HZ or reference.ndim != 1:
        raise BadInput(f"{item.path} is not 16 kHz mono", "build it with `gridprep build`")
    degraded = degrade(reference, item.families, item.strength, np.random.default_rng(item.seed))
    degraded = as_stored(degraded, item.level_dbov)
    try:
        mos = pesq(reference, degraded, SCORING_RATE_HZ, "wb") if item.families else CLEAN_MOS
    except Unscorable:
        mos = float("nan")
    mel, _ = levelled_mel(degraded)
    return mel.astype(np.float16), mos


def build(items: Sequence[Item], out: Path) -> list[Shard]:
    """Makes what is missing under `out` and returns everything."""
    shards = []
    plan_path = out / "plan.json"
    written = [_plain(item) for item in items]
    if plan_path.is_file() and read_json(plan_path) != written:
        raise BadInput(f"{out} holds the clips of another plan", "choose another folder")
    write_json(plan_path, written, indent=None)
    with Progress(len(items), "degrade") as bar:
        for start in range(0, len(items), SHARD):
            part = items[start : start + SHARD]
            path = out / f"shard_{start:06d}.npz"
            if not path.is_file():
                made = [make(item) for item in part]
                with atomic_path(path) as temporary:
                    np.savez(
                        temporary,
                        mels=np.stack([mel for mel, _ in made]),
                        mos=np.array([mos for _, mos in made], np.float32),
                    )
            with np.load(path) as stored:
                shards.append(Shard(tuple(part), stored["mels"], stored["mos"]))
            bar.update(len(part))
    return shards


def _plain(item: Item) -> dict[str, Any]:
    return {**asdict(item), "families": list(item.families)}


def gather(shards: Sequence[Shard], subset: str) -> Shard:
    """The items of one set that have a score."""
    items: list[Item] = []
    mels, mos = [], []
    for shard in shards:
        chosen = [
            i for i, item in enumerate(shard.items)
            if item.subset == subset and np.isfinite(shard.mos[i])
        ]  # fmt: skip
        items += [shard.items[i] for i in chosen]
        mels.append(shard.mels[chosen])
        mos.append(shard.mos[chosen])
    return Shard(tuple(items), np.concatenate(mels), np.concatenate(mos))
