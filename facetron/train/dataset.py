"""A manifest's clips as training data: the fields that a stage needs, with augmentation.

Memory stays bounded: a clip is read when it is needed, and a cache of small lips or stills (for
machines without a GPU, where decoding would be a large share of a step) has a limit in bytes. Random
draws depend on (seed, epoch, clip) alone, so that any number of workers or processes, and a run that
was killed and resumed, see the same data.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from facetron.baselines import phonemes
from facetron.model import encoders
from facetron.model.ctc import encode
from facetron.train import augment
from facetron.train.augment import Augmentation
from facetron.train.readings import Readings
from manifests.errors import BadInput, ManifestError
from manifests.grammar import WORDS
from manifests.manifest import FeatureRow, Manifest, select
from manifests.specs import CLIP_FRAMES, CropSpec, MelSpec

Field = Literal["lips", "face", "mel", "wave", "pitch", "text", "other", "world", "phones"]
FIELDS: tuple[Field, ...] = get_args(Field)
Batch = dict[str, Any]
"""Tensors by name, first axis the clip, and lists of `speakers` and `clips`, by name.

`lips` (B, C, T, H, W) uint8 with `lengths` (B,), `targets` (B, S) with `target_lengths` (B,), `words`
(B, T) classes of the word sounding (0 is none); `face` (B, 3, H, W) uint8; `mel` (B, n_mels, T);
`wave` (B, 1, samples) with `wave_mel` (B, n_mels, frames) and `wave_start` (B,) frames, and for the field
`pitch` `wave_f0_hz` (B, frames), NaN where nothing is voiced; `other` (B, n_mels, T), the mel of another
clip of the speaker; `world` (B, frames, size) of `facetron.baselines.world`; `phones` (B, P, features) of
`facetron.baselines.phonemes` with `phone_count` (B,), `phone_spans` (B, P, 2) and `durations` (B, P) in mel
frames; in place of `lips`, `reading` (B, T, E) float16."""

WORD_CLASS = {word: number for number, word in enumerate(WORDS, 1)}
"""Word → class of the per-frame word loss; 0 is silence."""

VARIED = "_varied"
"""Ends the name of what is to be done to the pictures of a batch: `lips_varied` (B, 5)."""

NO_WORD = -100
"""Class of frames that only pad a batch: losses leave it out."""


TIMED = {
    "reading": 0,
    "mel": 1,
    "other": 1,
    "world": 0,
    "wave": 1,
    "wave_mel": 1,
    "wave_f0_hz": 0,
    "phones": 0,
    "phone_spans": 0,
    "durations": 0,
}
"""Field → its axis of time, where a clip's length shows in it (lips, words and targets apart)."""

MEASURED = ("mel", "wave_mel", "other", "world")
"""Fields with `NAME_lengths` in a batch in which any of them was padded."""

LENGTH_STEP_FRAMES = 15
"""Lips of a batch are padded to a multiple of this; 75 frames are one."""


PictureConfig = Any
"""A `facetron.systems.SystemConfig`. Of its sections only those are looked at whose pictures are read:
`lip` for the field `lips`, `face` for `face`; no two systems need have the same."""


@dataclass(frozen=True)
class TrainingSet:
    """The rows of a manifest to train on and to validate on.

    Attributes:
        manifest: the whole manifest; `train` and `val` are the rows of two subsets, `val` may be empty.
        crop: fingerprint of the build's crops.
    """

    manifest: Manifest
    crop: str

    @cached_property
    def train(self) -> Manifest:
        return self.manifest.where(subset="train")

    @cached_property
    def val(self) -> Manifest:
        return self.manifest.where(subset="val")

    @property
    def held_out(self) -> tuple[str, ...]:
        """Speakers that the split holds out for testing."""
        return self.manifest.held_out_speakers

    @property
    def split(self) -> str:
        return self.manifest.split

    @property
    def root(self) -> Path:
        return self.manifest.root

    @property
    def speakers(self) -> tuple[str, ...]:
        return tuple(sorted({row.speaker for row in self.train}))


