"""How a corpus's state grows: rows planned, merged out of shards, listed and split, simulated.

Nothing is decoded: a clip is a row of state, an empty video and files of features of a few bytes. Each
measurement runs in a process of its own, whose processor time and peak of memory are its own. The
straight line through the sizes says what more clips need.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.children import peak_mb
from gridprep.pipeline.merge import merge as merge_shards
from gridprep.pipeline.planning import plan
from gridprep.pipeline.recipe import ALL_STAGES, Recipe, expected_keys
from gridprep.pipeline.run import write_manifest
from gridprep.pipeline.selection import BuildOptions, checked, select
from gridprep.pipeline.state import Artifact, ClipState, StageState, StateStore, stamp
from manifests.console import format_table
from manifests.corpus_lists import SPEAKERS, expected_stems_of
from manifests.grammar import words_of
from manifests.io import sha256_file
from manifests.manifest import Manifest
from manifests.records import Clip
from manifests.shards import Shard

SIZES = (8_000, 16_000, 32_870)
SHARDS = 4
STEPS = ("plan", "merge", "list", "split")
MILLION = 1_000_000
FILES = {
    "audio": {"audio": ".wav"},
    "align": {"landmarks": ".npz"},
    "crop": {"lips": ".avi", "face": ".jpg"},
    "mels": {"mel": ".npy", "prosody": ".npz"},
}
QC = {f"measure_{i}": 0.123 + i for i in range(24)}
"""As many numbers as a real row has."""
CONTENT = b"x" * 16


def growth(corpus: Path, clips: int, scratch: Path) -> str:
    """Seconds of processor and peak memory of each step at several sizes, per 10,000 clips, and for a
    million."""
    del corpus, clips
    seconds: dict[str, list[float]] = {step: [] for step in STEPS}
    peaks: dict[str, list[float]] = {step: [] for step in STEPS}
    for count in SIZES:
        folder = scratch / f"growth{count}"
        _in_process("simulate", folder, count)
        for step in STEPS:
            used_s, peak_mb = _in_process(step, folder, count)
            seconds[step].append(used_s)
            peaks[step].append(peak_mb)
        shutil.rmtree(folder)
    rows = []
    for step in STEPS:
        slope_s, _ = np.polyfit(SIZES, seconds[step], 1)
        slope_mb, base_mb = np.polyfit(SIZES, peaks[step], 1)
        rows.append(
            (
                step,
                " / ".join(f"{value:.1f}" for value in seconds[step]),
                f"{1e4 * slope_s:.1f}",
                " / ".join(f"{value:.0f}" for value in peaks[step]),
                f"{1e4 * slope_mb:.0f}",
                f"{MILLION * slope_s / 60:.0f}",
                f"{(base_mb + MILLION * slope_mb) / 1e3:.1f}",
            )
        )
    sizes = " / ".join(f"{count:,}" for count in SIZES)
    return format_table(
        (
            "step",
            f"CPU s at {sizes} clips",
            "s per 10,000",
            "peak MB",
            "MB per 10,000",
            "CPU min of 1 M",
            "GB of 1 M",
        ),
        rows,
    )


def _in_process(step: str, folder: Path, count: int) -> tuple[float, float]:
    """(seconds of processor, peak of memory in MB) of a step."""
    code = f"from benchmarks.growth import measured; measured({step!r}, {str(folder)!r}, {count})"
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    used_s, peak_mb = json.loads(printed.splitlines()[-1])
    return float(used_s), float(peak_mb)


def measured(step: str, folder: str, count: int) -> None:
    """Runs a step and prints its seconds of processor, system calls included, and its peak of memory."""
    import torch  # noqa: F401  (loaded here, so that no step pays for it)

    work = {"simulate": simulate, "plan": planned, "merge": merged, "list": listed, "split": split}
    before_s = time.process_time()
    found = work[step](Path(folder), count)
    used_s = time.process_time() - before_s
    if found != count:
        raise RuntimeError(f"{step}: {found} of {count} clips")
    print(json.dumps([used_s, peak_mb()]))


def _options(folder: Path, out: str, shard: str = "") -> BuildOptions:
    return checked(
        BuildOptions(
            corpus=str(folder / "corpus"),
            out=str(folder / out),
            recipe=Recipe(content="off"),
            split="all-seen",
            shard=shard,
        )
    )


def simulate(folder: Path, count: int, of_speaker: int = 1_000) -> int:
    """Makes a corpus of empty videos, at most so many of a speaker, and finished builds of its shards."""
    names = [(s, stem) for s in SPEAKERS for stem in expected_stems_of(s)[:of_speaker]][:count]
    for speaker, stem in names:
        for path in (
            folder / "corpus" / speaker / f"{stem}.mpg",
            folder / "corpus" / "alignments" / speaker / f"{stem}.align",
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    for number in range(1, SHARDS + 1):
        shard = f"{number}/{SHARDS}"
        options = _options(folder, f"parts/{number}", shard)
        selection = select(options)
        parameters = options.recipe.stage_parameters()
        with StateStore(options.out) as store:
            store.put_all(
                (clip.clip_id, _state(clip, options.out, parameters)) for clip in selection.clips
            )
            report = write_manifest(options, selection, store, {}, 0, time.monotonic())
        if report.rows != sum(Shard.parse(shard).holds(f"{s}/{stem}") for s, stem in names):
            raise RuntimeError(f"shard {shard} has {report.rows} rows: {report.failures[:1]}")
    return count


def _state(clip: Clip, out: str, parameters: dict[str, str]) -> ClipState:
    """The state of a finished clip, and its files."""
    state = ClipState(stamp(clip.video), stamp(clip.alignment))
    keys = expected_keys(state, clip, parameters)
    digest = _digest(out)
    words = [
        {
            "word": word,
            "start_s": 0.4 * i,
            "end_s": 0.4 * (i + 1),
            "start_frame": 10 * i,
            "end_frame": 10 * (i + 1),
        }
        for i, word in enumerate(words_of(clip.stem))
    ]
    data = {
        "alignment": {"words": words},
        "audio": {"samples": 48_000, "samples_added": 352},
        "crop": {"video_frames": 75, "qc": QC},
        "mels": {"mel_frames": 150},
    }
    for stage in ALL_STAGES:
        files = {}
        for name, suffix in FILES.get(stage, {}).items():
            path = f"{name}/{clip.clip_id}{suffix}"
            full = Path(out) / path
            full.parent.mkdir(parents=True, exist_ok=True)
            full.write_bytes(CONTENT)
            files[name] = Artifact(path, len(CONTENT), digest)
        state.stages[stage] = StageState(keys[stage], files, data.get(stage, {}))
    return state


def _digest(out: str) -> str:
    file = Path(out) / ".state" / "content"
    if not file.exists():
        file.write_bytes(CONTENT)
    return sha256_file(file)


def planned(folder: Path, count: int) -> int:
    """Plans a build of every shard that has nothing to do; the clips that are up to date."""
    del count
    current = 0
    for number in range(1, SHARDS + 1):
        options = _options(folder, f"parts/{number}", f"{number}/{SHARDS}")
        with StateStore(options.out) as store:
            current += plan(options, select(options).clips, store).current
    return current


def merged(folder: Path, count: int) -> int:
    """Merges the shards; the rows of the one build."""
    del count
    return merge_shards(folder / "merged", sorted((folder / "parts").iterdir())).rows


def listed(folder: Path, count: int) -> int:
    """Reads the manifest of the merged build."""
    del count
    return len(Manifest(folder / "merged"))


def split(folder: Path, count: int) -> int:
    """Gives the clips of the merged build the subsets of a frozen split."""
    del count
    return len(Manifest(folder / "merged").where(split="all-seen"))
