"""Errors that a user can act on; the command line prints each as one line and leaves with its exit status."""

from .component import Component


class UserError(Exception):
    """Wrong input: what was found, what was expected, what to do (exit status 2)."""

    status = 2


class ResultError(UserError):
    """A component's method returned what its interface does not say; ``what`` is "step returned", for example."""

    def __init__(self, component: Component, what: str, found: object, expected: str) -> None:
        said = "None" if found is None else f"a {type(found).__name__}"
        super().__init__(f'{component.kind} "{component.name}": {what} {said}, expected {expected}')


class NonFiniteError(ArithmeticError):
    """A value that is not finite: the component, the step and the time (exit status 3)."""

    status = 3


class StoppedError(Exception):
    """Stopped from outside (SIGTERM or Ctrl-C) with the state saved (exit status 143)."""

    status = 143
