import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from scoresde.core.dropout import Dropout
from scoresde.plugins.model.resampling import FIR, Downsample, FIRUp, Upsample

TAPS = [(1.0, 3.0, 3.0, 1.0), (1.0, 2.0, 1.0), (1.0, 1.0), (1.0, 2.0, 5.0, 3.0, 1.0), (1.0, 2.0, 5.0, 3.0, 1.0, 4.0)]


def picture(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def filtered(x: Tensor, taps: tuple[float, ...], before: int, after: int) -> Tensor:
    """x between zeros, convolved with the outer product of the taps, normalised in float32."""
    kernel = torch.outer(torch.tensor(taps), torch.tensor(taps))
    kernel = (kernel / kernel.sum()).double().flip(0, 1)[None, None]
    rows = pad(x, (before, after, before, after)).flatten(0, 1)[:, None]
    return conv2d(rows, kernel).unflatten(0, x.shape[:2])[:, :, 0]


def stretched(x: Tensor) -> Tensor:
    """x with a zero after each row and column."""
    return torch.stack((torch.stack((x, 0 * x), 4).flatten(3), torch.zeros(*x.shape[:3], 2 * x.shape[3])), 3).flatten(2, 3)


@pytest.mark.parametrize("taps", TAPS)
def test_filters_are_the_published_ones(taps) -> None:
    x, extra = picture(2, 3, 6, 8), len(taps) - 2
    down = filtered(x, taps, (extra + 1) // 2, extra // 2)[:, :, ::2, ::2]
    torch.testing.assert_close(FIR(taps).double()(x), down, rtol=1e-12, atol=1e-12)
    up = 4 * filtered(stretched(x), taps, (extra + 1) // 2 + 1, extra // 2)
    torch.testing.assert_close(FIRUp(taps).double()(x), up, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("taps", TAPS)
def test_filters_with_convolutions_are_the_published_ones(taps) -> None:
    x = picture(2, 3, 6, 8)
    down, up = Downsample(taps, 3, 4).double(), Upsample(taps, 3, 4).double()
    before = filtered(x, taps, (len(taps) + 1) // 2, len(taps) // 2)
    torch.testing.assert_close(down(x), conv2d(before, down.conv.weight, down.conv.bias, stride=2), rtol=1e-12, atol=1e-12)
    wide = 4 * filtered(stretched(x), taps, 20, 20)
    first = 20 - ((len(taps) - 1) // 2 + 1) - 1
    wide = wide[:, :, first : first + 14, first : first + 18]
    torch.testing.assert_close(up(x), conv2d(wide, up.conv.weight, up.conv.bias), rtol=1e-12, atol=1e-12)


def test_without_a_filter_strided_convolutions_look_right_and_down() -> None:
    x, down, up = picture(2, 3, 6, 8), Downsample((), 3, 4).double(), Upsample((), 3, 4).double()
    expected = conv2d(pad(x, (1, 1, 1, 1)), down.conv.weight, down.conv.bias)[:, :, 1::2, 1::2]
    torch.testing.assert_close(down(x), expected)
    repeated = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(up(x), conv2d(repeated, up.conv.weight, up.conv.bias, padding=1))


def test_half_precision_is_filtered_in_single() -> None:
    x = picture(2, 3, 6, 8).bfloat16()
    expected = FIR(TAPS[0])(x.float()).bfloat16()
    assert torch.equal(FIR(TAPS[0])(x), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(FIR(TAPS[0])(x), expected)
        single = FIR(TAPS[0])(x.float())
    assert torch.equal(single, FIR(TAPS[0])(x.float()))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_dropout_drops_its_share_and_keeps_the_mean(memory_format) -> None:
    torch.manual_seed(0)
    x = torch.full((5, 7, 63, 61), 2.0).to(memory_format=memory_format).requires_grad_()
    y = Dropout(0.3)(x)
    values, counts = y.detach().unique(return_counts=True)
    torch.testing.assert_close(values, torch.tensor([0.0, 2 / 0.7]), rtol=1e-4, atol=0)
    assert counts[0].item() / x.numel() == pytest.approx(0.3, abs=5 * (0.21 / x.numel()) ** 0.5)
    assert y.is_contiguous(memory_format=memory_format)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, y.detach() / 2)
    assert Dropout(0.3).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_dropout_falls_on_every_place_alike() -> None:
    torch.manual_seed(0)
    dropped = (Dropout(0.1)(torch.ones(4000, 3, 3, 3)) == 0).float().mean(0)
    assert float((dropped - 0.1).abs().max()) < 5 * (0.09 / 4000) ** 0.5
