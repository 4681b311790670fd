"""Checks of likelihoods: log-densities of Gaussians and of mixtures, their standard errors, and the codes of the probability flow.

A likelihood gives the log-density of the model that begins at the prior. With z the code of x, where the flow carries it, that is exactly

    log p_tmin(x) - log p_T(z) + log prior(z).

A method may also make good what the flow leaves out at its ends: log p_T(z) for log prior(z), and log p_0(x / alpha) for log p_tmin(x):
there are four exact values, hundredths of a nat apart, of which the nearest counts. The code is in closed form for a Gaussian; for a
mixture it is the end of the flow at a tolerance far below the one asked for here. A stochastic estimate is held to the exact value by the
mean of many, and its standard error to their spread.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle
from typing import NamedTuple

import torch
from torch import Tensor

from ...interfaces import Likelihood, LogProb
from ...mixture import Mixture
from ...noise import Noise
from ...probability_flow import flow
from ...reverse import Reverse
from ...sde import SDE, LinearSDE
from ..conformance import Check, Subject
from ..problems import mixture_problem, mixture_score
from ..statistics import BatchNoise
from .component import checks_by
from .problems import carried, draws, gaussian_score, linear

SHAPES = ((2,), (1, 2, 2))  # of one item where answers are compared, in turn for the SDEs
RANKS = ((3,), (2, 2), (3, 2, 2), (1, 2, 2, 2))
FEW, MANY, MOST = 16, 200, 1500  # repetitions: to see whether estimates vary, for their mean, for their spread
LIMIT = 5.0  # standard errors that a mean may be off
NATS = 1e-3  # by which a log-density may be off, for each dimension
CODE = 1e-3  # by which a code may be off, in standard deviations of the prior, and a decoded item, in units of the data


class Problem(NamedTuple):
    """Items x (n, *) of a law, under one SDE."""

    sde: LinearSDE
    law: Mixture
    x: Tensor

    @property
    def reverse(self) -> Reverse:
        return Reverse(self.sde, mixture_score(self.sde, self.law))

    def codes(self) -> Tensor:
        """Where the flow carries the items, (n, *)."""
        if len(self.law.weights) == 1:
            return carried(self.law, self.sde, self.x, self.sde.t_min, self.sde.t_max)
        return flow(self.reverse, self.x, self.sde.t_min, self.sde.t_max, rtol=1e-7, atol=1e-7, max_evaluations=100_000)[0]

    def log_prob(self) -> Tensor:
        """The four exact values, (4, n)."""
        start, end = ((float(self.sde.alpha(t)), float(self.sde.sigma(t))) for t in (self.sde.t_min, self.sde.t_max))
        x, z = self.x.flatten(1), self.codes().flatten(1)
        at = torch.stack([self.law.log_prob(x, *start), self.law.log_prob(x / start[0])])
        return torch.cat([at, at + self.sde.prior_log_prob(z) - self.law.log_prob(z, *end)])

    def __str__(self) -> str:
        return f"{self.sde.name}, items of shape {tuple(self.x.shape[1:])}"


def exercise(likelihood: Likelihood, sde: SDE, x: Tensor, noise: Noise) -> Sequence[Tensor]:
    reverse = Reverse(sde, gaussian_score(sde, x))
    result = likelihood.log_prob(reverse, x, noise)
    codes = [result.latent, likelihood.encode(reverse, x), likelihood.decode(reverse, x)]
    return [result.value, result.std_error.nan_to_num(), result.evaluations, result.status, *codes]


def problems(subject: Subject, modes: int, count: int) -> Iterator[Problem]:
    """A Gaussian, or a mixture of so many, under each SDE."""
    for sde, shape in zip(map(linear, subject.sdes), cycle(SHAPES), strict=False):
        law = mixture_problem(math.prod(shape), modes)
        yield Problem(sde, law, draws(law.marginal(float(sde.alpha(sde.t_min)), float(sde.sigma(sde.t_min))), shape, count))


def _repeated(likelihood: Likelihood, problem: Problem, repeats: int) -> LogProb:
    """Estimates for each item, each with noise of its own: value and std_error are (repeats, n)."""
    count = len(problem.x)
    x = problem.x.repeat(repeats, *[1] * (problem.x.ndim - 1))
    result = likelihood.log_prob(problem.reverse, x, BatchNoise(5))
    for name in ("value", "std_error", "evaluations", "status"):
        shape = tuple(getattr(result, name).shape)
        assert shape == (len(x),), f"{name} has the shape {shape} for {len(x)} samples ({problem})"
    assert bool((result.status == 0).all()), f"its status says that it did not converge ({problem})"
    return result._replace(value=result.value.reshape(repeats, count), std_error=result.std_error.reshape(repeats, count))


def _estimates(likelihood: Likelihood, problem: Problem, repeats: int) -> LogProb:
    """So many estimates, or few where they do not vary."""
    few = _repeated(likelihood, problem, FEW)
    return few if float(few.value.std(0).max()) < 1e-9 else _repeated(likelihood, problem, repeats)


def check_values(modes: int, subject: Subject) -> None:
    for problem in problems(subject, modes, 3):
        value, answers = _estimates(subject.component, problem, MANY).value, problem.log_prob()
        exact = answers.gather(0, (answers - value.mean(0)).abs().argmin(0, keepdim=True))[0]
        allowed = NATS * problem.law.dimension + LIMIT * value.std(0) / len(value) ** 0.5
        worst = int(((value.mean(0) - exact).abs() / allowed).argmax())
        found, right, doubt = (float(numbers[worst]) for numbers in (value.mean(0), exact, allowed))
        assert abs(found - right) <= doubt, f"log p of an item is {found:.5g} nats, exactly {right:.5g} (allowed: {doubt:.2g}; {problem})"


def check_errors(subject: Subject) -> None:
    for problem in problems(subject, 2, 1):
        result = _estimates(subject.component, problem, MOST)
        value, declared = result.value, result.std_error.square()
        spread = value.var(0)
        if bool(declared.isnan().all()):
            assert bool((spread > 1e-12).all()), f"std_error is nan, not known, but every estimate is the same: it is 0 ({problem})"
            continue
        doubt = ((declared.var(0) + (value - value.mean(0)).square().var(0)) / len(value)).sqrt()
        off = (declared.mean(0) - spread).abs() - LIMIT * doubt
        claimed, true = (float(variance[int(off.argmax())]) ** 0.5 for variance in (declared.mean(0), spread))
        assert float(off.max()) <= 1e-9, f"std_error is {claimed:.3g} (root mean square), the estimates spread by {true:.3g} ({problem})"


def check_encode(subject: Subject) -> None:
    for problem in problems(subject, 1, 4):
        code = subject.component.encode(problem.reverse, problem.x)
        _near(code, problem.codes(), problem, problem.sde.prior_std, "encode is off the exact code of a Gaussian by {} standard deviations")


def check_decode(subject: Subject) -> None:
    for problem in problems(subject, 1, 4):
        item = subject.component.decode(problem.reverse, problem.codes())
        _near(item, problem.x, problem, 1.0, "decode is off the item that has this code by {}")


def check_inverse(subject: Subject) -> None:
    likelihood = subject.component
    for problem in problems(subject, 2, 4):
        back = likelihood.decode(problem.reverse, likelihood.encode(problem.reverse, problem.x))
        _near(back, problem.x, problem, 1.0, "decode(encode(x)) is off x by {}")


def check_latent(subject: Subject) -> None:
    for problem in problems(subject, 2, 4):
        result = subject.component.log_prob(problem.reverse, problem.x, BatchNoise(5))
        _near(
            result.latent, problem.codes(), problem, problem.sde.prior_std, "latent is off the code of the item by {} standard deviations"
        )


def _near(found: Tensor, exact: Tensor, problem: Problem, unit: float, words: str) -> None:
    assert found.shape == exact.shape, f"items of shape {tuple(exact.shape)} gave {tuple(found.shape)} ({problem})"
    off = float((found - exact).abs().max()) / unit
    assert off <= CODE, f"{words.format(f'{off:.2g}')} (allowed: {CODE:g}; {problem})"


def check_evaluations(subject: Subject) -> None:
    """Those of an item alone are the network's calls; of a batch they are at most its calls, or its calls one item after the other."""
    for problem in problems(subject, 2, 4):
        for x in (problem.x[:1], problem.x):
            reverse = problem.reverse
            result = subject.component.log_prob(reverse, x, BatchNoise(5))
            calls, most, all_ = reverse.score.evaluations, int(result.evaluations.max()), int(result.evaluations.sum())
            assert most <= calls <= all_, (
                f"evaluations says {most}, and the network was called {calls} times for {len(x)} item{'s' * (len(x) > 1)} ({problem})"
            )


_MADE: tuple[tuple[str, Callable[[Subject], None], str], ...] = (
    ("gaussian", partial(check_values, 1), "value is in nats, with x at sde.t_min and the prior at sde.t_max; the divergence has its sign"),
    ("mixture", partial(check_values, 2), "the divergence is that along the path; an estimate of it is unbiased"),
    ("errors", check_errors, "std_error is the standard error of value as it is returned: 0 where exact, nan where one draw cannot tell"),
    ("encode", check_encode, "integrate the probability flow (eq. 13) from sde.t_min to sde.t_max, finely enough"),
    ("decode", check_decode, "integrate the probability flow (eq. 13) from sde.t_max back to sde.t_min"),
    ("inverse", check_inverse, "decode runs through the same flow as encode, backwards"),
    ("latent", check_latent, "latent is the state at sde.t_max, of the shape of x"),
    ("evaluations", check_evaluations, "evaluations counts each call of the score, for each sample by itself"),
)
OWN = tuple(Check(*one) for one in _MADE)
CHECKS = (*checks_by(exercise, RANKS), *OWN)
