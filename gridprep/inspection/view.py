"""The features of one clip that a sheet shows, read from a build."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridprep.features import crops
from gridprep.landmarks.base import FrameSource
from gridprep.media import quality
from gridprep.media.decode import decode
from manifests.errors import BadInput, ClipError
from manifests.manifest import FeatureRow
from manifests.mel import frame_centers_samples
from manifests.records import ManifestRow
from manifests.specs import VIDEO_FPS, CropSpec, LandmarkSpec, MelSpec
from manifests.sync import lip_height_px

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BuildSpecs:
    """The specs that a build's manifest names."""

    mel: MelSpec
    crop: CropSpec
    landmarks: LandmarkSpec

    @classmethod
    def from_header(cls, header: dict[str, Any]) -> BuildSpecs:
        """Reads the specs in the manifest's header line. Raises `BadInput` for another version."""
        specs = header.get("specs", {})
        return cls(
            MelSpec.from_dict(specs.get("mel", {})),
            CropSpec.from_dict(specs.get("crop", {})),
            LandmarkSpec.from_dict(specs.get("landmarks", {})),
        )


@dataclass(frozen=True)
class ClipView:
    """One clip's artifacts, on one time axis: seconds from the start of the clip.

    Attributes:
        frame: (H, W, 3) uint8 RGB source picture of video frame `frame_number`, or None.
        frame_note: why there is no picture, else "".
        points_px: (N, 2) named points in that picture, `POINT_NAMES` order.
        lip_box_px, face_box_px: (4, 2) corners of the crops in that picture.
        lips: (T, side, side, 3); `lip_s` (T,) the middle of each one's time on screen.
        faces: (K, side, side, 3) stills and `face_frames` (K,) their frame numbers.
        lip_height_px, lip_gap_px: (T,) between the outer and between the inner edges of the lips.
        sound: (n,) float32 at `row.sample_rate_hz`.
        mel: (n_mels, M) and `mel_s` (M,) the middle of each frame.
        energy_db, f0_hz: (P,) root mean square in dBFS, pitch with NaN where unvoiced, at
            `prosody_s` (P,).
    """

    row: ManifestRow
    frame: NDArray[np.uint8] | None
    frame_note: str
    frame_number: int
    points_px: Floats
    lip_box_px: Floats
    face_box_px: Floats
    lips: NDArray[np.uint8]
    lip_s: Floats
    faces: NDArray[np.uint8]
    face_frames: NDArray[np.int64]
    lip_height_px: Floats
    lip_gap_px: Floats
    sound: NDArray[np.float32]
    mel: NDArray[np.float32]
    mel_s: Floats
    mel_spec: MelSpec
    energy_db: Floats
    f0_hz: Floats
    prosody_s: Floats


def source_frames(row: ManifestRow, corpus: str) -> tuple[FrameSource | None, str]:
    """The clip's 75 source pictures, (T, H, W, 3), or None and the reason.

    Args:
        corpus: folder that `row.source_path` is relative to; "" when it is unknown.
    """
    if not corpus:
        return None, "the build does not record the folder of its corpus"
    path = os.path.join(corpus, row.source_path)
    if not os.path.exists(path):
        return None, f"the corpus is no longer at {corpus}"
    try:
        return quality.check_video(decode(path, audio=False)).frames, ""
    except ClipError as error:
        return None, f"{row.source_path}: {error.detail}"


def load_view(build: str, row: ManifestRow, specs: BuildSpecs, corpus: str) -> ClipView:
    """Reads one clip of a build.

    Raises `BadInput` naming the clip when an artifact is absent or damaged. An absent source is no
    error: the view then has no picture.
    """

    stored = FeatureRow.of(row, build)
    landmarks = stored.landmarks()
    try:
        geometry = crops.track(landmarks, specs.landmarks, specs.crop)
    except ClipError as error:
        raise BadInput(f"{row.clip_id}: {error.detail}", "build it again") from None
    sound, rate_hz = stored.audio()
    mel, prosody = stored.mel(), stored.prosody()
    lips, faces = stored.lips(), stored.faces()
    for name, n, expected in (
        ("audio", len(sound), row.audio_samples),
        ("mel", mel.shape[-1], row.mel_frames),
        ("lips", len(lips), row.video_frames),
        ("landmarks", len(geometry.points_px), row.video_frames),
    ):
        if n != expected:
            path = row.paths[name]
            raise BadInput(f"{path} is damaged: {n} long, not {expected}", "build it again")
    height_px = lip_height_px(geometry.points_px)
    # The widest open mouth among the frames that the backend saw itself shows most.
    seen = np.flatnonzero(landmarks.found)
    number = int(seen[height_px[seen].argmax()])
    frames, note = source_frames(row, corpus)
    grid = specs.mel
    if grid.sample_rate_hz != rate_hz:
        grid = replace(MelSpec(), sample_rate_hz=rate_hz)  # as the `mels` stage does
    return ClipView(
        row=row,
        frame=None if frames is None else frames[number],
        frame_note=note,
        frame_number=number,
        points_px=geometry.points_px[number].astype(np.float64),
        lip_box_px=crops.corners_px(
            crops.lip_matrices(geometry, specs.crop)[number], specs.crop.lips_px
        ),
        face_box_px=crops.corners_px(
            crops.face_matrices(geometry, specs.crop)[number], specs.crop.face_px
        ),
        lips=lips,
        lip_s=(np.arange(len(lips)) + 0.5) / VIDEO_FPS,
        faces=faces,
        face_frames=np.arange(len(faces)) * specs.crop.face_every,
        lip_height_px=height_px,
        lip_gap_px=crops.mouth_opening_px(geometry.points_px),
        sound=sound,
        mel=mel,
        mel_s=frame_centers_samples(mel.shape[-1], specs.mel) / specs.mel.sample_rate_hz,
        mel_spec=specs.mel,
        energy_db=20 * np.log10(np.maximum(prosody.energy.astype(np.float64), 1e-5)),
        f0_hz=prosody.f0_hz.astype(np.float64),
        prosody_s=frame_centers_samples(len(prosody.energy), grid) / rate_hz,
    )
