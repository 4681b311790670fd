"""Checks of SDEs: one Gaussian kernel, said by ``marginal``, by ``drift`` and ``diffusion``, by ``discretize``, and by the prior at t_max.

For dx = (r x + b) dt + g dw the mean m and the standard deviation s of p(x_t | x_0) obey

    dm/dt = r m + b,        d(s^2)/dt = 2 r s^2 + g^2

(Särkkä & Solin, 2019, ch. 6), and a chain x' = (1 + a) x + c + G z carries them to (1 + a) m + c and (1 + a)^2 s^2 + G^2. Derivatives
are differences of fourth order. What linear SDEs know besides, and the ladder, are checked in ``linear`` and ``ladder``.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...noise import Noise
from ...sde import SDE
from ..conformance import Check, Subject
from ..statistics import BatchNoise
from .component import SHAPES, checks_by, state
from .ladder import check_ladder
from .linear import check_log_snr, check_rate, check_transition, kernel_functions

SHARES = (0.003, 0.03, 0.1, 0.3, 0.6, 0.95)  # of t_max: the times that are looked at
DRAWS = 40_000


def exercise(sde: SDE, same: SDE, x: Tensor, noise: Noise) -> Sequence[Tensor]:
    results = [sde.prior_sample(x.shape, noise, dtype=x.dtype), sde.prior_log_prob(x)]
    t = sde.t_max * torch.linspace(0.9, 0.3, 4, dtype=torch.float64)[: len(x)]
    for late, early in ((0.7 * sde.t_max, 0.6 * sde.t_max), (t, 0.9 * t)):
        results += [sde.drift(x, late), sde.marginal(x, late)[0], sde.discretize(x, late, early)[0], sde.ladder().shift(x, late)]
    return results


def check_marginal(subject: Subject) -> None:
    """At times from near 0 to near t_max, relative to the terms of the two equations."""
    sde = subject.sdes[0]
    for t in (2 * sde.t_min, *(share * sde.t_max for share in SHARES)):
        mean, std = sde.marginal(state((3,), torch.float64), t)
        drift, square, variance = sde.drift(mean, t), float(sde.diffusion(t)) ** 2, float(std) ** 2
        rate = float((sde.drift(mean + 1, t) - drift).mean())
        off = _slope(lambda t: sde.marginal(state((3,), torch.float64), t)[0], t) - drift
        share = float(off.abs().max() / mean.abs().max()) / (abs(rate) + square / variance)
        assert share < 1e-5, f"at t = {t:.3g} the mean of p(x_t | x_0) does not follow drift: its derivative is off by {share:.2g} of it"
        growth = float(_slope(lambda t: _variance(sde, t), t)) - 2 * rate * variance
        assert abs(growth - square) < 1e-5 * (square + 2 * abs(rate) * variance), (
            f"at t = {t:.3g} the variance of p(x_t | x_0) grows as with g(t)^2 = {growth:.6g}, but diffusion says {square:.6g}"
        )


def check_start(subject: Subject) -> None:
    """At t_min: within 1 % of x_0, with a tenth at most of the standard deviation at t_max."""
    sde, x0 = subject.sdes[0], state((3,), torch.float64)
    off = float((sde.marginal(x0, sde.t_min)[0] / x0 - 1).abs().max())
    assert off < 0.01, f"at t_min = {sde.t_min:g} the mean of p(x_t | x_0) is off x_0 by {off:.3g} of it"
    share = float(_variance(sde, sde.t_min) / _variance(sde, sde.t_max)) ** 0.5
    assert share < 0.1, f"at t_min = {sde.t_min:g} the noise has {share:.3g} of its standard deviation at t_max: it hides the data"


def check_prior(subject: Subject) -> None:
    """Draws against p(x_T | x_0 = 0), in standard errors beside what is left of data of size 1."""
    sde = subject.sdes[0]
    mean, std, left = _end(sde)
    assert left < 0.5, f"at t_max a datum of size 1 stands {left:.3g} standard deviations of the noise from 0, which the prior cannot know"
    x = sde.prior_sample((DRAWS, 1), BatchNoise(), dtype=torch.float64)
    off, ratio = abs(float(x.mean()) - mean) / std, float(x.std()) / std
    assert off < left + 5 / DRAWS**0.5, f"the prior's mean is {float(x.mean()):.4g}; that of p(x_T | x_0 = 0) is {mean:.4g}"
    assert abs(ratio - 1) < left**2 + 5 / (2 * DRAWS) ** 0.5, f"the prior's standard deviation is {ratio:.4g} times that of p(x_T | x_0)"


def check_prior_density(subject: Subject) -> None:
    """The density of items of ranks 1 to 4, to within what data of size 1 leave of each entry's."""
    sde = subject.sdes[0]
    mean, std, left = _end(sde)
    for shape in SHAPES:
        z = mean + std * state(shape, torch.float64)
        given, exact = sde.prior_log_prob(z), -0.5 * (((z - mean) / std) ** 2 + math.log(2 * math.pi * std**2)).flatten(1).sum(1)
        assert given.shape == exact.shape, (
            f"prior_log_prob of {tuple(z.shape)} has the shape {tuple(given.shape)}, not {tuple(exact.shape)}"
        )
        off = float((given - exact).abs().max()) / z[0].numel()
        assert off < 1e-4 + 3 * left**2, f"prior_log_prob is off the density of p(x_T | x_0 = 0) by {off:.3g} nats an entry (shape {shape})"


