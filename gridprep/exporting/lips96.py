"""Lip crops as auto_avsr and AV-HuBERT have them: gray, 96×96, H.264 in MP4.

Both cut 96² around the mouth out of a face that is warped to 256²; a build cuts 144² at 384². That is
the same field of view (scale 0.994 ± 0.024, shift under a pixel, measured on real clips), so the crop
is only shrunk by 2/3 and nothing is cut again.
"""

from __future__ import annotations

import cv2
import numpy as np

from gridprep.features.crop_store import encode
from manifests.manifest import FeatureRow
from manifests.pictures import Pictures

SIDE_PX = 96
CODEC = "h264-crf10"
"""AV-HuBERT's `prepare` uses CRF 20, torchvision's `write_video` 23: less loss than theirs."""


def gray_lips(lips: Pictures) -> Pictures:
    """(T, H, H, 3) RGB lip crops to (T, 96, 96, 3), gray in all three channels.

    Gray is OpenCV's (BT.601), which AV-HuBERT's loader applies to what it reads; gray pictures stay
    what they are there, and in torchvision's `Grayscale`.
    """
    small = [
        cv2.cvtColor(
            cv2.resize(frame, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY
        )
        for frame in lips
    ]
    return np.repeat(np.stack(small)[..., None], 3, axis=3).astype(np.uint8)


def encoded_lips(row: FeatureRow) -> bytes:
    """The MP4 of a clip."""
    return encode(gray_lips(row.lips()), CODEC)
