"""SynthGRID: what `gridprep synth` makes, sentences of GRID said by synthetic faces and voices.

Its folder has GRID's own layout (`gridprep.synth.corpus`), with `synth.json` in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gridprep.corpora.grid import SYNTH_MARK, GridRecipe


@dataclass(frozen=True)
class SynthGridRecipe(GridRecipe):
    """GRID's recipe under another name."""

    name: str = "synthgrid"
    title: str = "SynthGRID, made by `gridprep synth`"
    source: str = "gridprep.synth.corpus"

    def looks_like(self, root: str, names: Sequence[str]) -> bool:
        """Returns whether the mark of `gridprep synth` is there."""
        return SYNTH_MARK in names


SYNTHGRID = SynthGridRecipe()
