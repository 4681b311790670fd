"""Several conditions at once, by the chain rule of what is known:

    grad log p(x_t | y_1, ..., y_n) = grad log p(x_t) + grad log p(y_1 | x_t) + grad log p(y_2 | x_t, y_1) + ...

Each condition guides the score that those before it have guided, and so estimates its own term given theirs: the denoised mean of an
observation's guidance, say, is that of the wanted class. One alone may act on the state: a second would undo what the first has put there.
"""

from typing import Any, final

from torch import Tensor

from .classes import ClassConditioner
from .interfaces import Condition, Conditioner, Step
from .noise import Noise
from .reverse import Reverse
from .score import Score


@final
class Composed(Condition):
    """All of the conditions, in their order. Raises ValueError where two of them act on the state."""

    def __init__(self, *conditions: Condition) -> None:
        acting = [condition for condition in conditions if condition.projects]
        if len(acting) > 1:
            raise ValueError(
                f"{len(acting)} of the conditions act on the state, and each would undo what another has put there: one alone can"
            )
        self.acting = acting[0] if acting else Condition()
        self.conditions = (*(condition for condition in conditions if not condition.projects), *acting)

    @property
    def projects(self) -> bool:
        return self.acting.projects

    def guide(self, score: Score) -> Score:
        for condition in self.conditions:
            score = condition.guide(score)
        return score

    def start(self, x: Tensor, t: float, noise: Noise) -> tuple[Tensor, Any]:
        return self.acting.start(x, t, noise)

    def project(self, before: Step, after: Step, t: float, s: float, memory: Any, reverse: Reverse, noise: Noise) -> tuple[Step, Any]:
        return self.acting.project(before, after, t, s, memory, reverse, noise)


def observed_by(conditioner: Conditioner, observed: dict[str, Any]) -> list[tuple[str, Conditioner, dict[str, Any]]]:
    """The conditioner's members by their endings, each with its part of what is observed, under its own names."""
    endings = sorted(conditioner.members, key=len, reverse=True)
    parts: dict[str, dict[str, Any]] = {ending: {} for ending in conditioner.members}
    for name, value in observed.items():
        ending = next(ending for ending in endings if name.endswith(ending))
        parts[ending][name.removesuffix(ending)] = value
    return [(ending, part, parts[ending]) for ending, part in conditioner.members.items()]


def with_classes(conditioner: Conditioner, observed: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
    """What is observed of items of these classes (N,): where a member conditions on classes and names none, the items' own."""
    return observed | {
        f"y{ending}": labels for ending, part in conditioner.members.items() if isinstance(part, ClassConditioner) and not part.classes
    }


def class_members(conditioner: Conditioner) -> dict[str, ClassConditioner]:
    """Those that condition on classes."""
    return {ending: part for ending, part in conditioner.members.items() if isinstance(part, ClassConditioner)}
