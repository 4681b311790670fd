"""Checks of correctors: a Markov chain step at time t that leaves p_t (nearly) unchanged."""

from collections.abc import Sequence

from torch import Tensor

from ...interfaces import Corrector
from ...noise import Noise
from ...reverse import Reverse
from ...sde import SDE
from .component import checks_by
from .problems import gaussian_score


def exercise(corrector: Corrector, sde: SDE, x: Tensor, noise: Noise) -> Sequence[Tensor]:
    reverse = Reverse(sde, gaussian_score(sde, x))
    first = corrector.correct(reverse, x, 0.5 * sde.t_max, noise)
    second = corrector.correct(reverse, first.x, 0.5 * sde.t_max, noise)
    return [first.x, first.mean, second.x]


CHECKS = checks_by(exercise)
