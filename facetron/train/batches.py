"""Seeded batches of clips, padded to one length and read ahead.

The composition of the batches depends on (seed, epoch) alone, so that any number of processes, and a
run that was killed and resumed, see the same batches.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from facetron.train.dataset import Batch, ClipDataset, collate
from manifests.cpus import available_cpus
from manifests.errors import BadInput
from manifests.records import ManifestRow


def to_model(pictures: Tensor) -> Tensor:
    """Converts the uint8 pictures of a batch to the input of the encoders (`lip_input`, `face_input`)."""
    return (pictures.float() - 127.5) / 128


class Batches(Sampler[list[tuple[int, int]]]):
    """Sampler of batches: this process's share of each global batch, or without a seed, every batch
    that falls to this process.

    Args:
        n_clips: number of clips in the data set.
        batch_size: clips per step of all processes together; without a seed, of one process.
        rank, world: index of this process and number of processes.
        seed: seed of the order; None keeps the order of the clips, with a smaller last batch, and
            deals whole batches to the processes.
        expected: (n_clips,) how often a pass draws each clip on average, `shares`; None is once.
        passes: how often an epoch goes through the clips. The batches name the passes, counted over
            all epochs, in the place of the epoch, so that each varies its clips in its own way.
    """

    def __init__(
        self,
        n_clips: int,
        batch_size: int,
        rank: int = 0,
        world: int = 1,
        seed: int | None = None,
        expected: NDArray[np.float64] | None = None,
        passes: int = 1,
    ) -> None:
        self.n_clips, self.rank, self.world, self.seed = n_clips, rank, world, seed
        self.expected, self.passes = expected, passes
        size = min(batch_size, n_clips)
        self.batch_size = size if seed is None else size - size % world
        if seed is not None and not self.batch_size:
            raise BadInput(
                f"{n_clips} clips in batches of {batch_size} for {world} processes",
                "use fewer processes or larger batches",
            )
        self.epoch, self.first_batch = 0, 0
        self._walk = np.arange(n_clips, dtype=np.int64)

    def only(self, clips: int) -> Batches:
        """Restricts the sampler to a number of clips, spread evenly over all; 0 or more than there are
        is all. For a sampler without a seed."""
        if 0 < clips < len(self._walk):
            self._walk = np.linspace(0, self.n_clips - 1, clips).round().astype(np.int64)
        return self

    def _starts(self) -> range:
        """First clips of the batches of this process, where there is no seed."""
        first, step = self.rank * self.batch_size, self.world * self.batch_size
        return range(first, len(self._walk), step)

    def start(self, epoch: int, first_batch: int = 0) -> None:
        """Sets the epoch and the first batch of the next iteration."""
        self.epoch, self.first_batch = epoch, first_batch

    def __len__(self) -> int:
        """Number of batches of an epoch. Clips that do not fill a batch are left to other epochs."""
        if self.seed is None:
            return len(self._starts())
        return self.n_clips * self.passes // self.batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        if self.seed is None:
            for start in self._starts():
                walked = self._walk[start : start + self.batch_size]
                yield [(self.epoch, int(i)) for i in walked]
            return
        rng = np.random.default_rng([self.seed, self.epoch])
        order: list[tuple[int, int]] = []
        for number in range(self.epoch * self.passes, (self.epoch + 1) * self.passes):
            once: Any = self.n_clips if self.expected is None else drawn(self.expected, rng)
            order += [(number, int(i)) for i in rng.permutation(once)]
        for number in range(self.first_batch, len(self)):
            whole = order[number * self.batch_size : (number + 1) * self.batch_size]
            yield whole[self.rank :: self.world]


class SpeakerBatches(Batches):
    """Batches of some clips each of several speakers, which are drawn equally often.

    A batch lists the clips of a speaker one after the other. A speaker's clips are taken in turn, all
    of them before any comes again; of a speaker with too few, clips repeat within a batch. Several
    processes share a batch by speakers.

    Args:
        speakers: (clips,) whose clip each is.
        clips_each: clips of each speaker in a batch.
        batch_size: clips per step of all processes together; the speakers of a batch are as many
            as fit, or all there are.
        rank, world: index of this process and number of processes.
        seed: seed of the order.
        passes: how often an epoch goes through as many clips as there are.

    Raises:
        BadInput: fewer than two speakers for each process.
    """

    def __init__(
        self,
        speakers: Sequence[str],
        clips_each: int,
        batch_size: int,
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
        passes: int = 1,
    ) -> None:
        names = sorted(set(speakers))
        each = min(batch_size // clips_each, len(names)) // world
        if each < 2:
            raise BadInput(
                f"a batch of {batch_size} clips, {clips_each} of each of {len(names)} speakers, for "
                f"{world} processes leaves none to compare",
                "give a larger train.batch_size, or clips of more speakers",
            )
        self.clips_each, self.speakers_each = clips_each, each * world
        super().__init__(
            max(len(speakers), each * world * clips_each),
            each * world * clips_each,
            rank,
            world,
            seed,
            passes=passes,
        )
        self._of = [
            np.array([at for at, speaker in enumerate(speakers) if speaker == name])
            for name in names
        ]

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        assert self.seed is not None
        rng = np.random.default_rng([self.seed, self.epoch])
        queues = [np.empty(0, np.int64) for _ in self._of]
        for number in range(len(self)):
            chosen = rng.permutation(len(self._of))[: self.speakers_each]
            drawn_clips = []
            for speaker in chosen:
                while len(queues[speaker]) < self.clips_each:
                    more = rng.permutation(self._of[speaker])
                    queues[speaker] = np.concatenate([queues[speaker], more])
                drawn_clips.append(queues[speaker][: self.clips_each])
                queues[speaker] = queues[speaker][self.clips_each :]
            if number >= self.first_batch:
                mine = np.concatenate(drawn_clips[self.rank :: self.world])
                yield [(self.epoch, int(i)) for i in mine]


def parts(batch: Batch, n: int) -> list[tuple[Batch, float]]:
    """Cuts a batch into up to `n` parts of about equal size, each with its share of the clips."""
    clips = len(batch["clips"])
    edges = np.linspace(0, clips, min(n, clips) + 1).round().astype(int)
    return [
        ({name: values[start:end] for name, values in batch.items()}, (end - start) / clips)
        for start, end in pairwise(map(int, edges))
    ]


def shares(
    rows: Sequence[ManifestRow], speaker_balance: float, gender_balance: bool
) -> NDArray[np.float64] | None:
    """Returns how often an epoch of as many draws as rows takes each row on average.

    Args:
        rows: rows of a manifest.
        speaker_balance, gender_balance: see `TrainConfig`.

    Returns:
        (rows,) of mean 1, or None where each row is taken once.
    """
    if not speaker_balance and not gender_balance:
        return None
    counts = Counter(row.speaker for row in rows)
    weights = np.array([counts[row.speaker] ** -speaker_balance for row in rows])
    if gender_balance:
        genders = np.array([row.gender for row in rows])
        for gender in np.unique(genders):
            weights[genders == gender] /= weights[genders == gender].sum()
    return np.asarray(weights * len(rows) / weights.sum())


def drawn(expected: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draws indices of clips, each as often as `expected` rounded down or up, in total as many as its
    sum (systematic sampling: one uniform offset for all)."""
    edges = np.cumsum(expected) + rng.uniform()
    counts = np.diff(np.floor(edges + 1e-9), prepend=0.0).astype(np.int64)
    numbers = np.repeat(np.arange(len(expected)), counts)
    return numbers[: round(float(expected.sum()))]


