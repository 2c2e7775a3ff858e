"""Face and prosody embeddings: reading them, and in numbers what Figure 2 of the paper shows in a
picture, whether a speaker's embeddings lie together and apart from the others'.

Every number comes with what chance gives on the same speakers and clips, since ten speakers are easier
to tell apart than thirty. Distances are cosine distances: the CS loss (paper, IV) knows no other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import BadInput, in_short
from manifests.features import open_arrays
from manifests.ordering import natural

Array = NDArray[np.float64]
NEIGHBORS = 5
MAKE = "write it with `facetron embed`"
TEXTS = ("speaker", "stem", "gender", "subset")


@dataclass(frozen=True)
class Embeddings:
    """N clips.

    Attributes:
        path: where they were read.
        face: (N, E) as stored.
        prosody: (N, P), or None where there is none.
        speaker, stem, gender, subset: (N,) texts; the last two may be "".
        seen: (N,) whether the speaker was in the model's training.
        info: what the writer says of itself.
    """

    path: Path
    face: Array
    prosody: Array | None
    speaker: NDArray[np.str_]
    stem: NDArray[np.str_]
    gender: NDArray[np.str_]
    subset: NDArray[np.str_]
    seen: NDArray[np.bool_]
    info: dict[str, Any]

    @property
    def speakers(self) -> list[str]:
        return sorted(set(self.speaker.tolist()), key=natural)

    def __len__(self) -> int:
        return len(self.face)

    def chosen(self, rows: NDArray[Any]) -> Embeddings:
        """Only these rows (indices or a mask)."""
        return replace(
            self,
            face=self.face[rows],
            prosody=None if self.prosody is None else self.prosody[rows],
            seen=self.seen[rows],
            **{name: getattr(self, name)[rows] for name in TEXTS},
        )

    def thinned(self, limit: int, seed: int = 0) -> Embeddings:
        """Returns at most about `limit` clips, of each speaker as many; all where there are no more."""
        if len(self) <= limit:
            return self
        rng = np.random.default_rng(seed)
        share = max(2, limit // len(self.speakers))
        kept: list[int] = []
        for speaker in self.speakers:
            rows = np.flatnonzero(self.speaker == speaker)
            kept += rng.permutation(rows)[:share].tolist()
        return self.chosen(np.array(sorted(kept)))


def read_embeddings(path: Path) -> Embeddings:
    """Reads what `facetron embed` writes: an .npz with `face` (N, E), `speaker` and `stem` (N,), and,
    where there are any, `prosody` (N, P), `gender`, `subset`, `seen` (N,) and `info` (JSON).

    Raises:
        BadInput: no such file, or one that cannot be used; nothing in it is unpickled.
    """
    with open_arrays(path, MAKE) as stored:
        found = {name: stored[name] for name in stored.files}
    lacking = [name for name in ("face", "speaker", "stem") if name not in found]
    if lacking:
        raise BadInput(f"{path} lacks {', '.join(lacking)}", MAKE)
    n = len(found["face"]) if found["face"].ndim else 0
    vectors = {
        name: _vectors(path, name, found[name], n) for name in ("face", "prosody") if name in found
    }
    texts = {}
    for name in TEXTS:
        values = found.get(name, np.full(n, ""))
        if values.shape != (n,):
            raise BadInput(f"{path}: {name} is {values.shape} for {n} clips", MAKE)
        texts[name] = values.astype(str)
    seen = found.get("seen", np.ones(n, np.bool_))
    if seen.shape != (n,):
        raise BadInput(f"{path}: seen is {seen.shape} for {n} clips", MAKE)
    try:
        info = json.loads(str(found["info"])) if "info" in found else {}
    except ValueError as error:
        raise BadInput(f"{path}: info is no JSON ({in_short(error, 120)})", MAKE) from None
    return Embeddings(
        path=path,
        face=vectors["face"],
        prosody=vectors.get("prosody"),
        seen=seen.astype(bool),
        info=info if isinstance(info, dict) else {},
        **texts,
    )


def _vectors(path: Path, name: str, values: NDArray[Any], n: int) -> Array:
    if values.ndim != 2 or len(values) != n or not n or values.dtype.kind != "f":
        raise BadInput(f"{path}: {name} is {values.dtype} {values.shape} for {n} clips", MAKE)
    if not np.isfinite(values).all():
        raise BadInput(f"{path}: {name} holds NaN or infinity", "look at the training that made it")
    if (np.linalg.norm(values, axis=1) == 0).any():
        raise BadInput(f"{path}: {name} holds zeros, which point nowhere", MAKE)
    return values.astype(np.float64)


def check_same_clips(first: Embeddings, second: Embeddings) -> None:
    """Raises `BadInput` unless both hold the same clips: pictures of others would not compare."""
    here, there = (set(zip(e.speaker, e.stem, strict=True)) for e in (first, second))
    if here != there or len(first) != len(second):
        only = sorted("/".join(clip) for clip in here ^ there)[:3]
        named = f" ({', '.join(only)}, …)" if only else ""
        raise BadInput(
            f"{first.path} and {second.path} hold {len(first)} and {len(second)} clips, "
            f"{len(here ^ there)} of them only one of both{named}",
            "embed the same clips with both models",
        )


@dataclass(frozen=True)
class Measures:
    """Numbers of one set of speakers; None where there is too little to tell.

    Attributes:
        n_clips, n_speakers: behind them.
        silhouette: mean over clips, −1 to 1; 0 or a little less for embeddings that know no speakers.
        knn: share of clips whose speaker the nearest clips name, their own clip left out.
        knn_chance: the same after guessing by how frequent the speakers are.
        same, other: mean cosine between clips of one speaker, and of different ones.
        rank: mean rank of the right speaker's prosody for a face (1 is best), among `n_speakers`.
        top1: share of faces whose nearest prosody is the right speaker's.
    """

    n_clips: int
    n_speakers: int
    silhouette: float | None = None
    knn: float | None = None
    knn_chance: float | None = None
    same: float | None = None
    other: float | None = None
    rank: float | None = None
    top1: float | None = None

    @property
    def margin(self) -> float | None:
        """Same-speaker less other-speaker cosine; 0 where all embeddings are one point."""
        return None if self.same is None or self.other is None else self.same - self.other

    @property
    def rank_chance(self) -> float | None:
        return None if self.rank is None else (self.n_speakers + 1) / 2

    @property
    def top1_chance(self) -> float | None:
        return None if self.top1 is None else 1 / self.n_speakers


def measure(embeddings: Embeddings, vectors: Array | None = None) -> Measures:
    """Numbers of the face embeddings, or of other `vectors` (N, E) of the same clips."""
    values = _unit(embeddings.face if vectors is None else vectors)
    speakers, clips = (
        embeddings.speaker,
        np.char.add(np.char.add(embeddings.speaker, "/"), embeddings.stem),
    )
    n, n_speakers = len(values), len(embeddings.speakers)
    cosine = np.clip(values @ values.T, -1, 1)
    alike = speakers[:, None] == speakers[None, :]
    others = clips[:, None] != clips[None, :]
    same, other = _mean(cosine[alike & others]), _mean(cosine[~alike])
    rank = top1 = None
    prosody = embeddings.prosody if vectors is None else None
    if prosody is not None and n_speakers > 1 and prosody.shape[1] == values.shape[1]:
        ranks = prosody_ranks(values, _unit(prosody), speakers, clips)
        rank, top1 = _mean(ranks), _mean(ranks == 1)
    return Measures(
        n,
        n_speakers,
        silhouette=_silhouette(cosine, speakers),
        knn=knn_accuracy(cosine, speakers, clips),
        knn_chance=_guessing(speakers) if n_speakers > 1 else None,
        same=same,
        other=other,
        rank=rank,
        top1=top1,
    )


def _unit(values: Array) -> Array:
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True))


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None


def _guessing(speakers: NDArray[np.str_]) -> float:
    _, counts = np.unique(speakers, return_counts=True)
    return float(((counts / counts.sum()) ** 2).sum())


def _silhouette(cosine: Array, speakers: NDArray[np.str_]) -> float | None:
    from sklearn.metrics import silhouette_score

    if not 2 <= len(np.unique(speakers)) < len(speakers):
        return None
    distances = 1 - cosine
    np.fill_diagonal(distances, 0.0)
    return float(silhouette_score(distances, speakers, metric="precomputed"))


def knn_accuracy(
    cosine: Array, speakers: NDArray[np.str_], clips: NDArray[np.str_], k: int = NEIGHBORS
) -> float | None:
    """Share of clips whose k nearest other clips name their speaker by majority, the nearest deciding
    ties; k is at most the clips that the smallest speaker has beside the one asked about.

    Args:
        cosine: (N, N). speakers, clips: (N,); rows of the same clip do not vote for each other.
    """
    names, index = np.unique(speakers, return_inverse=True)
    fewest = min(len(np.unique(clips[speakers == name])) for name in names)
    k = min(k, fewest - 1)
    if k < 1 or len(names) < 2:
        return None
    closeness = np.where(clips[:, None] == clips[None, :], -np.inf, cosine)
    nearest = np.argsort(-closeness, axis=1, kind="stable")[:, :k]
    votes = np.zeros((len(cosine), len(names)))
    for place in range(k):
        # Earlier places weigh a little more, which decides ties and nothing else.
        votes[np.arange(len(cosine)), index[nearest[:, place]]] += 1 + (k - place) / (4 * k * k)
    return float((votes.argmax(axis=1) == index).mean())


def prosody_ranks(
    face: Array, prosody: Array, speakers: NDArray[np.str_], clips: NDArray[np.str_]
) -> NDArray[np.int64]:
    """(N,) rank, from 1, of the right speaker when all speakers' mean prosody is sorted by its cosine to
    the face of a clip; ties count against it. The clip's own prosody is left out of its speaker's mean,
    where the speaker has another clip.

    Args:
        face, prosody: (N, E) of length one.
    """
    names, index = np.unique(speakers, return_inverse=True)
    totals = np.stack([prosody[index == s].sum(axis=0) for s in range(len(names))])
    ranks = np.zeros(len(face), np.int64)
    for i in range(len(face)):
        centers = totals.copy()
        without = totals[index[i]] - prosody[clips == clips[i]].sum(axis=0)
        if (speakers[clips != clips[i]] == speakers[i]).any():
            centers[index[i]] = without
        lengths = np.linalg.norm(centers, axis=1)
        cosine = centers @ face[i] / np.where(lengths > 0, lengths, np.inf)
        ranks[i] = int((cosine >= cosine[index[i]] - 1e-12).sum())
    return ranks


def groups(embeddings: Embeddings) -> dict[str, Embeddings]:
    """`all`, and `seen` and `unseen` speakers where there are both."""
    found = {"all": embeddings}
    if embeddings.seen.any() and not embeddings.seen.all():
        found["seen"] = embeddings.chosen(embeddings.seen)
        found["unseen"] = embeddings.chosen(~embeddings.seen)
    return found


def measure_groups(embeddings: Embeddings) -> dict[tuple[str, str], Measures]:
    """(`face` or `prosody`, group) → numbers."""
    found = {}
    for name, group in groups(embeddings).items():
        found["face", name] = measure(group)
        if group.prosody is not None:
            found["prosody", name] = measure(group, group.prosody)
    return found
