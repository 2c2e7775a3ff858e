"""Writes the files of one clip of SynthGRID: video, alignment and ground truth."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gridprep.corpora.alignment import AlignedToken, format_alignment
from gridprep.synth.container import DECODED_SAMPLES, write_mpg
from gridprep.synth.face import face_of
from gridprep.synth.speakers import synthetic_speaker
from gridprep.synth.visemes import POSE_NAMES, VISEME_NAMES, mouth_poses
from gridprep.synth.voice import Utterance, utter
from manifests.corpus_lists import stems_of
from manifests.errors import BadInput
from manifests.io import atomic_path, write_json, write_text
from manifests.records import POINT_NAMES
from manifests.specs import ALIGN_UNITS_PER_SECOND

LAST_UNITS = 74_500
"""Where GRID's alignments end."""


@dataclass(frozen=True)
class Job:
    """One clip to make."""

    out: str
    speaker: str
    stem: str
    seed: int


def sentences_for(speaker: str, sentences: int, seed: int) -> tuple[str, ...]:
    """Stems drawn from the speaker's own in GRID; a larger number contains the smaller one's."""
    own = stems_of(speaker)
    if not 1 <= sentences <= len(own):
        raise BadInput(
            f"{sentences} sentences cannot be made for {speaker}", f"ask for 1 to {len(own)}"
        )
    order = np.random.default_rng([seed, 6, int(speaker[1:])]).permutation(len(own))
    return tuple(own[i] for i in order[:sentences])


def clip_rng(speaker: str, stem: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 7, int(speaker[1:]), *stem.encode()])


def alignment_text(utterance: Utterance) -> str:
    """The `.align` file of an utterance."""
    edges = [round(start_s * ALIGN_UNITS_PER_SECOND) for _, start_s, _ in utterance.words]
    edges.append(round(utterance.words[-1][2] * ALIGN_UNITS_PER_SECOND))
    tokens = [AlignedToken(0, edges[0], "sil")]
    for (word, _, _), start, end in zip(utterance.words, edges[:-1], edges[1:], strict=True):
        tokens.append(AlignedToken(start, end, word))
    tokens.append(AlignedToken(edges[-1], max(LAST_UNITS, edges[-1]), "sil"))
    return format_alignment(tokens)


def make_clip(job: Job) -> str:
    """Makes one clip with alignment and truth; the video comes last, so its presence means done."""
    root = Path(job.out)
    person = synthetic_speaker(job.speaker, job.seed)
    rng = clip_rng(job.speaker, job.stem, job.seed)
    utterance = utter(person, job.stem, rng)
    poses, visemes = mouth_poses(list(utterance.phonemes), float(rng.uniform(0.85, 1.1)))
    frames, points_px = face_of(person, job.seed).film(poses, rng)
    write_text(root / "alignments" / job.speaker / f"{job.stem}.align", alignment_text(utterance))
    truth = truth_path(root, job.speaker, job.stem)
    with atomic_path(truth.with_suffix(".npz")) as temporary:
        np.savez_compressed(
            temporary,
            points_px=points_px,
            point_names=np.array(POINT_NAMES),
            f0_hz=utterance.f0_hz,
            visemes=visemes,
            viseme_names=np.array(VISEME_NAMES),
            poses=poses,
            pose_names=np.array(POSE_NAMES),
        )
    write_json(
        truth,
        {
            "speaker": job.speaker,
            "stem": job.stem,
            "words": [[word, round(a, 6), round(b, 6)] for word, a, b in utterance.words],
            "phonemes": [
                [p.name, round(p.start_s, 6), round(p.end_s, 6)] for p in utterance.phonemes
            ],
        },
        indent=None,
    )
    write_mpg(video_path(root, job.speaker, job.stem), frames, utterance.samples[:DECODED_SAMPLES])
    return job.stem


def video_path(out: str | os.PathLike[str], speaker: str, stem: str) -> Path:
    return Path(out) / speaker / f"{stem}.mpg"


def truth_path(out: str | os.PathLike[str], speaker: str, stem: str) -> Path:
    """Words and phonemes of a clip; written before its video, so a clip without it is not ours."""
    return Path(out) / "truth" / speaker / f"{stem}.json"
