"""The score of the marginals, grad log p_t(x), from whatever a network predicts (Song et al., 2021, sec. 3.3 and App. C).

With x_t = alpha x_0 + sigma z and a linear SDE, a network's output o is one of

    score      o ~ grad log p_t(x)
    noise      o ~ E[z | x_t],      score = -o / sigma
    denoised   o ~ E[x_0 | x_t],    score = (alpha o - x) / sigma^2
    velocity   o ~ E[(alpha z - sigma x_0) / n | x_t],  n = sqrt(alpha^2 + sigma^2),  score = -(sigma x + alpha n o) / (sigma n^2)

(velocity is the v of Salimans & Ho, 2022, where n = 1, and the F of Karras et al., 2022, at unit data variance).
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, final

import torch
from torch import Tensor, nn

from .scalars import Scalar, broadcast, double, log, sqrt
from .sde import SDE, LinearSDE

Prediction: TypeAlias = Literal["score", "noise", "denoised", "velocity"]
TimeCoordinate: TypeAlias = Literal["t", "999t", "level", "sigma", "log_sigma", "log_snr"]

_LINEAR_TIMES = ("sigma", "log_sigma", "log_snr")


@final
class Score:
    """A callable (x (B, *), t) -> score (B, *) around any network, and the count of the network's evaluations.

    ``network`` is called as network(x, c, **inputs) with c a (B,) tensor in x's dtype: the ``time`` coordinate of t (``sigma`` is the
    kernel's standard deviation). With ``time`` "level", for a network trained on the SDE's ladder, c is the ladder's label of t, and
    alpha and sigma are those of that level. With ``time`` None it is called with t as it is, a float in loops. With
    ``scale_input`` the network sees x / sqrt(alpha^2 + sigma^2). ``inputs`` are further tensors with the batch axis first, such as
    labels. A module is given its parameters' dtype whatever x has (a float64 state beside a float32 network), and its output is
    converted in x's dtype.

    Raises TypeError where the SDE is not linear and the prediction, the time or the scaling needs it.
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
        asked = {f"predicts={predicts!r}": predicts != "score", f"time={time!r}": time in _LINEAR_TIMES, "scale_input=True": scale_input}
        needing = [words for words, needs in asked.items() if needs]
        if needing and not isinstance(sde, LinearSDE):
            raise TypeError(f"{', '.join(needing)}: needs a LinearSDE; {type(sde).__name__} is not one")
        self.sde, self.network, self.predicts, self.time = sde, network, predicts, time
        self.scale_input, self.inputs = scale_input, dict(inputs or {})
        self.ladder = sde.ladder() if time == "level" else None
        self.dtype = _parameter_dtype(network)
        self._count = [0]

    def given(self, **inputs: Tensor) -> "Score":
        """The same score with these inputs beside (or instead of) its own; evaluations are counted together."""
        score = Score(self.sde, self.network, self.predicts, self.time, self.scale_input, {**self.inputs, **inputs})
        score._count = self._count
        return score

    @property
    def evaluations(self) -> int:
        """How often the network was called so far."""
        return self._count[0]

    def __call__(self, x: Tensor, t: Scalar) -> Tensor:
        """grad log p_t(x), shape of x."""
        out = self._evaluate(x, t)
        if self.predicts == "score":
            return out
        alpha, sigma = self._kernel(x, t)
        if self.predicts == "noise":
            return out * (-1 / sigma)
        if self.predicts == "denoised":
            return (alpha * out - x) / sigma**2
        square = alpha**2 + sigma**2
        return x * (-1 / square) - out * (alpha / (sigma * sqrt(square)))

    def denoised(self, x: Tensor, t: Scalar) -> Tensor:
        """E[x_0 | x_t = x] by Tweedie's formula, (x + sigma^2 score) / alpha."""
        if self.predicts == "denoised":
            return self._evaluate(x, t)
        score = self(x, t)
        alpha, sigma = self._kernel(x, t)
        return (x + sigma**2 * score) / alpha

    def noise(self, x: Tensor, t: Scalar) -> Tensor:
        """E[z | x_t = x], minus sigma times the score."""
        if self.predicts == "noise":
            return self._evaluate(x, t)
        return self(x, t) * (-self._kernel(x, t)[1])

    def coordinate(self, t: Scalar) -> Scalar:
        """The network's time coordinate of t, float64."""
        t = double(t)
        if self.time == "999t":
            return 999 * t
        if self.ladder is not None:
            return self.ladder.label(t)
        if isinstance(self.sde, LinearSDE) and self.time in _LINEAR_TIMES:
            if self.time == "log_snr":
                return self.sde.log_snr(t)
            sigma = self.sde.sigma(t)
            return sigma if self.time == "sigma" else log(sigma)
        return t

    def _kernel(self, x: Tensor, t: Scalar) -> tuple[Scalar, Scalar]:
        if not isinstance(self.sde, LinearSDE):
            raise TypeError(f"the denoised mean needs a LinearSDE; {type(self.sde).__name__} is not one")
        t = double(t)
        alpha, sigma = (self.sde.alpha(t), self.sde.sigma(t)) if self.ladder is None else self.ladder.kernel(t)
        return broadcast(alpha, x), broadcast(sigma, x)

    def _evaluate(self, x: Tensor, t: Scalar) -> Tensor:
        self._count[0] += 1
        given = x
        if self.scale_input:
            alpha, sigma = self._kernel(x, t)
            given = x * (1 / sqrt(alpha**2 + sigma**2))
        if self.dtype is not None:
            given = given.to(self.dtype)
        c: Any = t
        if self.time is not None:
            c = self.coordinate(t)
            c = c.to(given) if isinstance(c, Tensor) else torch.full((len(x),), c, dtype=given.dtype, device=x.device)
        return self.network(given, c, **self.inputs).to(x.dtype)


def _parameter_dtype(network: object) -> torch.dtype | None:
    if not isinstance(network, nn.Module):
        return None
    return next((parameter.dtype for parameter in network.parameters() if parameter.is_floating_point()), None)
