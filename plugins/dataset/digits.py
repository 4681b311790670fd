"""The 8x8 handwritten digits that come with scikit-learn (Alpaydin & Kaynak, 1998): 1,797 pictures with 17 grey levels in 10 classes.

Numpy's RandomState(0), whose numbers are fixed for good, permutes them; the first 1,500 are for training, the other 297 are held out.
"""

from typing import final

import attrs
import numpy as np
import torch

from scoresde.core import Dataset, DataSpec, Items, Split, TensorItems, option

TRAINING = 1500


@final
@attrs.frozen(kw_only=True)
class Digits(Dataset):
    """scikit-learn's 8x8 digits, shape (1, 8, 8)."""

    name = "digits"

    centered: bool = option(True, help="whether the model sees the range [-1, 1] instead of [0, 1]")

    def open(self, split: Split) -> Items:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        order = np.random.RandomState(0).permutation(len(images))
        rows = order[:TRAINING] if split == "train" else order[TRAINING:]
        x = torch.from_numpy(images[rows]).to(torch.uint8).reshape(-1, 1, 8, 8)
        spec = DataSpec(shape=(1, 8, 8), range=(-1.0 if self.centered else 0.0, 1.0), levels=17, classes=10)
        return TensorItems(spec, {"x": x}, labels=torch.from_numpy(labels[rows]).long())
