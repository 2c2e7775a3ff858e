"""`gridprep splits`: every split listed and explained, one counted, its clips written out."""

from __future__ import annotations

import csv
from pathlib import Path

from click.testing import CliRunner

from gridprep.cli import cli
from manifests import splits
from manifests.errors import BadInput


def say(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["splits", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_lists_and_explains_every_split() -> None:
    output = say()
    for name in splits.names():
        split = splits.load(name)
        row = next(line.split() for line in output.splitlines() if line.startswith(f"{name} "))
        assert row[1:5] == ["v1", *(str(n) for n in split.counts().values())]
        assert row[-1] == split.sha256[:12]
    for words in ("section V", "sha256(", "lipnet-overlapped", "2,211 of 8,415"):
        assert words in output


def test_show_counts_speakers_genders_and_clips() -> None:
    lines = [line.split() for line in say("show", "large-unseen").splitlines()]
    assert ["train", "29", "16+13", "25988"] in lines
    assert ["val", "29", "16+13", "2888"] in lines
    assert ["test", "4", "2+2", "4000"] in lines
    assert ["all", "33", "18+15", "32876"] in lines
    assert ["s4", "female", "1000", "1000"] in lines
    assert ["s8", "male", "804", "90", "894"] in lines
    assert ["Never", "in", "training:", "s1", "s2", "s4", "s29"] in lines


def test_show_states_the_genders_beside_the_papers() -> None:
    assert "17 men, 16 women" in " ".join(say("show", "small").split())


def test_csv_holds_every_clip(tmp_path: Path) -> None:
    path = tmp_path / "small.csv"
    say("show", "small", "--csv", str(path))
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    assert len(rows) == 4000
    assert {"speaker": "s1", "stem": "bbaf2n", "subset": "train", "gender": "male"} in rows


def test_show_of_an_unknown_split_lists_the_choices() -> None:
    result = CliRunner().invoke(cli, ["splits", "show", "nope"])
    assert isinstance(result.exception, BadInput)
    assert "choose one of small" in str(result.exception)
