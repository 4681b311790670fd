"""The classifier stage: a classifier of noisy items for guidance, and how well it finds the class at each noise level."""

import math
from typing import Any

import torch
from torch import Tensor

from ..chunks import chunks
from ..data import Items
from ..errors import UserError
from ..losses import CrossEntropy
from ..noise import SeededNoise
from ..noise_conditional import NoiseConditional
from ..pictures import curves
from ..scalars import add_scaled
from ..sde import LinearSDE
from ..workspace import CLASSIFIER, Workspace
from .sampling import model_range
from .training import split_validation, train_in

_LEVELS = range(8, -9, -2)  # log-SNRs, in nats
_TIMES = 8  # where an SDE has none
_MOST = 10_000  # items that are judged


def classifier_stage(workspace: Workspace) -> list[dict[str, Any]]:
    """Trains the classifier in the run's folder classifier/, draws accuracy.png there, and gives the figures."""
    table = workspace.experiment.classifier
    assert table is not None
    items = workspace.labelled("train")
    train_in(workspace, workspace.folder / CLASSIFIER, workspace.build_classifier(), CrossEntropy(workspace.logits_of), table, items)
    return _figures(workspace) if workspace.is_main else []


def check_classifier(workspace: Workspace) -> None:
    """Raises UserError where the data have no labels, or the network or its training does not fit them."""
    table, name = workspace.experiment.classifier, workspace.experiment.data.name
    assert table is not None
    train = workspace.labelled("train")
    workspace.labelled("test")
    workspace.build_classifier()
    split_validation(train, table.validation, workspace.seed, "classifier")
    if table.flip and not train.spec.is_image:
        raise UserError(f"classifier.flip = true: data {name!r} of shape {train.spec.shape} are no pictures (1 or 3 channels, H, W)")


def _figures(workspace: Workspace) -> list[dict[str, Any]]:
    """The share of held-out items whose class is found, at each noise level."""
    items, logits = workspace.labelled("test"), workspace.classifier()
    table, count = workspace.experiment.classifier, min(len(items), _MOST)
    assert table is not None
    found, labels = list[dict[str, Any]](), items.batch(range(count))["label"]
    series: dict[str, list[tuple[str, float, float | None]]] = {"held-out items": [], "most frequent class": []}
    most, by = int(torch.bincount(labels).max()) / count, "log-SNR" if isinstance(workspace.experiment.sde, LinearSDE) else "t"
    for number, (name, place) in enumerate(_places(workspace).items()):
        right = _right(workspace, items, logits, place["t"], number, count)
        value, error = float(right.mean()), float(right.std()) / math.sqrt(count) if count > 1 else None
        protocol = {"n": count, "split": "test", **place, "classifier": repr(table.network), "seed": workspace.seed}
        found.append({"name": name, "value": value, "std_error": error, "protocol": protocol})
        at = f"{place['log_snr']:g}" if "log_snr" in place else f"{place['t']:.3f}"
        series["held-out items"].append((at, value, error))
        series["most frequent class"].append((at, most, None))
    curves(workspace.folder / CLASSIFIER / "accuracy.png", series, by, "accuracy")
    return found


def _places(workspace: Workspace) -> dict[str, dict[str, float]]:
    """The times at which the classifier is judged, by the names of their figures: those of fixed log-SNRs, where the SDE knows them."""
    sde = workspace.experiment.sde
    if isinstance(sde, LinearSDE):
        low, high = float(sde.log_snr(sde.t_max)), float(sde.log_snr(sde.t_min))
        levels = [level for level in _LEVELS if low <= level <= high]
        return {f"accuracy_at_log_snr_{level:+d}": {"log_snr": level, "t": float(sde.time(float(level)))} for level in levels}
    times = [sde.t_min + (sde.t_max - sde.t_min) * place / _TIMES for place in range(_TIMES + 1)]
    return {f"accuracy_at_t_{t:.3f}": {"t": t} for t in times}


def _right(workspace: Workspace, items: Items, logits: NoiseConditional, t: float, number: int, count: int) -> Tensor:
    """Whether the class of each item x_t is found, (count,) float64, with noise of its own for each item and level."""
    sde, device, parts = workspace.experiment.sde, workspace.accelerator.device, []
    with torch.no_grad():
        for chunk in chunks(range(count), workspace.experiment.run.chunk):
            noise = SeededNoise(workspace.seed, [number * len(items) + index for index in chunk.indices], "evaluation")
            mean, std = sde.marginal(model_range(items, chunk.places).to(device), t)
            found = logits(add_scaled(mean, std, noise.normal_like(mean)), t).argmax(1).cpu()
            parts.append((found == items.batch(chunk.places)["label"])[: chunk.kept].double())
    return torch.cat(parts)
