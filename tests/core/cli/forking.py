"""Runs commands in processes of their own, forked from this one so that what takes long to import is imported once.

Reads jobs from standard input, one JSON object a line, and answers each with a line: [exit status, stdout, stderr] of every process. A job
has ``arguments``, ``folder``, ``processes`` (joined as a launcher joins them, where there are several), ``before`` (Python to run first),
``seconds`` (after which all are killed) and ``kill`` ([seconds, signal]: what they are sent, and when).
"""

import json
import os
import signal
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import accelerate.utils  # noqa: F401
import matplotlib.pyplot  # noqa: F401
import scipy.special  # noqa: F401
import sklearn.datasets  # noqa: F401
import torchvision  # noqa: F401

import scoresde.core.stages
import scoresde.plugins  # noqa: F401
from scoresde.core.cli import main


def work(job: dict[str, Any]) -> list[Any]:
    """All processes of a job."""
    count, environment = job["processes"], {}
    if count > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(count)}
            environment |= {"LOCAL_WORLD_SIZE": str(count), **({"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {})}
    with tempfile.TemporaryDirectory() as folder:
        files = [[Path(folder, f"{rank}-{name}") for name in ("out", "err")] for rank in range(count)]
        children = [forked(job, environment | place(rank, count), files[rank]) for rank in range(count)]
        statuses = ended(children, job)
        return [[status, *(file.read_text("utf-8") for file in pair)] for status, pair in zip(statuses, files, strict=True)]


def place(rank: int, count: int) -> dict[str, str]:
    return {"RANK": str(rank), "LOCAL_RANK": str(rank)} if count > 1 else {}


def forked(job: dict[str, Any], environment: dict[str, str], files: list[Path]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        for number, file in enumerate(files, 1):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        os.environ.update(environment)
        os.chdir(job["folder"])
        exec(job["before"], {})
        main(job["arguments"])
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def ended(children: list[int], job: dict[str, Any]) -> list[int]:
    """The exit statuses, negative for a signal; what has not ended in time is killed."""
    start, statuses, (kill_at, number) = time.monotonic(), dict[int, int](), job["kill"]
    while len(statuses) < len(children):
        for child in children:
            pid, status = (0, 0) if child in statuses else os.waitpid(child, os.WNOHANG)
            if pid:
                statuses[child] = os.waitstatus_to_exitcode(status)
        elapsed = time.monotonic() - start
        time.sleep(0.002)
        if kill_at is not None and elapsed >= kill_at:
            kill_at = None
            _send(children, statuses, number)
        if elapsed >= job["seconds"]:
            _send(children, statuses, signal.SIGKILL)
    return [statuses[child] for child in children]


def _send(children: list[int], statuses: dict[int, int], number: int) -> None:
    for child in children:
        if child not in statuses:
            os.kill(child, number)


for line in sys.stdin:
    print(json.dumps(work(json.loads(line))), flush=True)
