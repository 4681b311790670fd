"""Every check of predictors catches a mistake made for it, and says by how much."""

import math
import re
from typing import Any, ClassVar, final

import attrs
import pytest
import torch

from scoresde.core import Predictor, Step, add_scaled, option, sqrt
from scoresde.core.testing import Subject, conform
from scoresde.core.testing.checks.predictor import CHECKS
from scoresde.core.testing.conformance import examine
from scoresde.registry import Registry

REGISTRY = Registry.discover(only=())
CHECK = {check.name: check for check in CHECKS}
LEAK: list[Any] = []
MADE: dict[int, int] = {}


def euler(reverse, x, t, s):
    return add_scaled(x, s - t, reverse.ode_drift(x, t))


def done(x, state=None):
    return Step(x, x, 0.0, state)


def heun(self, reverse, x, interval, state, noise, last=1.0):
    t, s = interval.t, interval.s
    first = reverse.ode_drift(x, t)
    return done(x + 0.5 * (s - t) * (first + reverse.ode_drift(x + (s - t) * first, t + last * (s - t))))


def equal_steps(self, reverse, x, interval, state, noise):
    """Adams and Bashforth's second method for steps of one length."""
    slope = reverse.ode_drift(x, interval.t)
    return done(x + (interval.s - interval.t) * (slope if state is None else 1.5 * slope - 0.5 * state), slope)


def stochastic(self, reverse, x, interval, state, noise, drift=1.0, spread=1.0, said=1.0):
    t, s = interval.t, interval.s
    mean, std = add_scaled(x, drift * (s - t), reverse.drift(x, t)), reverse.sde.diffusion(t) * sqrt(t - s)
    return Step(mean + spread * std * noise.normal_like(x), mean, said * std)


def coin(self, reverse, x, interval, state, noise, spread=1.0):
    mean, _, std, *_ = stochastic(self, reverse, x, interval, state, noise, spread=0.0)
    return Step(mean + spread * std * noise.rademacher_like(x), mean)


def leaked(self, reverse, x, interval, state, noise):
    LEAK.append(x)
    return done(euler(reverse, x, interval.t, interval.s) + len(LEAK))


def since_init(self, reverse, x, interval, state, noise):
    """A history in the module, which ``init`` clears."""
    LEAK.append(reverse.ode_drift(x, interval.t))
    return done(x + (interval.s - interval.t) * sum(LEAK[-2:]) / len(LEAK[-2:]))


def changed_state(self, reverse, x, interval, state, noise):
    state = [] if state is None else state
    state.append(reverse.ode_drift(x, interval.t))
    return done(x + (interval.s - interval.t) * sum(state[-2:]) / len(state[-2:]), state)


def transposed_state(self, reverse, x, interval, state, noise):
    slope = reverse.ode_drift(x, interval.t)
    mean = slope if state is None else 0.5 * (slope + state.movedim(-1, 0))
    return done(x + (interval.s - interval.t) * mean, slope.movedim(0, -1))


def by_identity(self, reverse, x, interval, state, noise):
    number = MADE.setdefault(id(self), len(MADE) + 1)
    return done(euler(reverse, x, interval.t, interval.s) * number)


def in_place(self, reverse, x, interval, state, noise):
    return done(x.add_(reverse.ode_drift(x, interval.t), alpha=interval.s - interval.t))


def in_the_networks_memory(self, reverse, x, interval, state, noise):
    reverse.score.noise(x, interval.t).zero_()
    return done(euler(reverse, x, interval.t, interval.s))


def of(change):
    """Euler's step, changed afterwards."""
    return lambda self, reverse, x, interval, state, noise: done(change(euler(reverse, x, interval.t, interval.s), x, interval))


