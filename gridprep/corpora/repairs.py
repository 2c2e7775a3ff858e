"""Repairs that a build makes while finding clips, described for a person.

In GRID's own `alignments.zip` whole speaker folders are swapped or rotated. Files are paired by stem,
so no file needs to be moved, but every repair is reported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gridprep.corpora.base import FolderClaim
from manifests.ordering import natural
from manifests.records import Record

NOTHING_TO_DO = "build pairs them by stem, nothing needs moving"


@dataclass(frozen=True)
class Repair(Record):
    """One repair.

    Attributes:
        kind: `swapped` (two folders hold each other's files), `moved_round` (three or more do, in a
            ring), `holds_other` (a folder holds mainly another speaker's), `strays` (some files among
            its own).
        files: clips or alignments concerned.
        folders: where they lie, relative to the corpus.
        says: one line for a person.
    """

    kind: str
    files: int
    folders: tuple[str, ...]
    says: str


def repairs_of(claims: Iterable[FolderClaim]) -> tuple[Repair, ...]:
    """The repairs behind the folders of a corpus that claim one speaker and hold another's files."""
    found: list[Repair] = []
    by_kind: dict[str, list[FolderClaim]] = {}
    for claim in claims:
        by_kind.setdefault(claim.kind, []).append(claim)
    for same_kind in by_kind.values():
        mainly: dict[str, FolderClaim] = {}
        for claim in sorted(same_kind, key=lambda c: -c.files):
            if claim.files > claim.own:
                mainly.setdefault(claim.claimed, claim)
        rings = _rings(mainly)
        in_ring = {id(claim) for ring in rings for claim in ring}
        found += [_told(ring) for ring in rings]
        found += [_told([c]) for c in _by_speaker(same_kind) if id(c) not in in_ring]
    return tuple(found)


def _by_speaker(claims: Iterable[FolderClaim]) -> list[FolderClaim]:
    return sorted(claims, key=lambda c: (natural(c.claimed), c.folder, c.holds))


def _rings(mainly: dict[str, FolderClaim]) -> list[list[FolderClaim]]:
    """The rings in claimed → held speaker, each starting at its first speaker."""
    rings: list[list[FolderClaim]] = []
    seen: set[str] = set()
    for start in sorted(mainly, key=natural):
        walk: list[str] = []
        at = start
        while at in mainly and at not in seen:
            seen.add(at)
            walk.append(at)
            at = mainly[at].holds
        if at in walk:
            rings.append(_by_speaker(mainly[s] for s in walk[walk.index(at) :]))
    return rings


def _told(claims: list[FolderClaim]) -> Repair:
    files = sum(c.files for c in claims)
    folders = tuple(c.folder for c in claims)
    what = "clips" if claims[0].kind == "speaker_folder" else "alignments"
    if len(claims) == 1:
        claim = claims[0]
        strays = claim.own >= claim.files
        one = claim.files == 1
        among = f" among {claim.own} of {claim.claimed}'s own" if claim.own else ""
        return Repair(
            "strays" if strays else "holds_other",
            files,
            folders,
            f"{claim.folder} holds {claim.files} {what.removesuffix('s') if one else what} of "
            f"{claim.holds}{among}: {NOTHING_TO_DO.replace('them', 'it' if one else 'them')}",
        )
    if len(claims) == 2:
        return Repair(
            "swapped",
            files,
            folders,
            f"{folders[0]} and {folders[1]} are swapped ({what} of {claims[0].claimed} and "
            f"{claims[1].claimed}, {files} files): {NOTHING_TO_DO}",
        )
    holdings = ", ".join(f"{c.folder} holds {c.holds}'s" for c in claims)
    return Repair(
        "moved_round",
        files,
        folders,
        f"{len(claims)} folders of {what} are moved round ({holdings}, {files} files): "
        f"{NOTHING_TO_DO}",
    )
