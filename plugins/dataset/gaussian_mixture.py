"""Points drawn from a Gaussian mixture sum_k w_k N(m_k, C_k) (Pearson, 1894), whose law is known exactly under every linear SDE: the SDE's
kernels are Gaussian (Song et al., 2021, eq. 29)."""

from typing import final

import attrs

from scoresde.core import Dataset, DataSpec, Items, SeededNoise, Split, TensorItems, option

from ..mixture_options import check, mixture


@final
@attrs.frozen(kw_only=True)
class GaussianMixtureData(Dataset):
    """Points of a Gaussian mixture; the items carry the mixture as their ``law``, and their components as labels."""

    name = "gaussian_mixture"

    weights: tuple[float, ...] = option(above=0, help="w_k, normalised")
    means: tuple[tuple[float, ...], ...] = option(help="m_k")
    covariances: tuple[tuple[tuple[float, ...], ...], ...] = option(help="C_k")
    count: int = option(10_000, at_least=1, help="points of each split")
    seed: int = option(0, at_least=0, help="seed of the points; each point has a stream of its own, training points first")

    def __attrs_post_init__(self) -> None:
        check(self.weights, self.means, self.covariances)

    def open(self, split: Split) -> Items:
        law = mixture(self.weights, self.means, self.covariances)
        first = 0 if split == "train" else self.count
        noise = SeededNoise(self.seed, range(first, first + self.count), "data")
        uniform = noise.uniform((self.count,))
        x = law.sample(uniform, noise.normal((self.count, law.dimension)))
        spec = DataSpec(shape=(law.dimension,), classes=len(self.weights))
        return TensorItems(spec, {"x": x.float()}, law, law.components(uniform))
