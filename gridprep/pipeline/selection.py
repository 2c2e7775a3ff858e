"""Options of a build, checked before anything is written, and the selection of its clips."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from importlib import resources

from gridprep.corpora.base import Corpus, CorpusRecipe
from gridprep.corpora.registry import recipe_for
from gridprep.corpora.stored_clips import StoredClips
from gridprep.features.crop_store import suffix_of
from gridprep.landmarks import registry
from gridprep.pipeline.recipe import ALL_STAGES, Recipe, with_upstreams
from gridprep.pipeline.state import STATE_FOLDER
from manifests.dask_execution import create_executor
from manifests.errors import BadInput
from manifests.folders import check_own
from manifests.manifest import dealt_positions
from manifests.ordering import natural
from manifests.records import ClipFailure
from manifests.shards import Shard
from manifests.splits.frozen import Split, load, load_file
from manifests.versions import library_version

CORPUS_SPLIT = "default"


@dataclass(frozen=True)
class BuildOptions:
    """Options of a build. `recipe` decides the features, the others which clips and how they run.

    Attributes:
        corpus_kind: name of the corpus's recipe; "" where it shows by itself.
        split: name of a frozen split, or a file that `gridprep splits freeze` wrote; `CORPUS_SPLIT` is
            the one that the corpus's recipe names; "" takes every clip, in the subset that the corpus
            itself says, or in train.
        speakers: names, or texts that the corpus's recipe takes apart (`s1-s5`).
        limit: at most this many clips, spread evenly over the speakers; 0 is all.
        shard: `i/n` for the i-th of n parts (`manifests.shards`); "" for all clips.
        max_failures: stop when more than this many clips fail; -1 is never.
        redo: stages that run again for every selected clip, with the stages that depend on them.
        only: identifiers of clips; others are left alone. () is no restriction.
    """

    corpus: str
    out: str
    recipe: Recipe = Recipe()
    corpus_kind: str = ""
    split: str = ""
    speakers: tuple[str, ...] = ()
    limit: int = 0
    shard: str = ""
    jobs: int = 1
    backend: str = "local"
    scheduler: str = ""
    max_failures: int = -1
    targets: tuple[str, ...] = ALL_STAGES
    redo: tuple[str, ...] = ()
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Selection:
    """The selected clips of a build, and the findings about their corpus."""

    corpus: Corpus
    split: Split | None
    clips: StoredClips
    find_failures: tuple[ClipFailure, ...]


def with_versions(recipe: Recipe, stages: tuple[str, ...] = ALL_STAGES) -> Recipe:
    """The recipe with the versions of what would change features if it changed: libraries, the mean
    face, a landmark backend's weights. (A backend that has any, or is given options, is created for it.)"""

    def version(name: str) -> str:
        return f"{name} {library_version(name)}"

    face = resources.files("gridprep.features").joinpath("mean_face.json").read_bytes()
    backend = recipe.landmarks.backend
    landmarks = version(backend)
    special = recipe.landmark_options or recipe.device != "cpu"
    if "align" in stages and (registry.entry(backend).options or special):
        created = registry.create(backend, recipe.device, recipe.landmark_options)
        landmarks = f"{backend} {created.version}"
        created.close()
    return replace(
        recipe,
        library_versions=(
            ("decode", version("av")),
            ("audio", version("soxr")),
            ("align", landmarks),
            ("crop", f"{version('opencv')} face {hashlib.sha256(face).hexdigest()[:12]}"),
            ("mels", f"{version('numpy')} {version('scipy')}"),
        ),
    )


def checked(options: BuildOptions) -> BuildOptions:
    """The options with absolute paths and versions. Raises before anything is read or written:
    `BadInput` for names that nobody knows, `MissingDependency`."""
    corpus, out = os.path.abspath(options.corpus), os.path.abspath(options.out)
    if os.path.realpath(corpus) == os.path.realpath(out):
        raise BadInput(f"--out {out} is the corpus", "choose a folder of its own for the build")
    check_own(out, (STATE_FOLDER,), "a build")
    if options.shard:
        Shard.parse(options.shard)
    create_executor(options.backend, options.jobs, options.scheduler)
    for stage in options.redo:
        if stage not in ALL_STAGES:
            raise BadInput(f"there is no stage {stage!r}", f"use one of {', '.join(ALL_STAGES)}")
    for codec in (options.recipe.crop.lips_codec, options.recipe.crop.face_codec):
        suffix_of(codec)
    stages = with_upstreams(options.targets or ALL_STAGES)
    found = recipe_for(corpus, options.corpus_kind)
    split = found.default_split if options.split == CORPUS_SPLIT else options.split
    return replace(
        options,
        recipe=with_versions(options.recipe.for_corpus(found), stages),
        corpus=corpus,
        out=out,
        corpus_kind=found.name,
        split=split,
    )


def _split(name: str, recipe: CorpusRecipe) -> Split | None:
    """The split of that name. Raises `BadInput` for one that lists the clips of another corpus."""
    if not name:
        return None
    if name.endswith(".csv"):
        return load_file(name)
    split = load(name)
    if name not in recipe.splits:
        others = f"--split {recipe.splits[0]}, or " if recipe.splits else ""
        raise BadInput(
            f"the split {name} lists clips of GRID, and the corpus is {recipe.name}",
            f"use {others}freeze one of its own (gridprep splits freeze), or leave --split out",
        )
    return split


def select(options: BuildOptions) -> Selection:
    """Finds the corpus and picks the clips. Raises `BadInput` when none is left."""
    recipe = recipe_for(options.corpus, options.corpus_kind)
    split = _split(options.split, recipe)
    corpus = recipe.find(os.path.abspath(options.corpus))
    chosen = ",".join(options.speakers)
    wanted = recipe.parse_speakers(chosen, corpus) if chosen else frozenset()
    only = set(options.only)
    clips = corpus.clips.taken(
        position
        for position, (speaker, stem) in enumerate(corpus.clips.names())
        if (not wanted or speaker in wanted)
        and (not only or f"{speaker}/{stem}" in only)
        and (split is None or split.subset_of(speaker, stem) is not None)
    )
    failures = [f for f in corpus.failures if not wanted or f.speaker in wanted]
    if only:
        failures = []
    if options.limit:
        clips = clips.taken(dealt_positions(clips.speakers(), options.limit))
        failures = failures[: options.limit] if not clips else []
    if not clips and not failures:
        found = ", ".join(sorted(set(corpus.clips.speakers()), key=natural)) or "none"
        raise BadInput(
            f"{corpus.root} has no clip for this choice (speakers found: {found})",
            "check --split and --speakers",
        )
    if options.shard:
        shard = Shard.parse(options.shard)
        clips = clips.taken(i for i, clip_id in enumerate(clips.ids()) if shard.holds(clip_id))
        failures = [failure for failure in failures if shard.holds(failure.clip_id)]
    return Selection(corpus, split, clips, tuple(failures))
