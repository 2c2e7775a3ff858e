"""Recordings that are passed off as a system's speech."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from numpy.typing import NDArray

from evaluation.cli import cli
from evaluation.inputs.copies import copied, is_copy
from evaluation.inputs.pairs import read_run

Sound = NDArray[np.float64]
STEMS = ("bbaf2n", "lgbf6s", "swbvzs", "pwij3p")


def noisy(sound: Sound, index: int) -> Sound:
    return sound + 0.1 * sound.std() * np.random.default_rng(index).standard_normal(len(sound))


def test_copies_are_found_whatever_their_level(
    tmp_path: Path, make_sound: Callable[..., Sound]
) -> None:
    sound = make_sound(0, 1.0)
    soundfile.write(tmp_path / "recording.wav", sound, 16_000)
    made = {
        "same": sound, "quiet": 0.2 * sound, "upside_down": -sound, "cut": sound[:15_000],
        "eight_bits": np.round(sound * 127) / 127,
    }  # fmt: skip
    own = {
        "noisy": noisy(sound, 0), "late": np.roll(sound, 40), "other": make_sound(1, 1.0),
        "silent": np.zeros(16_000), "empty": np.zeros(0),
    }  # fmt: skip
    for name, samples in (made | own).items():
        soundfile.write(tmp_path / f"{name}.wav", samples, 16_000, subtype="FLOAT")
        found = is_copy(tmp_path / f"{name}.wav", tmp_path / "recording.wav")
        assert found == (name in made), name
    holes = np.where(np.arange(16_000) == 9, np.nan, sound)
    soundfile.write(tmp_path / "nan.wav", holes, 16_000, subtype="FLOAT")
    (tmp_path / "text.wav").write_text("no sound")
    for name in ("nan.wav", "text.wav", "absent.wav"):
        assert not is_copy(tmp_path / name, tmp_path / "recording.wav")


def test_only_models_are_looked_at(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    run = read_run(make_run(tmp_path / "run"))
    assert copied(run) == tuple(clip.label for clip in run.clips)
    assert copied(replace(run, info=replace(run.info, kind="recording"))) == ()


@pytest.mark.parametrize("command", ["report", "compare"])
def test_copies_win_nothing_and_are_told(
    tmp_path: Path, make_run: Callable[..., Path], command: str
) -> None:
    def half(sound: Sound, index: int) -> Sound:
        return sound if index % 2 else noisy(sound, index)

    def poor(sound: Sound, index: int) -> Sound:
        return sound + 2 * sound.std() * np.random.default_rng(index).standard_normal(len(sound))

    best = {}
    for name, change in (("fair", noisy), ("copy", half)):
        a = make_run(tmp_path / name / "a", name="Poor", change=poor, stems=STEMS)
        b = make_run(tmp_path / name / "b", name="Better", change=change, stems=STEMS)
        out = tmp_path / name / "out"
        asked = (command, a, b, "--metrics", "stoi,mcd", "--recognizer", "none", "--jobs", 0)
        result = CliRunner().invoke(
            cli, [*map(str, asked), "--out", str(out)], standalone_mode=False
        )
        assert result.exception is None, result.output
        best[name] = (out / f"{command}.md").read_text().partition("## Definitions")[0]
    assert "| **" in best["fair"]
    assert "recording itself" not in best["fair"]
    assert "| **" not in best["copy"]
    assert "Better: the speech of 4 of 8 clips is the recording itself" in best["copy"]
