"""TOML values and option types as words, and the strict reading of one value.

An int passes for a float; nothing else is converted: 3.7 is no integer, "0.5" no number and "false" not false.
"""

import datetime
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin

from cattrs import Converter

from ..component import Component
from .errors import suggestion

KeyPath: TypeAlias = tuple[str | int, ...]

_TYPES = {
    bool: ("true or false", "booleans"),
    int: ("an integer", "integers"),
    float: ("a number", "numbers"),
    str: ("a string", "strings"),
    Path: ("a path", "paths"),
}
_VALUES = {
    bool: "a boolean",
    int: "an integer",
    float: "a float",
    str: "a string",
    list: "an array",
    dict: "a table",
    datetime.datetime: "a date-time",
    datetime.date: "a date",
    datetime.time: "a time",
}


def text(value: object) -> str:
    """The value as TOML on one line; a long one is cut."""
    whole = _toml(value)
    return whole if len(whole) <= 80 else whole[:77] + "..."


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Path):
        return json.dumps(str(value), ensure_ascii=False)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items()) + " }" if value else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else repr(value)


def dotted(path: KeyPath) -> str:
    """``sampling.predictor``, ``sizes[1]``, ``sde."beta max"``."""
    parts = (f"[{key}]" if isinstance(key, int) else f".{_key(key)}" for key in path)
    return "".join(parts).removeprefix(".")


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


def value_words(value: object) -> str:
    """The TOML type of a value: ``a string``."""
    return _VALUES[type(value)]


def is_component(wanted: Any) -> bool:
    return isinstance(wanted, type) and issubclass(wanted, Component)


def without_none(wanted: Any) -> Any:
    """X of ``X | None``; any other type as it is."""
    if get_origin(wanted) not in (Union, UnionType):
        return wanted
    rest = [part for part in get_args(wanted) if part is not NoneType]
    return rest[0] if len(rest) == 1 else wanted


def type_words(wanted: Any, plural: bool = False) -> str:
    """An option's type: ``an integer``, ``an array of 2 numbers``, ``"mean", "sum"``, ``a predictor``."""
    wanted = without_none(wanted)
    if get_origin(wanted) is tuple:
        return ("arrays of " if plural else "an array of ") + _items_words(get_args(wanted))
    if _is_choice(wanted):
        return ("one of " if plural else "") + ", ".join(map(text, get_args(wanted)))
    if is_component(wanted):
        article = "an" if wanted.kind == "sde" or wanted.kind[0] in "aeiou" else "a"
        return f"{wanted.kind}s" if plural else f"{article} {wanted.kind}"
    return _TYPES[wanted][plural] if wanted in _TYPES else str(getattr(wanted, "__name__", wanted))


def _items_words(items: tuple[Any, ...]) -> str:
    if items[-1] is Ellipsis:
        return type_words(items[0], plural=True)
    if len(set(items)) == 1 and len(items) > 1:
        return f"{len(items)} {type_words(items[0], plural=True)}"
    return " and ".join(map(type_words, items))


def is_leaf(wanted: Any) -> bool:
    return wanted in _TYPES or _is_choice(wanted)


def _is_choice(wanted: Any) -> bool:
    return get_origin(wanted) is Literal


def leaf(value: object, wanted: Any) -> Any:
    """The value as a bool, int, float, str, path or choice. Raises TypeError for another type and ValueError for a value refused."""
    return _STRICT.structure(value, wanted)


def _exactly(kind: type) -> Callable[[object, Any], Any]:
    def hook(value: object, wanted: Any) -> Any:
        if type(value) is not kind:
            raise TypeError
        return value

    return hook


def _integer(value: object, wanted: Any) -> int:
    if type(value) is not int:
        raise TypeError
    if not -(2**63) <= value < 2**63:
        raise ValueError("must fit in 64 bits")
    return value


def _number(value: object, wanted: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("must be finite")
    return number


def _path(value: object, wanted: Any) -> Path:
    if not isinstance(value, str):
        raise TypeError
    return Path(os.path.expanduser(value))


def _choice(value: object, wanted: Any) -> Any:
    choices = get_args(wanted)
    for choice in choices:
        if type(value) is type(choice) and value == choice:
            return choice
    names = [choice for choice in choices if isinstance(choice, str)]
    hint = "." + suggestion(value, names) if isinstance(value, str) and suggestion(value, names) else ""
    raise ValueError(f"must be one of {', '.join(map(text, choices))}{hint}")


def _strict() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    for kind in (bool, str):
        converter.register_structure_hook(kind, _exactly(kind))
    converter.register_structure_hook(int, _integer)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(Path, _path)
    converter.register_structure_hook_func(_is_choice, _choice)
    return converter


_STRICT = _strict()
