"""The recipe of a build: stages of a clip, their order and parameters, and when a stage is done.

    decode ─┬─ align ── crop        (pictures)
            └─ audio ── mels        (sound)
    alignment                       (words)
    align + audio ── sync           (A/V offset)
    alignment + crop + mels ── content   (is what is stored a mouth that says these words?)

A stage is done when its key is the one expected now and its files are there. Keys hash the source, the
parameters and the versions, chained: a stage's key contains its upstream's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

from gridprep.corpora.base import Check, CorpusRecipe
from gridprep.corpora.registry import recipe as corpus_recipe
from gridprep.features.prosody import ProsodySpec
from gridprep.media.expectation import GRID_CLIP
from gridprep.pipeline.state import ClipState, StageState, chain, decode_state, files_present
from manifests.errors import ManifestError
from manifests.mel import PRESETS
from manifests.records import Clip, ClipFailure, WordSpan
from manifests.specs import AudioSpec, CropSpec, LandmarkSpec, MelSpec

DEFAULT_MEL = "facetron"

# Raised by hand when the code of a stage changes what it writes; the key of the stage contains it.
STAGE_VERSIONS = {
    "decode": "3",
    "alignment": "1",
    "audio": "2",
    "align": "3",
    "crop": "4",
    "mels": "1",
    "sync": "2",
    "content": "2",
}

UPSTREAM: dict[str, tuple[str, ...]] = {
    "decode": (),
    "alignment": (),
    "audio": ("decode",),
    "align": ("decode",),
    "crop": ("align",),
    "mels": ("audio",),
    "sync": ("align", "audio"),
    "content": ("alignment", "crop", "mels"),
}
"""Stage → the stages whose keys its own contains; also the order of work."""

ALL_STAGES = tuple(UPSTREAM)

STAGE_FILES: dict[str, tuple[str, ...]] = {
    "audio": ("audio",),
    "align": ("landmarks",),
    "crop": ("lips", "face"),
    "mels": ("mel", "prosody"),
}
"""Stage → the artifacts that a row needs from it."""

ALL_CHECKS: frozenset[Check] = frozenset(get_args(Check))

ContentPolicy = Literal["fail", "flag", "off"]
"""Policy for clips with ruined content: a failure, a row with a flag, or no check at all."""

STAGE_COUNTS: dict[str, tuple[str, ...]] = {
    "audio": ("samples", "samples_added"),
    "crop": ("video_frames",),
    "mels": ("mel_frames",),
}
"""Stage → the whole numbers that a row needs from it."""


def content_policy(text: str) -> ContentPolicy:
    """The policy of that name. Raises `ValueError` for an unknown name."""
    for policy in get_args(ContentPolicy):
        if text == policy:
            return cast(ContentPolicy, policy)
    raise ValueError(f"{text!r} is no policy of content")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the features, the same for all clips of a build.

    Attributes:
        mels: preset names; the first one is the build's own mel, the others are stored beside it.
        device: `cpu`, `cuda` or `cuda:N`, for the landmark backend.
        landmark_options: every option of the landmark backend as (name, value) pairs; those that
            change the points are in `landmarks.options` too.
        library_versions: stage → versions of the libraries that decide the bytes of its files.
        content: policy for clips with ruined content.
        corpus: name of the recipe of the corpus (`gridprep.corpora.registry`).
    """

    audio: AudioSpec = AudioSpec()
    landmarks: LandmarkSpec = LandmarkSpec()
    crop: CropSpec = CropSpec()
    prosody: ProsodySpec = ProsodySpec()
    mels: tuple[str, ...] = (DEFAULT_MEL,)
    device: str = "cpu"
    landmark_options: tuple[tuple[str, str], ...] = ()
    library_versions: tuple[tuple[str, str], ...] = ()
    content: ContentPolicy = "fail"
    corpus: str = "grid"

    @property
    def mel(self) -> MelSpec:
        return PRESETS[self.mels[0]]

    @property
    def corpus_recipe(self) -> CorpusRecipe:
        """What is known of the corpus."""
        return corpus_recipe(self.corpus)

    def for_corpus(self, corpus: CorpusRecipe) -> Recipe:
        """The recipe for clips of a corpus."""
        return replace(self, corpus=corpus.name, audio=corpus.audio)

    def to_dict(self) -> dict[str, Any]:
        """Plain values from which `from_dict` makes the recipe again, without the versions: those are
        of the libraries that are installed when it is used."""
        return {
            "audio": self.audio.to_dict(),
            "landmarks": self.landmarks.to_dict(),
            "crop": self.crop.to_dict(),
            "prosody": self.prosody.to_dict(),
            "mels": list(self.mels),
            "device": self.device,
            "landmark_options": dict(self.landmark_options),
            "content": self.content,
            "corpus": self.corpus,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """Inverse of `to_dict`. Raises `KeyError`, `TypeError`, `ValueError` or `ManifestError`."""
        return cls(
            audio=AudioSpec.from_dict(values["audio"]),
            landmarks=LandmarkSpec.from_dict(values["landmarks"]),
            crop=CropSpec.from_dict(values["crop"]),
            prosody=ProsodySpec.from_dict(values["prosody"]),
            mels=tuple(values["mels"]),
            device=str(values["device"]),
            landmark_options=tuple(sorted(dict(values["landmark_options"]).items())),
            content=content_policy(values.get("content", "fail")),
            corpus=str(values.get("corpus", "grid")),
        )

    def stage_parameters(self) -> dict[str, str]:
        """Stage → one text of its parameters and versions."""
        versions = dict(self.library_versions)
        corpus = self.corpus_recipe
        plain = corpus.checks >= ALL_CHECKS  # as texts were before there were other corpora
        own = {
            "decode": "" if corpus.expected == GRID_CLIP else corpus.expected.fingerprint(),
            "alignment": "" if plain else f"{corpus.name} {corpus.version}",
            "audio": self.audio.fingerprint(),
            "align": self.landmarks.fingerprint(),
            "crop": self.crop.fingerprint(),
            "mels": " ".join(
                [
                    *(f"{m}:{PRESETS[m].fingerprint()}" for m in self.mels),
                    self.prosody.fingerprint(),
                ]
            ),
            "sync": "",
            "content": self.content if plain else " ".join([self.content, *sorted(corpus.checks)]),
        }
        return {
            stage: f"{stage} {STAGE_VERSIONS[stage]} {own[stage]} {versions.get(stage, '')}"
            for stage in UPSTREAM
        }


@dataclass(frozen=True)
class ClipTask:
    """One clip's work, sent to a worker.

    Attributes:
        targets: stages wanted; their upstreams are implied.
        remembered: the text of the clip's state, "" where there is none.
        unsure: whether files of finished stages may be others than the state says, so that their
            content decides (a build was killed, or the stages are to be checked).
        redo: stages that are done anew, whatever their keys say, with all that depends on them.
    """

    clip: Clip
    build: str
    recipe: Recipe
    targets: tuple[str, ...]
    remembered: str = ""
    unsure: bool = False
    redo: tuple[str, ...] = ()

    def state(self) -> ClipState:
        """The remembered state of the clip, without the keys of the stages to be redone."""
        state = decode_state(self.remembered)
        for stage in with_downstreams(self.redo):
            if stage in state.stages:
                state.stages[stage] = replace(state.stages[stage], key="")
        return state


def with_upstreams(targets: tuple[str, ...]) -> tuple[str, ...]:
    """The targets and everything they need, in order of work."""
    wanted = set(targets)
    for stage in reversed(ALL_STAGES):
        if stage in wanted:
            wanted |= set(UPSTREAM[stage])
    return tuple(stage for stage in ALL_STAGES if stage in wanted)


def with_downstreams(stages: tuple[str, ...]) -> tuple[str, ...]:
    """The stages and everything that is made from their results, in order of work."""
    found = set(stages)
    for stage, upstream in UPSTREAM.items():
        if found & set(upstream):
            found.add(stage)
    return tuple(stage for stage in ALL_STAGES if stage in found)


def whole(name: str, stage: StageState) -> bool:
    """Whether a remembered stage holds all that a manifest row needs of it, in the right form."""
    data = stage.data
    if any(artifact not in stage.files for artifact in STAGE_FILES.get(name, ())):
        return False
    if any(type(data.get(count)) is not int for count in STAGE_COUNTS.get(name, ())):
        return False
    if not isinstance(data.get("qc", {}), dict) or not isinstance(data.get("flags", []), list):
        return False
    if name == "alignment":
        try:
            words = [WordSpan.from_dict(word) for word in data["words"]]
            return bool(words) or isinstance(data.get("sentence"), str)
        except (KeyError, TypeError, AttributeError, ManifestError):
            return False
    return True


def expected_keys(state: ClipState, clip: Clip, parameters: dict[str, str]) -> dict[str, str]:
    """Stage → the key that it must have to count as done, for the source that `state` has stamped."""
    source = state.source.sha256 if state.source else ""
    part = (f"{clip.start_s:.6f}-{clip.end_s:.6f}",) if clip.is_part else ()
    keys: dict[str, str] = {}
    for stage, upstream in UPSTREAM.items():
        if stage == "alignment":
            words = state.alignment.sha256 if state.alignment else "none"
            said = (clip.transcript,) if clip.transcript else ()
            inputs: tuple[str, ...] = (clip.stem, words, *said, *part)
        else:
            inputs = tuple(keys[u] for u in upstream) or (source, *part)
        keys[stage] = chain(parameters[stage], *inputs)
    return keys


def sources_current(state: ClipState, clip: Clip) -> bool:
    """Whether the files that the state was made from are still the clip's files, unchanged."""
    if state.source is None or state.source.path != clip.video or not state.source.is_current():
        return False
    if state.alignment is None:
        return clip.alignment == ""
    return state.alignment.path == clip.alignment and state.alignment.is_current()


def failure_among(state: ClipState, stages: tuple[str, ...]) -> ClipFailure | None:
    """The recorded failure if it concerns any of `stages`: `gridprep mels` is not stopped by a
    missing alignment. A worker that died concerns them all."""
    failure = state.failure
    if failure is None or failure.stage in stages or failure.stage not in ALL_STAGES:
        return failure
    return None


def failure_stands(state: ClipState, keys: dict[str, str], stages: tuple[str, ...]) -> bool:
    """Whether a stage failed on this same source with these parameters, so that it would again."""
    return state.failure is not None and any(state.failure_key == keys[stage] for stage in stages)


def stale_stages(
    state: ClipState,
    keys: dict[str, str],
    stages: tuple[str, ...],
    build: str,
    content: bool = False,
) -> tuple[str, ...]:
    """The stages among `stages` that must run; none where a recorded failure still holds.

    Args:
        content: whether files count as there by their SHA-256 and not by their size alone.
    """
    if failure_stands(state, keys, stages):
        return ()
    return tuple(
        stage
        for stage in stages
        if stage not in state.stages
        or state.stages[stage].key != keys[stage]
        or not whole(stage, state.stages[stage])
        or not files_present(build, state.stages[stage], content)
    )


def is_done(task: ClipTask, state: ClipState, parameters: dict[str, str]) -> bool:
    """Whether a clip has no stale stage. Reads no media, so a rerun of a finished build is quick."""
    if task.unsure or task.redo or not sources_current(state, task.clip):
        return False
    keys = expected_keys(state, task.clip, parameters)
    if failure_among(state, task.targets) and not failure_stands(state, keys, task.targets):
        return False
    return not stale_stages(state, keys, task.targets, task.build)
