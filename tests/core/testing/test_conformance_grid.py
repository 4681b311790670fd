"""The checks of grids: the built-in ones pass them, and each catches a grid that is wrong in what it looks at, and no other check does."""

import re

import attrs
import pytest

from scoresde.core import Grid, Interval
from scoresde.core.testing import checks_of, conform, parametrize_with_checks
from scoresde.core.testing.checks.component import checks_by
from scoresde.plugins import EDM, Balanced, Karras, LogSNR, Published, Quadratic, Singlestep, Uniform
from scoresde.registry import Registry


@parametrize_with_checks(
    [
        Uniform,
        Uniform(end=0.05),
        Published,
        Published(end=0.05),
        LogSNR,
        Karras,
        Karras(rho=3.0),
        EDM,
        EDM(rho=3.0, sigma_min=0.05),
        Singlestep,
        Singlestep(end=0.05),
        Quadratic,
        Balanced,
    ]
)
def test_conformance(component, check):
    check(component)


class Equal(Grid):
    """Equal steps (Song et al., 2021)."""

    def times(self, sde, count):
        return [sde.t_max + (sde.sampling_end - sde.t_max) * i / count for i in range(count)] + [sde.sampling_end]

    def intervals(self, sde, count):
        times = self.times(sde, count)
        return tuple(Interval(times[i], times[i + 1], i, count) for i in range(count))


@attrs.frozen(kw_only=True)
class Right(Equal):
    """Equal steps (Song et al., 2021)."""

    name = "right"


@attrs.frozen(kw_only=True)
class Zigzag(Equal):
    """Goes up once (Song et al., 2021)."""

    name = "zigzag"

    def times(self, sde, count):
        times = Equal.times(self, sde, count)
        return times if count < 7 else [*times[:2], times[3], times[2], *times[4:]]


@attrs.frozen(kw_only=True)
class Forgetful(Equal):
    """Computes the end of an interval apart from the beginning of the next (Song et al., 2021)."""

    name = "forgetful"

    def intervals(self, sde, count):
        step = (sde.t_max - sde.sampling_end) / count
        times = Equal.times(self, sde, count)
        return tuple(Interval(t, t - step if i < count - 1 else times[-1], i, count) for i, t in enumerate(times[:-1]))


@attrs.frozen(kw_only=True)
class Modest(Equal):
    """Denies that its intervals touch (Song et al., 2021)."""

    name = "modest"
    contiguous = False

    def intervals(self, sde, count):
        return (*Equal.intervals(self, sde, count), Interval(sde.sampling_end, 0.0, count, count + 1))[-count:]


@attrs.frozen(kw_only=True)
class Rounded(Equal):
    """Reaches its end by a formula (Song et al., 2021)."""

    name = "rounded"

    def times(self, sde, count):
        return [sde.t_max + (sde.sampling_end - sde.t_max) * (i / count) for i in range(count + 1)]


@attrs.frozen(kw_only=True)
class Halfway(Equal):
    """Ends at half of t_max, without a word (Song et al., 2021)."""

    name = "halfway"

    def times(self, sde, count):
        return [sde.t_max * (1 - 0.5 * i / count) for i in range(count + 1)]


@attrs.frozen(kw_only=True)
class Early(Equal):
    """Begins at 0.999 t_max (Song et al., 2021)."""

    name = "early"

    def times(self, sde, count):
        return [0.999 * sde.t_max, *Equal.times(self, sde, count)[1:]]


@attrs.frozen(kw_only=True)
class FromOne(Equal):
    """Numbers its intervals from 1 (Song et al., 2021)."""

    name = "from_one"

    def intervals(self, sde, count):
        return tuple(interval._replace(index=interval.index + 1) for interval in Equal.intervals(self, sde, count))


@attrs.frozen(kw_only=True)
class Leaping(Equal):
    """Goes half of the way in its first step (Song et al., 2021)."""

    name = "leaping"

    def times(self, sde, count):
        if count == 1:
            return [sde.t_max, sde.sampling_end]
        return [sde.t_max, *(0.5 * sde.t_max + (sde.sampling_end - 0.5 * sde.t_max) * i / count for i in range(1, count)), sde.sampling_end]


BITES = [
    ("monotone", Zigzag, r"^interval 2 goes up from t = 0\.57\d+ to s = 0\.71\d+ \(7 steps, sub_vp\)$"),
    ("contiguous", Forgetful, r"^interval \d+ ends at 0\.\d+, but the next begins at 0\.\d+ \(\d+ steps, \w+\), and contiguous is True$"),
    ("ends", Rounded, r"^its last time is 0.0010000000000000009, and last\(\) says 0.001 \(\d+ steps, sub_vp\)$"),
    ("ends", Halfway, r"^its last time is 0.5, and last\(\) says 0.001 \(1 steps, sub_vp\)$"),
    ("ends", Early, r"^its first time is 0.999, not t_max = 1.0"),
    ("numbering", FromOne, r"^interval 0 of 1 says that it is number 1 of 1"),
    ("refines", Leaping, r"^the longest of 50 steps is 0.5\d+, and of 200 steps still 0.5\d+ \(sub_vp\)$"),
]
PROVEN_ELSEWHERE = {"result", *(check.name for check in checks_by(lambda *arguments: []))}


@pytest.fixture(scope="module")
def registry():
    return Registry.discover()


def test_the_right_one_fails_no_check(registry):
    assert [outcome.check.name for outcome in conform(Right(), registry) if outcome.status != "pass"] == []


@pytest.mark.parametrize(("name", "wrong", "message"), BITES, ids=[wrong.name for _, wrong, _ in BITES])
def test_a_wrong_one_is_caught_by_the_check_of_its_fault_alone(registry, name, wrong, message):
    failed = {outcome.check.name: outcome.message for outcome in conform(wrong(), registry) if outcome.status != "pass"}
    assert failed.keys() == {name}, failed
    assert re.search(message, failed[name]), failed[name]


def test_every_check_bites():
    assert {name for name, *_ in BITES} == {check.name for check in checks_of("grid")} - PROVEN_ELSEWHERE
