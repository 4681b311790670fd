"""Checks of the kind."""

from .component import VALUE

CHECKS = VALUE
