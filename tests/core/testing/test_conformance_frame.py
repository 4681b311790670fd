"""The frame of the conformance kit: one test for each check, none of them silently left out, and failures that are expected."""

import re
from collections.abc import Mapping
from typing import ClassVar, final

import attrs
import pytest

from scoresde.core import Corrector, Grid, Interval, LinearSDE, Predictor, Sampler, Step, double, exp, sqrt
from scoresde.core.interfaces import KINDS
from scoresde.core.testing import Check, Subject, checks_of, conform, parametrize_with_checks
from scoresde.core.testing import conformance as frame
from scoresde.core.testing.conformance import Examination, Partners, examine, with_class
from scoresde.plugins import EulerMaruyama
from scoresde.registry import Registry

pytest_plugins = ["pytester"]

REGISTRY = Registry.discover(only=())


@final
@attrs.frozen(kw_only=True)
class Halves(Grid):
    """Two steps (2021), of which one check is known to fail."""

    name = "halves"
    expected_failures: ClassVar[Mapping[str, str]] = {"any count": "it has two steps"}

    def intervals(self, sde, count):
        return (Interval(1.0, 0.5, 0, 2), Interval(0.5, 0.0, 1, 2))


def counts(subject):
    found = len(subject.component.intervals(subject.sdes[0], 7))
    assert found == 7, f"7 steps were asked for and {found} came\nand further lines"


def breaks(subject):
    raise IndexError("list index out of range")


def holds(subject):
    return None


def silent(subject):
    raise AssertionError


ANY_COUNT, BROKEN, HOLDS = Check("any count", counts, "count"), Check("broken", breaks, "mend"), Check("holds", holds, "hold")


def test_every_interface_has_a_check_list_of_its_own():
    for kind in KINDS:
        names = [check.name for check in checks_of(kind)]
        assert len(set(names)) == len(names), f"{kind} has two checks of one name"
        assert names[:3] == ["frozen", "toml", "source"]
        assert len(names) > 3
        assert all(check.advice for check in checks_of(kind))


def test_a_kind_without_checks_is_said():
    with pytest.raises(ValueError, match=r"^kind 'planet' has no checks; there are checks of sde, model, classifier, predictor,"):
        checks_of("planet")


@pytest.mark.parametrize(
    ("check", "status", "message"),
    [
        (ANY_COUNT, "expected failure", "it has two steps (7 steps were asked for and 2 came)"),
        (ANY_COUNT._replace(name="seven"), "fail", "7 steps were asked for and 2 came"),
        (BROKEN, "fail", "IndexError: list index out of range"),
        (HOLDS, "pass", ""),
        (
            HOLDS._replace(name="any count"),
            "unexpected pass",
            "expected_failures names this check (it has two steps), but it passes: take it out",
        ),
        (Check("mute", silent, "speak"), "fail", "AssertionError"),
    ],
)
def test_outcomes(check, status, message):
    assert examine(Subject(Halves(), REGISTRY), check) == (check, status, message)


def test_an_expected_failure_of_no_check_is_a_failure(monkeypatch):
    monkeypatch.setattr(frame, "checks_of", lambda kind: (HOLDS,))
    outcomes = [(outcome.check.name, outcome.status, outcome.message) for outcome in conform(Halves(), REGISTRY)]
    assert outcomes == [
        ("holds", "pass", ""),
        ("any count", "fail", 'expected_failures names "any count", which is no check of kind "grid"'),
    ]


def test_no_components_are_refused():
    with pytest.raises(ValueError, match=r"^no components: name at least one class or instance$"):
        parametrize_with_checks([])


@pytest.mark.parametrize("stranger", [7, int, object()], ids=["number", "class", "object"])
def test_what_is_no_component_is_refused(stranger):
    with pytest.raises(ValueError, match=r"is no component: it has no kind and name$"):
        parametrize_with_checks([stranger])


def test_a_class_under_test_joins_the_registry_once():
    joined = with_class(REGISTRY, Halves)
    assert joined.get("grid", "halves") is Halves
    assert with_class(joined, Halves) is joined


def test_subjects_have_one_sde_of_each_accepted_kind():
    assert [sde.name for sde in Subject(Halves(), REGISTRY).sdes] == ["sub_vp", "ve", "vp"]


