"""Problems of an experiment file: each one line, at the place that set the value, and all of them in one error."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import NamedTuple, final

from ..errors import UserError


class Place(NamedTuple):
    """A file with a line (numbered from 1), or a ``--set`` as it was given, with none."""

    label: str
    line: int | None = None

    def __str__(self) -> str:
        return self.label if self.line is None else f"{self.label}:{self.line}"


class Problem(NamedTuple):
    """What is wrong, and where: one line, whatever a value or a plugin's message holds."""

    place: Place
    text: str

    def __str__(self) -> str:
        return " ".join(f"{self.place}: {self.text}".splitlines())


@final
class ExperimentError(UserError):
    """All the problems of an experiment, one line each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


def report(problems: Iterable[Problem]) -> ExperimentError:
    """The error with these problems in the order of reading: file by file and line by line, the command line last."""
    problems = list(problems)
    files = list(dict.fromkeys(problem.place.label for problem in problems))

    def order(problem: Problem) -> tuple[bool, int, int]:
        place = problem.place
        return place.line is None, files.index(place.label), place.line or 0

    return ExperimentError(str(problem) for problem in sorted(problems, key=order))


def suggestion(word: str, valid: Iterable[str]) -> str:
    """`` Did you mean beta_min?`` (with the space before it), or nothing where no valid word is close."""
    close = get_close_matches(word, list(valid), n=1)
    return f" Did you mean {close[0]}?" if close else ""
