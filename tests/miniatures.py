"""Corpora in small, as their owners hand them out: names, containers, sizes, frame rates and annotation
files; the pictures and the voice are those of a synthetic speaker.

Import as `from miniatures import MINIATURES`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from odd_media import Pictures, Sound, write

from gridprep.media.decode import decode

SOUND_HZ = 44_100


@dataclass(frozen=True)
class Source:
    """A synthetic clip: (75, H, W, 3) pictures at 25 fps and (N,) mono samples at `SOUND_HZ`."""

    frames: NDArray[np.uint8]
    samples: NDArray[np.float32]

    @classmethod
    def of(cls, video: Path) -> Source:
        """The clip in a file that `gridprep synth` wrote."""
        media = decode(video)
        assert media.sample_rate_hz == SOUND_HZ
        return cls(np.asarray(media.frames), media.audio.mean(axis=1))

    def film(
        self,
        path: Path,
        seconds: float = 3.0,
        fps: float = 25.0,
        size: tuple[int, int] = (224, 224),
        codec: str = "libx264",
        start_s: float = 0.0,
        sound: str = "aac",
    ) -> Path:
        """Writes a part of the clip at another rate and size, the clip again and again where it is too
        short; the suffix chooses the container."""
        path.parent.mkdir(parents=True, exist_ok=True)
        times_s = start_s + np.arange(round(seconds * fps)) / fps
        width, height = size
        frames = [
            cv2.resize(self.frames[int(t * 25 + 1e-6) % len(self.frames)], (width, height))
            for t in times_s
        ]
        at = (round(start_s * SOUND_HZ) + np.arange(round(seconds * SOUND_HZ))) % len(self.samples)
        tracks: list[Pictures | Sound] = [Pictures(frames, codec=codec, fps=fps, options={})]
        if sound:
            tracks.append(Sound(self.samples[at], codec=sound))
        return write(path, *tracks)


def lombard(root: Path, source: Source) -> None:
    """front/*.mov at 24 frames per second, alignments of phones."""
    grid = root / "lombardgrid"
    words = ["s eh t", "b l uw", "ih n", "ey", "t uw", "n aw"]
    phones = [{"phone": "SIL", "offset": 0.0, "duration": 0.2}]
    at_s = 0.2
    for word in words:
        names = word.split()
        for number, name in enumerate(names):
            ends = "S" if len(names) == 1 else "B" if not number else "IE"[number + 1 == len(names)]
            phones.append({"phone": f"{name}_{ends}", "offset": at_s, "duration": 0.1})
            at_s += 0.1
    for name in ("s2_l_sbia2n", "s2_p_bbaf1s", "s46_p_gbszs_WRONG_lgbm8n"):
        source.film(grid / "front" / f"{name}.mov", 2.5, fps=24, size=(360, 240))
    source.film(grid / "side" / "s2_l_sbia2n.mov", 0.5, size=(120, 100))
    source.film(grid / "front" / "s27_l_bah2s_WRONG_#sil.mov", 0.5, fps=24, size=(120, 100))
    (grid / "alignment").mkdir()
    for name in ("s2_l_sbia2n", "s9_l_bbaf1s"):
        (grid / "alignment" / f"{name}.json").write_text(json.dumps({name: phones}))
    (grid / "alignment" / "s2_p_bbaf1s.json").write_text(json.dumps({"x": [{"phone": "SIL"}]}))


def tcd_timit(root: Path, source: Source) -> None:
    """Straight and side cameras at 29.97 frames per second, prompts as TIMIT writes them."""
    camera = root / "volunteers" / "08F" / "Clips" / "straightcam"
    source.film(camera / "sa1.mp4", fps=30_000 / 1001, size=(640, 360))
    (camera / "SA1.txt").write_text(
        "0 46797 She had your dark suit in greasy wash water all year.\n"
    )
    source.film(camera.parent / "30degcam" / "sa1.mp4", 0.5, size=(120, 100))
    lips = root / "lipspeakers" / "Lipspkr1" / "Clips" / "straightcam"
    source.film(lips / "si1.mp4", 1.5, fps=30_000 / 1001, size=(640, 360))
    (root / "volunteer_labelfiles.mlf").write_text("#!MLF!#\n")


def lrw(root: Path, source: Source) -> None:
    """29 frames, the duration of the word in a text file."""
    place = root / "lipread_mp4" / "ABOUT"
    for subset in ("train", "test"):
        path = source.film(place / subset / "ABOUT_00001.mp4", 1.16, size=(256, 256))
        path.with_suffix(".txt").write_text("Disk reference: 1\nDuration: 0.40 seconds\n")


def lrs(root: Path, source: Source) -> None:
    """LRS3's trainval, pretrain and test."""

    def say(path: Path, text: str, *words: tuple[str, float, float]) -> None:
        lines = [f"Text:  {text}", "Conf:  4", ""]
        if words:
            lines += ["WORD START END ASDSCORE", *(f"{w} {a} {b} 7.1" for w, a, b in words)]
        path.with_suffix(".txt").write_text("\n".join(lines) + "\n")

    one = source.film(root / "trainval" / "0Fi83BHQsMA" / "00002.mp4", 2.0, size=(224, 224))
    say(one, "IT'S {NS} 21 DEGREES", ("IT'S", 0.2, 0.5), ("21", 0.5, 0.9), ("DEGREES", 0.9, 1.5))
    two = source.film(root / "test" / "81Ub0SMxZQo" / "50001.mp4", 1.5, size=(224, 224))
    say(two, "SO WHAT", ("SO", 0.1, 0.4), ("WHAT", 0.4, 0.9))
    early = source.film(root / "pretrain" / "0Fi83BHQsMA" / "00001.mp4", 1.2, size=(112, 112))
    say(early, "NOW NOW", ("NOW", 0.1, 0.3), ("NOW", 0.5, 0.9))


def cremad(root: Path, source: Source) -> None:
    """Flash video at 29.97 frames per second, demographics of the actors."""
    flash = root / "VideoFlash"
    for name in ("1001_DFA_ANG_XX", "1002_IEO_HAP_HI"):
        source.film(flash / f"{name}.flv", 2.2, 30_000 / 1001, (480, 360), "flv1", sound="mp3")
    (root / "VideoDemographics.csv").write_text(
        "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n"
        "1002,21,Female,Caucasian,Not Hispanic\n"
    )
    # A clone without Git LFS.
    (flash / "1002_ITS_SAD_XX.flv").write_text("version https://git-lfs.github.com/spec/v1\n")


def ravdess(root: Path, source: Source) -> None:
    """Full-AV and video-only files at 29.97 frames per second."""
    for actor in ("01", "12"):
        folder = root / f"Video_Speech_Actor_{actor}" / f"Actor_{actor}"
        name = f"01-01-06-01-02-01-{actor}.mp4"
        source.film(folder / name, 3.2, 30_000 / 1001, (640, 360))
    source.film(folder / "02-01-06-01-02-01-12.mp4", 0.5, sound="")


def voxceleb2(root: Path, source: Source) -> None:
    """Face tracks in dev and test, the table of speakers."""
    source.film(root / "dev" / "mp4" / "id00012" / "21Uxsk56VDQ" / "00001.mp4", 4.2)
    source.film(root / "test" / "mp4" / "id00017" / "01dfn2spqyE" / "00001.mp4", 1.0)
    (root / "vox2_meta.csv").write_text(
        "VoxCeleb2 ID ,VGGFace2 ID ,Gender,Set\nid00012 ,n000012 ,m,dev\nid00017 ,n000017 ,f,test\n"
    )


MINIATURES: dict[str, Callable[[Path, Source], None]] = {
    "lombard-grid": lombard,
    "tcd-timit": tcd_timit,
    "lrw": lrw,
    "lrs": lrs,
    "cremad": cremad,
    "ravdess": ravdess,
    "voxceleb2": voxceleb2,
}
