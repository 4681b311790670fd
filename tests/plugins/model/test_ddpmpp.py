import math
import re

import pytest
import torch
from torch import nn
from torch.nn.functional import group_norm, silu

from scoresde.core import DataSpec
from scoresde.plugins.model.blocks import Attention, ResidualBlock
from scoresde.plugins.model.ddpmpp import DDPMpp
from scoresde.plugins.model.embedding import Waves
from scoresde.plugins.sde.vp import VP

SPEC = DataSpec(shape=(3, 16, 16), range=(-1.0, 1.0), levels=256)


def small(**options) -> DDPMpp:
    return DDPMpp(**{"channels": 16, "multipliers": (1, 2), "blocks": 1, "attention": (8,), **options})


def randomised(model: DDPMpp) -> nn.Module:
    """A network none of whose branches is silent, in evaluation mode."""
    network = model.build(VP(), SPEC).eval()
    generator = torch.Generator().manual_seed(2)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2, generator=generator)
    return network


def test_silent_branches_leave_the_skip_connections() -> None:
    """With every branch silent and the joining 1x1 convolutions adding their two inputs, the network is a number times the inlet."""
    network = DDPMpp(channels=4, multipliers=(1,), blocks=1, attention=()).build(VP(), DataSpec(shape=(1, 6, 6))).double()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, ResidualBlock):
                module.conv_out.weight.zero_()
                if module.skip is not None:
                    module.skip.weight.copy_(torch.eye(4).repeat(1, 2)[:, :, None, None])
            elif isinstance(module, Attention):
                module.out.weight.zero_()
        nn.init.normal_(network.outlet.conv.weight, generator=torch.Generator().manual_seed(0))
    x = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    c = math.sqrt(0.5)
    factor = c * (c * (c**4 + c) + 1)  # down: 1, c; middle: c^4; up joins c and then 1
    h = silu(group_norm(network.inlet(x) * factor, 1, eps=1e-6))
    torch.testing.assert_close(network(x, torch.tensor([3.0, 5.0])), network.outlet.conv(h))


def test_height_decides_where_attention_stands() -> None:
    network = DDPMpp(channels=4, multipliers=(1, 1, 1), blocks=2, attention=(8,)).build(VP(), DataSpec(shape=(1, 16, 8)))
    assert [name for name, module in network.named_modules() if isinstance(module, Attention)] == [
        "down.1.blocks.0.attention",
        "down.1.blocks.1.attention",
        "middle.0.attention",
        "up.1.blocks.2.attention",
    ]


def test_coordinates_of_equal_position_give_equal_outputs() -> None:
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.1, 0.7])
    out = randomised(small())(x, 999 * t)
    assert float((randomised(small())(x, 999 * t + 1) - out).detach().abs().max()) > 0.01
    for coordinate, value in (("t", t), ("level", 999 * t), ("log_sigma", 9.99 * t), ("log_snr", 19.98 * t)):
        torch.testing.assert_close(randomised(small(time_coordinate=coordinate))(x, value), out, rtol=1e-3, atol=1e-4)


def test_channels_last_and_a_time_of_another_dtype_give_the_same_output() -> None:
    network = randomised(small())
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([3.0, 900.0])
    out = network(x, t)
    assert out.dtype == torch.float32
    torch.testing.assert_close(network(x, t.double()), out, rtol=1e-4, atol=1e-5)
    last = network.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last), t)
    torch.testing.assert_close(last, out, rtol=1e-4, atol=1e-5)


def test_a_new_network_answers_nearly_zero_and_every_parameter_gets_a_gradient() -> None:
    network = small().build(VP(), SPEC)
    out = network(torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([1.0, 500.0]))
    assert float(out.detach().abs().max()) < 1e-3
    out.sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)] == []


def test_compiles_in_one_graph() -> None:
    network = small().build(VP(), SPEC).eval()
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([1.0, 500.0])
    torch._dynamo.reset()
    assert torch._dynamo.explain(network)(x, t).graph_break_count == 0


def test_facts_follow_the_options() -> None:
    model = small(predicts="velocity", time_coordinate="log_snr", input_scaling=True)
    assert (model.prediction(VP()), model.time(VP()), model.scales_input(VP())) == ("velocity", "log_snr", True)
    assert (small().prediction(VP()), small().time(VP()), small().scales_input(VP())) == ("noise", "999t", False)


@pytest.mark.parametrize("shape", [(2,), (1, 28, 28), (1, 8, 12)])
def test_pictures_must_halve_evenly(shape) -> None:
    message = f"ddpmpp with 4 resolutions needs items of shape (C, H, W) with H and W multiples of 8; the data have {shape}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        DDPMpp().build(VP(), DataSpec(shape=shape))


def test_there_must_be_a_resolution() -> None:
    with pytest.raises(ValueError, match=r"^multipliers = \(\) names no resolution: give at least one number$"):
        DDPMpp(multipliers=())


def test_waves_of_the_input() -> None:
    x = torch.tensor([-1.0, -0.75, 0.0, 0.5], dtype=torch.float64).reshape(1, 1, 2, 2)
    sines = {0: [0, -math.sqrt(0.5), 0, 1], 1: [0, 1, 0, 0]}
    cosines = {0: [-1, -math.sqrt(0.5), 1, 0], 1: [1, 0, 1, -1]}
    expected = torch.tensor([[-1.0, -0.75, 0.0, 0.5], sines[0], sines[1], cosines[0], cosines[1]], dtype=torch.float64)
    torch.testing.assert_close(Waves((0, 1))(x), expected.reshape(1, 5, 2, 2), atol=1e-12, rtol=0)


def test_half_precision_leaves_the_waves_whole() -> None:
    """Two pictures an eighth of a grey level apart are one picture in bfloat16, but not to a network that reads waves."""
    x = torch.full((1, 3, 16, 16), -0.9965)
    pictures = torch.cat((x, x + 0.125 / 128))
    assert pictures[0].bfloat16().equal(pictures[1].bfloat16())
    for waves, apart in (((), False), ((7, 8), True)):
        network = randomised(small(waves=waves))
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            one, other = network(pictures, torch.full((2,), 3.0))
        assert (one - other).abs().max().item() > 0.01 * one.abs().max().item() if apart else one.equal(other)
