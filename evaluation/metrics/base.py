"""The interface of metrics, and the registry of all of them.

A metric is a pure function of arrays first (`intelligibility.stoi`), and a thin class second that
describes it for tables and turns every error into a failed score.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from evaluation.inputs.pairs import Pair, RunDir, Unscorable
from evaluation.inputs.settings import Settings
from evaluation.metrics.protocols import PROTOCOLS, columns_of
from manifests.errors import BadInput, MissingDependency, ToolkitError
from manifests.libraries import install_line
from manifests.records import RunClip, Score
from manifests.versions import library_version

if TYPE_CHECKING:
    from evaluation.models.judges import Judge

Direction = Literal["higher", "lower", "none"]
Group = Literal[
    "headline",
    "recognition",
    "voice",
    "main",
    "aligned",
    "sync",
    "external",
    "published",
    "input",
    "floor",
    "face_who",
    "face_looks",
]
RAISED, DIED = "raised", "died"
"""How the reasons of failures begin that say nothing about the clip: the metric raised what it should
not, or the process that computed it died. They are tried again by every run."""

REGISTRY: dict[str, str] = {
    "nisqa_tts": "evaluation.metrics.naturalness:NisqaTts",
    "utmos": "evaluation.metrics.naturalness:Utmos",
    "dnsmos": "evaluation.metrics.opinion:Dnsmos",
    "dnsmos_ovrl": "evaluation.metrics.opinion:DnsmosOverall",
    "distillmos": "evaluation.metrics.opinion:DistillMos",
    "degradation_index": "evaluation.metrics.quality_net:DegradationIndex",
    "cer": "evaluation.metrics.recognition:CharacterErrorRate",
    "wer": "evaluation.metrics.recognition:WordErrorRate",
    "cer_second": "evaluation.metrics.second_recognizer:SecondCharacterErrorRate",
    "wer_second": "evaluation.metrics.second_recognizer:SecondWordErrorRate",
    "recognizer_agreement": "evaluation.metrics.second_recognizer:RecognizerAgreement",
    "cer_homophones": "evaluation.metrics.recognition:HomophoneCharacterErrorRate",
    "wer_homophones": "evaluation.metrics.recognition:HomophoneWordErrorRate",
    "wer_whisper_normalizer": "evaluation.metrics.recognition:WhisperNormalizedWordErrorRate",
    "cer_grammar": "evaluation.metrics.recognition:GrammarCharacterErrorRate",
    "wer_grammar": "evaluation.metrics.recognition:GrammarWordErrorRate",
    "lip_cer": "evaluation.metrics.recognition:LipCharacterErrorRate",
    "lip_wer": "evaluation.metrics.recognition:LipWordErrorRate",
    "keyword": "evaluation.metrics.recognition:Keywords",
    "slot_command": "evaluation.metrics.recognition:CommandSlot",
    "slot_color": "evaluation.metrics.recognition:ColorSlot",
    "slot_preposition": "evaluation.metrics.recognition:PrepositionSlot",
    "slot_letter": "evaluation.metrics.recognition:LetterSlot",
    "slot_digit": "evaluation.metrics.recognition:DigitSlot",
    "slot_adverb": "evaluation.metrics.recognition:AdverbSlot",
    "ge2e_similarity": "evaluation.metrics.speaker_ge2e:Ge2eSimilarity",
    "ge2e_accuracy": "evaluation.metrics.speaker_ge2e:Ge2eAccuracy",
    "ge2e_eer": "evaluation.metrics.speaker_ge2e:Ge2eEer",
    "wavlm_similarity": "evaluation.metrics.speaker_wavlm:WavlmSimilarity",
    "wavlm_accuracy": "evaluation.metrics.speaker_wavlm:WavlmAccuracy",
    "wavlm_eer": "evaluation.metrics.speaker_wavlm:WavlmEer",
    "speaker_similarity": "evaluation.metrics.speaker:SpeakerSimilarity",
    "speaker_accuracy": "evaluation.metrics.speaker:SpeakerAccuracy",
    "speaker_eer": "evaluation.metrics.speaker:SpeakerEer",
    "gender_agreement": "evaluation.metrics.gender:GenderAgreement",
    "gender_agreement_f0": "evaluation.metrics.gender:GenderAgreementF0",
    "voice_follows_ge2e": "evaluation.metrics.swap:VoiceFollowsByGe2e",
    "voice_follows": "evaluation.metrics.swap:VoiceFollows",
    "f0_voice": "evaluation.metrics.swap:F0ToVoice",
    "f0_follows": "evaluation.metrics.swap:F0Follows",
    "stoi": "evaluation.metrics.intelligibility:Stoi",
    "estoi": "evaluation.metrics.intelligibility:Estoi",
    "speechbertscore": "evaluation.metrics.speech_bert:SpeechBertScore",
    "pesq_wb": "evaluation.metrics.perceptual:PesqWideBand",
    "pesq_nb": "evaluation.metrics.perceptual:PesqNarrowBand",
    "mcd": "evaluation.metrics.cepstrum:Mcd",
    "mel_l1": "evaluation.metrics.cepstrum:MelL1",
    "f0_rmse": "evaluation.metrics.pitch:F0Rmse",
    "vuv_error": "evaluation.metrics.pitch:VuvError",
    "f0_corr": "evaluation.metrics.pitch:F0Correlation",
    "stoi_aligned": "evaluation.metrics.intelligibility:StoiAligned",
    "estoi_aligned": "evaluation.metrics.intelligibility:EstoiAligned",
    "mcd_dtw": "evaluation.metrics.cepstrum:McdDtw",
    "offset_ms": "evaluation.metrics.offset:OffsetMs",
    "av_offset": "evaluation.metrics.sync:AvOffsetFrames",
    "av_correlation": "evaluation.metrics.sync:AvCorrelation",
    "lse_c": "evaluation.metrics.lipsync:LseC",
    "lse_d": "evaluation.metrics.lipsync:LseD",
    "stoi_as_mira2022": "evaluation.metrics.published:StoiAsMira",
    "pesq_as_mira2022": "evaluation.metrics.published:PesqAsMira",
    "mcd_as_mira2022": "evaluation.metrics.published:McdAsMira",
    "wer_as_mira2022": "evaluation.metrics.published:WerAsMira",
    "pesq_as_vcagan2021": "evaluation.metrics.published:PesqAsVcaGan",
    "cer_as_vcagan2021": "evaluation.metrics.published:CerAsVcaGan",
    "wer_as_vcagan2021": "evaluation.metrics.published:WerAsVcaGan",
    "stoi_as_xts2021": "evaluation.metrics.published:StoiAsXts",
    "pesq_as_xts2021": "evaluation.metrics.published:PesqAsXts",
    "pesq_as_versa2024": "evaluation.metrics.published:PesqAsVersa",
    "length_difference_ms": "evaluation.metrics.input_checks:LengthDifference",
    "level_dbfs": "evaluation.metrics.input_checks:Level",
    "clipped_percent": "evaluation.metrics.input_checks:Clipped",
    "sample_rate_hz": "evaluation.metrics.input_checks:SampleRate",
    "face_rank1": "evaluation.metrics.faces:FaceRank1",
    "face_rank5": "evaluation.metrics.faces:FaceRank5",
    "face_rank10": "evaluation.metrics.faces:FaceRank10",
    "face_rank": "evaluation.metrics.faces:FaceRank",
    "face_rank1_dlib": "evaluation.metrics.face_dlib:FaceRank1Dlib",
    "face_rank_dlib": "evaluation.metrics.face_dlib:FaceRankDlib",
    "face_gender": "evaluation.metrics.faces:FaceGender",
    "face_gender_steady": "evaluation.metrics.face_looks:FaceGenderSteady",
    "face_match_2": "evaluation.metrics.face_match:FaceMatch2",
    "face_match_4": "evaluation.metrics.face_match:FaceMatch4",
    "face_match_10": "evaluation.metrics.face_match:FaceMatch10",
    "face_f0_corr": "evaluation.metrics.face_law:FaceF0Correlation",
    "face_f0_error": "evaluation.metrics.face_law:FaceF0Error",
    "face_tract_corr": "evaluation.metrics.face_law:FaceTractCorrelation",
    "face_found": "evaluation.metrics.face_points:FaceFound",
    "face_points": "evaluation.metrics.face_points:FacePoints",
    "face_kid": "evaluation.metrics.face_looks:FaceKid",
    "face_frechet": "evaluation.metrics.face_looks:FaceFrechet",
    "face_l1": "evaluation.metrics.face_looks:FaceL1",
    "face_ssim": "evaluation.metrics.face_looks:FaceSsim",
    "face_variety_speakers": "evaluation.metrics.face_looks:FaceVarietySpeakers",
    "face_variety_noise": "evaluation.metrics.face_looks:FaceVarietyNoise",
}
"""Name → "module:Class", in the order of the columns."""

EXTERNAL = "versa_"
"""Names of columns that VERSA computed begin with it (`evaluation.metrics.external`)."""

FLOOR_SUFFIX = "_floor"
"""The floor of a metric is the same measure on the recordings: `wer_floor` beside `wer`."""

RECOGNITION = (
    "cer", "wer", "cer_second", "wer_second", "recognizer_agreement", "cer_homophones", "wer_homophones",
    "wer_whisper_normalizer", "cer_grammar", "wer_grammar",
    "lip_cer", "lip_wer", "keyword", "slot_command", "slot_color", "slot_preposition", "slot_letter",
    "slot_digit", "slot_adverb",
)  # fmt: skip
WAVLM = ("wavlm_similarity", "wavlm_accuracy", "wavlm_eer")
SYNC = ("av_offset", "av_correlation", "lse_c", "lse_d")
ECAPA = ("speaker_similarity", "speaker_accuracy", "speaker_eer")
BY_GE2E = {
    "speaker_similarity": "ge2e_similarity",
    "speaker_accuracy": "ge2e_accuracy",
    "speaker_eer": "ge2e_eer",
    "voice_follows": "voice_follows_ge2e",
}
"""Metric by ECAPA → the same by GE2E. Of speakers that neither heard, GE2E confuses far fewer real ones, and
ECAPA far fewer of SynthGRID (docs/judges.md)."""
SWAP = ("voice_follows_ge2e", "voice_follows", "f0_voice", "f0_follows")
PUBLISHED = columns_of(PROTOCOLS)
"""What published code computes, faults included: never ranked, and no default column."""
FACES = tuple(name for name in REGISTRY if name.startswith("face_"))
"""Metrics of pictures made from speech; all the others are of speech."""
MEAN_FACE = "mean_face"
"""In the details of their scores: the same measure of the mean face."""
OPTIONAL = (
    "pesq_wb", "pesq_nb", "nisqa_tts", "utmos", "dnsmos_ovrl", "speechbertscore",
    *WAVLM, *ECAPA, *RECOGNITION, *SYNC, *SWAP, *PUBLISHED, *FACES,
)  # fmt: skip
"""Optional metrics: computed when named, or when the settings provide their needs (`Metric.wanted`)."""


@dataclass(frozen=True)
class MetricInfo:
    """Description of a metric: what a table prints about it and what its cache key covers.

    Attributes:
        name: identifier in the registry and in `scores.jsonl`.
        label: column head.
        unit: unit of the value, "" where it has none.
        direction: whether higher or lower is better; `none` describes the input and is never ranked.
        definition: one or two sentences, printed in captions.
        citation: publication that defines it.
        license: license of the implementation.
        parameters: everything that changes the value.
        group: key of the table that holds it.
        decimals: number of decimals printed.
        highest, lowest: largest and least possible value, None where there is none; no interval is
            printed beyond them.
        needs_reference: whether the recording of the same clip is needed.
        needs_degraded: whether the value depends on the system's own file.
        has_floor: whether the same measure on the recordings is informative (the STOI of a recording
            against itself is not).
        pool: how the scores of clips are pooled into the score of a set (`pooling.POOLS`), "" for the
            mean.
        note: sentence for captions on this configuration (the recognizer, the weights).
        libraries: distributions whose versions may change the value.
        revision: raised when our code changes the value.
    """

    name: str
    label: str
    unit: str
    direction: Direction
    definition: str
    citation: str
    license: str = "MIT"
    parameters: dict[str, Any] = field(default_factory=dict)
    group: Group = "main"
    decimals: int = 3
    highest: float | None = None
    lowest: float | None = None
    needs_reference: bool = True
    needs_degraded: bool = True
    has_floor: bool = False
    pool: str = ""
    note: str = ""
    libraries: tuple[str, ...] = ()
    revision: int = 1

    @property
    def floor(self) -> str:
        """Returns the name of the metric's floor, "" where it has none."""
        return self.name + FLOOR_SUFFIX if self.has_floor else ""

    @property
    def ranks(self) -> bool:
        """Returns whether systems may be ranked by it: floors, properties of files and what published
        code computes do not rank."""
        return self.direction != "none" and self.group not in ("floor", "published")

    @property
    def arrow(self) -> str:
        return {"higher": "↑", "lower": "↓", "none": ""}[self.direction]

    @property
    def heading(self) -> str:
        """Returns the heading of the column with unit and direction: `MCD (dB) ↓`."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.label}{unit} {self.arrow}".rstrip()

    def identity(self) -> dict[str, Any]:
        """Returns all that decides the value beside the files' content: part of the cache key."""
        return {
            "metric": self.name,
            "revision": self.revision,
            "parameters": self.parameters,
            "versions": {name: library_version(name) for name in self.libraries},
        }

    def variant(self, **changes: Any) -> MetricInfo:
        return dataclasses.replace(self, **changes)

    def of_recordings(self) -> MetricInfo:
        """Returns the description of this metric's floor."""
        return self.variant(
            name=self.floor,
            label=f"{self.label} of the recordings",
            definition=f"The same measure as {self.label}, of the recordings of the same clips.",
            group="floor",
            needs_reference=True,
            needs_degraded=False,
            has_floor=False,
        )


@dataclass(frozen=True)
class Measured:
    """A value with its weight in means and its details; see `Score`."""

    value: float
    weight: float = 1.0
    details: dict[str, Any] = field(default_factory=dict)


class Metric:
    """A metric: one column of a table. Subclasses define `info` and one of `value` and `measure`, each
    of which follows from the other.

    Instances travel to worker processes: they hold configuration, never a loaded model.
    """

    info: MetricInfo
    judge: Judge | None = None
    """Whose weights it needs, where they lie in a public wheel."""
    of_recording = False
    """Whether this is the metric's floor: the recordings take the place of the speech."""

    @classmethod
    def configured(cls, settings: Settings) -> Metric:
        """Returns the metric under these settings; most metrics have no settings."""
        return cls()

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        """Returns whether an optional metric is computed without being named."""
        return False

    def value(self, pair: Pair) -> float:
        """Returns the value, or raises `Unscorable` with the reason why there is none."""
        return self.measure(pair).value

    def measure(self, pair: Pair) -> Measured:
        """Returns `value` with its weight and the details to record."""
        return Measured(self.value(pair))

    def clip_inputs(self, root: Path, clip: RunClip) -> list[Any]:
        """Returns all else that decides the value of one clip, as plain values: part of the cache key.

        Args:
            root: the run directory.
        """
        return []

    def for_run(self, run: RunDir) -> Metric:
        """Returns this metric bound to the run, for metrics that need the other clips of a run."""
        return self

    def stated(self, parameters: dict[str, Any]) -> Metric:
        """Returns this metric as a stored score describes it, to check whether the score is still valid."""
        other = copy.copy(self)
        other.info = self.info.variant(parameters=parameters)
        return other

    def applies(self, run: RunDir) -> bool:
        """Returns whether a run holds what this metric measures. Otherwise the run has no scores of
        it, which is no failure: a resynthesis has no lip transcripts."""
        return True

    def refusal(self, run: RunDir) -> str:
        """Returns one line for the user where the metric does not apply to a run that he may expect it
        for; "" otherwise."""
        return ""

    def floor(self) -> Metric:
        """The same measure on the recordings."""
        twin = copy.copy(self)
        twin.of_recording, twin.info = True, self.info.of_recordings()
        return twin

    def key_inputs(self, root: Path, clip: RunClip) -> list[Any]:
        """Returns `clip_inputs` of the measured side."""
        if self.of_recording and clip.voice:
            clip = dataclasses.replace(clip, voice="")
        return self.clip_inputs(root, clip)

    def require(self) -> None:
        """Raises `MissingDependency` when an optional library or its weights are absent."""
        missing = [n for n in self.info.libraries if library_version(n) == "absent"]
        if missing:
            known = install_line(missing[0], "facetron-eval")
            remedy = known or f"pip install {' '.join(missing)}"
            raise MissingDependency(f"{self.info.name} needs {', '.join(missing)}", remedy)
        if self.judge is not None:
            self.judge.require()

    def score(self, pair: Pair) -> Score:
        """Returns the score of a clip. A clip that cannot be scored gives a failed score, no exception.

        Raises:
            ToolkitError: weights or transcripts are unusable for every clip.
        """
        if self.of_recording:
            pair = pair.floor
        try:
            measured = self.measure(pair)
            value = float(measured.value)
            if not math.isfinite(value):
                raise Unscorable("not_a_number", f"the value is {value}")
        except ToolkitError:
            raise
        except Unscorable as failure:
            return self.failure(pair.clip, str(failure))
        except Exception as error:  # a defect in one metric must not cost the others
            return self.failure(pair.clip, f"{RAISED}: {type(error).__name__}: {error}")
        return Score(
            speaker=pair.clip.speaker,
            stem=pair.clip.stem,
            metric=self.info.name,
            # Nine digits: below them lie the rounding of FFTs and ESTOI's dither (1e-16).
            value=float(f"{value:.9g}"),
            status="ok",
            unit=self.info.unit,
            parameters=self.info.parameters,
            weight=measured.weight,
            details=measured.details,
        )

    def failure(self, clip: RunClip, reason: str) -> Score:
        """Returns the failed score of a clip."""
        return Score(
            speaker=clip.speaker,
            stem=clip.stem,
            metric=self.info.name,
            value=None,
            status="failed",
            reason=reason,
            unit=self.info.unit,
            parameters=self.info.parameters,
        )


