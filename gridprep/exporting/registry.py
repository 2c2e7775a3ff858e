"""The layouts by name. A layout is a function `write(job)` in a module of its own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from gridprep.exporting.base import ExportJob
from manifests.errors import BadInput, MissingDependency
from manifests.libraries import install_line


@dataclass(frozen=True)
class Layout:
    """An entry of the registry.

    Attributes:
        target: the function that writes it.
        summary: what it is, for `--help`.
        features: the files of a clip that it needs.
        options: its options by name, with what each does.
        library: the optional library that it needs.
    """

    target: str
    summary: str
    features: tuple[str, ...] = ("audio",)
    options: tuple[tuple[str, str], ...] = ()
    library: str = ""


SHARD = ("clips_per_shard", "most clips in one file; 1000 by default")

LAYOUTS: dict[str, Layout] = {
    "kaldi": Layout(
        "gridprep.exporting.kaldi:write", "data directories with wav.scp, text, utt2spk, ctm"
    ),
    "textgrid": Layout("gridprep.exporting.textgrid:write", "a Praat TextGrid beside every WAV"),
    "lhotse": Layout(
        "gridprep.exporting.lhotse:write",
        "recordings, supervisions and cuts with word alignments",
        features=("audio", "lips"),
    ),
    "webdataset": Layout(
        "gridprep.exporting.webdataset:write",
        "tar shards with every feature, and an index",
        features=("audio", "lips", "face", "mel"),
        options=(SHARD,),
    ),
    "auto-avsr": Layout(
        "gridprep.exporting.auto_avsr:write",
        "gray 96x96 lips, WAVs, labels",
        features=("audio", "lips"),
        options=(("spm", "folder of unigram5000.model and unigram5000_units.txt, for token ids"),),
    ),
    "av-hubert": Layout(
        "gridprep.exporting.av_hubert:write",
        "gray 96x96 lips, WAVs, .tsv and .wrd",
        features=("audio", "lips"),
    ),
    "hf": Layout(
        "gridprep.exporting.hugging_face:write",
        "Parquet with sound and lips, for Hugging Face datasets",
        features=("audio", "lips"),
        options=(SHARD,),
        library="pyarrow",
    ),
    "lip2wav": Layout(
        "gridprep.exporting.lip2wav:write",
        "a folder a clip: faces, WAV, mel",
        features=("audio", "face"),
    ),
    "vca-gan": Layout(
        "gridprep.exporting.vca_gan:write",
        "aligned 256x256 faces, FLAC, splits",
        features=("audio", "face"),
    ),
}


def entry(name: str) -> Layout:
    """The entry of that name. Raises `BadInput` that lists the choices."""
    if name not in LAYOUTS:
        raise BadInput(f"there is no layout {name!r}", f"use one of {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def writer(name: str) -> Callable[[ExportJob], None]:
    """The function of a layout. Raises `BadInput`, or `MissingDependency` that names the extra."""
    layout = entry(name)
    if layout.library:
        try:
            importlib.import_module(layout.library)
        except ImportError:
            raise MissingDependency(
                f"layout {name} needs {layout.library}", install_line(layout.library) or ""
            ) from None
    module, function = layout.target.split(":")
    found: Callable[[ExportJob], None] = getattr(importlib.import_module(module), function)
    return found
