"""A folder in which the examples of the Python API run: a corpus, its build, a run, a clip.

grid/            SynthGRID, s1 (unseen in `large-unseen`) and s3, two clips each
features/        its build
runs/facetron/   what the bundled weights `synthgrid` say for the test clips
clip.mpg         one of the corpus's clips
"""

from __future__ import annotations

import shutil
from pathlib import Path

SPEAKERS = ("s1", "s3")


def make_python_folder(root: Path) -> Path:
    """About 15 s on one core."""
    import gridprep
    from facetron.synthesis.run import SynthesisOptions, synthesize
    from gridprep.synth.corpus import make_corpus

    make_corpus(root / "grid", speakers=SPEAKERS, sentences=2, seed=7, jobs=1)
    gridprep.build(root / "grid", root / "features", split="large-unseen", jobs=1)
    synthesize(SynthesisOptions(root / "features", "synthgrid", root / "runs" / "facetron"))
    shutil.copyfile(min((root / "grid" / "s1").glob("*.mpg")), root / "clip.mpg")
    return root
