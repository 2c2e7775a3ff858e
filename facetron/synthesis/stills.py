"""Choice of the face still that gives the voice (IV-B, Eq. 6), for every clip of a synthesis.

For a seen speaker the still is chosen once for all clips, from the speaker's training clips. For an
unseen speaker it is chosen for each clip, from the clip's own stills.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facetron.model import i2i
from facetron.synthesis.base import SpeechSynthesizer
from facetron.synthesis.tasks import SynthesisTask
from manifests.errors import BadInput, ToolkitError
from manifests.features import npz, open_arrays
from manifests.io import sha256_file, write_bytes
from manifests.pictures import read_pictures
from manifests.records import ManifestRow

RULES: dict[str, i2i.Method] = {
    "i2i": "candidate",
    "i2i-literal": "literal",
    "mean": "mean",
    "random": "random",
}
"""Rule of `--face` → method of `facetron.model.i2i`."""

SPEAKER, IMAGE = "speaker:", "image:"


@dataclass(frozen=True)
class Face:
    """A chosen face.

    Attributes:
        embedding: face embedding (E,).
        clip: clip of the still, `s1/bbaf2n`; the picture's name; "" for a mean.
        still: number in the clip's strip of stills; None for a mean or a picture.
        negative: the negative speaker of Eq. 6, "" where none was needed.
        key: plain values that identify the face.
    """

    embedding: NDArray[np.float32]
    clip: str
    still: int | None
    negative: str
    key: tuple[Any, ...]


@dataclass(frozen=True)
class _Stills:
    """Face stills of one or several clips: (N, E) embeddings, and (clip, number, hash of file) of each."""

    embeddings: Tensor
    names: tuple[tuple[str, int, str], ...]


EMBEDDED = "embedded"
"""Folder of embeddings of stills, in that of a build."""


class StillEmbeddings:
    """Embeddings of the stills of a build, computed once and kept beside it, since Eq. 6 compares those
    of all speakers whatever is synthesized: `embedded/ENCODER/SPEAKER.npz`, the stills of a clip by the
    hash of their file. What cannot be read or written there is computed.

    Args:
        synthesizer: its face encoder embeds.
        root: folder of the manifest.
    """

    def __init__(self, synthesizer: SpeechSynthesizer, root: Path) -> None:
        self.synthesizer = synthesizer
        encoder = synthesizer.face_fingerprint
        self._folder = root / EMBEDDED / encoder if encoder else None
        self._held: dict[str, dict[str, NDArray[np.float32]]] = {}
        self._new: set[str] = set()

    def of(self, speaker: str, path: Path) -> tuple[NDArray[np.float32], str]:
        """Returns the (n, E) embeddings of the stills in a file, and the hash of the file. Raises
        `BadInput` where it cannot be read."""
        try:
            digest = sha256_file(path)[:16]
        except OSError as error:
            raise BadInput(
                f"{path} cannot be read ({error.strerror})", "build this clip again"
            ) from None
        held = self._of(speaker)
        if digest not in held:
            # One clip at a time: an embedding must not depend on the other clips of a batch.
            held[digest] = self.synthesizer.face_embeddings(read_pictures(path))
            self._new.add(speaker)
        return held[digest], digest

    def _of(self, speaker: str) -> dict[str, NDArray[np.float32]]:
        if speaker not in self._held:
            self._held[speaker] = {}
            if self._folder is not None:
                with (
                    contextlib.suppress(BadInput),
                    open_arrays(self._folder / f"{speaker}.npz") as file,
                ):
                    self._held[speaker] = {name: file[name] for name in file.files}
        return self._held[speaker]

    def keep(self) -> None:
        """Writes what is new."""
        folder, new, self._new = self._folder, sorted(self._new), set()
        if folder is None:
            return
        # A build on a read-only disk is as good, only slower.
        with contextlib.suppress(OSError):
            for speaker in new:
                write_bytes(folder / f"{speaker}.npz", npz(self._held[speaker]))


class Faces:
    """Chooses the face of each synthesized clip, and embeds it once.

    Args:
        synthesizer: its face encoder embeds the stills.
        root: folder of the manifest.
        rows: all rows of the manifest.
        subset: subset to synthesize; `all` is any.
        rule: `i2i`, `i2i-literal`, `mean`, `random`, or `image:FILE`.
        seed: seed of `random`.
        clips: largest number of clips per speaker to choose from, spread over all of them.

    Raises:
        BadInput: a picture without a face.

    Attributes:
        alone: `i2i` was asked for in a manifest of one speaker; the medoid takes its place.
    """

    def __init__(
        self,
        synthesizer: SpeechSynthesizer,
        root: Path,
        rows: Sequence[ManifestRow],
        subset: str,
        rule: str,
        seed: int,
        clips: int,
    ) -> None:
        self.synthesizer, self.root, self.subset, self.seed = synthesizer, root, subset, seed
        self.clips = clips
        self.rule = rule
        self._embedded = StillEmbeddings(synthesizer, root)
        self._rows: dict[str, list[ManifestRow]] = {}
        for row in rows:
            self._rows.setdefault(row.speaker, []).append(row)
        self._pools: dict[str, _Stills] = {}
        self._means: dict[str, Tensor] = {}
        self._chosen: dict[str, Face] = {}
        # Eq. 6 keeps away from the nearest other speaker. Where there is none, its printed form, which
        # needs none, chooses: the medoid.
        self.alone = rule == "i2i" and len(self._rows) < 2
        if self.alone:
            self.rule = "i2i-literal"
        # What is wrong for every clip ends the run before it begins.
        if rule.startswith(IMAGE):
            self._once(rule, self._picture)

    def of(self, task: SynthesisTask) -> Face:
        """Returns the face of a clip. Raises `BadInput` where none of its stills can be read."""
        if self.rule.startswith(IMAGE):
            return self._once(self.rule, self._picture)
        if self.rule == "random":
            return self._select(task, task.label)
        name = task.voice if task.face is None else task.face.clip_id
        return self._once(name, lambda: self._select(task, name))

    def pool_rows(self, speaker: str) -> tuple[str, list[ManifestRow]]:
        """Returns (subset, rows) to choose from: the training clips of a seen speaker, else those of
        the subset, else all; at most `clips` of them."""
        rows = self._rows.get(speaker, [])
        training = [row for row in rows if row.subset == "train"]
        asked = [row for row in rows if self.subset in (row.subset, "all")]
        if self.synthesizer.seen(speaker) and training:
            found, where = training, "train"
        else:
            found, where = (asked, self.subset) if asked else (rows, "all")
        picked = np.linspace(0, len(found) - 1, min(self.clips, len(found))).round().astype(int)
        return where, [found[i] for i in picked]

    def _once(self, name: str, make: Callable[[], Face]) -> Face:
        if name not in self._chosen:
            self._chosen[name] = make()
        return self._chosen[name]

    def _select(self, task: SynthesisTask, label: str) -> Face:
        stills = self._pool(task.voice) if task.face is None else self._stills([task.face])
        method = RULES[self.rule]
        others = self._others(task.voice) if method == "candidate" else {}
        generator = None
        if method == "random":
            rng = np.random.default_rng([self.seed, *label.encode()])
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        choice = i2i.select(stills.embeddings, others, method, generator)
        embedding = np.asarray(choice.embedding.numpy(), np.float32)
        if choice.index is None:
            files = sorted({digest for _, _, digest in stills.names})
            return Face(embedding, "", None, "", (method, *files))
        clip, number, digest = stills.names[choice.index]
        return Face(embedding, clip, number, choice.negative, (digest, number))

    def _others(self, speaker: str) -> dict[str, Tensor]:
        """Returns the mean embedding of every other speaker, which is all that Eq. 6 needs."""
        for other in self._rows:
            if other != speaker and other not in self._means:
                self._means[other] = self._pool(other).embeddings.mean(dim=0, keepdim=True)
        return {name: mean for name, mean in self._means.items() if name != speaker}

    def _pool(self, speaker: str) -> _Stills:
        if speaker not in self._pools:
            self._pools[speaker] = self._stills(self.pool_rows(speaker)[1])
        return self._pools[speaker]

    def _stills(self, rows: Sequence[ManifestRow]) -> _Stills:
        """Embeds the stills of the clips that can be read. Raises `BadInput` where there is none."""
        parts: list[Tensor] = []
        names: list[tuple[str, int, str]] = []
        problem = BadInput("no clip has a face still of the speaker", "choose another --face")
        for row in rows:
            try:
                if "face" not in row.paths:
                    raise BadInput(f"{row.clip_id} has no face in the manifest", "build it again")
                made, digest = self._embedded.of(row.speaker, self.root / row.paths["face"])
            except ToolkitError as error:
                problem = BadInput(error.args[0])
                continue
            parts.append(torch.from_numpy(made))
            names += [(row.clip_id, number, digest) for number in range(len(made))]
        self._embedded.keep()
        if not parts:
            raise problem
        return _Stills(torch.cat(parts), tuple(names))

    def _picture(self) -> Face:
        """Returns the face in a picture or a video; of a video's stills, the medoid."""
        from facetron.video.align import Aligner  # landmarks are only needed here

        path = Path(self.rule[len(IMAGE) :])
        aligner = Aligner()
        try:
            stills, _ = aligner.stills(path)
        finally:
            aligner.close()
        made = torch.from_numpy(self.synthesizer.face_embeddings(stills))
        choice = i2i.select(made, {}, "literal")
        embedding = np.asarray(choice.embedding.numpy(), np.float32)
        return Face(embedding, path.name, choice.index, "", (IMAGE, sha256_file(path)[:16]))
