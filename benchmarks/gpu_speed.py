"""Throughput of a training step of every stage.

python -m benchmarks.gpu_speed --size paper --device cuda
"""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.training_speed import training
from manifests.console import run as run_program

EVERY = ("lip", "prosody", "face", "decoder", "vocoder", "joint")


@click.command()
@click.option("--size", default="paper", show_default=True, help="Size of the model.")
@click.option("--device", default="cuda", show_default=True, help="cpu or cuda.")
@click.option("--batch", default=16, show_default=True, help="Clips per step.")
@click.option("--times", default=5, show_default=True, help="Steps that are timed.")
def main(size: str, device: str, batch: int, times: int) -> None:
    """Prints seconds a step, milliseconds a clip and memory, stage by stage. Nothing is read from disk."""
    nowhere = Path()
    click.echo(training(nowhere, 0, nowhere, {size: (batch,)}, times, EVERY, (device,)))


if __name__ == "__main__":
    run_program(main, "gpu_speed")
