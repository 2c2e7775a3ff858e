"""From a clip's state to its manifest row, or to the failure that explains why there is none; and the
files that hold all rows and failures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gridprep.pipeline.recipe import (
    ALL_STAGES,
    Recipe,
    expected_keys,
    failure_stands,
    sources_current,
    stale_stages,
)
from gridprep.pipeline.state import ClipState
from manifests.corpus_lists import gender_of
from manifests.grammar import sentence_of
from manifests.io import SUBSETS, atomic_open, check_row, write_jsonl
from manifests.manifest import rows_to_dataframe
from manifests.records import Clip, ClipFailure, ManifestRow, WordSpan
from manifests.specs import CLIP_SECONDS

CSV_COLUMNS = (
    "speaker",
    "gender",
    "stem",
    "sentence",
    "lips",
    "face",
    "audio",
    "mel",
    "prosody",
    "samples_added",
    "flags",
)


def not_built(
    clip: Clip, state: ClipState, parameters: dict[str, str], build: str
) -> ClipFailure | None:
    """The failure of a clip whose features are not there or are not what `parameters` ask for, so
    that a manifest never says of a file what is not true of it; None where the state can be trusted."""
    if state.source is None:
        if state.failure is not None:
            return None
        detail = "not built yet"
    elif not sources_current(state, clip):
        detail = "the source changed since it was built"
    else:
        keys = expected_keys(state, clip, parameters)
        stale = stale_stages(state, keys, ALL_STAGES, build)
        if failure_stands(state, keys, ALL_STAGES) or not (stale or state.failure):
            return None
        detail = f"not done, or with other parameters: {', '.join(stale) or 'what failed before'}"
    return ClipFailure(clip.speaker, clip.stem, "manifest", "not_built", detail, clip.video)


def row_or_failure(
    clip: Clip, state: ClipState, subset: str, recipe: Recipe, corpus_root: str
) -> ManifestRow | ClipFailure:
    """The manifest row of a clip whose stages are up to date, or its failure. Breaking the physics is
    a failure, not a warning. Paths of sources are relative to the corpus."""
    source = relative_to(corpus_root, clip.video)
    if state.failure is not None:
        return replace(state.failure, video=source)
    assert state.source is not None, f"{clip.clip_id} was not built"
    stages = state.stages
    files = {name: path for s in stages.values() for name, (path, _) in s.files.items()}
    qc: dict[str, object] = {}
    flags: list[str] = []
    for stage in stages.values():
        qc |= stage.data.get("qc", {})
        flags += stage.data.get("flags", [])
    row = ManifestRow(
        speaker=clip.speaker,
        gender=gender_of(clip.speaker),
        stem=clip.stem,
        sentence=sentence_of(clip.stem),
        subset=subset,
        words=tuple(WordSpan.from_dict(w) for w in stages["alignment"].data["words"]),
        paths={name: path for name, path in files.items() if not name.startswith("mel:")},
        video_frames=stages["crop"].data["video_frames"],
        audio_samples=stages["audio"].data["samples"],
        sample_rate_hz=recipe.audio.sample_rate_hz,
        mel_frames=stages["mels"].data["mel_frames"],
        samples_added=stages["audio"].data["samples_added"],
        flags=tuple(flags),
        repairs=clip.repairs,
        qc=qc,
        source_path=source,
        source_sha256=state.source.sha256,
        fingerprints={
            "audio": recipe.audio.fingerprint(),
            "mel": recipe.mel.fingerprint(),
            "crop": recipe.crop.fingerprint(),
            "landmarks": recipe.landmarks.fingerprint(),
            "prosody": recipe.prosody.fingerprint(),
        },
        extra_mels={
            name.removeprefix("mel:"): path
            for name, path in files.items()
            if name.startswith("mel:")
        },
    )
    expected_mel_frames = recipe.mel.frames(round(CLIP_SECONDS * recipe.mel.sample_rate_hz))
    complaints = check_row(row, expected_mel_frames)
    if complaints:
        return ClipFailure(
            clip.speaker, clip.stem, "manifest", "physics", "; ".join(complaints), source
        )
    return row


def relative_to(root: str, path: str) -> str:
    """`os.path.relpath` of absolute paths, quick for what lies below `root`."""
    return path[len(root) + 1 :] if path.startswith(f"{root}/") else os.path.relpath(path, root)


def write_rows(
    out: str, rows: Sequence[ManifestRow], failures: Sequence[ClipFailure], header: dict[str, Any]
) -> str:
    """Writes `failures.jsonl`, the CSV of each subset and, last, `manifest.jsonl`; returns its path."""
    write_jsonl(os.path.join(out, "failures.jsonl"), "failures", failures)
    table = rows_to_dataframe(rows)
    for subset in SUBSETS:
        lines = table.loc[table["subset"] == subset, list(CSV_COLUMNS)]
        with atomic_open(os.path.join(out, f"{subset}.csv")) as file:
            lines.to_csv(file, index=False, lineterminator="\n")
    manifest = os.path.join(out, "manifest.jsonl")
    write_jsonl(manifest, "manifest", rows, **header)
    return manifest
