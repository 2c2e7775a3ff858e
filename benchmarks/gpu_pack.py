"""Packs clips of a build into a folder small enough to be carried to a machine with a GPU.

    python -m benchmarks.gpu_pack BUILD PACK [--mib 60] [--speaker s1]

Lips become H.264, face stills every fifth of those stored, mels half precision; sound, landmarks and
prosody stay behind. All clips to validate on go along, then as many to train on as fit. The stages lip,
prosody, face and decoder learn from such a folder as from any build.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from gridprep.features.crop_store import suffix_of, write_pictures
from manifests.console import run as run_program
from manifests.errors import BadInput
from manifests.io import write_jsonl
from manifests.manifest import FeatureRow, Manifest
from manifests.records import ManifestRow

LIPS, FACE = "h264-crf18", "jpeg90"
KEPT = ("split", "split_version", "split_sha256", "held_out_speakers", "specs")


def packed(row: FeatureRow, pack: Path) -> tuple[ManifestRow, int]:
    """Writes a clip. Returns its row and the bytes of its files."""
    name = f"{row.speaker}/{row.stem}"
    paths = {
        "lips": f"lips/{name}{suffix_of(LIPS)}",
        "face": f"face/{name}{suffix_of(FACE)}",
        "mel": f"mel/{name}.npy",
    }
    for path in paths.values():
        (pack / path).parent.mkdir(parents=True, exist_ok=True)
    write_pictures(pack / paths["lips"], row.lips(), LIPS)
    write_pictures(pack / paths["face"], row.faces()[::5], FACE)
    np.save(pack / paths["mel"], row.mel().astype(np.float16))
    taken = sum((pack / path).stat().st_size for path in paths.values())
    plain = ManifestRow.from_dict(row.to_dict())
    return replace(plain, paths=paths), taken


def pack(build: Path, out: Path, mib: float, speakers: Sequence[str] = ()) -> list[ManifestRow]:
    """Packs a build. Returns the rows that fit.

    Raises:
        BadInput: the folder is there already, or not even the clips to validate on fit.
    """
    if out.exists():
        raise BadInput(f"{out} exists", "choose another folder")
    found = Manifest(build)
    rows = [row for row in found if not speakers or row.speaker in speakers]
    chosen = [row for subset in ("val", "train") for row in rows if row.subset == subset]
    room, made = int(mib * 2**20), list[ManifestRow]()
    for row in chosen:
        packed_row, taken = packed(row, out)
        if taken > room:
            for path in packed_row.paths.values():
                (out / path).unlink()
            break
        room -= taken
        made.append(packed_row)
    if not any(row.subset == "train" for row in made):
        shutil.rmtree(out, ignore_errors=True)
        raise BadInput(f"{mib:g} MiB hold no clip to train on", "give more with --mib")
    header = {name: value for name, value in found.header.items() if name in KEPT}
    write_jsonl(out / "manifest.jsonl", "manifest", made, **header)
    return made


@click.command()
@click.argument("build", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--mib", default=60.0, show_default=True, help="Largest size of all files.")
@click.option("--speaker", "speakers", multiple=True, help="Speaker to take; all by default.")
def main(build: Path, out: Path, mib: float, speakers: tuple[str, ...]) -> None:
    """Packs clips of BUILD into OUT."""
    made = pack(build, out, mib, speakers)
    used = sum(f.stat().st_size for f in out.rglob("*") if f.is_file()) / 2**20
    trained = sum(row.subset == "train" for row in made)
    click.echo(f"{out}: {trained} clips to train on, {len(made) - trained} others, {used:.1f} MiB")


if __name__ == "__main__":
    run_program(main, "gpu_pack")
