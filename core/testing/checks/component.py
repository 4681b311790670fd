"""Checks of every kind: that a component is a value, and that its methods are pure functions of what they are given.

Each kind says by an ``Exercise`` how its methods are called: on a state x (B, *), with every random number from ``noise``, giving all
results. ``checks_by`` makes the checks of a kind from it.
"""

import copy
import pickle
import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

import attrs
import numpy as np
import torch
from torch import Tensor

from ...component import Component
from ...experiment import components
from ...experiment.single import dumps_component, loads_component
from ...interfaces import KINDS
from ...noise import Noise, SeededNoise
from ...sde import SDE
from ..conformance import Check, Subject, with_class

Exercise: TypeAlias = Callable[[Any, SDE, Tensor, Noise], Sequence[Tensor]]

SHAPES = ((6,), (2, 6), (3, 8, 8), (1, 2, 4, 4))  # of one item, in ranks 1 to 4
BATCH = 4
_SOURCE = re.compile(r"\b(1[6-9]|20)\d\d\b|arXiv|https?://")


def state(shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """A fixed state (4, *shape) with entries of order 1."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn((BATCH, *shape), generator=generator, dtype=torch.float64).clamp(-2, 2).to(dtype)


def seeded(count: int = BATCH) -> Noise:
    """The streams of the first ``count`` samples of one fixed run."""
    return SeededNoise(7, range(count), "sample")


def checks_by(
    exercise: Exercise, shapes: Sequence[tuple[int, ...]] = SHAPES, result: Callable[[Subject], None] | None = None
) -> tuple[Check, ...]:
    """The checks that every component of a kind whose methods act on states has to pass; ``shapes`` are those that it must take, and
    ``result``, where given, looks first at what the methods return."""
    first = shapes[0]
    made: list[tuple[str, Callable[..., None], str]] = [
        ("repeatable", partial(_repeatable, exercise, first), "keep history in Step.state, never in the component or a module"),
        ("copies", partial(_copies, exercise, first), "a component is its options: no caches or handles in its fields"),
        ("random", partial(_random, exercise, first), "draw every random number from the noise that is handed in"),
        ("inputs", partial(_inputs, exercise, first), "work on new tensors: no x.add_(), x *= ... or out=x on what was handed in"),
        (
            "precision",
            partial(_precision, exercise, first),
            "bring coefficients to x's dtype by broadcast(); make no tensors of a fixed dtype",
        ),
        ("ranks", partial(_ranks, exercise, shapes), "reduce by flatten(1), spread coefficients by broadcast(): states are (B, *)"),
        ("coupling", partial(_coupling, exercise, first), "reduce over all axes but the first, or declare couples = True"),
    ]
    first_of_all = (
        [Check("result", result, "return what the interface says, on every way through the method", needed=True)] if result else []
    )
    return (*VALUE, *first_of_all, *(Check(name, run, advice) for name, run, advice in made))


def check_frozen(subject: Subject) -> None:
    component, cls = subject.component, type(subject.component)
    assert attrs.has(cls), f"{cls.__name__} lacks @attrs.frozen(kw_only=True)"
    for name in [field.name for field in attrs.fields(cls)] or ["anything"]:
        try:
            setattr(copy.copy(component), name, getattr(component, name, None))  # the others look at the component as it is
        except (attrs.exceptions.FrozenInstanceError, AttributeError):
            continue
        raise AssertionError(f"its field {name} can be set after it is made")
    assert hash(component) == hash(copy.copy(component)), "two equal ones have different hashes"


def check_toml(subject: Subject) -> None:
    component = subject.component
    registry = with_class(subject.registry, type(component))
    text = dumps_component(component, registry)
    back = loads_component(KINDS[component.kind], text, registry)
    assert back == component, f"written as TOML and read back it is {back!r}"


def check_source(subject: Subject) -> None:
    cls = type(subject.component)
    texts = [cls.__doc__ or "", sys.modules[cls.__module__].__doc__ or ""]
    assert texts[0].strip(), "the class has no docstring"
    assert any(_SOURCE.search(text) for text in texts), (
        "neither the docstring of the class nor that of its module cites a source by its year"
    )


VALUE = (
    Check("frozen", check_frozen, "write @final @attrs.frozen(kw_only=True) above the class"),
    Check("toml", check_toml, "use options that TOML can hold: numbers, strings, bools, tuples, paths, choices, components"),
    Check("source", check_source, "name the paper (authors, year, equation) that the method is from, or the year of its own description"),
)


def global_states() -> dict[str, bytes]:
    """The random states that no component may touch, of torch, numpy and Python."""
    states = {"torch": torch.random.get_rng_state().tolist(), "numpy": np.random.get_state(), "python": random.getstate()}
    return {name: pickle.dumps(value) for name, value in states.items()}


def _results(exercise: Exercise, subject: Subject, sde: SDE, x: Tensor, component: Component | None = None) -> list[Tensor]:
    """What the component gives for the streams of the first rows; a new noise each time."""
    results = list(exercise(subject.component if component is None else component, sde, x, seeded(len(x))))
    assert results, "its methods gave no result to look at"
    return results


def _same(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(one, other, strict=True))


def _repeatable(exercise: Exercise, shape: tuple[int, ...], subject: Subject) -> None:
    """Interleaved with a run on other values."""
    for sde in subject.sdes:
        before = _results(exercise, subject, sde, state(shape))
        _results(exercise, subject, sde, state(shape).flip(0) + 0.5)
        assert _same(before, _results(exercise, subject, sde, state(shape))), (
            f"called twice with the same values it gave two answers ({sde.name})"
        )


def _copies(exercise: Exercise, shape: tuple[int, ...], subject: Subject) -> None:
    sde, component = subject.sdes[0], subject.component
    expected = _results(exercise, subject, sde, state(shape))
    twins = {"copied": copy.deepcopy(component), "pickled": pickle.loads(pickle.dumps(component))}
    for how, twin in twins.items():
        assert twin == component, f"{how}, it is no longer equal to itself"
        assert _same(expected, _results(exercise, subject, sde, state(shape), twin)), f"{how}, it gives another answer"


def _random(exercise: Exercise, shape: tuple[int, ...], subject: Subject) -> None:
    for sde in subject.sdes:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            before, first = global_states(), _results(exercise, subject, sde, state(shape))
            changed = [name for name, value in global_states().items() if value != before[name]]
            assert not changed, f"it changed {' and '.join(changed)}'s global random state"
            torch.manual_seed(1)
            assert _same(first, _results(exercise, subject, sde, state(shape))), "its answer depends on torch's global random state"


def _inputs(exercise: Exercise, shape: tuple[int, ...], subject: Subject) -> None:
    for sde in subject.sdes:
        x = state(shape)
        _results(exercise, subject, sde, x)
        assert torch.equal(x, state(shape)), f"it changed its input in place ({sde.name})"


def _precision(exercise: Exercise, shape: tuple[int, ...], subject: Subject) -> None:
    for sde in subject.sdes:
        for dtype in (torch.float32, torch.float64):
            for result in _results(exercise, subject, sde, state(shape, dtype)):
                fits = result.dtype == dtype or result.shape[1:] != shape
                assert fits, f"a state of {dtype} gave one of {result.dtype} ({sde.name})"
                assert bool(torch.isfinite(result).all()), f"a result in {dtype} is not finite ({sde.name})"


def _ranks(exercise: Exercise, shapes: Sequence[tuple[int, ...]], subject: Subject) -> None:
    for sde in subject.sdes:
        for shape in shapes:
            try:
                results = _results(exercise, subject, sde, state(shape))
            except (RuntimeError, IndexError, ValueError) as error:
                raise AssertionError(f"items of shape {shape} fail ({sde.name}): {error}") from error
            assert all(len(result) == BATCH for result in results if result.ndim), (
                f"items of shape {shape} change the batch axis ({sde.name})"
            )


def _coupling(exercise: Exercise, shape: tuple[int, ...], subject: Subject) -> None:
    declared = any(getattr(part, "couples", False) for _, part in components(subject.component))
    for sde in subject.sdes:
        furthest = 0.0
        for places in range(BATCH) if declared else (0,):
            x = state(shape, torch.float64).roll(places, 0)
            together, alone = _results(exercise, subject, sde, x), _results(exercise, subject, sde, x[:1])
            found = (float((a[:1] - b).abs().max() / b.abs().max().clamp(min=1)) for a, b in _rows(together, alone))
            furthest = max(furthest, *found)
        if declared:
            assert furthest > 1e-9, f"it declares couples = True, but a sample's result does not depend on its batch-mates ({sde.name})"
        else:
            assert furthest < 1e-9, f"a sample's result depends on its batch-mates: it changes by {furthest:.2g} ({sde.name})"


def _rows(together: Sequence[Tensor], alone: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    return ((a, b) for a, b in zip(together, alone, strict=True) if a.ndim)
