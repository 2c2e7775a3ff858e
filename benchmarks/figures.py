"""Makes the README's pictures from a finished demo.

    make demo && .venv/bin/python -m benchmarks.figures demo

Only SynthGRID is shown: pictures of GRID's speakers are theirs.
"""

from __future__ import annotations

from pathlib import Path

import click
import cv2
import numpy as np

from gridprep.corpora.grid import find_clips
from gridprep.media.decode import decode
from manifests.io import atomic_path

SPEAKERS_A_ROW = 11
THUMBNAIL_PX = (108, 86)
SHEET_WIDTH_PX = 1100


def save(path: Path, rgb: np.ndarray) -> None:
    """Writes a picture as PNG (drawings) or JPEG (photographs), by its suffix."""
    with atomic_path(path) as temporary:
        cv2.imwrite(
            str(temporary), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88]
        )
    click.echo(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


def speakers(corpus: Path) -> np.ndarray:
    """One frame of every speaker, in rows."""
    first = {}
    for clip in find_clips(corpus).clips:
        first.setdefault(clip.speaker, clip)
    pictures = []
    for clip in first.values():
        frame = decode(clip.video, audio=False).frames[30]
        small = cv2.resize(frame, THUMBNAIL_PX, interpolation=cv2.INTER_AREA)
        cv2.putText(
            small, clip.speaker, (3, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (255, 255, 255), 1
        )
        pictures.append(small)
    while len(pictures) % SPEAKERS_A_ROW:
        pictures.append(np.zeros_like(pictures[0]))
    rows = [
        np.hstack(pictures[i : i + SPEAKERS_A_ROW]) for i in range(0, len(pictures), SPEAKERS_A_ROW)
    ]
    return np.vstack(rows)


@click.command()
@click.argument("demo", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", default="docs/images", type=click.Path(path_type=Path))
@click.option("--speaker", default="s10", help="Whose inspection sheet to show.")
def main(demo: Path, out: Path, speaker: str) -> None:
    """Makes the pictures from the folder DEMO."""
    save(out / "speakers.jpg", speakers(demo / "corpus"))
    sheet = cv2.imread(str(next((demo / "inspect/sheets").glob(f"{speaker}_*.png"))))
    height = round(sheet.shape[0] * SHEET_WIDTH_PX / sheet.shape[1])
    sheet = cv2.resize(sheet, (SHEET_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
    save(out / "inspect.jpg", cv2.cvtColor(sheet, cv2.COLOR_BGR2RGB))


if __name__ == "__main__":
    main()
