"""Settings of a scoring: recognizers and weights that metrics need and the toolkit does not ship."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FaceRuns:
    """Facts about runs of pictures.

    Attributes:
        speakers: how many they are about, the fewest of a run.
        pictures: how many there are, the most of a run.
        variants: how many there are of a clip, the most of a run.
        law: whether their stills are of a SynthGRID whose rule is known.
    """

    speakers: int
    pictures: int
    variants: int
    law: bool


@dataclass(frozen=True)
class Settings:
    """
    Attributes:
        recognizer: name in `evaluation.models.registry`, "" for none.
        recognizer_path: its weights (a file or a folder), where it needs any.
        transcripts_by: who wrote the runs' transcripts, for the recognizer `transcripts`.
        lips: whether a run holds what its lip reader read.
        nisqa_weights: the official NISQA-TTS checkpoint.
        any_nisqa_weights: accept a checkpoint of the same shape that is not the official one.
        utmos_weights: SpeechMOS's checkpoint of UTMOS's strong learner.
        speechbertscore_weights: folder of a WavLM, HuBERT or wav2vec 2.0 that transformers saved.
        speechbertscore_layer: the layer of it that is compared, None for the metric's own choice.
        wavlm_weights: folder of a WavLM with a head for speakers.
        landmarks: whether a run's recordings lie in a build that holds landmarks.
        synthgrid: whether a run's recordings are of SynthGRID.
        swaps: whether a run has clips that speak with another speaker's voice.
        syncnet_weights: the public SyncNet checkpoint.
        video_corpus: where the clips' videos lie; None for where the build found them.
        as_published: published protocols (`evaluation.metrics.protocols`) whose columns are wanted.
        versa: fields of VERSA's results that some run directory holds.
        faces: what the runs hold where they are of pictures; None for runs of speech.
    """

    recognizer: str = ""
    recognizer_path: Path | None = None
    transcripts_by: str = ""
    lips: bool = False
    nisqa_weights: Path | None = None
    any_nisqa_weights: bool = False
    utmos_weights: Path | None = None
    speechbertscore_weights: Path | None = None
    speechbertscore_layer: int | None = None
    wavlm_weights: Path | None = None
    landmarks: bool = False
    synthgrid: bool = False
    swaps: bool = False
    syncnet_weights: Path | None = None
    video_corpus: Path | None = None
    as_published: tuple[str, ...] = ()
    versa: tuple[str, ...] = ()
    faces: FaceRuns | None = None
