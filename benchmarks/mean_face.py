"""Makes `gridprep/features/mean_face.json` from the clips of a GRID folder.

    python -m benchmarks.mean_face CORPUS

Only the mean of 20 points over all speakers leaves this script: no picture and no clip's landmarks.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from gridprep.corpora.grid import find_clips
from gridprep.features.crops import fill_gaps, similarity
from gridprep.landmarks.registry import create
from gridprep.media.decode import decode
from manifests.errors import ClipError
from manifests.io import write_json
from manifests.records import LIP_POINTS, POINT_NAMES, STABLE_POINTS

EYE_DISTANCE_PX = 81.5
MOUTH_PX = (192.0, 237.0)
REFERENCE_PX = 384
MIRROR = [
    POINT_NAMES.index(n.replace("right", "@").replace("left", "right").replace("@", "left"))
    for n in POINT_NAMES
]


def symmetric_mean(shapes: np.ndarray) -> np.ndarray:
    """Generalised Procrustes mean of (S, N, 2) shapes, aligned on the stable points, made symmetric."""
    stable = [POINT_NAMES.index(n) for n in STABLE_POINTS]
    mean = shapes[0] - shapes[0].mean(0)
    for _ in range(20):
        warps = similarity(shapes[:, stable], mean[stable])
        aligned = np.einsum("sij,snj->sni", warps[:, :, :2], shapes) + warps[:, None, :, 2]
        mean = aligned.mean(0)
    mirrored = mean[MIRROR] * [-1, 1]
    mirrored = mirrored - mirrored[stable].mean(0) + mean[stable].mean(0)
    mean = (mean + mirrored) / 2
    eyes = [
        POINT_NAMES.index(f"{side}_eye_{end}")
        for side in ("right", "left")
        for end in ("outer", "inner")
    ]
    distance = np.linalg.norm(mean[eyes[:2]].mean(0) - mean[eyes[2:]].mean(0))
    mean = mean * (EYE_DISTANCE_PX / distance)
    mouth = mean[[POINT_NAMES.index(n) for n in LIP_POINTS]].mean(0)
    return np.asarray(mean - mouth + MOUTH_PX)


@click.command()
@click.argument("corpus", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--per-speaker", default=16, help="Clips of each speaker.")
@click.option("--out", default="gridprep/features/mean_face.json", type=click.Path(path_type=Path))
def main(corpus: Path, per_speaker: int, out: Path) -> None:
    """Measures the mean face of the speakers in CORPUS."""
    backend = create("facemesh")
    by_speaker: dict[str, list[np.ndarray]] = {}
    for clip in find_clips(corpus).clips:
        shapes = by_speaker.setdefault(clip.speaker, [])
        if len(shapes) >= per_speaker:
            continue
        try:
            landmarks = backend.detect(decode(clip.video, audio=False).frames, every=5)
        except ClipError:
            continue
        if landmarks.found.any():
            shapes.append(fill_gaps(landmarks.points_px, landmarks.found).mean(0))
    speakers = np.stack([np.mean(s, 0) for s in by_speaker.values() if s])
    mean = symmetric_mean(speakers)
    write_json(
        out,
        {
            "made_by": "benchmarks/mean_face.py",
            "of": f"FaceMesh landmarks of {sum(map(len, by_speaker.values()))} clips of "
            f"{len(speakers)} GRID speakers, each speaker weighted equally, mirrored and averaged",
            "reference_px": REFERENCE_PX,
            "points_px": {
                n: [round(float(v), 2) for v in p] for n, p in zip(POINT_NAMES, mean, strict=True)
            },
        },
    )
    click.echo(f"wrote {out}: {len(speakers)} speakers")


if __name__ == "__main__":
    main()
