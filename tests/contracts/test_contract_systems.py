"""What every system promises, over everything registered and a toy that lives in the tests.

A system is trained two steps at `debug`, taken up again, written, read and made to speak or to draw,
through the same functions and commands as Facetron.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "facetron"))
from facetron_build import make_build

from facetron import options, systems
from facetron.checkpoints import checkpoint
from facetron.checkpoints.export import export
from facetron.cli import cli
from facetron.drawing.base import FacePainter, load_painter
from facetron.drawing.run import DrawOptions, draw
from facetron.synthesis.base import SpeechSynthesizer, load_synthesizer
from facetron.synthesis.run import SynthesisOptions, synthesize
from facetron.systems import System
from facetron.train.run import create, train
from gridprep.exporting.run import ExportOptions
from gridprep.exporting.run import export as export_build
from manifests import console
from manifests.errors import BadInput, ManifestError, MissingDependency, SpecMismatch
from manifests.io import read_manifest, write_jsonl
from manifests.mel import PRESETS as MELS
from manifests.runs import read_picture_run, read_run

TOY = "toy"

pytestmark = pytest.mark.usefixtures("few_rounds")
SETS = ("train.batch_size=2", "train.segment_frames=16", "train.loggers=csv")


@pytest.fixture(scope="module", autouse=True)
def _toy_is_registered() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        patch.setitem(systems.SYSTEMS, TOY, "toy_system:SYSTEM")
        yield


@pytest.fixture(scope="module", params=[*systems.SYSTEMS, TOY])
def system(request: pytest.FixtureRequest) -> System:
    return systems.get(request.param)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers with two clips to train on and one to validate on."""
    return make_build(tmp_path_factory.mktemp("build"), clips=3)


