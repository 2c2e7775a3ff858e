"""Memory of planning and merging hardly grows with the clips: some bytes of each, not their names."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from benchmarks import growth
from gridprep.pipeline import run
from gridprep.pipeline.planning import plan
from gridprep.pipeline.selection import BuildOptions, select
from gridprep.pipeline.state import StateStore
from manifests.corpus_lists import SPEAKERS, expected_stems_of

MOST_BYTES_A_CLIP = 150


OF_SPEAKER = 120
"""Clips of one speaker are in memory at once."""


def planned_bytes(folder: Path, speakers: Sequence[str]) -> int:
    """Peak of memory of planning a build of which nothing is there, its tasks made one by one."""
    for speaker in speakers:
        for stem in expected_stems_of(speaker)[:OF_SPEAKER]:
            for path in (f"{speaker}/{stem}.mpg", f"alignments/{speaker}/{stem}.align"):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).touch()
    options = BuildOptions(str(folder), str(folder / "out"), corpus_kind="grid", split="all-seen")
    with StateStore(options.out) as store:
        gc.collect()
        tracemalloc.start()
        try:
            tasks = plan(options, select(options).clips, store).tasks
            assert sum(task.remembered == "" for task in tasks) == OF_SPEAKER * len(speakers)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def test_planning_takes_some_bytes_a_clip(tmp_path: Path) -> None:
    planned_bytes(tmp_path / "warm", SPEAKERS[:1])  # lists of clips are read once
    few = planned_bytes(tmp_path / "few", SPEAKERS[:4])
    many = planned_bytes(tmp_path / "many", SPEAKERS[:32])
    assert many - few < MOST_BYTES_A_CLIP * OF_SPEAKER * (32 - 4)


def test_merging_holds_some_bytes_a_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []

    def noted(store: StateStore, clip_ids: Iterable[str]) -> None:
        if tracemalloc.is_tracing():
            gc.collect()
            # The table of all interned names grows at times, wherever pathlib adds one.
            others = tracemalloc.Filter(False, "*pathlib*")
            memory = tracemalloc.take_snapshot().filter_traces([others]).statistics("filename")
            held.append(sum(of_file.size for of_file in memory))
        original(store, clip_ids)

    def merged_bytes(count: int) -> int:
        folder = tmp_path / str(count)
        growth.simulate(folder, count, of_speaker=30)
        gc.collect()
        tracemalloc.start()
        try:
            assert growth.merged(folder, count) == count
        finally:
            tracemalloc.stop()
        return held.pop()

    original = StateStore.set_listed
    monkeypatch.setattr(StateStore, "set_listed", noted)
    monkeypatch.setattr(run, "BATCH", 20)
    merged_bytes(60)
    few, many = merged_bytes(240), merged_bytes(960)
    assert many - few < MOST_BYTES_A_CLIP * (960 - 240)
