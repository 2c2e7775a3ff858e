"""How many clips of lips a core prepares per second for training at the paper's size, and the floor:
decoding their JPEG pictures alone.

Processor time of one process is counted, not time on the wall, so that a busy machine tells nearly the
same as an idle one.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import torch

from facetron.model.sizes import PAPER, SMALL
from facetron.train.batches import to_model
from facetron.train.config import DEFAULTS
from facetron.train.dataset import ClipDataset, collate
from gridprep.pipeline.recipe import Recipe
from gridprep.pipeline.run import run as run_build
from gridprep.pipeline.selection import BuildOptions, with_versions
from manifests.console import format_table

ROUNDS = 3
CLIPS = 8
BAR = 45.0
"""Clips of lips per second and core that keep a GPU busy at the paper's size."""


def loader(corpus: Path, clips: int, scratch: Path) -> str:
    """Clips per second of one core, by what is done to them."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        build = Path(folder) / "build"
        recipe = with_versions(Recipe())
        options = BuildOptions(
            str(corpus), str(build), recipe, split="all-seen", limit=min(clips, CLIPS)
        )
        run_build(options)
        return measured(build)


def measured(build: Path) -> str:
    """The table for a build."""
    how = DEFAULTS["lip"].augment
    plain = ClipDataset(build, "all", ("lips",), PAPER)
    varied = ClipDataset(build, "all", ("lips",), PAPER, how)
    later = ClipDataset(build, "all", ("lips",), PAPER, how, vary_later=True)
    small = ClipDataset(build, "all", ("lips",), SMALL, how)
    n = len(plain)
    batch = [varied[number] for number in range(n)]
    steps: list[tuple[str, Callable[[], object]]] = [
        ("JPEG decoded (the floor)", lambda: [row.lips() for row in plain.rows]),
        ("paper: as stored", lambda: [plain[i] for i in range(n)]),
        ("paper: varied on the CPU", lambda: [varied[i] for i in range(n)]),
        ("paper: varied later, on a GPU", lambda: [later[i] for i in range(n)]),
        ("paper: a batch put together", lambda: collate(batch)),
        ("paper: bytes to numbers", lambda: to_model(collate(batch)["lips"])),
        ("small: 56² gray, varied", lambda: [small[i] for i in range(n)]),
    ]
    rows = []
    for name, step in steps:
        per_s = n / statistics.median(_cpu_s(step) for _ in range(ROUNDS))
        rows.append((name, f"{1000 / per_s:.1f}", f"{per_s:.0f}"))
    whole = n / statistics.median(
        _cpu_s(lambda: collate([later[i] for i in range(n)])) for _ in range(ROUNDS)
    )
    verdict = "reached" if whole >= BAR else "missed"
    return "\n".join(
        [
            format_table(("per clip of 75 frames", "CPU ms", "clips/s/core"), rows),
            f"For a GPU a core prepares {whole:.0f} clips per second; the bar of {BAR:.0f} is {verdict}.",
        ]
    )


def _cpu_s(step: Callable[[], object]) -> float:
    begun_s = time.process_time()
    step()
    return time.process_time() - begun_s
