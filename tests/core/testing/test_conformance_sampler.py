"""The conformance kit of samplers: the built-in ones pass it, and every check catches a mistake made for it."""

import re
from typing import Any, ClassVar, final

import attrs
import pytest
import torch

from scoresde.core import Sampler, Step, add_scaled, option, sqrt
from scoresde.core.testing import Subject, conform, parametrize_with_checks
from scoresde.core.testing.checks.sampler import CHECKS
from scoresde.core.testing.conformance import examine
from scoresde.plugins.corrector.annealed_langevin import AnnealedLangevin
from scoresde.plugins.corrector.langevin import Langevin
from scoresde.plugins.predictor.ancestral import Ancestral
from scoresde.plugins.predictor.euler_maruyama import EulerMaruyama
from scoresde.plugins.predictor.none import NoPredictor
from scoresde.plugins.predictor.ode import ODE
from scoresde.plugins.predictor.reverse_diffusion import ReverseDiffusion
from scoresde.plugins.sampler.adaptive import Adaptive
from scoresde.plugins.sampler.predictor_corrector import PredictorCorrector
from scoresde.registry import Registry

REGISTRY = Registry.discover(only=())
CHECK = {check.name: check for check in CHECKS}
LEAK: list[Any] = []
MADE: dict[int, int] = {}


@parametrize_with_checks(
    [
        PredictorCorrector(predictor=EulerMaruyama()),
        PredictorCorrector(predictor=ReverseDiffusion(probability_flow=True)),
        PredictorCorrector(predictor=ReverseDiffusion(), corrector=Langevin()),
        PredictorCorrector(predictor=Ancestral(), corrector=AnnealedLangevin(snr=0.1), corrector_steps=2),
        PredictorCorrector(predictor=ReverseDiffusion(ladder=True), corrector=Langevin(ladder=True)),
        PredictorCorrector(predictor=NoPredictor(), corrector=Langevin(snr=0.2), corrector_steps=5),
        PredictorCorrector(predictor=ODE()),
        Adaptive(),
    ]
)
def test_built_in_samplers(component, check):
    check(component)


def euler(reverse, x, t, s, noise, mistake=""):
    drift = 2.0 if mistake == "twice the drift" else 1.0
    spread = 0.5**0.5 if mistake == "noise / sqrt 2" else 1.0
    mean = add_scaled(x, drift * (s - t), reverse.drift(x, 1.01 * t if mistake == "later" else t))
    return Step.draw(mean, spread * reverse.sde.diffusion(t) * sqrt(t - s), noise)


def leaked(self, x):
    LEAK.append(x)
    return x + len(LEAK)


def since_start(self, x):
    """A history in the module, which every run clears when it begins."""
    LEAK.append(x)
    return x + 0.1 * (LEAK[-2] if len(LEAK) > 1 else x)


def pictures(self, x):
    return x - x.mean((1, 2), keepdim=True)


CHANGES = {
    "leaked": leaked,
    "since start": since_start,
    "by identity": lambda self, x: x * MADE.setdefault(id(self), len(MADE) + 1),
    "in place": lambda self, x: x.add_(1),
    "global noise": lambda self, x: x + torch.rand(1),
    "single": lambda self, x: x.float(),
    "pictures alone": pictures,
    "one axis more": lambda self, x: x[:, None],
    "batch mean": lambda self, x: x - 0.1 * x.mean(0),
}


@final
@attrs.frozen(kw_only=True)
class Flawed(Sampler):
    """Euler-Maruyama steps (Song et al., 2021, eq. 6) with a mistake."""

    name = "flawed"

    mistake: str = option("none")

    def sample(self, reverse, condition, x, intervals, noise):
        LEAK[:] = LEAK if self.mistake == "leaked" else []
        begun, memory = condition.start(x, intervals[0].t, noise)
        x = x if self.mistake == "begins at the prior's draw" else begun
        x = CHANGES.get(self.mistake, lambda self, x: x)(self, x)
        step = Step(x, x)
        for number, (t, s, *_) in enumerate(intervals, 1):
            after = euler(reverse, step.x, t, s, noise, self.mistake)
            after = after._replace(x=since_start(self, after.x)) if self.mistake == "since start" else after
            if self.mistake == "projects half" and number % 2:
                step = after
                continue
            given = None if self.mistake == "forgets" else memory
            step, memory = condition.project(step, after, t, s, given, reverse, noise)
            yield step._replace(x=after.x) if self.mistake == "gives what was before" else step

    def evaluations(self, steps):
        return steps - 1 if self.mistake == "one less" else steps


