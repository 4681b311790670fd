"""Progress: the exact lines of a log, the bar of a terminal, and nothing when quiet."""

import io

import pytest
import torch

from scoresde.core.progress import Progress, duration, number


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Unread:
    """A figure that must not be read."""

    def __float__(self) -> float:
        raise AssertionError("a figure was read though nothing is printed")


def test_lines_come_first_every_ten_seconds_and_last() -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress("training", 3000, stream=stream, clock=clock) as progress:
        for step in range(1, 3001):
            clock.now += 0.0625
            progress.update(loss=torch.tensor(10.0 / step) if step % 160 == 1 or step == 3000 else Unread())
    expected = [
        "training: step 1/3000 (0 %), loss 10, 16 step/s, 3 min 7 s left",
        "training: step 161/3000 (5 %), loss 0.0621, 16 step/s, 2 min 57 s left",
        "training: step 321/3000 (11 %), loss 0.0312, 16 step/s, 2 min 47 s left",
    ]
    found = stream.getvalue().splitlines()
    assert found[:3] == expected
    assert len(found) == 20
    assert found[-2:] == [
        "training: step 2881/3000 (96 %), loss 0.00347, 16 step/s, 7.4 s left",
        "training: step 3000/3000 (100 %), loss 0.00333, done in 3 min 8 s",
    ]


def test_the_rate_leaves_out_what_was_done_before() -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress("training", 1000, done=900, stream=stream, clock=clock) as progress:
        clock.now += 20.0
        progress.update(10, loss=1.5)
        clock.now += 9.0
        progress.update(5)
        clock.now += 1.0
        progress.update(84)
    assert stream.getvalue().splitlines() == [
        "training: step 910/1000 (91 %), loss 1.5, 2 s/step, 3 min left",
        "training: step 999/1000 (99 %), loss 1.5, 3.3 step/s, 0.3 s left",
        "training: step 999/1000 (99 %), loss 1.5, done in 30 s",
    ]


def test_an_error_is_said_and_passed_on() -> None:
    clock, stream = Clock(), io.StringIO()

    def work() -> None:
        with Progress("sampling", 4, "sample", stream=stream, clock=clock) as progress:
            clock.now += 61.0
            progress.update(1, loss=2.0)
            progress.update(2, loss=Unread())
            raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        work()
    assert stream.getvalue().splitlines()[1:] == ["sampling: sample 3/4 (75 %), stopped after 1 min 1 s"]


def test_no_work_is_done_at_once() -> None:
    stream = io.StringIO()
    with Progress("sampling", 0, "sample", stream=stream, clock=Clock()) as progress:
        progress.update(0)
    assert stream.getvalue() == "sampling: sample 0/0 (100 %), done in 0.0 s\n"


def test_before_any_time_has_passed_there_is_no_rate() -> None:
    stream = io.StringIO()
    with Progress("training", 10, stream=stream, clock=Clock()) as progress:
        progress.update(1, learning_rate=2e-4, loss=123456.0)
    assert stream.getvalue().splitlines()[0] == "training: step 1/10 (10 %), learning rate 0.0002, loss 123456"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_quiet_prints_nothing_and_reads_nothing(stream: io.StringIO) -> None:
    with Progress("training", 2, quiet=True, stream=stream) as progress:
        progress.update(loss=Unread())
        progress.update(loss=Unread())
    assert stream.getvalue() == ""


def test_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("training", 1, clock=Clock()) as progress:
        progress.update()
    assert capsys.readouterr() == ("", "training: step 1/1 (100 %), done in 0.0 s\n")


def test_a_terminal_gets_a_bar_drawn_at_most_ten_times_a_second() -> None:
    clock, stream = Clock(), Terminal()
    with Progress("training", 200, done=50, stream=stream, clock=clock) as progress:
        for step in range(51, 201):
            clock.now += 0.01
            progress.update(loss=1 / step)
    drawn = stream.getvalue().split("\r")
    assert " 50/200 [" in drawn[1]
    assert drawn[-1].startswith("training: 100%|")
    assert drawn[-1].endswith("\n")
    assert " 200/200 [" in drawn[-1]
    assert "step/s, loss=0.005]" in drawn[-1]
    assert 15 <= len(drawn) <= 20


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (0.0014, "1.4 ms"),
        (0.0998, "100 ms"),
        (0.1, "0.1 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (62, "1 min 2 s"),
        (3599.7, "1 h"),
        (7500, "2 h 5 min"),
        (86400, "1 d"),
        (3 * 86400 + 4 * 3600 + 59, "3 d 4 h"),
    ],
)
def test_durations_are_written_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123, "0.0123"), (0.00012345, "0.000123"), (1.2345, "1.23"), (999.4, "999"), (-1234.5, "-1234"), (2.5e6, "2.5e+06"), (0.0, "0")],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text
