"""Checkpoints: one folder each, with safetensors and a manifest in JSON; nothing in them is code.

``model`` holds the raw weights, ``ema`` their moving average, ``optimizer`` Adam's moments named ``<parameter>/<moment>``; the
manifest holds the step and what else is a number. ``best`` is the checkpoint that validation chose.
"""

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .errors import UserError
from .files import read_json, recover_folder, remove_folder, write_folder, write_json

_KEPT = 2


class Checkpoint(NamedTuple):
    """What a checkpoint holds: tensors by group ("model", "ema", "optimizer") and the manifest."""

    tensors: dict[str, dict[str, Tensor]]
    manifest: dict[str, Any]


def save(folder: Path, name: str, tensors: Mapping[str, Mapping[str, Tensor]], manifest: Mapping[str, Any]) -> Path:
    """Writes the checkpoint folder/name, whole or not at all."""
    files: dict[str, Any] = {
        f"{group}.safetensors": lambda path, entries=entries: write_tensors(path, entries) for group, entries in tensors.items()
    }
    files["manifest.json"] = lambda path: write_json(path, dict(manifest))
    write_folder(folder / name, files)
    return folder / name


def save_step(folder: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], manifest: Mapping[str, Any]) -> Path:
    """Writes the checkpoint of a step and removes all but the newest two of their kind."""
    path = save(folder, f"step-{step:08d}", tensors, manifest)
    prune(folder)
    return path


def prune(folder: Path) -> None:
    """Removes all but the newest two checkpoints of steps."""
    for old in sorted(folder.glob("step-*"))[:-_KEPT]:
        remove_folder(old)


def newest(folder: Path) -> Path | None:
    """The complete checkpoint of the latest step."""
    complete = [path for path in sorted(folder.glob("step-*")) if (path / "manifest.json").exists()]
    return complete[-1] if complete else None


def read(path: Path) -> Checkpoint:
    """Raises UserError where the checkpoint cannot be read."""
    recover_folder(path)
    try:
        manifest = read_json(path / "manifest.json")
        tensors = {file.stem: load_file(file) for file in sorted(path.glob("*.safetensors"))}
    except (OSError, UserError, SafetensorError) as error:
        raise UserError(f"{path}: the checkpoint cannot be read: {error}; remove the folder to go on from an older one") from error
    return Checkpoint(tensors, manifest)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes tensors by name; those that share memory, as tied weights do, each for itself. Raises OSError where there is no room."""
    try:
        save_file({key: value.detach().cpu().clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}, path)
    except SafetensorError as error:
        found = re.search(r"os error (\d+)", str(error))
        number = int(found[1]) if found else errno.EIO
        raise OSError(number, os.strerror(number)) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Raises UserError where the file is not whole."""
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path}: the weights cannot be read: {error}") from error


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], origin: Path) -> None:
    """Raises UserError where the names or shapes are not the network's; the network is then of no use."""
    own = network.state_dict()
    wrong = [f"{key} is missing" for key in own if key not in weights]
    wrong += [f"{key} is not in the model" for key in weights if key not in own]
    if not wrong:
        try:
            network.load_state_dict(dict(weights))
        except RuntimeError as error:
            wrong = [line.strip() for line in str(error).splitlines()[1:]]
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UserError(f"{origin}: the checkpoint is of another model: {'; '.join(wrong[:3])}{more}")
