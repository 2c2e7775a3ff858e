"""The settings of a scoring: options of the user, and transcripts, landmarks and swaps of the runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evaluation.inputs.build_files import has_landmarks, of_synthgrid
from evaluation.inputs.pairs import RunDir, check_one_kind
from evaluation.inputs.settings import FaceRuns, Settings
from evaluation.inputs.versa import fields_of
from evaluation.models.registry import DEFAULT
from evaluation.models.transcripts import read_transcripts
from manifests.errors import BadInput

NOBODY = "none"
"""In place of a recognizer: words are not scored."""


def read_settings(
    runs: Sequence[RunDir],
    *,
    recognizer: str | None = None,
    recognizer_path: Path | None = None,
    nisqa_weights: Path | None = None,
    any_nisqa_weights: bool = False,
    utmos_weights: Path | None = None,
    speechbertscore_weights: Path | None = None,
    speechbertscore_layer: int | None = None,
    wavlm_weights: Path | None = None,
    syncnet_weights: Path | None = None,
    video_corpus: Path | None = None,
    as_published: Sequence[str] = (),
) -> Settings:
    """Returns the settings of a scoring from the options and from the files of the runs.

    Raises:
        BadInput: runs of speech beside runs of pictures, transcripts of different recognizers, or options
            that do not fit.
        ManifestError: transcripts that cannot be read.
    """
    if runs:
        check_one_kind(runs)
    if recognizer_path is not None and recognizer in (None, NOBODY):
        raise BadInput("--recognizer-path without --recognizer", "name the recognizer")
    transcripts_by = ""
    if recognizer in (None, "transcripts"):
        transcripts_by = _transcripts_by(runs)
        if recognizer and not transcripts_by:
            raise BadInput(
                "no run directory holds transcripts", "put a transcripts.jsonl into each"
            )
        recognizer = "transcripts" if transcripts_by else DEFAULT
    return Settings(
        recognizer="" if recognizer in (None, NOBODY) else recognizer,
        recognizer_path=recognizer_path,
        transcripts_by=transcripts_by,
        lips=any(clip.transcript for run in runs for clip in run.clips),
        nisqa_weights=nisqa_weights,
        any_nisqa_weights=any_nisqa_weights,
        utmos_weights=utmos_weights,
        speechbertscore_weights=speechbertscore_weights,
        speechbertscore_layer=speechbertscore_layer,
        wavlm_weights=wavlm_weights,
        landmarks=any(map(has_landmarks, runs)),
        synthgrid=any(map(of_synthgrid, runs)),
        swaps=any(clip.voice not in ("", clip.speaker) for run in runs for clip in run.clips),
        syncnet_weights=syncnet_weights,
        video_corpus=video_corpus,
        as_published=tuple(as_published),
        versa=tuple(dict.fromkeys(name for run in runs for name in fields_of(run.root, run.clips))),
        faces=_faces(runs),
    )


def _faces(runs: Sequence[RunDir]) -> FaceRuns | None:
    """Returns what runs of pictures hold; None for runs of speech."""
    if not runs or not runs[0].of_faces:
        return None
    from evaluation.inputs.pictures import law_path  # loads PyTorch

    return FaceRuns(
        speakers=min(len({clip.speaker for clip in run.clips}) for run in runs),
        pictures=max(len(run.clips) for run in runs),
        variants=max(len({clip.variant for clip in run.clips}) for run in runs),
        law=any(law_path(run) is not None for run in runs),
    )


def _transcripts_by(runs: Sequence[RunDir]) -> str:
    """The recognizer behind the runs' transcripts, "" where there are none."""
    authors: dict[str, Path] = {}
    for run in runs:
        found = read_transcripts(run.root)
        if found is not None:
            found.require_any(run.clips)
            authors.setdefault(found.recognizer, run.root)
    if len(authors) > 1:
        (one, here), (other, there), *_ = authors.items()
        raise BadInput(
            f"{here} was transcribed by {one!r}, {there} by {other!r}",
            "use one recognizer for all: the rates of two do not compare",
        )
    return next(iter(authors), "")