STEPS = {
    "none": of(lambda y, x, interval: y),
    "twice the drift": of(lambda y, x, interval: 2 * y - x),
    "heun": heun,
    "heun, both slopes at t": lambda *arguments: heun(*arguments, last=0.0),
    "heun, beyond t": lambda *arguments: heun(*arguments, last=-0.1),
    "equal steps": equal_steps,
    "stochastic": stochastic,
    "half the drift": lambda *arguments: stochastic(*arguments, drift=0.5),
    "noise / sqrt 2": lambda *arguments: stochastic(*arguments, spread=0.5**0.5, said=0.5**0.5),
    "says twice its noise": lambda *arguments: stochastic(*arguments, said=2.0),
    "says that it has no noise": lambda *arguments: stochastic(*arguments, said=0.0),
    "says where it was": lambda self, reverse, x, interval, state, noise: Step(euler(reverse, x, interval.t, interval.s), x - 0.1),
    "coin": coin,
    "coin / sqrt 2": lambda *arguments: coin(*arguments, spread=0.5**0.5),
    "leaked": leaked,
    "since init": since_init,
    "changed state": changed_state,
    "transposed state": transposed_state,
    "by identity": by_identity,
    "in place": in_place,
    "in the network's memory": in_the_networks_memory,
    "with levels": lambda self, reverse, x, interval, state, noise: done(x + 1e-4 / reverse.sde.levels),
    "global noise": of(lambda y, x, interval: y + torch.rand(1)),
    "single": of(lambda y, x, interval: y.float()),
    "pictures alone": of(lambda y, x, interval: y - x.mean((1, 2), keepdim=True)),
    "one axis more": of(lambda y, x, interval: y[:, None]),
    "batch mean": of(lambda y, x, interval: y - 0.1 * x.mean(0)),
    "moves always": of(lambda y, x, interval: y + 0.01),
    "root of s": of(lambda y, x, interval: y + 0 * math.sqrt(interval.s)),
}


@final
@attrs.frozen(kw_only=True)
class Flawed(Predictor):
    """Euler's steps of the probability flow (Song et al., 2021, eq. 13), or another method's, with a mistake."""

    name = "flawed"

    mistake: str = option("none")
    order: int = option(1, help="0: stochastic")
    calls: int = option(1, help="0: they vary")
    reads: bool = option(True)

    @property
    def ode_order(self):
        return self.order or None

    @property
    def evaluations(self):
        return self.calls or None

    @property
    def reads_s(self):
        return self.reads

    def init(self, reverse, x, intervals):
        if self.mistake == "since init":
            LEAK.clear()

    def step(self, reverse, x, interval, state, noise):
        return STEPS[self.mistake](self, reverse, x, interval, state, noise)


@final
@attrs.frozen(kw_only=True)
class Misstated(Predictor):
    """Euler's steps (Song et al., 2021, eq. 13), or none, said to couple samples, to be the ladder's and to vary in their evaluations."""

    name = "misstated"
    couples: ClassVar[bool] = True
    steps_ladder: ClassVar[bool] = True
    evaluations: ClassVar[None] = None

    mistake: str = option("euler")

    def step(self, reverse, x, interval, state, noise):
        return done(euler(reverse, x, interval.t, interval.s) if self.mistake == "euler" else x)


def flawed(mistake, order=1, calls=1, reads=True):
    return Flawed(mistake=mistake, order=order, calls=calls, reads=reads)


