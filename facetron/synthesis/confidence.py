"""Tells how far the text read from lips can be trusted, and whether the lips speak GRID at all.

A lip encoder that was trained on GRID answers with GRID's words, fluently, whatever it is shown. Two
numbers tell the difference. The likelihood of the likeliest of GRID's 64,000 sentences, per frame,
falls where the lips say something else; the certainty of the letters of a word tells how often the
word is right. What the numbers mean depends on the weights: `facetron calibrate` measures it on
held-out clips and stores it in the JSON beside the weights, bound to them by their hash.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facetron.checkpoints import checkpoint
from facetron.checkpoints.checkpoint import CheckpointInfo
from facetron.model import ctc
from manifests.errors import BadInput, ManifestError
from manifests.grammar import WORDS
from manifests.io import read_json, sha256_file, write_json
from manifests.ordering import natural
from manifests.records import Record

Float = NDArray[np.floating[Any]]

ONE_SENTENCE_FRAMES = 112
"""Clips of at most so many frames (4.5 s, one and a half clips of GRID) hold one sentence; longer ones
may hold several."""

KEY, OF_WEIGHTS = "calibration", "weights_sha256"
"""Names of the calibration in the JSON beside the weights, and of their hash in it."""

LEAST_LOG_P = -10.0
"""Lowest certainty of a word and score of a sentence: what is lower means the same."""


@dataclass(frozen=True)
class ReliabilityBin(Record):
    """Words of a measurement whose confidence lies in one interval.

    Attributes:
        low, high: the interval.
        words: number of words.
        confidence: their mean confidence.
        right: share of them that is right.
    """

    low: float
    high: float
    words: int
    confidence: float
    right: float


@dataclass(frozen=True)
class Calibration(Record):
    """The measurements of `facetron calibrate` on held-out clips.

    Attributes:
        word_weights: weights of a logistic regression from 1, the certainty of a word's letters and
            the sentence score of its clip to the probability that the word is right.
        threshold: lowest sentence score of lips that are taken for GRID speech.
        kept: share of the held-out clips at or above the threshold.
        rejected: kind of other lips → share below the threshold.
        clips, words: number of clips and words that `kept` and `reliability` were measured on.
        subset: subset of these clips.
        reliability: confidence beside the share of right words.
        voices: speaker that the weights know → mean face embedding.
        same_voice: lowest cosine between a held-out clip's face and that of its own speaker, over
            95 % of the clips.
        swap: whether the voice follows the face, as `facetron.train.swap.SwapValidation` measures it.
    """

    word_weights: tuple[float, ...]
    threshold: float
    kept: float
    rejected: dict[str, float]
    clips: int
    words: int
    subset: str
    reliability: tuple[ReliabilityBin, ...] = ()
    voices: dict[str, tuple[float, ...]] = field(default_factory=dict)
    same_voice: float = 0.0
    swap: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class ReadingCheck:
    """The trust in the text read from a clip.

    Attributes:
        confidence: expected share of its words that are right, 0 to 1; 0 where no word was read.
        words: the same of each word of the greedy reading.
        score: natural logarithm of the probability of the likeliest sentence of GRID, per frame.
        is_grid: whether the lips seem to speak a sentence of GRID.
    """

    confidence: float
    words: tuple[tuple[str, float], ...]
    score: float
    is_grid: bool


def store(calibration: Calibration, weights: Path) -> Path:
    """Atomically writes a calibration into the JSON beside the checkpoint `weights`, with its hash;
    whatever else that file holds is kept. Returns its path.

    Raises:
        BadInput: the checkpoint cannot be read.
        ManifestError: there is such a file, and it is no JSON object.
        OSError: the disk is full or read-only; an existing file is kept.
    """
    path = checkpoint.description(weights)
    values = _described(path) if path.exists() else checkpoint.read_info(weights).to_dict()
    told = {OF_WEIGHTS: sha256_file(weights), **calibration.to_dict()}
    write_json(path, {**values, KEY: told})
    return path


def stored(weights: Path, sha256: str) -> Calibration | None:
    """Returns the calibration in the JSON beside a checkpoint; None where there is no such file, or
    nothing was calibrated.

    Args:
        weights: path of the checkpoint.
        sha256: its hash.

    Raises:
        BadInput: it was measured with other weights.
        ManifestError: the file is damaged.
    """
    path = checkpoint.description(weights)
    told = _described(path).get(KEY) if path.exists() else None
    if not told:
        return None
    if told.get(OF_WEIGHTS) != sha256:
        raise BadInput(
            f"{path} holds the calibration of other weights than {weights.name}",
            "run `facetron calibrate` again, or remove that file",
        )
    return Calibration.from_dict(told)


def _described(path: Path) -> dict[str, Any]:
    values = read_json(path)
    if not isinstance(values, dict) or not isinstance(values.get(KEY, {}), dict):
        raise ManifestError(f"{path} does not describe a checkpoint", "remove it")
    return values


def sentence_scores(log_probs: Sequence[Float]) -> list[float]:
    """Returns the natural logarithm of the probability of the likeliest sentence of GRID, per frame, of
    each clip's (T, 28) log probabilities.

    Clips longer than `ONE_SENTENCE_FRAMES` may hold several sentences in a row. A clip that is too
    short for any sentence scores `LEAST_LOG_P`.
    """
    scores = [LEAST_LOG_P] * len(log_probs)
    groups: dict[int, list[int]] = {}
    for number, values in enumerate(log_probs):
        groups.setdefault(len(values), []).append(number)
    for frames, numbers in groups.items():
        allowed = ctc.grid_sentences(several=frames > ONE_SENTENCE_FRAMES)
        if frames < int(allowed.frames_needed[0, ctc.BLANK]):
            continue
        found = ctc.beam(np.stack([log_probs[i] for i in numbers]), allowed=allowed)
        for number, hypothesis in zip(numbers, found, strict=True):
            scores[number] = max(hypothesis.log_probability / frames, LEAST_LOG_P)
    return scores


def word_certainties(log_probs: Float) -> list[tuple[str, float]]:
    """Returns the words of the greedy reading of (T, 28) log probabilities, each with the mean natural
    logarithm of the probability of its letters, where they appear."""
    classes, frames = _letters(log_probs)
    certainty = np.maximum(log_probs[frames, classes], LEAST_LOG_P)
    words: list[tuple[str, list[float]]] = [("", [])]
    for letter, value in zip(classes, certainty, strict=True):
        text = ctc.decode([int(letter)])
        if text == " ":
            words.append(("", []))
        else:
            words[-1] = (words[-1][0] + text, [*words[-1][1], float(value)])
    return [(word, float(np.mean(values))) for word, values in words if word]


def _letters(log_probs: Float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the classes of the letters of the greedy reading, and the frames where they begin."""
    best = log_probs.argmax(axis=1)
    new = (best != ctc.BLANK) & (best != np.concatenate([[ctc.BLANK], best[:-1]]))
    frames = np.flatnonzero(new)
    return best[frames], frames


