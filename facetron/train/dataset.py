"""A manifest's clips as training data: what a stage asks for of each, varied.

Memory stays bounded: a clip is read when its turn comes, and a cache of small lips or stills (for
machines without a GPU, where decoding would be a large share of a step) has a limit in bytes. What
is drawn at random depends on (seed, epoch, clip) alone, so that any number of workers or processes,
and a run that was killed and taken up again, see the same data.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from facetron.model.config import ModelConfig
from facetron.model.ctc import encode
from facetron.model.face import face_input
from facetron.model.lip import lip_input
from facetron.train import augment
from facetron.train.augment import Augmentation
from manifests.errors import BadInput, ManifestError
from manifests.grammar import WORDS
from manifests.io import read_manifest
from manifests.pictures import read_pictures
from manifests.records import ManifestRow
from manifests.specs import CLIP_FRAMES, CropSpec, MelSpec

Field = Literal["lips", "face", "mel", "wave", "pitch"]
Batch = dict[str, Any]
"""Tensors by name, first axis the clip, and lists of `speakers` and `clips`, by name.

`lips` (B, C, T, H, W) uint8 with `lengths` (B,), `targets` (B, S) with `target_lengths` (B,), `words`
(B, T) classes of the word sounding (0 is none); `face` (B, 3, H, W) uint8; `mel` (B, n_mels, T);
`wave` (B, 1, samples) with `wave_mel` (B, n_mels, frames) and `wave_start` (B,) frames, and for the field
`pitch` `wave_f0_hz` (B, frames), NaN where nothing is voiced; in place of `lips`,
`reading` (B, T, E) float16."""

WORD_CLASS = {word: number for number, word in enumerate(WORDS, 1)}
"""Word → class of the per-frame word loss; 0 is silence."""

STILLS = len(range(0, CLIP_FRAMES, CropSpec().face_every))

NO_WORD = -100
"""Class of frames that only pad a batch: losses leave it out."""


@dataclass(frozen=True)
class TrainingSet:
    """A manifest as training takes it.

    Attributes:
        root: folder of the manifest.
        train, val: rows of the two subsets; `val` may be empty.
        held_out: speakers that the split keeps for testing.
        crop: fingerprint of the build's crops.
    """

    root: Path
    train: tuple[ManifestRow, ...]
    val: tuple[ManifestRow, ...]
    held_out: tuple[str, ...]
    crop: str
    split: str

    @property
    def speakers(self) -> tuple[str, ...]:
        return tuple(sorted({row.speaker for row in self.train}))


def open_training_set(manifest: Path, spec: MelSpec) -> TrainingSet:
    """Reads a manifest and keeps what may be learned from.

    Raises:
        ManifestError: no or a damaged manifest, no rows to train on, or rows of a held-out speaker
            marked for training (the unseen protocol, V).
        SpecMismatch: mels of another spec than the model's.
    """
    header, rows = read_manifest(manifest)
    file = manifest / "manifest.jsonl" if manifest.is_dir() else manifest
    held_out = tuple(header.get("held_out_speakers") or ())
    train = tuple(row for row in rows if row.subset == "train")
    val = tuple(row for row in rows if row.subset == "val")
    if not train:
        raise ManifestError(f"{file} has no clips to train on", "build with another split")
    # Validation chooses the checkpoint, so a held-out speaker there would be learned from as well.
    for row in (*train, *val):
        if row.speaker in held_out:
            raise ManifestError(
                f"{file} has {row.clip_id} in {row.subset}, but the split holds {row.speaker} out",
                "build it again with the split",
            )
    crops = {row.fingerprints.get("crop", "") for row in (*train, *val)}
    if len(crops) > 1:
        raise ManifestError(f"{file} mixes crops {', '.join(sorted(crops))}", "build it again")
    for print_ in {row.fingerprints.get("mel", "") for row in (*train, *val)}:
        spec.require(print_, str(file))
    return TrainingSet(file.parent, train, val, held_out, crops.pop(), str(header.get("split", "")))


class Clips(Dataset[Batch]):
    """Clips by (epoch, number).

    Args:
        rows: of a manifest.
        root: its folder.
        config: of the model, for sizes.
        fields: what to read.
        how: what to vary.
        seed: of everything drawn.
        segment_frames: mel frames of the random waveform segment; 0 is the whole clip.
        cache_bytes: limit of the cache.
        fixed: validation: nothing varies by epoch, and the still is the middle one.
        readings: (clips, variants, T, E) of a frozen lip encoder (`facetron.train.precomputed_lips`); each
            epoch takes the next variant as `reading` (T, E).
    """

    def __init__(
        self,
        rows: Sequence[ManifestRow],
        root: Path,
        config: ModelConfig,
        fields: Sequence[Field],
        how: Augmentation = augment.NONE,
        seed: int = 0,
        segment_frames: int = 0,
        cache_bytes: int = 0,
        fixed: bool = False,
        readings: Tensor | None = None,
    ) -> None:
        self.rows, self.root, self.config = list(rows), root, config
        self.readings = readings
        self.fields, self.how, self.seed = frozenset(fields), how, seed
        self.segment_frames, self.fixed = segment_frames, fixed
        self._cache: dict[tuple[str, int], NDArray[np.uint8]] = {}
        self._room_bytes = min(cache_bytes, len(self.rows) * picture_bytes(config, fields))
        self._store: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        """One clip without the batch axis. Raises `BadInput` naming a file that cannot be used."""
        epoch, number = key
        row = self.rows[number]
        rng = np.random.default_rng([self.seed, 0 if self.fixed else epoch, number])
        item: Batch = {"speaker": row.speaker, "clip": row.clip_id}
        if self.readings is not None:
            item["reading"] = self.readings[number, epoch % self.readings.shape[1]]
        if "lips" in self.fields:
            item |= self._lips(row, number, epoch, rng)
        if "face" in self.fields:
            item["face"] = self._face(row, number, rng)
        if "mel" in self.fields or "wave" in self.fields:
            mel = self._mel(row)
            item["mel"] = torch.from_numpy(mel)
            item.setdefault("words", torch.from_numpy(_word_frames(row)))
            if "wave" in self.fields:
                item |= self._segment(row, mel, rng)
        return item

    def _lips(self, row: ManifestRow, number: int, epoch: int, rng: np.random.Generator) -> Batch:
        frames = self._pictures("lips", row, number)
        words = _word_frames(row)
        text = row.sentence
        if len(frames) != row.video_frames:
            raise BadInput(
                f"{self._path(row, 'lips')} has {len(frames)} frames, not {row.video_frames}",
                "build this clip again",
            )
        chance = self.how.word_crop * self.how.word_crop_decay**epoch
        run = augment.some_words(row.words, chance, rng) if self.how.word_crop else None
        if run is not None:
            spans = row.words[run[0] : run[1]]
            inside = slice(spans[0].start_frame, spans[-1].end_frame)
            frames, words = frames[inside], words[inside]
            text = " ".join(span.word for span in spans)
        if self.how.frame_jitter:
            times = augment.jittered_times(len(frames), self.how.frame_jitter, rng)
            frames, words = frames[times], words[times]
        if self.how != augment.NONE:
            frames = augment.vary_picture(frames, self.how, rng)
        return {
            "lips": torch.from_numpy(frames).movedim(-1, 0),
            "targets": torch.tensor(encode(text)),
            "words": torch.from_numpy(words),
        }

    def _face(self, row: ManifestRow, number: int, rng: np.random.Generator) -> Tensor:
        stills = self._pictures("face", row, number)
        which = len(stills) // 2 if self.fixed else int(rng.integers(len(stills)))
        still = stills[which : which + 1]
        if self.how != augment.NONE:
            still = augment.vary_picture(still, self.how, rng)
        return torch.from_numpy(np.ascontiguousarray(still[0])).movedim(-1, 0)

    def _pictures(self, kind: Literal["lips", "face"], row: ManifestRow, number: int) -> Any:
        """(T, H, W, C) uint8 at the model's size, from the cache if it is there."""
        found = self._cache.get((kind, number))
        if found is not None:
            return found
        stored = torch.from_numpy(read_pictures(self._path(row, kind)))
        if kind == "lips":
            values = lip_input(stored, self.config.lip).movedim(0, -1)
        else:
            values = face_input(stored, self.config.face).movedim(1, -1)
        pictures = (values * 128 + 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
        return self._kept(kind, number, pictures)

    def _kept(self, kind: str, number: int, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pictures in the cache, if there is room. All lie in one block, which is claimed when it is
        first needed, in the process that reads: arrays of their own, between the large ones that
        decoding frees again, would hold gigabytes in pieces that nobody can use."""
        if self._store is None:
            self._store = np.empty(self._room_bytes, np.uint8)
        if pictures.nbytes > self._room_bytes:
            return pictures
        start = len(self._store) - self._room_bytes
        kept = self._store[start : start + pictures.nbytes].reshape(pictures.shape)
        kept[...] = pictures
        self._room_bytes -= pictures.nbytes
        self._cache[kind, number] = kept
        return kept

    def _mel(self, row: ManifestRow) -> NDArray[np.float32]:
        path = self._path(row, "mel")
        try:
            mel = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise BadInput(f"{path} cannot be read ({error})", "build this clip again") from None
        wanted = (self.config.mel_spec.n_mels, row.mel_frames)
        if mel.shape != wanted or not np.isfinite(mel).all():
            raise BadInput(
                f"{path} holds {mel.shape} or no finite numbers, not a mel of {wanted}",
                "build this clip again",
            )
        return np.asarray(mel, np.float32)

    def _segment(
        self, row: ManifestRow, mel: NDArray[np.float32], rng: np.random.Generator
    ) -> Batch:
        path, hop = self._path(row, "audio"), self.config.mel_spec.hop_samples
        length = min(self.segment_frames or mel.shape[1], mel.shape[1])
        last = mel.shape[1] - length
        start = last // 2 if self.fixed else int(rng.integers(last + 1))
        try:
            with soundfile.SoundFile(path) as file:
                file.seek(start * hop)
                wave = file.read(length * hop, dtype="float32", always_2d=True)[:, 0]
        except (OSError, RuntimeError) as error:
            raise BadInput(f"{path} cannot be read ({error})", "build this clip again") from None
        if len(wave) != length * hop:
            raise BadInput(f"{path} is shorter than its mel", "build this clip again")
        segment = {
            "wave": torch.from_numpy(wave[None]),
            "wave_mel": torch.from_numpy(mel[:, start : start + length].copy()),
            "wave_start": torch.tensor(start),
        }
        if "pitch" in self.fields:
            segment["wave_f0_hz"] = torch.from_numpy(self._f0_hz(row)[start : start + length])
        return segment

    def _f0_hz(self, row: ManifestRow) -> NDArray[np.float32]:
        """(mel frames,) NaN where nothing is voiced."""
        path = self._path(row, "prosody")
        try:
            with np.load(path, allow_pickle=False) as stored:
                f0_hz = stored["f0_hz"]
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise BadInput(f"{path} cannot be read ({error})", "build this clip again") from None
        if f0_hz.shape != (row.mel_frames,):
            raise BadInput(
                f"{path} holds a pitch of {f0_hz.shape}, not of {row.mel_frames} frames",
                "build this clip again",
            )
        return np.asarray(f0_hz, np.float32)

    def _path(self, row: ManifestRow, kind: str) -> str:
        if kind not in row.paths:
            raise ManifestError(f"{row.clip_id} has no {kind} in the manifest", "build it again")
        return str(self.root / row.paths[kind])


def _word_frames(row: ManifestRow) -> NDArray[np.int64]:
    """(T,) class of the word that sounds in each video frame."""
    classes = np.zeros(row.video_frames, np.int64)
    for span in row.words:
        classes[span.start_frame : span.end_frame] = WORD_CLASS.get(span.word, 0)
    return classes


def picture_bytes(config: ModelConfig, fields: Sequence[Field]) -> int:
    """Memory of a clip's pictures in the cache, the stills counted as gridprep stores them."""
    lips = CLIP_FRAMES * config.lip.input_channels * config.lip.input_px**2
    face = STILLS * 3 * config.face.input_px**2
    return ("lips" in fields) * lips + ("face" in fields) * face
