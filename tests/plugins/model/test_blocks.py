import math

import pytest
import torch
from torch import nn

from scoresde.plugins.model.blocks import Attention, ResidualBlock, Style
from scoresde.plugins.model.embedding import PositionalEmbedding, TimeEmbedding
from scoresde.plugins.model.layers import group_norm
from scoresde.plugins.model.resampling import Mean, Repeat


def randomise(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3)
    return module.double().eval()


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def normalise(x: torch.Tensor, layer: nn.GroupNorm) -> torch.Tensor:
    rows = x.reshape(len(x), layer.num_groups, -1)
    rows = (rows - rows.mean(2, keepdim=True)) / (rows.var(2, correction=0, keepdim=True) + 1e-6).sqrt()
    return rows.reshape(x.shape) * layer.weight[:, None, None] + layer.bias[:, None, None]


def test_positions_are_sines_and_cosines_of_geometric_frequencies() -> None:
    c = torch.tensor([0.0, 0.3, 7.5], dtype=torch.float64)
    value = PositionalEmbedding(6, unit=2.0)(c)
    expected = [[f(2 * float(t) * w) for f in (math.sin, math.cos) for w in (1.0, 1e-2, 1e-4)] for t in c]
    torch.testing.assert_close(value, torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=1e-14)


def test_positions_do_not_lose_the_digits_of_half_precision_times() -> None:
    c = torch.tensor([997.0, 998.0], dtype=torch.bfloat16)
    value = PositionalEmbedding(4)(c)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, PositionalEmbedding(4)(c.float()), rtol=0, atol=0)


def test_an_odd_width_ends_in_a_zero() -> None:
    c = torch.tensor([0.0, 2.5])
    assert PositionalEmbedding(7).width == 7
    torch.testing.assert_close(PositionalEmbedding(7)(c), torch.cat((PositionalEmbedding(6)(c), torch.zeros(2, 1)), 1), rtol=0, atol=0)


def test_time_embedding_is_two_layers_with_silu_after_each() -> None:
    module = randomise(TimeEmbedding(PositionalEmbedding(4), 4, 3))
    c = normal(5)
    first = module.features(c) @ module.inner.weight.T + module.inner.bias
    second = (first * first.sigmoid()) @ module.outer.weight.T + module.outer.bias
    torch.testing.assert_close(module(c, torch.float64), second * second.sigmoid())


@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (3, 1), (4, 1), (9, 1), (12, 3), (32, 8), (128, 32), (132, 22), (384, 32)])
def test_groups_are_the_published_number_or_the_next_divisor(channels: int, groups: int) -> None:
    assert group_norm(channels).num_groups == groups


def test_attention_is_one_head_over_all_places() -> None:
    module = randomise(Attention(8, Style()))
    x = normal(2, 8, 3, 4)
    h = normalise(x, module.norm).flatten(2)
    weight, bias = module.qkv.weight[:, :, 0, 0], module.qkv.bias
    q, k, v = (torch.einsum("oc,bcn->bon", w, h) + b[:, None] for w, b in zip(weight.chunk(3), bias.chunk(3), strict=True))
    share = torch.softmax(torch.einsum("bcn,bcm->bnm", q, k) / math.sqrt(8), 2)
    mixed = torch.einsum("bnm,bcm->bcn", share, v)
    out = torch.einsum("oc,bcn->bon", module.out.weight[:, :, 0, 0], mixed) + module.out.bias[:, None]
    torch.testing.assert_close(module(x), (x + out.reshape(x.shape)) / math.sqrt(2))


@pytest.mark.parametrize("resample", [None, Mean(), Repeat()], ids=["none", "mean", "repeat"])
def test_residual_block_follows_its_formula(resample) -> None:
    module = randomise(ResidualBlock(8, 12, 5, Style(dropout=0.5), resample=resample))
    x, e = normal(2, 8, 4, 6), normal(2, 5)

    def change(h: torch.Tensor) -> torch.Tensor:
        if isinstance(resample, Mean):
            return (h[:, :, ::2, ::2] + h[:, :, 1::2, ::2] + h[:, :, ::2, 1::2] + h[:, :, 1::2, 1::2]) / 4
        return h.repeat_interleave(2, 2).repeat_interleave(2, 3) if isinstance(resample, Repeat) else h

    h = normalise(x, module.norm_in)
    h = module.conv_in(change(h * h.sigmoid())) + (e @ module.time.weight.T + module.time.bias)[:, :, None, None]
    h = normalise(h, module.norm_out)
    h = module.conv_out(h * h.sigmoid())
    expected = (torch.einsum("oc,bchw->bohw", module.skip.weight[:, :, 0, 0], change(x)) + module.skip.bias[:, None, None] + h) / math.sqrt(
        2
    )
    torch.testing.assert_close(module(x, e), expected)


def test_a_new_block_is_the_identity_but_for_its_factor() -> None:
    block = ResidualBlock(8, 8, 5, Style(), attention=True)
    x = normal(2, 8, 4, 4).float()
    torch.testing.assert_close(block(x, torch.ones(2, 5)), x / 2, rtol=1e-4, atol=1e-4)


def test_weights_start_with_the_published_variance() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(64, 128, 256, Style(), attention=True)
    assert block.conv_in.weight.var().item() == pytest.approx(1 / (96 * 9), rel=0.02)
    assert block.time.weight.var().item() == pytest.approx(1 / 192, rel=0.02)
    assert block.conv_out.weight.var().item() == pytest.approx(1e-10 / (128 * 9), rel=0.02)
    for part in block.attention.qkv.weight.chunk(3):
        assert part.var().item() == pytest.approx(0.1 / 128, rel=0.02)
    assert all(float(value.detach().abs().max()) == 0 for name, value in block.named_parameters() if name.endswith("bias"))
