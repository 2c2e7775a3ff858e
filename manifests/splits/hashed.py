"""Splits of corpora that have no published one: by speaker or by clip, in the order of a hash, frozen in a
file.

Speakers (or each speaker's clips) are ordered by the SHA-256 of their names; the first shares are test and
val. The order has nothing to do with the names, the clips that lie on a disk or the order in which they
are found, and the file holds it fast: what is added later is in no subset until a new file is frozen.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeVar

from manifests.errors import BadInput
from manifests.io import SUBSETS, atomic_path, write_json
from manifests.ordering import natural
from manifests.splits.frozen import Split, described_at, load_file

Unit = Literal["speaker", "clip"]
VERSION = 1
RULE_VERSION = "sha256-1"
UnitT = TypeVar("UnitT")


def hashed(
    clips: Iterable[tuple[str, str]], by: Unit, val: float, test: float, key: str = ""
) -> dict[tuple[str, str], str]:
    """(speaker, stem) → subset.

    Args:
        clips: (speaker, stem) of every clip.
        by: whole speakers are held out, or clips within each speaker.
        val, test: shares of the speakers, or of each speaker's clips; at least one where the share is
            not 0 and there are three or more.
        key: another text gives another order.

    Raises:
        BadInput: shares that leave nothing to train on, or fewer than three speakers to split by.

    >>> found = hashed([("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")], "speaker", 0.25, 0.25)
    >>> sorted(found.values())
    ['test', 'train', 'train', 'val']
    """
    if min(val, test) < 0 or val + test >= 1:
        raise BadInput(
            f"shares of {val:g} for val and {test:g} for test",
            "give two that leave some to train on",
        )
    listed = sorted(set(clips))
    if by == "clip":
        groups: dict[str, list[tuple[str, str]]] = {}
        for clip in listed:
            groups.setdefault(clip[0], []).append(clip)
        found: dict[tuple[str, str], str] = {}
        for own in groups.values():
            found |= _dealt(own, ["/".join(clip) for clip in own], val, test, key)
        return found
    speakers = sorted({speaker for speaker, _ in listed})
    if len(speakers) < 3 and val + test > 0:
        raise BadInput(
            f"{len(speakers)} speakers cannot be split into train, val and test by speaker",
            "split by clip: --by clip",
        )
    subsets = _dealt(speakers, speakers, val, test, key)
    return {clip: subsets[clip[0]] for clip in listed}


def _dealt(
    units: list[UnitT], names: list[str], val: float, test: float, key: str
) -> dict[UnitT, str]:
    order = sorted(range(len(units)), key=lambda i: _hash(key, names[i]))
    n_test, n_val = (_number(len(units), share) for share in (test, val))
    subsets = ["test"] * n_test + ["val"] * n_val
    subsets += ["train"] * (len(units) - len(subsets))
    return {units[i]: subset for i, subset in zip(order, subsets, strict=True)}


def _number(total: int, share: float) -> int:
    if not share or total < 3:
        return 0
    return max(1, min(round(total * share), (total - 1) // 2))


def _hash(key: str, name: str) -> str:
    return hashlib.sha256(f"{key}\n{name}".encode("utf-8", "surrogateescape")).hexdigest()


def freeze(target: Path, subsets: dict[tuple[str, str], str], origin: str, rule: str) -> Split:
    """Writes a split file and its description, and reads them back.

    Args:
        target: a `.csv`; its name is the split's.
        origin: which corpus, and how it was frozen.
        rule: how clips were given to subsets.

    Raises:
        BadInput: not a `.csv`, or one that is there and is another split.
    """
    if target.suffix != ".csv":
        raise BadInput(f"the split {target} is no .csv", "give it a name that ends in .csv")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["speaker", "stem", "subset"])
    order = sorted(subsets, key=lambda c: (natural(c[0]), c[0], natural(c[1]), c[1]))
    writer.writerows((*clip, subsets[clip]) for clip in order)
    text = out.getvalue().encode("utf-8", "surrogateescape")
    if target.exists() and target.read_bytes() != text:
        raise BadInput(
            f"{target} is frozen already, with other clips",
            "choose another name; results of two splits do not compare",
        )
    with atomic_path(target) as temporary:
        temporary.write_bytes(text)
    write_json(
        described_at(target),
        {
            "schema": "split",
            "schema_version": 1,
            "name": target.stem,
            "version": VERSION,
            "sha256": hashlib.sha256(text).hexdigest(),
            "origin": origin,
            "rule": rule,
            "clips": {s: sum(v == s for v in subsets.values()) for s in SUBSETS},
        },
    )
    return load_file(target)
