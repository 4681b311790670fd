"""The linear schedule beta(t) = beta_min + t (beta_max - beta_min) that VP and sub-VP share (Song et al., 2021, eq. 32)."""

from scoresde.core import Scalar, sqrt


def beta(t: Scalar, low: float, high: float) -> Scalar:
    return low + t * (high - low)


def integral(t: Scalar, low: float, high: float) -> Scalar:
    """B(t), the integral of beta from 0 to t."""
    return t * (low + 0.5 * t * (high - low))


def integral_inverse(value: Scalar, low: float, high: float) -> Scalar:
    """The t with B(t) = value, in the form that does not cancel at small t."""
    return 2 * value / (low + sqrt(low**2 + 2 * (high - low) * value))


def check(low: float, high: float) -> None:
    if low >= high:
        raise ValueError(f"beta_min = {low!r} must be less than beta_max = {high!r}")
