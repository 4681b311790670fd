"""The conformance kit of correctors: the built-in ones pass it, and every check catches a mistake made for it."""

import re
from typing import Any, ClassVar, final

import attrs
import pytest
import torch

from scoresde.core import Corrector, Step, broadcast, option
from scoresde.core.testing import Subject, conform, parametrize_with_checks
from scoresde.core.testing.checks.corrector import CHECKS
from scoresde.core.testing.conformance import examine
from scoresde.plugins.corrector.annealed_langevin import AnnealedLangevin
from scoresde.plugins.corrector.langevin import Langevin
from scoresde.plugins.corrector.none import NoCorrector
from scoresde.registry import Registry

REGISTRY = Registry.discover(only=())
CHECK = {check.name: check for check in CHECKS}
LEAK: list[Any] = []
MADE: dict[int, int] = {}


@parametrize_with_checks(
    [
        Langevin,
        Langevin(snr=0.01),
        Langevin(snr=0.5),
        Langevin(ladder=True),
        AnnealedLangevin,
        AnnealedLangevin(snr=0.01),
        AnnealedLangevin(snr=0.7),
        AnnealedLangevin(ladder=True),
        NoCorrector,
    ]
)
def test_built_in_correctors(component, check):
    check(component)


def langevin(self, reverse, x, t, noise, drift=1.0, spread=1.0, late=1.0):
    eps = self.step * reverse.sde.sigma(t) ** 2
    mean = x + drift * eps * reverse.score(x, min(late * t, 1.0))
    return Step.draw(mean, spread * (2 * eps) ** 0.5, noise)


def adjusted(self, reverse, x, t, noise, balance=1.0):
    """Accepts a Langevin step with the probability of Metropolis and Hastings, from both densities of the step and, by the trapezoidal
    rule, from that of p_t."""
    eps, score = self.step * reverse.sde.sigma(t) ** 2, reverse.score(x, t)
    y = x + eps * score + (2 * eps) ** 0.5 * noise.normal_like(x)
    ahead = reverse.score(y, t)
    log_ratio = 0.5 * (y - x) * (score + ahead) - ((x - y - eps * ahead) ** 2 - (y - x - eps * score) ** 2) / (4 * eps)
    taken = noise.uniform(x.shape[:1], dtype=x.dtype) < balance * log_ratio.flatten(1).sum(1).exp()
    return Step(torch.where(broadcast(taken.double(), x) > 0, y, x), torch.where(broadcast(taken.double(), x) > 0, x + eps * score, x))


def leaked(self, reverse, x, t, noise):
    LEAK.append(x)
    return langevin(self, reverse, x, t, noise, drift=len(LEAK))


def by_identity(self, reverse, x, t, noise):
    return langevin(self, reverse, x, t, noise, drift=MADE.setdefault(id(self), len(MADE) + 1))


def of(change):
    """Langevin's step, its x changed afterwards."""

    def step(self, reverse, x, t, noise):
        after = langevin(self, reverse, x, t, noise)
        return after._replace(x=change(after.x, x, reverse.sde))

    return step


STEPS = {
    "none": langevin,
    "adjusted": adjusted,
    "drift alone": lambda *arguments: langevin(*arguments, spread=0.0),
    "noise alone": lambda *arguments: langevin(*arguments, drift=0.0),
    "noise / sqrt 2": lambda *arguments: langevin(*arguments, spread=0.5**0.5),
    "a score of later": lambda *arguments: langevin(*arguments, late=1.1),
    "uphill": lambda *arguments: langevin(*arguments, drift=-1.0),
    "far too long": lambda self, *arguments: langevin(attrs.evolve(self, step=5.0), *arguments),
    "moved": of(lambda y, x, sde: y + 0.01),
    "leaked": leaked,
    "by identity": by_identity,
    "in place": of(lambda y, x, sde: x.copy_(y)),
    "global noise": of(lambda y, x, sde: y + torch.rand(1)),
    "single": of(lambda y, x, sde: y.float()),
    "pictures alone": of(lambda y, x, sde: y - x.mean((1, 2), keepdim=True)),
    "one axis more": of(lambda y, x, sde: y[:, None]),
    "batch mean": of(lambda y, x, sde: y - 0.1 * x.mean(0)),
    "with levels": of(lambda y, x, sde: y + 1 / sde.levels),
    "says twice its noise": lambda *arguments: (after := langevin(*arguments))._replace(std=2 * after.std),
    "twice the calls": lambda self, reverse, x, *rest: langevin(self, reverse, x + 0 * reverse.score(x, 0.5), *rest),
}


@final
@attrs.frozen(kw_only=True)
class Flawed(Corrector):
    """Langevin's steps (Song et al., 2021, App. G) with a mistake."""

    name = "flawed"

    mistake: str = option("none")
    step: float = option(0.02, above=0)
    calls: int = option(1)

    @property
    def evaluations(self):
        return self.calls

    def correct(self, reverse, x, t, noise):
        return STEPS[self.mistake](self, reverse, x, t, noise)


