"""Checks of operators: a linear map with independent rows, whose declared sign is true."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ...interfaces import Operator
from ...linear_map import adjoint, matrix
from ...noise import Noise
from ...sde import SDE
from ..conformance import Check, Subject
from .component import checks_by, state

SHAPES = ((8,), (2, 8), (3, 8, 8), (1, 2, 4, 4))  # of one item; those that an operator refuses are left out
ROUNDING = 1e-9


def exercise(operator: Operator, sde: SDE, x: Tensor, noise: Noise) -> Sequence[Tensor]:
    try:
        return [operator.apply(x)]
    except ValueError:  # it takes items of two axes
        return [operator.apply(x.reshape(len(x), 2, -1))]


def check_linear(subject: Subject) -> None:
    operator = _operator(subject)
    for shape in _taken(operator):
        x = state(shape, torch.float64)
        y, zero = x.flip(0).sin(), operator.apply(torch.zeros_like(x))
        assert not bool(zero.any()), f"it maps zeros of shape {shape} to {float(zero.abs().max()):.3g}, not to 0"
        off = operator.apply(2 * x - 3 * y) - (2 * operator.apply(x) - 3 * operator.apply(y))
        assert float(off.abs().max()) <= ROUNDING, (
            f"A (2 x - 3 y) is {float(off.abs().max()):.3g} off 2 A x - 3 A y for items of shape {shape}"
        )


def check_adjoint(subject: Subject) -> None:
    operator = _operator(subject)
    for shape in _taken(operator):
        x = state(shape, torch.float64)
        seen = operator.apply(x)
        v = seen.flip(0).cos()
        off = float(((seen * v).sum() - (x * adjoint(operator.apply, v, x)).sum()).abs())
        assert off <= 1e-6, f"<A x, v> and <x, A^T v>, by automatic differentiation, differ by {off:.3g} for items of shape {shape}"


def check_rows(subject: Subject) -> None:
    operator = _operator(subject)
    for shape in _taken(operator):
        a = matrix(operator.apply, shape)
        rank = int(torch.linalg.matrix_rank(a, rtol=1e-10))
        assert rank == len(a), f"its {len(a)} rows for items of shape {shape} have the rank {rank}: they are not independent"


def check_positive(subject: Subject) -> None:
    operator = _operator(subject)
    for shape in _taken(operator) if operator.positive else ():
        lowest = float(matrix(operator.apply, shape).min())
        assert lowest >= -ROUNDING, f"it declares positive = True, but has an entry {lowest:.3g} for items of shape {shape}"


def _operator(subject: Subject) -> Operator:
    assert isinstance(subject.component, Operator)
    return subject.component


def _taken(operator: Operator) -> Iterator[tuple[int, ...]]:
    """The shapes that the operator takes; at least one has to be."""
    refusals = []
    for shape in SHAPES:
        try:
            operator.apply(torch.zeros(1, *shape, dtype=torch.float64))
        except ValueError as error:
            refusals.append(str(error))
        else:
            yield shape
    assert len(refusals) < len(SHAPES), f"it takes items of none of the shapes {SHAPES}: {refusals[-1]}"


OWN = (
    Check("linear", check_linear, "no offset, no clamping, no noise: those belong to the conditioner"),
    Check("adjoint", check_adjoint, "compute with torch's functions alone, so that the adjoint follows by automatic differentiation"),
    Check("rows", check_rows, "give each observed number once, and leave out what is not observed"),
    Check("positive", check_positive, "take positive = True out, or mend the sign"),
)
CHECKS = (*checks_by(exercise, SHAPES[:1]), *OWN)
