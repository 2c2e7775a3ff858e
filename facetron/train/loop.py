"""The one loop of all stages: epochs, validation, checkpoints, and taking a killed run up again.

Built on Lightning Fabric rather than Accelerate: it only moves, wraps and casts, so that the loop
below stays one to be read, and it adds nothing to a checkpoint.

What is drawn in a step (dropout, the data's variations) is seeded by (seed, epoch, step) alone. A
run that was killed therefore goes on to the same numbers without any generator's state, also from
the middle of an epoch.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from facetron import options
from facetron.checkpoints import checkpoint
from facetron.checkpoints.checkpoint import CheckpointInfo
from facetron.train.augment import NONE
from facetron.train.average import WeightAverage
from facetron.train.batches import (
    Batches,
    SpeakerBatches,
    loader,
    parts,
    reading_workers,
    shares,
)
from facetron.train.compiling import compile_parts
from facetron.train.dataset import (
    Batch,
    ClipDataset,
    Field,
    TrainingSet,
    picture_bytes,
    varied_batch,
)
from facetron.train.log import EpochLog
from facetron.train.observed import interleaved, of_stage
from facetron.train.pictures import Exhibit, fixed_clips, recordings
from facetron.train.precomputed_lips import lip_readings
from facetron.train.readings import Readings
from facetron.train.stage import Made, Stage
from manifests.console import Progress
from manifests.errors import BadInput, ToolkitError

WARNING = "warning"
"""Column of the log with what `Stage.warnings` returned; absent where it never did."""

VALIDATION_BATCH = 32
"""Largest number of clips that a process validates at once, however many there are in a step of all."""

READINGS = "readings"
"""Folder of lips read beforehand, of a run's folder."""

LAST, BEST, RESUME = "last.safetensors", "best.safetensors", "resume.safetensors"
AVERAGE = "average"
"""Beginning of the names of the averaged weights in `resume.safetensors`."""

FREE = (
    "epochs",
    "patience",
    "device",
    "workers",
    "cache_mb",
    "save_every_s",
    "save_every_steps",
    "keep_best",
    "skip_limit",
    "loggers",
    "show_every",
    "compile",
    "compile_backend",
)
"""Options that may change when a run is taken up again: they change no step that is to come."""


T = TypeVar("T")


class Diverged(ToolkitError):
    """A loss or a gradient is no number any more. The last good checkpoint stays."""


@dataclass(frozen=True)
class Inherited:
    """Facts that came with the weights from which a training starts.

    Attributes:
        speakers: that they were trained on.
        trained: part → record of its training, see `CheckpointInfo`.
    """

    speakers: frozenset[str] = frozenset()
    trained: Mapping[str, dict[str, Any]] = field(default_factory=dict)


NOTHING = Inherited()


