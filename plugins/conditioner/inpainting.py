"""Inpainting by replacement (Song et al., 2021, eq. 14 and App. I.2).

After each step the known entries are replaced by a fresh draw of p(x_t | x_0 = y), so that the score sees the unknown entries beside known
ones of the same noise level. The method is an approximation: what it draws is not exactly the posterior.

``noise_at`` "s" draws the known entries at the time the step has reached. "t" is the published way: at the time the step started, with
the known entries unnoised at the start, and the denoised value of the unknown entries taken from the noisy state. ``redraw`` "time"
keeps one draw for all steps that end at the same time, as annealed Langevin dynamics inpaints (Song & Ermon, 2019, Algorithm 2).
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple, final

import attrs
import torch
from torch import Tensor

from scoresde.core import SDE, Condition, Conditioner, Mixture, Noise, Reverse, Step, option

_BIAS = "what replacement draws is not exactly the posterior: the known entries are noised without regard to the others"


@final
@attrs.frozen(kw_only=True)
class Inpainting(Conditioner):
    """Fills in what a mask hides, by replacement (Song et al., 2021, App. I.2)."""

    name = "inpainting"
    projects: ClassVar[bool] = True
    silenced_by: ClassVar[str | None] = "mask"
    expected_failures: ClassVar[Mapping[str, str]] = {"gaussian": _BIAS, "mixture": _BIAS}

    known: Literal["left", "right", "top", "bottom", "border", "random"] = option(
        "left", help="the part that is known: a half of the last two axes, the border around the centre, or half of the entries at random"
    )
    noise_at: Literal["s", "t"] = option("s", help="time of the known part's noise: the step's end, or (published) its start")
    redraw: Literal["step", "time"] = option("step", help="whether the known part's noise is drawn for every step, or once for each time")

    def observe(self, x: Tensor, noise: Noise) -> dict[str, Tensor]:
        mask = self.mask(x, noise)
        return {"y": x * mask, "mask": mask}

    def condition(self, sde: SDE, y: Tensor, noise: Noise, **observed: Tensor) -> Condition:
        """Completes y (B, *) where ``mask`` (1 = known; shape of y or of one item) is 0; without a mask, the option ``known`` makes one.

        Raises ValueError where the mask does not fit y.
        """
        mask = observed.get("mask")
        mask = self.mask(y, noise) if mask is None else mask
        if mask.shape not in (y.shape, y.shape[1:]):
            raise ValueError(f"a mask of shape {tuple(mask.shape)} does not fit observations of shape {tuple(y.shape)}")
        return KnownPart(sde, y, mask.to(y.dtype).expand_as(y), self)

    def posterior(self, law: Mixture, y: Tensor, **observed: Tensor) -> Mixture:
        known = observed["mask"].flatten() > 0
        return law.given(torch.eye(law.dimension)[known], y.flatten()[known])

    def mask(self, y: Tensor, noise: Noise) -> Tensor:
        """1 where an entry of y (B, *) is known, shape of y."""
        if self.known == "random":
            return (noise.uniform_like(y) < 0.5).to(y.dtype)
        rows, columns = (y.shape[-2] if y.ndim > 2 else 1), y.shape[-1]
        mask = y.new_zeros(len(y), y[0].numel() // (rows * columns), rows, columns)
        if self.known in ("left", "right"):
            half = slice(0, columns // 2) if self.known == "left" else slice(columns // 2, None)
            mask[..., half] = 1
        elif self.known in ("top", "bottom"):
            half = slice(0, rows // 2) if self.known == "top" else slice(rows // 2, None)
            mask[..., half, :] = 1
        else:
            mask.fill_(1)[..., rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4] = 0
        return mask.reshape(y.shape)


class Known(NamedTuple):
    """The known entries as they are at time t: their mean, and a draw."""

    t: float
    mean: Tensor
    x: Tensor


@final
class KnownPart(Condition):
    """Entries of x_0 that are known, where the mask is 1; the memory is the last draw of them, where that is to be kept."""

    def __init__(self, sde: SDE, y: Tensor, mask: Tensor, options: Inpainting) -> None:
        self.sde, self.y, self.mask, self.options = sde, y * mask, mask, options

    def _fill(self, x: Tensor, known: Tensor) -> Tensor:
        return torch.where(self.mask > 0, known, x)

    def _known(self, t: float, memory: Known | None, noise: Noise) -> Known:
        if self.options.redraw == "time" and memory is not None and memory.t == t:
            return memory
        mean, std = self.sde.marginal(self.y, t)
        return Known(t, mean, Step.draw(mean, std, noise).x)

    def start(self, x: Tensor, t: float, noise: Noise) -> tuple[Tensor, Any]:
        if self.options.noise_at == "t":
            return self._fill(x, self.y), None
        known = self._known(t, None, noise)
        return self._fill(x, known.x), known

    def project(self, before: Step, after: Step, t: float, s: float, memory: Any, reverse: Reverse, noise: Noise) -> tuple[Step, Any]:
        known = self._known(s if self.options.noise_at == "s" else t, memory, noise)
        x = self._fill(after.x, known.x)
        unknown = after.mean if self.options.noise_at == "s" else x
        return Step(x, self._fill(unknown, known.mean), None, after.state), known
