"""Lazy exports: the name comes on first use, stays, and an unknown one is an AttributeError."""

from __future__ import annotations

import sys
import types

import pytest

from manifests.lazy import lazy_exports


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("a_package")
    monkeypatch.setitem(sys.modules, "a_package", module)
    get, names = lazy_exports(
        "a_package", {"BadInput": "manifests.errors:BadInput", "errors": "manifests.errors"}
    )
    module.__getattr__ = get  # type: ignore[method-assign]
    module.__dir__ = names  # type: ignore[method-assign]
    return module


def test_a_name_is_the_attribute_or_the_module_itself(package: types.ModuleType) -> None:
    import manifests.errors

    assert package.BadInput is manifests.errors.BadInput
    assert package.errors is manifests.errors


def test_a_name_is_kept_after_its_first_use(package: types.ModuleType) -> None:
    assert "BadInput" not in vars(package)
    assert package.BadInput is vars(package)["BadInput"]


def test_dir_lists_what_was_not_used_yet(package: types.ModuleType) -> None:
    assert {"BadInput", "errors"} <= set(dir(package))


def test_an_unknown_name_is_an_attribute_error(package: types.ModuleType) -> None:
    with pytest.raises(AttributeError, match="module 'a_package' has no attribute 'nothing'"):
        _ = package.nothing
