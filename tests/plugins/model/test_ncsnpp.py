import math
import re

import pytest
import torch
from torch import nn

from scoresde.core import DataSpec
from scoresde.plugins.model.ddpm import DDPM
from scoresde.plugins.model.ncsnpp import NCSNpp
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

SPEC = DataSpec(shape=(3, 16, 16), range=(0.0, 1.0), levels=256)
PYRAMIDS = {"progressive": "output_skip", "progressive_input": "input_skip"}
SMALL = {"channels": 16, "multipliers": (1, 2), "blocks": 1, "attention": (8,)}


def randomised(model: NCSNpp | DDPM, spec: DataSpec = SPEC) -> nn.Module:
    """A network none of whose branches is silent, in evaluation mode."""
    network = model.build(VE(), spec).eval()
    generator = torch.Generator().manual_seed(2)
    for name, parameter in network.named_parameters():
        std = 16.0 if name.endswith("frequencies") else 0.1
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * std)
    return network


def pictures(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("options", [{}, PYRAMIDS, {"resblock_type": "ddpm", "progressive": "residual"}])
def test_half_precision_stays_close_and_channels_last_the_same(options) -> None:
    network = randomised(NCSNpp(**SMALL, **options))
    x, sigma = pictures(4, 3, 16, 16), torch.tensor([0.02, 0.3, 2.0, 40.0])
    out = network(x, sigma)
    assert out.is_contiguous()
    torch.testing.assert_close(network(x.to(memory_format=torch.channels_last), sigma), out, rtol=0, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(x, sigma)
    assert half.dtype == torch.float32
    error = (half - out).flatten(1).norm(dim=1) / out.flatten(1).norm(dim=1)
    assert float(error.detach().max()) < 0.02


def test_gradients_in_half_precision_stay_close() -> None:
    network = randomised(NCSNpp(**SMALL))
    x, sigma = pictures(4, 3, 16, 16), torch.tensor([0.02, 0.3, 2.0, 40.0])
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    gradients = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = (network(x, sigma) * sigma[:, None, None, None]).square().mean()
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]))
    exact, half = gradients
    assert float((half - exact).norm() / exact.norm()) < 0.02


@pytest.mark.parametrize("nonlinearity", ["swish", "elu", "relu", "lrelu"])
def test_without_gradients_the_output_is_the_same_and_the_input_untouched(nonlinearity: str) -> None:
    network = randomised(NCSNpp(**SMALL, nonlinearity=nonlinearity))
    x, sigma = pictures(2, 3, 16, 16), torch.tensor([0.02, 40.0])
    kept, out = x.clone(), network(x, sigma).detach()
    with torch.no_grad():
        torch.testing.assert_close(network(x, sigma), out, rtol=1e-6, atol=1e-6)
    assert torch.equal(x, kept)


@pytest.mark.parametrize("options", [{}, PYRAMIDS, {"progressive": "residual", "resblock_type": "ddpm"}, {"conditional": False}])
def test_compiles_in_one_graph(options) -> None:
    network = NCSNpp(**SMALL, **options).build(VE(), SPEC).eval()
    torch._dynamo.reset()
    assert torch._dynamo.explain(network)(pictures(2, 3, 16, 16), torch.tensor([1.0, 5.0])).graph_break_count == 0


def test_sigma_and_its_logarithm_and_its_level_divide_by_the_same() -> None:
    x, sde = pictures(2, 3, 16, 16), VE(levels=11)
    label = torch.tensor([2.0, 7.0])
    sigma = torch.tensor([sde.sigma(1 - float(i) / 10) for i in label])
    plain = randomised(NCSNpp(**SMALL, scale_by_sigma=False))(x, sigma)
    divided = plain / sigma[:, None, None, None]
    torch.testing.assert_close(randomised(NCSNpp(**SMALL))(x, sigma), divided)
    logarithm = randomised(NCSNpp(**SMALL, time_coordinate="log_sigma"))(x, sigma.log())
    torch.testing.assert_close(logarithm, divided, rtol=1e-4, atol=1e-4)
    options = {**SMALL, "embedding": "positional", "time_coordinate": "level"}
    outputs = [NCSNpp(**options, scale_by_sigma=scaled, init_scale=1.0, dropout=0.0).build(sde, SPEC) for scaled in (True, False)]
    outputs[0].load_state_dict(outputs[1].state_dict())
    scaled, unscaled = (network(x, label + 0.9) for network in outputs)
    torch.testing.assert_close(scaled, unscaled / sigma[:, None, None, None])


