"""The functions behind the commands, for notebooks and scripts: `gridprep.build`, `gridprep.verify`,
`gridprep.crop`. `import gridprep` is enough to call them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gridprep.features import crops
from gridprep.landmarks import registry
from gridprep.media.footage import Footage, one_line
from gridprep.pipeline.recipe import ALL_STAGES, DEFAULT_MEL, ContentPolicy, Recipe
from gridprep.pipeline.run import BuildReport, run
from gridprep.pipeline.selection import CORPUS_SPLIT, BuildOptions
from gridprep.verification.report import Verification, VerifyOptions
from gridprep.verification.run import verify as run_verification
from manifests.cpus import available_cpus
from manifests.errors import BadInput
from manifests.mel import PRESETS
from manifests.records import Landmarks
from manifests.specs import CropSpec, LandmarkSpec

Pictures = NDArray[np.uint8]
Folder = str | os.PathLike[str]

MAX_VIDEO_S = 600.0
"""Longest video that `crop` takes: ten minutes of lip crops are 930 MB."""


def build(
    corpus: Folder,
    out: Folder,
    *,
    corpus_kind: str = "",
    split: str = CORPUS_SPLIT,
    speakers: str | Iterable[str] = "all",
    limit: int = 0,
    jobs: int = 0,
    landmarks: str = "",
    device: str = "cpu",
    every: int = LandmarkSpec().every,
    who: str = "",
    landmark_options: Mapping[str, str] | None = None,
    lips_format: str = CropSpec().lips_codec,
    face_every: int = CropSpec().face_every,
    mels: Iterable[str] = (DEFAULT_MEL,),
    content: ContentPolicy = "fail",
    backend: str = "local",
    scheduler: str = "",
    shard: str = "",
    max_failures: int = -1,
    redo: Iterable[str] = (),
) -> BuildReport:
    """Builds features and a manifest from a corpus, as `gridprep build` does.

    Every clip ends as a row of the manifest or as a failure with stage and reason. Called again, it
    redoes what changed; interrupted, it goes on where it stopped. A build of other clips into the same
    folder adds to it.

    Args:
        corpus: folder of a corpus or of your own videos, or a list of videos; it is only read.
        out: folder of the build.
        corpus_kind: name of the corpus's recipe (`gridprep.corpora.registry`); "" where it shows by
            itself.
        split: a frozen split (`gridprep splits` lists them), or a file that `gridprep splits freeze`
            wrote, that gives the clips their subsets; `default` is the corpus's own, `large-unseen` of
            GRID.
        speakers: `all`, names such as `s1,s2` or, of GRID, `s1-s5`, or a list of names.
        limit: at most this many clips, spread evenly over the speakers; 0 is all.
        jobs: worker processes; 0 is one for every processor that this process may use.
        landmarks: landmark backend; "" is the default one.
        device: `cpu`, `cuda` or `cuda:N`, for the landmark backend.
        every: landmarks on every k-th frame, the others interpolated.
        who: which of several faces: `left`, `right`, `largest`, or the N-th from the left; "" is the
            most central and large one.
        landmark_options: options of the landmark backend by name.
        lips_format: storage of the lip crops.
        face_every: a face still on every k-th frame.
        mels: presets of `manifests.mel.PRESETS`; the first is the build's own mel.
        content: `fail`: a clip whose pictures, sound, words or speaker are wrong is a failure; `flag`:
            it is a row with flags; `off`: the content is not checked.
        backend: `local` or `dask`.
        scheduler: address of a Dask scheduler.
        shard: `i/n` builds the i-th of n parts of the corpus, for `gridprep merge`.
        max_failures: stop when more than this many clips fail; −1 is never.
        redo: stages that run again, with the stages that depend on them.

    Returns:
        The report: counts with `rows + len(failures) == clips`, and the path of the manifest.

    Raises:
        BadInput: a corpus, option or folder that cannot be used.
        MissingDependency: no such landmark backend here.
        Locked: another build writes to `out`.
        TooManyFailures: more than `max_failures`; finished clips stay finished.

    Example:
        >>> import gridprep
        >>> report = gridprep.build("grid", "features", split="large-unseen")
        >>> report.rows, len(report.failures), report.clips
        (4, 0, 4)
    """
    return run(
        build_options(
            corpus,
            out,
            recipe_of(
                landmarks=landmarks,
                device=device,
                every=every,
                who=who,
                landmark_options=landmark_options,
                lips_format=lips_format,
                face_every=face_every,
                mels=mels,
                content=content,
            ),
            corpus_kind=corpus_kind,
            split=split,
            speakers=speakers,
            limit=limit,
            jobs=jobs,
            backend=backend,
            scheduler=scheduler,
            shard=shard,
            max_failures=max_failures,
            redo=redo,
        )
    )


def build_options(
    corpus: Folder,
    out: Folder,
    recipe: Recipe,
    *,
    corpus_kind: str = "",
    split: str = "",
    speakers: str | Iterable[str] = "all",
    limit: int = 0,
    jobs: int = 0,
    backend: str = "local",
    scheduler: str = "",
    shard: str = "",
    max_failures: int = -1,
    redo: Iterable[str] = (),
    targets: tuple[str, ...] = ALL_STAGES,
) -> BuildOptions:
    """Parses the options of a build from text; see `build`. Raises `BadInput`."""
    return BuildOptions(
        corpus=os.fspath(corpus),
        out=os.fspath(out),
        recipe=recipe,
        corpus_kind=corpus_kind,
        split=split,
        speakers=_speakers(speakers),
        limit=limit,
        jobs=jobs or available_cpus(),
        backend=backend,
        scheduler=scheduler,
        shard=shard,
        max_failures=max_failures,
        targets=targets,
        redo=tuple(redo),
    )


def recipe_of(
    *,
    landmarks: str = "",
    device: str = "cpu",
    every: int = LandmarkSpec().every,
    who: str = "",
    landmark_options: Mapping[str, str] | None = None,
    lips_format: str = CropSpec().lips_codec,
    face_every: int = CropSpec().face_every,
    mels: Iterable[str] = (DEFAULT_MEL,),
    content: ContentPolicy = "fail",
) -> Recipe:
    """Parses the recipe of a build from text; see `build`. Raises `BadInput` for unknown
    names."""
    name = landmarks or registry.DEFAULT
    registry.entry(name)
    presets = tuple(dict.fromkeys(mels))
    for preset in presets:
        if preset not in PRESETS:
            raise BadInput(f"unknown mel preset {preset!r}", f"use one of {', '.join(PRESETS)}")
    options = tuple(sorted(_with_who(landmark_options, who).items()))
    default = Recipe()
    return replace(
        default,
        landmarks=replace(
            default.landmarks,
            backend=name,
            every=every,
            options=registry.spec_options(name, dict(options)),
        ),
        landmark_options=options,
        crop=replace(default.crop, lips_codec=lips_format, face_every=face_every),
        mels=presets or default.mels,
        device=device,
        content=content,
    )


def verify(
    corpus: Folder,
    *,
    corpus_kind: str = "",
    speakers: str | Iterable[str] = "all",
    limit: int = 0,
    jobs: int = 0,
    quick: bool = False,
    faces: bool = False,
) -> Verification:
    """Checks every clip of a corpus as a build would, and a GRID folder against GRID's lists, as
    `gridprep verify` does. The corpus is only read.

    Args:
        corpus: folder of a corpus, or a list of videos.
        corpus_kind, speakers, limit, jobs: as in `build`.
        quick: names and presence only; nothing is decoded.
        faces: look for the face in every clip as well.

    Returns:
        The findings per clip and per speaker; `count("failed")` clips cannot be used by a build.

    Raises:
        BadInput: no such folder, no clip in it, or none of the speakers.
        MissingDependency: `faces` without a landmark backend.

    Example:
        >>> import gridprep
        >>> found = gridprep.verify("grid")
        >>> found.count("ok"), found.count("failed")
        (4, 0)
    """
    return run_verification(
        VerifyOptions(
            corpus=os.fspath(corpus),
            corpus_kind=corpus_kind,
            speakers=_speakers(speakers),
            limit=limit,
            jobs=jobs or available_cpus(),
            quick=quick,
            faces=faces,
        )
    )


@dataclass(frozen=True)
class VideoCrops:
    """Lip crops and face stills of a video, with the landmarks that they were cut by.

    Attributes:
        lips: (T, 144, 144, 3) uint8 RGB at 25 frames per second.
        faces: (K, 160, 160, 3) uint8 RGB stills.
        face_frames: (K,) which of the T frames the stills show.
        landmarks: the points that were found, (T, N, 2) in pixels of the source, before they were
            smoothed and interpolated.
        found_share: share of the frames looked at in which a face was found.
        interpolated_frames: number of frames looked at without a face; their landmarks are
            interpolated.
        lips_border_px: how far a lip crop reached over the border of the picture, in source pixels; what
            lies outside repeats the border.
        source_fps: the video's own frames per second.
    """

    lips: Pictures
    faces: Pictures
    face_frames: NDArray[np.intp]
    landmarks: Landmarks
    found_share: float
    interpolated_frames: int
    lips_border_px: float
    source_fps: float


def crop(
    video: Folder,
    *,
    landmarks: str = "",
    device: str = "cpu",
    every: int = LandmarkSpec().every,
    who: str = "",
    landmark_options: Mapping[str, str] | None = None,
    spec: CropSpec = CropSpec(),
) -> VideoCrops:
    """Cuts lips and face stills out of a video, by the geometry of a build.

    The face is warped by eyes and nose onto the mean face, and the lip crop follows the mouth
    (auto_avsr's and AV-HuBERT's way). Of several faces one is taken, see `who`, and then followed.

    Args:
        video: any format, size and frame rate, up to ten minutes; frames are taken at 25 per second.
        landmarks, device, every, who, landmark_options: as in `build`.
        spec: sizes of the crops.

    Raises:
        BadInput: the file is no video, is damaged, or shows a face in less than half of its frames.
        MissingDependency: no such landmark backend here.

    Example:
        >>> import gridprep
        >>> cut = gridprep.crop("clip.mpg")
        >>> cut.lips.shape, cut.faces.shape
        ((75, 144, 144, 3), (15, 160, 160, 3))
        >>> cut.landmarks.named("nose_tip").shape
        (75, 1, 2)
    """
    name = landmarks or registry.DEFAULT
    backend = registry.create(name, device, _with_who(landmark_options, who))
    try:
        with one_line(video), closing(Footage(video, MAX_VIDEO_S)) as footage:
            found = backend.detect(registry.frames_for(name, footage), every)
            track = crops.track(found, LandmarkSpec(backend=name, every=every), spec)
            cut = crops.crop_clip(footage, track, spec)
    finally:
        backend.close()
    return VideoCrops(
        lips=cut.lips,
        faces=cut.stills,
        face_frames=np.arange(0, len(cut.lips), spec.face_every),
        landmarks=found,
        found_share=track.found_share,
        interpolated_frames=track.interpolated_frames,
        lips_border_px=cut.lips_border_px,
        source_fps=footage.fps,
    )


def _with_who(options: Mapping[str, str] | None, who: str) -> dict[str, str]:
    """Options of a landmark backend, with the choice among faces where there is one."""
    return {**(options or {}), **({"who": who} if who else {})}


def _speakers(given: str | Iterable[str]) -> tuple[str, ...]:
    text = given if isinstance(given, str) else ",".join(given)
    return () if text == "all" else (text,)