def test_without_an_accepted_sde_nothing_is_measured():
    class JumpSDE:
        pass

    @attrs.frozen(kw_only=True)
    class Needy(Predictor):
        name = "needy"
        needs = JumpSDE

        def step(self, reverse, x, interval, state, noise):
            raise NotImplementedError

    @attrs.frozen(kw_only=True)
    class Around(Corrector):
        name = "around"
        inside: Predictor = Needy()

        def correct(self, reverse, x, t, noise):
            raise NotImplementedError

    message = r"^none of the registered SDEs is a JumpSDE and a LinearSDE.*, which the component and the exact problems need: "
    for component in (Needy(), Around()):
        with pytest.raises(AssertionError, match=message):
            Subject(component, REGISTRY).sdes  # noqa: B018


class Loud(LinearSDE):
    """Says of its noise what is not so (Karras et al., 2022, Table 1, with 1.5 times its g)."""

    levels = 1000
    t_min = 2.5e-5
    prior_std = 80.0

    def rate(self, t):
        return 0.0 * double(t)

    def diffusion(self, t):
        return 120.0 * sqrt(2 * double(t))

    def alpha(self, t):
        return 1.0 + 0.0 * double(t)

    def sigma(self, t):
        return 80.0 * double(t)

    def time(self, log_snr):
        return exp(-0.5 * log_snr) / 80.0

    def transition(self, t, s):
        return self.alpha(t), 80.0 * sqrt((double(t) - double(s)) * (double(t) + double(s)))


@attrs.frozen(kw_only=True)
class Louder(Loud):
    name = "louder"


LOUDER = (
    'sde "louder" of under test is left out: it fails its own check "marginal": at t = 5e-05 the variance of p(x_t | x_0) grows as'
    " with g(t)^2 = 0.64, but diffusion says 1.44"
)


def test_a_wrong_sde_fails_itself_and_no_component_beside_it():
    (order,) = [check for check in checks_of("predictor") if check.name == "order"]
    subject = Subject(EulerMaruyama(), with_class(REGISTRY, Louder))
    assert [sde.name for sde in subject.sdes] == ["sub_vp", "ve", "vp"]
    assert list(subject.left_out.values()) == [LOUDER]
    assert examine(subject, order) == (order, "pass", "")
    alone = Subject(Louder(), with_class(REGISTRY, Louder))
    assert (alone.sdes, dict(alone.left_out)) == ([Louder()], {})
    (marginal,) = [check for check in checks_of("sde") if check.name == "marginal"]
    assert examine(alone, marginal).status == "fail"


def test_where_a_wrong_sde_is_the_only_one_it_is_said():
    message = f"none of the registered SDEs is a LinearSDE and a SDE, .*: nothing to measure; {re.escape(LOUDER)}$"
    with pytest.raises(AssertionError, match=message):
        Subject(EulerMaruyama(), with_class(Registry(), Louder)).sdes  # noqa: B018


def test_an_sde_that_cannot_be_made_is_left_out():
    @attrs.frozen(kw_only=True)
    class Fragile(Loud):
        name = "fragile"

        def __attrs_post_init__(self):
            raise RuntimeError("no good\ntoday")

    subject = Subject(EulerMaruyama(), with_class(REGISTRY, Fragile))
    assert [sde.name for sde in subject.sdes] == ["sub_vp", "ve", "vp"]
    assert list(subject.left_out.values()) == ['sde "fragile" of under test is left out: it cannot be made (RuntimeError: no good today)']


@attrs.frozen(kw_only=True)
class Forgetful(Predictor):
    """Its step has no return (2021)."""

    name = "forgetful"

    def step(self, reverse, x, interval, state, noise):
        reverse.drift(x, interval.t)


@attrs.frozen(kw_only=True)
class Empty(Predictor):
    """Its step has no mean (2021)."""

    name = "empty"

    def step(self, reverse, x, interval, state, noise):
        return Step(x, None)


@attrs.frozen(kw_only=True)
class Bare(Corrector):
    """A state alone (2021)."""

    name = "bare"

    def correct(self, reverse, x, t, noise):
        return x


@attrs.frozen(kw_only=True)
class Whole(Sampler):
    """Returns what it should yield (2021)."""

    name = "whole"
    result: str = "none"

    def sample(self, reverse, condition, x, intervals, noise):
        return {"none": None, "states": [x], "nothing": []}[self.result]

    def evaluations(self, steps):
        return steps


@attrs.frozen(kw_only=True)
class Pairs(Grid):
    """Bare pairs of times (2021)."""

    name = "pairs"

    def intervals(self, sde, count):
        return [(1.0, 0.5), (0.5, 0.0)]


