"""Manifest rows and failures: made from the states of clips, and written to the files of a build."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Any

from gridprep.corpora.base import fitted
from gridprep.pipeline.recipe import (
    ALL_STAGES,
    Recipe,
    expected_keys,
    failure_stands,
    sources_current,
    stale_stages,
)
from gridprep.pipeline.state import ClipState
from manifests.errors import ClipError
from manifests.grammar import sentence_of
from manifests.io import SUBSETS, atomic_open, check_row, write_jsonl
from manifests.records import SCHEMA_VERSION, Clip, ClipFailure, ManifestRow, WordSpan

MANIFEST = "manifest.jsonl"
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
    clip: Clip, state: ClipState, parameters: dict[str, str], build: str, content: bool = False
) -> ClipFailure | None:
    """The failure of a clip whose features are not there or are not what `parameters` ask for, so
    that a manifest never says of a file what is not true of it; None where the state can be trusted.

    Args:
        content: whether files count as there by their SHA-256 and not by their size alone.
    """
    if state.source is None:
        if state.failure is not None:
            return None
        detail = "not built yet"
    elif not sources_current(state, clip):
        detail = "the source changed since it was built"
    else:
        keys = expected_keys(state, clip, parameters)
        stale = stale_stages(state, keys, ALL_STAGES, build, content)
        if failure_stands(state, keys, ALL_STAGES) or not (stale or state.failure):
            return None
        detail = f"not done, or with other parameters: {', '.join(stale) or 'what failed before'}"
    return ClipFailure(clip.speaker, clip.stem, "manifest", "not_built", detail, clip.video)


def row_or_failure(
    clip: Clip, state: ClipState, subset: str, recipe: Recipe, corpus_root: str
) -> ManifestRow | ClipFailure:
    """The manifest row of a clip whose stages are up to date, or its failure. A row that breaks the
    physics is a failure, not a warning. Paths of sources are relative to the corpus."""
    source = relative_to(corpus_root, clip.video)
    if state.failure is not None:
        return replace(state.failure, video=source)
    assert state.source is not None, f"{clip.clip_id} was not built"
    stages = state.stages
    artifacts = {name: file for stage in stages.values() for name, file in stage.files.items()}
    files = {name: file.path for name, file in artifacts.items()}
    qc: dict[str, object] = {}
    flags: list[str] = []
    for stage in stages.values():
        qc |= stage.data.get("qc", {})
        flags += stage.data.get("flags", [])
    said = stages["alignment"].data
    n_frames = stages["crop"].data["video_frames"]
    try:
        words = fitted(tuple(WordSpan.from_dict(w) for w in said["words"]), n_frames)
    except ClipError as error:
        return ClipFailure(clip.speaker, clip.stem, error.stage, error.reason, error.detail, source)
    row = ManifestRow(
        speaker=clip.speaker,
        gender=clip.gender,
        stem=clip.stem,
        sentence=said["sentence"] if "sentence" in said else sentence_of(clip.stem),
        subset=subset,
        words=words,
        paths={name: path for name, path in files.items() if not name.startswith("mel:")},
        video_frames=n_frames,
        audio_samples=stages["audio"].data["samples"],
        sample_rate_hz=recipe.audio.sample_rate_hz,
        mel_frames=stages["mels"].data["mel_frames"],
        samples_added=stages["audio"].data["samples_added"],
        flags=tuple(flags),
        repairs=clip.repairs,
        sha256={name: file.sha256 for name, file in artifacts.items()},
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
        start_s=clip.start_s,
        end_s=clip.end_s,
        transcript=said.get("transcript", ""),
    )
    complaints = check_row(row, recipe.mel)
    frames = recipe.corpus_recipe.expected.frames
    if frames not in (0, n_frames):
        complaints.append(f"{n_frames} video frames, not {frames}")
    if complaints:
        return ClipFailure(
            clip.speaker, clip.stem, "manifest", "physics", "; ".join(complaints), source
        )
    return row


def relative_to(root: str, path: str) -> str:
    """`os.path.relpath` of absolute paths, quick for what lies below `root`."""
    return path[len(root) + 1 :] if path.startswith(f"{root}/") else os.path.relpath(path, root)


class ManifestWriter:
    """Takes the rows and failures of a build one by one; see `manifest_writer`.

    Attributes:
        rows: how many rows were added.
        failures: the failures that were added.
    """

    def __init__(self, body: IO[bytes], tables: dict[str, Any]) -> None:
        self._body, self._tables = body, tables
        self.rows = 0
        self.failures: list[ClipFailure] = []

    def add(self, result: ManifestRow | ClipFailure) -> None:
        """Adds a clip: a row or a failure."""
        if isinstance(result, ClipFailure):
            self.failures.append(result)
            return
        self.rows += 1
        text = json.dumps(result.to_dict(), ensure_ascii=False, allow_nan=False)
        self._body.write(text.encode("utf-8", "backslashreplace") + b"\n")
        if result.subset in self._tables:
            self._tables[result.subset].writerow(_csv_row(result))


@contextlib.contextmanager
def manifest_writer(out: str, header: dict[str, Any]) -> Iterator[ManifestWriter]:
    """Writes a build's lists from rows and failures that are added one by one: `failures.jsonl`, the
    CSV of each subset and, last, `manifest.jsonl`. They are never in memory as a whole.

    Where the block raises, the old files stay as they were.

    Args:
        out: the build folder.
        header: of the manifest; the number of rows is added.
    """
    with contextlib.ExitStack() as files:  # closed in reverse order: the manifest last
        manifest = files.enter_context(atomic_open(os.path.join(out, MANIFEST), "wb"))
        tables = {}
        for subset in SUBSETS:
            file = files.enter_context(atomic_open(os.path.join(out, f"{subset}.csv")))
            tables[subset] = csv.writer(file, lineterminator="\n")
            tables[subset].writerow(CSV_COLUMNS)
        body = files.enter_context(tempfile.TemporaryFile(dir=out))
        writer = ManifestWriter(body, tables)
        yield writer
        write_jsonl(os.path.join(out, "failures.jsonl"), "failures", writer.failures)
        head = {
            "schema": "manifest",
            "schema_version": SCHEMA_VERSION,
            **header,
            "rows": writer.rows,
        }
        manifest.write(json.dumps(head, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        body.seek(0)
        shutil.copyfileobj(body, manifest, 1 << 20)


def _csv_row(row: ManifestRow) -> list[Any]:
    paths = [row.paths[name] for name in ("lips", "face", "audio", "mel", "prosody")]
    return [
        row.speaker,
        row.gender,
        row.stem,
        row.sentence,
        *paths,
        row.samples_added,
        " ".join(row.flags),
    ]
