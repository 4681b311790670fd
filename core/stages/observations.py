"""What is observed: of held-out items, as the experiment's conditioner sees them, or as a file holds it."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..composition import class_members, with_classes
from ..data import DataSpec
from ..errors import UserError
from ..interfaces import Conditioner
from ..noise import SeededNoise
from ..workspace import Workspace
from .sampling import model_range


class Observations(NamedTuple):
    """``y`` and the other arguments of a condition, a row for each observation, and the items (N, *) observed, where these are known."""

    observed: dict[str, Tensor]
    originals: Tensor | None


def observations(workspace: Workspace) -> Observations:
    """Those of the experiment. Raises UserError, in one line, where they do not fit the conditioner or the data."""
    settings = workspace.experiment.conditioning
    assert settings is not None
    items = workspace.items("test")
    try:
        conditioner = settings.conditioner.for_data(items.spec)
        if settings.observations is not None:
            stored = _stored(settings.observations, settings.count)
            _check_names(settings.observations, stored, conditioner, items.spec)
            given = Observations(stored, None)
        elif len(class_members(conditioner)) == len(conditioner.members):  # which are asked for, and not seen
            given = Observations(conditioner.observe(torch.empty(settings.count, 0), _noise(workspace, range(settings.count))), None)
        else:
            rows = range(min(settings.count, len(items)))
            originals = model_range(items, rows, _noise(workspace, rows))
            seen = conditioner.observe(originals, _noise(workspace, rows))
            if items.labels is not None:
                seen = with_classes(settings.conditioner, seen, items.labels[: len(rows)])
            given = Observations(seen, originals)
    except (ValueError, IndexError) as error:
        raise UserError(f"conditioner {settings.conditioner.name!r} does not fit the data: {error}") from error
    try:
        conditioner.check(items.spec, **given.observed)
    except (TypeError, ValueError) as error:
        origin = settings.observations or "the observations"
        raise UserError(f"{origin}: conditioner {conditioner.name!r}: {error}") from error
    return given


def _noise(workspace: Workspace, rows: range) -> SeededNoise:
    return SeededNoise(workspace.seed, rows, "condition")


def _check_names(path: Path, stored: Mapping[str, Tensor], conditioner: Conditioner, spec: DataSpec) -> None:
    """Raises UserError for an array that nothing would read."""
    names = conditioner.observe(torch.zeros(1, *spec.shape), SeededNoise(0, range(1), "condition"))
    unknown = [name for name in stored if name not in names]
    if unknown:
        raise UserError(f"{path} holds {unknown[0]}: conditioner {conditioner.name!r} observes {', '.join(names)}")


def _stored(path: Path, count: int) -> dict[str, Tensor]:
    """At most ``count`` observations of an .npz file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: torch.from_numpy(file[key]) for key in file.files}
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} cannot be read as an .npz file of numbers: {error}") from error
    if "y" not in arrays:
        raise UserError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}: expected an array y, the observations in the model's range"
        )
    lengths = {key: len(value) if value.ndim else 0 for key, value in arrays.items()}
    if len(set(lengths.values())) > 1 or not lengths["y"]:
        raise UserError(f"{path}: its arrays must hold one row for each observation; they have {lengths} rows")
    return {key: (value.float() if value.is_floating_point() else value)[:count] for key, value in arrays.items()}
