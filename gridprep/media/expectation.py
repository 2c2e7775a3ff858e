"""What a corpus promises of its clips: how long they are, how large and how fast their pictures."""

from __future__ import annotations

from dataclasses import dataclass

from manifests.specs import CLIP_FRAMES, VIDEO_FPS, Spec


@dataclass(frozen=True)
class ClipExpectation(Spec):
    """What is expected of every clip of a corpus; the checks of decoding compare with it.

    Attributes:
        frames: number of frames at 25 fps of every clip; 0 where clips have any length.
        usual_sizes_px: (width, height) of the pictures; others are flagged `unusual_size`. () is any.
        least_fps: frame rate below which a clip is refused. Between it and 25 frames are repeated.
        least_s, most_s: shortest and longest clip.
        most_sound_start_s: largest distance of the start of the sound from that of the pictures.
    """

    frames: int = 0
    usual_sizes_px: tuple[tuple[int, int], ...] = ()
    least_fps: float = 14.0
    least_s: float = 0.4
    most_s: float = 60.0
    most_sound_start_s: float = 5.0


GRID_CLIP = ClipExpectation(
    frames=CLIP_FRAMES,
    usual_sizes_px=((360, 288), (720, 576)),
    least_fps=float(VIDEO_FPS),
    least_s=0.0,
    most_s=40.0,
    most_sound_start_s=0.5,
)
"""GRID: 75 frames of 360×288 at 25 fps, 720×576 in the high-quality recordings."""

ANY_CLIP = ClipExpectation()
"""A clip of 0.4 to 60 s in any size, at 14 frames per second or more."""
