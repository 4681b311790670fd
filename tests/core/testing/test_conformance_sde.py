"""The checks of SDEs: the built-in ones pass them, and each catches an SDE that is wrong in what it looks at, and no other check does."""

import math
import re

import attrs
import pytest
import torch

from scoresde.core import SDE, EulerLadder, LinearSDE, broadcast, double, exp, expm1, log, option, softplus, sqrt
from scoresde.core.testing import checks_of, conform, parametrize_with_checks
from scoresde.core.testing.checks.component import checks_by
from scoresde.plugins import VE, VP, SubVP
from scoresde.registry import Registry

BUILTIN = [VE, VE(sigma_min=0.002, sigma_max=80.0), VP, VP(beta_max=5.0), VP(levels=100), SubVP, SubVP(beta_max=5.0, levels=100)]


@parametrize_with_checks(BUILTIN)
def test_conformance(component, check):
    check(component)


class Kernel:
    """alpha = exp(-5 t^2), sigma^2 = 1 - alpha^2: a variance-preserving process with beta = 20 t (as Ho et al., 2020, with no beta_min)."""

    sampling_end = 1e-3

    def shrink(self, t, s=0.0):
        return exp(-5 * (double(t) ** 2 - double(s) ** 2))

    def spread(self, t, s=0.0):
        return sqrt(-expm1(-10 * (double(t) ** 2 - double(s) ** 2)))

    def beta(self, t):
        return 20 * double(t)

    def diffusion(self, t):
        return sqrt(self.beta(t))

    def step(self, x, t, s):
        return x * broadcast(self.shrink(t, s) - 1, x), self.spread(t, s)


@attrs.frozen(kw_only=True)
class Plain(Kernel, SDE):
    """Knows the two functions of an SDE, its marginal, its steps and its prior, and no more."""

    levels: int = option(1000)
    t_min: float = option(1e-3)

    def drift(self, x, t):
        return x * broadcast(-0.5 * self.beta(t), x)

    def marginal(self, x0, t):
        return x0 * broadcast(self.shrink(t), x0), self.spread(t)

    def discretize(self, x, t, s):
        return self.step(x, t, s)

    def prior_sample(self, shape, noise, *, dtype=torch.float32, device="cpu"):
        return noise.normal(shape, dtype=dtype, device=device)

    def prior_log_prob(self, z):
        return -0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(1)


@attrs.frozen(kw_only=True)
class Linear(Kernel, LinearSDE):
    """Knows the closed forms as well."""

    levels: int = option(1000)
    t_min: float = option(1e-3)
    prior_std = 1.0

    def alpha(self, t):
        return self.shrink(t)

    def sigma(self, t):
        return self.spread(t)

    def rate(self, t):
        return -0.5 * self.beta(t)

    def log_snr(self, t):
        return -log(expm1(10 * double(t) ** 2))

    def time(self, log_snr):
        return sqrt(softplus(-log_snr) / 10)

    def transition(self, t, s):
        return self.shrink(t, s), self.spread(t, s)


@attrs.frozen(kw_only=True)
class RightPlain(Plain):
    name = "right_plain"


@attrs.frozen(kw_only=True)
class RightLinear(Linear):
    name = "right_linear"


@attrs.frozen(kw_only=True)
class TwiceTheNoise(Plain):
    name = "twice_the_noise"

    def diffusion(self, t):
        return sqrt(2 * self.beta(t))


@attrs.frozen(kw_only=True)
class DriftOfALaterTime(Plain):
    name = "drift_of_a_later_time"

    def drift(self, x, t):
        return Plain.drift(self, x, double(t) + 0.01)


@attrs.frozen(kw_only=True)
class TwiceTheData(Plain):
    name = "twice_the_data"

    def marginal(self, x0, t):
        return Plain.marginal(self, 2 * x0, t)


@attrs.frozen(kw_only=True)
class WidePrior(Plain):
    name = "wide_prior"

    def prior_sample(self, shape, noise, *, dtype=torch.float32, device="cpu"):
        return 1.1 * noise.normal(shape, dtype=dtype, device=device)


@attrs.frozen(kw_only=True)
class DensityWithoutConstant(Plain):
    name = "density_without_constant"

    def prior_log_prob(self, z):
        return -0.5 * z.square().flatten(1).sum(1)


