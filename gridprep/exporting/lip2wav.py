"""Lip2Wav's preprocessed data, as its `preprocess.py` leaves it (github.com/Rudrabha/Lip2Wav, master;
read by `synthesizer/feeder.py` and `get_image_list` of `synthesizer/hparams.py`).

    train.txt  val.txt  test.txt                       names of videos
    preprocessed/s1-bbaf2n/cut-0/ 0.jpg 1.jpg …  audio.wav  mels.npz

Every clip is a video of one interval. A picture is a face: the still of a build, which shows chin to
forehead as S3FD's boxes do, so the build must hold one of every frame (`--face-every 1`). `mels.npz` has
`spec` (80, T) by the preset `lip2wav`; `lspec`, which the original stores beside it and its feeder never
reads, is left out.
"""

from __future__ import annotations

import io

import cv2
import numpy as np

from gridprep.exporting.base import ExportJob, ids
from gridprep.exporting.sinks import write as write_file
from manifests.errors import BadInput
from manifests.manifest import FeatureRow
from manifests.mel import PRESETS, mel_spectrogram
from manifests.pictures import Pictures

JPEG_QUALITY = 95
"""OpenCV's default, which the original's `cv2.imwrite` uses."""
PRESET = "lip2wav"


def write(job: ExportJob) -> None:
    """Writes the layout."""
    check_every_face(job)
    names = ids(job.clips)

    def one(row: FeatureRow) -> None:
        folder = f"preprocessed/{names[row.clip_id]}/cut-0"
        for number, face in enumerate(every_face(row)):
            write_file(job.sink, f"{folder}/{number}.jpg", _jpeg(face))
        job.copy(row, "audio", f"{folder}/audio.wav")
        packed = io.BytesIO()
        np.savez_compressed(packed, spec=mel_spectrogram(row.audio()[0], PRESETS[PRESET]))
        write_file(job.sink, f"{folder}/mels.npz", packed.getvalue())

    for _ in job.each(one):
        pass
    for subset, rows in job.subsets():
        write_file(job.sink, f"{subset}.txt", "".join(f"{names[r.clip_id]}\n" for r in rows))


def check_every_face(job: ExportJob) -> None:
    """Raises `BadInput` where the build holds no face of every frame."""
    every = job.manifest.header["specs"]["crop"]["face_every"]
    if every != 1:
        raise BadInput(
            f"{job.manifest.path} has a face still of every {every}th frame, and this layout needs "
            "one of every frame",
            "build with --face-every 1",
        )


def every_face(row: FeatureRow) -> Pictures:
    """The faces of a clip, one a frame. Raises `BadInput` where the file holds another number."""
    faces = row.faces()
    if len(faces) != row.video_frames:
        raise BadInput(
            f"{row.path('face')} holds {len(faces)} faces of {row.video_frames} frames",
            "run `gridprep check BUILD --repair`",
        )
    return faces


def _jpeg(face: Pictures) -> bytes:
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(face, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    return data.tobytes()
