"""Checks of correctors: a Markov chain step at time t that leaves p_t (nearly) unchanged.

A corrector moves each entry of the state by a mean square M, in units of the marginal's variance v. To leave p_t unchanged up to the
first order in M it has to balance what its noise spreads and its drift contracts; such a step has E[x' - x] = M v score / 2 up to higher
orders, as Langevin's has, and so takes M / 2 from the error of a mean and M from that of a variance (Roberts & Tweedie, 1996). Both are
measured in pairs of samples with opposite normal numbers, whose sampling error is far smaller than M however small M is.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, final

import attrs
import torch
from torch import Tensor

from ...interfaces import Corrector
from ...noise import Noise
from ...reverse import Reverse
from ...score import Score
from ...sde import SDE, LinearSDE
from ..conformance import Check, Subject
from ..statistics import BatchNoise
from .component import checks_by, seeded, state
from .problems import draws, gaussian, gaussian_score, linear
from .runs import modes, modes_score
from .steps import assert_levels, assert_noise, assert_shapes, assert_step

PAIRS = 2048
SMALL = 0.02  # M of a step that is small
UNBALANCED = 0.1  # of M, by which a small step may change mean and variance
SHARE = 0.2  # of what a balanced step takes from an error, that a corrector has to take
STEPS = 10
LOG_SNRS = (-1.5, 1.5)  # of the times that are looked at


class Problem(NamedTuple):
    """Pairs of equal samples x of p_t, its mean (*) and variance (mean over the entries), and the score."""

    sde: LinearSDE
    t: float
    x: Tensor
    mean: Tensor
    variance: float
    score: Score

    def step(self, corrector: Corrector, x: Tensor, noise: Noise) -> Tensor:
        return corrector.correct(Reverse(self.sde, self.score), x, self.t, noise).x

    def moved(self, corrector: Corrector) -> float:
        """M of a step from p_t."""
        return float((self.step(corrector, self.x, Pairs()) - self.x).square().mean()) / self.variance

    def __str__(self) -> str:
        return f"{self.sde.name}, t = {self.t:.3g}, items of shape {tuple(self.x.shape[1:])}"


@final
class Pairs(Noise):
    """The second half of a batch has the opposite normal numbers of the first, and the same others."""

    def __init__(self) -> None:
        self._half = BatchNoise(6)

    def normal(self, shape: Sequence[int], *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
        half = self._half.normal((shape[0] // 2, *shape[1:]), dtype=dtype, device=device)
        return torch.cat([half, -half])

    def uniform(self, shape: Sequence[int], *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
        return self._half.uniform((shape[0] // 2, *shape[1:]), dtype=dtype, device=device).repeat(2, *[1] * (len(shape) - 1))

    def integers(self, high: int, shape: Sequence[int], *, device: torch.device | str = "cpu") -> Tensor:
        return self._half.integers(high, (shape[0] // 2, *shape[1:]), device=device).repeat(2, *[1] * (len(shape) - 1))


def exercise(corrector: Corrector, sde: SDE, x: Tensor, noise: Noise) -> Sequence[Tensor]:
    reverse = Reverse(sde, gaussian_score(sde, x))
    first = corrector.correct(reverse, x, 0.5 * sde.t_max, noise)
    second = corrector.correct(reverse, first.x, 0.5 * sde.t_max, noise)
    results = [first.x, first.mean, second.x]
    assert_shapes(results, x)
    return results


def check_result(subject: Subject) -> None:
    corrector, sde, x = subject.component, subject.sdes[0], state((3,))
    assert_step(corrector, "correct returned", corrector.correct(Reverse(sde, gaussian_score(sde, x)), x, 0.5 * sde.t_max, seeded()))


def problems(subject: Subject) -> Iterator[Problem]:
    """A mixture in the plane and Gaussian pictures, under each SDE, at two times."""
    for sde in map(linear, subject.sdes):
        for log_snr in LOG_SNRS:
            t = float(sde.time(log_snr))
            alpha, sigma = float(sde.alpha(t)), float(sde.sigma(t))
            marginal = modes(2).marginal(alpha, sigma)
            x = draws(marginal, (2,), PAIRS).repeat(2, 1)
            yield Problem(sde, t, x, marginal.mean(), float(marginal.covariance().diagonal().mean()), modes_score(sde, 2))
            data = gaussian((1, 2, 2))
            x = alpha * data.mu + data.std(sde, t) * BatchNoise(8).normal((PAIRS, 1, 2, 2), dtype=torch.float64)
            yield Problem(sde, t, x.repeat(2, 1, 1, 1), alpha * data.mu, float(data.std(sde, t)) ** 2, data.score(sde))


def with_small_step(corrector: Corrector, problem: Problem) -> Corrector:
    """The corrector with a step of M < SMALL: that number among its options is made smaller on which M depends as on a step size, that is,
    with which M vanishes. Without such an option, the corrector as it is."""
    size = problem.moved(corrector)
    if size < SMALL:
        return corrector
    for name, value in _numbers(corrector):
        if _tried(corrector, name, 1e-3 * value, problem) < 1e-2 * size:
            while _tried(corrector, name, value, problem) > SMALL:
                value *= 0.5
            return _with(corrector, name, value)
    return corrector


def _numbers(corrector: Corrector) -> list[tuple[str, float]]:
    cls: Any = type(corrector)
    values = ((field.name, getattr(corrector, field.name)) for field in attrs.fields(cls))
    return [(name, value) for name, value in values if isinstance(value, float) and value > 0]


def _with(corrector: Any, name: str, value: float) -> Corrector:
    made: Corrector = attrs.evolve(corrector, **{name: value})
    return made


def _tried(corrector: Corrector, name: str, value: float, problem: Problem) -> float:
    try:
        return problem.moved(_with(corrector, name, value))
    except ValueError:
        return math.inf


def check_invariance(subject: Subject) -> None:
    """One small step from p_t, by what it changes of mean and variance."""
    for problem in problems(subject):
        corrector = with_small_step(subject.component, problem)
        size = problem.moved(corrector)
        after = problem.step(corrector, problem.x, Pairs())
        mean = float((after - problem.x).mean(0).abs().max()) / problem.variance**0.5
        grown = float((after - problem.mean).square().mean() - (problem.x - problem.mean).square().mean()) / problem.variance
        for what, change in (("mean", mean), ("variance", abs(grown))):
            assert change <= UNBALANCED * size, (
                f"a step that moves the state by {size:.2g} (mean square, of the variance of p_t) changes the {what}"
                f" by {change:.2g} ({problem})"
            )


def check_approach(subject: Subject) -> None:
    """Ten steps, as large as they are, from too far out and too wide, by what is left of both errors."""
    corrector = subject.component
    for problem in problems(subject):
        x, noise = problem.mean + problem.variance**0.5 + 1.5 * (problem.x - problem.mean), Pairs()
        first, size = _errors(problem, x), 0.0
        for _ in range(STEPS):
            before, x = x, problem.step(corrector, x, noise)
            size += float((x - before).square().mean()) / problem.variance
        assert size > 0, f"{STEPS} steps from a wrong start do not move the state at all: 0 ({problem})"
        for what, error, left, rate in zip(("mean", "variance"), first, _errors(problem, x), (0.5, 1.0), strict=True):
            allowed = error * (1 - SHARE * min(rate * size, 0.5))
            assert left < allowed, (
                f"{STEPS} steps take the error of the {what} from {error:.3g} to {left:.3g} (allowed: {allowed:.3g}; {problem})"
            )


def _errors(problem: Problem, x: Tensor) -> tuple[float, float]:
    """Of mean and variance, in units of the standard deviation and the variance of p_t."""
    mean = float((x.mean(0) - problem.mean).mean()) / problem.variance**0.5
    return abs(mean), abs(float((x - x.mean(0)).square().mean()) / problem.variance - 1)


def check_evaluations(subject: Subject) -> None:
    corrector, x = subject.component, state((3,))
    for sde in subject.sdes:
        score = gaussian_score(sde, x)
        for number in (1, 2):
            corrector.correct(Reverse(sde, score), x, 0.5 * sde.t_max, seeded())
            assert score.evaluations == number * corrector.evaluations, (
                f"it declares {corrector.evaluations} evaluations a step; {number} steps made {score.evaluations} ({sde.name})"
            )


def check_noise(subject: Subject) -> None:
    for problem in problems(subject):
        reverse = Reverse(problem.sde, problem.score)
        assert_noise(subject.component.correct(reverse, problem.x, problem.t, BatchNoise(4)), problem.sde)


def check_ladder(subject: Subject) -> None:
    corrector = subject.component
    assert_levels(subject, corrector.reads_ladder, "reads_ladder", lambda sde, x, noise: exercise(corrector, sde, x, noise)[-1])


CHECKS = (
    *checks_by(exercise, result=check_result),
    Check("invariance", check_invariance, "the noise's variance is twice the factor of score(x, t), at the same t and x"),
    Check("approach", check_approach, "the state moves along +score(x, t), by half the variance of its noise"),
    Check("evaluations", check_evaluations, "declare the score's calls of one step"),
    Check("noise", check_noise, "x = mean + std z; std 0.0 where no noise is added, None where x is not Gaussian"),
    Check("ladder", check_ladder, "a corrector that takes coefficients from sde.ladder() has reads_ladder = True"),
)
