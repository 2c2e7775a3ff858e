"""VCA-GAN's processed GRID, as its `preprocess/Preprocess.py` leaves it (github.com/ms-dot-k/
Visual-Context-Attentional-GAN; read by `src/data/vid_aud_grid.py`, d793a8d).

    s1/video/bbaf2n.mp4    aligned face, 256², 25 fps
    s1/audio/bbaf2n.flac   high-passed at 55 Hz, 16 kHz
    unseen_splits.txt      train/s1/bbaf2n …, to be copied into its ./data, for --subject unseen

The loader cuts (59, 95, 195, 231) out of the 256² picture, so a face must lie where the original puts
it: a similarity by landmarks onto frame 6 of `preprocess/Ref_face.txt`. A face still of a build is
already aligned; the same points of both mean faces give one fixed similarity from still to picture.
Needs a still of every frame (`--face-every 1`).
"""

from __future__ import annotations

import io
from functools import lru_cache

import cv2
import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy import signal

from gridprep.exporting.base import ExportJob, ids
from gridprep.exporting.lip2wav import check_every_face, every_face
from gridprep.exporting.sinks import write as write_file
from gridprep.features.crop_store import encode
from gridprep.features.crops import FACE_BOX_384, mean_face, similarity
from manifests.manifest import FeatureRow
from manifests.mel import PRESETS, highpass
from manifests.pictures import Pictures
from manifests.records import POINT_NAMES

SIDE_PX = 256
CODEC = "h264-crf10"
PRESET = "vca-gan"

REFERENCE_PX = {
    "right_eye_outer": (88, 97),  # 60 of the 98 points
    "right_eye_inner": (112, 99),  # 64
    "left_eye_inner": (145, 100),  # 68
    "left_eye_outer": (169, 99),  # 72
    "nose_bridge": (129, 97),  # 51
    "nose_base": (129, 140),  # 57
    "mouth_right": (103, 157),  # 76
    "mouth_left": (154, 158),  # 82
    "chin": (127, 203),  # 16
}
"""Named point → where frame 6 of `Ref_face.txt` has it."""


def write(job: ExportJob) -> None:
    """Writes the layout."""
    check_every_face(job)
    names = ids(job.clips, separator="/", forbidden=r"\s\\")
    coefficients = highpass(PRESETS[PRESET])

    def one(row: FeatureRow) -> str:
        speaker, stem = names[row.clip_id].split("/", 1)
        write_file(job.sink, f"{speaker}/video/{stem}.mp4", encode(aligned(every_face(row)), CODEC))
        sound, rate_hz = row.audio()
        packed = io.BytesIO()
        filtered = np.clip(signal.filtfilt(*coefficients, sound.astype(np.float64)), -1, 1)
        soundfile.write(packed, filtered, rate_hz, format="FLAC", subtype="PCM_16")
        write_file(job.sink, f"{speaker}/audio/{stem}.flac", packed.getvalue())
        return f"{row.subset}/{speaker}/{stem}\n"

    lines = [line for _, line in job.each(one)]
    write_file(job.sink, "unseen_splits.txt", "".join(lines))


def aligned(faces: Pictures) -> Pictures:
    """(T, 160, 160, 3) face stills to (T, 256, 256, 3) pictures in the original's geometry."""
    matrix = still_to_picture(faces.shape[1])
    return np.stack(
        [
            cv2.warpAffine(
                face,
                matrix,
                (SIDE_PX, SIDE_PX),
                flags=cv2.INTER_CUBIC,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for face in faces
        ]
    ).astype(np.uint8)


@lru_cache(maxsize=4)
def still_to_picture(still_px: int) -> NDArray[np.float64]:
    """(2, 3) similarity from the pixels of a face still of that side to those of the picture."""
    face = mean_face(384)
    ours = face.points_px[[POINT_NAMES.index(name) for name in REFERENCE_PX]]
    center_x, center_y, box = FACE_BOX_384
    zoom = still_px / box
    in_still = (ours - np.array([center_x, center_y])) * zoom + still_px / 2
    matrix: NDArray[np.float64] = similarity(
        in_still[None], np.array(list(REFERENCE_PX.values()), np.float64)
    )[0]
    return matrix
