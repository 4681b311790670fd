"""Speed of CIFAR-10's NCSN++ and DDPM++, in images a second: python benchmarks/networks.py [--threads N] [--compile] [NAME ...]

Each network runs a batch of 8 forward, and forward and backward with dropout (a training step without the optimiser), in float32 and in
bfloat16 autocast. Beside images and GFLOP a second stand two shares: of the rate of a large matrix product in the same precision, and of
the rate of the network's convolutions alone, run one after the other in their own shapes and formats. 3x3 convolutions in float32 can
need fewer multiplications than they count (Winograd), so the first share may be above 1. Each time is the least of several.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from scoresde.core import DataSpec
from scoresde.plugins.model.ddpmpp import DDPMpp
from scoresde.plugins.model.ncsnpp import NCSNpp
from scoresde.plugins.sde.ve import VE

BATCH, ROUNDS, SIDE = 8, 5, 4096
SPEC = DataSpec(shape=(3, 32, 32), range=(-1.0, 1.0), levels=256)
MODELS = {"ncsnpp": NCSNpp(), "ddpmpp": DDPMpp()}


def seconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Of one call, after one that warms up."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times[1:])


@contextmanager
def precision(dtype: torch.dtype) -> Iterator[None]:
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        yield


def product_rate(dtype: torch.dtype) -> float:
    """FLOP/s of a product of two matrices of SIDE rows and columns."""
    a, b = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    return 2 * SIDE**3 / seconds(lambda: a @ b)


def convolutions(network: nn.Module, x: Tensor, t: Tensor) -> Counter[tuple[nn.Conv2d, tuple[int, ...]]]:
    """How often each kind of convolution runs in one forward pass, one module standing for all of its kind."""
    calls: Counter[tuple[nn.Conv2d, tuple[int, ...]]] = Counter()
    kinds: dict[object, nn.Conv2d] = {}

    def note(module: nn.Conv2d, inputs: tuple[Tensor, ...]) -> None:
        kind = (module.weight.shape, module.stride, module.padding, inputs[0].shape)
        calls[kinds.setdefault(kind, module), tuple(inputs[0].shape)] += 1

    hooks = [module.register_forward_pre_hook(note) for module in network.modules() if isinstance(module, nn.Conv2d)]
    with torch.no_grad():
        network(x, t)
    for hook in hooks:
        hook.remove()
    return calls


def convolution_seconds(calls: Counter[tuple[nn.Conv2d, tuple[int, ...]]], dtype: torch.dtype, backward: bool) -> float:
    """All convolutions of one pass, each by itself, with weights already in their precision."""
    total = 0.0
    for (module, shape), count in calls.items():
        layer = nn.Conv2d(module.in_channels, module.out_channels, module.kernel_size, module.stride, module.padding)  # type: ignore[arg-type]
        layer.to(dtype=dtype, memory_format=torch.channels_last)
        x = torch.randn(shape).to(dtype=dtype, memory_format=torch.channels_last).requires_grad_(backward)
        gradient = torch.ones_like(layer(x))

        def run(layer: nn.Conv2d = layer, x: Tensor = x, gradient: Tensor = gradient) -> None:
            if backward:
                torch.autograd.grad(layer(x), [x, *layer.parameters()], gradient)
            else:
                with torch.no_grad():
                    layer(x)

        total += count * seconds(run, 3)
    return total


def passes(network: nn.Module, x: Tensor, t: Tensor, dtype: torch.dtype) -> dict[str, tuple[Callable[[], object], int]]:
    """The work of each row, and how many times a forward pass's FLOP it is."""

    def forward() -> None:
        with torch.no_grad(), precision(dtype):
            network(x, t)

    def training() -> None:
        with precision(dtype):
            loss = network(x, t).square().mean()
        loss.backward()
        network.zero_grad()

    return {"forward": (forward, 1), "training": (training, 3)}


def rows(name: str, dtype: torch.dtype, product: float, compiled: bool) -> Iterator[str]:
    network = MODELS[name].build(VE(), SPEC)
    x, t = torch.randn(BATCH, *SPEC.shape), torch.linspace(0.1, 10.0, BATCH)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x, t)
    flops, calls = counter.get_total_flops(), convolutions(network, x, t)
    share = sum(n * 2 * BATCH * m.weight.numel() * s[2] * s[3] // m.stride[0] ** 2 for (m, s), n in calls.items()) / flops
    run = torch.compile(network) if compiled else network
    for row, (work, times) in passes(run, x, t, dtype).items():
        network.train(row == "training")
        rate = times * flops / seconds(work)
        alone = times * flops * share / convolution_seconds(calls, dtype, row == "training")
        yield (
            f"{name:8s} {str(dtype)[6:]:9s} {'compiled' if compiled else 'eager':9s} {row:9s} {flops / BATCH / 1e9:6.1f} GFLOP/image"
            f" {rate / (times * flops) * BATCH:7.2f} images/s {rate / 1e9:7.1f} GFLOP/s  {rate / product:5.2f} of products"
            f"  {rate / alone:5.2f} of convolutions"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of CIFAR-10's networks.")
    parser.add_argument("names", nargs="*", default=list(MODELS), metavar="NAME", help=f"of {', '.join(MODELS)}; default all")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--compile", action="store_true", help="compiled networks instead of eager ones")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for dtype in (torch.float32, torch.bfloat16):
        product = product_rate(dtype)
        print(f"{arguments.threads} threads, {dtype}: a product of {SIDE} x {SIDE} matrices runs at {product / 1e9:.1f} GFLOP/s")
        for name in arguments.names:
            for row in rows(name, dtype, product, arguments.compile):
                print(row, flush=True)


if __name__ == "__main__":
    main()
