"""NCSN and NCSNv2: the normalisation's formula, pictures of any size, and what the networks do with the level and the data's range."""

import re

import attrs
import pytest
import torch

from scoresde.core import DataSpec
from scoresde.core.published import PublishedMismatchError, rename
from scoresde.plugins.model.ncsn import NCSN
from scoresde.plugins.model.ncsnv2 import NCSNv2
from scoresde.plugins.model.published_refinenet import published_refinenet_names
from scoresde.plugins.model.refinenet import ConditionalInstanceNormPlus, InstanceNormPlus
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

SDE, SPEC = VE(sigma_max=5.0, levels=10), DataSpec(shape=(3, 8, 12))
MODELS = [NCSN(channels=4), NCSNv2(channels=4)]
by_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


def built(model, sde=SDE, spec=SPEC):
    torch.manual_seed(0)
    return model.build(sde, spec).double().eval()


def pictures(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_instance_norm_plus():
    """gamma ((x - mu) / s + alpha (mu - m) / s') + beta, with the biased deviation of the pixels and the unbiased one of the means."""
    x, channels = pictures(2, 5, 4, 3), 5
    norm = InstanceNormPlus(channels).double()
    norm.beta.data = torch.linspace(-1, 1, channels).double()
    out = norm(x, torch.zeros(2, dtype=torch.int64))
    for b in range(2):
        means = [float(x[b, k].mean()) for k in range(channels)]
        m = sum(means) / channels
        deviation = (sum((mean - m) ** 2 for mean in means) / (channels - 1) + 1e-5) ** 0.5
        for k, mean in enumerate(means):
            unit = (x[b, k] - mean) / (((x[b, k] - mean) ** 2).mean() + 1e-5).sqrt()
            expected = norm.gamma[k] * (unit + norm.alpha[k] * (mean - m) / deviation) + norm.beta[k]
            assert torch.allclose(out[b, k], expected, rtol=1e-12, atol=1e-12)


def test_each_level_has_its_own_norm():
    """Conditional on level k it is the unconditional one with row k of the table, [gamma, alpha, beta]; new ones scale by about 1."""
    x, table = pictures(4, 3, 5, 5), ConditionalInstanceNormPlus(3, 4).double()
    assert torch.allclose(table.embed.weight[:, :6], torch.ones(4, 6).double(), atol=0.1)
    assert torch.equal(table.embed.weight[:, 6:], torch.zeros(4, 3).double())
    table.embed.weight.data = pictures(4, 9)
    out = table(x, torch.tensor([2, 0, 3, 2]))
    for place, level in enumerate((2, 0, 3, 2)):
        norm = InstanceNormPlus(3).double()
        norm.load_state_dict(dict(zip(("gamma", "alpha", "beta"), table.embed.weight[level].chunk(3), strict=True)))
        assert torch.allclose(out[place : place + 1], norm(x[place : place + 1], torch.tensor([level])), rtol=1e-12, atol=1e-12)


@by_model
@pytest.mark.parametrize("multipliers", [(1, 1, 2), (1, 2, 2, 2), (1, 2, 2, 4, 4), (1, 2, 3, 4, 4)])
@pytest.mark.parametrize("shape", [(1, 28, 28), (2, 4, 12), (5, 4, 4)])
def test_pictures_of_any_size_do_not_know_their_company(model, multipliers, shape):
    """Alone and in a batch, whatever the channels, the sides and the stages, and with the same answer from memory laid out by channels."""
    network = built(attrs.evolve(model, multipliers=multipliers), spec=DataSpec(shape=shape))
    x, labels = pictures(3, *shape), torch.tensor([0.0, 4.0, 9.0], dtype=torch.float64)
    together = network(x, labels)
    assert together.shape == x.shape
    alone = torch.cat([network(x[i : i + 1], labels[i : i + 1]) for i in range(3)])
    assert torch.allclose(together, alone, rtol=1e-9, atol=1e-12 * float(alone.detach().abs().max()))
    last = network.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last), labels)
    assert torch.allclose(together, last, rtol=1e-9, atol=1e-12 * float(alone.detach().abs().max()))


def test_a_bottom_of_one_pixel():
    """A 2x2 picture is pooled to one pixel, whose standardised value is 0: finite, and not a matter of the batch."""
    network = built(NCSN(channels=4), spec=DataSpec(shape=(1, 2, 2)))
    x = pictures(2, 1, 2, 2)
    assert bool(torch.isfinite(network(x[:1], torch.zeros(1))).all())
    assert torch.allclose(network(x, torch.zeros(2))[:1], network(x[:1], torch.zeros(1)), rtol=1e-9)


@by_model
@pytest.mark.parametrize("limits", [(0.0, 1.0), (-3.0, 2.0)])
def test_networks_read_pictures_between_minus_one_and_one(model, limits):
    low, high = limits
    centred = built(model, spec=attrs.evolve(SPEC, range=(-1.0, 1.0)))
    network = built(model, spec=attrs.evolve(SPEC, range=limits))
    network.load_state_dict(centred.state_dict())
    x, labels = pictures(2, *SPEC.shape), torch.tensor([3.0, 7.0]).double()
    assert torch.allclose(network(low + (high - low) * x, labels), centred(2 * x - 1, labels), rtol=1e-9)


