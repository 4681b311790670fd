"""Whether what is put together in Python fits: objects of the right kinds, and an SDE that has what they need of it."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from .experiment.compatibility import components, unmet
from .interfaces import Classifier, Condition, Conditioner, Corrector, Grid, Likelihood, Objective, Predictor, Sampler, ScoreModel
from .sde import SDE

_KINDS: Mapping[str, type[Any]] = {
    "predictor": Predictor,
    "corrector": Corrector,
    "sampler": Sampler,
    "grid": Grid,
    "condition": Condition,
    "method": Likelihood,
    "objective": Objective,
}


def check_parts(sde: SDE, network: object, parts: Mapping[str, Any]) -> None:
    """Raises TypeError for an argument of another kind than its name says, ValueError for an SDE that lacks what a component needs."""
    check_instance("sde", sde, SDE)
    if isinstance(network, type) or not callable(network):
        raise TypeError(f"network: expected a module or another callable, got {_described(network)}")
    for name, kind in _KINDS.items():
        if name in parts:
            check_instance(name, parts[name], kind)
    for name in sorted(_KINDS.keys() & parts.keys() - {"condition"}):
        check_needs(sde, parts[name])


def check_instance(name: str, value: object, kind: type) -> None:
    """Raises TypeError where the value is not of this kind."""
    if isinstance(value, kind):
        return
    raise TypeError(f"{name}: expected an instance of {kind.__name__}, got {_described(value)}")


def check_needs(sde: SDE, part: object) -> None:
    """Raises ValueError where a component, or one that it is made of, needs more of the SDE than it has."""
    for _, component in components(part):
        if why := unmet(component, sde):
            raise ValueError(f"{component.kind} {why}")


def check_count(name: str, value: object) -> None:
    """Raises ValueError where the value is not a whole number from 1."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}={value!r}: expected a whole number, 1 or more")


def check_shape(shape: Sequence[int]) -> None:
    """Raises ValueError where these are not the sides of a batch of states, (B, *)."""
    if not isinstance(shape, Sequence) or not shape or not all(isinstance(side, Integral) and side >= 1 for side in shape):
        raise ValueError(f"shape={shape!r}: expected (B, *), whole numbers of 1 or more: how many samples, and the shape of one")


def _described(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}: make one of it, {value.__name__}(...)"
    if isinstance(value, Conditioner):
        return f"the conditioner {type(value).__name__}: its method condition(sde, y, noise) makes a condition"
    if isinstance(value, ScoreModel | Classifier):
        return f"the {value.kind} {type(value).__name__}: its method build(sde, spec) makes the network"
    return repr(value) if isinstance(value, str) else f"one of {type(value).__name__}"
