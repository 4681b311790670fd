"""Errors that a user can act on; the command line prints each as one line and leaves with its exit status."""


class UserError(Exception):
    """Wrong input: what was found, what was expected, what to do (exit status 2)."""

    status = 2


class NonFiniteError(ArithmeticError):
    """A value that is not finite: the component, the step and the time (exit status 3)."""

    status = 3


class StoppedError(Exception):
    """Stopped from outside (SIGTERM or Ctrl-C) with the state saved (exit status 143)."""

    status = 143
