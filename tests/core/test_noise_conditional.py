"""A network that is told the noise level: what it is called with, and how its evaluations are counted."""

import pytest
import torch
from torch import nn

from scoresde.core import NoiseConditional
from scoresde.core.sde import SDE
from scoresde.plugins import VE, VP


class Recorder(nn.Module):
    """Gives the mean of what it reads, and remembers it all."""

    def __init__(self):
        super().__init__()
        self.weight, self.calls = nn.Parameter(torch.ones(1)), []

    def forward(self, x, time, **inputs):
        self.calls.append((x, time, inputs))
        return self.weight * x.flatten(1).mean(1, keepdim=True)


def test_what_the_network_reads():
    """x at unit variance and the log-SNR of each sample, in the parameters' dtype; the answer comes back in x's."""
    sde, network, t = VP(), Recorder(), torch.tensor([0.2, 0.7], dtype=torch.float64)
    told = NoiseConditional(sde, network, "log_snr", True)
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    out = told(x, t)
    assert (out.shape, out.dtype) == ((2, 1), torch.float64)
    ((read, time, inputs),) = network.calls
    scale = (sde.alpha(t) ** 2 + sde.sigma(t) ** 2) ** -0.5
    torch.testing.assert_close(read, (scale[:, None, None] * x).float(), rtol=1e-6, atol=0)
    torch.testing.assert_close(time, sde.log_snr(t).float(), rtol=1e-6, atol=0)
    assert inputs == {}


def test_a_network_without_a_coordinate_is_called_with_the_time_as_it_is():
    seen = []
    NoiseConditional(VE(), lambda x, t: seen.append(t) or x, None)(torch.zeros(2, 1), 0.25)
    assert seen == [0.25]


def test_inputs_are_added_and_evaluations_are_counted_together():
    network = Recorder()
    told = NoiseConditional(VP(), network, inputs={"label": torch.tensor([0, 1])})
    further = told.given(mask=torch.ones(2, 1))
    for each in (told, further, further):
        each(torch.zeros(2, 1), 0.5)
    assert (told.evaluations, further.evaluations) == (3, 3)
    assert [sorted(inputs) for _, _, inputs in network.calls] == [["label"], ["label", "mask"], ["label", "mask"]]


def test_what_needs_a_linear_sde_says_so():
    class Cubic(SDE):
        """Not linear."""

        drift = diffusion = marginal = prior_sample = prior_log_prob = lambda self, *arguments: 0

    with pytest.raises(TypeError, match=r"^time='log_snr', scale_input=True: needs a LinearSDE; Cubic is not one$"):
        NoiseConditional(Cubic(), Recorder(), "log_snr", True)
