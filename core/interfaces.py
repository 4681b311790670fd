"""The interfaces that plugins fill. A kind of component is its abstract class; the list is open.

Throughout: states x are (B, *) of any rank, times run from t down to s < t, a reverse process carries the SDE and the score, and every
random number comes from the ``noise`` that is handed in. Components are immutable: history travels in ``Step.state``.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from .component import Component
from .data import DataSpec, Items, Split
from .mixture import Mixture
from .noise import Noise
from .noise_conditional import NoiseConditional
from .reverse import Reverse
from .scalars import Scalar, add_scaled
from .score import Prediction, Score, TimeCoordinate
from .sde import SDE


class Interval(NamedTuple):
    """One step of a grid, from t down to s: number ``index`` of ``count``; float64."""

    t: float
    s: float
    index: int  # type: ignore[assignment]
    count: int  # type: ignore[assignment]

    @staticmethod
    def chain(times: Iterable[float]) -> tuple["Interval", ...]:
        """The steps of these falling times, from each to the next."""
        floats = [float(time) for time in times]
        return tuple(Interval(t, s, i, len(floats) - 1) for i, (t, s) in enumerate(pairwise(floats)))


class Step(NamedTuple):
    """The outcome of one step from a given x: x ~ N(mean, std^2), std 0 for a deterministic step and None where x is not Gaussian.

    ``state`` is a method's history: a pytree whose tensors have the batch axis first or do not depend on the sample. ``gain`` is the factor
    of score(x, t) in the mean of a predictor's Gaussian step; None where the mean is no such sum (see ``Predictor.gaussian``).
    """

    x: Tensor
    mean: Tensor
    std: Scalar | None = None
    state: Any = None
    gain: Scalar | None = None

    @staticmethod
    def draw(mean: Tensor, std: Scalar, noise: Noise, state: Any = None, gain: Scalar | None = None) -> "Step":
        """A Gaussian step: mean + std z with a fresh z."""
        z = noise.normal_like(mean)
        if isinstance(std, Tensor) or mean.requires_grad:
            return Step(add_scaled(mean, std, z), mean, std, state, gain)
        return Step(torch.add(mean, z, alpha=std, out=z), mean, std, state, gain)  # new memory costs as much as the sum


class LogProb(NamedTuple):
    """Log-densities, one entry per sample: value and std_error (of its stochastic estimate; 0 if exact, nan if not
    known) in nats, the latent code (shape of x), the solver's evaluations, and status (0 converged, 1 stopped at max_nfe)."""

    value: Tensor
    std_error: Tensor
    latent: Tensor
    evaluations: Tensor
    status: Tensor


class ScoreModel(Component):
    """A network with the facts that turn its output into a score."""

    kind = "model"
    needs: ClassVar[type[Any]] = SDE
    trainable: ClassVar[bool] = True

    @property
    def reads_labels(self) -> bool:
        """Whether the network takes an input ``label`` (B,) int64, the class, or -1 for none; without it, all have none."""
        return False

    @abstractmethod
    def build(self, sde: SDE, spec: DataSpec) -> nn.Module:
        """The network, with forward(x (B, *shape), time (B,), **inputs) -> (B, *shape).

        Raises ValueError, in one line, where it does not fit the data's shape, or reads labels of data that have no classes.
        """

    @abstractmethod
    def prediction(self, sde: SDE) -> Prediction:
        """What the network's output is."""

    @abstractmethod
    def time(self, sde: SDE) -> TimeCoordinate | None:
        """The time coordinate that the network reads; None for t as the loop has it."""

    def scales_input(self, sde: SDE) -> bool:
        """Whether the network is given x / sqrt(alpha^2 + sigma^2)."""
        return False

    def fit(self, network: nn.Module, items: Items) -> None:
        """Sets, before any training, what gradient descent does not: called once with the training items."""

    def published_names(self, network: nn.Module) -> Mapping[str, Sequence[str]]:
        """For each parameter of the network, the names that it has in the papers' checkpoints: one, or several that are its parts along the
        first axis. Empty for networks that the papers do not have."""
        return {}

    def score(self, sde: SDE, network: nn.Module) -> Score:
        return Score(sde, network, self.prediction(sde), self.time(sde), self.scales_input(sde))


