"""Makes `speakers.csv` and `stems.csv.gz` from a table of GRID's clips.

    python -m manifests.build_lists --stems-tsv PATH

The table is tab-separated with the columns stem, speaker, in_list_a and in_list_b: one line for
every clip that one of two public lists names. List A is a listing of the clips as distributed (the
`mpg_vcd` files); list B is the lists of VIPL's LipNet-PyTorch, which leave out damaged clips. Both
files come out the same byte for byte whenever the table is the same.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from collections import Counter
from pathlib import Path

import click

from manifests.errors import BadInput
from manifests.io import atomic_open

HERE = Path(__file__).parent
FEMALE = (4, 7, 11, 15, 16, 18, 20, 21, 22, 23, 24, 25, 29, 31, 33, 34)
"""Three public code bases that list the speakers' genders independently agree on these sixteen."""

GENDER_NOTE = (
    "Genders of GRID's speakers as three independent public code bases give them: 18 men and 16",
    "women over s1 to s34. The recordings of s21, a woman, have no video, so the 33 speakers that",
    "can be used are 18 men and 15 women. The Facetron paper (section V) counts 17 men, 16 women",
    "over its 33 speakers: one man fewer and one woman more. It names no speaker's gender, so we",
    "cannot tell whom it counts otherwise, and no gender here is changed to fit its numbers.",
)
COUNT_NOTE = (
    "clips_list_a: clips in a public listing of the distributed mpg_vcd files, the ones to expect.",
    "clips_list_b: clips in VIPL's LipNet-PyTorch lists, which leave damaged clips out.",
    "clips_known: clips that either list names, the clips of stems.csv.gz.",
)
NOTES = {
    "s1": "11 clips begin with grey frames; list B leaves exactly these out",
    "s4": "pwbx6s is in list B only",
    "s8": "about a tenth of the clips was never released; 5 are in list B only",
    "s21": "no video was released",
}
StemRow = tuple[str, str, str, str]


def speaker_number(speaker: str) -> int:
    """`s12` → 12, the order in which speakers are listed. Raises `BadInput`."""
    if speaker[:1] != "s" or not speaker[1:].isdecimal() or not 1 <= int(speaker[1:]) <= 34:
        raise BadInput(f"{speaker!r} is not a GRID speaker", "speakers are s1 to s34")
    return int(speaker[1:])


def read_table(path: Path) -> list[StemRow]:
    """(speaker, stem, in list A, in list B) sorted by speaker, then stem. Raises `BadInput`."""
    wanted = {"stem", "speaker", "in_list_a", "in_list_b"}
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        missing = sorted(wanted - set(reader.fieldnames or ()))
        if missing:
            raise BadInput(f"{path} lacks the column {', '.join(missing)}", "check the table")
        rows = [(r["speaker"], r["stem"], r["in_list_a"], r["in_list_b"]) for r in reader]
    stems = Counter(stem for _, stem, _, _ in rows)
    shared = sorted(stem for stem, times in stems.items() if times > 1)
    if shared:
        raise BadInput(f"{path} gives {shared[0]} to two speakers", "a stem belongs to one speaker")
    return sorted(rows, key=lambda row: (speaker_number(row[0]), row[1]))


def stems_csv(rows: list[StemRow]) -> bytes:
    """The text of `stems.csv.gz`."""
    lines = ["speaker,stem,in_list_a,in_list_b", *(",".join(row) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def speakers_csv(rows: list[StemRow]) -> bytes:
    """The text of `speakers.csv`; lines that start with `#` explain it."""
    known = Counter(speaker for speaker, *_ in rows)
    list_a = Counter(speaker for speaker, _, a, _ in rows if a == "1")
    list_b = Counter(speaker for speaker, _, _, b in rows if b == "1")
    out = io.StringIO()
    out.writelines(f"# {line}\n" for line in GENDER_NOTE + COUNT_NOTE)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["speaker", "gender", "clips_list_a", "clips_list_b", "clips_known", "note"])
    for number in range(1, 35):
        speaker = f"s{number}"
        gender = "female" if number in FEMALE else "male"
        counts = (list_a[speaker], list_b[speaker], known[speaker])
        writer.writerow([speaker, gender, *counts, NOTES.get(speaker, "")])
    return out.getvalue().encode()


def compress(text: bytes) -> bytes:
    """gzip without name and time, so that equal text is equal bytes."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", filename="", mtime=0, compresslevel=9) as file:
        file.write(text)
    return out.getvalue()


@click.command()
@click.option(
    "--stems-tsv",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="Tab-separated table: stem, speaker, in_list_a, in_list_b.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=HERE,
    help="Folder for the two files; by default beside this module.",
)
def main(stems_tsv: Path, out: Path) -> None:
    """Makes speakers.csv and stems.csv.gz out of a table of GRID's clips."""
    rows = read_table(stems_tsv)
    for name, content in (
        ("speakers.csv", speakers_csv(rows)),
        ("stems.csv.gz", compress(stems_csv(rows))),
    ):
        with atomic_open(out / name, "wb") as file:
            file.write(content)
        click.echo(f"{out / name}: {len(content)} bytes", err=True)


if __name__ == "__main__":
    sys.exit(main())