def test_pictures_of_any_range_are_read_alike() -> None:
    x, sigma = pictures(2, 3, 16, 16), torch.tensor([0.1, 3.0])
    model = NCSNpp(**SMALL)
    out = randomised(model)(x, sigma)
    for low, high in ((-1.0, 1.0), (-0.5, 3.0)):
        network = randomised(model, DataSpec(shape=(3, 16, 16), range=(low, high), levels=256))
        torch.testing.assert_close(network(low + (high - low) * x, sigma), out, rtol=1e-4, atol=1e-4)


def test_fourier_frequencies_are_drawn_once_and_not_trained() -> None:
    torch.manual_seed(0)
    network = NCSNpp(channels=512, multipliers=(1,), blocks=1, attention=(), fourier_scale=3.0).build(VE(), SPEC)
    frequencies = network.embed.features.frequencies
    assert not frequencies.requires_grad
    assert float(frequencies.std()) == pytest.approx(3.0, rel=0.1)
    assert "embed.features.frequencies" in network.state_dict()


def test_an_unconditional_network_ignores_the_time() -> None:
    network = randomised(NCSNpp(**SMALL, conditional=False, scale_by_sigma=False))
    x = pictures(2, 3, 16, 16)
    assert torch.equal(network(x, torch.tensor([0.1, 0.2])), network(x, torch.tensor([5.0, 9.0])))


@pytest.mark.parametrize(("channels", "shape"), [(1, (8, 24)), (2, (16, 8)), (5, (8, 8))])
def test_any_number_of_channels_and_any_even_sides(channels: int, shape: tuple[int, int]) -> None:
    spec = DataSpec(shape=(channels, *shape), range=(0.0, 1.0))
    network = randomised(NCSNpp(**SMALL, **PYRAMIDS), spec)
    out = network(pictures(2, channels, *shape), torch.tensor([0.1, 3.0]))
    assert out.shape == (2, channels, *shape)
    assert math.isfinite(float(out.detach().abs().sum()))


@pytest.mark.parametrize("model", [NCSNpp, DDPM])
def test_pictures_must_halve_evenly(model) -> None:
    message = f"{model.name} with 4 resolutions needs items of shape (C, H, W) with H and W multiples of 8; the data have (1, 28, 28)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        model().build(VE(), DataSpec(shape=(1, 28, 28)))


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (NCSNpp, {"multipliers": ()}, "multipliers = () names no resolution: give at least one number"),
        (NCSNpp, {"fir_kernel": (0.0, 0.0)}, "fir_kernel = (0.0, 0.0) sums to 0: it cannot be normalised"),
        (NCSNpp, {"time_coordinate": "999t"}, "scale_by_sigma needs time_coordinate sigma, log_sigma or level, not 999t"),
        (DDPM, {"multipliers": ()}, "multipliers = () names no resolution: give at least one number"),
        (DDPM, {"channels": 48}, "channels = 48 is no multiple of 32, the number of groups in every normalisation"),
        (DDPM, {"scale_by_sigma": True}, "scale_by_sigma needs time_coordinate sigma, log_sigma or level, not 999t"),
    ],
)
def test_options_that_do_not_fit_are_refused(model, options, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        model(**options)


def test_facts_follow_the_options() -> None:
    model = NCSNpp(embedding="positional", time_coordinate="999t", predicts="noise", scale_by_sigma=False, input_scaling=True)
    assert (model.prediction(VP()), model.time(VP()), model.scales_input(VP())) == ("noise", "999t", True)
    assert (NCSNpp().prediction(VE()), NCSNpp().time(VE()), NCSNpp().scales_input(VE())) == ("score", "sigma", False)
    assert (DDPM().prediction(VP()), DDPM().time(VP()), DDPM().scales_input(VP())) == ("noise", "999t", False)
