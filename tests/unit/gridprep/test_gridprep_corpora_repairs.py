"""Repairs as a person reads them."""

from __future__ import annotations

from gridprep.corpora.base import FolderClaim
from gridprep.corpora.repairs import repairs_of

# True speaker ← folder in the alignments.zip that GRID is distributed with.
DISTRIBUTED = {
    "s5": "s6", "s6": "s5", "s10": "s13", "s11": "s10", "s12": "s11", "s13": "s12", "s14": "s15",
    "s15": "s14", "s18": "s19", "s19": "s18", "s20": "s21", "s22": "s23", "s23": "s22",
    "s26": "s27", "s27": "s26", "s28": "s29", "s29": "s28", "s32": "s33", "s33": "s32",
}  # fmt: skip


def words(claimed: str, holds: str, files: int = 1000, own: int = 0) -> FolderClaim:
    return FolderClaim("alignment_folder", claimed, holds, files, f"alignments/{claimed}", own)


def test_nothing_to_repair() -> None:
    assert repairs_of([]) == ()


def test_two_folders_that_hold_each_others_files_are_swapped() -> None:
    (repair,) = repairs_of([words("s5", "s6"), words("s6", "s5", 998)])
    assert repair.kind == "swapped"
    assert repair.files == 1998
    assert repair.folders == ("alignments/s5", "alignments/s6")
    assert repair.says == (
        "alignments/s5 and alignments/s6 are swapped (alignments of s5 and s6, 1998 files): "
        "build pairs them by stem, nothing needs moving"
    )


def test_the_distributed_archive() -> None:
    repairs = repairs_of(words(folder, true) for true, folder in DISTRIBUTED.items())
    assert [(r.kind, [f.removeprefix("alignments/") for f in r.folders]) for r in repairs] == [
        ("swapped", ["s5", "s6"]),
        ("moved_round", ["s10", "s11", "s12", "s13"]),
        ("swapped", ["s14", "s15"]),
        ("swapped", ["s18", "s19"]),
        ("swapped", ["s22", "s23"]),
        ("swapped", ["s26", "s27"]),
        ("swapped", ["s28", "s29"]),
        ("swapped", ["s32", "s33"]),
        ("holds_other", ["s21"]),
    ]
    ring = repairs[1].says
    assert "alignments/s10 holds s11's" in ring
    assert "alignments/s13 holds s10's" in ring
    assert repairs[-1].says.startswith("alignments/s21 holds 1000 alignments of s20: build pairs")


def test_a_stray_among_its_own_is_no_swap() -> None:
    clips = [
        FolderClaim("speaker_folder", "s1", "s2", 1, "s1", 1000),
        FolderClaim("speaker_folder", "s2", "s1", 3, "s2", 997),
    ]
    first, second = repairs_of(clips)
    assert (first.kind, second.kind) == ("strays", "strays")
    assert first.says == (
        "s1 holds 1 clip of s2 among 1000 of s1's own: build pairs it by stem, nothing needs moving"
    )
    assert "3 clips of s1" in second.says


def test_clips_and_alignments_are_told_apart() -> None:
    claims = [
        words("s5", "s6"),
        FolderClaim("speaker_folder", "s6", "s5", 1000, "s6", 0),
    ]
    assert [r.kind for r in repairs_of(claims)] == ["holds_other", "holds_other"]


def test_two_folders_of_one_claim() -> None:
    claims = [
        words("s5", "s6", 900),
        FolderClaim("alignment_folder", "s5", "s7", 30, "more/s5", 0),
        words("s6", "s5", 900),
    ]
    assert [(r.kind, r.folders) for r in repairs_of(claims)] == [
        ("swapped", ("alignments/s5", "alignments/s6")),
        ("holds_other", ("more/s5",)),
    ]
