"""The loop: runs that are killed, diverge, share their work, or are asked for what is not there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from facetron_build import make_build

from facetron.checkpoints import checkpoint
from facetron.train import loop
from facetron.train.average import WeightAverage
from facetron.train.compiling import compile_parts
from facetron.train.config import train_config
from facetron.train.dataset import Batch
from facetron.train.lip import LipStage
from facetron.train.loop import Diverged, Trainer
from facetron.train.run import create, train
from manifests.errors import BadInput, Locked
from manifests.lock import held
from manifests.manifest import Manifest

SETS = ("train.batch_size=2", "train.learning_rate=0.01", "train.save_every_s=0")


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_build(tmp_path_factory.mktemp("build"), clips=5)


def curve(out: Path) -> list[dict[str, Any]]:
    """The history without what a clock says."""
    history = checkpoint.read_info(out / "resume.safetensors").history
    timed = ("seconds", "data_wait_share")
    return [{name: v for name, v in line.items() if name not in timed} for line in history]


def run(build: Path, out: Path, epochs: int, *sets: str, **options: Any) -> Path:
    return train(
        "lip", build, out, "debug", sets=(*SETS, f"train.epochs={epochs}", *sets), **options
    )


@pytest.fixture(scope="module")
def whole(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    run(build, out, 4)
    return out


def weights(out: Path, name: str) -> dict[str, torch.Tensor]:
    return checkpoint.load(out / name)[1]


def same_weights(one: Path, two: Path) -> bool:
    a, b = weights(one, "last.safetensors"), weights(two, "last.safetensors")
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_checkpoint_names_the_sentences_of_its_training(build: Path, whole: Path) -> None:
    said = {row.sentence for row in Manifest(build).where(subset="train")}
    assert checkpoint.read_info(whole / "best.safetensors").sentences == tuple(sorted(said))
    many = [f"{number:05d}" for number in range(4000)]
    kept = loop.spread(many)
    assert (len(kept), kept[0], kept[-1] > "03990") == (1500, "00000", True)
    assert loop.spread(many[:1501]) == tuple(many[:1500])


def test_letters_of_another_language_than_the_corpus_are_told(build: Path, tmp_path: Path) -> None:
    english = tmp_path / "english"
    shutil.copytree(build, english)
    header, rows = (english / "manifest.jsonl").read_text(encoding="utf-8").split("\n", 1)
    header = json.dumps({**json.loads(header), "language": "english"})
    (english / "manifest.jsonl").write_text(f"{header}\n{rows}", encoding="utf-8")
    for corpus, sets, expected in (
        (build, (), 0),
        (english, (), 1),
        (english, ("lip.language=english",), 0),
    ):
        told: list[str] = []
        run(corpus, tmp_path / "out", 1, *sets, report=told.append, restart=True)
        assert sum("--set lip.language=english" in line for line in told) == expected


def test_a_killed_run_goes_on_to_the_same_curve(
    build: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, steps = Trainer._train_step, 0

    def killed(self: Trainer, batch: Batch, number: int) -> dict[str, float]:
        nonlocal steps
        steps += 1
        if steps == 11:  # in the third epoch of four steps each, two of them saved
            raise KeyboardInterrupt
        return step(self, batch, number)

    monkeypatch.setattr(Trainer, "_train_step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(build, tmp_path, 4)
    info = checkpoint.read_info(tmp_path / "resume.safetensors")
    assert (info.epoch, info.progress["first_batch"]) == (2, 2)
    told: list[str] = []
    run(build, tmp_path, 4, report=told.append)
    assert "taken up again after 2 of 4 epochs" in told[0]
    assert curve(tmp_path) == curve(whole)
    assert same_weights(tmp_path, whole)


def test_a_run_killed_outright_goes_on_to_the_same_curve(build: Path, tmp_path: Path) -> None:
    sets = [f"--set={text}" for text in (*SETS, "train.epochs=12")]
    process = subprocess.Popen(
        [
            sys.executable, "-m", "facetron.cli", "train", "lip", "--size", "debug",
            "--manifest", str(build), "--out", str(tmp_path / "killed"), *sets,
        ],
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        resume = tmp_path / "killed" / "resume.safetensors"
        while not resume.exists() and process.poll() is None:
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -9
    assert checkpoint.read_info(resume).epoch < 12
    for out in ("killed", "whole"):
        run(build, tmp_path / out, 12)
    assert len(curve(tmp_path / "whole")) == 12
    for ours, theirs in zip(curve(tmp_path / "killed"), curve(tmp_path / "whole"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)


def test_two_and_two_epochs_are_four(build: Path, tmp_path: Path, whole: Path) -> None:
    run(build, tmp_path, 2)
    run(build, tmp_path, 4)
    assert curve(tmp_path) == curve(whole)
    assert same_weights(tmp_path, whole)


def test_the_same_seed_gives_the_same_curve_and_another_does_not(
    build: Path, tmp_path: Path, whole: Path
) -> None:
    run(build, tmp_path, 1)
    assert curve(tmp_path) == curve(whole)[:1]
    run(build, tmp_path, 1, "train.seed=2", restart=True)
    assert curve(tmp_path) != curve(whole)[:1]


def test_other_options_need_another_folder(build: Path, whole: Path) -> None:
    with pytest.raises(BadInput, match="run with other options"):
        run(build, whole, 4, "train.batch_size=3")
    before = curve(whole)
    run(build, whole, 4)  # done already
    assert curve(whole) == before


def test_two_trainings_never_share_a_folder(build: Path, tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(Locked, match=rf"{tmp_path} is being written by process"):
        run(build, tmp_path, 1)
    assert not (tmp_path / "last.safetensors").exists()
    run(build, tmp_path, 1)  # the lock went with its holder


def turn_nan(monkeypatch: pytest.MonkeyPatch, *steps: int) -> None:
    """Makes the loss of some training steps, counted from 1, NaN."""
    losses, calls = LipStage.losses, 0

    def turning_nan(self: LipStage, *arguments: Any) -> dict[str, torch.Tensor]:
        nonlocal calls
        found = losses(self, *arguments)
        if torch.is_grad_enabled():
            calls += 1
            if calls in steps:
                found["loss"] = found["loss"] * float("nan")
        return found

    monkeypatch.setattr(LipStage, "losses", turning_nan)


def finite(out: Path, name: str) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in weights(out, name).values())


def test_nan_stops_and_keeps_the_last_good(
    build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_nan(monkeypatch, 6)
    with pytest.raises(Diverged, match=r"loss nan.*epoch 2, step 2 \(s.*keeps epoch 1"):
        run(build, tmp_path, 4, "train.skip_limit=0")
    assert finite(tmp_path, "last.safetensors")
    assert finite(tmp_path, "resume.safetensors")


def test_a_step_without_a_number_is_skipped_and_counted(
    build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_nan(monkeypatch, 2, 6, 7)
    run(build, tmp_path, 2, "train.skip_limit=2")
    assert [line["skipped_steps"] for line in curve(tmp_path)] == [1, 2]
    assert all(np.isfinite(line["train_loss"]) for line in curve(tmp_path))
    assert finite(tmp_path, "last.safetensors")
    assert "skipped_steps" in (tmp_path / "log.csv").read_text()


def test_too_many_skipped_steps_in_a_row_end_the_run(
    build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_nan(monkeypatch, 4, 5, 6)  # in a row across the end of an epoch
    with pytest.raises(Diverged, match=r"epoch 2, step 2 .*3 in a row; .* keeps epoch 1"):
        run(build, tmp_path, 4, "train.skip_limit=2")


def test_a_batch_in_parts_makes_the_step_of_the_whole(build: Path, tmp_path: Path) -> None:
    plain = ("lip.dropout=0", "lip.conv_dropout=0", "train.batch_size=4", "train.save_every_s=300")
    for name, parts in (("whole", 1), ("halves", 2), ("singles", 9)):
        run(build, tmp_path / name, 2, *plain, f"train.accumulate={parts}")
    whole = curve(tmp_path / "whole")
    for name in ("halves", "singles"):
        for ours, theirs in zip(curve(tmp_path / name), whole, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-3)


def test_saving_every_few_steps(build: Path, tmp_path: Path, whole: Path) -> None:
    """A run cut off within an epoch goes on from its last saved step."""
    steps = Trainer._train_step

    def stopping(self: Trainer, batch: Batch, number: int) -> dict[str, float]:
        if (self.epoch, number) == (1, 3):
            raise KeyboardInterrupt
        return steps(self, batch, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_train_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(build, tmp_path, 4, "train.save_every_s=1000", "train.save_every_steps=2")
    info = checkpoint.read_info(tmp_path / "resume.safetensors")
    assert (info.epoch, info.progress["first_batch"]) == (1, 2)
    run(build, tmp_path, 4)  # saving changes no step: other ways of it are the same run
    assert curve(tmp_path) == curve(whole)
    assert same_weights(tmp_path, whole)


def test_the_best_epochs_are_kept(build: Path, tmp_path: Path) -> None:
    run(build, tmp_path, 5, "train.keep_best=2")
    history = curve(tmp_path)
    best = sorted(range(1, 6), key=lambda epoch: (history[epoch - 1]["val_cer"], epoch))[:2]
    kept = {path.stem for path in tmp_path.glob("epoch-*.safetensors")}
    assert kept == {f"epoch-{epoch:04d}" for epoch in best}
    assert {path.stem for path in tmp_path.glob("epoch-*.json")} == kept
    for epoch in best:
        assert checkpoint.read_info(tmp_path / f"epoch-{epoch:04d}.safetensors").epoch == epoch
    run(build, tmp_path, 1, restart=True)
    assert not list(tmp_path.glob("epoch-*"))


def test_averaged_weights_are_saved_and_resumed(build: Path, tmp_path: Path, whole: Path) -> None:
    """What is saved is the mean over the steps; the steps themselves are those without it."""
    run(build, tmp_path / "one", 4, "train.ema=0.9")
    ours, theirs = curve(tmp_path / "one"), curve(whole)
    assert [x["train_loss"] for x in ours] == [x["train_loss"] for x in theirs]
    assert not same_weights(tmp_path / "one", whole)
    run(build, tmp_path / "two", 2, "train.ema=0.9")
    run(build, tmp_path / "two", 4, "train.ema=0.9")
    assert curve(tmp_path / "two") == ours
    assert same_weights(tmp_path / "two", tmp_path / "one")


def test_an_average_forgets_the_weights_it_began_with() -> None:
    layer = torch.nn.Linear(1, 1, bias=False).requires_grad_(False)
    layer.weight.fill_(0)
    average = WeightAverage(layer, 0.8)
    expected = 0.0
    for step in range(1, 61):
        layer.weight.fill_(step)
        average.update(step)
        kept = min(0.8, step / (step + 10))
        expected = kept * expected + (1 - kept) * step
    with average.applied():
        assert float(layer.weight) == pytest.approx(expected)
        assert expected == pytest.approx(60 - 0.8 / 0.2, abs=0.01)  # lag of a moving average
    assert float(layer.weight) == 60


def test_validation_on_some_clips(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", clips=6, validation=4)
    seen: list[str] = []

    def observed(self: LipStage, made: Any, batch: Batch) -> None:
        seen.extend(batch["clips"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LipStage, "observe", observed)
        run(build, tmp_path / "out", 1, "train.validate_clips=3")
    assert len(seen) == len(set(seen)) == 3
    assert {clip.split("/")[0] for clip in seen} == {"s3", "s5"}


@pytest.mark.parametrize("text", ["accumulate=0", "keep_best=0", "skip_limit=-1", "ema=1"])
def test_impossible_options_of_training_are_one_line(
    build: Path, tmp_path: Path, text: str
) -> None:
    with pytest.raises(BadInput, match=text.split("=")[0]):
        run(build, tmp_path, 1, f"train.{text}")


def test_plateau_ends_a_stage(build: Path, tmp_path: Path) -> None:
    run(build, tmp_path, 9, "train.patience=2", "train.min_delta=1000")
    assert len(curve(tmp_path)) == 3
    best = checkpoint.read_info(tmp_path / "best.safetensors")
    assert best.epoch == 1


def test_absent_cuda_is_told(build: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(BadInput, match=r"train\.device=cuda, but there is no CUDA"):
        run(build, tmp_path, 1, "train.device=cuda")


def test_without_validation_the_training_loss_chooses(tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", ("s3",), 3, validation=0)
    assert run(build, tmp_path / "out", 1) == tmp_path / "out" / loop.BEST
    assert not any(name.startswith("val_") for name in curve(tmp_path / "out")[0])


def command(build: Path, out: Path, *launcher: str) -> subprocess.CompletedProcess[str]:
    # Dropout draws differently in each process; everything else must not.
    sets = [
        "train.epochs=2", "train.batch_size=4", "lip.dropout=0", "lip.conv_dropout=0",
        "train.learning_rate=0.01",
    ]  # fmt: skip
    return subprocess.run(
        [
            sys.executable, *launcher, "-m", "facetron.cli", "train", "lip", "--size", "debug",
            "--manifest", str(build), "--out", str(out), *(f"--set={text}" for text in sets),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )  # fmt: skip


def test_two_processes_are_one(tmp_path: Path) -> None:
    """In steps, and in a validation of three batches, of which the first process has two."""
    build = make_build(tmp_path / "build", clips=8, validation=5)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--no-python")
    two = command(build, tmp_path / "two", *launcher, sys.executable)
    assert two.returncode == 0, two.stderr
    one = command(build, tmp_path / "one")
    assert one.returncode == 0, one.stderr
    assert one.stdout.strip() == str(tmp_path / "one" / "best.safetensors")
    for ours, theirs in zip(curve(tmp_path / "one"), curve(tmp_path / "two"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
        assert ours["val_cer"] is not None


def test_compiled_modules_learn_the_same(
    build: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    plain = torch.nn.Module.compile

    def noted(module: torch.nn.Module, **options: Any) -> None:
        compiled.append(type(module).__name__)
        plain(module, **options)

    monkeypatch.setattr(torch.nn.Module, "compile", noted)
    run(build, tmp_path, 1, "train.compile=true", "train.compile_backend=eager")
    assert compiled == ["LipEncoder"]
    assert curve(tmp_path)[0] == pytest.approx(curve(whole)[0], rel=1e-4)
    assert weights(tmp_path, "last.safetensors").keys() == weights(whole, "last.safetensors").keys()


def test_compiling_needs_a_compiler(
    build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match=r"compile_backend is 'gcc', which .* choose one of .*eager"):
        run(build, tmp_path, 1, "train.compile=true", "train.compile_backend=gcc")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        BadInput, match=r"needs a C\+\+ compiler \(no-such-compiler\), which is not"
    ):
        run(build, tmp_path, 1, "train.compile=true")


def test_discriminators_are_compiled_and_teachers_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self, backend: compiled.append(type(self).__name__)
    )
    model, training = train_config("joint", "debug", sets=("loss.adversarial=1",))
    compile_parts(create("joint", model, training), "aot_eager", torch.device("cpu"))
    assert "MelDiscriminator" in compiled
    assert "ProsodyEncoder" not in compiled
    assert {"Decoder", "LipEncoder", "Vocoder"} <= set(compiled)
    assert len(compiled) == len(set(compiled))
