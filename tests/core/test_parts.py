"""Work in parts: what is kept is not made again, what is missing is dealt out, and a stop loses nothing that is whole."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from scoresde.core.errors import StoppedError, UserError
from scoresde.core.parts import Part, Parts

NAMES = [f"part-{place}" for place in range(5)]


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


def process(index: int, count: int) -> Any:
    return SimpleNamespace(num_processes=count, process_index=index, wait_for_everyone=lambda: None)


def tenfold(place: int) -> Part:
    return {"x": torch.tensor([10.0 * place])}


def test_parts_are_made_once_and_read_in_their_order(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "new", NAMES, Accelerator(cpu=True))
    assert (parts.kept, parts.own, parts.whose) == ([], [0, 1, 2, 3, 4], "")
    parts.make(tenfold)
    assert [part["x"].item() for part in parts] == [0.0, 10.0, 20.0, 30.0, 40.0]
    (tmp_path / "new" / "part-2.safetensors").unlink()
    made: list[int] = []
    again = Parts(tmp_path / "new", NAMES, Accelerator(cpu=True))
    assert (again.kept, again.own) == ([0, 1, 3, 4], [2])
    again.make(lambda place: made.append(place) or tenfold(-place))
    assert made == [2]
    assert [part["x"].item() for part in again] == [0.0, 10.0, -20.0, 30.0, 40.0]


def test_missing_parts_are_dealt_to_the_processes(tmp_path: Path) -> None:
    kept = Parts(tmp_path, NAMES, process(0, 1))
    kept.own = [1]
    kept.make(tenfold)
    each = [Parts(tmp_path, NAMES, process(index, 2)) for index in range(2)]
    assert [parts.own for parts in each] == [[0, 3], [2, 4]]
    assert [parts.whose for parts in each] == [", process 1 of 2", ", process 2 of 2"]
    for parts in each:
        parts.make(tenfold)
    assert [part["x"].item() for part in each[1]] == [0.0, 10.0, 20.0, 30.0, 40.0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_at_once_and_keeps_what_is_whole(tmp_path: Path, number: signal.Signals) -> None:
    def stopped(place: int) -> Part:
        if place == 2:
            os.kill(os.getpid(), number)
        return tenfold(place)

    before = signal.getsignal(number)
    with pytest.raises(StoppedError) as error:
        Parts(tmp_path, NAMES, process(0, 1)).make(stopped)
    assert str(error.value) == "stopped with 2 of 5 chunks finished and saved: --resume goes on from there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part-0.safetensors", "part-1.safetensors"]
    assert signal.getsignal(number) == before


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    parts = Parts(tmp_path, NAMES, process(0, 1))
    parts.make(tenfold)
    path = tmp_path / "part-3.safetensors"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(UserError) as error:
        list(parts)
    assert re.fullmatch(rf"{path}: cannot be read: .*; remove it, and --resume makes it again", str(error.value))
