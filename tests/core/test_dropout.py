"""Dropout whose draws are the sample's own."""

import pytest
import torch
from torch import nn

from scoresde.core.dropout import Dropout, _mixed, dropout_layers, key_dropout

X = torch.ones(8, 3, 9, 5)


def network() -> tuple[nn.Sequential, list[Dropout]]:
    made = nn.Sequential(Dropout(0.0), Dropout(0.3), nn.Identity(), Dropout(0.3))
    return made, dropout_layers(made)


def test_the_mixing_is_splitmix64() -> None:
    """The first outputs of the generator with the seed 1234567 (Vigna's reference implementation)."""
    counters = torch.tensor([1234567]) - 0x61C8864680B583EB * torch.arange(1, 4)
    found = [value % 2**64 for value in _mixed(counters).tolist()]
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_layers_that_drop_nothing_have_no_part_in_it() -> None:
    made, layers = network()
    assert layers == [made[1], made[3]]
    key_dropout([], 0, range(8), "cpu")
    assert made[0](X) is X


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_what_a_sample_gets_does_not_depend_on_its_batch(memory_format: torch.memory_format) -> None:
    made, layers = network()
    x = X.to(memory_format=memory_format)
    key_dropout(layers, 5, range(16, 24), "cpu")
    whole = made(x)
    torch.manual_seed(1)
    key_dropout(layers, 5, range(20, 23), "cpu")
    assert torch.equal(made(x[4:7]), whole[4:7])
    assert whole.is_contiguous(memory_format=memory_format)


def test_samples_layers_and_seeds_have_draws_of_their_own() -> None:
    _, layers = network()
    x = torch.ones(4, 40_000)

    def dropped(seed: int, layer: int) -> torch.Tensor:
        key_dropout(layers, seed, range(4), "cpu")
        return layers[layer](x) == 0

    each = [*dropped(0, 0), *dropped(0, 1), *dropped(1, 0)]
    error = (0.21 / 40_000) ** 0.5
    for place, one in enumerate(each):
        assert abs(float(one.double().mean()) - 0.3) < 5 * error
        for other in each[:place]:
            assert abs(float((one & other).double().mean()) - 0.09) < 5 * (0.09 * 0.91 / 40_000) ** 0.5
    assert torch.equal(dropped(0, 1), dropped(0, 1))


def test_a_batch_of_another_size_takes_the_global_stream() -> None:
    made, layers = network()
    key_dropout(layers, 0, range(8), "cpu")
    torch.manual_seed(3)
    first = made(X[:5])
    torch.manual_seed(3)
    assert torch.equal(made(X[:5]), first)
    torch.manual_seed(4)
    assert not torch.equal(made(X[:5]), first)
