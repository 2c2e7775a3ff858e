"""`docs/python.md` and the Python part of the README are true: their code runs, and is short."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TASKS = 5
LINES_A_TASK = 5


def blocks(page: str) -> list[str]:
    return BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def names(python_folder: Path) -> dict[str, Any]:
    """What the page's blocks, run one after the other in one folder, leave behind."""
    found: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(python_folder)
        for number, block in enumerate(blocks("docs/python.md"), 1):
            exec(compile(block, f"docs/python.md, block {number}", "exec"), found)
    return found


def test_each_task_is_short() -> None:
    found = blocks("docs/python.md")
    assert len(found) == TASKS
    lines = [[line for line in block.splitlines() if line] for block in found]
    assert max(map(len, lines)) <= LINES_A_TASK


def test_the_tasks_leave_what_the_page_says(names: dict[str, Any]) -> None:
    assert names["report"].rows == names["report"].clips == 4
    assert names["lips"].shape == (75, 144, 144, 3)
    assert names["faces"].shape == (15, 160, 160, 3)
    assert names["mel"].shape == (80, 150)
    assert names["sound"].shape == (48_000,)
    assert len(names["voices"]) == 2
    assert set(names["quiet"]["speaker"]) == {"s1", "s3"}
    batch = names["batch"]
    assert batch["lips"].shape == (2, 3, 75, 144, 144)
    assert batch["face"].shape == (2, 3, 160, 160)
    assert batch["mel"].shape == (2, 80, 150)
    assert names["speech"].wave.shape == (48_000,)
    assert names["doubts"]
    assert np.abs(names["swapped"].wave).max() > 0.01
    assert len(names["said"]) == len(names["real"]) == 48_000
    assert set(names["means"].index) == {"stoi", "estoi", "f0_corr"}
    assert 0.2 < names["means"]["stoi"] < 1


def test_the_page_names_every_export() -> None:
    import facetron
    import gridprep

    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    for name in ("Manifest", "Run", "build", "verify", "crop", "mel_spectrogram"):
        assert f"`{name}`" in page, name
    assert {"ClipDataset", "load"} <= set(facetron.__all__)
    assert {"build", "verify", "crop", "mel_spectrogram"} <= set(gridprep.__all__)


def test_the_readme_runs_too(python_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(python_folder)
    found = blocks("README.md")
    assert found
    for block in found:
        assert len(block.splitlines()) <= 12
        exec(compile(block, "README.md", "exec"), {})