def word_features(certainty: float, score: float) -> tuple[float, float, float]:
    """Returns what `Calibration.word_weights` weigh."""
    return 1.0, certainty, score


def check_readings(log_probs: Sequence[Float], calibration: Calibration) -> list[ReadingCheck]:
    """Judges the readings of clips, each (T, 28) log probabilities.

    Args:
        log_probs: natural logarithms over `facetron.model.ctc.VOCABULARY`.
        calibration: that of the weights that read them.
    """
    checks = []
    for values, score in zip(log_probs, sentence_scores(log_probs), strict=True):
        words = tuple(
            (word, _logistic(calibration.word_weights, word_features(certainty, score)))
            for word, certainty in word_certainties(values)
        )
        confidence = float(np.mean([share for _, share in words])) if words else 0.0
        checks.append(ReadingCheck(confidence, words, score, score >= calibration.threshold))
    return checks


def _logistic(weights: Sequence[float], features: Sequence[float]) -> float:
    return 1 / (1 + math.exp(-sum(w * x for w, x in zip(weights, features, strict=True))))


def nearest_voice(face: Float, calibration: Calibration) -> tuple[str, float]:
    """Returns the speaker that the weights know whose face is the nearest to an embedding (E,), and the
    cosine between the two; ("", nan) where none is stored."""
    if not calibration.voices:
        return "", math.nan
    names = list(calibration.voices)
    # Of a calibration that was read from a file, the embeddings are lists.
    means = _means(tuple(tuple(calibration.voices[name]) for name in names))
    cosines = means @ np.asarray(face, np.float64) / np.linalg.norm(face)
    best = int(cosines.argmax())
    return names[best], float(cosines[best])


