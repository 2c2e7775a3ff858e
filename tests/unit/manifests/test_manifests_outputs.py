"""No command writes over what it reads: every pair of paths of every command of the three programs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from evaluation.cli import cli as facetron_eval
from facetron.cli import cli as facetron
from gridprep.cli import cli as gridprep
from manifests.errors import BadInput
from manifests.outputs import Command, check_outputs, is_output

PROGRAMS = {"gridprep": gridprep, "facetron": facetron, "facetron-eval": facetron_eval}


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    """All commands below a group, with their names."""
    context = click.Context(group)
    for known in group.list_commands(context):
        command = group.get_command(context, known)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {known}")
        else:
            yield f"{name} {known}", command


COMMANDS = {name: c for program, group in PROGRAMS.items() for name, c in commands(group, program)}


def outputs_of(command: click.Command) -> list[click.Parameter]:
    return [p for p in command.params if is_output(p)]


def inputs_of(command: click.Command) -> list[click.Parameter]:
    paths = [p for p in command.params if isinstance(p.type, click.Path)]
    return [p for p in paths if not is_output(p)]


def may_be_one(output: click.Parameter, other: click.Parameter) -> bool:
    """Whether both take the same kind of thing: a folder cannot be a file."""
    one, two = output.type, other.type
    if not isinstance(one, click.Path):
        return False  # a folder or a URL, which the command itself tells apart
    assert isinstance(two, click.Path)
    return (one.file_okay and two.file_okay) or (one.dir_okay and two.dir_okay)


READ_AND_WRITE = [
    (name, output.name, other.name)
    for name, command in COMMANDS.items()
    for output in outputs_of(command)
    for other in [*inputs_of(command), *outputs_of(command)]
    if other is not output and may_be_one(output, other)
]


def test_every_command_is_checked() -> None:
    """A command of another class, or a path under a name that nobody knows, would slip through."""
    assert len(COMMANDS) >= 25
    assert [name for name, command in COMMANDS.items() if not isinstance(command, Command)] == []
    writing = {name for name, command in COMMANDS.items() if outputs_of(command)}
    only_read = {"facetron info", "facetron-eval score", "facetron-eval mos pages"}
    assert {name for name in COMMANDS if name not in writing} >= only_read
    assert {"facetron speak", "facetron embed", "gridprep build"} <= writing
    assert ("facetron speak", "wav", "out") in READ_AND_WRITE
    assert ("facetron speak", "wav", "face") in READ_AND_WRITE
    assert ("gridprep splits show", "csv_path") in {
        (name, output.name) for name, command in COMMANDS.items() for output in outputs_of(command)
    }


def arguments(command: click.Command, given: dict[str | None, str], folder: Path) -> list[str]:
    """A command line with the paths given and something for whatever else is required."""
    line = []
    for parameter in command.params:
        value = given.get(parameter.name)
        if value is None:
            if not parameter.required:
                continue
            value = filler(parameter, folder)
        if isinstance(parameter, click.Option):
            line.append(max(parameter.opts, key=len))
        line.append(value)
    return line


def filler(parameter: click.Parameter, folder: Path) -> str:
    kind = parameter.type
    if isinstance(kind, click.Choice):
        return str(next(iter(kind.choices)))
    if isinstance(kind, click.Path):
        path = folder / f"other-{parameter.name}"
        path.mkdir()
        return str(path)
    return "1" if kind.name in ("integer", "integer range") else "x"


def make(parameters: list[click.Parameter], path: Path) -> None:
    """A file, or a folder where one of the parameters takes nothing else."""
    if any(isinstance(p.type, click.Path) and not p.type.file_okay for p in parameters):
        path.mkdir()
    else:
        path.write_text("precious")


@pytest.mark.parametrize("how", ["same", "symbolic link", "hard link", "case", "roundabout"])
@pytest.mark.parametrize(("name", "output", "other"), READ_AND_WRITE)
def test_no_output_is_an_input_or_another_output(
    name: str, output: str, other: str, how: str, tmp_path: Path
) -> None:
    command = COMMANDS[name]
    both = [p for p in command.params if p.name in (output, other)]
    there, written = tmp_path / "precious.mp4", tmp_path / "written.mp4"
    make(both, there)
    if how == "same":
        written = there
    elif how == "symbolic link":
        written.symlink_to(there)
    elif how == "hard link":
        if there.is_dir():
            return  # there are none to folders
        os.link(there, written)
    elif how == "case":
        written = tmp_path / "Precious.MP4"
        if any(isinstance(p.type, click.Path) and p.type.exists for p in both if p.name == output):
            return
    else:
        written = tmp_path / ".." / tmp_path.name / "precious.mp4"
    line = arguments(command, {other: str(there), output: str(written)}, tmp_path)
    before = sorted((p, p.stat().st_size) for p in tmp_path.rglob("*"))
    with pytest.raises(BadInput, match=r"(itself|as well); choose another (--|OUT)"):
        command.main(line, prog_name=name, standalone_mode=False)
    assert sorted((p, p.stat().st_size) for p in tmp_path.rglob("*")) == before


def test_files_in_an_input_are_not_replaced(tmp_path: Path) -> None:
    build, inside = tmp_path / "build", tmp_path / "build" / "mel" / "x.npz"
    inside.parent.mkdir(parents=True)
    inside.touch()
    (build / "manifest.jsonl").touch()
    link = tmp_path / "link.npz"
    link.symlink_to(inside)
    for manifest in (build, build / "manifest.jsonl"):
        for out in (inside, link, build / "manifest.jsonl"):
            with pytest.raises(BadInput, match=r"(is a file of --manifest|itself)"):
                check_outputs({"--manifest": manifest}, {"--out": out})
        check_outputs({"--manifest": manifest}, {"--out": build / "new.npz", "--csv": None})
        check_outputs({"--manifest": manifest}, {"--out": build / "mel"})


def test_different_files_are_different(tmp_path: Path) -> None:
    one, two = tmp_path / "a.mp4", tmp_path / "b.mp4"
    one.touch()
    check_outputs({"VIDEO": one, "--face": None, "--from": [one, one]}, {"--out": two})
    two.touch()
    check_outputs({"VIDEO": one}, {"--out": two, "--wav": tmp_path / "c.wav"})


def test_files_named_in_texts_count(tmp_path: Path) -> None:
    precious = tmp_path / "weights.mp4"
    precious.touch()
    command = COMMANDS["facetron speak"]
    with pytest.raises(BadInput, match=r"--landmark-option .* itself"):
        command.main(
            ["x.mpg", "--out", str(precious), "--landmark-option", f"fan_weights={precious}"],
            standalone_mode=False,
        )
    command = COMMANDS["facetron synthesize"]
    line = ["--manifest", "m", "--checkpoint", "c", "--face", f"image:{precious}"]
    with pytest.raises(BadInput, match=r"--face .* itself"):
        command.main([*line, "--out", str(precious)], standalone_mode=False)


def test_accents_composed_either_way_are_one_name(tmp_path: Path) -> None:
    (tmp_path / "Gru\u0308n.mp4").touch()
    with pytest.raises(BadInput, match="itself"):
        check_outputs({"VIDEO": tmp_path / "Gru\u0308n.mp4"}, {"--out": tmp_path / "Gr\u00fcn.mp4"})
