"""Latent codes of a run's model: items to codes, codes to samples, and the way between two items (``core/latents.py``).

Each writes arrays and a picture into the run's folder. Items are not dequantised, so that decoding their codes gives them back.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..builtin import builtin
from ..data import DataSpec, Items, Split
from ..errors import UserError
from ..interfaces import Likelihood
from ..latents import Kind, carry, interpolate
from ..pictures import comparison, scatter
from ..sampling import evaluating
from ..workspace import Workspace
from .likelihood import check_items, figure
from .sampling import EVALUATIONS, model_range, save_array, show

_SHOWN = 16
_DEVIATIONS = 3.0  # the range of a code's picture


def method_of(workspace: Workspace) -> Likelihood:
    """The experiment's likelihood, or the probability flow with its defaults."""
    table = workspace.experiment.likelihood
    method: Likelihood = builtin("likelihood", "probability_flow") if table is None else table.method
    return method


def encode_items(workspace: Workspace, split: Split, count: int | None) -> list[dict[str, Any]]:
    """latents.npz: the codes of the first ``count`` items, and the items in the model's range; and a picture of both."""
    items = workspace.items(split)
    x = model_range(items, range(len(items) if count is None else min(count, len(items))))
    codes, evaluations = _carried(workspace, "encode", x)
    save_array(workspace, "latents.npz", latent=codes, model_range=x)
    _show_codes(workspace, items, x[:_SHOWN], codes[:_SHOWN])
    return [_evaluations(workspace, evaluations, {"n": len(x), "split": split})]


def decode_codes(workspace: Workspace, codes: Tensor, originals: Tensor | None, temperature: float) -> list[dict[str, Any]]:
    """samples.npz and samples.png from codes; with the items that they are of, how far decoding came from them."""
    items = workspace.items("test")
    samples, evaluations = _carried(workspace, "decode", temperature * codes)
    save_array(workspace, "samples.npz", x=items.spec.quantise(samples), model_range=samples)
    show(workspace, samples, items)
    protocol = {"n": len(codes), "temperature": temperature}
    found = [_evaluations(workspace, evaluations, protocol)]
    if originals is not None and temperature == 1:
        errors = (samples.double() - originals.double()).flatten(1).square().mean(1).sqrt()
        found.append(figure("round_trip_error", errors, {**protocol, **_protocol(workspace), "error": "root mean square, model's range"}))
    return found


def interpolate_items(workspace: Workspace, pair: tuple[int, int], split: Split, steps: int, kind: Kind) -> list[dict[str, Any]]:
    """interpolation.npz and .png: samples on the way between the codes of two items."""
    items = workspace.items(split)
    codes, first = _carried(workspace, "encode", model_range(items, pair))
    path = interpolate(codes[0], codes[1], steps, kind)
    samples, second = _carried(workspace, "decode", path)
    save_array(workspace, "interpolation.npz", latent=path, x=items.spec.quantise(samples), model_range=samples)
    show(workspace, samples, items, "interpolation", columns=steps)
    return [_evaluations(workspace, first + second, {"items": list(pair), "split": split, "steps": steps, "path": kind})]


def check_pair(workspace: Workspace, split: Split, pair: tuple[int, int], kind: Kind) -> None:
    """Raises UserError where there are no such items, one is not as the data declare, or no such path joins their codes."""
    items, name = workspace.items(split), workspace.experiment.data.name
    for place in pair:
        if not 0 <= place < len(items):
            raise UserError(f"item {place}: the {split} split of data {name!r} has the items 0 to {len(items) - 1}")
        check_items(workspace, split, range(place, place + 1))
    if kind == "spherical" and items.spec.dimension == 1:
        raise UserError(f"data {name!r} are single numbers, whose codes no great circle joins: take --linear")


def read_codes(path: Path, spec: DataSpec) -> tuple[Tensor, Tensor | None]:
    """Codes (N, *shape) of a .npz file (``latent``) or a .npy file, and the items that they are of, where encoding left them.

    Raises UserError where they are not codes of data of this shape.
    """
    try:
        held = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        why = "there is no such file" if not path.exists() else "it is no .npy or .npz file of numbers"
        raise UserError(f"{path}: {why}; expected codes, as scoresde encode writes them to latents.npz") from error
    originals = None
    if not isinstance(held, np.ndarray):
        with held:
            if "latent" not in held.files:
                raise UserError(f"{path}: holds {', '.join(held.files)}; expected an array latent, as scoresde encode writes it")
            originals = torch.from_numpy(held["model_range"]) if "model_range" in held.files else None
            held = held["latent"]
    if held.dtype.kind != "f" or held.shape[1:] != spec.shape or not len(held) or not np.isfinite(held).all():
        what = f"{held.dtype} {held.shape}" + (
            "" if held.dtype.kind != "f" or np.isfinite(held).all() else " with entries that are not finite"
        )
        raise UserError(f"{path}: the codes are {what}; expected finite floats (N, {', '.join(map(str, spec.shape))}), N > 0")
    return torch.from_numpy(held).float(), originals


def _carried(workspace: Workspace, direction: Literal["encode", "decode"], x: Tensor) -> tuple[Tensor, int]:
    """The result, and the evaluations of the network that each item took part in."""
    score, chunk = workspace.score(), workspace.experiment.run.chunk
    with workspace.progress(direction, len(x), "item") as progress, evaluating(score.network):
        result = carry(
            direction,
            method_of(workspace),
            lambda places: score,
            x,
            chunk=chunk,
            device=workspace.accelerator.device,
            on_items=progress.update,
        )
    return result, score.evaluations // -(-len(x) // chunk)


def _evaluations(workspace: Workspace, value: int, protocol: dict[str, Any]) -> dict[str, Any]:
    return {"name": EVALUATIONS, "value": value, "std_error": None, "protocol": {**protocol, **_protocol(workspace)}}


def _protocol(workspace: Workspace) -> dict[str, Any]:
    experiment = workspace.experiment
    return {"method": repr(method_of(workspace)), "chunk": experiment.run.chunk, "weights": workspace.weights}


def _show_codes(workspace: Workspace, items: Items, x: Tensor, codes: Tensor) -> None:
    """latents.png: items beside their codes, which are drawn within three of their standard deviations."""
    path, unit = workspace.folder / "latents.png", codes / (_DEVIATIONS * codes.std())
    if items.spec.is_image:
        low, high = items.spec.range or (float(x.min()), float(x.max()))
        comparison(path, [("item", x), ("code", low + (high - low) * (unit + 1) / 2)], items.spec)
    else:
        scatter(path, [("items", x), ("codes / std", _DEVIATIONS * unit)])
