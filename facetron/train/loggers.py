"""Programs that people watch trainings with, beside `log.csv`: TensorBoard, Weights & Biases, MLflow.

Each takes the numbers of an epoch, and mels, sounds and transcripts of a few clips. A run that is taken
up again goes on in the same run of W&B and MLflow, whose names lie in `loggers.json` in its folder.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile

from facetron.train import pictures
from facetron.train.pictures import Exhibit, Sound
from manifests.errors import MissingDependency
from manifests.io import read_json, write_json
from manifests.libraries import install_line

AUTO, CSV = "auto", "csv"
PROJECT = "facetron"
NAMES = "loggers.json"


class TrainingLogger(Protocol):
    """A program that shows how a training goes."""

    def scalars(self, values: Mapping[str, float], epoch: int) -> None:
        """Takes the numbers of an epoch."""

    def show(self, exhibits: Sequence[Exhibit], epoch: int, rate_hz: int) -> None:
        """Takes what a few clips look and sound like after an epoch.

        Args:
            rate_hz: sample rate of the sounds.
        """

    def close(self) -> None:
        """Ends the log of this process; the training may be taken up again."""


class TensorBoardLogger:
    """Writes event files into `tensorboard/` of a run's folder."""

    def __init__(self, out: Path, name: str, config: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(out / "tensorboard"))  # type: ignore[no-untyped-call]

    def scalars(self, values: Mapping[str, float], epoch: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)  # type: ignore[no-untyped-call]
        self._writer.flush()  # type: ignore[no-untyped-call]

    def show(self, exhibits: Sequence[Exhibit], epoch: int, rate_hz: int) -> None:
        pictures.write(self._writer, exhibits, epoch, rate_hz)
        self._writer.flush()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        self._writer.close()  # type: ignore[no-untyped-call]


class WandbLogger:
    """Writes a run of Weights & Biases, online or off (`WANDB_MODE=offline`); its files lie in
    `wandb/` of the run's folder. `WANDB_PROJECT` names another project than `facetron`."""

    def __init__(self, out: Path, name: str, config: Mapping[str, Any]) -> None:
        import wandb

        self._wandb: Any = wandb
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=os.environ.get("WANDB_NAME", name),
            dir=str(out),
            id=_remembered(out, "wandb", secrets.token_hex(4)),
            resume="allow",
            config=dict(config),
        )

    def scalars(self, values: Mapping[str, float], epoch: int) -> None:
        self._run.log(dict(values), step=epoch)

    def show(self, exhibits: Sequence[Exhibit], epoch: int, rate_hz: int) -> None:
        shown: dict[str, Any] = {}
        for exhibit in exhibits:
            if exhibit.mels is not None:
                shown[f"mel_real_above_made/{exhibit.clip}"] = self._wandb.Image(exhibit.mels)
            for name, sound in _sounds(exhibit).items():
                shown[f"{name}/{exhibit.clip}"] = self._wandb.Audio(sound, sample_rate=rate_hz)
        read = [[e.clip, e.said, e.read] for e in exhibits if e.said]
        if read:
            shown["lips"] = self._wandb.Table(columns=["clip", "said", "read"], data=read)
        if shown:
            self._run.log(shown, step=epoch)

    def close(self) -> None:
        self._run.finish()


class MlflowLogger:
    """Writes a run of MLflow to `MLFLOW_TRACKING_URI`, or without it into `mlflow/` of the run's
    folder. `MLFLOW_EXPERIMENT_NAME` names another experiment than `facetron`."""

    def __init__(self, out: Path, name: str, config: Mapping[str, Any]) -> None:
        import mlflow

        # Asked for in so many words: newer versions refuse a folder of files otherwise.
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        uri = os.environ.get("MLFLOW_TRACKING_URI") or (out / "mlflow").resolve().as_uri()
        self._client: Any = mlflow.MlflowClient(tracking_uri=uri)
        known = _remembered(out, "mlflow")
        if known:
            self._run = known
            self._client.update_run(self._run, status="RUNNING")
            return
        wanted = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self._client.get_experiment_by_name(wanted)
        experiment = found.experiment_id if found else self._client.create_experiment(wanted)
        made = self._client.create_run(experiment, run_name=name)
        self._run = _remembered(out, "mlflow", made.info.run_id)
        for key, value in _flat(config).items():
            self._client.log_param(self._run, key, value)

    def scalars(self, values: Mapping[str, float], epoch: int) -> None:
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        metrics = [Metric(name, value, now_ms, epoch) for name, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def show(self, exhibits: Sequence[Exhibit], epoch: int, rate_hz: int) -> None:
        for exhibit in exhibits:
            place = f"epoch-{epoch:04d}/{exhibit.clip.replace('/', '-')}"
            if exhibit.mels is not None:
                self._client.log_image(self._run, np.asarray(exhibit.mels), f"{place}.png")
            for name, sound in _sounds(exhibit).items():
                with tempfile.TemporaryDirectory() as folder:
                    file = Path(folder, f"{Path(place).name}-{name}.wav")
                    soundfile.write(file, sound, rate_hz)
                    self._client.log_artifact(self._run, str(file), str(Path(place).parent))
        text = pictures.table(exhibits)
        if text:
            self._client.log_text(self._run, text, f"epoch-{epoch:04d}/lips.md")

    def close(self) -> None:
        self._client.set_terminated(self._run)


LOGGERS: dict[str, type[TensorBoardLogger] | type[WandbLogger] | type[MlflowLogger]] = {
    "tensorboard": TensorBoardLogger,
    "wandb": WandbLogger,
    "mlflow": MlflowLogger,
}
"""Name in `train.loggers`, and of the library → its logger."""


def wanted_loggers(names: Sequence[str]) -> list[str]:
    """Returns the loggers that `train.loggers` asks for, without `log.csv`, which is always written.

    `auto` is TensorBoard where it is installed, as part of a list or alone.

    Raises:
        MissingDependency: one that is named is not installed.
    """
    wanted: list[str] = []
    for name in names:
        if name == AUTO and importlib.util.find_spec("tensorboard") is not None:
            wanted.append("tensorboard")
        elif name not in (AUTO, CSV):
            if importlib.util.find_spec(name) is None:
                raise MissingDependency(
                    f"train.loggers has {name}, which is not installed",
                    install_line(name) or "",
                )
            wanted.append(name)
    return list(dict.fromkeys(wanted))


def _remembered(out: Path, logger: str, name: str = "") -> str:
    """Returns the name of a logger's run that an earlier training into this folder noted, else notes
    the given one, if any."""
    path = out / NAMES
    known: dict[str, str] = read_json(path) if path.exists() else {}
    if logger not in known and name:
        write_json(path, {**known, logger: name})
    return known.get(logger, name)


def _sounds(exhibit: Exhibit) -> dict[str, Sound]:
    """Returns the sounds of a clip within ±1, by what they are."""
    both = {"sound_made": exhibit.made, "sound_real": exhibit.real}
    return {
        name: np.nan_to_num(sound).clip(-1, 1) for name, sound in both.items() if sound is not None
    }


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"lip": {"kind": "gru"}}` → `{"lip.kind": "gru"}`."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found
