"""What evaluation costs: python benchmarks/evaluation.py --root DIR [--extractor classifier] [--option steps=1000] [--counts 10000 50000]

DIR holds MNIST as torchvision lays it out. Prints JSON, a line for each of

    first     seconds and most memory (resident set, in MiB) of the FID of the 10,000 held-out digits against the 60,000 for training, with
              the extractor's training and the features of the reference
    again     the same, with what was computed of the reference kept
    memory    most memory for each count of pictures (uniform noise), which is to be flat
    figures   seconds and most memory of the FID, the KID, the Inception score, precision and recall of the 10,000 together

To be taken on a machine that does nothing else.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

_RUN = """\
import json, resource, sys, time
from scoresde.core.cli import main
start = time.monotonic()
try:
    main(sys.argv[1:], standalone_mode=False)
finally:
    seconds = time.monotonic() - start
    print(json.dumps({"seconds": round(seconds, 2), "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
"""


def evaluated(arguments: argparse.Namespace, folder: Path, samples: Path, *metrics: str) -> dict[str, Any]:
    """The cost of one evaluation in a process of its own, and its first figure."""
    out = folder / f"out-{len(list(folder.glob('out-*')))}"
    words = [
        "evaluate",
        str(samples),
        "--against",
        "mnist",
        "--set",
        f"data.root={arguments.root.absolute()}",
        "--out",
        str(out),
        "--quiet",
    ]
    words += ["--extractor", arguments.extractor, *(word for option in arguments.option for word in ("--option", option))]
    words += [word for metric in metrics for word in ("--metric", metric)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads), "SCORESDE_CACHE": str(folder / "cache")}
    done = subprocess.run([sys.executable, "-c", _RUN, *words], check=True, env=environment, capture_output=True, text=True)
    cost: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    first = json.loads((out / "results.json").read_text())["figures"][0]
    return {**cost, first["name"]: first["value"]}


def digits(root: Path, path: Path) -> None:
    """The held-out digits as samples."""
    from torchvision.datasets import MNIST

    np.savez(path, x=MNIST(root, train=False).data.numpy()[:, None])


def noise(path: Path, count: int) -> None:
    np.savez(path, x=np.random.RandomState(0).randint(0, 256, (count, 1, 28, 28)).astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--extractor", default="classifier")
    parser.add_argument("--option", nargs="*", default=[])
    parser.add_argument("--counts", type=int, nargs="*", default=[10_000, 50_000])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        digits(arguments.root, folder / "digits.npz")
        for what in ("first", "again"):
            show(what, evaluated(arguments, folder, folder / "digits.npz", "fid"))
        for count in arguments.counts:
            noise(folder / f"{count}.npz", count)
            show("memory", {"count": count, **evaluated(arguments, folder, folder / f"{count}.npz", "fid")})
        show("figures", evaluated(arguments, folder, folder / "digits.npz", "fid", "kid", "inception_score", "precision_recall"))


def show(what: str, found: dict[str, Any]) -> None:
    started = time.strftime("%Y-%m-%d")
    print(json.dumps({"measured": what, **found, "on": started}), flush=True)


if __name__ == "__main__":
    main()
