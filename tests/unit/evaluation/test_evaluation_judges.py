"""`facetron-eval judges`: weights of judges out of wheels of a few bytes."""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from evaluation.commands.judges import judges as command
from evaluation.models import judges
from manifests import wheels
from manifests.errors import BadInput
from manifests.wheels import WheelFile

CONTENT = b"weights " * 99


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> judges.Judge:
    """One judge of a small file, an empty cache, no installed package and no pip."""
    file = WheelFile("small.pt", "ears/small.pt", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
    wheel = dataclasses.replace(judges.GE2E.wheel, distribution="Big.Ears", version="1.0")
    judge = dataclasses.replace(judges.GE2E, name="ears", wheel=wheel, files=(file,))
    monkeypatch.setattr(judges, "JUDGES", {"ears": judge})
    monkeypatch.setattr("evaluation.commands.judges.JUDGES", {"ears": judge})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(wheels, "_download", lambda *_: pytest.fail("asked for a wheel"))
    return judge


def write_wheel(folder: Path, name: str = "big_ears-1.0-py3-none-any.whl") -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ears/small.pt", CONTENT)
        archive.writestr("ears/__init__.py", "raise SystemExit('must never run')")
    return path


def test_weights_come_out_of_a_local_wheel(small: judges.Judge, tmp_path: Path) -> None:
    absent = CliRunner().invoke(command, ["list"])
    assert "the model small.pt of the speaker judge GE2E is missing" in absent.output
    assert "facetron-eval judges fetch (once, with a network)" in absent.output
    done = CliRunner().invoke(command, ["fetch", "--wheel", str(write_wheel(tmp_path))])
    assert done.exit_code == 0, done.output
    cached = tmp_path / "cache" / "facetron-toolkit" / "models" / "small.pt"
    assert done.output.strip() == str(cached)
    assert cached.read_bytes() == CONTENT
    assert str(cached) in CliRunner().invoke(command, ["list"]).output
    # Again, and nothing is asked for.
    assert judges.fetch() == [cached]


def test_a_wheel_of_no_judge_and_an_unknown_name_are_refused(
    small: judges.Judge, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"wheel of no judge; give one of Big\.Ears 1\.0"):
        judges.fetch(wheels=(write_wheel(tmp_path, "big_ears-2.0-py3-none-any.whl"),))
    with pytest.raises(BadInput, match="no judge 'eyes'; choose from ears"):
        judges.fetch(("eyes",))


def test_every_judge_has_its_own_files() -> None:
    files = [file for judge in judges.JUDGES.values() for file in judge.files]
    assert len({file.name for file in files}) == len(files)
    assert all(len(file.sha256) == 64 and file.size_bytes > 0 for file in files)
    assert all(
        judge.wheel.fetch == "facetron-eval judges fetch" for judge in judges.JUDGES.values()
    )
