"""Versions of installed libraries, for cache keys and for the provenance that outputs carry."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata

ABSENT = "absent"


ALTERNATIVES = {
    "dlib": ("dlib-bin", "dlib"),
    "opencv": ("opencv-python-headless", "opencv-python", "opencv-contrib-python"),
}
"""Libraries with distributions of several names, the one that setup.py requires first."""


@cache
def library_version(name: str) -> str:
    """Installed version of a distribution, or `absent`.

    Args:
        name: name of the distribution, which may differ from the module's (`pyyaml`), or a key of
            `ALTERNATIVES`.
    """
    for distribution in ALTERNATIVES.get(name, (name,)):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return ABSENT


def versions(*libraries: str) -> dict[str, str]:
    """Versions of Python, of the toolkit and of the libraries named, `absent` where one is missing."""
    names = ("facetron-toolkit", *libraries)
    return {"python": platform.python_version(), **{name: library_version(name) for name in names}}
