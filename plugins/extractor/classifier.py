"""Features of a small classifier of the data themselves, where those of Inception (Heusel et al., 2017) say little or are not to be had.

A picture of 8 bits becomes x in [-1, 1]; with convolutions C_i (3x3, step 2) until its side is at most 4,

    h_0 = x,    h_i = silu(C_i h_{i-1}),    a = A h_L,    logits W silu(a),    features f = (a - m) / s,

with the mean m and the standard deviation s of each number of a over the training pictures, so that no feature outweighs another. It is
trained on the cross-entropy of the classes by Adam with decoupled weight decay (Loshchilov & Hutter, 2019), its step falling along a
cosine, and is right for 99 % of the held-out pictures of the 8x8 digits and of MNIST.
"""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import final

import attrs
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, silu

from scoresde.core import DataSpec, FeatureExtractor, Items, option
from scoresde.core.noise import permutation, stream_seed

WIDTHS = (32, 64)  # of the first convolution, and of the others
BLOCK, MOST = 500, 10_000  # pictures at a time, and all that features are standardised by


@final
@attrs.frozen(kw_only=True)
class Classifier(FeatureExtractor):
    """A small convolutional classifier, trained on the labelled pictures of the data; the same seed gives the same one."""

    name = "classifier"
    learns = True

    features: int = option(64, at_least=2, help="number of features")
    steps: int = option(1000, at_least=1, help="optimiser steps")
    batch: int = option(128, at_least=1, help="pictures of one step")
    learning_rate: float = option(2e-3, above=0, help="Adam's first step size")
    weight_decay: float = option(0.05, at_least=0, help="decoupled weight decay")
    seed: int = option(0, at_least=0, help="seed of the first weights and of the order of the pictures")

    @property
    def layers(self) -> Mapping[str, str]:
        return {"fid": "features", "kid": "features", "prc": "features", "isc": "logits"}

    def check(self, items: Items) -> None:
        if items.labels is None:
            raise ValueError("learns the classes of the data, and these have no labels")
        if int(items.labels.min()) == int(items.labels.max()):
            raise ValueError("learns the classes of the data, and these have a single one")

    def build(self, spec: DataSpec) -> nn.Module:
        if spec.classes is None:
            raise ValueError("learns the classes of the data, and these have none")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(self.seed, 0, "initialisation"))
            return ClassifierNetwork(spec, spec.classes, self.features)

    def fit(self, network: nn.Module, items: Items, on_step: Callable[[int, int], object]) -> None:
        assert items.labels is not None
        assert isinstance(network, ClassifierNetwork)
        optimizer = torch.optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        size = min(self.batch, len(items))
        each = len(items) // size  # steps of an epoch, whose last few pictures are left out
        for step in range(self.steps):
            if step % each == 0:
                order = permutation(self.seed, step // each, len(items), "training")
            rows = order[step % each * size : (step % each + 1) * size]
            x = items.spec.to_bytes(items.batch(rows.tolist())["x"])
            loss = cross_entropy(network(x)["logits"], items.labels[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            on_step(step + 1, self.steps)
        network.standardise(items)


class ClassifierNetwork(nn.Module):
    """forward(x (B, C, H, W) uint8) -> {"features": (B, features), "logits": (B, classes)}."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: DataSpec, classes: int, features: int) -> None:
        super().__init__()
        channels, height, width = spec.shape
        depth = max(2, math.ceil(math.log2(max(height, width))) - 2)
        widths = [channels, WIDTHS[0], *[WIDTHS[1]] * (depth - 1)]
        self.convolutions = nn.ModuleList(nn.Conv2d(*pair, 3, stride=2, padding=1) for pair in pairwise(widths))
        for _ in range(depth):
            height, width = -(-height // 2), -(-width // 2)
        self.features = nn.Linear(widths[-1] * height * width, features)
        self.classes = nn.Linear(features, classes)
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = x.float() / 127.5 - 1
        for convolution in self.convolutions:
            h = silu(convolution(h))
        a = self.features(h.flatten(1))
        return {"features": (a - self.mean) / self.std, "logits": self.classes(silu(a))}

    @torch.no_grad()
    def standardise(self, items: Items) -> None:
        """Has the features of these items, the first 10,000, have mean 0 and variance 1."""
        places = [range(start, min(start + BLOCK, len(items))) for start in range(0, min(len(items), MOST), BLOCK)]
        rows = torch.cat([self(items.spec.to_bytes(items.batch(block)["x"]))["features"] for block in places])
        self.mean.copy_(rows.mean(0))
        self.std.copy_(rows.std(0).clamp(min=1e-6))
