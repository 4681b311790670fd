"""The checks that a component is a value: each catches one that is none."""

import re

import attrs
import pytest

from scoresde.core import Grid, Interval, option
from scoresde.core.interfaces import KINDS
from scoresde.core.testing import checks_of, conform
from scoresde.core.testing.checks.component import VALUE
from scoresde.registry import Registry


class Equal(Grid):
    """Equal steps."""

    def intervals(self, sde, count):
        times = [sde.t_max + (sde.sampling_end - sde.t_max) * i / count for i in range(count)] + [sde.sampling_end]
        return tuple(Interval(times[i], times[i + 1], i, count) for i in range(count))


@attrs.define(kw_only=True, unsafe_hash=True)
class Loose(Equal):
    """Its options can be set (Song et al., 2021)."""

    name = "loose"
    power: float = option(1.0)


class Bare(Equal):
    """Has no options, nor attrs (Song et al., 2021)."""

    name = "bare"


@attrs.frozen(kw_only=True, eq=False)
class Itself(Equal):
    """Equals itself alone (Song et al., 2021)."""

    name = "itself"
    power: float = option(1.0)


@attrs.frozen(kw_only=True)
class Doubled(Equal):
    """Doubles its option whenever it is made (Song et al., 2021)."""

    name = "doubled"
    power: float = attrs.field(default=1.5, converter=lambda value: 2 * value)


@attrs.frozen(kw_only=True)
class Table(Equal):
    """Has an option that no file can say (Song et al., 2021)."""

    name = "table"
    powers: frozenset = frozenset({1.0})


@attrs.frozen(kw_only=True)
class Unsourced(Equal):
    """Comes from nowhere."""

    name = "unsourced"


@attrs.frozen(kw_only=True)
class Silent(Equal):
    name = "silent"


BITES = [
    ("frozen", Loose, r"^its field power can be set after it is made$"),
    ("frozen", Bare, r"^Bare lacks @attrs.frozen\(kw_only=True\)$"),
    ("frozen", Itself, r"^two equal ones have different hashes$"),
    ("toml", Doubled, r"^written as TOML and read back it is Doubled\(power=6.0\)$"),
    ("toml", Table, r"^TypeError: Object of type 'frozenset' is not TOML serializable$"),
    ("source", Unsourced, r"^neither the docstring of the class nor that of its module cites a source by its year$"),
    ("source", Silent, r"^the class has no docstring$"),
]


@pytest.fixture(scope="module")
def registry():
    return Registry.discover()


@pytest.mark.parametrize(("name", "wrong", "message"), BITES, ids=[wrong.name for _, wrong, _ in BITES])
def test_what_is_no_value_is_caught_by_the_check_of_its_fault(registry, name, wrong, message):
    """One that is made without attrs, or equals itself alone, is bound to fail further ones."""
    failed = {outcome.check.name: outcome.message for outcome in conform(wrong(), registry) if outcome.status != "pass"}
    also = {"bare": {"toml", "copies"}, "itself": {"toml", "copies"}}.get(wrong.name, set())
    assert failed.keys() == {name} | also
    assert re.search(message, failed[name]), failed[name]


def test_every_check_bites():
    assert {name for name, *_ in BITES} == {check.name for check in VALUE}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_the_checks_of_values_first(kind):
    assert [check.name for check in checks_of(kind)][: len(VALUE)] == [check.name for check in VALUE]
