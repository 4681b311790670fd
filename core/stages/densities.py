"""Log-densities of many items, in parts that are kept as they come.

Chunk c holds the items c * size, ..., of which draw j is evaluated at once: with N items in the split, item i takes its dequantisation from
the stream j N + i, and so its Hutchinson probes, but for an importance-weighted bound, whose draws share the probes of the stream
i. The noise of log p is then nearly the same in all of an item's weights and moves their mean's logarithm as it moves each;
independent noise would raise it, and it would be no bound any more.
"""

import math
from typing import NamedTuple, final

import torch
from torch import Tensor

from ..chunks import Chunk, chunks
from ..data import Items
from ..dequantisation import Diffused, bin_width, combine, combined_error, dequantise
from ..errors import NonFiniteError
from ..experiment import LikelihoodTable
from ..interfaces import LogProb
from ..noise import Noise, SeededNoise
from ..parts import Part, Parts
from ..reverse import Reverse
from ..sde import LinearSDE
from ..workspace import Workspace


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


def log_densities(workspace: Workspace, settings: LikelihoodTable, items: Items, count: int) -> Parts:
    """Log-densities of the first ``count`` items, by all processes; what an earlier attempt has kept is taken from there."""
    cut = list(chunks(range(count), workspace.experiment.run.chunk))
    todo = [(draw, number) for draw in range(settings.dequantisations) for number in range(len(cut))]
    parts = workspace.parts("likelihood", [f"draw-{draw:03d}-chunk-{number:06d}" for draw, number in todo])

    def part(place: int) -> Part:
        draw, number = todo[place]
        made = _part(workspace, evaluate, items, cut[number], draw)
        progress.update(cut[number].kept)
        return made

    with workspace.part_progress("likelihood", parts, [cut[number].kept for _, number in todo], "item") as progress:
        evaluate = Evaluator(workspace, settings)
        parts.make(part)
    return parts


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


def _part(workspace: Workspace, evaluate: Evaluator, items: Items, chunk: Chunk, draw: int) -> Part:
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


def joined(kept: Parts, settings: LikelihoodTable, at: Diffused | None, items: Items) -> Densities:
    """The results of all items from the parts of all draws, those of the first draw first."""
    parts = list(kept)
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
