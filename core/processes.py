"""The processes of a run: how they are started, and what they say of themselves.

``start`` has torch's own launcher start them on this machine; ``torchrun`` and ``accelerate launch`` do so as well. Each process is
told its place by RANK, LOCAL_RANK and WORLD_SIZE; accelerate joins them, by gloo on CPUs and by NCCL on CUDA devices.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from .errors import StoppedError, UserError

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn

_COUNTS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_PATIENCE = 120  # seconds in which processes that are to stop save their state
_WATCHED_EVERY = 0.3  # seconds
_MARKS = ("forward", "_original_forward", "_is_accelerate_prepared")  # that accelerate leaves on a module, and passes it over by
_LOOPBACK = {"linux": "lo", "darwin": "lo0"}


def running() -> int | None:
    """How many processes a launcher has started, of which this is one; None for a process that was started by itself."""
    return next((int(os.environ[name]) for name in _COUNTS if os.environ.get(name)), None)


def rank() -> int:
    """This process's place; that of the main process is 0."""
    return int(os.environ.get("RANK", 0)) if running() else 0


def check_count(asked: int | None) -> None:
    """Raises UserError where other processes run than were asked for."""
    there = running()
    if asked is not None and there is not None and asked != there:
        raise UserError(f"--processes {asked}: the launcher has started {there}: ask both for the same number, or leave --processes out")
    if there is None and "ACCELERATE_USE_CPU" in os.environ and "MASTER_ADDR" in os.environ:
        better = "scoresde COMMAND --processes N, or torchrun --nproc_per_node N -m scoresde.core COMMAND"
        raise UserError(f"accelerate launch was asked for several processes and has started one (on CPUs it needs MPI): take {better}")


def start(count: int, arguments: Sequence[str]) -> NoReturn:
    """Runs the command with these arguments in ``count`` processes on this machine, and exits with their status."""
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable(logging.CRITICAL)  # the processes themselves say what is wrong
    threads = str(max(1, (os.cpu_count() or 1) // count))
    for name, value in (("OMP_NUM_THREADS", threads), ("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_PATIENCE))):
        os.environ.setdefault(name, value)
    if sys.platform in _LOOPBACK:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", _LOOPBACK[sys.platform])
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=f"scoresde-{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", __package__, *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            print(f"process {rank + 1} of {count} was ended by {signal.Signals(-failure.exitcode).name}", file=sys.stderr)
        sys.exit(failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode)
    except SignalException:
        sys.exit(StoppedError.status)
    sys.exit(0)


def begin() -> None:
    """What a process that a launcher has started does first, before torch is imported.

    It ends soon after the launcher, were that killed: nobody else would end it, and a resumed run would meet it at work.
    """
    if running() is None:
        return
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # or the search for unused parameters warns where there are none
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCHED_EVERY)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def start_anew() -> None:
    """Makes accelerate forget the device and the precision of the work before: it keeps them for all that a process does.

    What was made for that work is of no use afterwards.
    """
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)


@contextmanager
def accelerated(network: "nn.Module", device: str, precision: str | None) -> "Iterator[Accelerator]":
    """An Accelerator for work on a network in somebody's own process, of which neither keeps the precision afterwards.

    Raises ValueError where the device does not have it, or work of others in this process has another one.
    """
    from accelerate import Accelerator
    from accelerate.state import is_initialized

    alone, own = not is_initialized() and running() is None, {name: vars(network)[name] for name in _MARKS if name in vars(network)}
    try:
        try:
            made = Accelerator(cpu=device == "cpu", mixed_precision="no" if precision == "float32" else precision)
        except ValueError as error:
            raise ValueError(f"device={device!r}, precision={precision!r}: {error}") from error
        yield made
    finally:
        for name in _MARKS:
            vars(network).pop(name, None)
        vars(network).update(own)
        if alone:
            start_anew()


def check_devices(device: str) -> None:
    """Raises UserError where this machine has fewer devices than processes."""
    import torch

    processes = int(os.environ.get("LOCAL_WORLD_SIZE", running() or 1))
    if device == "cuda" and processes > torch.cuda.device_count():
        raise UserError(f"{processes} processes on this machine need as many CUDA devices, and there are {torch.cuda.device_count()}")
    if device == "mps" and processes > 1:
        raise UserError(f"{processes} processes cannot share the device mps: take --set run.device=cpu, or one process")


def check_configuration(option: str, precision: str) -> None:
    """Raises UserError where the configuration of ``accelerate launch`` asks for another precision than the experiment."""
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if asked not in ("no", precision):
        raise UserError(f"accelerate's configuration asks for {asked}, and {option} is {precision}: set that (--set {option}={asked})")


def check_joined(accelerator: "Accelerator") -> None:
    """Raises UserError where accelerate has not joined the processes that run."""
    there, joined = running() or 1, accelerator.num_processes
    if joined != there:
        raise UserError(
            f"{there} processes run, and {joined} of them work together on {accelerator.device.type}: take one, or another device"
        )
    kind = accelerator.distributed_type.value
    if kind not in ("NO", f"MULTI_{'GPU' if accelerator.device.type == 'cuda' else accelerator.device.type.upper()}"):
        raise UserError(f"accelerate's configuration asks for {kind}: scoresde trains data-parallel, so take that, or one process")


def described(accelerator: "Accelerator") -> str:
    """How many processes work, on which devices and with how many threads. All of them ask at the same time."""
    import torch
    from accelerate.utils import gather_object

    device = accelerator.device
    name = f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type
    each = gather_object([(name, torch.get_num_threads())])
    devices, threads = dict.fromkeys(device for device, _ in each), dict.fromkeys(str(count) for _, count in each)
    many = f"{len(each)} processes" if len(each) > 1 else "1 process"
    ending = " each" if len(each) > 1 and len(threads) == 1 else ""
    return f"{many} on {', '.join(devices)}, {' and '.join(threads)} thread{'' if list(threads) == ['1'] else 's'}{ending}"
