"""The built-in classifiers: what they are told, how large they are, and gradients of gradients, which likelihoods take."""

import pytest
import torch

from scoresde.core import DataSpec
from scoresde.plugins import VE, VP, HalfUNet, MLPClassifier

PICTURES = DataSpec(shape=(3, 8, 8), classes=5)


def built(made, spec, sde):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = made.build(sde, spec).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return network


@pytest.mark.parametrize("made", [HalfUNet(channels=8, multipliers=(1, 2)), MLPClassifier(width=16)], ids=lambda made: made.name)
@pytest.mark.parametrize("sde", [VE(), VP()], ids=lambda sde: sde.name)
def test_second_derivatives_are_those_of_differences(made, sde):
    """Of log p(y | x_t) in float64, along one direction."""
    network = built(made, PICTURES, sde).double()
    logits, t = made.logits(sde, network), 0.4
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, 8, 8, generator=generator, dtype=torch.float64) * sde.sigma(t)
    v = torch.randn(2, 3, 8, 8, generator=generator, dtype=torch.float64) * sde.sigma(t)

    def slope(x):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(logits(x, t).log_softmax(1)[:, 2].sum(), x, create_graph=True)
        return x, (gradient * v).flatten(1).sum(1)

    x_, first = slope(x)
    (second,) = torch.autograd.grad(first.sum(), x_)
    h = 1e-5
    differences = (slope(x + h * v)[1] - slope(x - h * v)[1]) / (2 * h)
    assert torch.allclose((second * v).flatten(1).sum(1), differences.detach(), rtol=1e-5, atol=1e-8)
    assert float(differences.detach().abs().min()) > 1e-6


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"^half_unet with 3 resolutions needs items of shape \(C, H, W\) with H and W multiples of 4"):
        HalfUNet().build(VP(), DataSpec(shape=(2,), classes=2))
    for made in (HalfUNet(), MLPClassifier()):
        with pytest.raises(ValueError, match=r"^the data have no classes$"):
            made.build(VP(), DataSpec(shape=(1, 8, 8)))
    with pytest.raises(ValueError, match=r"^multipliers = \(\) names no resolution: give at least one number$"):
        HalfUNet(multipliers=())
