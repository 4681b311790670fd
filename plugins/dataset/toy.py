"""Figures in the plane from scikit-learn (Pedregosa et al., 2011): two moons, two circles, and the swiss roll seen from its end.

Both coordinates are shifted and scaled so that the training points have mean 0 and variance 1.
"""

from typing import Any, Literal, final

import attrs
import numpy as np
import torch

from scoresde.core import Dataset, DataSpec, Items, Split, TensorItems, option
from scoresde.core.noise import stream_seed


@final
@attrs.frozen(kw_only=True)
class Toy(Dataset):
    """Noisy points on a figure in the plane, standardised, as many for training as held out."""

    name = "toy"

    figure: Literal["moons", "circles", "swiss_roll"] = option("moons", help="what the points lie on")
    count: int = option(10_000, at_least=2, help="points of each split")
    noise: float = option(0.05, at_least=0, help="standard deviation of the noise in scikit-learn's units, where a moon has radius 1")
    seed: int = option(0, at_least=0, help="seed of the points; each split has a stream of its own")

    def open(self, split: Split) -> Items:
        training, labels = self._draw("train")
        mean, std = training.mean(0), training.std(0)
        points, labels = (training, labels) if split == "train" else self._draw(split)
        x = torch.from_numpy((points - mean) / std).float()
        if self.figure == "swiss_roll":  # labelled by the place along the roll, a real number
            return TensorItems(DataSpec(shape=(2,)), {"x": x})
        return TensorItems(DataSpec(shape=(2,), classes=2), {"x": x}, labels=torch.from_numpy(labels).long())

    def _draw(self, split: Split) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
        from sklearn import datasets

        draw = {"moons": datasets.make_moons, "circles": datasets.make_circles, "swiss_roll": datasets.make_swiss_roll}[self.figure]
        extra = {"factor": 0.5} if self.figure == "circles" else {}
        seed = stream_seed(self.seed, 0 if split == "train" else 1, "data")
        points, labels = draw(self.count, noise=self.noise, random_state=seed, **extra)
        return points[:, [0, -1]], labels
