"""`facetron info`: what it counts and prints."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from click.testing import CliRunner
from torch import nn

from facetron import options
from facetron.cli import cli
from facetron.inventory import inventory, measured
from facetron.model.facetron import Facetron
from facetron.model.lip import LipEncoder
from facetron.model.paper import PAPER_SAYS, modules
from facetron.model.sizes import DEBUG, PAPER, model_config
from manifests.errors import BadInput

torch.set_num_threads(1)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["info", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def line_of(output: str, start: str) -> list[str]:
    (line,) = [line for line in output.splitlines() if line.startswith(start + "  ")]
    return line[len(start) :].split()


def test_paper_size_beside_the_plan() -> None:
    output = run()
    assert "3 s of silent video → 150 mel frames → 48000 samples" in output
    lips = line_of(output, "lip encoder")
    assert lips == ["3×75×144×144", "75×512,", "75×28", "14.29", "53.65", "14.3", "55.7"]
    assert line_of(output, "decoder") == ["640×75", "80×150", "24.02", "3.73", "24", "3.7"]
    assert line_of(output, "mel MPD")[-4:] == ["24.70", "0.37", "24.7", "0.18"]
    assert "mel MPD: the plan has HiFi-GAN's strides" in output
    assert line_of(output, "vocoder")[:4] == ["80×150", "1×48000", "13.09", "48.06"]
    assert "decoder: III: light HiFi-GAN, rates (1, 1, 2)" in output
    assert "lip encoder: the plan counts the Bi-GRU's 2.0 GFLOP twice" in output


def test_the_plans_lips_count_the_recurrence_twice() -> None:
    """The note that `info` prints, in numbers."""
    gru: Callable[[], nn.Module] = lambda: nn.GRU(  # noqa: E731
        96 * 81, 256, 2, batch_first=True, bidirectional=True
    )
    _, _, gflop = measured(gru, [(75, 96 * 81)])
    _, _, lips = measured(lambda: LipEncoder(PAPER.lip), [(3, 75, 144, 144)])
    assert gflop == pytest.approx(2.03, abs=0.01)
    assert lips + gflop == pytest.approx(55.7, abs=0.05)


def test_plan_is_shown_only_where_it_was_made_for() -> None:
    output = run("--size", "debug")
    assert "planned" not in output
    partly = model_config("debug", sets=["prosody=paper", "face.embedding_size=128"])
    assert [row.name for row in inventory(modules(partly)) if row.entry.planned] == [
        "prosody encoder"
    ]


def test_counts_are_those_of_the_modules() -> None:
    rows = {row.name: row for row in inventory(modules(DEBUG))}
    assert set(rows) == set(PAPER_SAYS) - {"mel perceptual"}
    model = Facetron(DEBUG)
    for name, module in (("lip encoder", model.lip), ("face encoder", model.face)):
        assert rows[name].parameters == sum(p.numel() for p in module.parameters())
    assert rows["lip encoder"].entry.shapes == [(1, 75, 16, 16)]
    assert rows["vocoder"].output_shapes == ((1, 48_000),)


def test_arithmetic_is_two_a_multiply_add() -> None:
    _, shapes, gflop = measured(lambda: nn.Conv1d(8, 16, 3, padding=1), [(8, 100)])
    assert shapes == ((16, 100),)
    assert gflop * 1e9 == pytest.approx(2 * 8 * 16 * 3 * 100)


def test_perceptual_head_is_listed_when_it_is_on() -> None:
    output = run("--size", "debug", "--set", "mel_discriminator.perceptual=true")
    assert line_of(output, "mel perceptual")[0] == "80×150,"
    assert "motivated by a perceptual quality metric" in output


def test_yaml_is_a_config_to_start_from(tmp_path: Path) -> None:
    text = run("--size", "small", "--set", "lip.input_px=64", "--yaml")
    assert yaml.safe_load(text)["lip"]["input_px"] == 64
    file = tmp_path / "config.yaml"
    file.write_text(text)
    assert model_config(file=file) == model_config("small", sets=["lip.input_px=64"])
    assert run("--config", str(file), "--yaml") == text
    assert options.read_yaml(file)["size"] == "small"


def test_wrong_options_are_one_line() -> None:
    with pytest.raises(BadInput, match=r"choose one of lip\.kind, lip\.input_px"):
        run("--set", "lip.side=3")
    with pytest.raises(BadInput, match="paper, small, debug"):
        run("--size", "huge")


def test_help_waits_for_no_heavy_library() -> None:
    code = (
        "import sys; from facetron.cli import cli; cli(['--help'], standalone_mode=False); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'scipy.signal')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "info" in done.stdout


def test_departures_from_the_paper_are_listed_in_one_place() -> None:
    small, paper = run("--size", "small"), run()
    assert "Departures from the paper (small is a small variant of it):" in small
    assert "lip.input_px: 56, where the paper's model has 144" in small
    assert "not in the paper: vocoder.source: the vocoder has a harmonic source" in small
    assert "not in the paper: lip.batch_norm" in small
    assert "Departures from the paper:" in paper
    assert "where the paper's model has" not in paper
    assert "not in the paper:" not in paper
    for output in (small, paper):
        assert "one of the 15 stills that a build stores" in output
        assert "Eq. 5 is minimized as 1 − CS(f, p)" in output
        assert "its ½ before the arg max is left out" in output
        assert "without its style tokens (prosody.kind=gst)" in output
        assert 'no criterion "motivated by a perceptual quality metric"' in output
    read = run("--set", "prosody.kind=gst", "--set", "mel_discriminator.perceptual=true")
    assert "without its style tokens" not in read
    assert "no criterion" not in read
    assert "not in the paper: mel_discriminator.perceptual" in read
    one = run("--size", "debug", "--set", "loss.spectra=1", "--set", "i2i=literal")
    assert "not in the paper: loss.spectra" in one
    assert "i2i: literal, where the paper's model has candidate" in one


def test_what_trainings_add_is_listed_with_the_options_of_train(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("size: debug\ntrain: {lip: {word_loss: 0.4}}\n")
    told = run("--config", str(file), "--set", "train.ema=0.99", "--set", "train.face.epochs=3")
    assert "not in the paper: train.lip.word_loss: a loss of the word of each frame" in told
    assert told.count(".ema:") == 1
    assert "not in the paper: train.ema: an average of the weights" in told
    assert "train." not in run("--size", "debug")
    with pytest.raises(BadInput, match=r"there is no option train\.wurds"):
        run("--set", "train.wurds=1")
