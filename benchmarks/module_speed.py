"""Speed of each part of the model and of the whole, as ratios to eager float32 with one clip at a
time on one core."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.children import Start, run
from benchmarks.module_subjects import Subject, subjects
from facetron.model.sizes import SIZES
from manifests.console import format_table
from manifests.specs import CLIP_FRAMES, VIDEO_FPS

CLIP_S = CLIP_FRAMES / VIDEO_FPS
COMPILED = ("lip encoder", "decoder", "vocoder")
"""`torch.compile` gets these, for so many seconds:"""
COMPILE_S = 120.0


@dataclass(frozen=True)
class Variant:
    """A way to run a part. Without `inference` PyTorch keeps what a backward pass would need."""

    name: str
    batch: int = 1
    inference: bool = True
    threads: int = 1
    half: bool = False
    compiled: bool = False


EAGER = Variant("eager", inference=False)
INFERENCE = Variant("inference")
THREADS = Variant("2 threads", threads=2)
BATCH_8 = Variant("batch 8", 8)
BATCH_16 = Variant("batch 16", 16)
HALF = Variant("bf16, 8", 8, half=True)
COMPILE = Variant("compiled, 8", 8, compiled=True)
PROCESSES = "2 processes, 8"

VARIANTS = (EAGER, INFERENCE, THREADS, BATCH_8, BATCH_16, HALF)

Rates = dict[tuple[str, str], float]
"""(part, variant) → clips a second."""


def rates(
    start: Start,
    size: str,
    device: str,
    names: Sequence[str],
    variants: Sequence[Variant],
    seconds: float,
) -> Iterator[tuple[str, str, float]]:
    """Yields part, variant and clips a second, each measured for some seconds; run by
    `benchmarks.children`. Parts without a variant yield nothing for it."""
    where = torch.device(device)
    parts = subjects(SIZES[size])
    for name in names or list(parts):
        part = parts[name]
        if part.module is not None:
            part.module.to(where)
        elif where.type != "cpu":
            continue  # computes on the CPU whatever there is
        for variant in variants:
            if _applies(part, variant):
                start()
                yield name, variant.name, rate(part, variant, where, seconds)


def _applies(part: Subject, variant: Variant) -> bool:
    if part.module is None and (variant.half or variant.compiled or variant.threads > 1):
        return False
    if part.module is None and variant == INFERENCE:
        return False
    return part.batches or variant.batch == 1


def rate(part: Subject, variant: Variant, where: torch.device, seconds: float) -> float:
    """Clips a second: the median of at least three runs (one, of no seconds), after one that is not
    counted."""
    torch.set_num_threads(variant.threads)
    inputs = part.inputs(variant.batch, where)
    called = torch.compile(part.module) if variant.compiled and part.module else part.run
    spent_s: list[float] = []
    least = 3 if seconds else 1
    with ExitStack() as modes:
        modes.enter_context(torch.inference_mode(variant.inference))
        modes.enter_context(torch.autocast(where.type, torch.bfloat16, enabled=variant.half))
        called(*inputs)
        _finish(where)
        while len(spent_s) < least or sum(spent_s) < seconds:
            started_s = time.perf_counter()
            called(*inputs)
            _finish(where)
            spent_s.append(time.perf_counter() - started_s)
    return variant.batch / median(spent_s)


def _finish(where: torch.device) -> None:
    if where.type == "cuda":
        torch.cuda.synchronize(where)


def compiled_rates(
    start: Start, size: str, device: str, names: Sequence[str], seconds: float, cache: str
) -> Iterator[tuple[str, str, float]]:
    """Returns the same as `rates` for the module compiled by `torch.compile`."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
    yield from rates(start, size, device, names, (COMPILE,), seconds)


def modules(
    corpus: Path, clips: int, scratch: Path, seconds: float = 1.0, sizes: Sequence[str] = ()
) -> str:
    """A table of all parts at `small`, one of the modules at `paper`, and both on CUDA if there is
    any."""
    del corpus, clips
    texts = []
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        for size in sizes or ("small", "paper"):
            whole = size != "paper" or device == "cuda"
            texts.append(_table(size, device, whole, seconds, scratch))
    return "\n\n".join(texts)


def _table(size: str, device: str, whole: bool, seconds: float, scratch: Path) -> str:
    variants: tuple[Variant, ...] = VARIANTS if whole else (EAGER, INFERENCE, THREADS)
    if device == "cuda":
        variants = tuple(v for v in variants if v != THREADS)
    names = () if size != "paper" else (*COMPILED, "face encoder", "lips to wave")
    found: Rates = {}
    notes = []
    done = run(rates, size, device, names, variants, seconds, limit_s=1800.0)
    found |= _by_name(done.rows[0])
    columns = [variant.name for variant in variants[1:]]
    if done.stopped:
        notes.append(f"stopped: {done.stopped}")
    if whole:
        columns.append(COMPILE.name)
        notes += _compile(size, device, seconds, scratch, found)
    if whole and device == "cpu":
        columns.append(PROCESSES)
        notes += _processes(size, names, seconds, found)
    head = f"{size} on {device if device == 'cpu' else torch.cuda.get_device_name()}"
    return "\n".join([head, _printed(found, columns), *notes])


def _compile(size: str, device: str, seconds: float, scratch: Path, found: Rates) -> list[str]:
    if not shutil.which(os.environ.get("CXX", "g++")):
        return ["compiled: no C++ compiler here"]
    cache = str(scratch / "inductor")
    done = run(compiled_rates, size, device, COMPILED, seconds, cache, limit_s=COMPILE_S)
    found |= _by_name(done.rows[0])
    return [f"compiled: {done.stopped}"] if done.stopped else []


def _processes(size: str, names: Sequence[str], seconds: float, found: Rates) -> list[str]:
    """Two at once, each on a core of its own: clips a second of both together."""
    for variant in (BATCH_8, EAGER):
        wanted = [name for name, its in found if its == variant.name and name not in names]
        if variant == EAGER:  # what knows no batches
            wanted = [n for n in wanted if (n, BATCH_8.name) not in found]
        done = run(rates, size, "cpu", wanted, (variant,), seconds, copies=2)
        for one, other in zip(*done.rows, strict=False):
            found[one[0], PROCESSES] = one[2] + other[2]
        if done.stopped:
            return [f"{PROCESSES}: {done.stopped}"]
    return []


def _by_name(rows: Sequence[tuple[str, str, float]]) -> Rates:
    return {(name, variant): clips_per_s for name, variant, clips_per_s in rows}


def _printed(found: Rates, columns: Sequence[str]) -> str:
    rows: list[tuple[Any, ...]] = []
    for name in dict.fromkeys(name for name, _ in found):
        base = found[name, EAGER.name]
        best = max(rate for (part, _), rate in found.items() if part == name)
        ratios = [
            f"{found[name, column] / base:.2f}×" if (name, column) in found else "–"
            for column in columns
        ]
        rows.append((name, f"{base:.1f}", _factor(base), *ratios, f"{best:.1f}", _factor(best)))
    return format_table(
        ("part", "clips/s", "real-time factor", *columns, "best clips/s", "best factor"), rows
    ) + (
        "\nratios of clips a second to eager float32, one clip at a time, one core; real-time "
        f"factor: seconds of work a second of speech ({CLIP_S:g} s clips), less is faster"
    )


def _factor(clips_per_s: float) -> str:
    return f"{1 / (clips_per_s * CLIP_S):.4f}"
