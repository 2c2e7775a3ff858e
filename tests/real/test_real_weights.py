"""The bundled weights `grid-s1` read lips of s1 that they were not trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.inputs.text import compare
from facetron.checkpoints import bundled
from facetron.synthesis.synthesizer import Synthesizer
from facetron.video.align import Aligner, open_video
from manifests.grammar import sentence_of
from manifests.splits import frozen

CLIPS = 20
LARGEST_WER = 0.32
"""Of 89 clips it is 0.19; of twenty, three standard errors more."""


@pytest.mark.skipif("grid-s1" not in bundled.names(), reason="no bundled weights in this checkout")
def test_lips_of_held_out_sentences(real_grid: Path) -> None:
    split = frozen.load("all-seen")
    stems = sorted(
        s for part in ("val", "test") for speaker, s in split.clips(part) if speaker == "s1"
    )
    paths = [real_grid / "compact" / "s1" / f"{stem}.mkv" for stem in stems]
    paths = [path for path in paths if path.is_file()]
    if len(paths) < CLIPS:
        pytest.skip(f"{real_grid} holds {len(paths)} held-out clips of s1")
    model, aligner = Synthesizer.load("grid-s1", device="cpu"), Aligner("facemesh")
    wrong = words = 0
    for path in paths[:: len(paths) // CLIPS][:CLIPS]:
        with open_video(path) as footage:
            reading = model.read(aligner.video(footage).lips)
        found = compare(sentence_of(path.stem), reading.text).words
        wrong, words = wrong + found.errors, words + found.length
    aligner.close()
    assert wrong <= LARGEST_WER * words
