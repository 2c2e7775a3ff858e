"""Names of corpora: builds state one in their manifest (`corpus_kind`), runs in `run.json` (`corpus`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GRID, SYNTHGRID = "grid", "synthgrid"
LABELS = {
    GRID: "GRID",
    SYNTHGRID: "SynthGRID",
    "lombard-grid": "Lombard GRID",
    "tcd-timit": "TCD-TIMIT",
    "lrw": "LRW",
    "lrs": "LRS2 or LRS3",
    "cremad": "CREMA-D",
    "ravdess": "RAVDESS",
    "voxceleb2": "VoxCeleb2",
}
"""Name → the same as it is printed. A folder of videos of somebody's is no corpus with a name."""


def corpus_of(header: Mapping[str, Any]) -> str:
    """Returns the corpus that the header of a manifest states: one of `LABELS`, "" for any other."""
    name = header.get("corpus_kind", "")
    return name if isinstance(name, str) and name in LABELS else ""
