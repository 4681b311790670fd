"""Runs killed a dozen times at random moments end as one that nothing stopped; ``benchmarks/kill.py`` kills them hundreds of times."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "benchmarks" / "kill.py"


@pytest.mark.parametrize(("processes", "kills"), [(1, 12), (2, 4)])
def test_a_run_that_is_killed_at_random_moments_ends_the_same(processes: int, kills: int) -> None:
    words = [sys.executable, str(PROGRAM), "--kills", str(kills), "--processes", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=1500, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["kills"], found["processes"], found["different"], sum(found["while"].values())) == (kills, processes, {}, kills)
