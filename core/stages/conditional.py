"""The conditional stage: samples given observations, of held-out data or from a file, or given classes."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..classes import ClassConditioner
from ..composition import class_members, observed_by
from ..data import DataSpec
from ..evaluation import class_accuracy
from ..experiment import components
from ..interfaces import Condition, Conditioner
from ..noise import Noise
from ..observation import LinearConditioner
from ..pictures import comparison, scatter
from ..workspace import Workspace
from .likelihood import figure
from .observations import Observations, observations
from .sampling import draw, joined, sampling_protocol, save_array

_SHOWN = 4  # completions of one observation
_OF_A_CLASS = 10  # samples of each class


def conditional_stage(workspace: Workspace) -> list[Any]:
    """Completes each observation as often as the experiment says; writes NAME.npz and NAME.png, the observation, samples and the original
    side by side, and gives the figures."""
    settings, sampling = workspace.experiment.conditioning, workspace.experiment.sampling
    assert settings is not None
    assert sampling is not None
    conditioner, repeats = settings.conditioner, settings.completions
    given = observations(workspace)
    count = len(given.observed["y"])
    condition = conditions(workspace, given.observed, workspace.classifier)
    parts = draw(workspace, sampling, count * repeats, stage="condition", what=conditioner.name, condition=condition)
    if not workspace.is_main:
        return []
    samples, evaluations = joined(parts)
    originals = {} if given.originals is None else {"originals": given.originals}
    save_array(workspace, f"{conditioner.name}.npz", samples=samples, **originals, **given.observed)
    protocol = {"conditioner": repr(conditioner), "observations": count, "completions": repeats}
    protocol["samples"] = sampling_protocol(workspace, sampling, count * repeats, evaluations)
    classes = [given.observed[f"y{ending}"].repeat_interleave(repeats) for ending in class_members(conditioner)]
    judged = [one for y in classes for one in _by_class(workspace, samples, y, protocol)]
    if len(classes) == len(conditioner.members):
        _show_classes(workspace, samples, *classes)
        return judged
    completed = samples.reshape(count, repeats, *samples.shape[1:])
    _show(workspace, completed, given)
    return [
        figure(name, values, protocol) for name, values in _measured(completed, given, conditioner, workspace.items("test").spec)
    ] + judged


def conditions(
    workspace: Workspace, observed: Mapping[str, Tensor], classifier: Callable[[], Any]
) -> Callable[[Sequence[int], Noise], Condition]:
    """Of the samples with these numbers, of which each observation has ``completions``; the classifier is made where one is asked for."""
    settings, sde, device = workspace.experiment.conditioning, workspace.experiment.sde, workspace.accelerator.device
    assert settings is not None
    conditioner, repeats = settings.conditioner, settings.completions
    further = {"classifier": classifier()} if reads_classifier(conditioner) else {}

    def condition(places: Sequence[int], noise: Noise) -> Condition:
        rows = torch.as_tensor(places) // repeats
        known = {key: value[rows].to(device) for key, value in observed.items()}
        return conditioner.condition(sde, known.pop("y"), noise, **known, **further)

    return condition


def reads_classifier(conditioner: Conditioner) -> bool:
    """Whether it, or a part of it, takes a classifier."""
    return any(isinstance(part, ClassConditioner) and part.reads_classifier for _, part in components(conditioner))


def _by_class(workspace: Workspace, samples: Tensor, y: Tensor, protocol: dict[str, Any]) -> list[Any]:
    """The accuracy of all and of each class by a classifier that guided none of them."""
    found = class_accuracy(samples, y, workspace.items("train"), workspace.items("test"), workspace.seed)
    return [{**one, "protocol": {**one["protocol"], **protocol}} for one in found]


def _show_classes(workspace: Workspace, samples: Tensor, y: Tensor) -> None:
    """NAME.png with a column for each class."""
    settings, spec = workspace.experiment.conditioning, workspace.items("test").spec
    assert settings is not None
    path, classes = workspace.folder / f"{settings.conditioner.name}.png", sorted(set(y.tolist()))
    if spec.is_image:
        comparison(path, [(str(label), samples[y == label][:_OF_A_CLASS]) for label in classes], spec)
    else:
        scatter(path, [(str(label), samples[y == label]) for label in classes])


def _measured(completed: Tensor, given: Observations, conditioner: Any, spec: DataSpec) -> list[tuple[str, Tensor]]:
    """What is known of the samples (count, completions, *), a number for each observation."""
    found = []
    if given.originals is not None and spec.is_image and spec.range is not None:
        peak = spec.range[1] - spec.range[0]
        errors = (completed - given.originals[:, None]).square().flatten(2).mean(2)
        found.append((f"{conditioner.name}_psnr_db", (10 * torch.log10(peak**2 / errors)).mean(1)))
        if completed.shape[1] > 1:
            error = (completed.mean(1) - given.originals).square().flatten(1).mean(1)
            found.append((f"{conditioner.name}_psnr_of_mean_db", 10 * torch.log10(peak**2 / error)))
    if completed.shape[1] > 1:
        found.append((f"{conditioner.name}_spread", completed.var(1).flatten(1).mean(1).sqrt()))
    for ending, part, known in observed_by(conditioner, given.observed):
        if isinstance(part, LinearConditioner):
            y = known["y"].repeat_interleave(completed.shape[1], 0)
            misfit = part.observation(y).residual(completed.flatten(0, 1)).square().flatten(1).mean(1)
            found.append((f"{conditioner.name}_misfit{ending}", misfit.reshape(completed.shape[:2]).mean(1).sqrt()))
    return found


def _show(workspace: Workspace, completed: Tensor, given: Observations) -> None:
    """NAME.png."""
    settings, spec = workspace.experiment.conditioning, workspace.items("test").spec
    assert settings is not None
    path = workspace.folder / f"{settings.conditioner.name}.png"
    shown = min(_SHOWN, completed.shape[1])
    titles = ["sample"] if shown == 1 else [f"sample {number}" for number in range(1, shown + 1)]
    columns = [(title, completed[:, number]) for number, title in enumerate(titles)]
    if given.originals is not None:
        columns.append(("original", given.originals))
    if spec.is_image:
        seen = settings.conditioner.shown(completed[:, 0], **given.observed)
        masks = [known["mask"] for _, _, known in observed_by(settings.conditioner, given.observed) if "mask" in known]
        comparison(path, [("observed", seen), *columns], spec, mask=masks[0] if masks else None)
    elif math.prod(spec.shape) > 1:
        scatter(path, [("samples", completed.flatten(0, 1)), *columns[len(titles) :]])
