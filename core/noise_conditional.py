"""Networks that are told the noise level of what they read, in any of the ways in which the papers tell them."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, final, get_args

import torch
from torch import Tensor, nn

from .arguments import check_choice
from .scalars import Scalar, broadcast, double, log, sqrt
from .sde import SDE, LinearSDE

TimeCoordinate: TypeAlias = Literal["t", "999t", "level", "sigma", "log_sigma", "log_snr"]

_LINEAR_TIMES = ("sigma", "log_sigma", "log_snr")


@final
class NoiseConditional:
    """A callable (x (B, *), t) -> network(x, c, **inputs), in x's dtype, and the count of the network's evaluations.

    c is a (B,) tensor in x's dtype: the ``time`` coordinate of t (``sigma`` is the kernel's standard deviation). With ``time`` "level", for
    a network trained on the SDE's ladder, c is the ladder's label of t, and alpha and sigma are those of that level. With ``time``
    None the network is called with t as it is, a float in loops. With ``scale_input`` it sees x / sqrt(alpha^2 + sigma^2). ``inputs`` are
    further tensors with the batch axis first, such as labels. A module is given its parameters' dtype whatever x has (a float64 state
    beside a float32 network).

    Raises ValueError for a time that is no choice, TypeError where the SDE is not linear and the time or the scaling needs it.
    """

    def __init__(
        self,
        sde: SDE,
        network: Callable[..., Tensor],
        time: TimeCoordinate | None = "t",
        scale_input: bool = False,
        inputs: Mapping[str, Tensor] | None = None,
    ) -> None:
        check_choice("time", time, (*get_args(TimeCoordinate), None))
        require_linear(sde, needs_linear(time, scale_input))
        self.sde, self.network, self.time = sde, network, time
        self.scale_input, self.inputs = scale_input, dict(inputs or {})
        self.ladder = sde.ladder() if time == "level" else None
        self.dtype = _parameter_dtype(network)
        self._count = [0]

    def given(self, **inputs: Tensor) -> "NoiseConditional":
        """The same with these inputs beside (or instead of) its own; evaluations are counted together."""
        told = NoiseConditional(self.sde, self.network, self.time, self.scale_input, {**self.inputs, **inputs})
        told._count = self._count
        return told

    @property
    def evaluations(self) -> int:
        """How often the network was called so far."""
        return self._count[0]

    def __call__(self, x: Tensor, t: Scalar) -> Tensor:
        self._count[0] += 1
        given = x
        if self.scale_input:
            alpha, sigma = self.kernel(x, t)
            given = x * (1 / sqrt(alpha**2 + sigma**2))
        if self.dtype is not None:
            given = given.to(self.dtype)
        c: Any = t
        if self.time is not None:
            c = self.coordinate(t)
            c = c.to(given) if isinstance(c, Tensor) else torch.full((len(x),), c, dtype=given.dtype, device=x.device)
        return self.network(given, c, **self.inputs).to(x.dtype)

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

    def kernel(self, x: Tensor, t: Scalar) -> tuple[Scalar, Scalar]:
        """alpha and sigma at t as the network has it, ready to multiply x. Raises TypeError where the SDE is not linear."""
        if not isinstance(self.sde, LinearSDE):
            raise TypeError(f"the denoised mean needs a LinearSDE; {type(self.sde).__name__} is not one")
        t = double(t)
        alpha, sigma = (self.sde.alpha(t), self.sde.sigma(t)) if self.ladder is None else self.ladder.kernel(t)
        return broadcast(alpha, x), broadcast(sigma, x)


def needs_linear(time: TimeCoordinate | None, scale_input: bool) -> dict[str, bool]:
    """Which of these settings need a linear SDE, in words."""
    return {f"time={time!r}": time in _LINEAR_TIMES, "scale_input=True": scale_input}


def require_linear(sde: SDE, asked: Mapping[str, bool]) -> None:
    """Raises TypeError, naming all that is asked for and needs a linear SDE, where this is none."""
    needing = [words for words, needs in asked.items() if needs]
    if needing and not isinstance(sde, LinearSDE):
        raise TypeError(f"{', '.join(needing)}: needs a LinearSDE; {type(sde).__name__} is not one")


def _parameter_dtype(network: object) -> torch.dtype | None:
    if not isinstance(network, nn.Module):
        return None
    return next((parameter.dtype for parameter in network.parameters() if parameter.is_floating_point()), None)