@final
@attrs.frozen(kw_only=True)
class Misstated(Sampler):
    """The prior's draw (Song et al., 2021), said to be coupled."""

    name = "misstated"
    couples: ClassVar[bool] = True

    mistake: str = option("idle")

    def sample(self, reverse, condition, x, intervals, noise):
        yield Step(x, x, 0.0)

    def check(self, sde, intervals, *, contiguous, projects):
        if self.mistake == "refuses all":
            raise ValueError("not so" if contiguous else "nor so")

    def evaluations(self, steps):
        return 0


NUMBER = r"(-?\d[^ ,;()]*)"
TURNS = "two runs in turn are off the same runs alone by # (sub_vp)"
GAUSSIAN = "mean and variance of Gaussian data are off by # of theirs after 300 steps"
DRAWN = "of 512 samples of shape (2,) after 300 steps under sub_vp is off by # standard errors"
BITES = [  # with the first number of the message
    ("repeatable", Flawed(mistake="leaked"), "called twice with the same values it gave two answers (sub_vp)", None),
    ("copies", Flawed(mistake="by identity"), "copied, it gives another answer", None),
    ("random", Flawed(mistake="global noise"), "it changed torch's global random state", None),
    ("inputs", Flawed(mistake="in place"), "it changed its input in place (sub_vp)", None),
    ("precision", Flawed(mistake="single"), "a state of torch.float64 gave one of torch.float32 (sub_vp)", None),
    ("ranks", Flawed(mistake="pictures alone"), "items of shape (#,) fail (sub_vp): Dimension out of range (", 6),
    ("ranks", Flawed(mistake="one axis more"), "a state of shape (#, 6) gave one of (#, 1, 6)", 4),
    ("coupling", Flawed(mistake="batch mean"), "a sample's result depends on its batch-mates: it changes by # (sub_vp)", 0.064),
    ("coupling", Misstated(), "it declares couples = True, but a sample's result does not depend on its batch-mates (sub_vp)", None),
    ("gaussian", Flawed(mistake="twice the drift"), f"{GAUSSIAN} under sub_vp", 0.86),
    ("gaussian", Flawed(mistake="noise / sqrt 2"), f"{GAUSSIAN} under sub_vp", 0.5),
    ("distribution", Flawed(mistake="twice the drift"), f"the covariance {DRAWN}", 11.2),
    ("distribution", Misstated(mistake="refuses all"), "it refuses the uniform grid (not so) and the published one (nor so)", None),
    ("evaluations", Flawed(mistake="one less"), "it declares # evaluations of 5 steps, and made 5 (sub_vp)", 4),
    ("evaluations", Misstated(), "# steps made 0 evaluations of the score (sub_vp)", 5),
    ("times", Flawed(mistake="later"), "a run from t = 1 to 0.001 (sub_vp) evaluates the score at t = #, outside 0 < t <= 1", 1.01),
    ("interleaved", Flawed(mistake="since start"), TURNS, 0.31),
    (
        "start",
        Flawed(mistake="begins at the prior's draw"),
        "a run that a condition begins at x is off the run from x by # (sub_vp)",
        0.019,
    ),
    ("projection", Flawed(mistake="gives what was before"), "at its end a run is off what its condition holds by # (sub_vp)", 1.9),
    ("projection", Flawed(mistake="projects half"), "# of 5 steps are not projected, such as that to s = 0.8002 (sub_vp)", 3),
    ("projection", Flawed(mistake="forgets"), "projection # was given the memory that number None is to have", 0),
]


@pytest.mark.parametrize(("name", "wrong", "message", "first"), BITES, ids=[f"{name}-{wrong.mistake}" for name, wrong, *_ in BITES])
def test_every_check_bites(name, wrong, message, first):
    outcome = examine(Subject(wrong, REGISTRY), CHECK[name])
    assert outcome.status == "fail"
    found = re.match(NUMBER.join(map(re.escape, message.split("#"))), outcome.message)
    assert found, outcome.message
    assert first is None or float(found[1]) == pytest.approx(first, rel=0.15)


def test_all_checks_are_bitten():
    assert {name for name, *_ in BITES} == {check.name for check in CHECKS} - {"frozen", "toml", "source", "result"}


def test_without_a_mistake_every_check_passes():
    """So that what the tests above catch is the mistake."""
    assert [outcome for outcome in conform(Flawed(), REGISTRY) if outcome.status != "pass"] == []