def open_training_set(manifest: Path, spec: MelSpec) -> TrainingSet:
    """Reads a manifest and selects the rows to train and to validate on.

    Raises:
        ManifestError: the manifest is absent or damaged, has no rows to train on, or marks rows of a
            held-out speaker for training (the unseen protocol, V).
        SpecMismatch: the mels have another spec than the model's.
    """
    found = Manifest(manifest)
    train, val = found.where(subset="train"), found.where(subset="val")
    if not len(train):
        raise ManifestError(f"{found.path} has no clips to train on", "build with another split")
    # Validation chooses the checkpoint, so a held-out speaker there would be learned from as well.
    for row in (*train, *val):
        if row.speaker in found.held_out_speakers:
            raise ManifestError(
                f"{found.path} has {row.clip_id} in {row.subset}, but the split holds {row.speaker} out",
                "build it again with this split",
            )
    crops = {row.fingerprints.get("crop", "") for row in (*train, *val)}
    if len(crops) > 1:
        raise ManifestError(
            f"{found.path} mixes crops {', '.join(sorted(crops))}", "build it again"
        )
    for print_ in {row.fingerprints.get("mel", "") for row in (*train, *val)}:
        spec.require(print_, str(found.path))
    return TrainingSet(found, crops.pop())


def require_text(data: TrainingSet) -> None:
    """Raises `ManifestError` where nobody wrote down what is said in a clip: lips are read by letters."""
    silent = [row.clip_id for row in (*data.train, *data.val) if not row.sentence]
    if silent:
        raise ManifestError(
            f"{data.manifest.path} has no sentence for {len(silent)} clips ({silent[0]}, …)",
            "give their text in the list of the corpus, or train the lip stage on another build",
        )


