"""The pictures of a run that makes faces from speech, and the real stills that they are compared with.

A run of kind `faces` names a picture for each clip, and as its reference the strip of the clip's real
stills in a build. The build behind them is asked for nothing else but the voices: what a run is scored
against are the speakers that it is about.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.build_files import find_build, row_of, source_of
from evaluation.inputs.pairs import RunDir, Unscorable, read_run
from evaluation.inputs.run_files import RunFiles
from evaluation.inputs.speaker_recordings import even
from evaluation.models.face import SIDE_PX, Embeddings, Picture, load_face
from manifests.errors import BadInput, ManifestError
from manifests.io import read_json
from manifests.ordering import natural
from manifests.pictures import read_picture, read_pictures
from manifests.records import RunClip

CLIPS = 20
"""Clips of a speaker whose stills make the gallery, at most."""
COMPARED_PX = SIDE_PX
"""Side that pictures are brought to before their pixels are compared: what the encoder sees."""
LEAST_PX = 16
"""A smaller picture shows nobody."""


def load_picture(path: Path) -> Picture:
    """A square picture, (H, H, 3) uint8 RGB.

    Raises:
        Unscorable: `picture_missing`, `picture_unreadable`, `picture_not_square`, `picture_too_small`.
    """
    if not path.is_file():
        raise Unscorable("picture_missing", f"{path.name} does not exist")
    try:
        picture = read_picture(path)
    except BadInput as error:
        # Without the folder, which would be in the scores and differ from machine to machine.
        detail = str(error).split(";")[0].replace(str(path), path.name)
        raise Unscorable("picture_unreadable", detail) from None
    if picture is None:
        raise Unscorable("picture_unreadable", f"{path.name} is no picture")
    height, width = picture.shape[:2]
    if height != width:
        raise Unscorable("picture_not_square", f"{path.name} has {width} × {height} pixels")
    if height < LEAST_PX:
        raise Unscorable("picture_too_small", f"{path.name} has {width} × {height} pixels")
    return picture


def middle_still(path: Path) -> Picture:
    """The still in the middle of a strip. Raises `Unscorable` as `still_at`."""
    return still_at(path, 0.5)


def still_at(path: Path, place: float) -> Picture:
    """A still of a strip, 0 for the first and towards 1 for the last. Raises `Unscorable`:
    `reference_file_missing`, `reference_unreadable`."""
    if not path.is_file():
        raise Unscorable("reference_file_missing", f"{path.name} does not exist")
    try:
        stills = read_pictures(path)
    except BadInput as error:
        detail = str(error).split(";")[0].replace(str(path), path.name)
        raise Unscorable("reference_unreadable", detail) from None
    return np.ascontiguousarray(stills[int(place * len(stills))])


def resized(picture: Picture, side_px: int) -> Picture:
    """(H, H, 3) → (side, side, 3)."""
    if picture.shape[0] == side_px:
        return picture
    how = cv2.INTER_AREA if picture.shape[0] > side_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (side_px, side_px), interpolation=how), np.uint8)


@dataclass(frozen=True)
class Seen:
    """A picture and what the encoder makes of it.

    Attributes:
        picture: (`COMPARED_PX`, `COMPARED_PX`, 3) uint8 RGB.
        embedding: (E,) of unit length.
    """

    picture: Picture
    embedding: NDArray[np.float64]


def seen(picture: Picture) -> Seen:
    """Looks at one picture."""
    return Seen(resized(picture, COMPARED_PX), load_face().embed([picture])[0])


class Gallery(RunFiles):
    """The real stills that a run's speakers are known by."""


@dataclass(frozen=True)
class Known:
    """One speaker's real stills, one of each clip.

    Attributes:
        gender: as the run's clips have it.
        clips: n clip ids.
        embeddings: (n, E) of unit length.
        pictures: (n, `COMPARED_PX`, `COMPARED_PX`, 3) uint8 RGB.
    """

    gender: str
    clips: tuple[str, ...]
    embeddings: Embeddings
    pictures: NDArray[np.uint8]

    def others(self, clip_id: str) -> NDArray[np.bool_]:
        """(n,) which stills are of other clips."""
        return np.array([name != clip_id for name in self.clips])


