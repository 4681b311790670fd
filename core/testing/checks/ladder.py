"""The check of an SDE's ladder, the discrete chain x_{i+1} = x_i + f_i(x_i) + G_i z with ``levels`` steps.

Its steps 0, ..., i add up to the kernel of level i, p(x_i | x_0) = N(alpha_i x_0, sigma_i^2): exactly for a published chain, nearly
for Euler steps; and a chain of many levels is near the SDE at the level's time (Song et al., 2021, App. B).
"""

import torch
from torch import Tensor

from ...scalars import Scalar
from ...sde import Ladder, LinearSDE
from ..conformance import Subject

NEAR = 50.0  # standard deviations over levels: how far Euler's chain may be from its kernels, and a chain from the SDE


def check_ladder(subject: Subject) -> None:
    sde = subject.sdes[0]
    ladder = sde.ladder()
    assert ladder.levels == sde.levels, f"its ladder has {ladder.levels} levels, but the SDE has levels = {sde.levels}"
    labels = torch.arange(ladder.levels, dtype=torch.float64)
    times = torch.as_tensor(ladder.time(labels))
    _check_places(ladder, times, labels)
    times = times.sort().values
    std = torch.as_tensor(ladder.std(times))
    excess = float((torch.as_tensor(ladder.ancestral_std(times)) - std).max())
    assert excess < 1e-9 * float(std.max()), f"its ancestral_std is larger than its std by {excess:.3g}"
    alone = torch.tensor([float(ladder.std(t)) for t in times[::97].tolist()], dtype=torch.float64)
    off = float((std[::97] - alone).abs().max() / std.max())
    assert off < 1e-9, f"its std of a tensor of times is off that of floats by {off:.2g}"
    if isinstance(sde, LinearSDE):
        _check_kernels(sde, ladder, times)


def _check_places(ladder: Ladder, times: Tensor, labels: Tensor) -> None:
    """Each level's time has its label, the levels are evenly spread, and indices count them from the least noisy."""
    off = float((torch.as_tensor(ladder.label(times)) - labels).abs().max())
    assert off == 0, f"the label of the time of a label is off by {off:.3g}"
    index = torch.as_tensor(ladder.index(times.sort().values))
    off = float((index - labels).abs().max())
    assert off == 0, f"the indices of its levels' times are not 0, 1, 2, ...: off by {off:.3g}"


def _check_kernels(sde: LinearSDE, ladder: Ladder, times: Tensor) -> None:
    """From a tenth of the levels on, where a first step without noise no longer counts, up to t_max."""
    kernels = _pair(ladder.kernel(times))
    rise = 2 * float((kernels[0] / kernels[1]).log().diff().max())
    assert rise <= 0, f"the log-SNR of its kernels rises by {rise:.3g} between two levels"
    seen = (torch.arange(len(times)) >= len(times) // 10) & (times <= sde.t_max)
    off = _distance(_chain(ladder, times), kernels, seen)
    assert off < NEAR / ladder.levels, f"its steps add up to laws that are off its kernels by {off:.3g} standard deviations"
    inside = times.clamp(sde.t_min, sde.t_max)
    off = _distance(_pair((sde.alpha(inside), sde.sigma(inside))), kernels, seen)
    assert off < NEAR / ladder.levels, f"its kernels are off the SDE's at the same times by {off:.3g} standard deviations"


def _pair(law: tuple[Scalar, Scalar]) -> tuple[Tensor, Tensor]:
    return torch.as_tensor(law[0]), torch.as_tensor(law[1])


def _chain(ladder: Ladder, times: Tensor) -> tuple[Tensor, Tensor]:
    """(alpha, sigma) of the chain after each of its steps."""
    one = torch.ones(len(times), 1, dtype=torch.float64)
    factors = (1 + ladder.shift(one, times) - ladder.shift(0 * one, times))[:, 0]
    variances = [0.0]
    for factor, std in zip(factors.tolist(), torch.as_tensor(ladder.std(times)).tolist(), strict=True):
        variances.append(factor**2 * variances[-1] + std**2)
    return factors.cumprod(0), torch.tensor(variances[1:], dtype=torch.float64).sqrt()


def _distance(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], seen: Tensor) -> float:
    """The largest between two laws of x_0 = 1, in standard deviations of the other."""
    means, stds = (one[0] - other[0]).abs() / other[1], (one[1] / other[1] - 1).abs()
    return float(torch.maximum(means, stds)[seen].max())