class Trainer:
    """Trains a stage on a manifest's clips into a folder.

    Args:
        stage: with its weights; moved to the device of `fabric`.
        data: what to learn from.
        out: folder for `last`, `best` and `resume.safetensors` and `log.csv`.
        fabric: launched.
        report: takes a line for a person after every epoch.
        inherited: what came with the weights that it starts from.
    """

    def __init__(
        self,
        stage: Stage[Any],
        data: TrainingSet,
        out: Path,
        fabric: Fabric,
        report: Callable[[str], None],
        inherited: Inherited = NOTHING,
    ) -> None:
        self.stage, self.data, self.out = stage, data, out
        self.fabric, self.report = fabric, report
        self.speakers = inherited.speakers | set(data.speakers)
        self.inherited = inherited
        self.sentences = spread(sorted({row.sentence for row in data.train} - {""}))
        self.training = t = stage.training
        on_gpu = fabric.device.type == "cuda"
        world, rank = fabric.world_size, fabric.global_rank
        fields, read = self._fields_and_readings()
        all_clips = len(data.train) + len(data.val)
        needed = sum(
            picture_bytes(stage.config, fields, row.video_frames)
            for row in (*data.train, *data.val)
        )
        workers = reading_workers(t.workers, on_gpu, needed, t.cache_mb * 2**20)
        # Each clip has the same share of the cache, each worker a cache of its own.
        room = t.cache_mb * 2**20 // max(workers, 1)
        room_train = room * len(data.train) // all_clips
        stage.survey(data.train)
        self.batches = self._batches(rank, world)
        clips = self._clips(fields, room_train, read.get("train"))
        self.train_loader = loader(clips, self.batches, workers, on_gpu)
        self.val_loader = None
        if data.val:
            val = self._clips(fields, room - room_train, read.get("val"), fixed=True)
            size = min(t.batch_size, VALIDATION_BATCH)
            walk = Batches(len(val), size, rank, world).only(t.validate_clips)
            self.val_loader = loader(val, walk, workers, on_gpu, keep=not on_gpu)
        if world > 1 and on_gpu:
            stage.generator = nn.SyncBatchNorm.convert_sync_batchnorm(  # type: ignore[no-untyped-call]
                stage.generator
            )
        if t.compile:
            compile_parts(stage, t.compile_backend, fabric.device)
        self.networks = [m for m in (stage.generator, stage.critic) if m is not None]
        self.optimizers = [self._optimizer(network) for network in self.networks]
        wrapped = [fabric.setup(n, o) for n, o in zip(self.networks, self.optimizers, strict=True)]
        # After that, for it is kept where the weights are.
        self.average = WeightAverage(stage.generator, t.ema) if t.ema else None
        self.generator = wrapped[0][0]
        self.critic = wrapped[1][0] if stage.critic is not None else None
        self._stepping = [pair[1] for pair in wrapped]
        self.epoch, self.step, self.first_batch = 0, 0, 0
        self.sums: dict[str, float] = {}
        self.skipped, self.skipped_in_row = 0, 0
        self._gradient: float | None = None
        self.best: float | None = None
        self.stale = 0
        self.ranks: dict[str, float] = {}
        self.history: list[dict[str, Any]] = []
        self.wait_s = 0.0
        told = {"clips": len(data.train), **options.to_dict(stage.config), "train": asdict(t)}
        name = f"{stage.system} {stage.name} {out.name}"
        self.log = EpochLog(out, t.loggers, name, told, rank == 0)
        self.shown_clips = fixed_clips(data.val) if self.log.shows and t.show_every else frozenset()
        self.exhibits: list[Exhibit] = []
        self.recorded = False

    def _batches(self, rank: int, world: int) -> Batches:
        """The batches to train on."""
        t, clips, each = self.training, self.data.train, self.stage.clips_per_speaker
        expected = shares(clips, t.speaker_balance, t.gender_balance)
        if not each:
            return Batches(len(clips), t.batch_size, rank, world, t.seed, expected, t.passes)
        if expected is not None:
            raise BadInput(
                f"the stage {self.stage.name} draws all speakers equally often",
                "leave out train.speaker_balance and train.gender_balance",
            )
        owners = [row.speaker for row in clips]
        return SpeakerBatches(owners, each, t.batch_size, rank, world, t.seed, t.passes)

    def _clips(
        self, fields: Sequence[Field], room_bytes: int, read: Readings | None, fixed: bool = False
    ) -> ClipDataset:
        """The clips to train on, or where `fixed` those to validate on."""
        t = self.training
        return ClipDataset(
            self.data.manifest, "val" if fixed else "train", fields, self.stage.config,
            NONE if fixed else t.augment, t.seed, self.stage.segment_frames, room_bytes, fixed, read,
            vary_later=self.fabric.device.type == "cuda",
        )  # fmt: skip

    def _fields_and_readings(self) -> tuple[tuple[Field, ...], dict[str, Readings]]:
        """Returns what is read of each clip, and where `train.lip_variants` asks for it, the embeddings
        of all lips, which are then left out of it. Every process reads a share and sees all: which
        clips come to it changes with the epoch."""
        reader, variants = self.stage.reader, self.training.lip_variants
        if reader is None or not variants:
            return self.stage.fields, {}
        lips = self._clips(("lips",), 0, None)
        on_gpu = self.fabric.device.type == "cuda"
        workers = reading_workers(self.training.workers, on_gpu, 0, 0)
        where = self.out / READINGS
        read = {
            "train": lip_readings(reader, lips, variants, self.fabric, where / "train.f16", workers)
        }
        if self.data.val:
            fixed = self._clips(("lips",), 0, None, fixed=True)
            read["val"] = lip_readings(reader, fixed, 1, self.fabric, where / "val.f16", workers)
        return tuple(field for field in self.stage.fields if field != "lips"), read

    def _optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        t = self.training
        return torch.optim.AdamW(
            [p for p in network.parameters() if p.requires_grad],
            t.learning_rate,
            (t.betas[0], t.betas[1]),
            weight_decay=t.weight_decay,
        )

    # --- the walk --------------------------------------------------------------------------------

    def fit(self) -> Path:
        """Trains to the end, or on from where an earlier call was stopped; returns the path of the
        best checkpoint.

        Raises:
            Diverged: gradients are no finite numbers in more steps in a row than `train.skip_limit`.
            BadInput: the folder holds a run with other options, or a clip cannot be read.
        """
        if (self.out / RESUME).exists():
            self._take_up()
        try:
            while self.epoch < self.training.epochs and not self._stands_still():
                self._train_epoch()
        finally:
            self.log.close()
            if self.fabric.is_global_zero:
                shutil.rmtree(self.out / READINGS, ignore_errors=True)
        if not self.history:
            raise BadInput(f"{self.out} has no finished epoch", "give train.epochs of 1 or more")
        if self.best is None:
            raise Diverged(
                f"{self.stage.name}: no epoch ended with a finite loss", "lower train.learning_rate"
            )
        return self.out / BEST

    def _stands_still(self) -> bool:
        return 0 < self.training.patience <= self.stale

    def _train_epoch(self) -> None:
        self.stage.generator.train()
        if self.stage.critic is not None:
            self.stage.critic.train()
        self.batches.start(self.epoch, self.first_batch)
        number, saved_s, self.wait_s = self.first_batch, time.monotonic(), 0.0
        begun_s = asked_s = time.monotonic()
        with Progress(len(self.batches), f"{self.stage.name} {self.epoch + 1}", "step") as bar:
            bar.update(number)
            for batch in self.train_loader:
                self.wait_s += time.monotonic() - asked_s
                losses = self._train_step(self._moved(batch), number)
                self._count(losses, batch, number)
                number += 1
                bar.update(loss=f"{losses['loss']:.4f}")
                if self._is_due(number, time.monotonic() - saved_s):
                    self.first_batch = number
                    self._save_midway()
                    saved_s = time.monotonic()
                asked_s = time.monotonic()
        spent_s = time.monotonic() - begun_s
        self._end_epoch(number, spent_s)

    def _is_due(self, number: int, since_s: float) -> bool:
        """Returns whether to save after this step of an epoch. Where saving goes by the clock,
        one process decides for all, since several would not agree."""
        t = self.training
        by_clock = since_s >= t.save_every_s and self.fabric.world_size == 1
        by_steps = t.save_every_steps > 0 and number % t.save_every_steps == 0
        return (by_clock or by_steps) and number < len(self.batches)

    def _count(self, losses: dict[str, float], batch: Batch, number: int) -> None:
        """Adds up a step's losses. A step that was skipped counts as such.

        Raises:
            Diverged: more steps in a row were skipped than `train.skip_limit`.
        """
        if self._gradient is None:
            self.skipped_in_row = 0
            for name, value in losses.items():
                self.sums[name] = self.sums.get(name, 0.0) + value
            return
        self.skipped, self.skipped_in_row = self.skipped + 1, self.skipped_in_row + 1
        if self.skipped_in_row > self.training.skip_limit:
            clips = ", ".join(batch["clips"][:4])
            raise Diverged(
                f"{self.stage.name}: loss {losses['loss']:g} with gradient {self._gradient:g} at "
                f"epoch {self.epoch + 1}, step {number + 1} ({clips} …), "
                f"{self.skipped_in_row} in a row",
                f"{self._kept()}; lower train.learning_rate or train.clip_norm",
            )

    def _train_step(self, batch: Batch, number: int) -> dict[str, float]:
        """One step of the critics, if there are any, and one of the generator."""
        stage = self.stage
        stage.begin(self.step)
        self._set_rate()
        self._gradient = None
        pieces = parts(batch, self.training.accumulate)
        logged: dict[str, float] = {}
        first: Made | None = None
        if self.critic is not None and stage.critic is not None:
            for again in range(self.training.critic_steps):
                first = self._critic_step(pieces, number, again, first, logged)
            stage.critic.requires_grad_(False)
        self._stepping[0].zero_grad()
        for k, (piece, share) in enumerate(pieces):
            with self._quiet(self.generator, k, pieces):
                known = first if len(pieces) == 1 else None
                made = self._made(piece, number, k) if known is None else known
                with self.fabric.autocast():
                    losses = stage.losses(made, piece, stage.pairs(made, piece))
                self.fabric.backward(losses["loss"] * share)
            for name, value in losses.items():
                logged[name] = logged.get(name, 0.0) + float(value.detach()) * share
        self._update(0)
        if stage.critic is not None:
            stage.critic.requires_grad_(True)
        self.step += 1
        if self.average is not None:
            self.average.update(self.step)
        return logged

    def _critic_step(
        self,
        pieces: Sequence[tuple[Batch, float]],
        number: int,
        again: int,
        known: Made | None,
        logged: dict[str, float],
    ) -> Made | None:
        """One step of the critics on a batch, the first of which makes what they are shown. Returns
        that where the generator can use it. Logs the loss of the first."""
        assert self.critic is not None
        made = known
        self._stepping[1].zero_grad()
        for k, (piece, share) in enumerate(pieces):
            if made is None or len(pieces) > 1:
                # Of several parts none is kept: their graphs are what the memory is short of.
                with nullcontext() if len(pieces) == 1 else torch.no_grad():
                    made = self._made(piece, number, k)
            pairs = self.stage.pairs(made, piece)
            detached = {name: (real, fake.detach()) for name, (real, fake) in pairs.items()}
            with self._quiet(self.critic, k, pieces):
                loss = self.critic(detached)
                self.fabric.backward(loss * share)
            if not again:
                logged["critic"] = logged.get("critic", 0.0) + float(loss.detach()) * share
        self._update(1)
        return made

    def _made(self, piece: Batch, number: int, k: int) -> Made:
        """Returns the generator's output for the k-th part of a batch; repeated calls draw the
        same random numbers."""
        _seed(self.training.seed, self.epoch, number, self.fabric.global_rank, *([k] if k else []))
        made: Made = self.generator(piece)
        return made

    def _quiet(self, module: Any, k: int, pieces: Sequence[Any]) -> AbstractContextManager[Any]:
        """Processes exchange gradients with the last part of a batch only."""
        return self.fabric.no_backward_sync(module, enabled=k < len(pieces) - 1)

    def _update(self, which: int) -> None:
        """A step of an optimizer, or none where a gradient is no finite number."""
        optimizer = self._stepping[which]
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        limit = self.training.clip_norm or math.inf
        norm = float(nn.utils.clip_grad_norm_(weights, limit))
        # The norm is the same in all processes, so that they skip together.
        if math.isfinite(norm):
            optimizer.step()
        else:
            self._gradient = norm

    def _kept(self) -> str:
        if not self.history:
            return "no epoch was finished"
        return f"{self.out / LAST} keeps epoch {len(self.history)}"

    def _set_rate(self) -> None:
        t = self.training
        share = t.lr_decay**self.epoch
        if t.warmup_steps:
            share *= min(1.0, (self.step + 1) / t.warmup_steps)
        rates = (t.learning_rate, t.critic_learning_rate or t.learning_rate)
        # Without a critic there is one optimizer.
        for optimizer, rate in zip(self.optimizers, rates, strict=False):
            for group in optimizer.param_groups:
                group["lr"] = rate * share

    def _moved(self, batch: Batch) -> Batch:
        return varied_batch(batch, self.fabric.device)

    # --- the end of an epoch ---------------------------------------------------------------------

    def _end_epoch(self, steps: int, spent_s: float) -> None:
        names = sorted(self.sums)
        sums = torch.tensor([self.sums[name] for name in names], dtype=torch.float64)
        if self.fabric.world_size > 1:
            reduced = self.fabric.all_reduce(sums.to(self.fabric.device), reduce_op="mean")
            assert isinstance(reduced, Tensor)
            sums = reduced.cpu()
        line: dict[str, Any] = {"epoch": self.epoch + 1, "step": self.step}
        counted = max(steps - self.skipped, 1)
        line |= {f"train_{n}": v / counted for n, v in zip(names, sums.tolist(), strict=True)}
        if self.skipped:
            line["skipped_steps"] = self.skipped
        with self._averaged():
            line |= {f"val_{name}": value for name, value in self.validate().items()}
        line |= {
            "learning_rate": self.optimizers[0].param_groups[0]["lr"],
            "seconds": round(spent_s, 3),
            "data_wait_share": round(self.wait_s / max(spent_s, 1e-9), 4),
        }
        # A metric that is no finite number cannot be known; JSON has no word for it either.
        line = {n: v if v is None or math.isfinite(v) else None for n, v in line.items()}
        warnings = self.stage.warnings(line)
        if warnings:
            line[WARNING] = "; ".join(warnings)
        self.history.append(line)
        value = line.get(f"val_{self.stage.monitor}")
        value = line.get("train_loss") if value is None else value
        better = value is not None and (
            self.best is None or value < self.best - self.training.min_delta
        )
        self.stale = 0 if better else self.stale + 1
        self.best = value if better else self.best
        self.epoch, self.first_batch, self.sums, self.skipped = self.epoch + 1, 0, {}, 0
        if self.fabric.is_global_zero:
            with self._averaged():
                info, tensors = self._info(), checkpoint.named(self.stage.parts)
                if better:
                    checkpoint.save(self.out / BEST, tensors, info)
                checkpoint.save(self.out / LAST, tensors, info)
                if self.training.keep_best > 1 and value is not None:
                    self._keep_best(value, tensors, info)
            self._save_resume()
            self.log.write(self.history)
            self._show()
            self.report(_told(self.stage.name, line, self.training.epochs, better))
            for text in warnings:
                self.report(f"{self.stage.name} {self.epoch}: warning: {text}")
        self.fabric.barrier()

    def _averaged(self) -> AbstractContextManager[None]:
        """The averaged weights, where `train.ema` keeps them; they are what is validated and saved."""
        return self.average.applied() if self.average is not None else nullcontext()

    @torch.no_grad()
    def validate(self) -> dict[str, float | None]:
        """Means over the validation clips, and the stage's own metrics; empty without clips.

        Each process validates its share of the batches; the first computes the numbers from all, and
        tells the others, so that all come to the same decisions.
        """
        if self.val_loader is None:
            return {}
        for network in self.networks:
            network.eval()
        batches: list[tuple[int, dict[str, float]]] = []
        exhibits: list[list[Exhibit]] = []
        for batch in self.val_loader:
            batch = self._moved(batch)
            # The bare network: its wrapper would wait for processes that have fewer batches.
            with self.fabric.autocast():
                made = self.stage.generator(batch)
                losses = self.stage.losses(made, batch, self.stage.pairs(made, batch))
            self.stage.observe(made, batch)
            shown = [i for i, clip in enumerate(batch["clips"]) if clip in self.shown_clips]
            if not self.training.show_every or self.epoch % self.training.show_every:
                shown = []
            exhibits.append(self.stage.show(made, batch, shown) if shown else [])
            found = {name: float(value) for name, value in losses.items()}
            batches.append((len(batch["clips"]), found))
        notes = of_stage(self.stage)
        shares = self._gathered((batches, exhibits, [note.taken() for note in notes]))
        batches = interleaved([share[0] for share in shares])
        self.exhibits = [e for some in interleaved([share[1] for share in shares]) for e in some]
        for number, note in enumerate(notes):
            note.notes = interleaved([share[2][number] for share in shares])
        metrics: dict[str, float | None] = {}
        if self.fabric.is_global_zero:
            count, sums = 0, dict.fromkeys(batches[0][1], 0.0)
            for n, means in batches:
                count += n
                for name in sums:
                    sums[name] += means[name] * n
            metrics |= {name: total / count for name, total in sums.items()}
            metrics |= self.stage.metrics()
        for note in notes:
            note.taken()
        return self.fabric.broadcast(metrics)

    def _gathered(self, mine: T) -> list[T]:
        """Returns what each process has, in their order."""
        if self.fabric.world_size == 1:
            return [mine]
        every: list[T] = [mine] * self.fabric.world_size
        torch.distributed.all_gather_object(every, mine)
        return every

    def _show(self) -> None:
        """Pictures and sounds of the last validation, and once, beside them, the recordings."""
        rate_hz = self.stage.config.mel_spec.sample_rate_hz
        if any(exhibit.made is not None for exhibit in self.exhibits) and not self.recorded:
            rows = [row for row in self.data.val if row.clip_id in self.shown_clips]
            self.exhibits += recordings(rows, rate_hz)
            self.recorded = True
        self.log.show(self.exhibits, self.epoch, rate_hz)

    # --- checkpoints -----------------------------------------------------------------------------

    def _info(self) -> CheckpointInfo:
        metrics = {
            name: value
            for name, value in (self.history[-1] if self.history else {}).items()
            if name.startswith(("train_", "val_"))
        }
        return CheckpointInfo(
            stage=self.stage.name,
            config=options.to_dict(self.stage.config),
            parts=tuple(self.stage.parts),
            mel=self.stage.config.mel_spec.fingerprint(),
            crop=self.data.crop,
            speakers=tuple(sorted(self.speakers)),
            split=self.data.split,
            epoch=self.epoch,
            step=self.step,
            metrics=metrics,
            revision=checkpoint.git_revision(),
            training=asdict(self.training),
            history=tuple(self.history),
            system=self.stage.system,
            trained=self._records(metrics),
            sentences=self.sentences,
        )

    def _records(self, metrics: dict[str, float | None]) -> dict[str, dict[str, Any]]:
        """Part → what its own training recorded: this one's where it learns here, else what came
        with its weights."""
        mine = {
            "stage": self.stage.name,
            "epoch": self.epoch,
            "revision": checkpoint.git_revision(),
            "metrics": metrics,
            "training": asdict(self.training),
        }
        learns = {
            part: any(p.requires_grad for p in module.parameters())
            for part, module in self.stage.parts.items()
        }
        return {
            part: mine if learns[part] else self.inherited.trained[part]
            for part in self.stage.parts
            if learns[part] or part in self.inherited.trained
        }

    def _keep_best(self, value: float, tensors: dict[str, Tensor], info: CheckpointInfo) -> None:
        """Saves this epoch, if it is one of the best, and forgets the one that no longer is."""
        self.ranks[str(self.epoch)] = value
        best = sorted(self.ranks, key=lambda epoch: (self.ranks[epoch], int(epoch)))
        for epoch in best[self.training.keep_best :]:
            path = self._epoch_file(int(epoch))
            for file in (path, path.with_suffix(".json")):
                file.unlink(missing_ok=True)
        self.ranks = {epoch: self.ranks[epoch] for epoch in best[: self.training.keep_best]}
        if str(self.epoch) in self.ranks:
            checkpoint.save(self._epoch_file(self.epoch), tensors, info)

    def _epoch_file(self, epoch: int) -> Path:
        return self.out / f"epoch-{epoch:04d}.safetensors"

    def _save_midway(self) -> None:
        """Saves within an epoch, for all processes: each goes on from the mean of their sums, and so
        to the same mean in the end."""
        kept = self.sums
        if self.fabric.world_size > 1:
            names = sorted(kept)
            sums = torch.tensor([kept[name] for name in names], dtype=torch.float64)
            reduced = self.fabric.all_reduce(sums.to(self.fabric.device), reduce_op="mean")
            assert isinstance(reduced, Tensor)
            self.sums = dict(zip(names, reduced.cpu().tolist(), strict=True))
        if self.fabric.is_global_zero:
            self._save_resume()
        self.sums = kept
        self.fabric.barrier()

    def _save_resume(self) -> None:
        tensors: dict[str, Tensor] = {}
        for which, (network, optimizer) in enumerate(
            zip(self.networks, self.optimizers, strict=True)
        ):
            tensors |= checkpoint.named({f"network{which}": network})
            tensors |= checkpoint.optimizer_tensors(optimizer, f"optimizer{which}")
        if self.average is not None:
            tensors |= {f"{AVERAGE}.{name}": v for name, v in self.average.values.items()}
        info = self._info()
        progress = {
            "first_batch": self.first_batch,
            "sums": self.sums,
            "best": self.best,
            "stale": self.stale,
            "skipped": [self.skipped, self.skipped_in_row],
            "ranks": self.ranks,
            "identity": self._identity(),
        }
        info = CheckpointInfo(**{**_shallow(info), "progress": progress})
        checkpoint.save(self.out / RESUME, tensors, info, words=False)

    def _take_up(self) -> None:
        path = self.out / RESUME
        info, tensors = checkpoint.load(path)
        progress = info.progress
        if progress.get("identity") != self._identity():
            raise BadInput(
                f"{path} belongs to a run with other options or clips",
                "choose another --out, or start anew with --restart",
            )
        for which, (network, optimizer) in enumerate(
            zip(self.networks, self.optimizers, strict=True)
        ):
            checkpoint.fill(network, f"network{which}", tensors, path)
            checkpoint.fill_optimizer(optimizer, f"optimizer{which}", tensors)
        if self.average is not None:
            names = (name for name in tensors if name.startswith(f"{AVERAGE}."))
            self.average.load({name[len(AVERAGE) + 1 :]: tensors[name] for name in names})
        self.speakers |= set(info.speakers)
        self.epoch, self.step = info.epoch, info.step
        self.first_batch, self.sums = int(progress["first_batch"]), dict(progress["sums"])
        self.best, self.stale = progress["best"], int(progress["stale"])
        self.skipped, self.skipped_in_row = progress.get("skipped", (0, 0))
        self.ranks = dict(progress.get("ranks", {}))
        self.history = [dict(line) for line in info.history]
        done = f"{self.epoch} of {self.training.epochs} epochs"
        self.report(f"{self.stage.name}: taken up again after {done}")

    def _identity(self) -> str:
        """Returns a hash of everything that determines the results of the training."""
        training = {k: v for k, v in asdict(self.training).items() if k not in FREE}
        # Runs of before these options can be taken up again.
        if not self.training.critic_learning_rate:
            del training["critic_learning_rate"]
        if self.training.passes == 1:
            del training["passes"]
        clips = [(row.clip_id, row.source_sha256) for row in (*self.data.train, *self.data.val)]
        told = [
            self.stage.system,
            self.stage.name,
            options.to_dict(self.stage.config),
            training,
            clips,
            self.data.crop,
        ]
        heard = sorted(set(self.stage.teachers) & self.stage.given)
        if heard:
            told.append(heard)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def spread(sentences: Sequence[str]) -> tuple[str, ...]:
    """Returns at most `checkpoint.SENTENCES` sentences, evenly out of all."""
    step = max(len(sentences) / checkpoint.SENTENCES, 1)
    return tuple(sentences[int(k * step)] for k in range(int(len(sentences) / step)))


def _shallow(info: CheckpointInfo) -> dict[str, Any]:
    return {name: getattr(info, name) for name in info.__dataclass_fields__}


def _seed(*numbers: int) -> None:
    """Dropout draws from PyTorch's global generator; there is no other way to seed it."""
    digest = hashlib.sha256(repr(numbers).encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:7], "little"))


def _told(stage: str, line: dict[str, Any], epochs: int, better: bool) -> str:
    shown = [
        f"{name} {value:.4f}"
        for name, value in line.items()
        if name.startswith(("train_loss", "val_")) and value is not None
    ]
    best = ", best so far" if better else ""
    return f"{stage} {line['epoch']}/{epochs}: {', '.join(shown)}, {line['seconds']:.0f} s{best}"
