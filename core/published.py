"""Published weights as ours: names mapped one by one, and every tensor accounted for."""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor


class PublishedMismatchError(ValueError):
    """The published tensors are not those of the network; one line for each that is missing, extra or misshapen."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def rename(
    names: Mapping[str, Sequence[str]], shapes: Mapping[str, torch.Size], published: Mapping[str, Tensor], ignored: Collection[str] = ()
) -> dict[str, Tensor]:
    """A state_dict of tensors with ``shapes`` from published ones: each is the published tensors of its ``names`` along the first axis.

    A published matrix stands for a 1x1 convolution of the transposed matrix. Raises PublishedMismatchError where a tensor has no name,
    where a published one is missing, has another shape, or is neither named nor in ``ignored``.
    """
    problems = [f"{ours} has no published name" for ours in shapes if ours not in names]
    state, used = {}, set(ignored)
    for ours, theirs in names.items():
        used.update(theirs)
        if absent := [name for name in theirs if name not in published]:
            problems += [f"{name} is missing" for name in absent]
            continue
        parts = [_kernel(published[name], len(shapes[ours])) for name in theirs]
        lengths = shapes[ours][0] // len(parts)
        wanted = torch.Size((lengths, *shapes[ours][1:]))
        wrong = [name for name, part in zip(theirs, parts, strict=True) if part.shape != wanted]
        problems += [f"{name} has shape {tuple(published[name].shape)}; {ours} needs {tuple(wanted)}" for name in wrong]
        if not wrong:
            state[ours] = parts[0] if len(parts) == 1 else torch.cat(parts)
    problems += [f"{name} is extra" for name in published if name not in used]
    if problems:
        raise PublishedMismatchError(problems)
    return state


def _kernel(value: Tensor, rank: int) -> Tensor:
    return value.T[:, :, None, None] if value.ndim == 2 and rank == 4 else value
