"""Makes the frozen split files and their index out of the rules.

    python -m manifests.splits.build

Run it after a rule was added. A split whose rule changes needs a new version: the command refuses
to write other clips under a version that is already frozen.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click

from manifests.build_lists import compress, speaker_number
from manifests.errors import BadInput
from manifests.io import SUBSETS, atomic_open, read_json, write_json
from manifests.splits.rules import LEFT_OUT, PLACES, RECIPES, Row

HERE = Path(__file__).parent
INDEX_VERSION = 1


def split_csv(rows: list[Row]) -> bytes:
    """The text of a split file: rows by speaker number, then stem."""
    rows = sorted(rows, key=lambda row: (speaker_number(row[0]), row[1]))
    out = io.StringIO()
    out.write("speaker,stem,subset\n")
    out.writelines(f"{speaker},{stem},{subset}\n" for speaker, stem, subset in rows)
    return out.getvalue().encode("ascii")


def build() -> tuple[dict[str, bytes], dict[str, Any]]:
    """(split name → text of its file, content of `index.json`)."""
    texts: dict[str, bytes] = {}
    entries: dict[str, Any] = {}
    for name, recipe in RECIPES.items():
        rows = recipe.make()
        texts[name] = split_csv(rows)
        counts = Counter(subset for _, _, subset in rows)
        entries[name] = {
            "file": f"{name}.csv.gz",
            "version": recipe.version,
            "sha256": hashlib.sha256(texts[name]).hexdigest(),
            "origin": recipe.origin,
            "rule": recipe.rule,
            "by_places": recipe.by_places,
            "clips": {subset: counts[subset] for subset in SUBSETS},
        }
    index = {
        "schema": "splits",
        "schema_version": INDEX_VERSION,
        "sha256_of": "the uncompressed CSV",
        "places": PLACES,
        "splits": entries,
        "left_out": LEFT_OUT,
    }
    return texts, index


def check_versions(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raises `BadInput` where clips would move without a new version."""
    for name, entry in new["splits"].items():
        before = old["splits"].get(name)
        if before and before["sha256"] != entry["sha256"] and before["version"] >= entry["version"]:
            raise BadInput(
                f"split {name} would change under its version {before['version']}",
                "count up its version in manifests/splits/rules.py",
            )


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=HERE,
    help="Folder for the files; by default beside this module.",
)
def main(out: Path) -> None:
    """Makes NAME.csv.gz and index.json out of the rules."""
    texts, index = build()
    if (out / "index.json").exists():
        check_versions(read_json(out / "index.json"), index)
    for name, text in texts.items():
        path = out / f"{name}.csv.gz"
        # Equal text keeps its bytes: another zlib would pack it otherwise and show as a change.
        if not path.exists() or gzip.decompress(path.read_bytes()) != text:
            with atomic_open(path, "wb") as file:
                file.write(compress(text))
        click.echo(f"{path}: {index['splits'][name]['clips']}", err=True)
    write_json(out / "index.json", index)


if __name__ == "__main__":
    sys.exit(main())