@lru_cache(maxsize=4)
def _means(voices: tuple[tuple[float, ...], ...]) -> NDArray[np.float64]:
    means = np.asarray(voices, np.float64)
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True))


NAMED_SPEAKERS = 8
"""Speakers that `domain` names, of more than these the first."""

UNMEASURED = (
    "how far the text read can be trusted, and whether the voice follows the face, was not measured for "
    "these weights (`facetron calibrate` does it for Facetron's)"
)
NO_FACE = "these weights see no face: the voice is the same with every face"


def domain(info: CheckpointInfo) -> str:
    """Returns what weights were trained on, in words: how many speakers, and which words."""
    speakers = sorted(info.speakers, key=natural)
    named = ", ".join(speakers[:NAMED_SPEAKERS]) + (", …" if len(speakers) > NAMED_SPEAKERS else "")
    words = {word for sentence in info.sentences for word in sentence.split()}
    # Older weights do not say what they were trained on; all of them were on GRID's words.
    said = (
        f"GRID's {len(WORDS)} words" if words <= set(WORDS) else "words of other corpora than GRID"
    )
    plural = "" if len(speakers) == 1 else "s"
    return f"{len(speakers)} speaker{plural} ({named}) saying {said}"


def notes_of(
    check: ReadingCheck | None,
    calibration: Calibration | None,
    face: Float,
    sees_faces: bool,
    other: bool,
) -> tuple[str, ...]:
    """Returns what there is to know about a clip that was spoken, a sentence each.

    Args:
        check: of its reading; None for weights that are not calibrated or read no text.
        calibration: of the weights, None where there is none.
        face: (E,) embedding that gave the voice.
        sees_faces: whether the weights take a face.
        other: whether the face was given in place of the clip's own.
    """
    notes = [] if calibration is not None else [UNMEASURED]
    if check is not None and (warning := reading_note(check)):
        notes.append(warning)
    if calibration is not None and sees_faces:
        notes += face_notes(face, calibration)
    if other and (ignored := faces_ignored(calibration, sees_faces)):
        notes.append(ignored)
    return tuple(notes)


def reading_note(check: ReadingCheck) -> str:
    """Returns a warning about lips that do not speak GRID, "" for those that do."""
    if check.is_grid:
        return ""
    return (
        "this does not look like GRID speech (no sentence of its grammar fits the lips): the weights "
        "know GRID's words alone, and the speech is likely to say other words than the lips"
    )


def face_notes(face: Float, calibration: Calibration) -> tuple[str, ...]:
    """Returns whether the speaker of a face, an embedding (E,), is known to the weights."""
    name, cosine = nearest_voice(face, calibration)
    notes = []
    if name and cosine >= calibration.same_voice:
        notes.append(
            f"the face is like that of {name} (cosine {cosine:.2f}), whom the weights know"
        )
    elif name:
        notes.append(
            f"the face is unlike all {len(calibration.voices)} speakers that the weights know (nearest "
            f"{name}, cosine {cosine:.2f}): an unseen speaker, whose voice is a guess"
        )
    return tuple(notes)


def faces_ignored(calibration: Calibration | None, sees_faces: bool) -> str:
    """Returns a warning about weights whose voice follows no face or hardly any, "" for others."""
    if not sees_faces:
        return NO_FACE
    near = None if calibration is None else calibration.swap.get("swap_near")
    if near is None or near >= 0.5:
        return ""
    return (
        "the voice of these weights hardly follows the face: with other people's faces "
        f"{near:.0%} of the voices came within 200 cents of their owner's median pitch"
    )