@attrs.frozen(kw_only=True)
class StepsWithoutRoot(Plain):
    name = "steps_without_root"

    def discretize(self, x, t, s):
        return Plain.discretize(self, x, t, s)[0], self.diffusion(t) * (double(t) - double(s))


@attrs.frozen(kw_only=True)
class SingleTimes(Linear):
    name = "single_times"

    def rate(self, t):
        value = -0.5 * self.beta(t)
        return value.float() if isinstance(value, torch.Tensor) else value


@attrs.frozen(kw_only=True)
class LateTime(Linear):
    name = "late_time"

    def time(self, log_snr):
        return 1.01 * Linear.time(self, log_snr)


@attrs.frozen(kw_only=True)
class TwiceTheNoiseBetweenTimes(Linear):
    name = "twice_the_noise_between_times"

    def transition(self, t, s):
        return self.shrink(t, s), 2 * self.spread(t, s)

    def discretize(self, x, t, s):
        return self.step(x, t, s)


@attrs.frozen(kw_only=True)
class HalfTheRate(Linear):
    name = "half_the_rate"

    def rate(self, t):
        return -0.25 * self.beta(t)

    def drift(self, x, t):
        return x * broadcast(-0.5 * self.beta(t), x)


@attrs.frozen(kw_only=True)
class LadderOfAnother(Linear):
    name = "ladder_of_another"

    def ladder(self):
        return EulerLadder(SubVP())


@attrs.frozen(kw_only=True)
class LinearInSecret(Plain):
    name = "linear_in_secret"

    def transition(self, t, s):
        return self.shrink(t, s), self.spread(t, s)


BITES = [
    ("marginal", TwiceTheNoise, r"at t = 0.002 the variance .* grows as with g\(t\)\^2 = 0.04, but diffusion says 0.08"),
    ("marginal", DriftOfALaterTime, r"at t = 0.002 the mean .* its derivative is off by \S+ of it"),
    ("start", TwiceTheData, r"the mean of p\(x_t \| x_0\) is off x_0 by 1 of it"),
    ("prior", WidePrior, r"the prior's standard deviation is 1\.\d+ times that of p\(x_T \| x_0\)"),
    ("prior density", DensityWithoutConstant, r"off the density of p\(x_T \| x_0 = 0\) by 0\.919 nats an entry"),
    ("discretize", StepsWithoutRoot, r"40 steps are off by 0\.\d+ standard deviations, 320 by 0\.\d+"),
    ("times", SingleTimes, r"rate of times \(4,\) in torch.float32 is \(torch.float32, \(4,\)\), not a float64 tensor"),
    ("log_snr", LateTime, r"time\(log_snr\(0.001\)\) is 0.00101"),
    ("transition", TwiceTheNoiseBetweenTimes, r"transition carries the marginal at 0.03 to one that is off that at 0.1 by 0.9\d of it"),
    ("transition", LinearInSecret, r"it has transition, but is no LinearSDE"),
    ("rate", HalfTheRate, r"at t = 0.003 drift\(x\) is not rate x, .* off by \S+"),
    ("ladder", LadderOfAnother, r"its kernels are off the SDE's at the same times by 1.97 standard deviations"),
]
PROVEN_ELSEWHERE = {check.name for check in checks_by(lambda *arguments: [])}


@pytest.fixture(scope="module")
def registry():
    return Registry.discover()


@pytest.mark.parametrize("right", [RightPlain, RightLinear])
def test_the_right_process_fails_no_check_but_that_it_names_no_source(registry, right):
    assert [outcome.check.name for outcome in conform(right(), registry) if outcome.status != "pass"] == ["source"]


@pytest.mark.parametrize(("name", "wrong", "message"), BITES, ids=[wrong.name for _, wrong, _ in BITES])
def test_a_wrong_one_is_caught_by_the_check_of_its_fault_alone(registry, name, wrong, message):
    failed = {outcome.check.name: outcome.message for outcome in conform(wrong(), registry) if outcome.status != "pass"}
    also = {"log_snr", "rate"} if wrong is LinearInSecret else set()
    assert failed.keys() == {name, "source"} | also
    assert re.search(message, failed[name]), failed[name]


def test_every_check_bites():
    assert {name for name, *_ in BITES} | PROVEN_ELSEWHERE == {check.name for check in checks_of("sde")}
