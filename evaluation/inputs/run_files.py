"""Some files of a run by their content: what metrics that need the other clips of a run are bound to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from evaluation.inputs.pairs import RunDir
from evaluation.models.weights import weights_sha256

FilesT = TypeVar("FilesT", bound="RunFiles")


@dataclass(frozen=True)
class RunFiles:
    """Files that a run leads to. Travels to worker processes, which look at them once.

    Attributes:
        root: the run directory, through which they are found.
        sha256: of their content and their names.
    """

    root: Path
    sha256: str

    @classmethod
    def of(cls: type[FilesT], run: RunDir, files: Mapping[str, Any]) -> FilesT:
        """Hashes files.

        Args:
            files: name → path, or → more names with theirs.
        """
        text = json.dumps(_digests(files), sort_keys=True)
        return cls(run.root, hashlib.sha256(text.encode()).hexdigest())


def _digests(files: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _digests(found) if isinstance(found, Mapping) else weights_sha256(found)
        for name, found in files.items()
    }
