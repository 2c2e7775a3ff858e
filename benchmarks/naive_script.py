"""A preprocessing script as one writes it in an afternoon, to compare `gridprep build` with.

    python naive_script.py LIST OUT JOBS

LIST is a text file with the path of a clip on each line. Every clip is decoded by PyAV, FaceMesh runs on
every frame (MediaPipe's where this Python has it, else the toolkit's on LiteRT or OpenCV), one warp by the
eyes and the mouth cuts the 144² lips, librosa makes the mel; arrays are saved by NumPy. No checks, no
words, no F0, no face stills, no manifest. Prints the landmark network's package and how many clips it made.
"""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path
from typing import Any

import av
import cv2
import librosa
import numpy as np

EYES_AND_MOUTH = (33, 263, 61, 291)
"""Vertices of FaceMesh: outer corners of the eyes, corners of the mouth."""
TARGET_PX = np.array([[3.0, -90.0], [141.0, -90.0], [40.0, 72.0], [104.0, 72.0]])
"""Where they lie in a lip crop of 144 pixels."""
NAMES = ("right_eye_outer", "left_eye_outer", "mouth_right", "mouth_left")

_network: Any = None


def _points(frames: list[np.ndarray]) -> np.ndarray:
    """(T, 4, 2) pixels of `EYES_AND_MOUTH`; frames without a face repeat the one before."""
    global _network
    try:
        from mediapipe.python.solutions.face_mesh import FaceMesh
    except ImportError:
        return _own_points(frames)
    if _network is None:
        _network = FaceMesh(static_image_mode=False, max_num_faces=1)
    _network.reset()
    found: list[np.ndarray] = []
    for frame in frames:
        faces = _network.process(frame).multi_face_landmarks
        if faces:
            size = frame.shape[1], frame.shape[0]
            mesh = faces[0].landmark
            found.append(np.array([(mesh[i].x, mesh[i].y) for i in EYES_AND_MOUTH]) * size)
        else:
            found.append(found[-1] if found else TARGET_PX + 100)
    return np.stack(found)


def _own_points(frames: list[np.ndarray]) -> np.ndarray:
    global _network
    from gridprep.landmarks.registry import create
    from manifests.records import POINT_NAMES

    _network = _network or create("facemesh")
    points: np.ndarray = _network.detect(np.stack(frames), 1).points_px
    return points[:, [POINT_NAMES.index(name) for name in NAMES]]


def prepare(task: tuple[str, str]) -> None:
    """Lips and mel of one clip."""
    path, out = task
    frames, sound = [], []
    with av.open(path) as container:
        for frame in container.decode():
            if isinstance(frame, av.VideoFrame):
                frames.append(frame.to_ndarray(format="rgb24"))
            else:
                rate_hz = frame.sample_rate
                sound.append(frame.to_ndarray())
    points = _points(frames)
    lips = []
    for frame, four in zip(frames, points, strict=True):
        matrix, _ = cv2.estimateAffinePartial2D(four.astype(np.float32), TARGET_PX)
        lips.append(cv2.warpAffine(frame, matrix, (144, 144), flags=cv2.INTER_CUBIC))
    wave = np.concatenate(sound, axis=1).mean(0).astype(np.float32)
    wave = librosa.resample(wave, orig_sr=rate_hz, target_sr=16_000)
    mel = librosa.feature.melspectrogram(
        y=wave, sr=16_000, n_fft=1024, hop_length=320, n_mels=80, power=1.0
    )
    np.savez(f"{out}/{Path(path).stem}.npz", lips=np.stack(lips), mel=np.log(mel + 1e-5), wave=wave)


def main() -> None:
    listed, out, jobs = sys.argv[1:4]
    paths = Path(listed).read_text(encoding="utf-8").splitlines()
    cv2.setNumThreads(1)
    with multiprocessing.get_context("spawn").Pool(int(jobs)) as pool:
        for _ in pool.imap_unordered(prepare, [(path, out) for path in paths]):
            pass
    try:
        import mediapipe

        print("mediapipe", mediapipe.__version__, len(paths))
    except ImportError:
        print("gridprep facemesh", len(paths))


if __name__ == "__main__":
    main()