def check_discretize(subject: Subject) -> None:
    """The law of chains with 40 and 320 steps from 0.05 to 0.6 of t_max, in units of its standard deviation: first order or exact."""
    few, many = (_chain_error(subject.sdes[0], steps) for steps in (40, 320))
    assert many < max(1e-6, 0.25 * few), (
        f"chains of discretize do not approach the marginal: 40 steps are off by {few:.3g} standard deviations, 320 by {many:.3g}"
    )


def check_times(subject: Subject) -> None:
    """Floats give floats; a tensor (B,) of times, in float32 or float64, the same numbers in float64."""
    sde = subject.sdes[0]
    for name, function in kernel_functions(sde).items():
        for dtype in (torch.float32, torch.float64):
            t = torch.tensor([share * sde.t_max for share in SHARES[1:5]], dtype=dtype)
            together, alone = function(t), [function(time) for time in t.tolist()]
            assert type(alone[0]) is float, f"{name} of a float is a {type(alone[0]).__name__}, not a float"
            kind = (together.dtype, tuple(together.shape)) if isinstance(together, Tensor) else type(together).__name__
            assert kind == (torch.float64, (4,)), f"{name} of times (4,) in {dtype} is {kind}, not a float64 tensor (4,)"
            exact = torch.tensor(alone, dtype=torch.float64)
            off = float(((torch.as_tensor(together) - exact) / exact.abs().clamp_min(1e-12)).abs().max())
            assert off < 1e-9, f"{name} of a tensor of times is off that of floats by {off:.2g} of it"


CHECKS = (
    *checks_by(exercise),
    Check("marginal", check_marginal, "derive mean and variance from drift and diffusion again: dm/dt = r m, ds^2/dt = 2 r s^2 + g^2"),
    Check("start", check_start, "p(x_t | x_0) has to begin at x_0, or with little noise"),
    Check("prior", check_prior, "prior_sample has to draw from what the marginal becomes at t_max"),
    Check(
        "prior density",
        check_prior_density,
        "prior_log_prob is the log-density of prior_sample's draws, summed over all but the first axis",
    ),
    Check("discretize", check_discretize, "as t - s falls, f tends to drift (t - s) and G^2 to diffusion^2 (t - s)"),
    Check("times", check_times, "begin with double(t), and use the functions of scoresde.core.scalars in place of math's"),
    Check("log_snr", check_log_snr, "log_snr is 2 log(alpha / sigma), and time its inverse"),
    Check("transition", check_transition, "alpha_ts = alpha_t / alpha_s, sigma_ts^2 = sigma_t^2 - alpha_ts^2 sigma_s^2"),
    Check("rate", check_rate, "rate is d log alpha / dt, and the drift rate(t) x"),
    Check("ladder", check_ladder, "the chain of ladder().step has to add up to its kernels, and these to be near the SDE's"),
)


def _slope(function: Callable[[float], Tensor], t: float) -> Tensor:
    """The derivative at t to fourth order."""
    h = 1e-4 * t
    near, far = function(t + h) - function(t - h), function(t + 2 * h) - function(t - 2 * h)
    return (8 * near - far) / (12 * h)


def _variance(sde: SDE, t: float) -> Tensor:
    """Of p(x_t | x_0), ()."""
    return torch.as_tensor(sde.marginal(torch.zeros(1, 1, dtype=torch.float64), t)[1], dtype=torch.float64) ** 2


def _end(sde: SDE) -> tuple[float, float, float]:
    """Mean and standard deviation of p(x_T | x_0 = 0), and what is left of x_0 = 1 in units of the latter."""
    (zero, one), std = sde.marginal(torch.tensor([[0.0], [1.0]], dtype=torch.float64), sde.t_max)
    return float(zero), float(std), abs(float(one - zero)) / float(std)


def _chain_error(sde: SDE, steps: int) -> float:
    x0, first, last = state((3,), torch.float64), 0.05 * sde.t_max, 0.6 * sde.t_max
    mean, variance = sde.marginal(x0, first)[0], float(_variance(sde, first))
    for i in range(steps):
        s, t = (first + (last - first) * place / steps for place in (i, i + 1))
        change, std = sde.discretize(mean, t, s)
        rate = float((sde.discretize(mean + 1, t, s)[0] - change).mean())
        mean, variance = mean + change, (1 + rate) ** 2 * variance + float(std) ** 2
    exact, std = sde.marginal(x0, last)
    return max(float((mean - exact).abs().max()) / float(std), abs(math.sqrt(variance) / float(std) - 1))
