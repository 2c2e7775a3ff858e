"""What a card says of a reading that its weights cannot know."""

from __future__ import annotations

from pathlib import Path

import pytest

from facetron.demo.clips import Run, Shown
from facetron.demo.markup import read_lines
from manifests.records import RunClip, RunInfo


@pytest.mark.parametrize(
    ("said", "in_domain", "verdict"),
    [
        ("bin blue now", True, "1 of 3 words wrong; confidence 40%"),
        (
            "hello blue world",
            False,
            "2 of 3 words wrong; confidence 40%; does not look like GRID speech; "
            "the weights do not know 2 of these 3 words (hello, world)",
        ),
        ("", False, "confidence 40%; does not look like GRID speech"),
        ("hello blue now", None, "1 of 3 words wrong; confidence 40%"),
    ],
)
def test_what_the_weights_do_not_know_is_a_visible_verdict(
    said: str, in_domain: bool | None, verdict: str
) -> None:
    clip = RunClip(
        "anna", "hello", said, "", "x.wav",
        transcript="bin blue now" if said != "bin blue now" else "bin red now",
        confidence=0.4, in_domain=in_domain,
    )  # fmt: skip
    run = Run(Path(), RunInfo("Facetron", "model", "", "all", 16_000, 1), (clip,))
    (line,) = read_lines(Shown("unseen", ((run, clip),), None, False))
    assert line.verdict == verdict
