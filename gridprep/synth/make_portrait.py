"""Measures the photograph that all speakers are warped from and writes `portrait.npz` beside this file.

The photograph is NASA's official portrait of Eileen Collins, a work of the United States government
and in the public domain; it was taken from `skimage.data.astronaut()`, which ships it. Stored are its
head (`image`, 220×220), FaceMesh's points on it (`points`, in pixels of the whole photograph), the
outlines of head and hair (`head`, `hair`) and where the head was (`box_px`).

Run once, with scikit-image installed: `python -m gridprep.synth.make_portrait`.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.data import astronaut

from gridprep.landmarks.facemesh import FacemeshBackend

TARGET = Path(__file__).with_name("portrait.npz")
BOX_PX = (120, 0, 340, 220)
"""x0, y0, x1, y1 of the head in the photograph."""
JAWLINE = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)
"""FaceMesh: the subject's right jaw from the ear to the chin."""
JAWLINE_LEFT = (377, 400, 378, 379, 365, 397, 288, 361, 323, 454)


def mesh_points(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(468, 2) FaceMesh points in pixels."""
    found = FacemeshBackend().mesh(image)
    assert found is not None, "a face is in the photograph"
    return found.astype(np.float32)


def head_masks(
    image: NDArray[np.uint8], points: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Soft masks of the head without neck, and of the hair, both over `BOX_PX`."""
    x0, y0, x1, y1 = BOX_PX
    # Four times finer, so that GrabCut's hard edge becomes a soft one when shrunk back.
    fine = cv2.resize(image[y0:y1, x0:x1], None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    at = (points - (x0, y0) + 0.5) * 4 - 0.5
    face = cv2.convexHull(at.astype(np.int32))
    labels = np.full(fine.shape[:2], cv2.GC_BGD, np.uint8)
    cv2.ellipse(labels, (430, 330), (330, 310), 0, 0, 360, cv2.GC_PR_BGD, -1)
    cv2.ellipse(labels, (428, 250), (270, 185), 0, 0, 360, cv2.GC_PR_FGD, -1)
    cv2.ellipse(labels, (428, 240), (200, 130), 0, 0, 360, cv2.GC_FGD, -1)
    cv2.fillConvexPoly(labels, face, cv2.GC_FGD)
    jaw = at[list(JAWLINE + JAWLINE_LEFT)]
    ear_y = int(at[[234, 454], 1].mean() + 85)
    below = np.concatenate(
        [
            [(0, ear_y)],
            [(jaw[2, 0] - 30, ear_y)],
            jaw[3:-3],
            [(jaw[-3, 0] + 30, ear_y)],
            [(fine.shape[1], ear_y)],
            [(fine.shape[1], fine.shape[0])],
            [(0, fine.shape[0])],
        ]
    )
    cv2.fillPoly(labels, [below.astype(np.int32)], cv2.GC_BGD)
    cv2.setRNGSeed(0)
    cv2.grabCut(fine, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 6, cv2.GC_INIT_WITH_MASK)
    head = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    head = cv2.morphologyEx(head, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))
    head = cv2.morphologyEx(head, cv2.MORPH_OPEN, np.ones((15, 15), np.uint8))
    _, parts, stats, _ = cv2.connectedComponentsWithStats(head)
    head = (parts == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    # Hair against skin by color: hair has much less red over blue brightness than skin.
    lab = cv2.cvtColor(cv2.GaussianBlur(fine, (0, 0), 3), cv2.COLOR_RGB2LAB).astype(np.float32)
    skin_at = at[[50, 280, 151, 101, 330, 199]].astype(int)
    skin = np.median([lab[y, x] for x, y in skin_at], axis=0)
    distance = np.abs(lab - skin) @ np.array([0.35, 1.6, 1.0], np.float32)
    hair = ((distance > 32) & (head > 0)).astype(np.uint8)
    inner = cv2.convexHull(
        (
            at[
                [
                    70,
                    63,
                    105,
                    66,
                    107,
                    336,
                    296,
                    334,
                    293,
                    300,
                    352,
                    361,
                    288,
                    397,
                    152,
                    172,
                    58,
                    132,
                    123,
                ]
            ]
        ).astype(np.int32)
    )
    keep = np.zeros_like(hair)
    cv2.fillConvexPoly(keep, inner, 1)
    hair[cv2.dilate(keep, np.ones((9, 9), np.uint8)) > 0] = 0
    hair[int(at[152, 1]) - 120 :] = 0
    hair[: int(at[10, 1])] = head[
        : int(at[10, 1])
    ]  # above the forehead all is hair, highlights too
    hair = cv2.morphologyEx(hair, cv2.MORPH_OPEN, np.ones((9, 9), np.uint8))
    hair = cv2.morphologyEx(hair, cv2.MORPH_CLOSE, np.ones((29, 29), np.uint8))
    size = (x1 - x0, y1 - y0)
    return (
        cv2.resize(cv2.GaussianBlur(head * 255, (0, 0), 3), size, interpolation=cv2.INTER_AREA),
        cv2.resize(cv2.GaussianBlur(hair * 255, (0, 0), 4), size, interpolation=cv2.INTER_AREA),
    )


def main() -> None:
    image = astronaut()
    points = mesh_points(image)
    head, hair = head_masks(image, points)
    x0, y0, x1, y1 = BOX_PX
    np.savez_compressed(
        TARGET,
        image=image[y0:y1, x0:x1],
        points=points,
        head=head,
        hair=hair,
        box_px=np.array(BOX_PX),
    )


if __name__ == "__main__":
    main()