@final
@attrs.frozen(kw_only=True)
class Misstated(Corrector):
    """Langevin's steps (Song et al., 2021, App. G), said to couple samples and to read the ladder."""

    name = "misstated"
    couples: ClassVar[bool] = True
    reads_ladder: ClassVar[bool] = True

    mistake: str = option("none")
    step: float = option(0.02, above=0)

    def correct(self, reverse, x, t, noise):
        return langevin(self, reverse, x, t, noise)


NUMBER = r"(-?\d[^ ,;()]*)"
SMALL = "a step that moves the state by # (mean square, of the variance of p_t) changes the"
WHERE = r"(sub_vp, t = #, items of shape (2,))"
TEN = "(allowed: #; sub_vp, t = #, items of shape (2,))"
BITES = [  # with numbers of the message
    ("repeatable", Flawed(mistake="leaked"), "called twice with the same values it gave two answers (sub_vp)", []),
    ("copies", Flawed(mistake="by identity"), "copied, it gives another answer", []),
    ("random", Flawed(mistake="global noise"), "it changed torch's global random state", []),
    ("inputs", Flawed(mistake="in place"), "it changed its input in place (sub_vp)", []),
    ("precision", Flawed(mistake="single"), "a state of torch.float64 gave one of torch.float32 (sub_vp)", []),
    ("ranks", Flawed(mistake="pictures alone"), "items of shape (#,) fail (sub_vp): Dimension out of range (", [6]),
    ("ranks", Flawed(mistake="one axis more"), "a state of shape (#, 6) gave one of (#, 1, 6)", [4, 4]),
    ("coupling", Flawed(mistake="batch mean"), "a sample's result depends on its batch-mates: it changes by # (sub_vp)", [0.27]),
    ("coupling", Misstated(), "it declares couples = True, but a sample's result does not depend on its batch-mates (sub_vp)", []),
    ("invariance", Flawed(mistake="noise / sqrt 2"), f"{SMALL} variance by # {WHERE}", [0.015, 0.015]),
    ("invariance", Flawed(mistake="drift alone"), f"{SMALL} mean by # {WHERE}", [2.3e-4, 2.4e-4]),
    ("invariance", Flawed(mistake="a score of later"), f"{SMALL} variance by # (ve, t = 0.629, ", [0.015, 0.009]),
    ("invariance", Flawed(mistake="moved"), f"{SMALL} mean by # {WHERE}", [0.015, 0.01]),
    ("approach", Flawed(mistake="uphill"), f"10 steps take the error of the mean from # to # {TEN}", [1, 1.2]),
    ("approach", Flawed(mistake="noise alone"), f"10 steps take the error of the mean from # to # {TEN}", [1, 1]),
    ("approach", Flawed(mistake="far too long"), f"10 steps take the error of the mean from # to # {TEN}", [1, 5.7e5]),
    (
        "approach",
        NoCorrector(),
        f"it leaves every state as it is (10 steps from a wrong start do not move the state at all: # {WHERE})",
        [0],
    ),
    ("evaluations", Flawed(mistake="twice the calls"), "it declares 1 evaluations a step; 1 steps made # (sub_vp)", [2]),
    ("noise", Flawed(mistake="says twice its noise"), "x - mean has # times the standard deviation std (sub_vp)", [0.5]),
    ("noise", Flawed(mistake="moved"), "x - mean has mean #, not 0 (sub_vp)", [0.0083]),
    (
        "ladder",
        Flawed(mistake="with levels"),
        "it declares reads_ladder = False, but half as many levels change its result by # (ve)",
        [0.002],
    ),
    ("ladder", Misstated(), "it declares reads_ladder = True, but half as many levels change its result by # under sub_vp, ve, vp", [0]),
]


@pytest.mark.parametrize(
    ("name", "wrong", "message", "numbers"), BITES, ids=[f"{name}-{getattr(wrong, 'mistake', wrong.name)}" for name, wrong, *_ in BITES]
)
def test_every_check_bites(name, wrong, message, numbers):
    outcome = examine(Subject(wrong, REGISTRY), CHECK[name])
    assert outcome.status == ("expected failure" if wrong.expected_failures else "fail")
    found = re.match(NUMBER.join(map(re.escape, message.split("#"))), outcome.message)
    assert found, outcome.message
    assert [float(number) for number in found.groups()[: len(numbers)]] == pytest.approx(numbers, rel=0.15)


def test_all_checks_are_bitten():
    assert {name for name, *_ in BITES} == {check.name for check in CHECKS} - {"frozen", "toml", "source", "result"}


@pytest.mark.parametrize("right", [Flawed(), Flawed(step=0.4), Flawed(mistake="adjusted", calls=2)], ids=["small", "large", "adjusted"])
def test_without_a_mistake_every_check_passes(right):
    """So that what the tests above catch is the mistake; the last one accepts or rejects its steps (Roberts & Tweedie, 1996)."""
    assert [outcome for outcome in conform(right, REGISTRY) if outcome.status != "pass"] == []