class ClipDataset(Dataset[Batch]):
    """The clips of a manifest as a data set of PyTorch, with an integer index.

    A clip is a dictionary of tensors without the batch axis; `ClipDataset.collate` makes a batch of
    several, padded to one length. Every item names its `speaker` and `clip`, and holds, by field:

    - `lips`: `lips` (C, T, H, W) uint8, `targets` (S,) the letters of the sentence as classes of
      `facetron.model.ctc`, `words` (T,) class of the word that sounds in each frame, 0 in pauses;
    - `face`: `face` (C, H, W) uint8, one still drawn at random;
    - `mel`: `mel` (n_mels, frames) float32 log mel, and `words`;
    - `text`: `targets` as of the lips, for a batch without these;
    - `other`: `other` (n_mels, frames), the mel of another clip of the same speaker, drawn at random;
    - `world`: `world` (frames, size), WORLD's features by `facetron.baselines.world`;
    - `phones`: `phones` (P, features) of the sentence, `phone_count`, `phone_spans` (P, 2) and
      `durations` (P,) mel frames by the alignment, by `facetron.baselines.phonemes`;
    - `wave`: `wave` (1, samples) float32 in ±1 with `wave_mel` (n_mels, frames) of the same time and
      `wave_start` in mel frames, and `mel`; `pitch`: `wave_f0_hz` (frames,), NaN where unvoiced.

    Random draws depend on (seed, epoch, index of the clip) alone. The epoch is that of `set_epoch`, or
    the first of a pair (epoch, index), which the trainer's sampler gives.

    Args:
        manifest: a `Manifest`, or the folder of a build or of shards, or a `manifest.jsonl`.
        subset: `train`, `val`, `test` or `all`.
        fields: fields to read of each clip.
        config: options of a model, which determine the size and color of pictures; None gives pictures
            as they are stored, RGB, lips 144×144 and stills 160×160 by default.
        how: augmentation; none by default.
        seed: seed of everything drawn.
        segment_frames: mel frames of the random segment of the field `wave`; 0 is the whole clip.
        cache_bytes: limit of a cache of decoded pictures, in memory of each process that reads.
        fixed: nothing varies by epoch, and the still is the middle one, for validation.
        readings: (clips, variants, T, E) of a frozen lip encoder (`facetron.train.precomputed_lips`);
            each epoch takes the next variant as `reading` (T, E).
        vary_later: leave flips, shifts and light to `varied_batch`, which does them on a GPU.

    Raises:
        ManifestError: the manifest is absent or damaged.
        BadInput: there is no such subset or field, or no clip in the subset. Reading an item raises it
            where a file of the clip is absent or damaged.

    Example:
        >>> from facetron import ClipDataset
        >>> from torch.utils.data import DataLoader
        >>> data = ClipDataset("features", subset="train")
        >>> batch = next(iter(DataLoader(data, batch_size=2, collate_fn=data.collate)))
        >>> batch["lips"].shape, batch["mel"].shape
        (torch.Size([2, 3, 75, 144, 144]), torch.Size([2, 80, 150]))
        >>> batch["speakers"], batch["face"].dtype
        (['s3', 's3'], torch.uint8)
    """

    def __init__(
        self,
        manifest: Manifest | str | os.PathLike[str],
        subset: str = "train",
        fields: Sequence[Field] = ("lips", "face", "mel"),
        config: PictureConfig | None = None,
        how: Augmentation = augment.NONE,
        seed: int = 0,
        segment_frames: int = 0,
        cache_bytes: int = 0,
        fixed: bool = False,
        readings: Tensor | Readings | None = None,
        vary_later: bool = False,
    ) -> None:
        unknown = sorted(set(fields) - set(FIELDS))
        if unknown:
            raise BadInput(
                f"there is no field {', '.join(unknown)}", f"choose among {', '.join(FIELDS)}"
            )
        clips = manifest if isinstance(manifest, Manifest) else Manifest(manifest)
        self.rows = select(clips, subset, 0, clips.path)
        self.config = config
        self.mel_spec: MelSpec | None = config.mel_spec if config is not None else None
        if self.mel_spec is None and {"mel", "wave", "pitch", "other", "world", "phones"} & set(
            fields
        ):
            self.mel_spec = clips.mel_spec
        self.readings = readings
        self.fields, self.how, self.seed = frozenset(fields), how, seed
        self.segment_frames, self.fixed = segment_frames, fixed
        self.vary_later = vary_later
        self.epoch = 0
        self._cache: dict[tuple[str, int], NDArray[np.uint8]] = {}
        needed = sum(picture_bytes(config, fields, row.video_frames) for row in self.rows)
        self._room_bytes = min(cache_bytes, needed)
        self.language = config.lip.language if "lips" in fields and config else clips.language
        self._store: NDArray[np.uint8] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch of the random draws. Call it before the `DataLoader` is iterated; persistent
        workers do not receive it."""
        self.epoch = epoch

    @staticmethod
    def collate(items: Sequence[Batch]) -> Batch:
        """Collates clips into a batch, for `DataLoader(…, collate_fn=data.collate)`; see `collate`."""
        return collate(items)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | tuple[int, int]) -> Batch:
        """Returns one clip without the batch axis, by its index or by (epoch, index). Raises `BadInput`
        naming a file that cannot be used, and `IndexError` beyond the last clip."""
        epoch, number = key if isinstance(key, tuple) else (self.epoch, key)
        row = self.rows[number]
        number %= len(self.rows)
        rng = np.random.default_rng([self.seed, 0 if self.fixed else epoch, number])
        item: Batch = {"speaker": row.speaker, "clip": row.clip_id}
        if self.readings is not None:
            item["reading"] = self.readings[number, epoch % self.readings.shape[1]]
            if row.video_frames < len(item["reading"]):
                item["reading"] = item["reading"][: row.video_frames]
        if "lips" in self.fields:
            item |= self._lips(row, number, epoch, rng)
        elif "text" in self.fields:
            item["targets"] = torch.tensor(encode(row.sentence))
        if "face" in self.fields:
            item |= self._face(row, number, rng)
        if "other" in self.fields:
            item["other"] = torch.from_numpy(self._mel(self._another(number, rng)))
        if "world" in self.fields:
            # The extra `world` is for the one system that learns from it.
            from facetron.baselines import world

            spec = world.spec_of(self._spec.sample_rate_hz)
            item["world"] = torch.from_numpy(world.cached(row, spec))
        if "phones" in self.fields:
            item |= self._phones(row)
        if {"mel", "wave", "pitch"} & self.fields:
            mel = self._mel(row)
            item["mel"] = torch.from_numpy(mel)
            item.setdefault("words", torch.from_numpy(_word_frames(row)))
            if {"wave", "pitch"} & self.fields:
                item |= self._segment(row, mel, rng)
        return item

    def _lips(self, row: FeatureRow, number: int, epoch: int, rng: np.random.Generator) -> Batch:
        frames = self._pictures("lips", row, number)
        words = _word_frames(row)
        text = row.sentence
        if len(frames) != row.video_frames:
            raise BadInput(
                f"{row.path('lips')} has {len(frames)} frames, not {row.video_frames}",
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
        if self.how.speed:
            times = augment.resampled_times(len(frames), self.how.speed, rng)
            frames, words = frames[times], words[times]
        later: Batch = {}
        if self.how != augment.NONE:
            frames, later = self._varied("lips", frames, rng)
        if self.how.time_mask_frames:
            frames = augment.mask_time(frames, self.how.time_mask_frames, rng)
        return {
            "lips": torch.from_numpy(frames).movedim(-1, 0),
            "targets": torch.tensor(encode(text, self.language), dtype=torch.int64),
            "words": torch.from_numpy(words),
            **later,
        }

    def _varied(
        self, kind: str, frames: NDArray[np.uint8], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], Batch]:
        """The frames varied, or as they are with what is to be done to them later."""
        by = augment.drawn(self.how, frames.shape[1], rng)
        if not self.vary_later:
            return augment.varied(frames, by), {}
        return np.ascontiguousarray(frames), {f"{kind}{VARIED}": torch.from_numpy(by.numbers())}

    def _face(self, row: FeatureRow, number: int, rng: np.random.Generator) -> Batch:
        stills = self._pictures("face", row, number)
        which = len(stills) // 2 if self.fixed else int(rng.integers(len(stills)))
        still = stills[which : which + 1]
        later: Batch = {}
        if self.how != augment.NONE:
            still, later = self._varied("face", still, rng)
        return {"face": torch.from_numpy(np.ascontiguousarray(still[0])).movedim(-1, 0), **later}

    def _phones(self, row: FeatureRow) -> Batch:
        try:
            said = phonemes.utterance(row.sentence.split())
            durations = said.durations(row.words, row.mel_frames, self._spec.frame_rate_hz)
        except BadInput as error:
            raise BadInput(f"{row.clip_id}: {error.problem}", error.remedy) from None
        return {
            "phones": said.features(),
            "phone_count": torch.tensor(len(said.phones)),
            "phone_spans": torch.from_numpy(said.spans),
            "durations": durations,
        }

    def _another(self, number: int, rng: np.random.Generator) -> FeatureRow:
        """Another clip of the speaker of clip `number`, the next one where nothing varies; itself
        where there is no other."""
        others = self._of_speaker[self.rows[number].speaker]
        at = others.index(number)
        step = 1 if self.fixed else 1 + int(rng.integers(max(len(others) - 1, 1)))
        return self.rows[others[(at + step) % len(others)]]

    @cached_property
    def _of_speaker(self) -> dict[str, list[int]]:
        """Speaker → indices of the clips."""
        found: dict[str, list[int]] = {}
        for number, row in enumerate(self.rows):
            found.setdefault(row.speaker, []).append(number)
        return found

    def _pictures(self, kind: Literal["lips", "face"], row: FeatureRow, number: int) -> Any:
        """(T, H, W, C) uint8 at the model's size where there is a model, from the cache if it is there."""
        found = self._cache.get((kind, number))
        if found is not None:
            return found
        pictures = row.lips() if kind == "lips" else row.faces()
        if self.config is not None and not self._as_stored(kind, pictures):
            stored = torch.from_numpy(pictures)
            if kind == "lips":
                values = encoders.prepare("lip", stored, self.config.lip).movedim(0, -1)
            else:
                values = encoders.prepare("face", stored, self.config.face).movedim(1, -1)
            pictures = (values * 128 + 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
        return self._kept(kind, number, pictures)

    def _as_stored(self, kind: Literal["lips", "face"], pictures: NDArray[np.uint8]) -> bool:
        """Returns whether what is stored is what the model sees, so that nothing need be converted."""
        assert self.config is not None
        section = "lip" if kind == "lips" else "face"
        return encoders.keeps(section, getattr(self.config, section), pictures.shape[1])

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

    def _mel(self, row: FeatureRow) -> NDArray[np.float32]:
        mel, path, wanted = row.mel(), row.path("mel"), (self._spec.n_mels, row.mel_frames)
        if mel.shape != wanted or not np.isfinite(mel).all():
            raise BadInput(
                f"{path} does not hold a mel of shape {wanted} (its shape is {mel.shape}) with finite values",
                "build this clip again",
            )
        return np.asarray(mel, np.float32)

    @property
    def _spec(self) -> MelSpec:
        assert self.mel_spec is not None, "read for the fields of sound alone"
        return self.mel_spec

    def _segment(
        self, row: FeatureRow, mel: NDArray[np.float32], rng: np.random.Generator
    ) -> Batch:
        path, hop = row.path("audio"), self._spec.hop_samples
        length = min(self.segment_frames or mel.shape[1], mel.shape[1])
        last = mel.shape[1] - length
        start = last // 2 if self.fixed else int(rng.integers(last + 1))
        try:
            content = row.content("audio")
            with soundfile.SoundFile(path if content is None else io.BytesIO(content)) as file:
                if file.samplerate != self._spec.sample_rate_hz:
                    raise BadInput(
                        f"{path} has {file.samplerate} Hz, not {self._spec.sample_rate_hz}",
                        "build this clip again",
                    )
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

    def _f0_hz(self, row: FeatureRow) -> NDArray[np.float32]:
        """(mel frames,) NaN where nothing is voiced."""
        f0_hz = row.prosody().f0_hz
        if f0_hz.shape != (row.mel_frames,):
            raise BadInput(
                f"{row.path('prosody')} holds a pitch of {f0_hz.shape}, not of {row.mel_frames} frames",
                "build this clip again",
            )
        return np.asarray(f0_hz, np.float32)


def _word_frames(row: FeatureRow) -> NDArray[np.int64]:
    """Returns (T,) the class of the word spoken in each video frame; `NO_WORD` where it is not known:
    in words outside GRID, and in clips of which nobody wrote down the times."""
    classes = np.full(row.video_frames, 0 if row.words else NO_WORD, np.int64)
    for span in row.words:
        classes[span.start_frame : span.end_frame] = WORD_CLASS.get(span.word, NO_WORD)
    return classes


def picture_bytes(
    config: PictureConfig | None, fields: Sequence[Field], frames: int = CLIP_FRAMES
) -> int:
    """Returns the bytes of the pictures of a clip of so many frames in the cache, counting the stills that
    gridprep stores."""
    stored = CropSpec()
    lips = 3 * stored.lips_px**2
    face = 3 * stored.face_px**2
    if config is not None and "lips" in fields:
        lips = config.lip.input_channels * config.lip.input_px**2
    if config is not None and "face" in fields:
        face = 3 * config.face.input_px**2
    stills = len(range(0, frames, stored.face_every))
    return ("lips" in fields) * frames * lips + ("face" in fields) * stills * face


def collate(items: Sequence[Batch]) -> Batch:
    """Collates clips into a batch; shorter clips are padded at the end: lips with gray, which the encoder
    does not see, mels with the quietest level of the batch, sound with silence. `NAME_lengths` (B,) of
    the fields `MEASURED` say how many frames are a clip's own, where any was padded."""
    batch: Batch = {
        "speakers": [item["speaker"] for item in items],
        "clips": [item["clip"] for item in items],
    }
    for name in items[0]:
        values = [item[name] for item in items]
        if name in ("speaker", "clip"):
            continue
        if name == "lips":
            batch["lengths"] = torch.tensor([value.shape[1] for value in values])
            # Few different lengths: PyTorch's CPU convolutions keep memory for every shape they
            # have met, gigabytes over a training that crops clips to words.
            longest = -(-int(batch["lengths"].max()) // LENGTH_STEP_FRAMES) * LENGTH_STEP_FRAMES
            # 128 is the middle of the scale; the encoder sees none of it anyway.
            # Copied in the order in which pictures lie in memory, several times as fast.
            whole = [_padded(value, 1, longest, 128).movedim(0, -1) for value in values]
            batch[name] = torch.stack(whole).movedim(-1, 1)
        elif name in ("targets", "words"):
            lengths = torch.tensor([len(value) for value in values])
            if name == "targets":
                batch["target_lengths"] = lengths
            none = NO_WORD if name == "words" else 0
            longest = batch["lips"].shape[2] if name == "words" and "lips" in batch else 0
            longest = longest or int(lengths.max())
            batch[name] = torch.stack([_padded(value, 0, longest, none) for value in values])
        elif name in TIMED:
            axis = TIMED[name]
            longest = max(value.shape[axis] for value in values)
            if name == "mel" and "lips" in batch:  # two mel frames a video frame, padded alike
                rate = values[0].shape[axis] // max(items[0]["lips"].shape[1], 1)
                longest = max(longest, rate * batch["lips"].shape[2])
            if name in MEASURED and any(v.shape[axis] < longest for v in values):
                batch[f"{name}_lengths"] = torch.tensor([v.shape[axis] for v in values])
            fill = _fill(name, values)
            batch[name] = torch.stack([_padded(value, axis, longest, fill) for value in values])
        else:
            batch[name] = torch.stack(values)
    return batch


def _fill(name: str, values: Sequence[Tensor]) -> float:
    """Returns what pads a field: the quietest level of a mel, silence, no pitch."""
    if name in ("mel", "wave_mel", "other"):
        return float(min(value.min() for value in values))
    return math.nan if name == "wave_f0_hz" else 0.0


def varied_batch(batch: Batch, device: torch.device) -> Batch:
    """Moves a batch to a device, and does there what `ClipDataset(vary_later=True)` left."""
    moved = {
        name: value.to(device, non_blocking=True)
        if isinstance(value, Tensor) and not name.endswith(VARIED)
        else value
        for name, value in batch.items()
    }
    for name in [name for name in moved if name.endswith(VARIED)]:
        kind, variations = name.removesuffix(VARIED), moved.pop(name)
        moved[kind] = augment.vary_batch(moved[kind], variations)
    return moved


def _padded(value: Tensor, axis: int, length: int, fill: float) -> Tensor:
    missing = length - value.shape[axis]
    if not missing:
        return value
    shape = list(value.shape)
    shape[axis] = missing
    return torch.cat([value, value.new_full(shape, fill)], dim=axis)
