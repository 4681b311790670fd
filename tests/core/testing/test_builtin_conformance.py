"""Every built-in component passes the conformance kit."""

from scoresde.core.testing import parametrize_with_checks
from scoresde.plugins.corrector.annealed_langevin import AnnealedLangevin
from scoresde.plugins.corrector.langevin import Langevin
from scoresde.plugins.corrector.none import NoCorrector


@parametrize_with_checks([Langevin, AnnealedLangevin, NoCorrector])
def test_correctors(component, check):
    check(component)
