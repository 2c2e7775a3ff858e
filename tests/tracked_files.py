"""Which files the repository holds."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def tracked(folder: str = ".") -> list[str]:
    """Paths of the files below a folder of the repository that git tracks or would track; the test is
    skipped where there is no git."""
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", folder],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git here: tracked files are not known")
    return [name for name in listing.stdout.splitlines() if (ROOT / name).is_file()]
