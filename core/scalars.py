"""Functions of time: a Python float in the loops (0-dimensional tensors would cost four times as much a step), or a (B,) tensor with one
time per sample in training. Both are computed in float64; ``broadcast`` brings a coefficient to the dtype and the rank of a state."""

import math
from typing import TypeAlias

import torch
from torch import Tensor

Scalar: TypeAlias = float | Tensor


def double(value: Scalar) -> Scalar:
    """The value in float64, a Python float or a tensor."""
    return value.double() if isinstance(value, Tensor) else float(value)


def exp(value: Scalar) -> Scalar:
    return torch.exp(value) if isinstance(value, Tensor) else math.exp(value)


def expm1(value: Scalar) -> Scalar:
    return torch.expm1(value) if isinstance(value, Tensor) else math.expm1(value)


def log(value: Scalar) -> Scalar:
    return torch.log(value) if isinstance(value, Tensor) else math.log(value)


def sqrt(value: Scalar) -> Scalar:
    return torch.sqrt(value) if isinstance(value, Tensor) else math.sqrt(value)


def asinh(value: Scalar) -> Scalar:
    return torch.asinh(value) if isinstance(value, Tensor) else math.asinh(value)


def softplus(value: Scalar) -> Scalar:
    """log(1 + e^value) without overflow."""
    if isinstance(value, Tensor):
        return torch.logaddexp(value, torch.zeros_like(value))
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


def trunc(value: Scalar) -> Scalar:
    return torch.trunc(value) if isinstance(value, Tensor) else math.trunc(value)


def nearest(value: Scalar) -> Scalar:
    """The nearest whole number, the even one of two."""
    return torch.round(value) if isinstance(value, Tensor) else round(value)


def where(condition: bool | Tensor, yes: Scalar, no: Scalar) -> Scalar:
    if isinstance(condition, Tensor):
        return torch.where(condition, yes, no)
    return yes if condition else no


def broadcast(value: Scalar, x: Tensor) -> Scalar:
    """The coefficient ready to multiply x (B, *): a float as it is, a (B,) tensor cast to x's dtype and shaped (B, 1, ...)."""
    if isinstance(value, Tensor):
        return value.to(dtype=x.dtype, device=x.device).reshape(-1, *(1,) * (x.ndim - 1))
    return value


def add_scaled(x: Tensor, scale: Scalar, y: Tensor) -> Tensor:
    """x + scale * y; in one pass over the memory, which is most of what a step costs beside the network."""
    coefficient = broadcast(scale, x)
    if isinstance(coefficient, Tensor):
        return torch.addcmul(x, coefficient, y)
    return torch.add(x, y, alpha=coefficient)
