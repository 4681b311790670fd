"""The order of predictors, measured on exact problems.

That of a deterministic method by its distance from the probability flow of a mixture in the plane; that of a stochastic one by mean and
variance of Gaussian data, which an ODE solver that is exact already passes as well. A predictor that steps down the SDE's ladder has the
ladder's levels for its steps: its order is measured as they grow, on the whole way to Gaussian data. The order, at the largest numbers of
steps at which the error is above rounding, is to be the declared one on every SDE, and on one at least not higher by a whole order: errors
may cancel on some.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ...interfaces import Predictor
from ...probability_flow import flow
from ...reverse import Reverse
from ...sde import LinearSDE
from ..conformance import Subject
from ..statistics import BatchNoise
from .affine import LINE, law_error
from .problems import draws, linear
from .runs import ended, kernel, middle, modes, modes_score, published, uneven, with_levels

COUNTS = (6, 12, 24, 48, 96, 192)  # steps
LEVELS = (64, 128, 256)
ROUNDING = 1e-9  # above the error of the reference
EXACT = 1e-4  # a stochastic method this near to mean and variance needs no more steps
SHORT, LONG = 0.4, 0.9  # by which an order may be off the declared one


def check_order(subject: Subject) -> None:
    predictor, least = subject.component, (math.inf, "")
    for sde in map(linear, subject.sdes):
        errors: list[tuple[int, float]] = []
        for count, error in _errors(predictor, sde):
            errors.append((count, error))
            if predictor.ode_order is None and error < EXACT:
                break
        said = f"{', '.join(f'{error:.3g} with {count}' for count, error in errors[-4:])} steps under {sde.name}"
        low, high = _orders(errors)
        if predictor.ode_order is None:
            assert errors[-1][1] < EXACT or high > 1 - SHORT, f"weak order {high:.2f}, not 1: mean and variance are off by {said}"
        else:
            assert high > predictor.ode_order - SHORT, (
                f"order {high:.2f}, declared {predictor.ode_order}: off the probability flow by {said}"
            )
        least = min(least, (low, said))
    assert predictor.ode_order is None or least[0] < predictor.ode_order + LONG, (
        f"order {least[0]:.2f}, declared only {predictor.ode_order}: off the probability flow by {least[1]}"
    )


def _orders(errors: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """The least and the largest of the orders between the last error above rounding and the two before it, of which one may be near 0 by
    chance, where an error changes its sign; -inf where one is not finite or none is to be seen."""
    above = [each for each in errors if each[1] > ROUNDING][-3:]
    if len(above) < 2 or not all(math.isfinite(error) for _, error in errors):
        return -math.inf, -math.inf
    count, error = above[-1]
    orders = [math.log(before / error) / math.log(count / fewer) for fewer, before in above[:-1]]
    return min(orders), max(orders)


def _errors(predictor: Predictor, sde: LinearSDE) -> Iterator[tuple[int, float]]:
    """The error with so many steps: of the state along the flow, or of mean and variance together, in units of the exact law's."""
    for count in LEVELS if predictor.steps_ladder else COUNTS:
        used = with_levels(sde, count) if predictor.steps_ladder else sde
        grid = published(used) if predictor.steps_ladder else uneven(sde, count)
        if predictor.ode_order is None:
            yield count, law_error(ended(predictor), used, grid, predictor.couples)
            continue
        x, exact = _line_problem(used) if predictor.steps_ladder else _flow_problem(used)
        score = LINE.score(used) if predictor.steps_ladder else modes_score(used, 2)
        found = ended(predictor)(Reverse(used, score), x, grid, BatchNoise())
        yield count, float((found - exact).square().mean().sqrt())


def _line_problem(sde: LinearSDE) -> tuple[Tensor, Tensor]:
    """States, and where the probability flow carries them on the whole way."""
    x = float(LINE.std(sde, sde.t_max)) * torch.linspace(-2, 2, 8, dtype=torch.float64)[:, None]
    return x, LINE.flow(sde, x, sde.t_max, 1e-6)


@lru_cache(maxsize=32)
def _flow_problem(sde: LinearSDE) -> tuple[Tensor, Tensor]:
    """The same of a mixture in the plane, between the times of ``middle``."""
    first, last = middle(sde)
    x = draws(modes(2).marginal(*kernel(sde, first)), (2,), 16)
    return x, flow(Reverse(sde, modes_score(sde, 2)), x, first, last, rtol=1e-10, atol=1e-10, max_evaluations=100_000)[0]
