"""Networks of the model or classifier under test: built, fitted and made noisy the same way each time, and the shapes of items that they
accept."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from ...data import DataSpec, TensorItems
from ...interfaces import Classifier, ScoreModel
from ...scalars import Scalar, broadcast
from ...sde import SDE
from ..conformance import Subject
from ..problems import mixture_problem
from .component import SHAPES
from .problems import draws

Networked: TypeAlias = ScoreModel | Classifier

ITEMS = 64
CLASSES = 2  # the modes of the items
_ELSE: tuple[tuple[int, ...], ...] = (*((count,) for count in range(1, 17)), (1, 8, 8), (1, 16, 16), (3, 16, 16), (3, 32, 32), (3, 64, 64))
_SPREAD = 0.1


class Built(NamedTuple):
    """The network of a model, or of a classifier, for items of one shape under one SDE."""

    model: Networked
    sde: SDE
    shape: tuple[int, ...]
    network: nn.Module

    @property
    def words(self) -> str:
        return f"items {self.shape}, {self.sde.name}"

    @property
    def learnt(self) -> dict[str, nn.Parameter]:
        return {name: parameter for name, parameter in self.network.named_parameters() if parameter.requires_grad}

    @property
    def trainable(self) -> bool:
        return not isinstance(self.model, ScoreModel) or self.model.trainable

    @property
    def gives(self) -> str:
        """What its output is."""
        return "score" if isinstance(self.model, ScoreModel) else "logits"

    @property
    def output(self) -> Callable[[Tensor, Scalar], Tensor]:
        """The score, or the logits, at (x (B, *), t)."""
        return self.model.score(self.sde, self.network) if isinstance(self.model, ScoreModel) else self.model.logits(self.sde, self.network)


def model(subject: Subject) -> Networked:
    assert isinstance(subject.component, (ScoreModel, Classifier))
    return subject.component


@lru_cache(maxsize=16)
def items(shape: tuple[int, ...]) -> TensorItems:
    """Items of a mixture, with their law; never changed."""
    law = mixture_problem(torch.Size(shape).numel(), 2)
    return TensorItems(spec(shape), {"x": draws(law, shape, ITEMS).float()}, law)


def spec(shape: tuple[int, ...]) -> DataSpec:
    return DataSpec(shape=shape, classes=CLASSES)


def build(made: Networked, sde: SDE, shape: tuple[int, ...], seed: int = 0) -> Built:
    """The network in evaluation mode, fitted as before training; every parameter moved, since those that begin at 0 hide others."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = made.build(sde, spec(shape)).eval()
        if isinstance(made, ScoreModel):
            made.fit(network, items(shape))
        built = Built(made, sde, shape, network)
        with torch.no_grad():
            for parameter in built.learnt.values():
                parameter.add_(_SPREAD * torch.randn(parameter.shape, dtype=parameter.dtype))
    return built


def accepted_shapes(subject: Subject, sde: SDE) -> Iterator[tuple[int, ...]]:
    """Those of ``SHAPES`` that the model does not refuse under this SDE, or else the first of further ones.

    Raises AssertionError where there are none.
    """
    found, said = False, None
    for shape in (*SHAPES, *_ELSE):
        if found and shape not in SHAPES:
            return
        said = refusal(model(subject), sde, shape)
        if said is None:
            found = True
            yield shape
    assert found, f"it refuses all of {len(SHAPES) + len(_ELSE)} shapes of items ({sde.name}), the last because {said}"


def refusal(made: Networked, sde: SDE, shape: tuple[int, ...]) -> str | None:
    """What the model says of items that it refuses."""
    with torch.random.fork_rng(devices=[]):
        try:
            made.build(sde, spec(shape))
        except ValueError as error:
            return str(error)
    return None


def each(subject: Subject) -> Iterator[Built]:
    """For each SDE the network for the first shape that is accepted."""
    for sde in subject.sdes:
        yield build(model(subject), sde, next(accepted_shapes(subject, sde)))


def noised(built: Built, t: Tensor, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """(x_t, std, z) of as many items as there are times t (B,), std ready to multiply."""
    draw = torch.Generator().manual_seed(5)
    x0 = items(built.shape).tensors["x"][torch.randint(ITEMS, t.shape, generator=draw)].to(dtype)
    z = torch.randn(x0.shape, generator=draw, dtype=torch.float64).to(dtype)
    mean, std = built.sde.marginal(x0, t)
    scale = torch.as_tensor(broadcast(std, x0))
    return mean + scale * z, scale, z