@pytest.fixture(scope="module")
def trained(system: System, build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every stage in its order, two steps each."""
    out = tmp_path_factory.mktemp("trained")
    sets = (*SETS, "train.epochs=1")
    train("all", build, out, "debug", sets=sets, system=system.name)
    return out


def test_it_learns_from_clips_of_different_lengths(system: System, tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", clips=3, lengths=(75, 91))
    train(
        "all", build, tmp_path / "out", "debug", sets=(*SETS, "train.epochs=1"), system=system.name
    )
    for stage in system.stages:
        with (tmp_path / "out" / stage / "log.csv").open(newline="") as log:
            (line,) = csv.DictReader(log)
        losses = [float(line[name]) for name in line if name.endswith("_loss") and line[name]]
        assert losses, stage
        assert np.isfinite(losses).all(), stage


def exported(system: System, trained: Path, out: Path) -> Path:
    sources = [trained / stage / "best.safetensors" for stage in system.stages]
    export(sources, out, half=False)
    return out


def reader(system: System) -> type[SpeechSynthesizer] | type[FacePainter]:
    """What reads a checkpoint of the system."""
    return system.painter_class() if system.painter else system.synthesizer_class()


def loaded(system: System, path: Path) -> SpeechSynthesizer | FacePainter:
    return load_painter(path, "cpu") if system.painter else load_synthesizer(path, device="cpu")


def run_of(system: System, build: Path, weights: Path, out: Path) -> tuple[str, list[bytes]]:
    """The name of a run of the two validation clips, and the files that were made."""
    if system.painter:
        drawn = draw(DrawOptions(build, str(weights), out, subset="val", device="cpu"))
        assert (drawn.wrote, len(drawn.failures)) == (2, 0)
        info, clips, _ = read_picture_run(out)
        assert len(clips) == info.n_expected == 2 * drawn.pictures
        assert info.parameters["system"] == system.name
        return info.name, [(out / clip.picture).read_bytes() for clip in clips]
    asked = SynthesisOptions(build, str(weights), out, subset="val", device="cpu")
    report = synthesize(asked)
    assert (report.wrote, len(report.failures)) == (2, 0)
    info, clips, _ = read_run(out)
    assert len(clips) == info.n_expected == 2
    return info.name, [(out / clip.wav).read_bytes() for clip in clips]


def test_it_is_described(system: System) -> None:
    assert systems.get(system.name) is system
    assert {"paper", "small", "debug"} <= set(system.sizes)
    assert set(system.needed) <= set(system.parts)
    assert set(system.encoders) <= {"face", "prosody"}
    for size, config in system.sizes.items():
        assert config.size == size
        assert system.configure(size) == config
        assert system.config(json.loads(json.dumps(options.to_dict(config)))) == config
    assert system.configure() == system.sizes["paper"]
    assert bool(system.synthesizer) != bool(system.painter)
    assert reader(system).system == system.name


def test_info_prints_it_at_every_size(system: System) -> None:
    for size in system.sizes:
        done = CliRunner().invoke(cli, ["info", "--system", system.name, "--size", size])
        assert done.exit_code == 0, done.output
        assert done.output.startswith(f"{system.label}, {size}: ")
        takes = "s of speech at 16000 Hz → a face" if system.painter else "3 s of silent video"
        assert takes in done.output.splitlines()[0]
        assert "total for synthesis" in done.output


def test_every_stage_is_built_at_every_size(system: System) -> None:
    for size, config in system.sizes.items():
        for stage in system.stages:
            with torch.device("meta"):
                made = create(stage, config, system.training(stage, config), system.name)
            assert (made.name, made.system) == (stage, system.name), size
            assert set(made.needs) <= set(made.parts)


def test_its_checkpoints_name_it(system: System, trained: Path) -> None:
    for stage in system.stages:
        info = checkpoint.read_info(trained / stage / "best.safetensors")
        assert (info.system, info.stage, info.step) == (system.name, stage, 2)
        assert info.speakers == ("s3", "s5")
        assert info.model_config() == system.sizes["debug"]
        assert np.isfinite(info.history[-1]["train_loss"])


@pytest.fixture(scope="module")
def shards(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "webdataset"
    export_build(ExportOptions(str(build), "webdataset", str(out)))
    return out


def test_it_learns_from_shards_what_it_learns_from_their_build(
    system: System, shards: Path, trained: Path, tmp_path: Path
) -> None:
    sets = (*SETS, "train.epochs=1")
    train("all", shards, tmp_path, "debug", sets=sets, system=system.name)
    for stage in system.stages:
        ours, theirs = (
            checkpoint.read_info(out / stage / "last.safetensors").metrics
            for out in (tmp_path, trained)
        )
        assert ours == theirs


def test_it_is_taken_up_again_to_the_same_loss(
    system: System, build: Path, trained: Path, tmp_path: Path
) -> None:
    stage = list(system.stages)[-1]
    sources = [trained / name / "best.safetensors" for name in list(system.stages)[:-1]]
    losses = []
    for out, walks in ((tmp_path / "whole", (2,)), (tmp_path / "parts", (1, 2))):
        for epochs in walks:
            sets = (*SETS, f"train.epochs={epochs}")
            train(stage, build, out, "debug", sets=sets, sources=sources, system=system.name)
        losses.append(
            [h["train_loss"] for h in checkpoint.read_info(out / "last.safetensors").history]
        )
    assert losses[0] == losses[1]
    assert len(losses[0]) == 2


def test_it_makes_a_run_directory(
    system: System, build: Path, trained: Path, tmp_path: Path
) -> None:
    weights = exported(system, trained, tmp_path / "model.safetensors")
    again = loaded(system, weights)
    assert type(again) is reader(system)
    assert again.seen("s3")
    assert not again.seen("s1")
    name, made = run_of(system, build, weights, tmp_path / "run")
    assert name.startswith(system.label)
    assert run_of(system, build, weights, tmp_path / "again") == (name, made)


def test_what_speaks_does_not_draw_and_the_reverse(
    system: System, trained: Path, tmp_path: Path
) -> None:
    weights = exported(system, trained, tmp_path / "model.safetensors")
    if system.painter:
        told = f"{weights} is of {system.name}, which draws faces and does not speak"
        with pytest.raises(BadInput, match=told):
            load_synthesizer(weights)
        with pytest.raises(BadInput, match="does not speak"):
            system.synthesizer_class()
    else:
        with pytest.raises(BadInput, match=f"{weights}: {system.name} speaks and draws no faces"):
            load_painter(weights)


def test_a_held_out_speaker_is_refused(
    system: System, build: Path, trained: Path, tmp_path: Path
) -> None:
    _, rows = read_manifest(build)
    write_jsonl(tmp_path / "manifest.jsonl", "manifest", rows, held_out_speakers=["s5"])
    stage = list(system.stages)[-1]
    with pytest.raises(ManifestError, match="holds s5 out"):
        train(stage, tmp_path, tmp_path / "out", "debug", sets=SETS, system=system.name)
    rest = [row for row in rows if row.speaker != "s5"]
    write_jsonl(tmp_path / "manifest.jsonl", "manifest", rest, held_out_speakers=["s5"])
    source = trained / stage / "best.safetensors"
    with pytest.raises(SpecMismatch, match="was trained on s5, held out by the manifest's split"):
        train(
            stage, tmp_path, tmp_path / "out", "debug", sets=SETS, sources=[source],
            system=system.name,
        )  # fmt: skip


def test_a_foreign_checkpoint_is_refused_in_one_line(
    system: System, build: Path, trained: Path, tmp_path: Path
) -> None:
    other = next(name for name in (*systems.SYSTEMS, TOY) if name != system.name)
    stage = next(iter(system.stages))
    info, tensors = checkpoint.load(trained / stage / "best.safetensors")
    path = tmp_path / "foreign.safetensors"
    foreign = dataclasses.replace(info, system=other)
    checkpoint.save(path, tensors, foreign, words=False)
    told = f"{path} is a checkpoint of the system {other}, not of {system.name}"
    with pytest.raises(BadInput, match=told):
        reader(system).load(path)
    with pytest.raises(BadInput, match=told):
        train(
            stage, build, tmp_path / "out", "debug", sets=SETS, sources=[path], system=system.name
        )
    with pytest.raises(BadInput, match=f"{path} is a checkpoint of the system {other}"):
        export([trained / stage / "best.safetensors", path], tmp_path / "out.safetensors")
    unknown = dataclasses.replace(info, system="of-tomorrow")
    checkpoint.save(path, tensors, unknown, words=False)
    with pytest.raises(BadInput, match=f"{path}: there is no system 'of-tomorrow'"):
        loaded(system, path)


def test_features_of_another_rate_are_refused_in_one_line(
    system: System, build: Path, trained: Path, tmp_path: Path
) -> None:
    _, rows = read_manifest(build)
    other = MELS["hifigan-22k"].fingerprint()
    changed = [
        dataclasses.replace(
            row, fingerprints={**row.fingerprints, "mel": other}, sample_rate_hz=22_050
        )
        for row in rows
    ]
    write_jsonl(tmp_path / "manifest.jsonl", "manifest", changed)
    told = f"{tmp_path}.* has MelSpec {other}, but {MELS['facetron'].fingerprint()} is needed"
    for stage in system.stages:
        with pytest.raises(SpecMismatch, match=told):
            train(stage, tmp_path, tmp_path / "out", "debug", sets=SETS, system=system.name)
    weights = exported(system, trained, tmp_path / "model.safetensors")
    if system.painter:
        told = f"{tmp_path}.* has sound of 22050 Hz, and {weights} hears 16000 Hz"
    with pytest.raises(SpecMismatch, match=told):
        run_of(system, tmp_path, weights, tmp_path / "run")


EXTRA_OF_FIELD = {"world": ("pyworld", "pip install 'facetron-toolkit[world]'")}
"""Fields of `ClipDataset` that need a library of an extra, and the line that names it."""


def test_a_missing_extra_is_one_line_and_only_of_who_needs_it(
    system: System,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for library, _ in EXTRA_OF_FIELD.values():
        monkeypatch.setitem(sys.modules, library, None)
    config = system.sizes["debug"]
    assert system.modules(config)
    for stage in system.stages:
        made = create(stage, config, system.training(stage, config), system.name)
        for field in sorted(set(EXTRA_OF_FIELD) & set(made.fields)):
            fresh = make_build(tmp_path / field, clips=2)
            argv = ["facetron", "train", stage, "--system", system.name, "--size", "debug"]
            argv += ["--manifest", str(fresh), "--out", str(tmp_path / "out")]
            monkeypatch.setattr(sys, "argv", argv)
            library, line = EXTRA_OF_FIELD[field]
            assert console._code_of(cli, "facetron") == MissingDependency.exit_code
            told = capsys.readouterr().err
            assert told == f"facetron: {library} is not installed; {line}\n"


def test_its_stages_are_named_to_who_asks_for_another(system: System, tmp_path: Path) -> None:
    command = ["train", "baking", "--system", system.name, "--manifest", "x", "--out", "y"]
    done = CliRunner().invoke(cli, command)
    assert isinstance(done.exception, BadInput)
    for stage in system.stages:
        assert stage in str(done.exception)


def test_an_unknown_system_is_one_line() -> None:
    done = CliRunner().invoke(cli, ["info", "--system", "nobody"])
    assert isinstance(done.exception, BadInput)
    assert "choose one of facetron" in str(done.exception)


def test_a_package_may_register_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = EntryPoint("mine", "toy_system:SYSTEM", systems.ENTRY_POINTS)

    def found(**asked: Any) -> list[EntryPoint]:
        return [mine] if asked.get("name", "mine") == "mine" else []

    monkeypatch.setattr(systems, "entry_points", found)
    assert systems.names()[-1] == "mine"
    assert systems.get("mine").label == "Toy"


def test_weights_of_before_are_facetrons() -> None:
    info = checkpoint.read_info(checkpoint_of("synthgrid"))
    assert info.system == "facetron"


def checkpoint_of(name: str) -> Path:
    from facetron.checkpoints import bundled

    return bundled.resolve(name)
