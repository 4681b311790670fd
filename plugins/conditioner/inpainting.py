"""Inpainting by replacement (Song et al., 2021, eq. 14 and App. I.2): P takes the entries that a mask says are known.

After each step the known entries are replaced by a fresh draw of p(x_t | x_0 = y), at the time that the step has reached or, as published
(``noise_at`` "t"), at the time it started (see ``replacement``, also for ``redraw``). What is drawn is not exactly the posterior.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, final

import attrs
import torch
from torch import Tensor

from scoresde.core import SDE, Condition, Conditioner, DataSpec, Mixture, Noise, option
from scoresde.core.observation import fits, within

from ..known_part import known_part
from .replacement import BIAS, Replacement


@final
@attrs.frozen(kw_only=True)
class Inpainting(Conditioner):
    """Fills in what a mask hides, by replacement (Song et al., 2021, App. I.2)."""

    name = "inpainting"
    projects: ClassVar[bool] = True
    silenced_by: ClassVar[str | None] = "mask"
    expected_failures: ClassVar[Mapping[str, str]] = {"gaussian": BIAS, "mixture": BIAS}

    known: Literal["left", "right", "top", "bottom", "border", "random"] = option(
        "left", help="the part that is known: a half of the last two axes, the border around the centre, or half of the entries at random"
    )
    noise_at: Literal["s", "t"] = option("s", help="time of the known part's noise: the step's end, or (published) its start")
    redraw: Literal["step", "time"] = option("step", help="whether the known part's noise is drawn for every step, or once for each time")

    @property
    def reads_s(self) -> bool:
        return self.noise_at == "s"

    def for_data(self, spec: DataSpec) -> Self:
        if self.known != "random":
            known_part(spec.shape, self.known)
        return self

    def observe(self, x: Tensor, noise: Noise) -> dict[str, Tensor]:
        mask = self.mask(x, noise)
        return {"y": x * mask, "mask": mask}

    def condition(self, sde: SDE, y: Tensor, noise: Noise, **observed: Any) -> Condition:
        """Completes y (B, *) where ``mask`` (1 = known; shape of y or of one item) is 0; without a mask, the option ``known`` makes one.

        Raises ValueError where the mask does not fit y.
        """
        mask = observed.get("mask")
        mask = self.mask(y, noise) if mask is None else mask
        if mask.shape not in (y.shape, y.shape[1:]):
            raise ValueError(f"a mask of shape {tuple(mask.shape)} does not fit observations of shape {tuple(y.shape)}")
        known = mask.expand_as(y) > 0
        if not bool(known.any()):  # a run without a condition, to the last bit: its noise is not even drawn
            return Condition()
        return Replacement(sde, torch.where(known, y, 0.0), lambda x, k: torch.where(known, k, x), self.noise_at, self.redraw)

    def check(self, spec: DataSpec, y: Tensor, **observed: Tensor) -> None:
        mask = observed.get("mask", torch.ones(spec.shape))
        if tuple(y.shape[1:]) != spec.shape or mask.shape not in (y.shape, y.shape[1:]):
            raise ValueError(f"y has the shape {tuple(y.shape[1:])} and the mask {tuple(mask.shape)}, expected {spec.shape}")
        if mask.is_complex() or not bool(mask.isfinite().all()):
            raise ValueError("the mask must be 1 where an entry is known and 0 elsewhere")
        known = (mask > 0).expand_as(y)
        fits(torch.where(known, y, 0.0), spec.shape)
        if spec.range is not None:
            low, high = (torch.full((1, *spec.shape), end) for end in spec.range)
            within(y, low, high, known)

    def posterior(self, law: Mixture, shape: tuple[int, ...], y: Tensor, **observed: Tensor) -> Mixture:
        known = observed["mask"].flatten() > 0
        return law.given(torch.eye(law.dimension)[known], y.flatten()[known])

    def mask(self, y: Tensor, noise: Noise) -> Tensor:
        """1 where an entry of y (B, *) is known, shape of y."""
        known = noise.uniform_like(y) < 0.5 if self.known == "random" else known_part(tuple(y.shape[1:]), self.known).to(y.device)
        return known.to(y.dtype).expand_as(y).clone()
