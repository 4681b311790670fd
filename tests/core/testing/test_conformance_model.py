"""The checks of models: the built-in ones pass them, and each catches a model that is wrong in what it looks at, where no other does."""

import re

import attrs
import pytest
import torch
from torch import nn

from scoresde.core import LinearSDE, Score, ScoreModel
from scoresde.core.testing import checks_of, conform, parametrize_with_checks
from scoresde.core.testing.checks.component import checks_by
from scoresde.plugins import DDPM, MLP, NCSN, DDPMpp, GaussianMixture, NCSNpp, NCSNv2
from scoresde.registry import Registry

U = {"multipliers": (1, 2), "blocks": 1, "attention": (4,)}
POSITIONAL = {"embedding": "positional", "channels": 8}
STAGES = {"channels": 4, "multipliers": (1, 1, 2)}
SQUARE = ((0.04, 0.01), (0.01, 0.09))


@parametrize_with_checks(
    [
        MLP(width=16, depth=1),
        MLP(width=16, depth=1, predicts="denoised", time_coordinate="level"),
        MLP(width=16, depth=1, predicts="velocity", time_coordinate="log_snr", input_scaling=True),
        MLP(width=16, depth=1, predicts="score", time_coordinate="log_sigma"),
        MLP(width=16, depth=1, labels=True),
        GaussianMixture,
        GaussianMixture(components=2, covariance_type="diag"),
        GaussianMixture(weights=(1.0, 2.0), means=((-1.0, 0.0), (1.0, 0.5)), covariances=(SQUARE, SQUARE)),
        DDPMpp(channels=8, **U),
        DDPMpp(channels=8, waves=(1, 2), predicts="velocity", **U),
        DDPMpp(channels=8, labels=True, **U),
        DDPM(channels=32, **U),
        DDPM(channels=32, predicts="score", time_coordinate="level", scale_by_sigma=True, **U),
        NCSNpp(channels=8, **U),
        NCSNpp(time_coordinate="level", progressive="output_skip", progressive_input="input_skip", **POSITIONAL, **U),
        NCSNpp(time_coordinate="999t", scale_by_sigma=False, predicts="noise", resblock_type="ddpm", fir=False, **POSITIONAL, **U),
        NCSN(**STAGES),
        NCSNv2(**STAGES),
        NCSNv2(time_coordinate="sigma", **STAGES),
    ]
)
def test_conformance(component, check):
    check(component)


class Network(nn.Module):
    """A perceptron of the flattened items and the time."""

    def __init__(self, dimension):
        super().__init__()
        self.inner, self.outer = nn.Linear(dimension + 1, 8), nn.Linear(8, dimension)

    def forward(self, x, time):
        return self.outer(torch.tanh(self.inner(torch.cat([x.flatten(1), time[:, None]], 1)))).reshape(x.shape)


class Perceptron(ScoreModel):
    """Predicts the noise by a perceptron (Rosenblatt, 1958)."""

    needs = LinearSDE
    network = Network

    def build(self, sde, spec):
        return self.network(spec.dimension)

    def prediction(self, sde):
        return "noise"

    def time(self, sde):
        return "t"


def model(network, **members):
    """A class of its own for a network, in this module."""
    name = network.__name__.lower() + "_" + "_".join(members)
    made = type(name, (Perceptron,), {"__doc__": Perceptron.__doc__, "__module__": __name__, "name": name, "network": network, **members})
    globals()[name] = attrs.frozen(kw_only=True)(made)
    return globals()[name]


class Flat(Network):
    def forward(self, x, time):
        return super().forward(x, time).flatten(1)


class Spare(Network):
    def __init__(self, dimension):
        super().__init__(dimension)
        self.spare = nn.Linear(2, 2)


class Cut(Network):
    def forward(self, x, time):
        return super().forward(x.detach(), time)


class Singular(Network):
    def forward(self, x, time):
        return super().forward(x, time) / (time - 1e-5)[(..., *(None,) * (x.ndim - 1))]


class FirstTime(Network):
    def forward(self, x, time):
        return super().forward(x, time[:1].expand(len(x)))


class Ascending(Network):
    def forward(self, x, time):
        out = super().forward(x, time)
        return 2 * out.detach() - out


class Unregistered(Network):
    def __init__(self, dimension):
        super().__init__(dimension)
        self.shift = torch.randn(dimension)

    def forward(self, x, time):
        return super().forward(x, time) + self.shift.to(x).reshape(x.shape[1:])


class Mean(Network):
    def forward(self, x, time):
        return super().forward(x - x.mean(0), time)