class Classifier(Component):
    """A network that finds the class of a noisy item, with the facts that it needs."""

    kind = "classifier"
    needs: ClassVar[type[Any]] = SDE

    @abstractmethod
    def build(self, sde: SDE, spec: DataSpec) -> nn.Module:
        """The network, with forward(x (B, *shape), time (B,)) -> logits (B, spec.classes).

        Raises ValueError, in one line, where it does not fit the data's shape, or they have no classes.
        """

    @abstractmethod
    def time(self, sde: SDE) -> TimeCoordinate | None:
        """The time coordinate that the network reads; None for t as the loop has it."""

    def scales_input(self, sde: SDE) -> bool:
        """Whether the network is given x / sqrt(alpha^2 + sigma^2)."""
        return False

    def logits(self, sde: SDE, network: nn.Module) -> NoiseConditional:
        """(x (B, *shape), t) -> logits (B, K) of the classes given x_t."""
        return NoiseConditional(sde, network, self.time(sde), self.scales_input(sde))


class Predictor(Component):
    """One step of a solver of the reverse process."""

    kind = "predictor"
    needs: ClassVar[type[Any]] = SDE
    couples: ClassVar[bool] = False  # whether a sample's result depends on its batch-mates
    projectable: ClassVar[bool] = True  # whether a projection may change the state between its steps
    remakes: ClassVar[bool] = False  # whether a step makes the one before again, and so undoes what a corrector did between

    @property
    def ode_order(self) -> int | None:
        """The order of convergence to the probability-flow ODE; None for a method with noise, whose weak order is 1."""
        return None

    @property
    def evaluations(self) -> int | None:
        """Score evaluations of one step; None where it varies."""
        return 1

    @property
    def gaussian(self) -> bool:
        """Whether its steps have a ``std`` above 0 and a ``gain``: what a particle method weighs its steps by."""
        return False

    @property
    def reads_s(self) -> bool:
        """Whether anything is evaluated at s; the ``published`` grid, whose last s is negative, refuses such a predictor."""
        return True

    @property
    def steps_ladder(self) -> bool:
        """Whether its steps are those of the SDE's ladder, so that a run needs exactly ``levels`` of them."""
        return False

    @property
    def own_grid(self) -> "Grid | None":
        """The times that it is made for, taken where a run names none; None for a uniform grid."""
        return None

    def chosen(self, steps: int) -> "Predictor":
        """The method that a run of so many steps has, where it chooses one; results name this one."""
        return self

    def init(self, reverse: Reverse, x: Tensor, intervals: Sequence[Interval]) -> Any:
        """The first state: all that depends on the grid alone is computed here, not in the loop."""
        return None

    @abstractmethod
    def step(self, reverse: Reverse, x: Tensor, interval: Interval, state: Any, noise: Noise) -> Step:
        """From x at interval.t to interval.s; s = t is the identity."""


class Corrector(Component):
    """A Markov chain step that leaves the marginal p_t (nearly) unchanged."""

    kind = "corrector"
    needs: ClassVar[type[Any]] = SDE
    couples: ClassVar[bool] = False
    evaluations: ClassVar[int] = 1

    @property
    def reads_ladder(self) -> bool:
        """Whether it reads coefficients of the SDE's ladder."""
        return False

    @abstractmethod
    def correct(self, reverse: Reverse, x: Tensor, t: Scalar, noise: Noise) -> Step:
        """One inner step at time t."""


class Condition:
    """What is known of the sample. The defaults change nothing; a condition overrides what it needs."""

    @property
    def projects(self) -> bool:
        """Whether it acts on the state, and not on the score alone."""
        return type(self).project is not Condition.project or type(self).start is not Condition.start

    def guide(self, score: Score) -> Score:
        """The score given what is known; every sampler and likelihood sees it."""
        return score

    def start(self, x: Tensor, t: float, noise: Noise) -> tuple[Tensor, Any]:
        """The state at the first time, from a draw of the prior, and the condition's memory (a pytree as ``Step.state``)."""
        return x, None

    def project(self, before: Step, after: Step, t: float, s: float, memory: Any, reverse: Reverse, noise: Noise) -> tuple[Step, Any]:
        """Acts on the state after each inner step from t to s (s = t after a corrector)."""
        return after, memory


