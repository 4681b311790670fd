"""The likelihood stage: log-densities of data in nats, and bits per dimension where the data have levels.

For data with levels the figure is -B / (D log 2) with the bound B <= log P(k) of the item's probability (``core/dequantisation.py``).
Each item has noise of its own for dequantisation and divergence, so the standard error of the mean over items includes both. The 95 %
interval is mean +- q std_error with Student's q for the number of items.
"""

import math
from typing import Any

import torch
from torch import Tensor

from ..chunks import chunks
from ..data import Items, Split
from ..dequantisation import bin_width
from ..errors import UserError
from ..experiment import LikelihoodTable
from ..interfaces import Likelihood
from ..noise import SeededNoise
from ..pictures import density_map
from ..runs import digest
from ..workspace import Workspace
from .densities import Densities, Evaluator, diffused, joined, log_densities
from .sampling import model_range, save_array

_MAP = 64
_PICTURE_CHUNK = 1024
_CHECKED = 1024  # items at a time


def likelihood_stage(workspace: Workspace) -> list[dict[str, Any]]:
    """Evaluates the items, writes likelihood.npz (and a map for points in the plane), and gives the figures."""
    settings = workspace.experiment.likelihood
    assert settings is not None
    items = workspace.items(settings.split)
    parts = log_densities(workspace, settings, items, counted(settings, items))
    if not workspace.is_main:
        return []
    result = joined(parts, settings, diffused(workspace), items)
    arrays = result._asdict()
    if items.spec.levels is None:
        del arrays["log_weights"]
    else:
        arrays["bits_per_dim"] = bits_per_dim(workspace, items, result.log_density)
    save_array(workspace, "likelihood.npz", **arrays)
    if items.spec.shape == (2,):
        draw_map(workspace, settings, items)
    return figures(workspace, settings, items, result)


def check_likelihood(workspace: Workspace) -> None:
    """Raises UserError where the items are not as declared, or the settings do not fit them or the network."""
    settings, name = workspace.experiment.likelihood, workspace.experiment.data.name
    assert settings is not None
    check_method(workspace, settings.method)
    items = workspace.items(settings.split)
    for key, default in (("dequantisation", "uniform"), ("dequantisations", 1), ("bound", "mean")):
        if items.spec.levels is None and getattr(settings, key) != default:
            raise UserError(f"likelihood.{key} = {getattr(settings, key)!r}: data {name!r} have no levels to dequantise: leave it out")
    check_items(workspace, settings.split, range(counted(settings, items)))


def check_method(workspace: Workspace, method: Likelihood) -> None:
    """Raises UserError where the method asks for more than the network's numbers hold."""
    try:
        method.check(workspace.experiment.sde, workspace.dtype)
    except ValueError as error:
        raise UserError(f"likelihood {method.name!r}: {error}") from error


def check_items(workspace: Workspace, split: Split, places: range) -> None:
    """Raises UserError where one of these items is not as the data declare."""
    items = workspace.items(split)
    for start in range(places.start, places.stop, _CHECKED):
        try:
            items.spec.check(items.batch(range(start, min(start + _CHECKED, places.stop)))["x"], first=start)
        except ValueError as error:
            raise UserError(f"data {workspace.experiment.data.name!r}, {split} split: {error}") from error


def counted(settings: LikelihoodTable, items: Items) -> int:
    """How many items are evaluated."""
    return len(items) if settings.count is None else min(settings.count, len(items))


def bits_per_dim(workspace: Workspace, items: Items, log_density: Tensor) -> Tensor:
    """Bits per dimension of data with levels from the mean log-densities over their bins."""
    return -(log_density / items.spec.dimension + math.log(bin_width(items.spec, diffused(workspace)))) / math.log(2)


def figures(workspace: Workspace, settings: LikelihoodTable, items: Items, result: Densities) -> list[dict[str, Any]]:
    """nats per item, and bits per dimension where the data have levels; each with its standard error over items and its protocol."""
    spec, count = items.spec, len(result.log_density)
    protocol = {
        "n": count,
        "split": settings.split,
        "data_digest": digest([items.batch(range(count))["x"]]),
        "method": repr(settings.method),
        "dequantisation": settings.dequantisation if spec.levels else "none",
        "dequantisations": settings.dequantisations,
        "bound": settings.bound,
        "levels": spec.levels,
        "range": spec.range,
        "t_min": workspace.experiment.sde.t_min,
        "evaluations": float(result.evaluations.double().mean()) / settings.dequantisations,
        "seed": workspace.seed,
        "chunk": workspace.experiment.run.chunk,
        "weights": workspace.weights,
    }
    found = {"log_density_nats": result.log_density}
    if spec.levels is not None:
        found["bits_per_dim"] = bits_per_dim(workspace, items, result.log_density)
    return [figure(name, values, {**protocol, "interval_95": interval(values)}) for name, values in found.items()]


def figure(name: str, values: Tensor, protocol: dict[str, Any]) -> dict[str, Any]:
    """A mean with its standard error over the values."""
    error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else None
    return {"name": name, "value": float(values.mean()), "std_error": error, "protocol": protocol}


def interval(values: Tensor) -> list[float] | None:
    """The 95 % confidence interval of the mean, by Student's distribution; None for a single value."""
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    if len(values) < 2:
        return None
    mean, half = float(values.mean()), float(stdtrit(len(values) - 1, 0.975)) * float(values.std()) / math.sqrt(len(values))
    return [mean - half, mean + half]


def draw_map(workspace: Workspace, settings: LikelihoodTable, items: Items) -> None:
    """likelihood.png: the log-density over the plane, with held-out points; a point that the method gives up is left out."""
    points = model_range(items, range(min(len(items), 500)))
    low, high = points.amin(0), points.amax(0)
    margin = torch.where(high > low, 0.25 * (high - low), low.abs().clamp(min=1))  # items that all stand in one place have a box too
    low, high = low - margin, high + margin
    xs, ys = (torch.linspace(float(low[i]), float(high[i]), _MAP) for i in (0, 1))
    plane = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1).reshape(-1, 2)
    values = []
    with workspace.progress("likelihood map", len(plane), "point") as progress:
        evaluate = Evaluator(workspace, settings, gives_up=True)
        for chunk in chunks(range(len(plane)), max(workspace.experiment.run.chunk, _PICTURE_CHUNK)):
            noise = SeededNoise(workspace.seed, chunk.indices, "likelihood")
            values.append(evaluate(plane[torch.as_tensor(chunk.places)], noise, chunk).value)
            progress.update(chunk.kept)
    extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    field = torch.cat(values)
    if bool(field.isfinite().any()):
        density_map(workspace.folder / "likelihood.png", field.reshape(_MAP, _MAP), extent, points)
