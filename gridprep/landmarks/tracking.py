"""Tracking of one face through a clip, with an expensive detector and a network that runs in batches.

1. The detector looks at key frames until one has a face.
2. The network runs on all key frames in one go, each cut where that face was; key frames where the
   face is lost are detected again.
3. Boxes are interpolated between the key frames' landmarks and the network runs on every frame.
4. Frames whose points are no face are detected again, once.

Boxes do not depend on how many crops the network takes at once, so neither do the points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridprep.landmarks import heatmaps
from gridprep.landmarks.base import Frames, choose_face, faces_needed

Boxes = NDArray[np.float64]

Fit = Callable[[Frames, Boxes], tuple[NDArray[np.float32], NDArray[np.bool_]]]
"""(N, H, W, 3) frames and (N, 3) squares → (N, P, 2) pixel coordinates and (N,) face or not."""


@dataclass
class Track:
    """The result of tracking one face.

    Attributes:
        points: frame → (P, 2) pixel coordinates, where a face was found.
        faces: frame → how many faces the detector saw, where it was asked.
        choice: as `choose_face` says.
    """

    points: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    faces: dict[int, int] = field(default_factory=dict)
    choice: str = "only"


class FaceTracker:
    """Tracks a face through one clip; make a new one per clip, so that no clip influences the next.

    Args:
        frames: (T, H, W, 3).
        detector: has `detect_from_image(frame)`, rows of x0, y0, x1, y1, …, and `reference_scale`.
        fit: the network.
        who: which of several faces, see `choose_face`.
    """

    def __init__(self, frames: Frames, detector: Any, fit: Fit, who: str = "") -> None:
        self._frames, self._detector, self._fit_crops, self._who = frames, detector, fit, who
        self.track = Track()

    def follow(self, looked: NDArray[np.intp], keys: NDArray[np.intp]) -> Track:
        """Args:
        looked: indices of the frames to find, rising.
        keys: the key frames among them, with the first and the last.
        """
        for start in keys:
            box = self._look(int(start), None)
            if box is not None:
                self._follow_from(int(start), box, looked, keys[keys >= start])
                break
        return self.track

    def _follow_from(
        self, start: int, box: Boxes, looked: NDArray[np.intp], keys: NDArray[np.intp]
    ) -> None:
        points = self.track.points
        square = heatmaps.squares(box[None], float(self._detector.reference_scale))
        self._fit(keys, np.repeat(square, len(keys), 0))
        self._detect_again([int(k) for k in keys[1:] if int(k) not in points])
        known = sorted(points)
        if not known:
            return
        key_boxes = heatmaps.point_boxes(np.stack([points[k] for k in known]))
        # The key frames are done again with the others, so that all frames are cut alike.
        points.clear()
        ahead = looked[looked >= start]
        boxes = np.column_stack([np.interp(ahead, known, column) for column in key_boxes.T])
        self._fit(ahead, heatmaps.squares(boxes, heatmaps.LANDMARK_SCALE))
        # Before the first sighting the detector has the word: no box was ever seen there.
        self._detect_again([int(i) for i in looked if int(i) not in points])

    def _detect_again(self, indices: Sequence[int]) -> None:
        """Detects lost frames anew; those with a face get points, cut by their own landmarks."""
        seen: dict[int, Boxes] = {}
        for index in indices:
            box = self._look(index, self._nearest_box(index))
            if box is not None:
                seen[index] = box
        if not seen:
            return
        boxes = np.stack(list(seen.values()))
        self._fit(
            np.array(list(seen), np.intp),
            heatmaps.squares(boxes, float(self._detector.reference_scale)),
        )
        again = [index for index in seen if index in self.track.points]
        if again:
            boxes = heatmaps.point_boxes(np.stack([self.track.points[i] for i in again]))
            self._fit(np.array(again, np.intp), heatmaps.squares(boxes, heatmaps.LANDMARK_SCALE))

    def _fit(self, indices: NDArray[np.intp], squares: Boxes) -> None:
        """Sets the points of frames with a face and forgets those of the others."""
        points, is_face = self._fit_crops(self._frames[indices], squares)
        for index, shape, good in zip(indices, points, is_face, strict=True):
            if good:
                self.track.points[int(index)] = shape
            else:
                self.track.points.pop(int(index), None)

    def _nearest_box(self, index: int) -> Boxes | None:
        """(4,) landmark box of the nearest frame in time that has points."""
        points = self.track.points
        if not points:
            return None
        nearest = min(points, key=lambda known: abs(known - index))
        box: Boxes = heatmaps.point_boxes(points[nearest][None])[0]
        return box

    def _look(self, index: int, previous: Boxes | None) -> Boxes | None:
        """Runs the detector on one frame: (4,) box of the face to keep, or None."""
        seen = self._detector.detect_from_image(np.ascontiguousarray(self._frames[index]))
        boxes = np.array([np.asarray(row, np.float64)[:4] for row in seen if len(row) >= 4])
        self.track.faces[index] = len(boxes)
        if len(boxes) < faces_needed(self._who):
            return None
        height, width = self._frames.shape[1:3]
        kept, how = choose_face(boxes, (height, width), previous, self._who)
        if how not in ("only", "tracked") or (how == "tracked" and self.track.choice == "only"):
            self.track.choice = how
        box: Boxes = boxes[kept]
        return box
