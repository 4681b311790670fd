"""Log-densities of many items, in chunks that are kept as they come, so that a stopped evaluation goes on where it was.

Chunk c holds the items c * size, ..., of which draw j is evaluated at once: with N items in the split, item i takes its dequantisation from
the stream j N + i, and so its Hutchinson probes, but for an importance-weighted bound, whose draws share the probes of the stream
i. The noise of log p is then nearly the same in all of an item's weights and moves their mean's logarithm as it moves each;
independent noise would raise it, and it would be no bound any more.
"""

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..checkpoint import write_tensors
from ..chunks import Chunk, chunks
from ..data import Items
from ..dequantisation import Diffused, bin_width, combine, combined_error, dequantise
from ..errors import NonFiniteError, StoppedError, UserError
from ..experiment import LikelihoodTable
from ..files import write_file
from ..interfaces import LogProb
from ..noise import Noise, SeededNoise
from ..reverse import Reverse
from ..sde import LinearSDE
from ..workspace import Workspace

_Part = dict[str, Tensor]


class Densities(NamedTuple):
    """Per item: log-density in nats (the logarithm of its mean over the bin, as the bound has it, where data have levels) with its
    standard error (nan where it is not known), evaluations of all draws, status, and the latent code of the last draw; and log p / q of
    each draw (N, draws)."""

    log_density: Tensor
    std_error: Tensor
    evaluations: Tensor
    status: Tensor
    latent: Tensor
    log_weights: Tensor


def diffused(workspace: Workspace) -> Diffused | None:
    """How the model's data stand at t_min, where the dequantisation depends on it."""
    experiment = workspace.experiment
    settings, training, sde = experiment.likelihood, experiment.training, experiment.sde
    if settings is None or settings.dequantisation == "uniform" or not isinstance(sde, LinearSDE):
        return None
    points = experiment.model.trainable and training is not None and not training.dequantise
    return Diffused(float(sde.alpha(sde.t_min)), float(sde.sigma(sde.t_min)), points)


def log_densities(workspace: Workspace, settings: LikelihoodTable, items: Items, count: int) -> Densities:
    """Log-densities of the first ``count`` items; what an earlier attempt has left in the run's folder is taken from there."""
    chunk = workspace.experiment.run.chunk
    todo = [(draw, number) for draw in range(settings.dequantisations) for number in range(math.ceil(count / chunk))]
    paths = [parts_folder(workspace) / f"draw-{draw:03d}-chunk-{number:06d}.safetensors" for draw, number in todo]
    cut = list(chunks(range(count), chunk))
    done = sum(cut[number].kept for (_, number), path in zip(todo, paths, strict=True) if path.exists())
    with workspace.progress("likelihood", count * settings.dequantisations, "item", done) as progress, _interruptible(paths):
        evaluate = Evaluator(workspace, settings)
        for (draw, number), path in zip(todo, paths, strict=True):
            if not path.exists():
                part = _part(workspace, evaluate, items, cut[number], draw)
                write_file(path, lambda temporary, part=part: write_tensors(temporary, part))  # type: ignore[misc]
                progress.update(cut[number].kept)
    return _joined([_read(path) for path in paths], settings, diffused(workspace), items)


def parts_folder(workspace: Workspace) -> Path:
    """Where chunks are kept until all are there, under the digest of the weights."""
    return workspace.folder / "likelihood" / str(workspace.weights["digest"])


@final
class Evaluator:
    """Log-densities of one chunk. With ``gives_up`` those of items that the method gives up are nan, which is an error otherwise."""

    def __init__(self, workspace: Workspace, settings: LikelihoodTable, *, gives_up: bool = False) -> None:
        self.method, self.gives_up = settings.method, gives_up
        self.reverse = Reverse(workspace.experiment.sde, workspace.score())
        self.device = workspace.accelerator.device

    def __call__(self, x: Tensor, noise: Noise, chunk: Chunk) -> LogProb:
        """For x (B, *) in the model's range, one row for each of the chunk's places; those that are kept, on the CPU."""
        name = f"likelihood {self.method.name!r}, items {chunk.places[0]} to {chunk.places[chunk.kept - 1]}"
        try:
            result = self.method.log_prob(self.reverse, x.to(self.device), noise)
        except FloatingPointError as error:
            raise NonFiniteError(f"{name}: {error}") from error
        result = LogProb(*(column[: chunk.kept].cpu() for column in result))
        given_up = result.status != 0
        if bool(given_up.any()) and not self.gives_up:
            many = f"{int(given_up.sum())} of {chunk.kept}"
            raise ArithmeticError(f"{name}: {many} stopped at the limit of evaluations of {self.method!r}: raise max_nfe or the tolerances")
        if not bool((torch.isfinite(result.value) | given_up).all()):
            raise NonFiniteError(f"{name}: a log-density is not finite")
        return result._replace(value=torch.where(given_up, math.nan, result.value))


def _part(workspace: Workspace, evaluate: Evaluator, items: Items, chunk: Chunk, draw: int) -> _Part:
    """Draw number ``draw`` of a chunk of items."""
    settings = workspace.experiment.likelihood
    assert settings is not None
    streams = [draw * len(items) + index for index in chunk.indices]
    noise = SeededNoise(workspace.seed, streams, "data")
    x, log_q = dequantise(items.spec, items.batch(chunk.places)["x"], noise, diffused(workspace))
    probes = chunk.indices if settings.bound == "importance" else streams
    result = evaluate(x, SeededNoise(workspace.seed, probes, "likelihood"), chunk)
    part = {name: getattr(result, name) for name in ("std_error", "evaluations", "status")}
    if draw == settings.dequantisations - 1:
        part["latent"] = result.latent
    return {**part, "log_weight": result.value.double() - log_q[: chunk.kept]}


def _joined(parts: list[_Part], settings: LikelihoodTable, at: Diffused | None, items: Items) -> Densities:
    """The results of all items from the parts of all draws, those of the first draw first."""
    each = len(parts) // settings.dequantisations
    latent = torch.cat([part["latent"] for part in parts[-each:]])

    def column(name: str) -> Tensor:
        return torch.cat([part[name] for part in parts]).reshape(settings.dequantisations, -1).T

    log_weights, errors = column("log_weight"), column("std_error").double()
    volume = items.spec.dimension * math.log(bin_width(items.spec, at))
    return Densities(
        log_density=combine(log_weights, settings.bound) - volume,
        std_error=combined_error(log_weights, errors, settings.bound),
        evaluations=column("evaluations").sum(1),
        status=column("status").amax(1),
        latent=latent,
        log_weights=log_weights.contiguous(),
    )


def _read(path: Path) -> _Part:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path}: cannot be read: {error}; remove it, and --resume evaluates its items again") from error


@contextmanager
def _interruptible(paths: list[Path]) -> Iterator[None]:
    """SIGTERM and Ctrl-C stop at once, with all chunks kept that are whole."""

    def stop(number: int, frame: FrameType | None) -> None:
        kept = sum(path.exists() for path in paths)
        raise StoppedError(f"stopped with {kept} of {len(paths)} chunks evaluated and saved: --resume goes on from there")

    handlers: dict[int, Callable[[int, FrameType | None], None]] = {signal.SIGTERM: stop, signal.SIGINT: stop}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
