"""The conformance kit of likelihoods: the built-in one passes it, and every check catches a mistake made for it."""

import math
import re
from typing import final

import attrs
import pytest
import torch

from scoresde.core import Likelihood, flow, option
from scoresde.core.testing import Subject, parametrize_with_checks
from scoresde.core.testing.checks.likelihood import CHECKS, OWN
from scoresde.core.testing.conformance import examine
from scoresde.plugins.likelihood.probability_flow import ProbabilityFlow
from scoresde.registry import Registry

REGISTRY = Registry.discover(only=())
CHECK = {check.name: check for check in CHECKS}
LEAK = []
TOLERANCES = {"rtol": 1e-5, "atol": 1e-5, "max_evaluations": 1000}


@parametrize_with_checks([ProbabilityFlow, ProbabilityFlow(divergence="gaussian", draws=2), ProbabilityFlow(divergence="exact")])
def test_built_in_likelihoods(component, check):
    check(component)


def leaked(result, x, reverse):
    LEAK.append(x)
    return result._replace(value=result.value + len(LEAK))


def in_place(result, x, reverse):
    x.add_(0.01)
    return result


MISTAKES = {
    "none": lambda result, x, reverse: result,
    "in bits": lambda result, x, reverse: result._replace(value=result.value / math.log(2)),
    "half the divergence": lambda result, x, reverse: result._replace(
        value=0.5 * (result.value + reverse.sde.prior_log_prob(result.latent))
    ),
    "error of one draw": lambda result, x, reverse: result._replace(std_error=result.std_error * math.sqrt(2)),
    "no error known": lambda result, x, reverse: result._replace(std_error=result.std_error * math.nan),
    "latent is x": lambda result, x, reverse: result._replace(latent=x),
    "half the count": lambda result, x, reverse: result._replace(evaluations=result.evaluations // 2),
    "did not converge": lambda result, x, reverse: result._replace(status=result.status + 1),
    "one value": lambda result, x, reverse: result._replace(value=result.value.mean()),
    "leaked": leaked,
    "in place": in_place,
    "global noise": lambda result, x, reverse: result._replace(value=result.value + torch.rand(1)),
    "single": lambda result, x, reverse: result._replace(latent=result.latent.float()),
    "pictures alone": lambda result, x, reverse: result._replace(value=result.value + x.mean((1, 2))),
    "batch mean": lambda result, x, reverse: result._replace(value=result.value - result.value.mean()),
}


@final
@attrs.frozen(kw_only=True)
class Flawed(Likelihood):
    """The probability flow (Song et al., 2021, App. D.2) with a mistake."""

    name = "flawed"

    mistake: str = option("none")

    def log_prob(self, reverse, x, noise):
        method = ProbabilityFlow(draws=2) if self.mistake == "error of one draw" else ProbabilityFlow(divergence="exact")
        return MISTAKES.get(self.mistake, MISTAKES["none"])(method.log_prob(reverse, x, noise), x, reverse)

    def encode(self, reverse, x):
        end, unit = 0.9 if self.mistake == "ends early" else 1.0, reverse.sde.prior_std
        z, _ = flow(reverse, x, reverse.sde.t_min, end, **TOLERANCES)
        return (z / unit).round(decimals=1) * unit if self.mistake == "rounded code" else z

    def decode(self, reverse, z):
        return flow(reverse, z, 1.0, 0.2 if self.mistake == "ends late" else reverse.sde.t_min, **TOLERANCES)[0]


WHERE = r"sub_vp, items of shape \(2,\)"
BITES = [
    ("gaussian", "in bits", rf"log p of an item is (\S+) nats, exactly (\S+) \(allowed: 0.002; {WHERE}\)", 1 / math.log(2)),
    ("gaussian", "did not converge", rf"its status says that it did not converge \({WHERE}\)", None),
    ("gaussian", "one value", rf"value has the shape \(\) for 48 samples \({WHERE}\)", None),
    ("mixture", "half the divergence", rf"log p of an item is (\S+) nats, exactly (\S+) \(allowed: 0.002; {WHERE}\)", -2.826),
    ("errors", "error of one draw", rf"std_error is (\S+) \(root mean square\), the estimates spread by (\S+) \({WHERE}\)", 2**0.5),
    ("errors", "no error known", rf"std_error is nan, not known, but every estimate is the same: it is 0 \({WHERE}\)", None),
    ("encode", "ends early", rf"encode is off the exact code of a Gaussian by (\S+) standard deviations \(allowed: (\S+); {WHERE}\)", 16),
    ("decode", "ends late", rf"decode is off the item that has this code by (\S+) \(allowed: (\S+); {WHERE}\)", 350),
    ("inverse", "rounded code", rf"decode\(encode\(x\)\) is off x by (\S+) \(allowed: (\S+); {WHERE}\)", 42),
    ("latent", "latent is x", rf"latent is off the code of the item by (\S+) standard deviations \(allowed: (\S+); {WHERE}\)", 1100),
    ("evaluations", "half the count", rf"evaluations says (\S+), and the network was called (\S+) times for 1 item \({WHERE}\)", 0.5),
    ("repeatable", "leaked", r"called twice with the same values it gave two answers \(sub_vp\)", None),
    ("random", "global noise", r"it changed torch's global random state", None),
    ("inputs", "in place", r"it changed its input in place \(sub_vp\)", None),
    ("precision", "single", r"a state of torch.float64 gave one of torch.float32 \(sub_vp\)", None),
    ("ranks", "pictures alone", r"items of shape \(3,\) fail \(sub_vp\): .+", None),
    ("coupling", "batch mean", r"a sample's result depends on its batch-mates: it changes by 1.3 \(sub_vp\)", None),
]


@pytest.mark.parametrize(("name", "mistake", "message", "ratio"), BITES, ids=[f"{name}-{mistake}" for name, mistake, *_ in BITES])
def test_every_check_bites(name, mistake, message, ratio):
    """``ratio`` is that of the two numbers of the message: what was found to what is right or allowed."""
    outcome = examine(Subject(Flawed(mistake=mistake), REGISTRY), CHECK[name])
    assert outcome.status == "fail"
    found = re.fullmatch(message, outcome.message)
    assert found, outcome.message
    if ratio is not None:
        one, other = map(float, found.groups())
        assert math.isclose(one / other, ratio, rel_tol=0.1)


@pytest.mark.parametrize("check", OWN, ids=lambda check: check.name)
def test_without_a_mistake_every_check_passes(check):
    """So that what the tests above catch is the mistake."""
    assert examine(Subject(Flawed(), REGISTRY), check)[1:] == ("pass", "")


def test_all_own_checks_are_bitten():
    assert {name for name, *_ in BITES} >= {check.name for check in OWN}
