"""Pyramids of smaller pictures beside the states of a U-Net, of its input and of its output (Song et al., 2021, App. H)."""

from torch import Tensor, nn

from .blocks import Combine, Head
from .plan import Plan
from .resampling import Downsample, Upsample, doubling, halving


class InputSkip(nn.Module):
    """(picture, h) to the halved picture and the two combined."""

    def __init__(self, plan: Plan, inputs: int, width: int) -> None:
        super().__init__()
        self.shrink, self.combine = halving(plan.taps), Combine(inputs, width, plan.progressive_combine)

    def forward(self, picture: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        picture = self.shrink(picture)
        return picture, self.combine(picture, h)


class InputResidual(nn.Module):
    """(picture, h) to the sum of the halved, convolved picture and h, twice."""

    def __init__(self, plan: Plan, inputs: int, width: int) -> None:
        super().__init__()
        self.style, self.shrink = plan.style, Downsample(plan.taps, inputs, width)

    def forward(self, picture: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = self.style.add(self.shrink(picture), h)
        return h, h


class OutputSkip(nn.Module):
    """(h, picture) to h and the doubled picture plus what is read out of h."""

    def __init__(self, plan: Plan, width: int, outputs: int) -> None:
        super().__init__()
        self.enlarge, self.head = doubling(plan.taps), Head(width, outputs, plan.style, plan.style.init_scale)

    def forward(self, h: Tensor, picture: Tensor | None) -> tuple[Tensor, Tensor]:
        seen = self.head(h)
        return h, seen if picture is None else self.enlarge(picture) + seen


class OutputResidual(nn.Module):
    """(h, picture) to the sum of the doubled, convolved picture and h, twice; at the bottom, to h and its reading."""

    def __init__(self, plan: Plan, inputs: int | None, width: int) -> None:
        super().__init__()
        self.style = plan.style
        self.head = Head(width, width, plan.style, 1.0) if inputs is None else None
        self.enlarge = None if inputs is None else Upsample(plan.taps, inputs, width)

    def forward(self, h: Tensor, picture: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.head is not None:
            return h, self.head(h)
        assert self.enlarge is not None
        h = self.style.add(self.enlarge(picture), h)
        return h, h
