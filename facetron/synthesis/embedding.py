"""Face and prosody embeddings of a manifest's clips, the points of Figure 2.

The face embedding is E_face's (Eq. 1), the prosody embedding E_prosody's (Eq. 5), both of unit length,
since Eq. 5 compares directions only. A checkpoint that was trained without one of the encoders gives
no such embedding.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from facetron import devices, systems
from facetron.checkpoints import checkpoint
from facetron.checkpoints.checkpoint import CheckpointInfo
from facetron.train.collapse import collapse_metrics
from manifests.console import Progress
from manifests.errors import BadInput
from manifests.features import npz
from manifests.io import sha256_file, write_bytes
from manifests.manifest import FeatureRow, Manifest, select
from manifests.records import ManifestRow
from manifests.tables import write_csv
from manifests.versions import versions

SCHEMA, SCHEMA_VERSION = "embeddings", 1
BATCH_CLIPS = 32

Floats = NDArray[np.float32]
Stills = Literal["middle", "mean"]


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of N clips.

    Attributes:
        rows: the clips.
        face, prosody: (N, E) unit length, or None where the checkpoint has no such encoder.
        seen: (N,) whether the clip's speaker is seen.
        info: checkpoint and options, as plain values.
    """

    rows: tuple[ManifestRow, ...]
    face: Floats | None
    prosody: Floats | None
    seen: NDArray[np.bool_]
    info: dict[str, Any]

    def held(self) -> dict[str, Floats]:
        """The arrays `face` and `prosody`, without those that are None."""
        both = {"face": self.face, "prosody": self.prosody}
        return {name: values for name, values in both.items() if values is not None}

    def collapse(self) -> dict[str, tuple[float | None, float | None, float | None]]:
        """Returns `facetron.train.collapse.collapse_metrics` of each kind of embedding."""
        speakers = [row.speaker for row in self.rows]
        return {
            name: collapse_metrics(torch.from_numpy(values), speakers)
            for name, values in self.held().items()
        }


def embed(
    manifest: Path,
    checkpoint_path: Path,
    subset: str = "test",
    stills: Stills = "middle",
    device: str = "auto",
    limit: int = 0,
) -> Embeddings:
    """Computes the embeddings of the clips of a subset.

    Args:
        manifest: `manifest.jsonl`, or the folder that holds it.
        checkpoint_path: of any stage that has a face or a prosody encoder.
        subset: `train`, `val`, `test` or `all`.
        stills: face of each clip: the `middle` still, as in validation, or the `mean` of the
            embeddings of all its stills.
        device: see `facetron.devices.choose`.
        limit: largest number of clips, spread over the speakers; 0 is all.

    Raises:
        BadInput: an unusable checkpoint or option, or a feature file that cannot be read.
        ManifestError: an unusable manifest.
        SpecMismatch: features of other parameters than the checkpoint's.
    """
    target = devices.choose(device)
    info, tensors = checkpoint.load(checkpoint_path)
    built = Manifest(manifest)
    chosen = select(built, subset, limit, built.path)
    for mel, crop in {_prints(row) for row in chosen}:
        checkpoint.require_features(info, checkpoint_path, mel, crop)
    face, prosody = _encoders(info, tensors, checkpoint_path)
    found: dict[str, list[Floats]] = {"face": [], "prosody": []}
    with Progress(len(chosen), "embed") as progress:
        for start in range(0, len(chosen), BATCH_CLIPS):
            batch = chosen[start : start + BATCH_CLIPS]
            if face is not None:
                found["face"].append(_faces(face.to(target), batch, stills))
            if prosody is not None:
                found["prosody"].append(_prosodies(prosody.to(target), batch))
            progress.update(len(batch))
    return Embeddings(
        rows=tuple(chosen),
        face=np.concatenate(found["face"]) if found["face"] else None,
        prosody=np.concatenate(found["prosody"]) if found["prosody"] else None,
        seen=np.array([info.has_seen(row.speaker) for row in chosen], np.bool_),
        info=_told(info, checkpoint_path, built.path, subset, stills, len(chosen)),
    )


