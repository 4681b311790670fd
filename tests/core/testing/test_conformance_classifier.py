"""The checks of classifiers: the built-in ones pass them, and each catches one that is wrong in what it looks at, where no other does."""

import re

import attrs
import pytest
import torch
from torch import nn

from scoresde.core import Classifier, LinearSDE, NoiseConditional
from scoresde.core.classes import classes_of
from scoresde.core.testing import checks_of, conform, parametrize_with_checks
from scoresde.core.testing.checks.component import checks_by
from scoresde.plugins import HalfUNet, MLPClassifier
from scoresde.registry import Registry


@parametrize_with_checks(
    [
        MLPClassifier(width=16, depth=1),
        MLPClassifier(width=16, depth=1, time_coordinate="999t", input_scaling=False),
        HalfUNet(channels=8, multipliers=(1, 2)),
        HalfUNet(channels=8, multipliers=(2,), time_coordinate="sigma"),
    ]
)
def test_conformance(component, check):
    check(component)


class Network(nn.Module):
    """A perceptron of the flattened items and the time."""

    def __init__(self, dimension, classes):
        super().__init__()
        self.inner, self.outer = nn.Linear(dimension + 1, 8), nn.Linear(8, classes)

    def forward(self, x, time):
        return self.outer(torch.tanh(self.inner(torch.cat([x.flatten(1), time[:, None]], 1))))


class Perceptron(Classifier):
    """Finds the class by a perceptron (Rosenblatt, 1958)."""

    needs = LinearSDE
    network = Network

    def build(self, sde, spec):
        return self.network(spec.dimension, classes_of(spec))

    def time(self, sde):
        return "t"


def classifier(network, **members):
    """A class of its own for a network, in this module."""
    name = network.__name__.lower() + "_" + "_".join(members)
    made = type(name, (Perceptron,), {"__doc__": Perceptron.__doc__, "__module__": __name__, "name": name, "network": network, **members})
    globals()[name] = attrs.frozen(kw_only=True)(made)
    return globals()[name]


class Spread(Network):
    def forward(self, x, time):
        return super().forward(x, time)[:, :, None]


class Ten(Network):
    def __init__(self, dimension, classes):
        super().__init__(dimension, 10)


class Spare(Network):
    def __init__(self, dimension, classes):
        super().__init__(dimension, classes)
        self.spare = nn.Linear(2, 2)


class Cut(Network):
    def forward(self, x, time):
        return super().forward(x.detach(), time)


class Singular(Network):
    def forward(self, x, time):
        return super().forward(x, time) / (time - 1e-5)[:, None]


class FirstTime(Network):
    def forward(self, x, time):
        return super().forward(x, time[:1].expand(len(x)))


class Ascending(Network):
    def forward(self, x, time):
        out = super().forward(x, time)
        return 2 * out.detach() - out


class Unregistered(Network):
    def __init__(self, dimension, classes):
        super().__init__(dimension, classes)
        self.shift = torch.randn(classes)

    def forward(self, x, time):
        return super().forward(x, time) + self.shift.to(x)


class Mean(Network):
    def forward(self, x, time):
        return super().forward(x - x.mean(0), time)


def wordy(self, sde, spec):
    if spec.classes is None:
        raise ValueError("no classes:\ntake other data")
    return Network(spec.dimension, spec.classes)


def single(self, sde, spec):
    if spec.shape != (6,):
        raise ValueError("six numbers alone")
    return Mean(6, classes_of(spec))


BITES = [
    ("shapes", classifier(Spread), r"for a batch \(4, \S.*\) of 2 classes it gives logits \(4, 2, 1\)"),
    ("shapes", classifier(Ten), r"for a batch \(4, \S.*\) of 2 classes it gives logits \(4, 10\)"),
    ("shapes", classifier(Network, build=wordy), r"it refuses data without classes in 2 lines, not in one"),
    ("gradients", classifier(Spare), r"no gradient reaches spare.weight: it is 0 \(items \(6,\), \w+\)"),
    ("gradients", classifier(Cut), r"no gradient reaches x: it is 0 "),
    ("ends", classifier(Singular), r"at t = 1e-05 8 of 8 numbers of its logits are not finite"),
    ("times", classifier(FirstTime), r"with a time for each sample the logits at t = 0.2 is off that at this time alone by \S+ of it"),
    ("truth", classifier(Ascending), r"a step against its gradient lowers its cross-entropy by -1 of what it should"),
    ("state", classifier(Unregistered), r"a network with the same state_dict gives another logits: off by \S+ of it"),
    ("coupling", classifier(Mean, build=single), r"a sample's result depends on its batch-mates: it changes by \S+"),
]
PROVEN_ELSEWHERE = {check.name for check in checks_by(lambda *arguments: [])}


@pytest.fixture(scope="module")
def registry():
    return Registry.discover()


def test_the_right_one_fails_no_check(registry):
    assert [outcome.check.name for outcome in conform(classifier(Network)(), registry) if outcome.status != "pass"] == []


@pytest.mark.parametrize(("name", "wrong", "message"), BITES, ids=[wrong.name for _, wrong, _ in BITES])
def test_a_wrong_one_is_caught_by_the_check_of_its_fault_alone(registry, name, wrong, message):
    failed = {outcome.check.name: outcome.message for outcome in conform(wrong(), registry) if outcome.status != "pass"}
    also = {"mean_build": {"times"}, "spread_": {"truth"}}.get(wrong.name, set())
    assert failed.keys() == {name} | also, failed
    assert re.search(message, failed[name]), failed[name]


def test_every_check_bites():
    assert {name for name, *_ in BITES} | PROVEN_ELSEWHERE == {check.name for check in checks_of("classifier")}


def test_logits_are_those_of_a_network_that_is_told_the_noise_level():
    made = MLPClassifier(width=16, depth=1)
    assert isinstance(made.logits(Registry.discover(only=()).get("sde", "vp")(), nn.Linear(2, 2)), NoiseConditional)
