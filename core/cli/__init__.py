"""The command line: parse, load, call core."""

from .main import main

__all__ = ["main"]
