"""The conformance kit: what every component of a kind has to keep, measured on problems whose answers are exact.

A kind has a list of checks (``checks``), each a function of a ``Subject`` that raises AssertionError with one line saying what was measured
and what was expected. No check is skipped: one that finds nothing to measure fails. What a component is known not to keep it says in
``expected_failures``; a check named there that passes after all is a failure too, so that the statement stays true.

    @parametrize_with_checks([Heun, Heun(order=3)])
    def test_conformance(component, check):
        check(component)
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property, partial, wraps
from inspect import Parameter, Signature
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar, final

import attrs

from scoresde.registry import Provided, Registry

from ..component import Component
from ..experiment import components
from ..interfaces import KINDS
from ..sde import SDE, LinearSDE

Status: TypeAlias = Literal["pass", "fail", "expected failure", "unexpected pass"]
Test = TypeVar("Test", bound=Callable[..., object])


@final
class Subject:
    """A component under test, and the registry that its partners come from."""

    def __init__(self, component: Component, registry: Registry) -> None:
        self.component: Any = component  # each kind's checks call its own methods
        self.registry = registry

    @cached_property
    def sdes(self) -> list[SDE]:
        """One SDE of every registered class that the component and its parts accept, has no required options and is linear, so that the
        answers are known exactly, without those that are ``left_out``; the component itself if it is an SDE, and one alone for a kind
        that takes none (data sets).

        Raises AssertionError where there is none.
        """
        if isinstance(self.component, SDE):
            return [self.component]
        found = [cls() for cls in self._accepted if cls not in self.left_out]
        names = " and a ".join(sorted({need.__name__ for need in self._needed}))
        faults = "".join(f"; {line}" for line in self.left_out.values())
        assert found, (
            f"none of the registered SDEs is a {names}, which the component and the exact problems need: nothing to measure{faults}"
        )
        return found[:1] if self.component.kind == "dataset" else found

    @cached_property
    def left_out(self) -> Mapping[type[SDE], str]:
        """The SDEs of plugins that fail checks of their own, under which nothing speaks of the component, and why: one line each."""
        lines = {provided.component: f'{provided.kind} "{provided.name}" of {provided.origin}' for provided in self._provided("sde")}
        faults = {cls: fault(cls) for cls in self._accepted if not cls.__module__.startswith("scoresde.plugins.")}
        return {cls: f"{lines[cls]} is left out: {found}" for cls, found in faults.items() if found is not None}

    @property
    def _needed(self) -> list[type[Any]]:
        return [LinearSDE, *(getattr(part, "needs", SDE) for _, part in components(self.component))]

    @property
    def _accepted(self) -> list[type[SDE]]:
        """The classes of the SDEs; none for an SDE, which is measured alone."""
        classes = [] if isinstance(self.component, SDE) else self.classes("sde")
        fitting = [cls for cls in classes if all(issubclass(cls, need) for need in self._needed)]
        return [cls for cls in fitting if not attrs.has(cls) or all(field.default is not attrs.NOTHING for field in attrs.fields(cls))]

    def classes(self, kind: str) -> list[type[Any]]:
        """The registered classes of a kind, each once, in the order of their names."""
        return list({one.component: None for one in sorted(self._provided(kind), key=lambda one: (one.name, one.distribution))})

    def _provided(self, kind: str) -> list[Provided]:
        return [provided for source in self.registry.sources for provided in source.components if provided.kind == kind]


class Check(NamedTuple):
    """One thing that a component has to keep; ``run`` raises AssertionError where it does not, and ``advice`` is what to look at then.

    Where one that is ``needed`` fails, those after it have nothing to measure, and are not run.
    """

    name: str
    run: Callable[[Subject], None]
    advice: str
    needed: bool = False


class Outcome(NamedTuple):
    """How a check ended, and what it said."""

    check: Check
    status: Status
    message: str


def checks_of(kind: str) -> tuple[Check, ...]:
    """The checks of a kind: those of all components, then its own. Raises ValueError for a kind that has none."""
    from .checks import CHECKS

    if kind not in CHECKS:
        raise ValueError(f"kind {kind!r} has no checks; there are checks of {', '.join(CHECKS)}")
    return CHECKS[kind]


def examine(subject: Subject, check: Check) -> Outcome:
    """One check. An exception of the component's own is a failure as well."""
    reason = subject.component.expected_failures.get(check.name)
    try:
        check.run(subject)
    except Exception as error:
        message = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        line = message.strip().splitlines()[0] if message.strip() else type(error).__name__
        return Outcome(check, "fail", line) if reason is None else Outcome(check, "expected failure", f"{reason} ({line})")
    if reason is not None:
        return Outcome(check, "unexpected pass", f"expected_failures names this check ({reason}), but it passes: take it out")
    return Outcome(check, "pass", "")


