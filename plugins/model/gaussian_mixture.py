"""The exact score of Gaussian mixture data under a linear SDE: a model with nothing to train.

If p_0 = sum_k w_k N(m_k, C_k), then p_t = sum_k w_k N(alpha m_k, alpha^2 C_k + sigma^2 I) (from Song et al., 2021, eq. 29), and

    grad log p_t(x) = -sum_k p(k | x, t) (alpha^2 C_k + sigma^2 I)^-1 (x - alpha m_k).

The mixture is written in the file, or is the law of the data where they know it, or is fitted to them by expectation maximisation.
"""

from typing import Any, ClassVar, Literal, final

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from scoresde.core import SDE, DataSpec, Items, LinearSDE, Mixture, Prediction, Scalar, ScoreModel, SeededNoise, option

from ..mixture_options import check, mixture


@final
@attrs.frozen(kw_only=True)
class GaussianMixture(ScoreModel):
    """The exact score of a Gaussian mixture of items of any shape, which are flattened."""

    name = "gaussian_mixture"
    needs: ClassVar[type[Any]] = LinearSDE
    trainable: ClassVar[bool] = False

    weights: tuple[float, ...] = option((), above=0, help="w_k, normalised; without parameters and components, the law of the data")
    means: tuple[tuple[float, ...], ...] = option((), help="m_k, in the range that the model sees")
    covariances: tuple[tuple[tuple[float, ...], ...], ...] = option((), help="C_k")
    components: int | None = option(None, at_least=1, help="fit a mixture of so many components to the training items")
    covariance_type: Literal["full", "tied", "diag", "spherical"] = option("full", help="what a fitted covariance may be")
    reg_covar: float = option(1e-6, at_least=0, help="added to the diagonal of a fitted covariance")
    seed: int = option(0, at_least=0, below=2**32, help="seed of a fit")

    def __attrs_post_init__(self) -> None:
        if self._is_given:
            check(self.weights, self.means, self.covariances)
            if self.components is not None:
                raise ValueError("components are for a fit: leave them out where weights, means and covariances are given")

    @property
    def _is_given(self) -> bool:
        return bool(self.weights or self.means or self.covariances)

    @property
    def reads_labels(self) -> bool:
        """The components of the data's own law are their classes."""
        return not self._is_given and self.components is None

    def build(self, sde: SDE, spec: DataSpec) -> nn.Module:
        if not isinstance(sde, LinearSDE):
            raise ValueError(f"gaussian_mixture needs a LinearSDE; {type(sde).__name__} is not one")
        network = MixtureScore(sde, self.components or 1, spec.dimension, reads_labels=self.reads_labels)
        if self._is_given:
            if len(self.means[0]) != spec.dimension:
                raise ValueError(
                    f"the means of gaussian_mixture have {len(self.means[0])} numbers; the data have {spec.dimension}, shape {spec.shape}"
                )
            network.assign(mixture(self.weights, self.means, self.covariances))
        return network

    def fit(self, network: nn.Module, items: Items) -> None:
        if not isinstance(network, MixtureScore):
            raise TypeError(f"fit takes the network that build made, not {type(network).__name__}")
        if self._is_given:
            return
        if self.components is not None:
            network.assign(self._estimate(self.components, items))
        elif items.law is not None:
            network.assign(items.law)
        else:
            raise ValueError(
                "gaussian_mixture has no mixture: give weights, means and covariances, or components to fit, or data whose law is known"
            )

    def _estimate(self, components: int, items: Items) -> Mixture:
        from sklearn import mixture as estimators

        indices = range(len(items))
        x = items.spec.scale(items.batch(indices)["x"], SeededNoise(self.seed, indices, "initialisation")).flatten(1)
        result = estimators.GaussianMixture(
            components, covariance_type=self.covariance_type, reg_covar=self.reg_covar, random_state=self.seed, max_iter=500
        ).fit(x.double().cpu().numpy())
        unit, covariances = np.eye(x.shape[1]), result.covariances_
        if self.covariance_type == "tied":
            covariances = np.broadcast_to(covariances, (components, *unit.shape)).copy()
        elif self.covariance_type != "full":
            covariances = unit * covariances.reshape(components, 1, -1)
        return Mixture(*map(torch.from_numpy, (result.weights_, result.means_, covariances)))

    def prediction(self, sde: SDE) -> Prediction:
        return "score"

    def time(self, sde: SDE) -> None:
        return None


class MixtureScore(nn.Module):
    """forward(x (B, *shape), t, a float or (B,)) -> grad log p_t(x) (B, *shape), computed in float64; nan until a mixture is assigned.
    With ``reads_labels`` and given ``label`` (B,) it is that of the component, or of the mixture for -1.

    The buffers are those of a ``Mixture``, its eigendecompositions included, so that a restored network is the same to the last bit.
    """

    def __init__(self, sde: LinearSDE, components: int, dimension: int, *, reads_labels: bool = False) -> None:
        super().__init__()
        self.sde, self.reads_labels = sde, reads_labels
        square = (components, dimension, dimension)
        shapes = {"weights": square[:1], "means": square[:2], "covariances": square, "variances": square[:2], "bases": square}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.full(shape, torch.nan, dtype=torch.float64))

    def assign(self, law: Mixture) -> None:
        """Takes this mixture, of any number of components, for the law of the data."""
        for name, value in self.named_buffers():
            setattr(self, name, getattr(law, name).to(value.device, copy=True))

    def law(self) -> Mixture:
        """The mixture, on the buffers' device."""
        law = object.__new__(Mixture)
        for name, value in self.named_buffers():
            setattr(law, name, value.double())
        return law

    def forward(self, x: Tensor, t: Scalar, label: Tensor | None = None) -> Tensor:
        if label is not None and not self.reads_labels:
            raise TypeError("the mixture reads no labels: its components are not the data's classes")
        return self.law().score(x.flatten(1), self.sde.alpha(t), self.sde.sigma(t), label).reshape(x.shape)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """The number of components may differ from that at building: the law of the data is not known there."""
        for name, value in list(self.named_buffers()):
            if prefix + name in state_dict:
                setattr(self, name, value.new_empty(state_dict[prefix + name].shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)
