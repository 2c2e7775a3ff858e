"""Versions of installed libraries, for cache keys and for the provenance that outputs carry."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata

ABSENT = "absent"


@cache
def library_version(name: str) -> str:
    """Installed version of a distribution, or `absent`.

    Args:
        name: of the distribution, which may differ from the module's (`opencv-python`).
    """
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ABSENT


def versions(*libraries: str) -> dict[str, str]:
    """Versions of Python, of the toolkit and of the libraries named, `absent` where one is missing."""
    names = ("facetron-toolkit", *libraries)
    return {"python": platform.python_version(), **{name: library_version(name) for name in names}}
