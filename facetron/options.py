"""Options: nested frozen dataclasses ← YAML ← `--set key=value`, strictly.

An unknown key, a value of the wrong type or text that is not YAML raises a `BadInput` that lists what
is allowed. Inside every section the reserved key `size` names a preset to start from
(`{vocoder: {size: v3, channels: 128}}`, on the command line `--set vocoder=v3`).
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from manifests.errors import BadInput

ConfigT = TypeVar("ConfigT")
Presets = Mapping[str, Mapping[str, Any]]
"""Dotted name of a section ("" is the whole) → name of a preset → its dataclass."""

PRESET = "size"


def presets_of(
    sizes: Sequence[Any], sections: Sequence[str] | None = None
) -> dict[str, Mapping[str, Any]]:
    """Makes the `Presets` of a system from its options at every size.

    Args:
        sizes: dataclasses of one kind, each with the name of its size in `size`.
        sections: sections that may be chosen by the name of a size, as in `--set lip=small`; None is
            every section.

    Returns:
        The sizes under "", and the sections of each under their own names.

    Example:
        >>> from facetron.baselines.voc import DEBUG, PAPER
        >>> from facetron.options import presets_of
        >>> presets = presets_of([PAPER, DEBUG])
        >>> sorted(presets), presets["lip"]["debug"].input_px
        (['', 'face', 'lip'], 16)
    """
    by_name = {getattr(config, PRESET): config for config in sizes}
    if sections is None:
        names = [field.name for field in dataclasses.fields(sizes[0])]
        sections = [name for name in names if dataclasses.is_dataclass(getattr(sizes[0], name))]
    return {
        "": by_name,
        **{name: {size: getattr(by_name[size], name) for size in by_name} for name in sections},
    }


def to_dict(config: Any) -> dict[str, Any]:
    """Returns options as plain values with lists for tuples, for YAML, JSON and `from_dict`."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def to_yaml(config: Any) -> str:
    """Returns the whole config as YAML, in the order of its fields."""
    return yaml.safe_dump(to_dict(config), sort_keys=False, default_flow_style=None)


def from_dict(kind: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """Builds options from the plain values of `to_dict`; an absent field takes its default. Raises
    `BadInput`."""
    return merge(kind(), values)


def merge(
    base: ConfigT, values: Mapping[str, Any], presets: Presets | None = None, section: str = ""
) -> ConfigT:
    """Returns `base` with some values changed.

    Args:
        base: a frozen dataclass whose fields are plain values, tuples or such dataclasses.
        values: nested mapping of field names to new values.
        presets: see `Presets`.
        section: dotted name of `base` itself, for messages.

    Raises:
        BadInput: an unknown key or preset (the choices are listed) or a value of another type.
    """
    fields: Any = base
    known = [field.name for field in dataclasses.fields(fields)]
    values = dict(values)
    choices = (presets or {}).get(section, {})
    if PRESET in values and (choices or PRESET not in known):
        base = _preset(values.pop(PRESET), choices, section)
    hints = typing.get_type_hints(type(base))
    changes: dict[str, Any] = {}
    for key, value in values.items():
        where = f"{section}.{key}" if section else str(key)
        if key not in known:
            raise BadInput(
                f"there is no option {where}", f"choose one of {_listed(known, section)}"
            )
        current = getattr(base, key)
        if dataclasses.is_dataclass(current) and not isinstance(current, type):
            if isinstance(value, str):
                value = {PRESET: value}
            if not isinstance(value, Mapping):
                raise BadInput(f"{where} is {value!r}, not a section", f"set {where}.KEY=VALUE")
            changes[key] = merge(current, value, presets, where)
        else:
            changes[key] = _coerced(value, hints[key], where)
    return dataclasses.replace(base, **changes)  # type: ignore[type-var]


def _preset(name: Any, choices: Mapping[str, Any], section: str) -> Any:
    if name not in choices:
        what = f"{section} {name!r}" if section else f"size {name!r}"
        remedy = f"choose one of {', '.join(choices)}" if choices else f"set {section}.KEY=VALUE"
        raise BadInput(f"there is no {what}", remedy)
    return choices[name]


def _listed(known: Sequence[str], section: str) -> str:
    return ", ".join(f"{section}.{name}" if section else name for name in known)


def _coerced(value: Any, hint: Any, where: str) -> Any:
    """Returns the value as the field's type, or raises `BadInput`. The only conversions are those that
    YAML needs: whole numbers for real ones, `1e-4` without a point, lists for tuples, `2,3,5` for
    `[2, 3, 5]`."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal and any(value == a and type(value) is type(a) for a in args):
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        (inner,) = [a for a in args if a is not type(None)]
        return _coerced(value, inner, where)
    if origin is tuple:
        if isinstance(value, str) and value.strip():
            value = [parse_value(part, where) for part in value.split(",")]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            value = [value]
        if isinstance(value, list | tuple):
            return tuple(_coerced(item, args[0], where) for item in value)
    elif hint is float and not isinstance(value, bool):
        try:
            return float(value)
        except (TypeError, ValueError):
            raise BadInput(f"{where} is {value!r}", "give a number") from None
    elif isinstance(hint, type) and type(value) is hint:
        return value
    raise BadInput(f"{where} is {value!r}", f"give {_described(hint)}")


def _described(hint: Any) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(str(a) for a in args)
    if origin is tuple:
        return f"a list, each item {_described(args[0])}"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return names.get(hint, str(hint))


def parse_value(text: str, where: str) -> Any:
    """Parses a YAML value: `3`, `true`, `[1, 2]`, `gru`. Raises `BadInput`."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise BadInput(
            f"{where}={text} cannot be read", "give a YAML value, such as [1, 2]"
        ) from None


