"""The score of the marginals, grad log p_t(x), from whatever a network predicts (Song et al., 2021, sec. 3.3 and App. C).

With x_t = alpha x_0 + sigma z and a linear SDE, a network's output o is one of

    score      o ~ grad log p_t(x)
    noise      o ~ E[z | x_t],      score = -o / sigma
    denoised   o ~ E[x_0 | x_t],    score = (alpha o - x) / sigma^2
    velocity   o ~ E[(alpha z - sigma x_0) / n | x_t],  n = sqrt(alpha^2 + sigma^2),  score = -(sigma x + alpha n o) / (sigma n^2)

(velocity is the v of Salimans & Ho, 2022, where n = 1, and the F of Karras et al., 2022, at unit data variance).
"""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias, final, get_args

import torch
from torch import Tensor

from .arguments import check_choice
from .noise_conditional import NoiseConditional, needs_linear, require_linear
from .noise_conditional import TimeCoordinate as TimeCoordinate
from .scalars import Scalar, sqrt
from .sde import SDE

Prediction: TypeAlias = Literal["score", "noise", "denoised", "velocity"]


@final
class Score:
    """A callable (x (B, *), t) -> score (B, *) around any network, and the count of the network's evaluations.

    The network is called as network(x, c, **inputs), as ``time``, ``scale_input`` and ``inputs`` say (see ``NoiseConditional``), and its
    output, what it ``predicts``, is converted in x's dtype.

    Raises ValueError for a prediction or a time that is no choice, TypeError where the SDE is not linear and the prediction, the time or
    the scaling needs it.
    """

    def __init__(
        self,
        sde: SDE,
        network: Callable[..., Tensor],
        predicts: Prediction = "score",
        time: TimeCoordinate | None = "t",
        scale_input: bool = False,
        inputs: Mapping[str, Tensor] | None = None,
    ) -> None:
        check_choice("predicts", predicts, get_args(Prediction))
        require_linear(sde, {f"predicts={predicts!r}": predicts != "score", **needs_linear(time, scale_input)})
        self.sde, self.network, self.predicts = sde, network, predicts
        self._told = NoiseConditional(sde, network, time, scale_input, inputs)

    def given(self, **inputs: Tensor) -> "Score":
        """The same score with these inputs beside (or instead of) its own; evaluations are counted together."""
        score = Score(self.sde, self.network, self.predicts, self._told.time, self._told.scale_input)
        score._told = self._told.given(**inputs)
        return score

    @property
    def evaluations(self) -> int:
        """How often the network was called so far."""
        return self._told.evaluations

    @property
    def dtype(self) -> torch.dtype | None:
        """That of the network's parameters; None where it has none."""
        return self._told.dtype

    def __call__(self, x: Tensor, t: Scalar) -> Tensor:
        """grad log p_t(x), shape of x. Raises ValueError where the network's output has another shape."""
        out = self._output(x, t)
        if self.predicts == "score":
            return out
        alpha, sigma = self._told.kernel(x, t)
        if self.predicts == "noise":
            return out * (-1 / sigma)
        if self.predicts == "denoised":
            return (alpha * out - x) / sigma**2
        square = alpha**2 + sigma**2
        return x * (-1 / square) - out * (alpha / (sigma * sqrt(square)))

    def denoised(self, x: Tensor, t: Scalar) -> Tensor:
        """E[x_0 | x_t = x] by Tweedie's formula, (x + sigma^2 score) / alpha."""
        if self.predicts == "denoised":
            return self._output(x, t)
        score = self(x, t)
        alpha, sigma = self._told.kernel(x, t)
        return (x + sigma**2 * score) / alpha

    def noise(self, x: Tensor, t: Scalar) -> Tensor:
        """E[z | x_t = x], minus sigma times the score."""
        if self.predicts == "noise":
            return self._output(x, t)
        return self(x, t) * (-self._told.kernel(x, t)[1])

    def coordinate(self, t: Scalar) -> Scalar:
        """The network's time coordinate of t, float64."""
        return self._told.coordinate(t)

    def _output(self, x: Tensor, t: Scalar) -> Tensor:
        out = self._told(x, t)
        if out.shape != x.shape:
            raise ValueError(f"the network gives the shape {tuple(out.shape)} for states {tuple(x.shape)}: it must give that of the states")
        return out
