"""Where training reports beside its own log: TensorBoard, and whatever else accelerate offers."""

from collections.abc import Mapping, Sequence
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS
from accelerate.utils import imports

from .errors import UserError


def check_trackers(names: Sequence[str]) -> None:
    """Raises UserError for a tracker that accelerate does not know, or that is not installed."""
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise UserError(f"run.trackers: unknown tracker {name!r}: expected some of {', '.join(sorted(LOGGER_TYPE_TO_CLASS))}")
        if not getattr(imports, f"is_{name}_available")():
            raise UserError(f"run.trackers: {name} is not installed: pip install {name.replace('_', '-')}, or leave it out")


def begin_tracking(accelerator: Accelerator, name: str, settings: Mapping[str, Any], done: int) -> None:
    """Opens the trackers of a run that has done so many steps; what they hold of later steps is of no use."""
    if accelerator.log_with:
        accelerator.init_trackers(name, _flat(settings), init_kwargs={"tensorboard": {"purge_step": done + 1}} if done else {})


def track(accelerator: Accelerator, record: Mapping[str, Any]) -> None:
    """Reports the numbers of a record of the log at its step."""
    numbers = {key: value for key, value in record.items() if key != "step" and value is not None}
    accelerator.log(numbers, step=record["step"])


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of nested tables by their key paths; a list as text."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, (bool, int, float, str)) else str(value)
    return flat
