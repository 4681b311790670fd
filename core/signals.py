"""SIGTERM and Ctrl-C while work is under way: noted, so that the work ends at a good place, or answered at once."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_stop(answer: Callable[[], object]) -> Iterator[None]:
    """Calls ``answer`` where SIGTERM or Ctrl-C comes; what it raises comes out of whatever runs."""

    def handler(number: int, frame: FrameType | None) -> None:
        answer()

    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def terminated() -> Iterator[list[int]]:
    """A list that is no longer empty once SIGTERM or Ctrl-C has come; a second Ctrl-C interrupts at once."""
    received: list[int] = []

    def note() -> None:
        received.append(1)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with on_stop(note):
        yield received
