"""Networks that are told labels: one vector for each class and one for none, and nothing else of the network is another."""

import pytest
import torch
from torch import nn

from scoresde.core import NO_CLASS, DataSpec, ScoreModel
from scoresde.plugins import MLP, VP, DDPMpp, GaussianMixture

PICTURES, PLANE = DataSpec(shape=(1, 8, 8), classes=5), DataSpec(shape=(2,), classes=3)
SMALL = {"channels": 8, "multipliers": (1, 2), "blocks": 1, "attention": (), "dropout": 0.0}
MODELS = [(DDPMpp(**SMALL), DDPMpp(labels=True, **SMALL), PICTURES, 32), (MLP(width=16), MLP(width=16, labels=True), PLANE, 16)]
by_model = pytest.mark.parametrize(("plain", "labelled", "spec", "width"), MODELS, ids=["ddpmpp", "mlp"])


def build(model: ScoreModel, spec: DataSpec) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return model.build(VP(), spec).eval()


def size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@by_model
def test_labels_add_one_vector_for_each_class_and_one_for_none(plain, labelled, spec, width) -> None:
    network, more = build(plain, spec), build(labelled, spec)
    assert size(more) - size(network) == (spec.classes + 1) * width
    extra = set(more.state_dict()) - set(network.state_dict())
    assert extra == {"embed.classes.vectors.weight"}
    assert not set(network.state_dict()) - set(more.state_dict())
    assert (plain.reads_labels, labelled.reads_labels) == (False, True)
    assert labelled.published_names(more) == {}


@by_model
def test_with_vectors_of_zero_the_network_is_the_plain_one(plain, labelled, spec, width) -> None:
    network, more = build(plain, spec), build(labelled, spec)
    weights = network.state_dict() | {"embed.classes.vectors.weight": torch.zeros(spec.classes + 1, width)}
    more.load_state_dict(weights)
    for module in (network, more):
        for name, parameter in module.named_parameters():
            if "vectors" not in name:
                with torch.no_grad():
                    parameter.add_(0.1)
    x, t = torch.randn(4, *spec.shape, generator=torch.Generator().manual_seed(1)), torch.tensor([10.0, 200.0, 500.0, 900.0])
    with torch.no_grad():
        assert torch.equal(more(x, t, torch.arange(4) % spec.classes), network(x, t))
        assert torch.equal(more(x, t), network(x, t))


@by_model
def test_what_is_no_class_and_labels_that_nobody_reads(plain, labelled, spec, width) -> None:
    x, t = torch.zeros(2, *spec.shape), torch.ones(2)
    with pytest.raises(IndexError):
        build(labelled, spec)(x, t, torch.tensor([0, spec.classes]))
    with pytest.raises(TypeError, match=r"^the network reads no labels: it was built without classes$"):
        build(plain, spec)(x, t, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"^the data have no classes$"):
        labelled.build(VP(), DataSpec(shape=spec.shape))


def test_the_law_of_the_data_reads_their_components() -> None:
    law = {"weights": (0.5, 0.5), "means": ((0.0,), (1.0,)), "covariances": (((1.0,),), ((1.0,),))}
    models = (GaussianMixture(), GaussianMixture(components=3), GaussianMixture(**law))
    assert [model.reads_labels for model in models] == [
        True,
        False,
        False,
    ]
    network = GaussianMixture(**law).build(VP(), DataSpec(shape=(1,)))
    with pytest.raises(TypeError, match=r"^the mixture reads no labels: its components are not the data's classes$"):
        network(torch.zeros(2, 1), 0.5, torch.full((2,), NO_CLASS))