class Conditioner(Component):
    """Makes conditions from observations."""

    kind = "conditioner"
    needs: ClassVar[type[Any]] = SDE
    silenced_by: ClassVar[str | None] = None  # the option (a strength) or observed tensor (a mask) whose 0 makes conditions change nothing

    @property
    @abstractmethod
    def projects(self) -> bool:
        """Whether its conditions act on the state (and so exclude likelihoods and adaptive solvers)."""

    @property
    def reads_s(self) -> bool:
        """Whether its conditions evaluate anything at the end of a step; the ``published`` grid, whose last s is negative, refuses them."""
        return self.projects

    @property
    def couples(self) -> bool:
        """Whether a sample's result depends on its batch-mates."""
        return False

    @property
    def weighs(self) -> bool:
        """Whether its conditions weigh steps by their law, and so need a predictor whose steps are ``gaussian``. They are told which rows
        of a batch are particles of one another, ``particles`` (B,) int64 with a number for each such group, by what is made of several."""
        return False

    @property
    def members(self) -> Mapping[str, "Conditioner"]:
        """The conditioners that it is made of, by what the names of their observations end in; it alone, which adds nothing to them."""
        return {"": self}

    def for_data(self, spec: DataSpec) -> Self:
        """The conditioner for such data, with what its options leave open. Raises ValueError, in one line, where it does not fit them."""
        return self

    @abstractmethod
    def observe(self, x: Tensor, noise: Noise) -> dict[str, Tensor]:
        """What an experiment observes of the items x (B, *): ``y`` and the other arguments of ``condition``, batch axis first."""

    @abstractmethod
    def condition(self, sde: SDE, y: Tensor, noise: Noise, **observed: Any) -> Condition:
        """The condition for the observations y (B, *), in the model's range, with the other tensors that ``observe`` gives, and with what
        a capability such as ``ClassConditioner`` asks for."""

    def check(self, spec: DataSpec, y: Tensor, **observed: Tensor) -> None:
        """Raises ValueError, in one line, where observations (N, *) cannot be of the data's items: of another shape, or out of range."""

    def shown(self, x: Tensor, y: Tensor, **observed: Tensor) -> Tensor:
        """The observations y (N, *) of items like x (N, *), as a picture has them; y where it is one."""
        return y

    def posterior(self, law: Mixture, shape: tuple[int, ...], y: Tensor, **observed: Tensor) -> Mixture | None:
        """The exact law of an item of this shape, flattened, given what is observed of it, (1, *) each, where ``law`` is that of all: for a
        linear observation ``law.given(A, y, std)``. None where there is no closed form. The conformance kit holds samples to it."""
        return None


class Operator(Component):
    """A linear map A of items: what an instrument sees of them, without its noise."""

    kind = "operator"
    positive: ClassVar[bool] = False  # whether A has no entry below 0, so that it maps the data's range, [low, high], to [A low, A high]

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """A x (B, *) of items x (B, *), with linearly independent rows. Raises ValueError, in one line, for items that it does not fit."""


class Grid(Component):
    """The times of a sampler."""

    kind = "grid"
    needs: ClassVar[type[Any]] = SDE
    contiguous: ClassVar[bool] = True  # whether each interval starts where the one before ends

    @abstractmethod
    def intervals(self, sde: SDE, count: int) -> tuple[Interval, ...]:
        """``count`` steps from sde.t_max down to ``last``, strictly falling, with exact ends. Raises ValueError for a count it does not
        support."""

    def last(self, sde: SDE) -> float:
        """The last time: its option ``end``, where it has one that is given, or else the SDE's sampling_end."""
        end: float | None = getattr(self, "end", None)
        return sde.sampling_end if end is None else end


