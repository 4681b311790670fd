"""The conditional stage: samples given observations of held-out data."""

from collections.abc import Sequence

import torch

from ..interfaces import Condition
from ..noise import Noise, SeededNoise
from ..pictures import comparison, scatter
from ..workspace import Workspace
from .sampling import draw, joined, model_range, save_array


def conditional_stage(workspace: Workspace) -> None:
    """Conditions on held-out items as the experiment's conditioner observes them; writes NAME.npz and NAME.png, the observation,
    the sample and the original side by side."""
    settings, sampling = workspace.experiment.conditioning, workspace.experiment.sampling
    assert settings is not None
    assert sampling is not None
    items, conditioner, sde = workspace.items("test"), settings.conditioner, workspace.experiment.sde
    count = min(settings.count, len(items))
    device = workspace.accelerator.device
    originals = model_range(items, range(count), SeededNoise(workspace.seed, range(count), "condition"))
    observed = conditioner.observe(originals, SeededNoise(workspace.seed, range(count), "condition"))

    def condition(places: Sequence[int], noise: Noise) -> Condition:
        rows = torch.as_tensor(places)
        known = {key: value[rows].to(device) for key, value in observed.items()}
        return conditioner.condition(sde, known.pop("y"), noise, **known)

    parts = draw(workspace, sampling, count, stage="condition", what=conditioner.name, condition=condition)
    if not workspace.is_main:
        return
    samples, _ = joined(parts)
    save_array(workspace, f"{conditioner.name}.npz", samples=samples, originals=originals, **observed)
    path = workspace.folder / f"{conditioner.name}.png"
    columns = [("observed", observed["y"]), ("sample", samples), ("original", originals)]
    if items.spec.is_image:
        comparison(path, columns, items.spec, mask=observed.get("mask"))
    else:
        scatter(path, columns[1:])
