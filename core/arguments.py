"""Arguments from Python, which no file's checks have seen: what is wrong with one is said in one line, before any work."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import attrs

_OF_RUNS = ("checkpoint_every", "keep", "snapshot_every", "validate_every", "validation")  # what means something in a run's folder alone


def given(function: str, keywords: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """The keywords that have a value: None stands for the default, but as the ``time``, where it is a choice.

    Raises TypeError, as Python does, for a keyword that is none of the known.
    """
    names = sorted(known)
    for name in keywords:
        if name not in names:
            close = get_close_matches(name, names, n=1, cutoff=0.75)
            hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(names)}"
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}: {hint}")
    return {name: value for name, value in keywords.items() if value is not None or name == "time"}


def settings_of(function: str, table: type, steps: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a table of training takes in Python. Raises TypeError for what it does not take, and for what would have no effect."""
    if idle := sorted(set(settings) & set(_OF_RUNS)):
        raise TypeError(f"{function}() keeps no checkpoints and validates nothing: leave out {', '.join(idle)}, or run an experiment file")
    known = {field.name for field in attrs.fields(table)} - {*_OF_RUNS, "steps", "objective"}
    return {"steps": steps, "checkpoint_every": steps, **given(function, settings, known)}


def is_one_of(value: object, choices: Sequence[object]) -> bool:
    """Whether the value is one of these and of its type: 0 is not False."""
    return any(value is choice or (type(value) is type(choice) and value == choice) for choice in choices)


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Raises ValueError where the value is none of these."""
    if not is_one_of(value, choices):
        raise ValueError(f"{name}={value!r} is no choice: it must be one of {', '.join(map(repr, choices))}")
