"""The checks of objectives: the built-in ones pass them, and each catches an objective that is wrong in what it looks at, and no other
check does."""

import re

import attrs
import pytest
import torch

from scoresde.core import LinearSDE, Objective, broadcast
from scoresde.core.testing import checks_of, conform, parametrize_with_checks
from scoresde.core.testing.checks.component import checks_by
from scoresde.plugins import SMLD, DDPMLoss, ScoreMatching, SlicedScoreMatching
from scoresde.registry import Registry


@parametrize_with_checks(
    [
        ScoreMatching,
        ScoreMatching(likelihood_weighting=True),
        ScoreMatching(likelihood_weighting=True, importance=True),
        ScoreMatching(importance=True, reduce="sum"),
        SMLD,
        DDPMLoss,
        DDPMLoss(reduce="sum"),
        SlicedScoreMatching,
        SlicedScoreMatching(law="normal", directions=2, reduce="mean"),
        SlicedScoreMatching(variance_reduced=False),
        SlicedScoreMatching(ladder=True),
    ]
)
def test_conformance(component, check):
    check(component)


class Denoising(Objective):
    """Denoising score matching (Song et al., 2021, eq. 7)."""

    @property
    def needs(self):
        return LinearSDE

    def loss(self, score, x0, noise):
        sde = score.sde
        t = sde.t_min + (sde.t_max - sde.t_min) * noise.uniform((len(x0),), dtype=torch.float64)
        z = noise.normal_like(x0)
        mean, std = sde.marginal(x0, t)
        sigma = broadcast(std, x0)
        return self.error(score, mean + sigma * z, t, sigma, z).square().flatten(1).mean(1)

    def error(self, score, x, t, sigma, z):
        return sigma * score(x, t) + z


@attrs.frozen(kw_only=True)
class Right(Denoising):
    """Denoising score matching (Song et al., 2021, eq. 7)."""

    name = "right"


@attrs.frozen(kw_only=True)
class TwiceTheTarget(Denoising):
    """Takes 2 z for z (Song et al., 2021, eq. 7)."""

    name = "twice_the_target"

    def error(self, score, x, t, sigma, z):
        return sigma * score(x, t) + 2 * z


@attrs.frozen(kw_only=True)
class LaterScore(Denoising):
    """Asks for the score of another time than that of x (Song et al., 2021, eq. 7)."""

    name = "later_score"

    def error(self, score, x, t, sigma, z):
        return sigma * score(x, (1.02 * t).clamp_max(1)) + z


@attrs.frozen(kw_only=True)
class Rising(Denoising):
    """Has the wrong sign (Song et al., 2021, eq. 7)."""

    name = "rising"

    def loss(self, score, x0, noise):
        return -Denoising.loss(self, score, x0, noise)


@attrs.frozen(kw_only=True)
class Blind(Denoising):
    """Does not see the score but at the smallest times (Song et al., 2021, eq. 7)."""

    name = "blind"

    def error(self, score, x, t, sigma, z):
        return (sigma * score(x, t) + z) * broadcast((t < 0.01).double(), x)


@attrs.frozen(kw_only=True)
class Column(Denoising):
    """Keeps an axis of length 1 (Song et al., 2021, eq. 7)."""

    name = "column"

    def loss(self, score, x0, noise):
        return Denoising.loss(self, score, x0, noise)[:, None]


@attrs.frozen(kw_only=True)
class Partial(Denoising):
    """Weighs by what the network predicts (Song et al., 2021, eq. 7)."""

    name = "partial"

    def error(self, score, x, t, sigma, z):
        return (sigma * score(x, t) + z) * (2 if score.predicts == "denoised" else 1)


@attrs.frozen(kw_only=True)
class HalfDetached(Denoising):
    """Holds half of the score fast (Song et al., 2021, eq. 7)."""

    name = "half_detached"

    def error(self, score, x, t, sigma, z):
        given = score(x, t)
        return 0.5 * sigma * (given + given.detach()) + z


@attrs.frozen(kw_only=True)
class OtherWithoutGradients(Denoising):
    """Is another one where it is evaluated (Song et al., 2021, eq. 7)."""

    name = "other_without_gradients"

    def loss(self, score, x0, noise):
        return Denoising.loss(self, score, x0, noise) * (1 if torch.is_grad_enabled() else 1.5)


BITES = [
    ("minimum", TwiceTheTarget, r"at times 0.1 to 0.4 \(\w+, 2 entries\) the expected loss is least at 2.0\d+ times the true score"),
    ("minimum", LaterScore, r"the expected loss is least at \d\.\d+ times the true score, with a standard error of 0.0\d+"),
    ("minimum", Rising, r"the expected loss falls as the score is made wrong: by 0.\d+ for 0.25"),
    ("minimum", Blind, r"the loss is too noisy to say where it is least: to inf of the score"),
    ("form", Column, r"the loss of a batch \(4, 2, 2\) has the shape \(4, 1\), not \(4,\)"),
    ("predictions", Partial, r"a network that predicts denoised has another loss than the same score: off by \d+ "),
    ("gradient", HalfDetached, r"the loss has the gradient (\S+), but changes by \S+"),
    ("evaluation", OtherWithoutGradients, r"without gradients the loss is off by \S+ of it"),
]
PROVEN_ELSEWHERE = {check.name for check in checks_by(lambda *arguments: [])}


@pytest.fixture(scope="module")
def registry():
    return Registry.discover()


def test_the_right_one_fails_no_check(registry):
    assert [outcome.check.name for outcome in conform(Right(), registry) if outcome.status != "pass"] == []


@pytest.mark.parametrize(("name", "wrong", "message"), BITES, ids=[wrong.name for _, wrong, _ in BITES])
def test_a_wrong_one_is_caught_by_the_check_of_its_fault_alone(registry, name, wrong, message):
    failed = {outcome.check.name: outcome.message for outcome in conform(wrong(), registry) if outcome.status != "pass"}
    assert failed.keys() == {name}, failed
    assert re.search(message, failed[name]), failed[name]


def test_every_check_bites():
    assert {name for name, *_ in BITES} == {check.name for check in checks_of("objective")} - PROVEN_ELSEWHERE
