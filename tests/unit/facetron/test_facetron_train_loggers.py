"""Programs that people watch trainings with. Weights & Biases and MLflow are no part of the
development's installation: what they are told is looked at here, and where one is installed, what it
writes without a network."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from facetron.train.log import EpochLog
from facetron.train.loggers import wanted_loggers
from facetron.train.pictures import Exhibit
from manifests.errors import MissingDependency
from manifests.io import read_json

CONFIG = {"size": "debug", "lip": {"kind": "lipnet", "channels": [1, 2]}}
HISTORY: list[dict[str, Any]] = [{"epoch": 1, "step": 4, "train_loss": 2.5, "val_wer": None}]
SOUND = np.array([0.5, 2.0, np.nan] * 100, np.float32)
PICTURE = np.zeros((20, 30, 3), np.uint8)
SHOWN = [Exhibit("s1/a", PICTURE, SOUND, SOUND), Exhibit("s1/b", said="bin", read="bit")]


def present(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Makes these libraries be installed, and no other that a logger needs."""
    found, loggers = importlib.util.find_spec, ("tensorboard", "wandb", "mlflow")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: n in names or None if n in loggers else found(n)
    )


def test_names_of_loggers(monkeypatch: pytest.MonkeyPatch) -> None:
    present(monkeypatch, "tensorboard", "wandb")
    assert wanted_loggers(["auto"]) == ["tensorboard"]
    assert wanted_loggers(["csv"]) == wanted_loggers([]) == []
    assert wanted_loggers(["csv", "wandb", "auto", "tensorboard"]) == ["wandb", "tensorboard"]
    with pytest.raises(MissingDependency, match=r"mlflow, which is not installed; .*\[mlflow\]'$"):
        wanted_loggers(["csv", "mlflow"])
    present(monkeypatch)
    assert wanted_loggers(["auto"]) == []
    with pytest.raises(MissingDependency, match=r"\[tensorboard\]'$"):
        wanted_loggers(["tensorboard"])


def write(out: Path, logger: str) -> None:
    log = EpochLog(out, [logger], "facetron lip x", CONFIG)
    log.write(HISTORY)
    log.show(SHOWN, 1, 16_000)
    log.close()
    assert (out / "log.csv").read_text().splitlines()[0] == "epoch,step,train_loss,val_wer"


def test_one_process_writes_and_all_know_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    present(monkeypatch, "wandb")
    log = EpochLog(tmp_path, ["wandb"], writes=False)
    assert log.shows
    log.show(SHOWN, 1, 16_000)
    log.close()
    assert not list(tmp_path.iterdir())
    assert not EpochLog(tmp_path, ["csv"]).shows


def test_wandb_is_told_and_goes_on_in_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, Any]] = []
    run = SimpleNamespace(
        log=lambda values, step: calls.append((f"log {step}", values)),
        finish=lambda: calls.append(("finish", None)),
    )
    fake: Any = ModuleType("wandb")
    fake.init = lambda **options: calls.append(("init", options)) or run
    fake.Image = lambda picture: ("image", picture.shape)
    fake.Audio = lambda sound, sample_rate: ("sound", float(np.abs(sound).max()), sample_rate)
    fake.Table = lambda columns, data: (columns, data)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    present(monkeypatch, "wandb")
    write(tmp_path, "wandb")
    first = calls[0][1]
    assert (first["project"], first["name"], first["resume"]) == (
        "facetron", "facetron lip x", "allow",
    )  # fmt: skip
    assert calls[1] == ("log 1", {"train_loss": 2.5})
    assert calls[2] == (
        "log 1",
        {
            "mel_real_above_made/s1/a": ("image", (20, 30, 3)),
            "sound_made/s1/a": ("sound", 1.0, 16_000),
            "sound_real/s1/a": ("sound", 1.0, 16_000),
            "lips": (["clip", "said", "read"], [["s1/b", "bin", "bit"]]),
        },
    )
    assert calls[3] == ("finish", None)
    write(tmp_path, "wandb")
    assert calls[4][1]["id"] == first["id"] == read_json(tmp_path / "loggers.json")["wandb"]


def test_wandb_writes_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="Weights & Biases is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    write(tmp_path, "wandb")
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    name = read_json(tmp_path / "loggers.json")["wandb"]
    assert (folder / f"run-{name}.wandb").stat().st_size > 0
    assert list(folder.rglob("media/images/**/*.png"))


def test_mlflow_is_told_and_goes_on_in_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []

    class Client:
        """Notes every call; the first answers are those of an empty store."""

        def __init__(self, tracking_uri: str) -> None:
            calls.append(("at", tracking_uri))

        def __getattr__(self, name: str) -> Any:
            answers = {"create_experiment": "7", "get_experiment_by_name": None}
            made = SimpleNamespace(info=SimpleNamespace(run_id="abc"))

            def noted(*values: Any, **named: Any) -> Any:
                calls.append((name, *values, *named.values()))
                return answers.get(name, made)

            return noted

    fake, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    fake.MlflowClient = Client  # type: ignore[attr-defined]
    entities.Metric = lambda name, value, at_ms, step: (name, value, step)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    present(monkeypatch, "mlflow")
    write(tmp_path, "mlflow")
    assert calls[:4] == [
        ("at", (tmp_path / "mlflow").as_uri()),
        ("get_experiment_by_name", "facetron"),
        ("create_experiment", "facetron"),
        ("create_run", "7", "facetron lip x"),
    ]
    assert ("log_param", "abc", "lip.kind", "lipnet") in calls
    assert ("log_batch", "abc", [("train_loss", 2.5, 1)]) in calls
    kinds = [name for name, *_ in calls]
    assert kinds.count("log_artifact") == 2
    assert {"log_image", "log_text"} <= set(kinds)
    assert calls[-1] == ("set_terminated", "abc")
    calls.clear()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    write(tmp_path, "mlflow")
    assert calls[0] == ("at", "http://localhost:5000")
    assert "create_run" not in [name for name, *_ in calls]
    assert calls[-1] == ("set_terminated", "abc")


def test_mlflow_writes_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write(tmp_path, "mlflow")
    write(tmp_path, "mlflow")
    client = mlflow.MlflowClient((tmp_path / "mlflow").as_uri())
    run = client.get_run(read_json(tmp_path / "loggers.json")["mlflow"])
    assert run.data.metrics == {"train_loss": 2.5}
    assert run.data.params["lip.kind"] == "lipnet"
    assert run.info.status == "FINISHED"
    held = {file.path for file in client.list_artifacts(run.info.run_id, "epoch-0001")}
    assert {"epoch-0001/s1-a.png", "epoch-0001/s1-a-sound_made.wav", "epoch-0001/lips.md"} <= held
