"""The likelihood stage: log-densities of data in nats, and bits per dimension where the data have levels.

For data with levels the figure is the variational bound of uniform dequantisation, -(E_u log p(x) + D log((high - low) / levels)) /
(D log 2); its standard error, over items, includes the dequantisation's and the divergence estimate's noise.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..chunks import chunks
from ..data import Items
from ..errors import NonFiniteError
from ..experiment import LikelihoodTable
from ..interfaces import LogProb
from ..noise import SeededNoise
from ..pictures import density_map
from ..reverse import Reverse
from ..runs import digest
from ..workspace import Workspace
from .sampling import model_range, save_array

_MAP = 64
_PICTURE_CHUNK = 1024


class Densities(NamedTuple):
    """Per item: log-density in nats (mean over dequantisations), latent code of the last one; and the mean evaluations per item."""

    value: Tensor
    latent: Tensor
    evaluations: float


def likelihood_stage(workspace: Workspace) -> list[dict[str, Any]]:
    """Evaluates the items, writes likelihood.npz (and a map for points in the plane), and gives the figures."""
    settings = workspace.experiment.likelihood
    assert settings is not None
    items = workspace.items(settings.split)
    count = len(items) if settings.count is None else min(settings.count, len(items))
    result = log_densities(workspace, settings, items, count)
    save_array(workspace, "likelihood.npz", log_density=result.value, latent=result.latent)
    if items.spec.shape == (2,):
        draw_map(workspace, settings, items)
    return figures(workspace, settings, items, result)


def log_densities(workspace: Workspace, settings: LikelihoodTable, items: Items, count: int) -> Densities:
    """Log-densities of the first ``count`` items, each dequantised afresh ``dequantisations`` times."""
    rounds = []
    with workspace.progress("likelihood", count * settings.dequantisations, "item") as progress:
        evaluate = Evaluator(workspace, settings, progress.update)
        for number in range(settings.dequantisations):
            streams = [number * count + i for i in range(count)]
            x = model_range(items, range(count), SeededNoise(workspace.seed, streams, "data"))
            rounds.append(evaluate(x, streams))
    values, latents, evaluations = zip(*rounds, strict=True)
    return Densities(torch.stack(values).mean(0), latents[-1], float(torch.stack(evaluations).double().mean()))


class Evaluator:
    """Log-densities in chunks of the run's size, a short last one filled up with copies.

    For a picture the chunks have at least 1,024 points, and one that the method gives up is nan.
    """

    def __init__(
        self,
        workspace: Workspace,
        settings: LikelihoodTable,
        on_items: Callable[[int], object] = lambda count: None,
        *,
        picture: bool = False,
    ) -> None:
        self.method, self.seed, self.on_items, self.picture = settings.method, workspace.seed, on_items, picture
        self.reverse = Reverse(workspace.experiment.sde, workspace.score())
        chunk = workspace.experiment.run.chunk
        self.chunk, self.device = max(chunk, _PICTURE_CHUNK) if picture else chunk, workspace.accelerator.device

    def __call__(self, x: Tensor, streams: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """(log-densities (N,), latent codes, evaluations (N,)) of x (N, *) in the model's range, on the CPU."""
        parts = []
        for places, filled, kept in chunks(streams, self.chunk):
            noise = SeededNoise(self.seed, filled, "likelihood")
            which = f"items {places[0]} to {places[kept - 1]}"
            result = self._log_prob(x[torch.as_tensor(places)].to(self.device), noise, which)
            given_up = result.status != 0
            if bool(given_up[:kept].any()) and not self.picture:
                raise ArithmeticError(f"likelihood {self.method!r} stopped at its limit of evaluations: raise max_nfe or the tolerances")
            value = torch.where(given_up, math.nan, result.value)
            parts.append([part[:kept].cpu() for part in (value, result.latent, result.evaluations)])
            self.on_items(kept)
        value, latent, evaluations = (torch.cat(column) for column in zip(*parts, strict=True))
        return value, latent, evaluations

    def _log_prob(self, x: Tensor, noise: SeededNoise, which: str) -> LogProb:
        try:
            result = self.method.log_prob(self.reverse, x, noise)
        except FloatingPointError as error:
            raise NonFiniteError(f"likelihood {self.method.name!r}, {which}: {error}") from error
        if not bool(torch.isfinite(result.value).all()):
            raise NonFiniteError(f"likelihood {self.method.name!r}, {which}: a log-density is not finite")
        return result


def figures(workspace: Workspace, settings: LikelihoodTable, items: Items, result: Densities) -> list[dict[str, Any]]:
    """nats per item, and bits per dimension where the data have levels; each with its standard error over items and its protocol."""
    spec, count = items.spec, len(result.value)
    protocol = {
        "n": count,
        "split": settings.split,
        "data_digest": digest([items.batch(range(count))["x"]]),
        "method": repr(settings.method),
        "dequantisation": f"uniform, {settings.dequantisations} draws an item" if spec.levels else "none",
        "levels": spec.levels,
        "range": spec.range,
        "t_min": workspace.experiment.sde.t_min,
        "evaluations": result.evaluations,
        "seed": workspace.seed,
        "chunk": workspace.experiment.run.chunk,
        "weights": workspace.weights,
    }
    found = [figure("log_density_nats", result.value, protocol)]
    if spec.levels is not None:
        bits = -(result.value + spec.log_volume) / (spec.dimension * math.log(2))
        found.append(figure("bits_per_dim", bits, protocol))
    return found


def figure(name: str, values: Tensor, protocol: dict[str, Any]) -> dict[str, Any]:
    """A mean with its standard error over the values."""
    error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else None
    return {"name": name, "value": float(values.mean()), "std_error": error, "protocol": protocol}


def draw_map(workspace: Workspace, settings: LikelihoodTable, items: Items) -> None:
    """likelihood.png: the log-density over the plane, with held-out points."""
    points = model_range(items, range(min(len(items), 500)))
    low, high = points.amin(0), points.amax(0)
    margin = 0.25 * (high - low)
    low, high = low - margin, high + margin
    xs, ys = (torch.linspace(float(low[i]), float(high[i]), _MAP) for i in (0, 1))
    plane = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1).reshape(-1, 2)
    with workspace.progress("likelihood map", len(plane), "point") as progress:
        values, _, _ = Evaluator(workspace, settings, progress.update, picture=True)(plane, range(len(plane)))
    extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    if bool(values.isfinite().any()):
        density_map(workspace.folder / "likelihood.png", values.reshape(_MAP, _MAP), extent, points)
