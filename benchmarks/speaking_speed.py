"""Measures the time that `facetron speak` takes on a clip, and the cost of longer clips."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.children import Start, forget_peak, peak_mb, resident_mb, run
from facetron import options, systems
from facetron.checkpoints import bundled, checkpoint
from facetron.checkpoints.checkpoint import CheckpointInfo
from facetron.model.facetron import FaceToSpeech
from facetron.model.sizes import SIZES
from facetron.synthesis.synthesizer import Synthesizer
from facetron.video.align import Aligner
from facetron.video.speak import SpeakRequest
from facetron.video.speak import speak as speak_video
from gridprep.corpora.grid import find_clips
from manifests.console import format_table
from manifests.specs import VIDEO_FPS, CropSpec

BAR_S = 4.0
"""What `facetron speak` may take for a 3 s clip with `small` on a CPU, once it is loaded."""
LENGTHS_S = (3, 15, 30, 60)
VOCODERS = ("hifigan", "hifigan-refined", "griffin-lim")


def bundled_weights(scratch: Path) -> tuple[str, str]:
    """Returns the weights to load and their name: those of the package, or `random_weights`
    without any."""
    for name in bundled.names():
        if checkpoint.read_info(bundled.resolve(name)).system != systems.DEFAULT:
            continue  # a baseline
        return name, f"bundled weights {name}"
    return random_weights(scratch)


def random_weights(scratch: Path, size: str = "small") -> tuple[str, str]:
    """Returns the same as `bundled_weights` with random values in all parts, which cost the same
    as trained ones."""
    path = scratch / f"{size}.safetensors"
    if not path.exists():
        config = SIZES[size]
        torch.manual_seed(0)
        model = FaceToSpeech(config)
        net = model.facetron
        parts = {
            "lip": net.lip,
            "face": net.face,
            "decoder": net.decoder,
            "vocoder": model.vocoder,
        }
        info = CheckpointInfo(
            "joint", options.to_dict(config), tuple(parts), config.mel_spec.fingerprint(), "", ()
        )
        checkpoint.save(path, checkpoint.named(parts), info, words=False)
    return str(path), f"random weights of size {size}"


def speak_runs(
    start: Start, name: str, video: str, out: str, device: str, times: int
) -> Iterator[dict[str, float]]:
    """Yields the seconds of loading, then of each run, by step; for `benchmarks.children`."""
    started_s = time.perf_counter()
    synthesizer = Synthesizer.load(name, device=device)
    aligner = Aligner()
    start()
    yield {"loading": time.perf_counter() - started_s}
    for _ in range(times):
        yield speak_video(SpeakRequest(Path(video), Path(out)), synthesizer, aligner).took_s
    aligner.close()


def speak(corpus: Path, clips: int, scratch: Path, times: int = 3, size: str = "") -> str:
    """`facetron speak` on the first clip of the corpus: seconds by step, beside the bar."""
    del clips
    name, label = random_weights(scratch, size) if size else bundled_weights(scratch)
    video = find_clips(corpus).clips[0].video
    texts = []
    for device in _devices():
        out = str(scratch / "spoken.mp4")
        done = run(speak_runs, name, str(video), out, device, times)
        runs = done.rows[0][1:]
        if not runs:
            texts.append(f"{label} on {device}: stopped: {done.stopped}")
            continue
        steps = list(runs[0])
        rows = [
            (
                f"run {number}",
                *(f"{took_s[step]:.2f}" for step in steps),
                f"{sum(took_s.values()):.2f}",
            )
            for number, took_s in enumerate(runs, 1)
        ]
        best_s, first_s = min(sum(r.values()) for r in runs), sum(runs[0].values())
        texts.append(
            f"{label} on {device}, a 3 s clip, {torch.get_num_threads()} threads; seconds\n"
            + format_table(("", *steps, "whole"), rows)
            + f"\nloading {done.rows[0][0]['loading']:.1f} s; first {first_s:.2f} s, best "
            f"{best_s:.2f} s; bar: under {BAR_S:g} s"
            + (f"\nstopped: {done.stopped}" if done.stopped else "")
        )
    return "\n\n".join(texts)


def long_clip(
    start: Start, name: str, vocoder: str, seconds: float, device: str, threads: int
) -> Iterator[dict[str, float]]:
    """Yields seconds, the better of two, and memory of one clip, after one of a second; for
    `benchmarks.children`."""
    torch.set_num_threads(threads)
    synthesizer = Synthesizer.load(name, vocoder, device)
    side, rng = CropSpec().lips_px, np.random.default_rng(0)
    lips = rng.integers(0, 256, (round(seconds * VIDEO_FPS), side, side, 3), np.uint8)
    face = np.zeros(synthesizer.config.face.embedding_size, np.float32)
    synthesizer.speak(lips[:VIDEO_FPS], face)
    start()
    before_mb = resident_mb()
    forget_peak()
    took_s = []
    for _ in range(2):
        started_s = time.perf_counter()
        synthesizer.speak(lips, face)
        took_s.append(time.perf_counter() - started_s)
    yield {
        "took_s": min(took_s),
        "lips_mb": lips.nbytes / 1e6,
        "peak_mb": peak_mb(),
        "more_mb": peak_mb() - before_mb,
    }


def clip_length(
    corpus: Path,
    clips: int,
    scratch: Path,
    lengths_s: Sequence[float] = LENGTHS_S,
    size: str = "small",
) -> str:
    """Lips to sound for longer and longer clips, each in a process of its own: seconds a second of
    speech, which stay equal where the cost is linear, and memory."""
    del corpus, clips
    name, label = random_weights(scratch, size)
    texts = []
    for device in _devices():
        rows, stopped = [], []
        for vocoder in VOCODERS:
            base = 0.0
            for seconds in lengths_s:
                done = run(long_clip, name, vocoder, seconds, device, torch.get_num_threads())
                if done.stopped:
                    rows.append((vocoder, f"{seconds:g}", *"–" * 6))
                    stopped.append(f"{vocoder}, {seconds:g} s: {done.stopped}")
                    continue
                found = done.rows[0][0]
                a_second = found["took_s"] / seconds
                base = base or a_second
                rows.append(
                    (
                        vocoder,
                        f"{seconds:g}",
                        f"{found['took_s']:.2f}",
                        f"{a_second:.4f}",
                        f"{a_second / base:.2f}×",
                        f"{found['peak_mb']:.0f}",
                        f"{found['more_mb']:.0f}",
                        f"{found['lips_mb']:.0f}",
                    )
                )
        columns = (
            "vocoder", "clip s", "took s", "s a second", "of the shortest", "peak MB",
            "of it more than loaded", "lips themselves",
        )  # fmt: skip
        table = format_table(columns, rows)
        head = f"{label} on {device}, {torch.get_num_threads()} threads"
        texts.append("\n".join([head, table, *stopped]))
    return "\n\n".join(texts)


def _devices() -> tuple[str, ...]:
    return ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
