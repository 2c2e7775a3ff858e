"""Stills of SynthGRID's speakers as a build has them, without filming, and runs of pictures on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import soundfile
from numpy.typing import NDArray

from gridprep.features.crops import FACE_BOX_384, apply_warps, mean_face, similarity
from gridprep.synth.face import POINT_INDEX, face_of
from gridprep.synth.speakers import synthetic_speaker
from gridprep.synth.visemes import POSE_NAMES
from gridprep.synth.voice import utter
from manifests.grammar import words_of
from manifests.io import write_json, write_jsonl
from manifests.pictures import write_picture
from manifests.records import POINT_NAMES, STABLE_POINTS, ManifestRow, RunClip, RunInfo

RATE_HZ = 16_000
STILL_PX = 160
STEMS = ("bbaf2n", "lgio8p", "srik3p")
Picture = NDArray[np.uint8]
Draw = Callable[[str, str], Picture]


def still_of(speaker: str, seed: int) -> Picture:
    """(160, 160, 3): the resting face of a speaker of SynthGRID, framed as `gridprep build` frames it, the
    seed moves it by a pixel or so."""
    face = face_of(synthetic_speaker(speaker), 0)
    texture, mouth = face.texture, face.mouth
    picture = texture.image.copy()
    picture[mouth.y0 : mouth.y1, mouth.x0 : mouth.x1] = mouth.draw(np.zeros(len(POSE_NAMES)))
    points = np.array([texture.points_px[POINT_INDEX[name]] for name in POINT_NAMES])
    stable = [POINT_NAMES.index(name) for name in STABLE_POINTS]
    warp = similarity(points[None, stable], mean_face().points_px[stable])
    assert np.abs(apply_warps(warp, points[None])[0] - mean_face().points_px).mean() < 20
    center_x, center_y, box = FACE_BOX_384
    zoom = STILL_PX / box
    matrix = warp[0] * zoom
    rng = np.random.default_rng([seed, *speaker.encode()])
    matrix[:, 2] += STILL_PX / 2 - np.array([center_x, center_y]) * zoom + rng.normal(0, 0.7, 2)
    still = cv2.warpAffine(picture, matrix, (STILL_PX, STILL_PX), flags=cv2.INTER_AREA)
    return np.clip(still + rng.normal(0, 2, still.shape), 0, 255).astype(np.uint8)


def write_build(root: Path, corpus: Path, speakers: tuple[str, ...]) -> Path:
    """Stills and voices of SynthGRID's speakers, `STEMS` each, and the corpus's list of them."""
    rows = []
    for speaker in speakers:
        person = synthetic_speaker(speaker)
        for k, stem in enumerate(STEMS):
            paths = {
                "audio": f"audio/{speaker}/{stem}.wav", "face": f"face/{speaker}/{stem}.png",
            }  # fmt: skip
            for path in paths.values():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
            said = utter(person, stem, np.random.default_rng(k)).samples
            resampled = cv2.resize(said[None], (48_000, 1), interpolation=cv2.INTER_AREA)[0]
            soundfile.write(root / paths["audio"], resampled, RATE_HZ)
            strip = np.concatenate([still_of(speaker, 10 * k + i) for i in range(3)])
            write_picture(root / paths["face"], strip)
            rows.append(
                ManifestRow(
                    speaker=speaker, gender=person.gender, stem=stem,
                    sentence=" ".join(words_of(stem)), subset="test", words=(), paths=paths,
                    video_frames=75, audio_samples=48_000, sample_rate_hz=RATE_HZ, mel_frames=150,
                    samples_added=0, flags=(), qc={}, source_path=f"{speaker}/{stem}.mpg",
                    source_sha256="0" * 64, fingerprints={},
                )
            )  # fmt: skip
    write_jsonl(root / "manifest.jsonl", "manifest", rows)
    write_json(root / "provenance.json", {"corpus": str(corpus)})
    people = {s: dataclasses.asdict(synthetic_speaker(s)) for s in speakers}
    write_json(corpus / "speakers.json", people)
    return root


def write_pictures(
    root: Path,
    build: Path,
    speakers: tuple[str, ...],
    draw: Draw,
    *,
    name: str = "Drawn",
    variants: tuple[str, ...] = ("",),
    shuffled: bool = False,
    side_px: int = 64,
) -> Path:
    """A run of pictures; `draw(speaker, variant)` makes each."""
    clips = []
    for speaker in speakers:
        for stem in STEMS:
            for variant in variants:
                path = f"pictures/{speaker}/{stem}{f'.{variant}' if variant else ''}.png"
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                picture = cv2.resize(
                    draw(speaker, variant), (side_px, side_px), interpolation=cv2.INTER_AREA
                )
                write_picture(root / path, np.asarray(picture, np.uint8))
                clips.append(
                    RunClip(
                        speaker, stem, " ".join(words_of(stem)), synthetic_speaker(speaker).gender,
                        "", f"../{build.name}/face/{speaker}/{stem}.png", picture=path,
                        source=f"{speaker}/{stem}", variant=variant,
                    )
                )  # fmt: skip
    write_jsonl(root / "clips.jsonl", "run-clips", clips)
    info = RunInfo(
        name, "faces", "large-unseen", "test", RATE_HZ, len(clips),
        parameters={"shuffled_speech": True} if shuffled else {},
    )  # fmt: skip
    write_json(root / "run.json", info.to_dict())
    return root