def assignments(texts: Sequence[str]) -> dict[str, Any]:
    """`["lip.input_px=64", "vocoder=v3", "vocoder.channels=128"]` → nested values for `merge`.

    A later assignment wins over an earlier one to the same key. Raises `BadInput`.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        keys = name.strip().split(".")
        if not equals or not all(keys):
            raise BadInput(
                f"--set {text} is not KEY=VALUE",
                "write --set key=value, such as --set lip.input_px=64",
            )
        level = values
        for key in keys[:-1]:
            inner = level.get(key)
            if not isinstance(inner, dict):
                inner = level[key] = {} if inner is None else {PRESET: inner}
            level = inner
        level[keys[-1]] = parse_value(value, name)
    return values


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a mapping from a YAML file; an empty file is an empty mapping. Raises `BadInput`."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}", "check the path of the config") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = f"{path}:{line + 1}" if line is not None else str(path)
        raise BadInput(f"{place} is not valid YAML", "correct the file") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise BadInput(f"{path} holds no sections", "write lines such as `lip: {input_px: 64}`")
    return values


def configure(
    presets: Presets, size: str | None = None, file: Path | None = None, sets: Sequence[str] = ()
) -> Any:
    """Returns the options of a system: size ← YAML ← `--set`.

    Args:
        presets: presets of the system, with its sizes under "".
        size: name of a size; None takes the file's `size`, else `paper`.
        file: YAML of sections, all optional. A section `train` in it is for training.
        sets: `key=value` texts; they win over the file.

    Raises:
        BadInput: an unknown key or size (the choices are listed), a wrong type, or values that
            do not fit together.
    """
    values = read_yaml(file) if file else {}
    values.pop("train", None)
    overrides = assignments(sets)
    if size is not None:
        overrides.setdefault(PRESET, size)
    return merge(presets[""]["paper"], _layered(values, overrides), presets)


def _layered(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Merges nested values, where those of `above` win; a section that names its `size` starts anew."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        if isinstance(value, dict) and PRESET not in value:
            if isinstance(under, str):
                under = {PRESET: under}
            if isinstance(under, dict):
                value = _layered(under, value)
        result[key] = value
    return result
