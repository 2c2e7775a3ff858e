"""Recipes of published systems: facts alone, no sound of anybody's is bundled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

from manifests.errors import BadInput


@dataclass(frozen=True)
class PublishedSystem:
    """One system of a recipe.

    Attributes:
        name: in tables.
        pattern: of its files below the recipe's folder (`facetron-eval import --pattern`).
        printed: metric → number as its paper prints it.
    """

    name: str
    pattern: str
    printed: dict[str, str]


@dataclass(frozen=True)
class Recipe:
    """Where the samples of one publication lie.

    Attributes:
        name: of the recipe.
        title: the publication.
        git: the authors' repository, or "".
        page: the authors' page, where samples must be saved by hand; or "".
        verified: by what the place is known.
        license: of the samples.
        folder: in the repository.
        reference_pattern: of the recordings below the folder.
        systems: those whose samples lie there; empty where their place is not known.
        remarks: what a reader must know.
    """

    name: str
    title: str
    git: str
    page: str
    verified: str
    license: str
    folder: str
    reference_pattern: str
    systems: tuple[PublishedSystem, ...]
    remarks: str


@cache
def recipes() -> dict[str, Recipe]:
    """Returns all recipes by name."""
    text = (resources.files("evaluation.literature") / "recipes.json").read_text("utf-8")
    found = {}
    for entry in json.loads(text)["recipes"]:
        systems = tuple(PublishedSystem(**system) for system in entry.pop("systems"))
        found[entry["name"]] = Recipe(systems=systems, **entry)
    return found


def recipe(name: str) -> Recipe:
    """Returns a recipe. Raises `BadInput` for an unknown name."""
    if name not in recipes():
        raise BadInput(
            f"there is no published system {name!r}", f"choose from {', '.join(recipes())}"
        )
    return recipes()[name]
