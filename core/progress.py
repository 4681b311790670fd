"""What long work says of itself on standard error: a bar in a terminal, a line now and then in a log.

With d of N units done, of which this process did d - d0 in the time e, the rate is r = (d - d0) / e and the time left (N - d) / r.
"""

import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, SupportsFloat, TextIO, final

_BAR_EVERY = 0.1  # seconds between two drawings of the bar


def duration(seconds: float) -> str:
    """A length of time for people, in its two largest units: "40 ms", "0.4 s", "12 s", "1 min 2 s", "2 h 5 min", "3 d 4 h"."""
    if 0 < seconds < 0.1:
        return f"{1000 * seconds:.0f} ms" if seconds >= 0.0095 else f"{1000 * seconds:.1f} ms"
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, part, part_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {name} {rest} {part_name}" if rest else f"{whole // size} {name}"
    return f"{whole} s"


def number(value: float) -> str:
    """Three digits, without an exponent from 0.0001 up to a million."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


@final
class Progress:
    """Work of ``total`` units, of which ``done`` were done before; used in a ``with``.

    In a terminal it is a bar; elsewhere lines, the first after the first update, then one at most every ``every`` seconds, and a last one.
    ``quiet`` prints nothing. ``clock`` gives the time in seconds.
    """

    def __init__(
        self,
        name: str,
        total: int,
        unit: str = "step",
        *,
        done: int = 0,
        quiet: bool = False,
        every: float = 10.0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.total, self.unit, self.done, self.quiet = name, total, unit, done, quiet
        self._stream = sys.stderr if stream is None else stream
        self._clock, self._every, self._before = clock, every, done
        self._figures: Mapping[str, SupportsFloat] = {}
        self._bar: Any = None
        self._start = self._printed = -float("inf")

    def __enter__(self) -> Self:
        self._start = self._clock()
        if not self.quiet and self._stream.isatty():
            from tqdm import tqdm

            self._every = _BAR_EVERY
            options = {"initial": self.done, "file": self._stream, "mininterval": 0, "miniters": 1, "dynamic_ncols": True}
            self._bar = tqdm(total=self.total, desc=self.name, unit=f" {self.unit}", **options)
        return self

    def update(self, n: int = 1, **figures: SupportsFloat) -> None:
        """``n`` more units are done. A figure (a number or a tensor of one element) is read only when it is printed."""
        self.done += n
        self._figures = figures or self._figures
        now = self._clock()
        if self.quiet or now - self._printed < self._every or self.done >= self.total:
            return
        self._printed = now
        if self._bar is None:
            self._line(self._rate(now))
        else:
            self._draw()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.quiet:
            return
        if kind is not None:
            self._figures = {}  # reading a tensor may fail once more, and would hide the error
        if self._bar is not None:
            self._draw()
            self._bar.close()
            return
        elapsed = duration(self._clock() - self._start)
        self._line([f"done in {elapsed}" if kind is None else f"stopped after {elapsed}"])

    def _draw(self) -> None:
        self._bar.set_postfix({key: number(float(value)) for key, value in self._figures.items()}, refresh=False)
        self._bar.update(self.done - self._bar.n)

    def _rate(self, now: float) -> list[str]:
        elapsed, done = now - self._start, self.done - self._before
        if elapsed <= 0 or done <= 0:
            return []
        rate = done / elapsed
        speed = f"{number(rate)} {self.unit}/s" if rate >= 1 else f"{number(1 / rate)} s/{self.unit}"
        return [speed, f"{duration((self.total - self.done) / rate)} left"]

    def _line(self, ending: list[str]) -> None:
        share = round(100 * self.done / self.total) if self.total else 100
        percent = share if self.done >= self.total else min(share, 99)
        figures = [f"{key.replace('_', ' ')} {number(float(value))}" for key, value in self._figures.items()]
        head = f"{self.name}: {self.unit} {self.done}/{self.total} ({percent} %)"
        print(", ".join([head, *figures, *ending]), file=self._stream, flush=True)
