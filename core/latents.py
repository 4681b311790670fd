"""Latent codes: the probability flow as a map from data to the prior and back (Song et al., 2021, sec. 4.3).

``encode`` carries x from t_min to T, ``decode`` carries the code z back: with the same tolerance, the inverse up to it. Codes of data are
nearly draws of the prior N(0, tau^2 I), whose norm is close to tau sqrt(D). A path between two codes that keeps such norms is spherical
(Shoemake, 1985; White, 2016): with the angle theta between them

    z_w = (sin((1 - w) theta) z_0 + sin(w theta) z_1) / sin(theta),        0 <= w <= 1,

while the middle of the linear one, z_w = (1 - w) z_0 + w z_1, is shorter by 1 / sqrt(2) for independent codes. At the temperature T codes
are multiplied by T: below 1, decoded samples are nearer to the modes and less diverse.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias, TypedDict, Unpack, get_args

import torch
from torch import Tensor

from .arguments import check_choice, given
from .builtin import builtin
from .chunks import chunks
from .errors import NonFiniteError
from .fitting import check_count, check_parts
from .interfaces import Condition, Likelihood
from .reverse import Reverse
from .sampling import as_score, evaluating, network_device
from .score import Prediction, Score, TimeCoordinate
from .sde import SDE

Kind: TypeAlias = Literal["spherical", "linear"]

_PARALLEL = 1e-6  # of pi; the sine of a smaller angle is no divisor


class How(TypedDict, total=False):
    """How codes are found: by the likelihood ``method`` (the probability flow's with its defaults), from a network of which ``predicts``
    ("score"), ``time`` ("t") and ``scale_input`` say what it does (see ``Score``), with further ``inputs`` (B, *), given a ``condition``
    that guides, in chunks of ``chunk`` (64) items, on ``device`` (the network's). None is as not given, but as the ``time``."""

    method: Likelihood | None
    predicts: Prediction
    time: TimeCoordinate | None
    scale_input: bool
    inputs: Mapping[str, Tensor] | None
    condition: Condition | None
    chunk: int
    device: torch.device | str | None


def encode(sde: SDE, network: Callable[..., Tensor], x: Tensor, **keywords: Unpack[How]) -> Tensor:
    """The latent codes at sde.t_max of x (B, *) in the model's range, of the shape and dtype of x, on the CPU.

    Raises ValueError where x holds whole numbers, the condition is more than guidance, which no flow carries, or the method asks for more
    than the network's dtype holds; ArithmeticError where the solver gives an item up.
    """
    return _run("encode", sde, network, x, keywords)


def decode(sde: SDE, network: Callable[..., Tensor], z: Tensor, *, temperature: float = 1.0, **keywords: Unpack[How]) -> Tensor:
    """The samples in the model's range with the latent codes ``temperature`` z, (B, *), on the CPU; otherwise as ``encode``."""
    return _run("decode", sde, network, temperature * z, keywords)


def interpolate(first: Tensor, second: Tensor, steps: int = 8, kind: Kind = "spherical") -> Tensor:
    """Codes on the way from one to another of the same shape, both ends among them: (steps, *).

    Raises ValueError for opposite codes, between which no spherical path is the shortest.
    """
    check_choice("kind", kind, get_args(Kind))
    if steps < 2 or first.shape != second.shape:
        raise ValueError(
            f"a path takes two codes of one shape and 2 steps or more: got {_words(first)}, {_words(second)} and {steps} steps"
        )
    w = torch.linspace(0, 1, steps, dtype=torch.float64).reshape(-1, *(1,) * first.ndim)
    a, b = first.double(), second.double()
    angle = _angle(a, b)
    if kind == "spherical" and angle > math.pi * (1 - _PARALLEL):
        raise ValueError("the two codes are opposite, and every great circle is as short: take the linear path")
    if kind == "linear" or angle < math.pi * _PARALLEL:
        return ((1 - w) * a + w * b).to(first.dtype)
    return ((torch.sin((1 - w) * angle) * a + torch.sin(w * angle) * b) / math.sin(angle)).to(first.dtype)


def carry(
    direction: Literal["encode", "decode"],
    method: Likelihood,
    score: Callable[[list[int]], Score],
    x: Tensor,
    *,
    chunk: int,
    device: torch.device | str,
    on_items: Callable[[int], object] = lambda count: None,
) -> Tensor:
    """x (B, *) to its codes or codes to samples, on the CPU; ``score`` is asked for that of the items at the places of each chunk.

    Raises NonFiniteError, with the items, where a value is not finite.
    """
    parts = []
    for places, _, kept in chunks(range(len(x)), chunk):
        which = f"{direction} by {method.name!r}, items {places[0]} to {places[kept - 1]}"
        known = score(places)
        try:
            result = getattr(method, direction)(Reverse(known.sde, known), x[torch.as_tensor(places)].to(device))
        except FloatingPointError as error:
            raise NonFiniteError(f"{which}: {error}") from error
        except ArithmeticError as error:
            raise ArithmeticError(f"{which}: {error}") from error
        if not bool(torch.isfinite(result).all()):
            raise NonFiniteError(f"{which}: an entry is not finite")
        parts.append(result[:kept].cpu())
        on_items(kept)
    return torch.cat(parts) if parts else x


def _run(direction: Literal["encode", "decode"], sde: SDE, network: Callable[..., Tensor], x: Tensor, keywords: How) -> Tensor:
    how = given(direction, keywords, How.__annotations__)
    check_parts(sde, network, how)
    check_count("chunk", how.get("chunk", 64))
    if not isinstance(x, Tensor) or x.ndim < 2:
        found = f"a tensor of shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise ValueError(f"{direction}: {found} is no batch: give a tensor (B, *)")
    if not x.is_floating_point():
        raise ValueError(f"{direction}: {x.dtype} holds no codes: give floating-point numbers, in the model's range")
    score = as_score(sde, network, how)
    condition: Condition = how.get("condition", Condition())
    inputs: Mapping[str, Tensor] = how.get("inputs", {})
    _check_invertible(condition)
    coupled = "condition" in how  # a condition's tensors have the batch's rows
    device = how.get("device", network_device(score.network))
    method: Likelihood = how["method"] if "method" in how else builtin("likelihood", "probability_flow")
    method.check(sde, torch.float64 if score.dtype is None else score.dtype)

    def score_of(places: list[int]) -> Score:
        rows = {key: value[torch.as_tensor(places)].to(device) for key, value in inputs.items()}
        return condition.guide(score.given(**rows) if rows else score)

    with evaluating(score.network):
        return carry(direction, method, score_of, x, chunk=max(len(x), 1) if coupled else how.get("chunk", 64), device=device)


def _check_invertible(condition: Condition) -> None:
    if condition.projects:
        raise ValueError(
            f"{type(condition).__name__} projects the state, which no flow does: there are no likelihoods and no codes given it;"
            " take a condition that only guides the score"
        )


def _angle(a: Tensor, b: Tensor) -> float:
    """Between two vectors, accurate at 0 and at pi too (Kahan, 2006)."""
    one, other = a.norm() * b, b.norm() * a
    return float(2 * torch.atan2((one - other).norm(), (one + other).norm()))


def _words(x: Tensor) -> str:
    return f"shape {tuple(x.shape)}"
