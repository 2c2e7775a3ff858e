"""Corpora by name, and which of them a folder holds."""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module

from gridprep.corpora.base import CorpusRecipe, sample
from manifests.errors import BadInput

RECIPES: dict[str, str] = {
    "grid": "gridprep.corpora.grid:GRID",
    "synthgrid": "gridprep.corpora.synthgrid:SYNTHGRID",
    "lombard-grid": "gridprep.corpora.lombard:LOMBARD",
    "tcd-timit": "gridprep.corpora.tcd_timit:TCD_TIMIT",
    "lrw": "gridprep.corpora.lrw:LRW",
    "lrs": "gridprep.corpora.lrs:LRS",
    "cremad": "gridprep.corpora.cremad:CREMAD",
    "ravdess": "gridprep.corpora.ravdess:RAVDESS",
    "voxceleb2": "gridprep.corpora.voxceleb2:VOXCELEB2",
    "folder": "gridprep.corpora.folder:FOLDER",
}
"""Name → where its recipe is, imported when it is used."""

FALLBACK = "folder"
"""What a folder of videos is that is no corpus with a name."""


@cache
def recipe(name: str) -> CorpusRecipe:
    """The recipe of that name. Raises `BadInput` for an unknown one."""
    if name not in RECIPES:
        raise BadInput(f"there is no corpus kind {name!r}", f"use one of {', '.join(RECIPES)}")
    module, _, attribute = RECIPES[name].partition(":")
    found: CorpusRecipe = getattr(import_module(module), attribute)
    return found


def recipe_for(root: str | os.PathLike[str], kind: str = "") -> CorpusRecipe:
    """The recipe of a kind, or of the one corpus that `root` looks like where none is given; a folder
    that looks like none is a folder of videos.

    Raises:
        BadInput: an unknown kind, or a folder that looks like several.
    """
    if kind:
        return recipe(kind)
    path = os.path.abspath(os.fspath(root))
    names = sample(path)
    like = [name for name in RECIPES if recipe(name).looks_like(path, names)]
    if len(like) > 1:
        raise BadInput(f"{path} may be {' or '.join(like)}", f"say which: --corpus-kind {like[0]}")
    return recipe(like[0] if like else FALLBACK)
