"""The conformance kit of conditioners: the built-in one passes it, and every check catches a mistake made for it.

``Oracle`` is right: knowing the problems of the kit, it guides by the exact score of the posterior. ``mistake`` makes it wrong.
"""

import re
from typing import ClassVar, final

import attrs
import pytest
import torch

from scoresde.core import Condition, Conditioner, Score, Step, option
from scoresde.core.testing import Subject, mixture_score, parametrize_with_checks
from scoresde.core.testing.checks.conditioner import CHECKS, OWN
from scoresde.core.testing.checks.posterior import problem
from scoresde.core.testing.conformance import examine
from scoresde.plugins.conditioner.all_of import AllOf
from scoresde.plugins.conditioner.class_guidance import ClassGuidance
from scoresde.plugins.conditioner.classifier_free import ClassifierFree
from scoresde.plugins.conditioner.colorization import Colorization
from scoresde.plugins.conditioner.dps import DPS
from scoresde.plugins.conditioner.inpainting import Inpainting
from scoresde.plugins.conditioner.linear_observation import LinearObservation
from scoresde.plugins.conditioner.mmps import MMPS
from scoresde.plugins.conditioner.pgdm import PGDM
from scoresde.plugins.conditioner.repaint import RePaint
from scoresde.plugins.conditioner.twisted import Twisted
from scoresde.plugins.operator.block_average import BlockAverage
from scoresde.plugins.operator.mask import Mask
from scoresde.registry import Registry

REGISTRY = Registry.discover(only=())
CHECK = {check.name: check for check in CHECKS}
LEAK = []


@parametrize_with_checks([Inpainting, Inpainting(noise_at="t", redraw="time"), Inpainting(known="border"), Inpainting(known="random")])
def test_built_in_conditioners(component, check):
    check(component)


@parametrize_with_checks(
    [
        *(PGDM(operator=Mask(), std=0.2), MMPS(operator=Mask(), std=0.2), DPS(operator=Mask(), std=0.2)),
        *(LinearObservation(operator=BlockAverage()), Colorization, RePaint(resamplings=2)),
        Twisted(operator=Mask(), std=0.2, threshold=1.0),
    ],
)
def test_conditioners_on_linear_observations(component, check):
    check(component)


@parametrize_with_checks([ClassGuidance, ClassifierFree])
def test_conditioners_on_classes(component, check):
    check(component)


EXACT = MMPS(operator=Mask(), std=0.2)


@parametrize_with_checks([AllOf(parts=(ClassGuidance(), EXACT)), AllOf(parts=(EXACT, ClassifierFree()))])
def test_several_conditioners_at_once(component, check):
    """Exact of a mixture too, where mmps alone is not: it sees the one component that is asked for."""
    check(component)


def leaked(y, x):
    LEAK.append(x)
    return y + len(LEAK)


MISTAKES = {
    "leaked": leaked,
    "global noise": lambda y, x: y + torch.rand(1),
    "in place": lambda y, x: y * x.add_(0.01),
    "single": lambda y, x: y.float(),
    "pictures alone": lambda y, x: y + x.mean((2, 3), keepdim=True),
    "batch mean": lambda y, x: y - y.mean(0),
}


