"""Conditions on all that several conditioners observe (Song et al., 2021, eq. 14, by the chain rule).

For y_1, ..., y_n, noises independent given x_0,

    grad log p(x_t | y_1, ..., y_n) = grad log p(x_t) + sum_i grad log p(y_i | x_t, y_1, ..., y_{i-1}),

and each part guides the score that those before it have guided. The class of an item comes first, then the parts that change the score
alone, in their order, then the one, if any, that acts on the state. What parts draw exactly alone they draw exactly together where each is
exact for the law that those before it leave: ``class_guidance`` and then ``mmps`` where classes are Gaussian, or several times ``mmps``
for Gaussian data. Estimates that differentiate the score differentiate each other: of n parts with backward passes the last takes all of
the others' for each of its own.
"""

from collections.abc import Mapping
from typing import Any, Self, final

import attrs
import torch
from torch import Tensor

from scoresde.core import SDE, ClassConditioner, Composed, Condition, Conditioner, DataSpec, Mixture, Noise, observed_by, option


@final
@attrs.frozen(kw_only=True)
class AllOf(Conditioner):
    """All of several conditions at once, by the chain rule (Song et al., 2021, eq. 14).

    The first part's observations have their own names; those of the others end in the part's number: ``y``, ``y_2``, ``mask_2``.
    """

    name = "all_of"

    parts: tuple[Conditioner, ...] = option(help="the conditioners: one of classes at most, and one that acts on the state")

    def __attrs_post_init__(self) -> None:
        if not self.parts:
            raise ValueError("parts = []: it needs the conditioners that are to hold together")
        if any(isinstance(part, AllOf) for part in self.parts):
            raise ValueError("parts of parts: name them all in one array")
        _one_alone([part.name for part in self.parts if isinstance(part, ClassConditioner)], "ask for a class, and an item has one")
        _one_alone(
            [part.name for part in self.parts if part.projects], "act on the state, and each would undo what the other has put there"
        )

    @property
    def projects(self) -> bool:
        return any(part.projects for part in self.parts)

    @property
    def reads_s(self) -> bool:
        return any(part.reads_s for part in self.parts)

    @property
    def couples(self) -> bool:
        return any(part.couples for part in self.parts)

    @property
    def weighs(self) -> bool:
        return any(part.weighs for part in self.parts)

    @property
    def members(self) -> Mapping[str, Conditioner]:
        return {f"_{number}" if number > 1 else "": part for number, part in enumerate(self.parts, 1)}

    def for_data(self, spec: DataSpec) -> Self:
        return attrs.evolve(self, parts=tuple(part.for_data(spec) for part in self.parts))

    def observe(self, x: Tensor, noise: Noise) -> dict[str, Tensor]:
        parts = [(ending, part.observe(x, noise)) for ending, part in self.members.items()]
        return {name + ending: value for ending, observed in parts for name, value in observed.items()}

    def condition(self, sde: SDE, y: Tensor, noise: Noise, **observed: Any) -> Condition:
        """The condition for the parts' observations; ``classifier`` is for the one of classes."""
        classifier, rows = observed.pop("classifier", None), [value for value in observed.values() if isinstance(value, Tensor)]
        found = []
        for part, known in self._observed(y, observed):
            if isinstance(part, ClassConditioner):
                known["classifier"] = classifier
            if part.weighs:
                known["particles"] = _alike([y, *rows])
            found.append(part.condition(sde, known.pop("y"), noise, **known))
        return Composed(*found)

    def check(self, spec: DataSpec, y: Tensor, **observed: Tensor) -> None:
        for part, known in self._observed(y, observed):
            try:
                part.check(spec, known.pop("y"), **known)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{part.name}: {error}") from error

    def shown(self, x: Tensor, y: Tensor, **observed: Tensor) -> Tensor:
        """What the first part sees that is not of classes."""
        seen = [(part, known) for part, known in self._observed(y, observed) if not isinstance(part, ClassConditioner)]
        return seen[0][0].shown(x, **seen[0][1]) if seen else y

    def posterior(self, law: Mixture, shape: tuple[int, ...], y: Tensor, **observed: Tensor) -> Mixture | None:
        found: Mixture | None = law
        for part, known in self._observed(y, observed):
            found = None if found is None else part.posterior(found, shape, known.pop("y"), **known)
        return found

    def _observed(self, y: Tensor, observed: dict[str, Any]) -> list[tuple[Conditioner, dict[str, Any]]]:
        """The parts with their observations, the one of classes first. Raises ValueError where a part has none."""
        found = observed_by(self, {"y": y, **observed})
        missing = [f"y{ending}" for ending, _, known in found if "y" not in known]
        if missing:
            raise ValueError(
                f"{missing[0]} is missing: the {len(found)} parts observe {', '.join(f'y{ending}' for ending in self.members)}"
            )
        return sorted(((part, known) for _, part, known in found), key=lambda one: not isinstance(one[0], ClassConditioner))


def _one_alone(names: list[str], why: str) -> None:
    if len(names) > 1:
        raise ValueError(f"{names[0]} and {names[1]} both {why}: take one of them")


def _alike(observed: list[Tensor]) -> Tensor:
    """(B,) int64: the same number for rows of which all is observed alike."""
    count = len(observed[0])
    columns = [torch.unique(value.reshape(count, -1), dim=0, return_inverse=True)[1] for value in observed if len(value) == count]
    rows: Tensor = torch.unique(torch.stack(columns, 1), dim=0, return_inverse=True)[1]
    return rows