@cache
def fault(cls: type[SDE]) -> str | None:
    """What the first check of its mathematics that an SDE with its default options fails has found; None where it keeps them all."""
    from .checks.component import VALUE

    try:
        subject = Subject(cls(), Registry())
    except Exception as error:  # a plugin's class can raise anything
        return " ".join(f"it cannot be made ({type(error).__name__}: {error})".split())
    for check in checks_of("sde"):
        outcome = None if check in VALUE else examine(subject, check)
        if outcome is not None and outcome.status == "fail":
            return f'it fails its own check "{check.name}": {outcome.message}'
    return None


def conform(component: Component, registry: Registry) -> Iterator[Outcome]:
    """Every check of the component's kind, to the first failure of one that is ``needed``, and one failure for each name in
    ``expected_failures`` that is no check of the kind."""
    subject, checks = Subject(component, registry), checks_of(component.kind)
    for check in checks:
        yield (outcome := examine(subject, check))
        if check.needed and outcome.status == "fail":
            return
    for name in sorted(set(component.expected_failures) - {check.name for check in checks}):
        unknown = Check(name, lambda subject: None, "see the names of the other checks")
        yield Outcome(unknown, "fail", f'expected_failures names "{name}", which is no check of kind "{component.kind}"')


def parametrize_with_checks(components: Iterable[type[Component] | Component]) -> Callable[[Test], Callable[..., None]]:
    """Makes a pytest test of (component, check) one test for each component and each check of its kind.

    A class stands for itself with its default options. One further test for each component, "complete", fails where fewer checks were
    collected than the kind has. Raises ValueError for no components, or for what is no component.
    """
    import pytest

    made = [_made(component) for component in components]
    if not made:
        raise ValueError("no components: name at least one class or instance")
    partners, parameters = Partners(), []
    for component in made:
        twins = [other for other in made if type(other) is type(component)]
        label = f"{component.kind}:{component.name}" + (f"{twins.index(component)}" if len(twins) > 1 else "")
        examinations = [Examination(check, partners) for check in checks_of(component.kind)]
        parameters += [pytest.param(component, each, id=f"{label}-{each.check.name}") for each in examinations]
        parameters.append(pytest.param(component, None, id=f"{label}-complete"))
    return partial(_parametrized, parameters=parameters)


@final
class Partners:
    """The installed components, found when the first check asks for them."""

    @cached_property
    def registry(self) -> Registry:
        return Registry.discover()


@final
class Examination:
    """A check as a pytest test calls it: raises AssertionError where the component fails, and marks an expected failure as one."""

    def __init__(self, check: Check, partners: Partners) -> None:
        self.check, self.partners = check, partners

    def __call__(self, component: Component) -> None:
        __tracebackhide__ = True
        import pytest

        subject = Subject(component, with_class(self.partners.registry, type(component)))
        needed = [check for check in checks_of(component.kind) if check.needed and check is not self.check]
        found = (examine(subject, check) for check in needed)
        outcome = next((each for each in found if each.status == "fail"), None) or examine(subject, self.check)
        for line in subject.left_out.values():
            warnings.warn(line, stacklevel=2)
        if outcome.status == "expected failure":
            pytest.xfail(outcome.message)
        assert outcome.status == "pass", f"{component!r}: {outcome.message}\n{outcome.check.advice}"


def with_class(registry: Registry, component: type) -> Registry:
    """The registry with this class, which may be there already."""
    known = any(provided.component is component for source in registry.sources for provided in source.components)
    return registry if known else registry.adding(component, distribution="under test")


def _made(component: type[Component] | Component) -> Component:
    made = component() if isinstance(component, type) else component
    if getattr(made, "kind", None) not in KINDS or not isinstance(getattr(made, "name", None), str):
        raise ValueError(f"{component!r} is no component: it has no kind and name")
    return made


def _parametrized(test: Test, parameters: Sequence[Any]) -> Callable[..., None]:
    import pytest

    @wraps(test)
    def one(request: Any, component: Component, check: Examination | None) -> None:
        if check is None:
            _assert_complete(request, component)
        else:
            test(component=component, check=check)

    signature = Signature([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in ("request", "component", "check")])
    one.__signature__ = signature  # type: ignore[attr-defined]
    marked: Callable[..., None] = pytest.mark.parametrize(("component", "check"), parameters)(one)
    return marked


def _assert_complete(request: Any, component: Component) -> None:
    """All checks of the component's kind are collected with this test, and it expects failures of no others."""
    __tracebackhide__ = True
    names = {check.name for check in checks_of(component.kind)}
    beside = [item.callspec.params for item in request.session.items if getattr(item, "function", None) is request.function]
    collected = {params["check"].check.name for params in beside if params["component"] is component and params["check"] is not None}
    assert collected == names, (
        f"{component!r}: {len(collected)} of {len(names)} checks were collected: {sorted(names - collected)} are missing"
    )
    unknown = sorted(set(component.expected_failures) - names)
    assert not unknown, f"{component!r}: expected_failures names {unknown}, which are no checks of its kind"
