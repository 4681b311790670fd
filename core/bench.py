"""How far samples are from the exact answer, against the evaluations that they take: the problems, and what is measured of a method.

The data are mixtures of 8 Gaussians in the plane and of 10 in 64 dimensions, with full covariances and unequal weights, so that score,
density and draws are exact under every linear SDE. All methods start from the same draws of the prior at t_max and end at the SDE's
``sampling_end``. There it is measured

    error        the root mean square, per coordinate, of x - x*, where the probability flow carries the same start to x*,
    sliced_w2    the sliced Wasserstein distance to exact draws,
    energy       the energy distance to them,
    weights      half the sum of |share - weight| over the modes, the share being the mean posterior probability.

The error is that of a solver of the flow, and means nothing for a method with noise; the others see the law alone, and no better than
the number of samples allows: ``floor`` has them for exact draws. x* is found by the corrected four-step method of ``multistep`` in 500
steps; it agrees with Runge-Kutta 5(4) to 1e-6 at every point.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from .builtin import builtin
from .distances import energy_distance, sliced_wasserstein
from .interfaces import Grid, Interval, Sampler
from .mixture import Mixture
from .multistep import Along, advance, begin
from .reverse import Reverse
from .sampling import trajectory
from .schedule import Schedule, scheduled
from .score import Score
from .sde import LinearSDE
from .testing.problems import Gaussian, mixture_problem, mixture_score
from .testing.statistics import BatchNoise

Method: TypeAlias = Callable[[Score, Tensor], Tensor]  # from the score and the start to the end

BUDGETS = (5, 10, 20, 50, 100, 200)
DIMENSIONS = {2: (8, 4096), 64: (10, 1024)}  # modes and samples
SDES = ("ve", "vp", "sub_vp")
DRAWS = 4096  # exact ones, of every mode its share
_SEED = 2021
_STEPS = 500  # of the reference


class Problem(NamedTuple):
    """Data ``law`` under an SDE: the starts (N, D) at t_max, where the flow carries them, and exact draws (M, D) at the end."""

    name: str
    sde: LinearSDE
    law: Mixture
    starts: Tensor
    ends: Tensor
    draws: Tensor

    @property
    def score(self) -> Score:
        return mixture_score(self.sde, self.law)


class Figures(NamedTuple):
    """What is measured of the samples; ``error`` is None for a method with noise, and the rest nan for samples that are not finite."""

    evaluations: int
    error: float | None
    sliced_w2: float
    energy: float
    weights: float


def problems(dimensions: Sequence[int] = tuple(DIMENSIONS), sdes: Sequence[str] = SDES) -> Iterator[Problem]:
    """The SDEs with their default options, in their order, for each dimension."""
    for dimension in dimensions:
        modes, count = DIMENSIONS[dimension]
        law = mixture_problem(dimension, modes, "full", seed=_SEED)
        for name in sdes:
            sde: LinearSDE = builtin("sde", name)
            yield problem(f"{dimension}-D {name}", sde, law, count)


def problem(name: str, sde: LinearSDE, law: Mixture, count: int) -> Problem:
    """With so many starts."""
    noise, dimension = BatchNoise(_SEED), law.dimension
    starts = sde.prior_sample((count, dimension), noise, dtype=torch.float64)
    uniform, normal = (torch.arange(DRAWS) + 0.5).double() / DRAWS, noise.normal((DRAWS, dimension), dtype=torch.float64)
    draws = _at_the_end(sde, law).sample(uniform, normal)
    return Problem(name, sde, law, starts, carried(Reverse(sde, mixture_score(sde, law)), starts), draws)


def carried(reverse: Reverse, x: Tensor) -> Tensor:
    """Where the probability flow of a linear SDE carries x (B, *) from t_max to where sampling ends."""
    sde = reverse.sde
    assert isinstance(sde, LinearSDE)
    intervals: tuple[Interval, ...] = builtin("grid", "balanced").intervals(sde, _STEPS)
    state, noise = begin(sde, intervals, 4, "noise", correct=True, along=Along("angle")), BatchNoise()
    with torch.no_grad():
        for interval in intervals:
            step = advance(state, reverse, x, interval, noise)
            x, state = step.x, step.state
    return x


def measure(problem: Problem, method: Method, *, noisy: bool) -> Figures:
    """Of one run of a method; the evaluations are those that the score has counted."""
    score = problem.score
    try:
        x = method(score, problem.starts.clone())
    except ArithmeticError:  # a run that was stopped by a value that is not finite
        x = torch.full_like(problem.starts, torch.nan)
    if not bool(torch.isfinite(x).all()):
        return Figures(score.evaluations, None if noisy else math.nan, math.nan, math.nan, math.nan)
    error = None if noisy else float((x - problem.ends).square().mean().sqrt())
    return Figures(score.evaluations, error, *_distances(problem, x))


def floor(problem: Problem) -> Figures:
    """Of as many exact draws as there are samples."""
    noise, shape = BatchNoise(_SEED + 1), problem.starts.shape
    uniform, normal = noise.uniform(shape[:1], dtype=torch.float64), noise.normal(shape, dtype=torch.float64)
    return Figures(0, None, *_distances(problem, _at_the_end(problem.sde, problem.law).sample(uniform, normal)))


def is_noisy(sampler: Sampler, grid: Grid | None, sde: LinearSDE) -> bool:
    """Whether it draws noise on its way."""
    ends, score = [], Gaussian(torch.zeros(2), 1.0).score(sde)  # any other is stiff where sigma is large
    budget = None if sampler.evaluations(1) is None else BUDGETS[-1]  # for noise may be added in a part of the way alone
    for seed in (0, 1):
        _, method = of_sampler(sampler, grid, sde, budget, seed)
        ends.append(method(score, torch.ones(2, 2, dtype=torch.float64)))
    return not torch.equal(*ends)


def of_sampler(sampler: Sampler, grid: Grid | None, sde: LinearSDE, budget: int | None, seed: int = 0) -> tuple[Schedule, Method]:
    """A sampler within this budget as a method; with None for one that decides itself, in a single step of its grid.

    Raises ValueError, in one line, where the budget is not enough for a step, or its parts do not fit the SDE.
    """
    run = scheduled(sde, sampler, grid, 1, budget)
    sampler.check(sde, run.intervals, contiguous=run.grid.contiguous, projects=False)
    end = run.intervals[-1].s if run.grid.contiguous else run.intervals[-1].t
    if end != sde.sampling_end:
        raise ValueError(
            f"grid {run.grid.name!r} ends at t = {end:g}, and the exact answers stand at {sde.sampling_end:g}: take one that ends there"
        )

    def method(score: Score, x: Tensor) -> Tensor:
        *_, last = trajectory(score, run.sampler, run.intervals, x, BatchNoise(seed))
        return last.x

    return run, method


def _distances(problem: Problem, x: Tensor) -> tuple[float, float, float]:
    law = _at_the_end(problem.sde, problem.law)
    off = 0.5 * float((law.responsibilities(x).mean(0) - law.weights).abs().sum())
    return sliced_wasserstein(x, problem.draws), energy_distance(x, problem.draws), off


def _at_the_end(sde: LinearSDE, law: Mixture) -> Mixture:
    return law.marginal(float(sde.alpha(sde.sampling_end)), float(sde.sigma(sde.sampling_end)))
