"""Time and memory of a training step by batch."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from benchmarks.children import Start, peak_mb, resident_mb, run
from facetron.model.config import ModelConfig
from facetron.model.ctc import encode
from facetron.train.config import TrainConfig, train_config
from facetron.train.dataset import Batch, TrainingSet
from facetron.train.loop import Trainer
from facetron.train.run import create, launched
from manifests.console import format_table
from manifests.manifest import Manifest
from manifests.records import ManifestRow
from manifests.specs import CLIP_FRAMES

STAGES = ("lip", "decoder", "vocoder")
BATCHES: Mapping[str, tuple[int, ...]] = {"small": (4, 8, 16), "paper": (1, 2)}
CUDA_BATCHES: Mapping[str, tuple[int, ...]] = {"small": (4, 16, 64), "paper": (1, 4, 16)}
SENTENCE = "bin blue at f two now"


def random_batch(config: ModelConfig, training: TrainConfig, clips: int) -> Batch:
    """Noise in the shapes of `facetron.train.dataset.Batch`, all fields, clips of 3 s."""
    rng = torch.Generator().manual_seed(0)
    lip, face, spec = config.lip, config.face, config.mel_spec
    frames, mel_frames = CLIP_FRAMES, CLIP_FRAMES * config.decoder.upsampling
    segment = min(training.segment_frames, mel_frames)
    letters = torch.tensor(encode(SENTENCE))

    def pictures(*shape: int) -> torch.Tensor:
        return torch.randint(256, (clips, *shape), generator=rng, dtype=torch.uint8)

    mel = torch.randn(clips, spec.n_mels, mel_frames, generator=rng)
    return {
        "speakers": [f"s{1 + i % 2}" for i in range(clips)],
        "clips": [f"s{1 + i % 2}/{i}" for i in range(clips)],
        "lips": pictures(lip.input_channels, frames, lip.input_px, lip.input_px),
        "lengths": torch.full((clips,), frames),
        "targets": letters.repeat(clips, 1),
        "target_lengths": torch.full((clips,), len(letters)),
        "words": torch.zeros(clips, frames, dtype=torch.int64),
        "face": pictures(3, face.input_px, face.input_px),
        "mel": mel,
        "wave": 0.1 * torch.randn(clips, 1, segment * spec.hop_samples, generator=rng),
        "wave_mel": mel[..., :segment].clone(),
        "wave_f0_hz": torch.full((clips, segment), 120.0),
        "wave_start": torch.zeros(clips, dtype=torch.int64),
    }


def steps(
    start: Start, stage: str, size: str, batch: int, times: int, device: str
) -> Iterator[dict[str, float]]:
    """Yields the median of so many training steps, after one, and memory; for `benchmarks.children`."""
    config, training = train_config(
        stage, size, None, (f"train.device={device}", "train.loggers=csv", "train.workers=0")
    )
    training = replace(training, batch_size=batch)
    made = create(stage, config, training)
    row = ManifestRow(
        "s1", "", "bbaf2n", SENTENCE, "train", (), {}, CLIP_FRAMES, 0, 0, 0, 0, (), {}, "", "", {}
    )
    rows = TrainingSet(Manifest.of((row,) * batch, Path()), "")
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(made, rows, Path(out), launched(training), lambda line: None)
        clips = trainer._moved(random_batch(config, training, batch))
        start()
        before_mb = resident_mb()
        spent_s = []
        for number in range(times + 1):
            started_s = time.perf_counter()
            losses = trainer._train_step(clips, number)
            spent_s.append(time.perf_counter() - started_s)
        trainer.log.close()
    peak = peak_mb()
    if device == "cuda":
        peak, before_mb = torch.cuda.max_memory_allocated() / 1e6, 0.0
    yield {
        "step_s": median(spent_s[1:]),
        "peak_mb": peak,
        "more_mb": peak - before_mb,
        "loss": losses["loss"],
    }


def training(
    corpus: Path,
    clips: int,
    scratch: Path,
    batches: Mapping[str, Sequence[int]] | None = None,
    times: int = 0,
    stages: Sequence[str] = STAGES,
    devices: Sequence[str] = (),
) -> str:
    """A table a device: seconds a step and a clip, and peak memory, by size, stage and batch. Nothing is
    read from disk: the share of waiting for data is in each training's log."""
    del corpus, clips, scratch
    texts = []
    here = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices or here:
        sizes = batches or (BATCHES if device == "cpu" else CUDA_BATCHES)
        stopped: list[str] = []
        rows = [
            _row(stage, size, batch, times, device, stopped)
            for size, its in sizes.items()
            for stage in stages
            for batch in its
        ]
        columns = (
            "training",
            "batch",
            "s a step",
            "ms a clip",
            "peak MB",
            "of it more than loaded",
        )
        where = f"{torch.get_num_threads()} threads" if device == "cpu" else "bf16"
        texts.append("\n".join([f"{device}, {where}", format_table(columns, rows), *stopped]))
    return "\n\n".join(texts)


def _row(
    stage: str, size: str, batch: int, times: int, device: str, stopped: list[str]
) -> tuple[str, ...]:
    n = times or (5 if size == "small" or device == "cuda" else 2)
    done = run(steps, stage, size, batch, n, device, limit_s=240.0)
    name = f"{size} {stage}"
    if done.stopped:
        stopped.append(f"{name}, batch {batch}: {done.stopped}")
        return name, str(batch), *"––––"
    found = done.rows[0][0]
    return (
        name,
        str(batch),
        f"{found['step_s']:.3f}",
        f"{found['step_s'] / batch * 1e3:.0f}",
        f"{found['peak_mb']:.0f}",
        f"{found['more_mb']:.0f}",
    )
