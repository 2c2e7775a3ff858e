"""What a build makes of a clip, in which order, and when a stage counts as done.

    decode ─┬─ align ── crop        (pictures)
            └─ audio ── mels        (sound)
    alignment                       (words)
    align + audio ── sync           (A/V offset)

A stage is done when its key is the one expected now and its files are there. Keys hash the source, the
parameters and the versions, chained: a stage's key contains its upstream's.
"""

from __future__ import annotations

from dataclasses import dataclass

from gridprep.features.prosody import ProsodySpec
from gridprep.pipeline.state import ClipState, chain, files_present
from manifests.mel import PRESETS
from manifests.records import Clip, ClipFailure
from manifests.specs import AudioSpec, CropSpec, LandmarkSpec, MelSpec

DEFAULT_MEL = "facetron"

# Raised by hand when the code of a stage changes what it writes; the key of the stage contains it.
STAGE_VERSIONS = {
    "decode": "2",
    "alignment": "1",
    "audio": "1",
    "align": "2",
    "crop": "2",
    "mels": "1",
    "sync": "2",
}

UPSTREAM: dict[str, tuple[str, ...]] = {
    "decode": (),
    "alignment": (),
    "audio": ("decode",),
    "align": ("decode",),
    "crop": ("align",),
    "mels": ("audio",),
    "sync": ("align", "audio"),
}
"""Stage → the stages whose keys its own contains; also the order of work."""

ALL_STAGES = tuple(UPSTREAM)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the features, the same for all clips of a build.

    Attributes:
        mels: preset names; the first one is the build's own mel, the others are stored beside it.
        device: `cpu`, `cuda` or `cuda:N`, for the landmark backend.
        landmark_options: every option of the landmark backend as (name, value) pairs; those that
            change the points are in `landmarks.options` too.
        library_versions: of the libraries whose change would change bytes, stage → version text.
    """

    audio: AudioSpec = AudioSpec()
    landmarks: LandmarkSpec = LandmarkSpec()
    crop: CropSpec = CropSpec()
    prosody: ProsodySpec = ProsodySpec()
    mels: tuple[str, ...] = (DEFAULT_MEL,)
    device: str = "cpu"
    landmark_options: tuple[tuple[str, str], ...] = ()
    library_versions: tuple[tuple[str, str], ...] = ()

    @property
    def mel(self) -> MelSpec:
        return PRESETS[self.mels[0]]

    def stage_parameters(self) -> dict[str, str]:
        """Stage → one text of its parameters and versions."""
        versions = dict(self.library_versions)
        own = {
            "decode": "",
            "alignment": "",
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
        }
        return {
            stage: f"{stage} {STAGE_VERSIONS[stage]} {own[stage]} {versions.get(stage, '')}"
            for stage in UPSTREAM
        }


@dataclass(frozen=True)
class ClipTask:
    """One clip's work, sent to a worker."""

    clip: Clip
    build: str
    recipe: Recipe
    targets: tuple[str, ...]
    """Stages wanted; their upstreams are implied."""


def with_upstreams(targets: tuple[str, ...]) -> tuple[str, ...]:
    """The targets and everything they need, in order of work."""
    wanted = set(targets)
    for stage in reversed(ALL_STAGES):
        if stage in wanted:
            wanted |= set(UPSTREAM[stage])
    return tuple(stage for stage in ALL_STAGES if stage in wanted)


def expected_keys(state: ClipState, clip: Clip, parameters: dict[str, str]) -> dict[str, str]:
    """Stage → the key that it must have to count as done, for the source that `state` has stamped."""
    source = state.source.sha256 if state.source else ""
    keys: dict[str, str] = {}
    for stage, upstream in UPSTREAM.items():
        if stage == "alignment":
            words = state.alignment.sha256 if state.alignment else "none"
            inputs: tuple[str, ...] = (clip.stem, words)
        else:
            inputs = tuple(keys[u] for u in upstream) or (source,)
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
    """Whether a stage failed on this very source with these parameters, and so would again."""
    return state.failure is not None and any(state.failure_key == keys[stage] for stage in stages)


def stale_stages(
    state: ClipState, keys: dict[str, str], stages: tuple[str, ...], build: str
) -> tuple[str, ...]:
    """Those of `stages` that must be (re)done; none where a failure stands."""
    if failure_stands(state, keys, stages):
        return ()
    return tuple(
        stage
        for stage in stages
        if stage not in state.stages
        or state.stages[stage].key != keys[stage]
        or not files_present(build, state.stages[stage])
    )


def is_done(task: ClipTask, state: ClipState, parameters: dict[str, str]) -> bool:
    """Whether nothing is to be done for a clip. Reads no media: this is what a rerun costs."""
    if not sources_current(state, task.clip):
        return False
    keys = expected_keys(state, task.clip, parameters)
    if failure_among(state, task.targets) and not failure_stands(state, keys, task.targets):
        return False
    return not stale_stages(state, keys, task.targets, task.build)
