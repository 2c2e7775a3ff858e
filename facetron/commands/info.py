"""`facetron info`: what a config amounts to, beside the paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from manifests.console import format_table
from manifests.specs import CLIP_FRAMES

if TYPE_CHECKING:
    from facetron.model.config import ModelConfig
    from facetron.model.inventory import ModuleRow, Shape


COLUMNS = ("module", "input", "output", "M parameters", "GFLOP a clip", "planned M", "GFLOP")


@click.command()
@click.option("--size", default=None, help="paper (the default), small or debug.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="YAML file of options.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Such as vocoder=v3.")
@click.option("--yaml", "as_yaml", is_flag=True, help="Print the whole config instead, as YAML.")
def info(size: str | None, file: Path | None, sets: tuple[str, ...], as_yaml: bool) -> None:
    """Modules, shapes, parameters and GFLOP of a clip of 3 s, beside what the paper says."""
    # `facetron --help` imports every command and must wait neither for SciPy nor for PyTorch.
    from facetron import options
    from facetron.model.sizes import model_config

    config = model_config(size, file, sets)
    if as_yaml:
        click.echo(options.to_yaml(config), nl=False)
        return
    from facetron.model.inventory import PAPER_SAYS, PLANNED, SPEAKING, inventory

    rows = inventory(config)
    click.echo(_heading(config))
    click.echo()
    speaking = [row for row in rows if row.name in SPEAKING]
    millions = _millions(sum(row.parameters for row in speaking))
    total = (
        "all that speaks",
        "",
        "",
        millions,
        f"{sum(row.gflop for row in speaking):.2f}",
        "",
        "",
    )
    shown = len(COLUMNS) if any(row.planned for row in rows) else len(COLUMNS) - 2
    table = [*map(_cells, rows), total]
    click.echo(format_table(COLUMNS[:shown], [cells[:shown] for cells in table]))
    click.echo()
    click.echo("The paper says (and gives no counts):")
    for row in rows:
        click.echo(f"  {row.name}: {PAPER_SAYS[row.name]}")
    notes = [(row.name, PLANNED[row.name][2]) for row in rows if row.planned]
    notes = [(name, note) for name, note in notes if note]
    if notes:
        click.echo()
        click.echo("Where a count is not the planned one:")
        for name, note in notes:
            click.echo(f"  {name}: {note}")


def _heading(config: ModelConfig) -> str:
    spec = config.mel_spec
    frames = CLIP_FRAMES * config.decoder.upsampling
    return (
        f"{config.size}: {CLIP_FRAMES} frames of lips and one face → {frames} mel frames → "
        f"{frames * spec.hop_samples} samples at {spec.sample_rate_hz} Hz"
    )


def _cells(row: ModuleRow) -> tuple[str, ...]:
    planned = (f"{row.planned[0]:g}", f"{row.planned[1]:g}") if row.planned else ("", "")
    return (
        row.name,
        _shapes(row.input_shapes),
        _shapes(row.output_shapes),
        _millions(row.parameters),
        f"{row.gflop:.2f}",
        *planned,
    )


def _shapes(shapes: tuple[Shape, ...]) -> str:
    return ", ".join("×".join(map(str, shape)) for shape in shapes)


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.2f}"
