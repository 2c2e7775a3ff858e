"""Published systems: recipes, a clone from a local repository, runs, and orders of systems."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from numpy.typing import NDArray

from evaluation.cli import cli
from evaluation.inputs.pairs import read_run
from evaluation.literature.agreement import agreements
from evaluation.literature.recipes import recipe, recipes
from evaluation.literature.samples import fetch, make_runs
from manifests.errors import BadInput, ToolkitError

Make = Callable[..., NDArray[np.float64]]


@pytest.fixture
def repository(tmp_path: Path, make_sound: Make) -> Path:
    """A local git repository laid out as the authors' one."""
    root = tmp_path / "authors"
    folder = root / "audio-samples/speaker-dependent/s1_bbbf7s"
    folder.mkdir(parents=True)
    for i, name in enumerate(("ground_truth", "lip2wav", "ours_griffin_lim", "ours_wavenet")):
        soundfile.write(folder / f"{name}.wav", make_sound(i, 1.0), 16_000)
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for line in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "samples"]):
        subprocess.run(["git", *line], cwd=root, check=True, capture_output=True)
    return root


def test_recipes_say_how_their_place_is_known() -> None:
    for found in recipes().values():
        assert found.title
        assert found.license
        assert found.verified
        assert bool(found.systems) == bool(found.git), "files are known where a repository is"
    with pytest.raises(BadInput, match="no published system 'Lipvoice'"):
        recipe("Lipvoice")


def test_fetch_and_runs_of_a_local_repository(tmp_path: Path, repository: Path) -> None:
    found = recipe("visual-voice-memory")
    folder = fetch(found, tmp_path / "published", git=str(repository))
    assert folder == fetch(found, tmp_path / "published", git="/nowhere"), "it is there already"
    roots = make_runs(found, folder, tmp_path / "runs")
    runs = [read_run(root) for root in roots]
    assert [run.info.name for run in runs] == [system.name for system in found.systems]
    for run in runs:
        (clip,) = run.clips
        assert (clip.speaker, clip.stem) == ("s1", "bbbf7s")
        assert clip.sentence == "bin blue by f seven soon"
        reference = run.reference(clip)
        assert reference is not None
        assert reference.is_file()


def test_what_cannot_be_fetched_says_why(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="in no known repository"):
        fetch(recipe("xts"), tmp_path)
    with pytest.raises(ToolkitError, match="could not be cloned"):
        fetch(recipe("visual-voice-memory"), tmp_path / "o", git=str(tmp_path / "absent"))
    assert not list((tmp_path / "o").iterdir()), "nothing half is left"
    with pytest.raises(BadInput, match="names of its files are not known"):
        make_runs(recipe("vcvts"), tmp_path, tmp_path / "runs")


def test_agreement_turns_errors_around_and_counts_systems() -> None:
    columns = {
        "stoi": {"A": 0.5, "B": 0.7, "C": 0.6, "D": 0.9},
        "wer": {"A": 30.0, "B": 10.0, "C": 20.0},
        "level_dbfs": {"A": 1.0, "B": 2.0, "C": 3.0},
    }
    directions = {"stoi": "higher", "wer": "lower", "level_dbfs": "none"}
    stoi, wer = agreements(columns, directions, {"A": 2.0, "B": 4.0, "C": 3.0})
    assert stoi.order == ("D", "B", "C", "A")
    assert (stoi.spearman, stoi.kendall, stoi.n) == (1, 1, 3)
    assert (wer.order, wer.spearman) == (("B", "C", "A"), 1)
    (few,) = agreements({"wer": columns["wer"]}, directions, {"A": 2.0, "B": 4.0})
    assert (few.spearman, few.kendall, few.n) == (None, None, 2)


def test_agree_reads_a_report(tmp_path: Path) -> None:
    lines = ["system,kind,speaker,metric,direction,mean"]
    lines += [f"{s},model,all,wer,lower,{v}" for s, v in (("A", 9), ("B", 5), ("C", 7))]
    (tmp_path / "report.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "heard.csv").write_text("system,mos\nA,4\nB,2\nC,3\n")
    arguments = ["literature", "agree", str(tmp_path / "report.csv")]
    arguments += ["--listeners", str(tmp_path / "heard.csv")]
    result = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert result.exit_code == 0, result.output
    assert "B > C > A" in result.output
    assert "-1.00" in result.output
