"""Recipes of published systems: facts alone, no sound of anybody's is bundled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

from manifests.errors import BadInput


@dataclass(frozen=True)
class PrintedNumber:
    """A number that somebody printed about a system.

    Attributes:
        metric: of the registry of metrics, or a free name where no metric of ours is meant to measure
            the same.
        value: as printed.
        setting: on what, where the samples' own setting does not say it.
        source: the publication that prints it.
        quoted_by: who quotes the source, where the source itself was not read; "" where it was.
    """

    metric: str
    value: str
    setting: str
    source: str
    quoted_by: str

    @property
    def origin(self) -> str:
        """Source, setting, and who quotes it, in one line."""
        where = f"{self.source} ({self.setting})" if self.setting else self.source
        return f"{where}, quoted by {self.quoted_by}" if self.quoted_by else where


@dataclass(frozen=True)
class PublishedSystem:
    """One system of a recipe.

    Attributes:
        name: in tables.
        pattern: of its files below the recipe's folder (`facetron-eval import --pattern`).
        printed: numbers that were printed about it.
    """

    name: str
    pattern: str
    printed: tuple[PrintedNumber, ...]


@dataclass(frozen=True)
class ListeningTest:
    """Opinions of one group of listeners on systems of a recipe: only such opinions compare.

    Attributes:
        question: what they were asked, such as `naturalness`.
        source, quoted_by: as of `PrintedNumber`.
        remarks: what a reader must know.
        opinions: system → mean opinion, higher is better.
    """

    question: str
    source: str
    quoted_by: str
    remarks: str
    opinions: dict[str, float]

    @property
    def origin(self) -> str:
        return f"{self.source}, quoted by {self.quoted_by}" if self.quoted_by else self.source


@dataclass(frozen=True)
class Sentence:
    """A clip whose file names no sentence of GRID.

    Attributes:
        stem: as the pattern finds it in the path.
        speaker: "" where nobody says who speaks.
        text: as the authors print it.
    """

    stem: str
    speaker: str
    text: str


@dataclass(frozen=True)
class Recipe:
    """The place of the samples of one publication.

    Attributes:
        name: of the recipe.
        title: the publication.
        label: of the recipe's rows in a table.
        git: the authors' repository, or "".
        page: the authors' page, or "".
        links: expression that the links of the page to its samples match; "" where the files' names
            are not known, so that they must be saved by hand.
        verified: by what the place is known.
        license: of the samples.
        corpus: of the clips (`manifests.corpus_names`).
        folder: in the repository, or below the page.
        reference_pattern: of the recordings below the folder; "" where there are none.
        sentences: of clips whose names are no sentences of GRID.
        systems: those whose samples lie there; empty where their place is not known.
        listening: tests of these systems.
        remarks: what a reader must know.
    """

    name: str
    title: str
    label: str
    git: str
    page: str
    links: str
    verified: str
    license: str
    corpus: str
    folder: str
    reference_pattern: str
    sentences: tuple[Sentence, ...]
    systems: tuple[PublishedSystem, ...]
    listening: tuple[ListeningTest, ...]
    remarks: str


@cache
def recipes() -> dict[str, Recipe]:
    """Returns all recipes by name."""
    text = (resources.files("evaluation.literature") / "recipes.json").read_text("utf-8")
    found = {}
    for entry in json.loads(text)["recipes"]:
        systems = tuple(
            PublishedSystem(
                system["name"],
                system["pattern"],
                tuple(_printed(number) for number in system.get("printed", ())),
            )
            for system in entry.pop("systems")
        )
        listening = tuple(
            ListeningTest(**{"quoted_by": "", "remarks": "", **test})
            for test in entry.pop("listening", ())
        )
        sentences = tuple(Sentence(**sentence) for sentence in entry.pop("sentences", ()))
        entry = {"links": "", "corpus": "", "label": entry["name"], **entry}
        found[entry["name"]] = Recipe(
            systems=systems, listening=listening, sentences=sentences, **entry
        )
    return found


def _printed(number: dict[str, str]) -> PrintedNumber:
    return PrintedNumber(**{"setting": "", "quoted_by": "", **number})


def recipe(name: str) -> Recipe:
    """Returns a recipe. Raises `BadInput` for an unknown name."""
    if name not in recipes():
        raise BadInput(
            f"there is no published system {name!r}", f"choose from {', '.join(recipes())}"
        )
    return recipes()[name]
