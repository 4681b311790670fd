"""Checks of what linear SDEs know in closed form: alpha, sigma, the log-SNR with its inverse, and the kernels between two times.

From dx = r x dt + g dw follow (Kingma et al., 2021, "Variational diffusion models")

    r = d log alpha / dt,        g^2 = -sigma^2 d log_snr / dt,

and p(x_t | x_u) is p(x_s | x_u) carried on by p(x_t | x_s): alpha_tu = alpha_ts alpha_su, sigma_tu^2 = sigma_ts^2 + alpha_ts^2 sigma_su^2.
An SDE that is not linear must not have these functions at all: methods that need them ask for a ``LinearSDE``.
"""

from collections.abc import Callable

import torch

from ...scalars import Scalar
from ...sde import SDE, LinearSDE
from ..conformance import Subject
from .component import state

_NAMES = {"alpha", "sigma", "rate", "time", "log_snr", "transition"}
_SHARES = (0.003, 0.03, 0.1, 0.3, 0.6, 0.95)


def kernel_functions(sde: SDE) -> dict[str, Callable[[Scalar], Scalar]]:
    """All that an SDE says of a time, or of a time t and its half, by name."""
    x = state((3,), torch.float64)
    functions: dict[str, Callable[[Scalar], Scalar]] = {
        "diffusion": sde.diffusion,
        "the standard deviation of marginal": lambda t: sde.marginal(x, t)[1],
        "the standard deviation of discretize": lambda t: sde.discretize(x, t, 0.5 * t)[1],
    }
    if isinstance(sde, LinearSDE):
        functions |= {
            "alpha": sde.alpha,
            "sigma": sde.sigma,
            "rate": sde.rate,
            "log_snr": sde.log_snr,
            "time": lambda t: sde.time(sde.log_snr(t)),
            "alpha_ts of transition": lambda t: sde.transition(t, 0.5 * t)[0],
            "sigma_ts of transition": lambda t: sde.transition(t, 0.5 * t)[1],
        }
    return functions


def check_log_snr(subject: Subject) -> None:
    """alpha and sigma are the marginal's, log_snr theirs, falling, and time its inverse."""
    sde = _linear(subject)
    if sde is None:
        return
    x0, times = state((3,), torch.float64), [sde.t_max * (1 + i) / 200 for i in range(200)]
    for t in (sde.t_min, *times):
        alpha, sigma, log_snr = float(sde.alpha(t)), float(sde.sigma(t)), sde.log_snr(t)
        mean, std = sde.marginal(x0, t)
        off = max(float((mean - alpha * x0).abs().max()), abs(float(std) - sigma) / sigma)
        assert off < 1e-9, f"at t = {t:.3g} alpha and sigma are not those of marginal: they differ by {off:.2g}"
        exact = 2 * float(torch.tensor(alpha / sigma, dtype=torch.float64).log())
        assert abs(float(log_snr) - exact) < 1e-7, f"at t = {t:.3g} log_snr is {float(log_snr):.6g}, but 2 log(alpha / sigma) {exact:.6g}"
        back = float(sde.time(log_snr))
        assert abs(back - t) < 1e-7 * sde.t_max, f"time(log_snr({t:.6g})) is {back:.6g}"
    values = torch.tensor([float(sde.log_snr(t)) for t in times], dtype=torch.float64)
    place = int(values.diff().argmax())
    assert bool((values.diff() < 0).all()), f"log_snr rises by {float(values.diff()[place]):.3g} from t = {times[place]:.3g} on"


def check_transition(subject: Subject) -> None:
    """Carries the marginal at s to that at t, composes, is the identity for s = t, and has variance g^2 (t - s) for near times."""
    sde = _linear(subject)
    if sde is None:
        return
    times = [share * sde.t_max for share in _SHARES]
    for u, s, t in zip(times, times[1:], times[2:], strict=False):
        (late, late_std), (early, early_std), (whole, whole_std) = (_floats(sde.transition(*pair)) for pair in ((t, s), (s, u), (t, u)))
        off = max(abs(late * early / whole - 1), abs((late_std**2 + (late * early_std) ** 2) / whole_std**2 - 1))
        assert off < 1e-6, f"transitions from {u:.3g} over {s:.3g} to {t:.3g} are off the one from {u:.3g} to {t:.3g} by {off:.2g} of it"
        alpha, sigma = late * float(sde.alpha(s)), (late_std**2 + (late * float(sde.sigma(s))) ** 2) ** 0.5
        off = max(abs(alpha / float(sde.alpha(t)) - 1), abs(sigma / float(sde.sigma(t)) - 1))
        assert off < 1e-6, f"transition carries the marginal at {s:.3g} to one that is off that at {t:.3g} by {off:.2g} of it"
        same = _floats(sde.transition(t, t))
        assert same == (1.0, 0.0), f"transition({t:.3g}, {t:.3g}) is {same}, not (1, 0)"
        gap = 1e-6 * t
        ratio = float(sde.transition(t, t - gap)[1]) ** 2 / (float(sde.diffusion(t)) ** 2 * gap)
        assert abs(ratio - 1) < 1e-3, f"at t = {t:.3g} the transition over a short time has {ratio:.4g} times the variance g^2 (t - s)"


def check_rate(subject: Subject) -> None:
    """drift = rate x, and both equations above, by differences of fourth order."""
    sde = _linear(subject)
    if sde is None:
        return
    x = state((3,), torch.float64)
    for t in (share * sde.t_max for share in _SHARES):
        rate, pull = float(sde.rate(t)), (float(sde.diffusion(t)) / float(sde.sigma(t))) ** 2
        off = float((sde.drift(x, t) - rate * x).abs().max()) / (abs(rate) + pull)
        assert off < 1e-9, f"at t = {t:.3g} drift(x) is not rate x, relative to what the noise moves: off by {off:.2g}"
        fall = _slope(sde, lambda sde, t: float(torch.tensor(sde.alpha(t), dtype=torch.float64).log()), t)
        assert abs(fall - rate) < 1e-5 * (abs(rate) + pull), (
            f"at t = {t:.3g} log alpha changes at the rate {fall:.6g}, but rate is {rate:.6g}"
        )
        fall = -_slope(sde, lambda sde, t: float(sde.log_snr(t)), t)
        assert abs(fall / pull - 1) < 1e-5, f"at t = {t:.3g} log_snr falls at the rate {fall:.6g}, but g^2 / sigma^2 is {pull:.6g}"


def _linear(subject: Subject) -> LinearSDE | None:
    """The SDE where it is linear. Raises AssertionError where it is not, but looks as if it were."""
    sde = subject.sdes[0]
    if isinstance(sde, LinearSDE):
        return sde
    present = sorted(_NAMES & set(dir(sde)))
    assert not present, f"it has {', '.join(present)}, but is no LinearSDE: no method will use them"
    return None


def _floats(pair: tuple[Scalar, Scalar]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


def _slope(sde: LinearSDE, function: Callable[[LinearSDE, float], float], t: float) -> float:
    h = 1e-4 * t
    near, far = (function(sde, t + k * h) - function(sde, t - k * h) for k in (1, 2))
    return (8 * near - far) / (12 * h)
