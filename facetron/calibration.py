"""Measures on held-out clips how far the readings of a checkpoint can be trusted, which
`facetron.synthesis.confidence` then tells of any lips."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from scipy.optimize import minimize

from facetron.checkpoints import checkpoint
from facetron.model.vocoder import Vocoder
from facetron.synthesis.confidence import (
    Calibration,
    ReliabilityBin,
    check_readings,
    sentence_scores,
    store,
    word_certainties,
    word_features,
)
from facetron.synthesis.synthesizer import Reading, Synthesizer
from facetron.train.swap import SwapValidation
from manifests.console import Progress
from manifests.errors import BadInput
from manifests.manifest import FeatureRow, Manifest

Pictures = NDArray[np.uint8]
Float = NDArray[np.float64]

LEAST_DOUBT = 1e-3
"""Least −score whose logarithm tells anything: what is surer than this is as sure."""
BACKWARDS, DISORDER, RUNS, SILENCE = (
    "backwards",
    "words out of order",
    "runs of frames",
    "silence",
)
KINDS = (BACKWARDS, DISORDER, RUNS, SILENCE)
"""Kinds of lips that do not speak GRID (`other_lips`)."""
BINS = (0.0, 0.5, 0.7, 0.8, 0.9, 1.0)
VOICE_CLIPS = 8
"""Training clips per speaker whose middle stills make the mean face of a known speaker."""
PENALTY = 0.01
"""Weight of the squared weights of the logistic regression; features that separate the words perfectly
would otherwise make them infinite."""
SEED = 0


@dataclass(frozen=True)
class _Read:
    """A held-out clip and its readings.

    Attributes:
        row: its row.
        real: reading of its lips.
        others: kind of lips that do not speak GRID → reading.
    """

    row: FeatureRow
    real: Reading
    others: dict[str, Reading]


def calibrate(
    name: str | Path,
    manifest: Path,
    fit: str = "val",
    check: str = "test",
    device: str = "cpu",
) -> tuple[Path, Calibration]:
    """Calibrates a checkpoint on held-out clips and stores the result in the JSON beside it.

    Args:
        name: bundled weights or path of a checkpoint of Facetron with its lip and face encoder and
            decoder.
        manifest: manifest of a GRID build, or its folder.
        fit: subset that confidence and threshold are fitted on.
        check: subset that they are measured on.
        device: `auto`, `cpu`, `cuda`.

    Returns:
        The path of the JSON, and what was measured.

    Raises:
        BadInput: the checkpoint or the manifest cannot be used, or a subset has no clips or is the
            one that the weights were trained on.
    """
    if "train" in (fit, check):
        raise BadInput(
            "training clips say nothing about the trust in readings", "choose val and test"
        )
    synthesizer = Synthesizer.load(name, "griffin-lim", device)
    rows = Manifest(manifest)
    subsets = {subset: list(rows.where(subset=subset)) for subset in (fit, check)}
    for subset, clips in subsets.items():
        if not clips:
            raise BadInput(f"{rows.path} has no clips in {subset}", "build with another split")
    read = {subset: _read(synthesizer, clips) for subset, clips in subsets.items()}
    scores = sentence_scores([clip.real.log_probs for clip in read[fit]])
    weights = _fitted_words(read[fit], scores)
    others = [[clip.others[kind] for clip in read[fit] if kind in clip.others] for kind in KINDS]
    threshold = equal_error(
        scores,
        [sentence_scores([reading.log_probs for reading in kind]) for kind in others if kind],
    )
    voices = _voices(synthesizer, rows)
    measured = Calibration(
        word_weights=weights,
        threshold=threshold,
        kept=0.0,
        rejected={},
        clips=len(read[check]),
        words=0,
        subset=check,
        voices=voices,
        same_voice=_same_voice(synthesizer, subsets[fit], voices),
        swap=_swaps(synthesizer, read[fit] + read[check]),
    )
    found = _measured(measured, read[check])
    return store(found, synthesizer.path), found


def other_lips(
    row: FeatureRow, lips: Pictures, rng: np.random.Generator
) -> Iterator[tuple[str, Pictures]]:
    """Yields lips of the same face that do not speak a sentence of GRID, (T, H, W, 3) each, with the
    name of their kind: the clip backwards, its words in an impossible order, short runs of its frames
    at random, and the lips of its first pause going on."""
    frames = len(lips)
    yield BACKWARDS, lips[::-1].copy()
    spans = [span for span in row.words if span.end_frame > span.start_frame]
    if len(spans) > 1:
        before = np.arange(spans[0].start_frame)
        # A rotation: no word stays in its place.
        turned = spans[len(spans) // 2 :] + spans[: len(spans) // 2]
        parts = [np.arange(span.start_frame, span.end_frame) for span in turned]
        after = np.arange(spans[-1].end_frame, frames)
        yield DISORDER, lips[np.concatenate([before, *parts, after])[:frames]]
    runs: list[NDArray[np.int64]] = []
    while sum(len(run) for run in runs) < frames:
        start = int(rng.integers(max(frames - 10, 1)))
        runs.append(np.arange(start, min(start + int(rng.integers(4, 10)), frames)))
    yield RUNS, lips[np.concatenate(runs)[:frames]]
    pause = max(spans[0].start_frame if spans else 1, 1)
    steps = np.clip(pause // 2 + np.cumsum(rng.integers(-1, 2, frames)), 0, pause - 1)
    yield SILENCE, lips[steps]


def equal_error(grid: Sequence[float], others: Sequence[Sequence[float]]) -> float:
    """Returns the sentence score that divides lips that speak GRID from others with as large a share of
    GRID's clips lost as of the kind of other lips that is the hardest to tell gets through.

    A share that may be lost, fixed beforehand, would not do: of clips all of which are read well it
    throws good ones away, and of clips one of which is hardly read it lets everything through.

    Args:
        grid: scores of clips that speak GRID.
        others: of each kind of other lips, the scores of its clips.
    """
    # A score is a logarithm per frame: −0.01 and −0.1 lie as far apart as −0.1 and −1.
    spoken, *rest = (np.log(-np.minimum(kind, -LEAST_DOUBT)) for kind in (grid, *others))
    ordered = np.unique(np.concatenate([spoken, *rest]))
    limits = np.array([*(ordered[1:] + ordered[:-1]) / 2, ordered[-1] + 1])
    worst = [
        max(float((spoken > limit).mean()), *(float((kind <= limit).mean()) for kind in rest))
        for limit in limits
    ]
    # Where a whole range is as good, its middle keeps away from both sides.
    return -float(np.exp(limits[np.array(worst) == min(worst)].mean()))


def _read(synthesizer: Synthesizer, rows: Sequence[FeatureRow]) -> list[_Read]:
    rng = np.random.default_rng(SEED)
    found = []
    with Progress(len(rows), "reading lips", "clip") as bar:
        for row in rows:
            lips = row.lips()
            others = dict(other_lips(row, lips, rng))
            real, *rest = synthesizer.read_many([lips, *others.values()])
            found.append(_Read(row, real, dict(zip(others, rest, strict=True))))
            bar.update(1)
    return found


def _right(reading: Reading, sentence: str) -> list[bool]:
    """Returns whether each word of a greedy reading is right, in the best alignment with the sentence."""
    read = [word for word, _ in word_certainties(reading.log_probs)]
    right = [False] * len(read)
    for block in Levenshtein.opcodes(read, sentence.split()):
        if block.tag == "equal":
            right[block.src_start : block.src_end] = [True] * (block.src_end - block.src_start)
    return right


def _fitted_words(read: Sequence[_Read], scores: Sequence[float]) -> tuple[float, ...]:
    features: list[tuple[float, ...]] = []
    labels: list[bool] = []
    for clip, score in zip(read, scores, strict=True):
        features += [word_features(c, score) for _, c in word_certainties(clip.real.log_probs)]
        labels += _right(clip.real, clip.row.sentence)
    if not labels:
        raise BadInput("no word was read in the held-out clips", "train the lip encoder longer")
    return _logistic_regression(np.array(features), np.array(labels))


def _logistic_regression(x: Float, y: NDArray[np.bool_]) -> tuple[float, ...]:
    """Returns the weights that maximize the likelihood of (N,) labels given (N, K) features, the first
    of which is 1; the others are penalized a little."""
    sign = np.where(y, 1.0, -1.0)

    def loss(w: Float) -> float:
        return float(np.logaddexp(0, -sign * (x @ w)).sum() + PENALTY * (w[1:] ** 2).sum())

    return tuple(float(w) for w in minimize(loss, np.zeros(x.shape[1])).x)


def _measured(calibration: Calibration, read: Sequence[_Read]) -> Calibration:
    """Completes a calibration with what it achieves on other clips."""
    checks = check_readings([clip.real.log_probs for clip in read], calibration)
    told = [
        (share, right)
        for clip, check in zip(read, checks, strict=True)
        for (_, share), right in zip(check.words, _right(clip.real, clip.row.sentence), strict=True)
    ]
    kinds = sorted({kind for clip in read for kind in clip.others})
    rejected = {}
    for kind in kinds:
        others = [clip.others[kind].log_probs for clip in read if kind in clip.others]
        found = check_readings(others, calibration)
        rejected[kind] = float(np.mean([not check.is_grid for check in found]))
    return replace(
        calibration,
        kept=float(np.mean([check.is_grid for check in checks])),
        rejected=rejected,
        words=len(told),
        reliability=tuple(_bins(told)),
    )


def _bins(told: Sequence[tuple[float, bool]]) -> Iterator[ReliabilityBin]:
    for low, high in itertools.pairwise(BINS):
        some = [(s, r) for s, r in told if low <= s < high or (high == BINS[-1] and s == high)]
        if some:
            shares, rights = zip(*some, strict=True)
            yield ReliabilityBin(
                low, high, len(some), float(np.mean(shares)), float(np.mean(rights))
            )


def _voices(synthesizer: Synthesizer, rows: Manifest) -> dict[str, tuple[float, ...]]:
    """Mean face embeddings of the speakers that the weights know, from their training clips."""
    found: dict[str, tuple[float, ...]] = {}
    for speaker in synthesizer.info.speakers:
        clips = list(rows.where(subset="train", speaker=speaker))
        picked = np.linspace(0, len(clips) - 1, min(VOICE_CLIPS, len(clips))).round().astype(int)
        if len(picked):
            faces = np.concatenate([_face(synthesizer, clips[i]) for i in picked])
            found[speaker] = tuple(round(float(x), 4) for x in faces.mean(axis=0))
    return found


def _face(synthesizer: Synthesizer, row: FeatureRow) -> NDArray[np.float32]:
    """(1, E) embedding of the middle still of a clip."""
    stills = row.faces()
    middle = len(stills) // 2
    return synthesizer.face_embeddings(stills[middle : middle + 1])


def _same_voice(
    synthesizer: Synthesizer,
    rows: Sequence[FeatureRow],
    voices: dict[str, tuple[float, ...]],
) -> float:
    cosines = []
    for row in rows:
        if row.speaker in voices:
            mean, face = np.array(voices[row.speaker]), _face(synthesizer, row)[0]
            cosines.append(float(mean @ face / np.linalg.norm(mean) / np.linalg.norm(face)))
    return float(np.quantile(cosines, 0.05)) if cosines else 0.0


def _swaps(synthesizer: Synthesizer, read: Sequence[_Read]) -> dict[str, float | None]:
    """The metrics of a swap validation over the clips, but for the pitch of each speaker; empty for
    weights without a vocoder that reads pitch."""
    if "vocoder" not in synthesizer.info.parts:
        return {}
    vocoder = Vocoder(synthesizer.config.vocoder)
    checkpoint.load_part(vocoder, "vocoder", synthesizer.path)
    vocoder.requires_grad_(False).eval().to(synthesizer.device)
    swaps = SwapValidation(synthesizer.model, vocoder.pitch)
    for clip in read:
        swaps.add(
            torch.from_numpy(clip.real.embedding)[None].to(synthesizer.device),
            torch.from_numpy(_face(synthesizer, clip.row)).to(synthesizer.device),
            torch.from_numpy(clip.row.mel())[None].to(synthesizer.device),
            [clip.row.speaker],
        )
    return {name: v for name, v in swaps.metrics().items() if "f0_hz" not in name}