class Sampler(Component):
    """A whole sampling loop."""

    kind = "sampler"
    needs: ClassVar[type[Any]] = SDE

    @abstractmethod
    def sample(self, reverse: Reverse, condition: Condition, x: Tensor, intervals: Sequence[Interval], noise: Noise) -> Iterator[Step]:
        """Yields the state after every interval, from a draw x of the prior; ``reverse`` is already guided by the condition."""

    def check(self, sde: SDE, intervals: Sequence[Interval], *, contiguous: bool, projects: bool) -> None:
        """Raises ValueError, in one line, where its parts cannot work together or on this grid."""

    @abstractmethod
    def evaluations(self, steps: int) -> int | None:
        """Score evaluations of a run with this many steps; None where it varies."""

    @property
    def own_grid(self) -> Grid | None:
        """The times that it is made for, taken where a run names none; None for a uniform grid."""
        return None

    def chosen(self, steps: int) -> "Sampler":
        """The loop that a run of so many steps has, where its parts are chosen by their number; results name this one."""
        return self


class Likelihood(Component):
    """Log-densities and latent codes under a model."""

    kind = "likelihood"
    needs: ClassVar[type[Any]] = SDE

    @property
    def corrects_start(self) -> bool:
        """Whether x stands at time 0 for ``log_prob``, and not at sde.t_min."""
        return False

    @abstractmethod
    def log_prob(self, reverse: Reverse, x: Tensor, noise: Noise) -> LogProb:
        """log p of x (B, *), which stands at sde.t_min, in nats, with x's latent code."""

    @abstractmethod
    def encode(self, reverse: Reverse, x: Tensor) -> Tensor:
        """The latent code of x at t_max, shape of x. Raises ArithmeticError, in one line, where it gives one up."""

    @abstractmethod
    def decode(self, reverse: Reverse, z: Tensor) -> Tensor:
        """The sample with latent code z, shape of z; the inverse of ``encode``, with the same errors."""

    def check(self, sde: SDE, dtype: torch.dtype) -> None:
        """Raises ValueError, in one line, where its options ask for more than a score of this ``dtype`` can give."""


class Objective(Component):
    """A training loss."""

    kind = "objective"

    @property
    def needs(self) -> type[Any]:
        return SDE

    @abstractmethod
    def loss(self, score: Score, x0: Tensor, noise: Noise) -> Tensor:
        """The loss of each sample of the batch x0 (B, *): (B,), at least float32."""


class Dataset(Component):
    """A data set with its splits."""

    kind = "dataset"

    @abstractmethod
    def open(self, split: Split) -> Items:
        """The items of a split. Raises ValueError or OSError, in one line, where the data are missing or not as declared."""


class FeatureExtractor(Component):
    """A network whose features of pictures are compared: what Frechet distances and their like are measured by."""

    kind = "extractor"
    channels: ClassVar[int | None] = None  # those that the network takes, as which grey ones are repeated; None for those of the data
    learns: ClassVar[bool] = False  # whether ``fit`` changes the network: it is kept under the digest of what it has learnt from
    standard: ClassVar[bool] = False  # whether published figures are measured by these features; figures by others carry their name

    @property
    @abstractmethod
    def layers(self) -> Mapping[str, str]:
        """The layer that each measure reads: "fid", "kid", "prc" features, "isc" logits of classes; what is left out is not to be had."""

    def check(self, items: Items) -> None:
        """Before any work, with the items that it would learn from: raises ValueError or OSError, in one line, where it does not fit them
        or lacks what it needs."""

    @abstractmethod
    def build(self, spec: DataSpec) -> nn.Module:
        """The network, a function of the options and the spec: forward(x (B, C, H, W) uint8, 0 to 255) -> {layer: (B, D)}, in float32 at
        least. Raises ValueError or OSError, in one line, where it cannot be made."""

    def fit(self, network: nn.Module, items: Items, on_step: Callable[[int, int], object]) -> None:
        """Trains the network on the items; after each step ``on_step`` is given the number of steps done and of all."""


KINDS: Mapping[str, type[Component]] = {
    interface.kind: interface
    for interface in (
        SDE,
        ScoreModel,
        Classifier,
        Predictor,
        Corrector,
        Sampler,
        Grid,
        Likelihood,
        Conditioner,
        Operator,
        Objective,
        Dataset,
        FeatureExtractor,
    )
}
