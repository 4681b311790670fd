"""The checks of extractors: the built-in one passes them, and each catches one that is wrong in what it looks at, as no other does."""

import re

import attrs
import pytest
import torch
from torch import nn

from scoresde.core import FeatureExtractor
from scoresde.core.testing import checks_of, conform, parametrize_with_checks
from scoresde.core.testing.checks.component import VALUE
from scoresde.plugins import Classifier
from scoresde.registry import Registry


@parametrize_with_checks([Classifier(steps=3, features=4)])
def test_conformance(component, check):
    check(component)


class Network(nn.Module):
    """Projections of the middle of a picture."""

    def __init__(self):
        super().__init__()
        self.register_buffer("weights", torch.linspace(-1, 1, 12).reshape(4, 3))
        self.register_buffer("mean", torch.zeros(()))

    def features(self, x):
        return (x[:, 0, :2, :2].flatten(1).float() / 255 - self.mean) @ self.weights

    def forward(self, x):
        return {"features": self.features(x)}


class Projections(FeatureExtractor):
    """Projections (Pearson, 1901)."""

    network = Network

    @property
    def layers(self):
        return {"fid": "features"}

    def build(self, spec):
        return self.network()


@attrs.frozen(kw_only=True)
class Right(Projections):
    """Projections about the mean (Pearson, 1901)."""

    name = "right"
    learns = True

    def fit(self, network, items, on_step):
        network.mean.fill_(float(items.batch([0, 1])["x"].double().mean()) / 255)
        on_step(1, 1)


@attrs.frozen(kw_only=True)
class Misnamed(Projections):
    """Reads a layer that there is not (Pearson, 1901)."""

    name = "misnamed"

    @property
    def layers(self):
        return {"fid": "features", "FID": "features"}


class Unpooled(Network):
    def features(self, x):
        return x[:, :1].float()


@attrs.frozen(kw_only=True)
class Places(Projections):
    """Leaves the places as they are (Pearson, 1901)."""

    name = "places"
    network = Unpooled


@attrs.frozen(kw_only=True)
class Drawn(Projections):
    """Draws its weights from the global generator (Pearson, 1901)."""

    name = "drawn"

    def build(self, spec):
        network = Network()
        network.weights.copy_(torch.randn(4, 3))
        return network


class InPlace(Network):
    def features(self, x):
        return super().features(x.clamp_(max=100))


@attrs.frozen(kw_only=True)
class Clamping(Projections):
    """Clamps the picture itself (Pearson, 1901)."""

    name = "clamping"
    network = InPlace


class Batch(Network):
    def features(self, x):
        features = super().features(x)
        return features - features.mean(0)


@attrs.frozen(kw_only=True)
class Coupled(Projections):
    """Centres each batch (Pearson, 1901)."""

    name = "coupled"
    network = Batch


@attrs.frozen(kw_only=True)
class Idle(Projections):
    """Says that it learns (Pearson, 1901)."""

    name = "idle"
    learns = True


@attrs.frozen(kw_only=True)
class Uncounted(Projections):
    """Counts its steps from 0 (Pearson, 1901)."""

    name = "uncounted"
    learns = True

    def fit(self, network, items, on_step):
        network.mean.fill_(0.5)
        on_step(0, 1)


BITES = [
    ("layers", Misnamed, r"^it names layers for FID, which is no measure: there are fid, kid, prc, isc$"),
    ("layers", Places, r"^the layer 'features' of 6 pictures \(1, 8, 8\) has the shape \(6, 1, 8, 8\), not \(6, D\)$"),
    ("repeatable", Drawn, r"^it changed torch's global random state$"),
    ("inputs", Clamping, r"^it changed the pictures that it was given \(\(1, 8, 8\)\)$"),
    ("coupling", Coupled, r"^the features 'features' of a picture depend on its batch-mates: they change by \d"),
    ("learning", Idle, r"^it declares learns = True, but fit changed 0 of 2 tensors of its state$"),
    ("learning", Uncounted, r"^fit said \(0, 1\), ..., \(0, 1\) of its 1 steps, not \(1, 1\), ...$"),
]


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
    assert {name for name, *_ in BITES} == {check.name for check in checks_of("extractor")} - {check.name for check in VALUE}