def reading_workers(asked: int, on_gpu: bool, needed_bytes: int, cache_bytes: int) -> int:
    """Returns how many processes read clips; an `asked` of 0 or more is returned as it is.

    With a GPU there are up to eight, and no more than its share of the CPUs among the processes that
    train on this machine. On a CPU there is none where the cache holds everything after an
    epoch (a thread reads ahead, see `loader`), else one, which decodes while the others compute.
    """
    if asked >= 0:
        return asked
    if on_gpu:
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        return max(1, min(8, available_cpus() // local))
    return int(needed_bytes > cache_bytes)


class ReadAhead(DataLoader[Batch]):
    """Reads the next batch in a thread while the caller computes with this one. Decoding and
    resizing leave Python's lock free, and a training step leaves a core idle now and then."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        batches = super().__iter__()  # here, for it draws from PyTorch's global generator
        with ThreadPoolExecutor(1, "read-ahead") as reader:
            coming = reader.submit(next, batches, None)
            while (batch := coming.result()) is not None:
                coming = reader.submit(next, batches, None)
                yield batch


def loader(
    clips: ClipDataset,
    batches: Sampler[list[tuple[int, int]]],
    workers: int,
    pin: bool = False,
    keep: bool = True,
) -> DataLoader[Batch]:
    """Returns a loader of batches of clips. With workers, each lives on and keeps its own cache between
    epochs, unless not `keep`: then they end with each walk. Without, a thread reads one batch ahead."""
    kind = DataLoader if workers else ReadAhead
    return kind(
        clips,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        persistent_workers=workers > 0 and keep,
        multiprocessing_context="forkserver" if workers else None,
    )
