"""One stage, or all in their order, from options to a checkpoint."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from facetron import systems
from facetron.checkpoints import checkpoint
from facetron.checkpoints.checkpoint import CheckpointInfo
from facetron.model.config import ModelConfig
from facetron.published import families
from facetron.published.read import is_foreign
from facetron.systems import SystemConfig
from facetron.train.config import TrainConfig, train_config
from facetron.train.dataset import TrainingSet, open_training_set, require_text
from facetron.train.loggers import NAMES as LOGGER_NAMES
from facetron.train.loop import BEST, LAST, RESUME, Inherited, Trainer
from facetron.train.stage import Stage
from manifests.errors import BadInput, SpecMismatch
from manifests.io import sha256_file
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
    system: str = systems.DEFAULT,
) -> Path:
    """Trains a stage of a system, or `all`, each into a folder of its name.

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
        for name in systems.get(system).stages:
            best = train(
                name, manifest, out / name, size, file, sets, given, restart, report, system
            )
            given.append(best)
        return best
    model, training = train_config(stage, size, file, sets, system)
    data = open_training_set(manifest, model.mel_spec)
    if stage == "lip":
        require_text(data)
        assert isinstance(model, ModelConfig)
        spelled, language = model.lip.language, data.manifest.language
        if language != spelled:
            report(
                f"lip: the sentences of {manifest} are {language}, they are spelled by the letters of "
                f"{spelled}; --set lip.language={language} takes its own"
            )
    made = create(stage, model, training, system)
    fabric = launched(training)
    with alone(out, fabric):
        if restart and fabric.is_global_zero:
            earlier = (RESUME, LAST, BEST, LOGGER_NAMES)
            for path in (*(out / name for name in earlier), *out.glob("epoch-*.*")):
                path.unlink(missing_ok=True)
        fabric.barrier()
        inherited = take_parts(made, data, sources, report)
        return Trainer(made, data, out, fabric, report, inherited).fit()


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


def create(
    stage: str, model: SystemConfig, training: TrainConfig, system: str = systems.DEFAULT
) -> Stage[Any]:
    """A stage with fresh weights, the same for the same seed."""
    torch.manual_seed(training.seed)
    made = systems.get(system).stage(stage)(model, training)
    made.system = system
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


def take_parts(
    stage: Stage[Any],
    data: TrainingSet,
    sources: Sequence[Path],
    report: Callable[[str], None] = lambda line: None,
) -> Inherited:
    """Fills the parts of a stage from checkpoints, and from weights that others published.

    Args:
        report: takes a line for a person for every published file.

    Raises:
        BadInput: a needed part that none has, a checkpoint of another system that the stage does
            not borrow from, or a speaker in one that the manifest's split holds out: what it
            learned from that speaker would come with the weights.
        SpecMismatch: other features or shapes.
    """
    speakers: set[str] = set()
    trained: dict[str, dict[str, Any]] = {}
    mel = stage.config.mel_spec.fingerprint()
    for path in sources:
        if is_foreign(path):
            trained |= take_published(stage, path, report)
            continue
        info, tensors = checkpoint.load(path)
        wanted = _wanted(stage, info, path)
        checkpoint.require_features(info, path, mel, data.crop)
        spoilt = sorted(set(info.speakers) & set(data.held_out))
        if spoilt:
            raise SpecMismatch(
                f"{path} was trained on {', '.join(spoilt)}, held out by the manifest's split",
                "train it again on this split",
            )
        for part in wanted:
            if part in info.parts and part in stage.parts:
                checkpoint.fill(stage.parts[part], part, tensors, path)
                trained[part] = info.record(part)
                speakers.update(info.speakers)
    missing = [part for part in stage.needs if part not in trained]
    if missing:
        raise BadInput(
            f"the stage {stage.name} needs a trained {', '.join(missing)}",
            "give the checkpoints of the earlier stages with --from",
        )
    stage.start_from(frozenset(trained))
    return Inherited(frozenset(speakers), trained)


def take_published(
    stage: Stage[Any], path: Path, report: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Fills a part of a stage from a file of `facetron.published.families`.

    A published lip encoder spells no letters of ours yet, so that only the stage that trains it
    takes one.

    Returns:
        Part → record of its training; empty where the stage has no use for the file.

    Raises:
        BadInput: the file is of no known family, or does not fit the options.
    """
    found = families.recognize(path)
    part = found.part
    wanted = {*stage.takes, *stage.needs} - ({"lip"} if "lip" in stage.needs else set())
    if part not in wanted or part not in stage.parts:
        report(f"{stage.name}: {path.name} is {found.name}, of no use to this stage")
        return {}
    fresh = families.fill(stage.parts[part], found, path)
    starts = f", {', '.join(fresh[:3])}{' …' if len(fresh) > 3 else ''} start anew" if fresh else ""
    report(f"{stage.name}: {part} from {path.name} ({found.name}){starts}")
    origin = {"weights": found.name, "file": path.name, "sha256": sha256_file(path)}
    record = {"stage": "published", "epoch": 0, "revision": "", "metrics": {}, "training": origin}
    return {part: record}


def _wanted(stage: Stage[Any], info: CheckpointInfo, path: Path) -> tuple[str, ...]:
    """The parts that a stage takes from a checkpoint. Raises `BadInput` for one of another system
    of which it takes none."""
    wanted = (*stage.needs, *stage.takes)
    if info.system == stage.system:
        return wanted
    borrowed = tuple(part for part in wanted if stage.borrows.get(part) == info.system)
    if not borrowed:
        info.require_system(stage.system, path)
    return borrowed