@cache
def _metric_class(target: str) -> type[Metric]:
    module, attribute = target.split(":")
    found = getattr(importlib.import_module(module), attribute)
    if not (isinstance(found, type) and issubclass(found, Metric)):
        raise TypeError(f"{target} is not a Metric")
    return found


def get_metric(name: str, settings: Settings | None = None) -> Metric:
    """Returns the metric or the floor of that name under these settings (or none).

    Raises:
        BadInput: the name is unknown (the choices are listed), or a setting is invalid.
    """
    if name.startswith(EXTERNAL):
        made: Any = importlib.import_module("evaluation.metrics.external").VersaScore
        return cast("Metric", made(name))
    base = name if name in REGISTRY else name.removesuffix(FLOOR_SUFFIX)
    metric = None
    if base in REGISTRY:
        metric = _metric_class(REGISTRY[base]).configured(settings or Settings())
    if metric is None or (base != name and not metric.info.has_floor):
        raise BadInput(f"there is no metric {name!r}", f"choose from {', '.join(REGISTRY)}")
    return metric if base == name else metric.floor()


def column_order(name: str) -> tuple[bool, int]:
    """Returns the sort key of a metric's name: the registry's order, floors after all others."""
    names = list(REGISTRY)
    if name.startswith(EXTERNAL):
        return False, len(names)
    base = name if name in REGISTRY else name.removesuffix(FLOOR_SUFFIX)
    return base != name, names.index(base)


