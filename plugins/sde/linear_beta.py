"""What VP and sub-VP share: the drift -beta(t)/2 x with beta(t) = beta_min + t (beta_max - beta_min) (Song et al., 2021, eq. 32).

With the integral B(t) of beta from 0 to t, alpha = exp(-B/2); both processes end near N(0, I).
"""

from scoresde.core import LinearSDE, Scalar, double, exp, sqrt


class LinearBetaSDE(LinearSDE):
    """A linear SDE with this drift; its diffusion makes the difference."""

    beta_min: float
    beta_max: float

    def __attrs_post_init__(self) -> None:
        if self.beta_min >= self.beta_max:
            raise ValueError(f"beta_min = {self.beta_min!r} must be less than beta_max = {self.beta_max!r}")

    def beta(self, t: Scalar) -> Scalar:
        return self.beta_min + double(t) * (self.beta_max - self.beta_min)

    def integral(self, t: Scalar, s: Scalar = 0.0) -> Scalar:
        """B(t) - B(s), in the form that does not cancel for near times."""
        t, s = double(t), double(s)
        return (t - s) * (self.beta_min + 0.5 * (t + s) * (self.beta_max - self.beta_min))

    def integral_inverse(self, value: Scalar) -> Scalar:
        """The t with B(t) = value, in the form that does not cancel at small t."""
        return 2 * value / (self.beta_min + sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * value))

    def rate(self, t: Scalar) -> Scalar:
        return -0.5 * self.beta(t)

    def alpha(self, t: Scalar) -> Scalar:
        return exp(-0.5 * self.integral(t))

    @property
    def prior_std(self) -> float:
        return 1.0
