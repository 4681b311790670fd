"""Data sets that torchvision keeps, 8 bits a channel: MNIST (LeCun et al., 1998), FashionMNIST (Xiao et al., 2017), KMNIST (Clanuwat et
al., 2018), CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) and SVHN (Netzer et al., 2011)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, final

import attrs
import torch
from torch import Tensor

from scoresde.core import Dataset, DataSpec, Items, Split, TensorItems, option


class Source(NamedTuple):
    """Where torchvision keeps a data set under its root, the shape of an item, and the number of classes."""

    place: str
    shape: tuple[int, int, int]
    classes: int


IDX = "raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte"

SOURCES: Mapping[str, Source] = {
    "MNIST": Source("MNIST/" + IDX, (1, 28, 28), 10),
    "FashionMNIST": Source("FashionMNIST/" + IDX, (1, 28, 28), 10),
    "KMNIST": Source("KMNIST/" + IDX, (1, 28, 28), 10),
    "CIFAR10": Source("cifar-10-batches-py", (3, 32, 32), 10),
    "CIFAR100": Source("cifar-100-python", (3, 32, 32), 100),
    "SVHN": Source("SPLIT_32x32.mat", (3, 32, 32), 10),
}


@final
@attrs.frozen(kw_only=True)
class TorchVision(Dataset):
    """One of torchvision's data sets, in the folder layout of torchvision.datasets."""

    name = "torchvision"

    collection: Literal["MNIST", "FashionMNIST", "KMNIST", "CIFAR10", "CIFAR100", "SVHN"] = option(help="which data set")
    root: Path = option(help="the folder that holds torchvision's data sets")
    download: bool = option(False, help="whether to fetch what is missing from the internet")
    centered: bool = option(True, help="whether the model sees the range [-1, 1] instead of [0, 1]")

    def open(self, split: Split) -> Items:
        source = SOURCES[self.collection]
        held = self._held(split)
        x = torch.as_tensor(held.data)
        if x.ndim == 3:
            x = x[:, None]
        elif tuple(x.shape[1:]) != source.shape:
            x = x.movedim(3, 1).contiguous()
        labels: Tensor = torch.as_tensor(held.labels if self.collection == "SVHN" else held.targets).long()
        spec = DataSpec(shape=source.shape, range=(-1.0 if self.centered else 0.0, 1.0), levels=256, classes=source.classes)
        return TensorItems(spec, {"x": x}, labels=labels)

    def _held(self, split: Split) -> Any:
        from torchvision import datasets

        which = {"split": split} if self.collection == "SVHN" else {"train": split == "train"}
        try:
            return getattr(datasets, self.collection)(self.root, download=self.download, **which)
        except RuntimeError as error:
            if self.download:
                raise OSError(f"{self.collection} could not be downloaded to {self.root}: {error}") from error
            place = self.root / SOURCES[self.collection].place.replace("SPLIT", split)
            raise FileNotFoundError(
                f"{self.collection} is not (or not whole) in {self.root}: looked for {place};"
                " copy torchvision's files there, or set download = true to fetch them"
            ) from error
