"""One stage, or all in their order, from options to a checkpoint."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from lightning_fabric import Fabric

from facetron.checkpoints import checkpoint
from facetron.model.config import ModelConfig
from facetron.systems import resolve
from facetron.train.config import STAGES, TrainConfig, train_config
from facetron.train.dataset import TrainingSet, open_training_set
from facetron.train.loop import BEST, LAST, RESUME, Trainer
from facetron.train.stage import Stage
from manifests.errors import BadInput, SpecMismatch
from manifests.lock import held


def train(
    stage: str,
    manifest: Path,
    out: Path,
    size: str | None = None,
    file: Path | None = None,
    sets: Sequence[str] = (),
    sources: Sequence[Path] = (),
    restart: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> Path:
    """Trains a stage, or `all`, each into a folder of its name.

    Args:
        sources: checkpoints to take parts from; of two with the same part the later wins.
        restart: forget what the folder holds instead of going on with it.
        report: takes a line for a person after every epoch.

    Returns:
        The path of the best checkpoint (of the last stage).

    Raises:
        BadInput: unusable options, manifest or checkpoints; a needed part that none has.
        SpecMismatch: checkpoints of other features than the manifest's.
        Locked: another training writes into the folder.
    """
    if stage == "all":
        best, given = out, list(sources)
        for name in STAGES:
            best = train(name, manifest, out / name, size, file, sets, given, restart, report)
            given.append(best)
        return best
    model, training = train_config(stage, size, file, sets)
    data = open_training_set(manifest, model.mel_spec)
    made = create(stage, model, training)
    fabric = launched(training)
    with alone(out, fabric):
        if restart and fabric.is_global_zero:
            for name in (RESUME, LAST, BEST):
                (out / name).unlink(missing_ok=True)
        fabric.barrier()
        seen_before = take_parts(made, data, sources)
        return Trainer(made, data, out, fabric, report, seen_before).fit()


@contextlib.contextmanager
def alone(out: Path, fabric: Fabric) -> Iterator[None]:
    """Holds a run's folder for this training, whose first process takes the lock for all.

    Raises:
        Locked: another training writes there.
    """
    with contextlib.ExitStack() as locks:
        if fabric.is_global_zero:
            locks.enter_context(held(out, "wait for it to end, or choose another --out"))
        yield


def create(stage: str, model: ModelConfig, training: TrainConfig) -> Stage:
    """A stage with fresh weights, the same for the same seed."""
    torch.manual_seed(training.seed)
    made: Stage = resolve(STAGES[stage])(model, training)
    return made


def launched(training: TrainConfig) -> Fabric:
    """The machine to train on: one CPU, one GPU, or all that `torchrun` was started for.

    Raises:
        BadInput: CUDA asked for and absent.
    """
    has_cuda = torch.cuda.is_available()
    if training.device == "cuda" and not has_cuda:
        raise BadInput("train.device=cuda, but there is no CUDA device", "set train.device=cpu")
    on_gpu = has_cuda and training.device != "cpu"
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    half = training.precision == "bf16" or (training.precision == "auto" and on_gpu)
    fabric = Fabric(
        accelerator="cuda" if on_gpu else "cpu",
        devices=local,
        num_nodes=max(processes // local, 1),
        strategy="ddp" if processes > 1 else "auto",
        precision="bf16-mixed" if half else "32-true",
    )
    fabric.launch()
    return fabric


def take_parts(stage: Stage, data: TrainingSet, sources: Sequence[Path]) -> frozenset[str]:
    """Fills the parts of a stage from checkpoints; returns the speakers that those had seen.

    Raises:
        BadInput: a needed part that none has, or a speaker in them that the manifest's split holds
            out: what they learned from that speaker would come with the weights.
        SpecMismatch: other features or shapes.
    """
    found: set[str] = set()
    speakers: set[str] = set()
    mel = stage.config.mel_spec.fingerprint()
    for path in sources:
        info, tensors = checkpoint.load(path)
        checkpoint.require_features(info, path, mel, data.crop)
        spoilt = sorted(set(info.speakers) & set(data.held_out))
        if spoilt:
            raise SpecMismatch(
                f"{path} was trained on {', '.join(spoilt)}, whom the manifest's split holds out",
                "train it again on this split",
            )
        for part in (*stage.needs, *stage.takes):
            if part in info.parts and part in stage.parts:
                checkpoint.fill(stage.parts[part], part, tensors, path)
                found.add(part)
                speakers.update(info.speakers)
    missing = [part for part in stage.needs if part not in found]
    if missing:
        raise BadInput(
            f"the stage {stage.name} needs a trained {', '.join(missing)}",
            "give the checkpoints of the stages before with --from",
        )
    stage.start_from(frozenset(found))
    return frozenset(speakers)
