"""The sampling stage: unconditional samples as arrays and as a picture."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arrays import Header, write_blocks
from ..chunks import chunks
from ..data import DataSpec, Items
from ..experiment import Sampling
from ..files import write_file
from ..film import Film
from ..interfaces import Condition
from ..noise import Noise
from ..parts import Part, Parts
from ..pictures import image_grid, lines, scatter
from ..sampling import generate
from ..schedule import Schedule, scheduled
from ..workspace import Workspace

EVALUATIONS = "evaluations_per_sample"  # the figure whose protocol says how the samples were drawn
_SHOWN = 64
_SCATTERED = 4000


def sampling_stage(workspace: Workspace) -> list[dict[str, Any]]:
    """Draws the samples, writes samples.npz and samples.png, and gives the figures."""
    settings = workspace.experiment.sampling
    assert settings is not None
    items = workspace.items("test")
    parts = draw(workspace, settings, settings.count, stage="sample", what="sampling")
    if not workspace.is_main:
        return []
    _save_samples(workspace, items.spec, parts, settings.count)
    show(workspace, _first(parts, _SCATTERED), items)
    evaluations = spent(parts)
    _save_film(workspace, items, next(iter(parts)))
    protocol = sampling_protocol(workspace, settings, settings.count, evaluations)
    return [{"name": EVALUATIONS, "value": evaluations, "std_error": None, "protocol": protocol}]


def draw(
    workspace: Workspace,
    settings: Sampling,
    count: int,
    *,
    stage: str,
    what: str,
    condition: Callable[[Sequence[int], Noise], Condition] | None = None,
) -> Parts:
    """``count`` samples, by all processes, in chunks that are kept under the name of the stage until it ends."""
    experiment, items, score = workspace.experiment, workspace.items("test"), workspace.score()
    run = schedule_of(workspace, settings)
    intervals = run.intervals
    cut = list(chunks(range(count), experiment.run.chunk))
    parts = workspace.parts(stage, [f"chunk-{place:06d}" for place in range(len(cut))])

    def part(place: int) -> Part:
        chunk, before = cut[place], score.evaluations
        film = Film(intervals, shown=place == 0 and stage == "sample")
        known = None if condition is None else (lambda places, noise: condition([chunk.places[i] for i in places], noise))
        samples = generate(
            score,
            run.sampler,
            intervals,
            items.spec.shape,
            chunk.indices[: chunk.kept],
            seed=workspace.seed,
            chunk=experiment.run.chunk,
            denoise=settings.denoise,
            condition=known,
            uniform=items.spec.range if settings.start == "uniform" else None,
            device=workspace.accelerator.device,
            on_step=progress.update,
            on_state=film,
        )
        return {"x": samples, "evaluations": torch.tensor(score.evaluations - before), **film.tensors(chunk.kept)}

    with workspace.part_progress(what, parts, [chunk.kept * len(intervals) for chunk in cut], "sample steps") as progress:
        parts.make(part)
    return parts


def joined(parts: Parts) -> tuple[Tensor, int]:
    """The samples in the model's range, and the network evaluations that each has cost."""
    return torch.cat([part["x"] for part in parts]), spent(parts)


def spent(parts: Parts) -> int:
    """The network evaluations that each sample has cost."""
    each = [int(part["evaluations"]) for part in parts]
    return sum(each) // len(each)


def _first(parts: Parts, count: int) -> Tensor:
    """The first samples, about as many as that."""
    found: list[Tensor] = []
    for part in parts:
        if sum(map(len, found)) >= count:
            break
        found.append(part["x"])
    return torch.cat(found)


def _save_samples(workspace: Workspace, spec: DataSpec, parts: Parts, count: int) -> None:
    """samples.npz, a part at a time: stored values as ``x``, bytes where there are at most 256 levels, and ``model_range``."""
    small = spec.levels is not None and spec.levels <= 256

    def stored(samples: Tensor) -> Any:
        return (spec.quantise(samples).to(torch.uint8) if small else spec.quantise(samples)).numpy()

    def rows(of: Callable[[Tensor], Any]) -> tuple[Header, Iterator[Any]]:
        told = of(next(iter(parts))["x"][:0])
        return Header((count, *told.shape[1:]), told.dtype), (of(part["x"]) for part in parts)

    write_file(
        workspace.folder / "samples.npz",
        lambda path: write_blocks(path, {"x": rows(stored), "model_range": rows(lambda samples: samples.numpy())}),
    )


def _save_film(workspace: Workspace, items: Items, part: Part) -> None:
    """filmstrip.npz: states of the first samples on their way, their times, and the range of the data where they have one."""
    if "states" in part:  # not in one that an earlier version has left
        limits = {} if items.spec.range is None else {"range": torch.tensor(items.spec.range)}
        save_array(workspace, "filmstrip.npz", states=part["states"], times=part["times"], **limits)


def schedule_of(workspace: Workspace, settings: Sampling) -> Schedule:
    """The loop and the times that these settings come to."""
    sde = workspace.experiment.sde
    return scheduled(sde, settings.sampler, settings.grid, settings.steps, settings.evaluations, settings.denoise)


def sampling_protocol(workspace: Workspace, settings: Sampling, count: int, evaluations: int) -> dict[str, Any]:
    """What the figures of these samples depend on; sampler and grid as they were where the file leaves a choice."""
    run = schedule_of(workspace, settings)
    return {
        "n": count,
        "sampler": repr(run.sampler),
        "grid": repr(run.grid),
        "steps": len(run.intervals),
        "start": settings.start,
        "evaluations": evaluations,
        "denoise": settings.denoise,
        "seed": workspace.seed,
        "chunk": workspace.experiment.run.chunk,
        "weights": workspace.weights,
    }


def save_array(workspace: Workspace, name: str, **arrays: Tensor) -> None:
    """Writes tensors as name (.npz); whole numbers below 256 as uint8."""
    packed = {key: _packed(value) for key, value in arrays.items()}

    def write(path: Any) -> None:
        with open(path, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, **packed)

    write_file(workspace.folder / name, write)


def _packed(value: Tensor) -> Any:
    small = not value.is_floating_point() and int(value.max()) < 256 and int(value.min()) >= 0
    return value.to(torch.uint8).numpy() if small else value.numpy()


def show(workspace: Workspace, samples: Tensor, items: Items, name: str = "samples", columns: int | None = None) -> None:
    """NAME.png: pictures as a grid; points as a scatter plot and series as lines, beside held-out data."""
    path, spec = workspace.folder / f"{name}.png", items.spec
    if spec.is_image:
        image_grid(path, samples[:_SHOWN], spec, columns)
        return
    count = min(len(items), len(samples), _SCATTERED)
    panels = [(name, samples[:count]), ("held-out data", model_range(items, range(count)))]
    plot: Callable[..., object] = scatter if len(spec.shape) == 1 and spec.dimension < 8 else lines
    plot(path, panels)


def model_range(items: Items, places: Sequence[int], noise: Noise | None = None) -> Tensor:
    """Items in the model's range; dequantised where a noise is given."""
    return items.spec.scale(items.batch(places)["x"], noise)