def test_ncsnv2_divides_by_sigma():
    """By that of the level of each sample, whose label counts from the noisiest, or by the sigma that it is told."""
    network, continuous = built(NCSNv2(channels=4)), built(NCSNv2(channels=4, time_coordinate="sigma"))
    x, labels = pictures(3, *SPEC.shape), torch.tensor([0.0, 4.0, 9.0]).double()
    sigmas = torch.tensor([5.0, 5.0 * (0.01 / 5.0) ** (4 / 9), 0.01], dtype=torch.float64)
    field = network.field(x, labels)
    assert torch.allclose(network(x, labels), field / sigmas[:, None, None, None], rtol=1e-12)
    assert torch.allclose(continuous(x, sigmas), network(x, labels), rtol=1e-12)


@by_model
@pytest.mark.parametrize("sde", [SDE, VP(levels=30)], ids=lambda sde: sde.name)
def test_scores_at_the_times_of_the_levels(model, sde):
    """The score that a sampler sees is the network's at the label of the level: every level of the ladder is reached."""
    network, ladder = built(model, sde), sde.ladder()
    score, labels = model.score(sde, network), torch.arange(sde.levels).double()
    x = pictures(1, *SPEC.shape).expand(sde.levels, -1, -1, -1)
    assert torch.equal(score(x, ladder.time(labels)), network(x, labels))
    one = [score(x[:1], float(ladder.time(label))) for label in labels.tolist()]
    assert torch.allclose(torch.cat(one), network(x, labels), rtol=1e-9)


@by_model
def test_no_activation_is_left_out(model):
    """The choice reaches every activation: with another one in the place of the chosen one the network is the other one's."""
    network, other = built(model), built(attrs.evolve(model, nonlinearity="relu"))
    x, labels = pictures(2, *SPEC.shape), torch.tensor([3.0, 7.0]).double()
    assert not torch.allclose(network(x, labels), other(x, labels), rtol=0.01)
    changed = [module for module in network.modules() if hasattr(module, "act")]
    for module in changed:
        assert module.act is torch.nn.functional.elu
        module.act = torch.relu
    assert torch.allclose(network(x, labels), other(x, labels), rtol=1e-12)


@by_model
def test_every_parameter_learns(model):
    network = built(model)
    labels = torch.arange(SDE.levels).double()
    network(pictures(SDE.levels, *SPEC.shape), labels).square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or float(p.grad.abs().max()) == 0] == []


@by_model
def test_bfloat16_stays_within_four_percent(model):
    """Products in bfloat16 under autocast, against float32, relative to the output's size: measured 1 to 2.6 % for widths of 16 to 128."""
    spec = DataSpec(shape=(3, 32, 32))
    network, x = built(attrs.evolve(model, channels=16), spec=spec).float(), pictures(4, *spec.shape).float()
    labels = torch.tensor([0.0, 3.0, 6.0, 9.0])
    with torch.no_grad():
        exact = network(x, labels)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network(x, labels).float()
    error = (rough - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)
    assert 0 < float(error.max()) < 0.04


@by_model
def test_wrong_pictures_and_stages_are_refused_in_one_line(model):
    for shape in ((3, 9, 8), (3, 8, 9), (64,), (8, 8)):
        message = (
            f"{model.name} with 4 stages, 1 of which halve the sides, needs items of shape (C, H, W) with H and W multiples of 2;"
            f" the data have {shape}"
        )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            model.build(SDE, DataSpec(shape=shape))
    with pytest.raises(ValueError, match=r"^multipliers = \(1, 2\) names 2 stages: give at least three numbers$"):
        type(model)(multipliers=(1, 2))


@by_model
def test_published_tensors_are_all_accounted_for(model):
    """One for each of ours; one missing, one extra and one of another shape are named."""
    for multipliers in ((1, 2, 2, 2), (1, 2, 2, 4, 4), (1, 2, 2, 2, 4, 4)):
        network = built(attrs.evolve(model, multipliers=multipliers), spec=DataSpec(shape=(3, 8, 8)))
        names, state = published_refinenet_names(network), network.state_dict()
        assert set(names) == set(state)
        assert len({name for group in names.values() for name in group}) == len(state)
    published = {names[name][0]: value for name, value in state.items()}
    shapes = {name: value.shape for name, value in state.items()}
    assert all(torch.equal(value, state[name]) for name, value in rename(names, shapes, published).items())
    published["res31.1.conv3.weight"] = published.pop("res31.1.conv2.weight")
    published["end_conv.bias"] = torch.zeros(4)
    with pytest.raises(PublishedMismatchError) as caught:
        rename(names, shapes, published)
    ours = next(name for name in names if name.endswith("outlet.bias"))
    assert sorted(caught.value.problems) == [
        f"end_conv.bias has shape (4,); {ours} needs (3,)",
        "res31.1.conv2.weight is missing",
        "res31.1.conv3.weight is extra",
    ]
    assert published_refinenet_names(built(attrs.evolve(model, multipliers=(1, 1, 2)))) == {}
