"""`gridprep build` beside a script as one writes it in an afternoon (`naive_script`), in one run.

The script runs in this Python, or in the one that the environment variable NAIVE_PYTHON names: one with
`mediapipe==0.10.21`, `av` and `librosa` runs MediaPipe's own FaceMesh, as such scripts do.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from gridprep.pipeline.run import run
from gridprep.pipeline.selection import BuildOptions, select
from manifests.console import format_table
from manifests.errors import ToolkitError

CLIPS = 140
JOBS = 2
ROUNDS = 2


class Spent(NamedTuple):
    """Seconds of a process and of all that it started."""

    wall_s: float
    cpu_s: float


def _spent(command: list[str]) -> tuple[Spent, str]:
    """Runs a command; (its times, what it printed)."""

    def cpu_s() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    root = Path(__file__).resolve().parent.parent
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    before_s, started_s = cpu_s(), time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        raise ToolkitError(f"{' '.join(command[:2])} failed: {last}", "run it by hand")
    return Spent(time.monotonic() - started_s, cpu_s() - before_s), done.stdout.strip()


def build(corpus: str, out: str, listed: str) -> None:
    """Builds the clips whose identifiers a file lists; run in a process of its own."""
    only = tuple(Path(listed).read_text(encoding="utf-8").splitlines())
    report = run(BuildOptions(corpus=corpus, out=out, split="", only=only, jobs=JOBS))
    print(report.rows)


def naive(corpus: Path, clips: int, scratch: Path) -> str:
    """Both in turn, start included, two workers each; ratios by wall clock and by processor time, which
    other work on the machine disturbs less."""
    found = select(BuildOptions(corpus=str(corpus), out=str(scratch / "none"))).clips
    # The clips as GRID distributes them, where there are any.
    chosen = [clip for clip in found if clip.video.endswith(".mpg")] or list(found)
    count = min(clips, CLIPS, len(chosen))
    chosen = [chosen[i * len(chosen) // count] for i in range(count)]
    videos, names = scratch / "videos.txt", scratch / "clips.txt"
    videos.write_text("\n".join(clip.video for clip in chosen), encoding="utf-8")
    names.write_text("\n".join(clip.clip_id for clip in chosen), encoding="utf-8")
    script = str(Path(__file__).with_name("naive_script.py"))
    python = os.environ.get("NAIVE_PYTHON", sys.executable)
    ours: list[Spent] = []
    theirs: list[Spent] = []
    network = ""
    for number in range(ROUNDS):
        folder = scratch / f"naive{number}"
        folder.mkdir()
        spent, network = _spent([python, script, str(videos), str(folder), str(JOBS)])
        theirs.append(spent)
        arguments = (str(corpus), str(scratch / f"build{number}"), str(names))
        code = f"from benchmarks.naive_speed import build; build(*{arguments!r})"
        spent, rows = _spent([sys.executable, "-c", code])
        ours.append(spent)
        if int(rows.split()[-1]) < 0.9 * len(chosen):
            raise ToolkitError(
                f"only {rows} of {len(chosen)} clips were built", "look at the clips"
            )
    rows_ = []
    best = {
        name: Spent(min(s.wall_s for s in all_), min(s.cpu_s for s in all_))
        for name, all_ in (("naive script", theirs), ("gridprep build", ours))
    }
    for name, spent in best.items():
        other = best["naive script"]
        rows_.append(
            (
                name,
                f"{len(chosen) / spent.wall_s:.2f}",
                f"{other.wall_s / spent.wall_s:.2f}×",
                f"{spent.cpu_s / len(chosen) * 1e3:.0f}",
                f"{other.cpu_s / spent.cpu_s:.2f}×",
            )
        )
    head = ("what", "clips/s", "of naive", "CPU ms a clip", "of naive by CPU")
    return format_table(head, rows_) + (
        f"\n{len(chosen)} clips, {JOBS} workers each, start included, the better of {ROUNDS} runs in turn; "
        f"landmarks of the script: {network.rsplit(maxsplit=1)[0]}"
    )
