"""Versions of what made a file."""

from __future__ import annotations

from importlib import metadata

import pytest

from manifests.versions import ABSENT, ALTERNATIVES, library_version


def test_a_library_that_is_not_there_is_absent() -> None:
    assert library_version("no-such-distribution") == ABSENT


@pytest.mark.parametrize("name", ALTERNATIVES["opencv"])
def test_opencv_is_found_in_any_of_its_distributions(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def version(asked: str) -> str:
        if asked != name:
            raise metadata.PackageNotFoundError
        return "5.0.0"

    monkeypatch.setattr(metadata, "version", version)
    library_version.cache_clear()
    assert library_version("opencv") == "5.0.0"
    library_version.cache_clear()
