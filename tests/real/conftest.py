"""Real clips have a content, so these tests check it, as a build does by default."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def content_is_checked() -> Iterator[None]:
    """Undoes what `tests/conftest.py` sets for clips of colored noise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRIDPREP_CONTENT", "fail")
        yield
