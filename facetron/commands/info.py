"""`facetron info`: modules, shapes, parameters and GFLOP of a system, compared with its paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from facetron import systems
from facetron.commands.options import config_option, set_option, size_option
from manifests.console import format_table
from manifests.outputs import Command
from manifests.specs import CLIP_SECONDS

if TYPE_CHECKING:
    from facetron.inventory import ModuleRow, Shape
    from facetron.systems import PainterConfig, System, SystemConfig


COLUMNS = ("module", "input", "output", "M parameters", "GFLOP per clip", "planned M", "GFLOP")


@click.command(cls=Command)
@click.option(
    "--system", default=systems.DEFAULT, show_default=True, help="Name of the system to describe."
)
@size_option
@config_option
@set_option("vocoder=v3")
@click.option("--yaml", "as_yaml", is_flag=True, help="Print the whole config as YAML instead.")
def info(
    system: str, size: str | None, file: Path | None, sets: tuple[str, ...], as_yaml: bool
) -> None:
    """Prints the modules of a system with shapes, parameters and GFLOP for a clip of 3 s.

    Adds what the paper says about each module and where this config departs from the paper, with what
    its trainings add: options are those of `facetron train`.
    """
    # `facetron --help` imports every command and must wait neither for SciPy nor for PyTorch.
    from facetron import options
    from facetron.train.config import additions, train_config

    chosen = systems.get(system)
    config, _ = train_config(next(iter(chosen.stages)), size, file, sets, system)
    if as_yaml:
        click.echo(options.to_yaml(config), nl=False)
        return
    from facetron.inventory import inventory

    rows = inventory(chosen.modules(config))
    added = [f"not in the paper: {line}" for line in additions(system, size, file, sets)]
    for line in _lines(chosen, config, rows, added):
        click.echo(line)


def _lines(
    system: System, config: SystemConfig, rows: list[ModuleRow], added: list[str]
) -> list[str]:
    speaking = [row for row in rows if row.entry.speaks]
    millions = _millions(sum(row.parameters for row in speaking))
    gflop = f"{sum(row.gflop for row in speaking):.2f}"
    total = ("total for synthesis", "", "", millions, gflop, "", "")
    shown = len(COLUMNS) if any(row.entry.planned for row in rows) else len(COLUMNS) - 2
    table = [cells[:shown] for cells in (*map(_cells, rows), total)]
    lines = [_heading(system, config), "", format_table(COLUMNS[:shown], table)]
    lines += ["", f"{system.source}, says (and gives no counts):"]
    lines += [f"  {row.name}: {row.entry.says}" for row in rows]
    notes = [f"  {row.name}: {row.entry.note}" for row in rows if row.entry.note]
    if notes:
        lines += ["", "Counts that differ from the planned ones:", *notes]
    departures = [*added, *system.departures_of(config)]
    if departures:
        variant = "" if config.size == "paper" else f" ({config.size} is a small variant of it)"
        lines += ["", f"Departures from the paper{variant}:"]
        lines += [f"  {line}" for line in departures]
    return lines


def _heading(system: System, config: SystemConfig) -> str:
    spec = config.mel_spec
    if system.painter:
        drawing = cast("PainterConfig", config)
        heard = f"{drawing.heard_s:g} s of speech at {spec.sample_rate_hz} Hz"
        side = drawing.picture_px
        return f"{system.label}, {config.size}: {heard} → a face of {side} × {side} pixels"
    frames = round(CLIP_SECONDS * spec.frame_rate_hz)
    return (
        f"{system.label}, {config.size}: {CLIP_SECONDS:g} s of silent video → {frames} mel frames → "
        f"{frames * spec.hop_samples} samples at {spec.sample_rate_hz} Hz"
    )


def _cells(row: ModuleRow) -> tuple[str, ...]:
    planned = row.entry.planned
    return (
        row.name,
        _shapes(row.entry.shapes),
        _shapes(row.output_shapes),
        _millions(row.parameters),
        f"{row.gflop:.2f}",
        *((f"{planned[0]:g}", f"{planned[1]:g}") if planned else ("", "")),
    )


def _shapes(shapes: Sequence[Shape]) -> str:
    return ", ".join("×".join(map(str, shape)) for shape in shapes)


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.2f}"