def _measures(names: Sequence[str]) -> str:
    return "measures" if len(names) == 1 else "measure"


def select(
    names: Sequence[str] | None, settings: Settings | None = None
) -> tuple[list[Metric], list[str]]:
    """Returns (metrics in the registry's order, one line per requested metric that is not available).

    None selects all metrics except the optional ones that the settings do not want. The floor of
    a metric is selected with it.

    Raises:
        BadInput: an unknown name, a metric of speech for runs of pictures, or one of pictures for runs
            of speech.
    """
    settings = settings or Settings()
    asked = list(names or ())
    strange = [name for name in asked if (name in FACES) != (settings.faces is not None)]
    if strange:
        made, other = ("speech", "pictures") if settings.faces else ("pictures", "speech")
        fitting = (n for n in REGISTRY if (n in FACES) == (settings.faces is not None))
        raise BadInput(
            f"{', '.join(strange)} {_measures(strange)} {made}, and the runs hold {other}",
            f"choose from {', '.join(fitting)}",
        )
    if not asked:
        asked = [
            name
            for name, target in REGISTRY.items()
            if (name in FACES) == (settings.faces is not None)
            and (name not in OPTIONAL or _metric_class(target).wanted(settings))
        ] + [f"{EXTERNAL}{name}" for name in settings.versa]
    metrics: dict[str, Metric] = {}
    absent: dict[str, None] = {}
    for name in dict.fromkeys(asked):
        metric = get_metric(name, settings)
        try:
            metric.require()
        except MissingDependency as error:
            absent[str(error)] = None
            continue
        metrics[name] = metric
        if metric.info.has_floor:
            metrics[metric.info.floor] = metric.floor()
    return [metrics[name] for name in sorted(metrics, key=column_order)], list(absent)
