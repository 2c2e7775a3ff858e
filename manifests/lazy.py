"""Lazy exports of a package (PEP 562): a name is imported from its module when it is first used, so that
importing the package costs next to nothing and loads no heavy library."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_exports(
    package: str, exports: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package whose public names live in its modules.

    Args:
        package: the package's `__name__`.
        exports: public name → `"module:attribute"`, or `"module"` where the name is a module.

    Returns:
        `(__getattr__, __dir__)`, to be assigned in the package's `__init__.py`.

    Example:
        A package's `__init__.py` is one table, and the same imports once more for type checkers:

            from typing import TYPE_CHECKING

            from manifests.lazy import lazy_exports

            if TYPE_CHECKING:
                from manifests.manifest import Manifest
            else:
                __getattr__, __dir__ = lazy_exports(__name__, {"Manifest": "manifests.manifest:Manifest"})

            __all__ = ["Manifest"]

        >>> get, names = lazy_exports("manifests", {"ClipError": "manifests.errors:ClipError"})
        >>> get("ClipError").__name__
        'ClipError'
        >>> "ClipError" in names()
        True
    """

    def get(name: str) -> Any:
        try:
            module, _, attribute = exports[name].partition(":")
        except KeyError:
            raise AttributeError(f"module {package!r} has no attribute {name!r}") from None
        value = importlib.import_module(module)
        if attribute:
            value = getattr(value, attribute)
        # Kept in the package, so that the next use does not come here.
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *exports})

    return get, names
