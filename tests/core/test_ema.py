"""The moving average against its formula."""

import pytest
import torch
from torch import nn

from scoresde.core.ema import EMA


def parameter(value: float) -> nn.Module:
    layer = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(layer.weight, value)
    return layer


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.999])
def test_the_rate_rises_to_its_value(rate: float) -> None:
    layer = parameter(1.0)
    ema, expected = EMA(layer, rate), 1.0
    for n in range(1, 41):
        nn.init.constant_(layer.weight, n * 0.7 - 3)
        ema.update(layer)
        decay = min(rate, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * (n * 0.7 - 3)
        assert ema.network.weight.item() == pytest.approx(expected, rel=1e-14)
    assert ema.updates == 40


def test_without_a_ramp_the_rate_is_the_same_from_the_start() -> None:
    layer = parameter(1.0)
    ema = EMA(layer, 0.75, ramp=False)
    for value in (2.0, 4.0):
        nn.init.constant_(layer.weight, value)
        ema.update(layer)
    assert ema.network.weight.item() == 0.75 * (0.75 * 1.0 + 0.25 * 2.0) + 0.25 * 4.0


def test_a_rate_of_zero_is_the_parameters_themselves() -> None:
    layer = nn.Linear(3, 3)
    ema = EMA(layer, 0.0)
    nn.init.normal_(layer.weight)
    ema.update(layer)
    assert torch.equal(ema.network.weight, layer.weight)


def test_buffers_are_copied_whatever_their_type() -> None:
    layer = nn.BatchNorm1d(2)
    ema = EMA(layer, 0.999)
    layer(torch.randn(8, 2, generator=torch.Generator().manual_seed(0)))
    ema.update(layer)
    assert torch.equal(ema.network.running_mean, layer.running_mean)
    assert torch.equal(ema.network.running_var, layer.running_var)
    assert ema.network.num_batches_tracked.item() == 1


def test_the_average_is_a_copy_in_evaluation_mode_without_gradients() -> None:
    layer = nn.Dropout(0.5)
    network = nn.Sequential(nn.Linear(2, 2), layer).train()
    ema = EMA(network, 0.9)
    assert (network.training, ema.network.training, ema.network[1].training) == (True, False, False)
    assert [parameter.requires_grad for parameter in ema.network.parameters()] == [False, False]
    assert [parameter.requires_grad for parameter in network.parameters()] == [True, True]
    before = ema.network[0].weight.clone()
    nn.init.zeros_(network[0].weight)
    assert torch.equal(ema.network[0].weight, before)


def test_the_result_can_be_trained_on_where_the_network_can() -> None:
    network = nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    ema = EMA(network, 0.9)
    result = ema.result(network)
    assert result is ema.network
    assert (result.weight.requires_grad, result.bias.requires_grad, result.training) == (True, False, False)