RESULTS = [
    (Forgetful(), 'predictor "forgetful": step returned None, expected a Step'),
    (Empty(), 'predictor "empty": step returned None, expected a tensor for the mean of its Step'),
    (Bare(), 'corrector "bare": correct returned a Tensor, expected a Step'),
    (Whole(), 'sampler "whole": sample returned None, expected an iterator of Step'),
    (Whole(result="states"), 'sampler "whole": sample yielded a Tensor, expected a Step'),
    (Whole(result="nothing"), 'sampler "whole": sample yielded no step, expected one after each of 4 intervals'),
    (Halves(), "of 1 steps it makes 2 (sub_vp)"),
    (Pairs(), 'grid "pairs": intervals returned a list, expected a tuple of Interval'),
]


@pytest.mark.parametrize(("component", "message"), RESULTS, ids=[message.split(":")[0] for _, message in RESULTS])
def test_a_result_of_another_type_is_told_once(component, message):
    outcomes = [(outcome.check.name, outcome.status, outcome.message) for outcome in conform(component, REGISTRY.adding(type(component)))]
    assert outcomes == [*((name, "pass", "") for name in ("frozen", "toml", "source")), ("result", "fail", message)]


def test_a_result_of_another_type_fails_every_test_by_that_line():
    (order,) = [check for check in checks_of("predictor") if check.name == "order"]
    with pytest.raises(AssertionError) as caught:
        Examination(order, Partners())(Forgetful())
    advice = "return what the interface says, on every way through the method"
    assert str(caught.value) == f'Forgetful(): predictor "forgetful": step returned None, expected a Step\n{advice}'


MODULE = """
from collections.abc import Mapping
from typing import ClassVar, final

import attrs
from scoresde.core import Grid
from scoresde.core.testing import Check, conformance


def fails(subject):
    assert subject.component.good, "it is not good"


conformance.checks_of = lambda kind: (Check("first", lambda subject: None, "..."), Check("second", fails, "make it good"))


@final
@attrs.frozen(kw_only=True)
class Some(Grid):
    name = "some"
    good: bool = True
    expected_failures: ClassVar[Mapping[str, str]] = {expected}

    def intervals(self, sde, count):
        return ()


@conformance.parametrize_with_checks([{components}])
def test_conformance(component, check):
    check(component)
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """A test module of two checks, run in a pytest of its own."""
    monkeypatch.setattr(frame, "checks_of", frame.checks_of)  # restored afterwards

    def made(components, *arguments, expected="{}"):
        pytester.makepyfile(test_own=MODULE.replace("{components}", components).replace("{expected}", expected))
        return pytester.runpytest_inprocess("-v", "-p", "no:cacheprovider", *arguments)

    return made


def test_one_test_for_each_check_and_one_that_they_are_complete(run):
    result = run("Some, Some(good=False)")
    result.assert_outcomes(passed=5, failed=1)
    names = [line.split("[")[1].split("]")[0] for line in result.outlines if "::test_conformance[" in line and "%" in line]
    assert names == [f"grid:some{number}-{name}" for number in (0, 1) for name in ("first", "second", "complete")]
    result.stdout.fnmatch_lines(["*AssertionError: Some(good=False): it is not good", "*make it good"])


def test_a_deselected_check_is_missing(run):
    result = run("Some", "--deselect", "test_own.py::test_conformance[grid:some-second]")
    result.assert_outcomes(passed=1, failed=1, deselected=1)
    assert "Some(good=True): 1 of 2 checks were collected: ['second'] are missing\n" in result.stdout.str()


def test_an_expected_failure_is_marked_and_its_pass_fails(run):
    expected = "{'second': 'the method is biased'}"
    result = run("Some(good=False)", "-rx", expected=expected)
    result.assert_outcomes(passed=2, xfailed=1)
    result.stdout.fnmatch_lines(["XFAIL *grid:some-second* - the method is biased (it is not good)"])
    result = run("Some", expected=expected)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*expected_failures names this check (the method is biased), but it passes: take it out"])


def test_an_expected_failure_of_no_check_is_not_complete(run):
    result = run("Some", expected="{'third': 'never heard of'}")
    result.assert_outcomes(passed=2, failed=1)
    assert "Some(good=True): expected_failures names ['third'], which are no checks of its kind\n" in result.stdout.str()