class Told(Network):
    """Reads a label, and takes 0 for no class."""

    def __init__(self, dimension):
        super().__init__(dimension)
        self.vectors = nn.Embedding(4, dimension)

    def forward(self, x, time, label=None):
        label = torch.full((len(x),), 3) if label is None else label.clamp_min(0)
        return super().forward(x, time) + self.vectors(label).reshape(x.shape)


class TwiceTheScore(nn.Module):
    """Twice the score of N(0, 1/4), which is linear in x."""

    def __init__(self, sde):
        super().__init__()
        self.sde = sde

    def forward(self, x, t):
        t = torch.as_tensor(t, dtype=torch.float64).expand(len(x))
        variance = 0.25 * self.sde.alpha(t) ** 2 + self.sde.sigma(t) ** 2
        return -2 * x / variance.to(x)[(..., *(None,) * (x.ndim - 1))]


def twice(self, sde, spec):
    return TwiceTheScore(sde)


def wordy(self, sde, spec):
    if len(spec.shape) > 1:
        raise ValueError("too many axes:\none is enough")
    return Network(spec.dimension)


def pictures(self, sde, spec):
    if spec.shape != (3, 8, 8):
        raise ValueError("pictures alone")
    return Mean(spec.dimension)


def other_score(self, sde, network):
    return Score(sde, network, "score", "t")


def other_names(self, network):
    return {"inner.weight": ("fc1.weight",)}


def told(self):
    return True


EXACT = {"trainable": False, "prediction": lambda self, sde: "score", "time": lambda self, sde: None}
BITES = [
    ("shapes", model(Flat), r"the network gives the shape \(4, 12\) for states \(4, 2, 6\)"),
    ("shapes", model(Network, build=wordy), r"it refuses items \(2, 6\) in 2 lines, not in one"),
    ("gradients", model(Spare), r"no gradient reaches spare.weight: it is 0 \(items \(6,\), \w+\)"),
    ("gradients", model(Cut), r"no gradient reaches x: it is 0 "),
    ("gradients", model(Network, trainable=False), r"it declares trainable = False, but 4 of its parameters ask for a gradient"),
    ("ends", model(Singular), r"at t = 1e-05 24 of 24 numbers of its score are not finite"),
    ("times", model(FirstTime), r"with a time for each sample the score at t = 0.2 is off that at this time alone by \S+ of it"),
    (
        "prediction",
        model(Network, score=other_score),
        r"its network's output is not the noise that it declares: its score's is off by \S+ of it",
    ),
    ("truth", model(Ascending), r"a step against its gradient lowers its denoising loss by -1 of what it should"),
    ("truth", model(TwiceTheScore, build=twice, **EXACT), r"at t = 0.1 its output is the score of no law: ds/dt is off by 0\.\d+ of what"),
    ("state", model(Unregistered), r"a network with the same state_dict gives another score: off by \S+ of it"),
    ("state", model(Network, published_names=other_names), r"published_names and the parameters differ by 3 names, such as inner.bias"),
    ("labels", model(Network, reads_labels=property(told)), r"it declares reads_labels = True, and its network takes no label \("),
    ("labels", model(Told), r"it declares reads_labels = False, and labels change its score \("),
    ("labels", model(Told, reads_labels=property(told)), r"with -1, no class, its score is off that without labels by \S+ of it \("),
    ("coupling", model(Mean, build=pictures), r"a sample's result depends on its batch-mates: it changes by \S+"),
]
PROVEN_ELSEWHERE = {check.name for check in checks_by(lambda *arguments: [])}


@pytest.fixture(scope="module")
def registry():
    return Registry.discover()


def test_the_right_one_fails_no_check(registry):
    assert [outcome.check.name for outcome in conform(model(Network)(), registry) if outcome.status != "pass"] == []


@pytest.mark.parametrize(("name", "wrong", "message"), BITES, ids=[wrong.name for _, wrong, _ in BITES])
def test_a_wrong_one_is_caught_by_the_check_of_its_fault_alone(registry, name, wrong, message):
    failed = {outcome.check.name: outcome.message for outcome in conform(wrong(), registry) if outcome.status != "pass"}
    also = {"flat_": {"ranks"}, "network_trainable": {"truth"}, "mean_build": {"times"}}.get(wrong.name, set())
    assert failed.keys() == {name} | also, failed
    assert re.search(message, failed[name]), failed[name]


def test_every_check_bites():
    assert {name for name, *_ in BITES} | PROVEN_ELSEWHERE == {check.name for check in checks_of("model")}
