"""`make bench`: every measurement, one after the other, as tables.

    python -m benchmarks [--corpus FOLDER] [--clips N] [--only NAME …]

The entries from `modules` on measure the model: its parts, `facetron speak`, long clips, training steps;
on CUDA too where there is any. Take them on a machine that does nothing else.

Ratios within a run travel between machines; absolute times do not, and are printed beside them only to
be read on the same machine. Without --corpus the real clips beside the repository are taken
(`GRIDPREP_REAL_DATA`), and without those a SynthGRID made for the purpose.
"""

from __future__ import annotations

import importlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

from benchmarks import (
    build_speed,
    crop_formats,
    growth,
    landmark_backends,
    landmark_steps,
    scoring,
)
from manifests.console import run as run_program
from manifests.cpus import available_cpus
from manifests.errors import BadInput


def _late(module: str, function: str) -> Callable[[Path, int, Path], str]:
    """A measurement that imports PyTorch: not before it runs, for the processes of a build, whose
    memory is measured, import this file."""

    def measure(corpus: Path, clips: int, scratch: Path) -> str:
        found = getattr(importlib.import_module(f"benchmarks.{module}"), function)
        return str(found(corpus, clips, scratch))

    return measure


MEASUREMENTS: dict[str, Callable[[Path, int, Path], str]] = {
    "stages": build_speed.stages,
    "workers": build_speed.workers,
    "unchanged": build_speed.unchanged,
    "growth": lambda *given: f"{build_speed.growth(*given)}\n\n{growth.growth(*given)}",
    "naive": _late("naive_speed", "naive"),
    "landmark-steps": landmark_steps.table,
    "landmark-backends": landmark_backends.table,
    "crop-formats": crop_formats.table,
    "scoring": scoring.scoring,
    "modules": _late("module_speed", "modules"),
    "speak": _late("speaking_speed", "speak"),
    "clip-length": _late("speaking_speed", "clip_length"),
    "loader": _late("loader_speed", "loader"),
    "training": _late("training_speed", "training"),
}


def find_corpus(given: Path | None, scratch: Path) -> Path:
    """The corpus to measure on: as given, the real clips, or a SynthGRID made here."""
    if given is not None:
        return given
    root = Path(__file__).resolve().parent.parent
    real = Path(os.environ.get("GRIDPREP_REAL_DATA", root.parent / "shared/data/grid"))
    if real.is_dir():
        return real
    from gridprep.synth.corpus import make_corpus

    corpus = scratch / "synth"
    make_corpus(corpus, speakers=("s1", "s4", "s10", "s18"), sentences=30, seed=0, jobs=2)
    return corpus


@click.command()
@click.option("--corpus", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--clips", default=160, show_default=True, help="Clips of each build.")
@click.option("--only", multiple=True, help=f"Some of: {', '.join(MEASUREMENTS)}.")
def main(corpus: Path | None, clips: int, only: tuple[str, ...]) -> None:
    """Measures, and prints tables."""
    unknown = set(only) - set(MEASUREMENTS)
    if unknown:
        raise BadInput(f"no measurement {sorted(unknown)}", f"use {', '.join(MEASUREMENTS)}")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        scratch = Path(folder)
        source = find_corpus(corpus, scratch)
        click.echo(
            f"corpus: {source.name}, {available_cpus()} cores, load {os.getloadavg()[0]:.2f}"
        )
        for name, measure in MEASUREMENTS.items():
            if only and name not in only:
                continue
            started_s = time.monotonic()
            text = measure(source, clips, scratch)
            click.echo(f"\n## {name} ({time.monotonic() - started_s:.0f} s)\n{text}")


if __name__ == "__main__":
    run_program(main, "benchmarks")  # type: ignore[arg-type]