def stills(run: RunDir) -> dict[str, dict[str, Path]]:
    """Speaker → clip id → strip of stills, at most `CLIPS` of each speaker."""
    found: dict[str, dict[str, Path]] = {}
    for clip in run.clips:
        path = run.reference(clip)
        if path is not None:
            found.setdefault(clip.speaker, {})[clip.clip_id] = path
    return {speaker: even(found[speaker], CLIPS) for speaker in sorted(found, key=natural)}


def gallery_of(run: RunDir) -> Gallery:
    """Hashes what `known` will look at."""
    return Gallery.of(run, stills(run))


@lru_cache(maxsize=4)
def known(gallery: Gallery) -> dict[str, Known]:
    """Speaker → stills; those that cannot be read are left out. Looked at once a process."""
    run = read_run(gallery.root)
    genders = {clip.speaker: clip.gender for clip in run.clips}
    found = {}
    for speaker, clips in stills(run).items():
        pictures = {}
        for name, path in clips.items():
            try:
                pictures[name] = middle_still(path)
            except Unscorable:
                continue  # its own floor says so
        if pictures:
            found[speaker] = Known(
                genders[speaker],
                tuple(pictures),
                load_face().embed(list(pictures.values())),
                np.stack([resized(picture, COMPARED_PX) for picture in pictures.values()]),
            )
    return found


@lru_cache(maxsize=4)
def mean_face(gallery: Gallery) -> Seen:
    """The mean of all the speakers' mean stills: the picture of nobody that is like everybody.

    Raises:
        Unscorable: `reference_file_missing`, where no still can be read.
    """
    means = [speaker.pictures.mean(axis=0) for speaker in known(gallery).values()]
    if not means:
        raise Unscorable("reference_file_missing", "no real still of any speaker can be read")
    return seen(np.asarray(np.round(np.mean(means, axis=0)), np.uint8))


@dataclass(frozen=True)
class Law:
    """The numbers that SynthGRID's rule gives to a speaker.

    Attributes:
        ln_f0: natural logarithm of the F0 in Hz.
        tract_place: length of the vocal tract within the gender, in ±1.
    """

    ln_f0: float
    tract_place: float


def law_path(run: RunDir) -> Path | None:
    """`speakers.json` of the SynthGRID that a run's stills come from; None for any other corpus, and
    where the corpus is gone."""
    for clip in run.clips:
        path = run.reference(clip)
        build = None if path is None else find_build(path)
        corpus = None if build is None else source_of(build)
        if corpus is not None:
            found = corpus / "speakers.json"
            return found if found.is_file() else None
    return None


@lru_cache(maxsize=4)
def read_law(path: Path) -> dict[str, Law]:
    """Speaker → what the rule gives.

    Raises:
        BadInput: the file is not what `gridprep synth` writes.
    """
    try:
        return {
            speaker: Law(float(np.log(told["voice"]["f0_hz"])), float(told["tract_place"]))
            for speaker, told in read_json(path).items()
        }
    except (ManifestError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadInput(
            f"{path} is no list of SynthGRID's speakers ({error})", "make the corpus again"
        ) from None


def recording_of(run: RunDir, clip: RunClip) -> Path:
    """The recording of a clip, found in the build that its stills lie in. Raises `Unscorable`:
    `no_build`, `no_audio`."""
    build, row = row_of(run.reference(clip), clip)
    path = build / row.paths.get("audio", "")
    if "audio" not in row.paths or not path.is_file():
        raise Unscorable("no_audio", f"{build.name} holds no recording of this clip")
    return path


class Drawn(RunFiles):
    """All the pictures that a run holds, by label."""


def drawn_of(run: RunDir) -> Drawn:
    """Hashes what `pictures_of` will look at."""
    return Drawn.of(run, {clip.label: run.made(clip) for clip in run.clips})


@lru_cache(maxsize=4)
def pictures_of(drawn: Drawn) -> dict[str, Seen]:
    """Label → picture, of all that can be read. Looked at once a process."""
    run = read_run(drawn.root)
    found = {}
    for clip in run.clips:
        try:
            found[clip.label] = seen(load_picture(run.made(clip)))
        except Unscorable:
            continue  # its own scores say so
    return found
