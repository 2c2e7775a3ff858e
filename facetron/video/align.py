"""Alignment of any video of a face: lip crops at 25 fps and face stills, cropped as by `gridprep build`.

This is the only module of facetron that uses gridprep's alignment: a model that was trained on its
crops needs the same crops. Frames are decoded as they are needed, so that a minute of video takes no
more memory than its crops.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from gridprep.features import crops
from gridprep.features.crop_store import CODECS
from gridprep.landmarks import registry
from gridprep.landmarks.base import WHO, LandmarkBackend, require_upright
from gridprep.media.footage import Footage as Footage
from gridprep.media.footage import one_line
from gridprep.media.scenes import scene_cuts, thumbnail
from manifests.errors import BadInput, ClipError
from manifests.pictures import is_heif, read_picture
from manifests.records import Landmarks
from manifests.specs import VIDEO_FPS, CropSpec, LandmarkSpec

Pictures = NDArray[np.uint8]

MAX_S = 600.0
"""Ten minutes of lip crops are 930 MB."""
MIN_FRAMES = 5
"""0.2 s: shorter than any word."""
MAX_STILLS = 60
"""Largest number of stills, that of 12 s; those of a longer video are spread over all of it."""
MAX_PICTURE_PX = 1920
"""A longer side of a picture is shrunk to this first."""
NAMED_CUTS = 3
"""So many cuts are named, the others counted."""


@dataclass(frozen=True)
class AlignedVideo:
    """
    Attributes:
        lips: (T, 144, 144, 3) uint8 RGB at 25 fps.
        stills: (K, 160, 160, 3) uint8 RGB.
        still_frames: (K,) which of the T frames they show.
        notes: what the user should know of how they came about.
    """

    lips: Pictures
    stills: Pictures
    still_frames: NDArray[np.intp]
    notes: tuple[str, ...]


@contextmanager
def open_video(path: str | os.PathLike[str], least_frames: int = MIN_FRAMES) -> Iterator[Footage]:
    """The pictures of a file. Raises `BadInput` naming it: no video, damaged, too short, over ten
    minutes."""
    with one_line(path):
        if os.path.isfile(path) and os.access(path, os.R_OK) and is_heif(path):
            raise BadInput(
                f"{path} is a picture, not a video", "give a video; --face takes a picture"
            )
        footage = Footage(path, MAX_S)
        try:
            if len(footage) < least_frames:
                raise BadInput(
                    f"{path} lasts {len(footage) / VIDEO_FPS:.2f} s",
                    f"give {least_frames / VIDEO_FPS} s or more",
                )
            yield footage
        finally:
            footage.close()


def takes_crops(fingerprint: str, crop: CropSpec) -> bool:
    """Returns whether crops of this geometry match a fingerprint; "" matches any. How crops are stored
    does not matter here, where nothing is stored."""
    return not fingerprint or any(
        replace(crop, lips_codec=lips, face_codec=face).fingerprint() == fingerprint
        for lips in CODECS
        for face in CODECS
    )


class Aligner:
    """Finds the face and crops lips and face stills; one landmark backend serves many files.

    Args:
        backend: landmark backend; gridprep's default where empty.
        options: of the backend.
        who: which of several faces in a video to follow, as `gridprep.landmarks.base.choose_face`
            takes it; the most central and large one where empty. Stills for a voice are taken of that
            one in any case.

    Raises:
        BadInput: an unknown backend or option.
        MissingDependency: its library is not installed.
    """

    def __init__(
        self, backend: str = "", options: Mapping[str, str] | None = None, who: str = ""
    ) -> None:
        name = backend or registry.DEFAULT
        self.crop = CropSpec()
        self.landmarks = LandmarkSpec(backend=name)
        self._backend = registry.create(name, options=dict(options or {}))
        self._chooser = self._backend
        if who:
            self._chooser = registry.create(name, options={**(options or {}), "who": who})

    def video(self, footage: Footage) -> AlignedVideo:
        """Lips and stills of a video, of the face that `who` says. Raises `BadInput` where there is no
        face in it."""
        return self._aligned(footage, self._chooser)

    def _aligned(self, footage: Footage, backend: LandmarkBackend) -> AlignedVideo:
        with one_line(footage.path):
            frames = registry.frames_for(self.landmarks.backend, footage)
            found = backend.detect(frames, self.landmarks.every)
            require_upright(backend, found, frames)
            track = crops.track(found, self.landmarks, self.crop)
            still_frames = spread(len(footage), self.crop.face_every, MAX_STILLS)
            lips = np.empty((len(footage), self.crop.lips_px, self.crop.lips_px, 3), np.uint8)
            stills, thumbnails = [], []
            wanted = set(still_frames.tolist())
            of_lips = crops.lip_matrices(track, self.crop)
            of_faces = crops.face_matrices(track, self.crop)
            for i in range(len(footage)):
                frame = footage[i]
                thumbnails.append(thumbnail(frame))
                of_frame: list[crops.Cut] = [(of_lips[i], self.crop.lips_px, lips[i])]
                if i in wanted:
                    of_frame.append((of_faces[i], self.crop.face_px, None))
                stills += crops.cuts(frame, of_frame)[1:]
        notes = (*_notes(footage, found, track), *_cuts(footage.path, scene_cuts(thumbnails)))
        return AlignedVideo(lips, np.stack(stills), still_frames, notes)

    def stills(self, path: str | os.PathLike[str]) -> tuple[Pictures, tuple[str, ...]]:
        """Stills of a picture (1) or a video (K): (K, 160, 160, 3), and notes. Raises `BadInput`."""
        picture = read_picture(path)
        if picture is None:
            with open_video(path, least_frames=1) as footage:
                found = self._aligned(footage, self._backend)
            return found.stills, found.notes
        picture = _bounded(picture)
        with one_line(path):
            landmarks = self._backend.detect(picture[None], 1)
            if not landmarks.found.any():
                raise ClipError("align", "no_face", f"{path}: no face in the picture")
            require_upright(self._backend, landmarks, picture[None])
            track = crops.track(landmarks, self.landmarks, self.crop)
        still = crops.cut(picture, crops.face_matrices(track, self.crop)[0], self.crop.face_px)
        return still[None], _several(path, landmarks)

    def close(self) -> None:
        """Frees the backends."""
        self._backend.close()
        if self._chooser is not self._backend:
            self._chooser.close()


def spread(frames: int, every: int, most: int) -> NDArray[np.intp]:
    """Returns frame numbers at the spacing of a build, at most a given number, evenly spread."""
    regular = np.arange(0, frames, every)
    if len(regular) <= most:
        return regular
    return np.asarray(regular[np.linspace(0, len(regular) - 1, most).round().astype(int)], np.intp)


def _bounded(picture: Pictures) -> Pictures:
    """A picture of any size with its longer side at most `MAX_PICTURE_PX`."""
    longest = max(picture.shape[:2])
    if longest <= MAX_PICTURE_PX:
        return picture
    zoom = MAX_PICTURE_PX / longest
    small = cv2.resize(picture, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _notes(footage: Footage, found: Landmarks, track: crops.Track) -> tuple[str, ...]:
    notes = list(_several(footage.path, found))
    if footage.fps < VIDEO_FPS - 1:
        notes.append(
            f"{footage.path} has {footage.fps:.3g} frames per second, lips are read at {VIDEO_FPS}: "
            "expect mistakes"
        )
    if track.interpolated_frames:
        notes.append(
            f"{footage.path}: no face in {1 - track.found_share:.0%} of the frames examined; "
            "the position of the lips there is interpolated"
        )
    if footage.errors:
        notes.append(f"{footage.path} is damaged in {footage.errors} places")
    return tuple(notes)


def _cuts(path: str, cuts: tuple[int, ...]) -> tuple[str, ...]:
    if not cuts:
        return ()
    times = ", ".join(f"{frame / VIDEO_FPS:.2f}" for frame in cuts[:NAMED_CUTS])
    more = f" and {len(cuts) - NAMED_CUTS} more times" if len(cuts) > NAMED_CUTS else ""
    return (
        f"{path} cuts to another picture at {times} s{more}: the lips are read across the cut, as those "
        "of one speaker; split the file there if it shows another person",
    )


def _several(path: str | os.PathLike[str], found: Landmarks) -> tuple[str, ...]:
    faces = int(found.faces.max(initial=0))
    if faces < 2:
        return ()
    if found.choice in ("only", "tracked", "central_largest"):
        return (
            f"{path} shows {faces} faces: took the most central and large one; "
            f"--who {'|'.join(WHO)}|N takes another",
        )
    return (f"{path} shows {faces} faces: took --who {found.choice}",)
