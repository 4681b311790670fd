"""Whether samples given an observation have the exact law that the conditioner's ``posterior`` says, and whether that is the exact law.

Where y is observed of x, the residual x - E[x | y] has mean 0, in the square the posterior's variance, and is uncorrelated with y. Samples
are drawn with the exact score and the condition, and held to the posterior's moments and to its modes' weights.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import cycle
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ...builtin import builtin
from ...composition import class_members, with_classes
from ...data import DataSpec
from ...interfaces import Condition, Conditioner
from ...mixture import Mixture
from ...noise import Noise
from ...sampling import trajectory
from ...sde import SDE, LinearSDE
from ..conformance import Subject
from ..problems import mixture_classifier, mixture_problem, mixture_score
from ..statistics import BatchNoise, Law
from .problems import draws, linear

Observed: TypeAlias = dict[str, Tensor]  # y and the other arguments of ``condition``

SHAPES = ((4,), (1, 2, 4))  # of one item; for samples, in turn for the SDEs
OBSERVATIONS, CHOICE, SAMPLES, STEPS = 400, 16, 2048, 200
LIMIT = 5.0  # standard errors


def condition_of(conditioner: Conditioner, sde: SDE, law: Mixture, observed: Observed, noise: Noise) -> Condition:
    """With the exact classifier of items of this law, where it takes one; their classes are the law's components."""
    rest: dict[str, Any] = dict(observed)
    if class_members(conditioner):
        rest["classifier"] = mixture_classifier(linear(sde), law)
    return conditioner.condition(sde, rest.pop("y"), noise, **rest)


def posterior_of(conditioner: Conditioner, law: Mixture, shape: tuple[int, ...], observed: Observed) -> Mixture:
    """The law of the item of this shape that is observed. Raises AssertionError where the conditioner does not say it."""
    rest = dict(observed)
    found = conditioner.posterior(law, shape, rest.pop("y"), **rest)
    assert found is not None, "posterior() gives no law: there is nothing to compare with"
    return found


@lru_cache(maxsize=16)
def problem(shape: tuple[int, ...], modes: int) -> Mixture:
    """The law of items of this shape: one Gaussian, or so many."""
    return mixture_problem(math.prod(shape), modes)


def observations(conditioner: Conditioner, law: Mixture, shape: tuple[int, ...], count: int) -> tuple[Tensor, list[Observed]]:
    """Items (count, *shape) of the law, and what is observed of each, a batch of one."""
    x = draws(law, shape, count)
    observed = observed_of(conditioner, law, x, BatchNoise(4))
    return x, [{key: value[row : row + 1] for key, value in observed.items()} for row in range(count)]


def observed_of(conditioner: Conditioner, law: Mixture, x: Tensor, noise: Noise) -> Observed:
    """What is observed of items x (B, *) of this law: of classes, a draw of the component that an item is of."""
    if not class_members(conditioner):
        return conditioner.observe(x, noise)
    edges = law.responsibilities(x.flatten(1)).cumsum(1)[:, :-1].contiguous()
    labels = torch.searchsorted(edges, noise.uniform((len(x), 1), dtype=torch.float64))[:, 0]
    spec = DataSpec(shape=tuple(x.shape[1:]), classes=len(law.weights))
    return with_classes(conditioner, conditioner.for_data(spec).observe(x, noise), labels)


def check_observation(subject: Subject) -> None:
    for shape in SHAPES:
        law = problem(shape, 2)
        x, rows = observations(subject.component, law, shape, OBSERVATIONS)
        found = [posterior_of(subject.component, law, shape, row) for row in rows]
        residual = x.flatten(1) - torch.stack([one.mean() for one in found])
        excess = residual.square() - torch.stack([one.covariance().diagonal() for one in found])
        y = torch.cat([row["y"] for row in rows]).reshape(len(rows), -1).double()
        products = residual[:, :, None] * (y - y.mean(0))[:, None]
        where = f"over {OBSERVATIONS} observations of items of shape {shape}"
        _vanishes(residual, f"by posterior(), x - E[x | y] has a mean {{:.3g}} standard errors from 0 {where}")
        _vanishes(excess, f"the variance that posterior() gives is {{:.3g}} standard errors off {where}")
        _vanishes(products.flatten(1), f"by posterior(), x - E[x | y] is correlated with y, {{:.3g}} standard errors {where}")


def _vanishes(values: Tensor, words: str) -> None:
    """The mean of each column is 0, up to its standard error."""
    off = float((values.mean(0).abs() / (values.std(0) / len(values) ** 0.5 + 1e-9)).max())
    assert off <= LIMIT, words.format(off)


def check_samples(modes: int, subject: Subject) -> None:
    for sde, shape in zip(map(linear, subject.sdes), cycle(SHAPES), strict=False):
        law = problem(shape, modes)
        observed = ambiguous(subject.component, law, shape)
        end = float(sde.alpha(sde.sampling_end)), float(sde.sigma(sde.sampling_end))
        exact = Law(posterior_of(subject.component, law, shape, observed).marginal(*end))
        off = exact.deviations(sampled(subject.component, sde, law, shape, observed))
        worst, far = max(_sizes(off._asdict()), key=lambda size: size[1])
        where = f"{SAMPLES} samples of shape {shape} under {sde.name}"
        assert far <= LIMIT, f"{where}: {worst} off the exact posterior's by {far:.3g} standard errors (allowed: {LIMIT:g})"


def ambiguous(conditioner: Conditioner, law: Mixture, shape: tuple[int, ...]) -> Observed:
    """Of some observations the one that leaves the most doubt between the modes."""
    _, rows = observations(conditioner, law, shape, CHOICE)
    return max(rows, key=lambda row: float(posterior_of(conditioner, law, shape, row).weights.min()))


def sampled(conditioner: Conditioner, sde: LinearSDE, law: Mixture, shape: tuple[int, ...], observed: Observed) -> Tensor:
    """Samples (n, D) given one observation, by reverse diffusion."""
    noise = BatchNoise(1)
    repeated = {key: value.expand(SAMPLES, *value.shape[1:]) for key, value in observed.items()}
    condition = condition_of(conditioner, sde, law, repeated, noise)
    sampler = builtin("sampler", "predictor_corrector", predictor=builtin("predictor", "reverse_diffusion"))
    intervals = builtin("grid", "uniform").intervals(sde, STEPS)
    x = sde.prior_sample((SAMPLES, *shape), noise, dtype=torch.float64)
    *_, last = trajectory(mixture_score(sde, law), sampler, intervals, x, noise, condition)
    return last.x.flatten(1)


def _sizes(deviations: dict[str, Tensor]) -> Iterator[tuple[str, float]]:
    """The largest deviation of each moment; infinite where it is not a number."""
    for name, value in deviations.items():
        yield name, float(value.abs().nan_to_num(math.inf).max())