NUMBER = r"(-?\d[^ ,;()]*)"
STEPPED = "# with 24, # with 48, # with 96, # with 192 steps under sub_vp"
FLOW, MOMENTS = f"off the probability flow by {STEPPED}", f"mean and variance are off by {STEPPED}"
TURNS = "two runs in turn, with each step taken twice, are off the same runs alone by # (sub_vp)"
DRAWN = " under sub_vp is off by # standard errors"
BITES = [  # with the first number of the message
    ("repeatable", flawed("leaked"), "called twice with the same values it gave two answers (sub_vp)", None),
    ("copies", flawed("by identity"), "copied, it gives another answer", None),
    ("random", flawed("global noise"), "it changed torch's global random state", None),
    ("inputs", flawed("in place"), "it changed its input in place (sub_vp)", None),
    ("precision", flawed("single"), "a state of torch.float64 gave one of torch.float32 (sub_vp)", None),
    (
        "ranks",
        flawed("pictures alone"),
        "items of shape (#,) fail (sub_vp): Dimension out of range (expected to be in range of [-2, 1], but got 2)",
        6,
    ),
    ("ranks", flawed("one axis more"), "a state of shape (#, 6) gave one of (#, 1, 6)", 4),
    ("coupling", flawed("batch mean"), "a sample's result depends on its batch-mates: it changes by # (sub_vp)", 0.27),
    ("coupling", Misstated(), "it declares couples = True, but a sample's result does not depend on its batch-mates (sub_vp)", None),
    ("identity", flawed("moves always"), "a step from t = 1 to s = t moves the state by # (sub_vp)", 0.01),
    ("identity", Misstated(), "it declares steps_ladder, but its step changes with s, by # (sub_vp)", 0.075),
    ("evaluations", flawed("heun"), "it declares 1 evaluations a step; step 1 made # (sub_vp)", 2),
    ("evaluations", Misstated(mistake="idle"), "it declares evaluations = None, that they vary, but 4 steps made # (sub_vp)", 0),
    ("times", flawed("heun, beyond t", 1, 2), "a run from t = 1 to 0.001 (sub_vp) evaluates the score at t = #, outside 0 < t <= 1", 1.005),
    ("times", flawed("root of s", reads=False), "a run from t = 0.001 to # (sub_vp) fails: math domain error", -0.01),
    (
        "outputs",
        flawed("in the network's memory", calls=2),
        "it changed in place what a network that predicts 'noise' returned (sub_vp)",
        None,
    ),
    ("history", flawed("since init"), TURNS, 0.024),
    ("history", flawed("changed state"), TURNS, 0.024),
    (
        "reordered",
        flawed("transposed state"),
        "with the samples and Step.state in another order the rest of a run is off by # (sub_vp)",
        0.03,
    ),
    ("noise", flawed("says twice its noise", 0), "x - mean has # times the standard deviation std (sub_vp)", 0.5),
    ("noise", flawed("says that it has no noise", 0), "std is 0, but x is off mean by # (sub_vp)", 2.7),
    ("noise", flawed("says where it was"), "x - mean has mean #, not 0 (sub_vp)", 0.12),
    ("ladder", flawed("with levels"), "it declares steps_ladder = False, but half as many levels change its result by # (sub_vp)", 4e-7),
    (
        "ladder",
        Misstated(mistake="idle"),
        "it declares steps_ladder = True, but half as many levels change its result by # under sub_vp, ve, vp",
        0,
    ),
    ("order", flawed("twice the drift"), f"order #, declared 1: {FLOW}", 0),
    ("order", flawed("heun, both slopes at t", 2, 2), f"order #, declared 2: {FLOW}", 1),
    ("order", flawed("equal steps", 2), f"order #, declared 2: {FLOW}", 1.16),
    ("order", flawed("heun", 1, 2), f"order #, declared only 1: {FLOW}", 2),
    ("order", flawed("half the drift", 0), f"weak order #, not 1: {MOMENTS}", 0),
    ("order", flawed("coin / sqrt 2", 0), f"weak order #, not 1: {MOMENTS}", 0),
    ("distribution", flawed("twice the drift"), "the covariance of 512 samples of shape (2,) after 300 steps" + DRAWN, 15.5),
    ("distribution", flawed("noise / sqrt 2", 0), "the spread of 2048 samples of shape (2,) after 150 steps" + DRAWN, 10.3),
]


@pytest.mark.parametrize(("name", "wrong", "message", "first"), BITES, ids=[f"{name}-{wrong.mistake}" for name, wrong, *_ in BITES])
def test_every_check_bites(name, wrong, message, first):
    outcome = examine(Subject(wrong, REGISTRY), CHECK[name])
    assert outcome.status == "fail"
    found = re.fullmatch(NUMBER.join(map(re.escape, message.split("#"))), outcome.message)
    assert found, outcome.message
    if first is not None:
        assert float(found[1]) == pytest.approx(first, rel=0.1, abs=0.1 if "order" in message else None)


def test_all_checks_are_bitten():
    assert {name for name, *_ in BITES} == {check.name for check in CHECKS} - {"frozen", "toml", "source", "result"}


@pytest.mark.parametrize("right", [flawed("heun", 2, 2), flawed("coin", 0)], ids=lambda right: right.mistake)
def test_without_a_mistake_every_check_passes(right):
    """So that what the tests above catch is the mistake; the second one's noise is not normal, and its law is sampled."""
    assert [outcome for outcome in conform(right, REGISTRY) if outcome.status != "pass"] == []