@final
@attrs.frozen(kw_only=True)
class Oracle(Conditioner):
    """The first half of an item's entries is observed with noise (Song et al., 2021, eq. 14, with the exact score)."""

    name = "oracle"
    projects: ClassVar[bool] = False
    silenced_by: ClassVar[str | None] = "strength"

    strength: float = option(1.0, at_least=0)
    noise: float = option(0.3, above=0)
    mistake: str = option("none")

    def observe(self, x, noise):
        twice = 2 if self.mistake == "twice the noise" else 1
        y = x.flatten(1) + twice * self.noise * noise.normal_like(x).flatten(1)
        y[:, y.shape[1] // 2 :] = 0
        return {"y": MISTAKES.get(self.mistake, lambda y, x: y)(y.reshape(x.shape), x)}

    def condition(self, sde, y, noise, **observed):
        return Guided(y, self)

    def posterior(self, law, shape, y, **observed):
        if self.mistake == "no posterior":
            return None
        half = law.dimension // 2
        return law if self.mistake == "posterior of nothing" else law.given(torch.eye(law.dimension)[:half], y.flatten()[:half], self.noise)


class Guided(Condition):
    def __init__(self, y, options):
        self.y, self.options, self.mistake = y, options, options.mistake
        self.calls = 0

    def guide(self, score):
        law = law_of(score, self.y)
        late = 1.3 if self.mistake == "wrong time" else 1.0
        strength = self.options.strength * (2 if self.mistake == "factor 2" else 1) + 0.1 * (self.mistake == "never silent")

        def guided(x, t):
            self.calls += self.mistake == "counts its calls"
            value, exact = score(x, t), torch.empty_like(x)
            y = self.y.flatten(1)
            if self.mistake == "reads the mask":
                y = y + y.sum(1, keepdim=True)
            if self.mistake == "forgets an entry":
                y = y * (torch.arange(y.shape[1]) > 0)
            known, row = y.unique(dim=0, return_inverse=True)
            times = torch.as_tensor(late * t, dtype=torch.float64).clamp(max=1.0).expand(len(x))
            times = times[:1].expand(len(x)) if self.mistake == "one time" else times
            for i, each in enumerate(known):
                given = mixture_score(score.sde, self.options.posterior(law, tuple(each.shape), each[None]))
                exact[row == i] = given(x[row == i], times[row == i])
            return value + strength * (exact - value) + self.calls

        return Score(score.sde, guided, time=None)

    def start(self, x, t, noise):
        if self.mistake == "changes y":
            self.y.mul_(2)
        if self.mistake == "changes x":
            x.mul_(2)
        return x, []

    def project(self, before, after, t, s, memory, reverse, noise):
        if self.mistake == "half way":
            return Step(after.x / 2, after.mean / 2), memory
        if self.mistake == "projects":
            return Step(after.x.clamp(-1, 1), after.mean.clamp(-1, 1)), memory
        memory.append(t)
        return Step(after.x + len(memory), after.mean) if self.mistake == "changes its memory" else after, memory


def law_of(score, y):
    """Whose score it is: of the kit's Gaussian or mixture, or (of no account here) of Gaussians with a standard deviation of a half."""
    x = torch.ones_like(y[:1], dtype=torch.float64)
    laws = [problem(tuple(y.shape[1:]), modes) for modes in (1, 2)]
    return next((law for law in laws if torch.allclose(mixture_score(score.sde, law)(x, 0.5), score(x, 0.5))), laws[0])


BITES = [
    ("observation", "twice the noise", r"the variance that posterior\(\) gives is (\S+) standard errors off over 400 observations .+"),
    ("observation", "posterior of nothing", r"by posterior\(\), x - E\[x \| y\] is correlated with y, (\S+) standard errors over 400 .+"),
    ("observation", "no posterior", r"posterior\(\) gives no law: there is nothing to compare with"),
    ("gaussian", "factor 2", r"2048 samples of shape \(4,\) under sub_vp: mean off .+ by (\S+) standard errors \(allowed: 5\)"),
    ("mixture", "factor 2", r"2048 samples of shape \(4,\) under sub_vp: mean off .+ by (\S+) standard errors \(allowed: 5\)"),
    ("mixture", "wrong time", r"2048 samples of shape \(4,\) under sub_vp: covariance off .+ by (\S+) standard errors \(allowed: 5\)"),
    ("strength", "never silent", r"with strength = 0 it changes the score by 0\.\d+ \(sub_vp\)"),
    ("times", "one time", r"given a time for each sample, the score of sample \d is off by \d+\.\d+ \(sub_vp\)"),
    ("projection", "half way", r"projecting a projected step, with the same noise, changes it by 0\.\d+ \(sub_vp\)"),
    ("projection", "projects", r"projects = False, but its conditions change a state \(sub_vp\)"),
    ("projection", "changes its memory", r"projected twice with the same memory, a step has two answers \(sub_vp\)"),
    ("masked", "reads the mask", r"with 1e\+06 in what is masked out of y, its result is another \(sub_vp\)"),
    ("masked", "forgets an entry", r"entry 0 of y has no influence, and the posterior depends on it \(sub_vp\)"),
    ("memory", "counts its calls", r"after another run its effects are others \(sub_vp\)"),
    ("unchanged", "changes y", r"it changed the observation y in place \(sub_vp\)"),
    ("unchanged", "changes x", r"it changed a state handed to start\(\) or project\(\) in place \(sub_vp\)"),
    ("repeatable", "leaked", r"called twice with the same values it gave two answers \(sub_vp\)"),
    ("random", "global noise", r"it changed torch's global random state"),
    ("inputs", "in place", r"it changed its input in place \(sub_vp\)"),
    ("precision", "single", r"a state of torch.float64 gave one of torch.float32 \(sub_vp\)"),
    ("ranks", "pictures alone", r"items of shape \(6,\) fail \(sub_vp\): .+"),
    ("coupling", "batch mean", r"a sample's result depends on its batch-mates: it changes by \S+ \(sub_vp\)"),
]


@pytest.mark.parametrize(("name", "mistake", "message"), BITES, ids=[f"{name}-{mistake}" for name, mistake, _ in BITES])
def test_every_check_bites(name, mistake, message):
    """A number of standard errors in the message is far beyond what is allowed."""
    outcome = examine(Subject(Oracle(mistake=mistake), REGISTRY), CHECK[name])
    assert outcome.status == "fail"
    found = re.fullmatch(message, outcome.message)
    assert found, outcome.message
    assert all(float(number) > 6 for number in found.groups())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_without_a_mistake_every_check_passes(check):
    """So that what the tests above catch is the mistake; and an exact method is found to be exact."""
    outcome = examine(Subject(Oracle(), REGISTRY.adding(Oracle)), check)
    assert outcome[1:] == ("pass", "")


def test_all_own_checks_are_bitten():
    assert {name for name, *_ in BITES} >= {check.name for check in OWN}


@final
@attrs.frozen(kw_only=True)
class Undeclared(Conditioner):
    """Nothing at all (2021)."""

    name = "undeclared"
    projects: ClassVar[bool] = True

    scale: float = option(1.0)

    def observe(self, x, noise):
        return {"y": x}

    def condition(self, sde, y, noise, **observed):
        return Condition()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("strength", 'its option scale is not declared: write silenced_by = "scale"'),
        ("projection", "projects = True, but its conditions never change a state (sub_vp)"),
        ("masked", "posterior() gives no law: there is nothing to compare with"),
    ],
)
def test_what_a_class_does_not_declare(name, message):
    assert examine(Subject(Undeclared(), REGISTRY), CHECK[name])[1:] == ("fail", message)


def test_the_bias_of_inpainting_is_measured():
    """Expected, and with its size: of a Gaussian pair the replacement draws another mean and another variance (test_inpainting.py)."""
    for name in ("gaussian", "mixture"):
        outcome = examine(Subject(Inpainting(), REGISTRY), CHECK[name])
        assert outcome.status == "expected failure"
        assert float(re.search(r"by (\S+) standard errors", outcome.message)[1]) > 10
