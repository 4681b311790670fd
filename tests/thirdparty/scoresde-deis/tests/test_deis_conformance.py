"""What every component of its kind has to keep."""

from scoresde_deis import DEIS, ILVR, Cosine

from scoresde.core.testing import parametrize_with_checks

DEGREES = [DEIS(order=order) for order in range(4)] + [DEIS(order=order, start="runge_kutta") for order in range(4)]


@parametrize_with_checks([*DEGREES, Cosine, Cosine(offset=0.05), ILVR, ILVR(until=0.1)])
def test_conformance(component, check):
    check(component)
