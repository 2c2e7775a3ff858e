"""The rules that the frozen splits were made by.

The place of a clip within its speaker never moves: the speaker's stems of the frozen list
(`manifests.corpus_lists.stems_of`) are put in the order of sha256("SALT:speaker:stem"), the first
5 % are test places, the next 5 % val places, the rest train places. The list is the published one
and not a folder's content, so a clip that is missing on somebody's disk moves no other; the shares
are exact; and every split that uses the rule agrees on the places, so that a clip that one of them
tests on is not trained on in another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from manifests.corpus_lists import SPEAKERS, expected_stems_of, stems_of

SALT = "facetron-toolkit/grid-90-5-5/1"
"""Part of every hash. Another salt is another split: it must come with another version."""

SMALL = ("s1", "s2", "s4", "s29")
LIPNET_TEST = ("s1", "s2", "s20", "s22")
VCAGAN_TEST = ("s2", "s4", "s11", "s13", "s15", "s18", "s19", "s25", "s31", "s33")
VCAGAN_VAL = ("s9", "s20", "s23", "s27", "s29", "s30", "s34")

FACETRON = "Um, Kim, Lee, Kang: Facetron, section V"
PLACES = (
    "Per speaker, the stems of the frozen list in the order of "
    f'sha256("{SALT}:speaker:stem"): the first 5 % (rounded half up) are test places, '
    "the next 5 % val places, the rest train places. The list is the published one and not what "
    "lies on a disk, so a clip that is missing moves no other."
)
"""Explanation of the word `places` in the rules below."""

Row = tuple[str, str, str]
"""(speaker, stem, subset)"""


@lru_cache(maxsize=64)
def places(speaker: str) -> dict[str, str]:
    """stem → `train`, `val` or `test` for every known stem of a speaker: 90/5/5, exactly."""
    order = sorted(
        stems_of(speaker),
        key=lambda stem: hashlib.sha256(f"{SALT}:{speaker}:{stem}".encode()).digest(),
    )
    twentieth = (len(order) + 10) // 20
    return {
        stem: "test" if i < twentieth else "val" if i < 2 * twentieth else "train"
        for i, stem in enumerate(order)
    }


def by_clip(speakers: tuple[str, ...]) -> list[Row]:
    """90/5/5 within each of `speakers`; nobody else is in the split."""
    return [(s, stem, subset) for s in speakers for stem, subset in places(s).items()]


def by_speaker(test: tuple[str, ...]) -> list[Row]:
    """Every known clip of the `test` speakers to test; the others' train places to train, the rest
    of theirs to val.

    Test places go to val and not to train so that a model trained on this split can be tested on
    the `test` of a split by clip, too.
    """
    rows = [(s, stem, "test") for s in test for stem in stems_of(s)]
    for speaker in SPEAKERS:
        if speaker not in test:
            rows += [
                (speaker, stem, "train" if place == "train" else "val")
                for stem, place in places(speaker).items()
            ]
    return rows


def vcagan_unseen() -> list[Row]:
    """Whole speakers to each subset, over the clips of list A as in VCA-GAN's file."""
    subset = dict.fromkeys(VCAGAN_TEST, "test") | dict.fromkeys(VCAGAN_VAL, "val")
    return [(s, stem, subset.get(s, "train")) for s in SPEAKERS for stem in expected_stems_of(s)]


@dataclass(frozen=True)
class Recipe:
    """How one split is made.

    Attributes:
        version: counts up whenever a clip moves; results of two versions do not compare.
        origin: who defined it.
        rule: how it is made, in words.
        make: its rows, in any order.
        by_places: whether `PLACES` is part of the rule.
    """

    version: int
    origin: str
    rule: str
    make: Callable[[], list[Row]]
    by_places: bool = True


LARGE = tuple(speaker for speaker in SPEAKERS if speaker not in SMALL)

RECIPES: dict[str, Recipe] = {
    "small": Recipe(
        1,
        f"{FACETRON} (small dataset: four speakers, 90/5/5)",
        "Speakers s1 s2 s4 s29, each 90/5/5 by places.",
        lambda: by_clip(SMALL),
    ),
    "large-seen": Recipe(
        1,
        f"{FACETRON} (large dataset, seen speakers: trained and tested on the other 29)",
        "Every speaker but s1 s2 s4 s29, each 90/5/5 by places.",
        lambda: by_clip(LARGE),
    ),
    "large-unseen": Recipe(
        1,
        f"{FACETRON} (large dataset, unseen speakers); VCVTS tests on the same four",
        "Test is every clip of s1 s2 s4 s29, who must be absent from every stage of training and "
        "from the models that score it. Train is exactly the train of large-seen; val is the val "
        "places and the test places of the same 29 speakers. A model trained here may also be "
        "tested on large-seen, if its checkpoint was chosen on large-seen's val.",
        lambda: by_speaker(SMALL),
    ),
    "all-seen": Recipe(
        1,
        "the setting that SVTS (Mira et al., 2022) and others report as 33 speakers seen; the draw "
        "is this project's own",
        "Every speaker 90/5/5 by places.",
        lambda: by_clip(SPEAKERS),
    ),
    "lipnet-unseen": Recipe(
        1,
        "Assael, Shillingford, Whiteson, de Freitas: LipNet, unseen speakers (s1 s2 s20 s22)",
        "Test is every clip of s1 s2 s20 s22. LipNet trains on all others and has no val; here "
        "the val places and the test places of the others are val.",
        lambda: by_speaker(LIPNET_TEST),
    ),
    "vcagan-unseen": Recipe(
        1,
        "Kim, Hong, Ro: VCA-GAN, unseen speakers; repository "
        "ms-dot-k/Visual-Context-Attentional-GAN, data/unseen_splits.txt at 1ba4fa4",
        "Whole speakers: test s2 s4 s11 s13 s15 s18 s19 s25 s31 s33, val s9 s20 s23 s27 s29 s30 "
        "s34, train the other 16. The clips are the 32,870 of list A, as in that file.",
        vcagan_unseen,
        by_places=False,
    ),
}

LEFT_OUT: dict[str, str] = {
    "lipnet-overlapped": (
        "LipNet's 255 sentences of every speaker are a random draw. The lists of two public "
        "projects that use it share only 2,211 of 8,415 clips, so neither is the one and no rule "
        "gives it back. large-seen and small take its place."
    ),
    "vcagan-four": (
        "VCA-GAN's lists for s1 s2 s4 s29 (50 test clips a speaker) are a random draw that no rule "
        "gives back. small has the same speakers and shares, but other clips."
    ),
}
"""Splits of the literature that are not here, and why."""