def write_npz(path: Path, embeddings: Embeddings) -> None:
    """Atomically writes plain arrays: `face` and `prosody` (N, E) float32 where there are any,
    `speaker`, `stem`, `gender`, `subset` (N,) texts, `seen` (N,) bool, `info` a JSON text."""
    arrays: dict[str, NDArray[Any]] = dict(embeddings.held())
    for name in ("speaker", "stem", "gender", "subset"):
        arrays[name] = np.array([getattr(row, name) for row in embeddings.rows], np.str_)
    arrays["seen"] = embeddings.seen
    arrays["info"] = np.array(json.dumps(embeddings.info, ensure_ascii=False), np.str_)
    write_bytes(path, npz(arrays))


def write_table(path: Path, embeddings: Embeddings) -> None:
    """Atomically writes the same as CSV, one line per clip: columns `face_0` …, `prosody_0` … ."""
    held = embeddings.held()
    columns = ["speaker", "stem", "gender", "subset", "seen"]
    columns += [f"{name}_{i}" for name, values in held.items() for i in range(values.shape[1])]
    lines = [
        [row.speaker, row.stem, row.gender, row.subset, int(seen)]
        + [f"{number:.7g}" for values in held.values() for number in values[i]]
        for i, (row, seen) in enumerate(zip(embeddings.rows, embeddings.seen, strict=True))
    ]
    write_csv(path, columns, lines)


def _prints(row: ManifestRow) -> tuple[str, str]:
    return row.fingerprints.get("mel", ""), row.fingerprints.get("crop", "")


def _encoders(
    info: CheckpointInfo, tensors: dict[str, Tensor], path: Path
) -> tuple[nn.Module | None, nn.Module | None]:
    """Returns the face and the prosody encoder that the checkpoint has. Raises `BadInput` where it has
    neither."""
    system, config = systems.get(info.system), info.model_config()
    found: dict[str, nn.Module] = {}
    for part in ("face", "prosody"):
        if part in info.parts and part in system.encoders:
            found[part] = system.encoder(part, config).eval()
            checkpoint.fill(found[part], part, tensors, path)
    if not found:
        raise BadInput(
            f"{path} has neither a face nor a prosody encoder (it holds {', '.join(info.parts)})",
            "give a checkpoint of the stage prosody, face, decoder or joint",
        )
    return found.get("face"), found.get("prosody")


@torch.no_grad()
def _faces(encoder: Any, rows: Sequence[FeatureRow], stills: Stills) -> Floats:
    pictures, counts = [], []
    for row in rows:
        strip = row.faces()
        if stills == "middle":
            strip = strip[len(strip) // 2 :][:1]
        pictures.append(encoder.prepare(torch.from_numpy(strip), encoder.config))
        counts.append(len(strip))
    device = next(encoder.parameters()).device
    found = [encoder(part.to(device)) for part in torch.split(torch.cat(pictures), BATCH_CLIPS)]
    means = [clip.mean(dim=0) for clip in torch.split(torch.cat(found), counts)]
    return np.asarray(functional.normalize(torch.stack(means).float(), dim=-1).cpu())


@torch.no_grad()
def _prosodies(encoder: Any, rows: Sequence[FeatureRow]) -> Floats:
    device = next(encoder.parameters()).device
    found = []
    for row in rows:  # one by one: a prosody embedding depends on its mel's length
        mel = np.asarray(row.mel(), np.float32)
        if mel.ndim != 2 or not np.isfinite(mel).all():
            raise BadInput(f"{row.path('mel')} does not hold a mel", "build this clip again")
        found.append(encoder(torch.from_numpy(mel)[None].to(device)))
    return np.asarray(functional.normalize(torch.cat(found).float(), dim=-1).cpu())


def _told(
    info: CheckpointInfo, path: Path, manifest: Path, subset: str, stills: Stills, clips: int
) -> dict[str, Any]:
    loss = getattr(info.model_config(), "loss", None)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "system": info.system,
        "checkpoint": path.name,
        "checkpoint_sha256": sha256_file(path),
        "stage": info.stage,
        "size": str(info.config.get("size", "")),
        "loss_cs": getattr(loss, "cs", None),
        "cs_direction": getattr(loss, "cs_direction", ""),
        "speakers_trained": list(info.speakers),
        "mel": info.mel,
        "crop": info.crop,
        "split": info.split,
        "subset": subset,
        "stills": stills,
        "clips": clips,
        "unit_length": True,
        "manifest_sha256": sha256_file(manifest),
        "versions": versions("numpy", "torch"),
    }
