"""Components: immutable values whose fields are their options in an experiment file.

A component class carries its ``kind`` (set by the interface, such as ``"sde"``) and its ``name`` (set by the final class, such as
``"vp"``). Its fields are numbers, strings, bools, tuples of these, paths, choices (``Literal``), optional values and nested components,
never tensors or modules: making a component allocates nothing, so an experiment file can be checked without building a network.
"""

import math
from abc import ABC
from collections.abc import Mapping
from numbers import Integral, Real
from types import UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

import attrs

from .arguments import is_one_of


class Component(ABC):
    """Base of every interface. A class is abstract (no ``name``) or final (with one); a final class cannot be subclassed.

    ``expected_failures`` names the checks of the conformance kit (``scoresde.core.testing``) that a component is known not to pass, each
    with the reason: a bias of the method, say.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    expected_failures: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__bases__:
            if "name" in vars(base):
                raise TypeError(f"{base.__qualname__} is a final component: wrap it or write a class of its own instead of subclassing it")


@attrs.frozen
class Within:
    """The range of a number, checked for every number of a tuple; written as in ``0 < value <= 1``."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def __str__(self) -> str:
        bounds = ((">=", self.at_least), (">", self.above), ("<=", self.at_most), ("<", self.below))
        return " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None) or "finite"

    def holds(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    def __call__(self, instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        _check_numbers(attribute.name, value, attribute.type)
        for number in _numbers(value):
            if not self.holds(number):
                raise ValueError(f"{attribute.name} = {number!r} is out of range: it must be {self}")
        allowed = get_args(attribute.type) if get_origin(attribute.type) is Literal else None
        if allowed is not None and not is_one_of(value, allowed):
            raise ValueError(f"{attribute.name} = {value!r} is no choice: it must be one of {', '.join(map(repr, allowed))}")


def option(
    default: Any = attrs.NOTHING,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    help: str = "",
) -> Any:
    """One option of a component: its default, the range of its numbers and a line of help.

    Raises ValueError when a component is made with a number outside the range, a nan, an infinity, or none of a Literal's choices, and
    TypeError where what should be a number is none.
    """
    within = Within(at_least=at_least, above=above, at_most=at_most, below=below)
    return attrs.field(default=default, validator=within, metadata={"within": within, "help": help})


def _check_numbers(name: str, value: object, wanted: Any) -> None:
    """Raises TypeError where the type is of numbers, or a tuple of them, and the value is not."""
    types = set(get_args(wanted)) if get_origin(wanted) in (Union, UnionType) else {wanted}
    if value is None and type(None) in types:
        return
    types -= {type(None)}
    if types and types <= {int, float}:
        whole = types == {int}
        if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
            raise TypeError(f"{name} = {value!r}: expected a {'whole ' if whole else ''}number")
    for each in types:
        elements = set(get_args(each)) - {Ellipsis} if get_origin(each) is tuple else set()
        if elements and elements <= {int, float}:
            if not isinstance(value, tuple):
                raise TypeError(f"{name} = {value!r}: expected a tuple of numbers")
            for place, item in enumerate(value):
                _check_numbers(f"{name}[{place}]", item, int if elements == {int} else float)


def _numbers(value: object) -> list[float]:
    if isinstance(value, tuple):
        return [number for item in value for number in _numbers(item)]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []
