import hashlib
import pickle
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from torchvision import datasets

from scoresde.core import DataSpec
from scoresde.plugins.dataset.torchvision import TorchVision


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def write_idx(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">{1 + values.ndim}i", 0x0800 + values.ndim, *values.shape) + values.tobytes())


def everything(data: TorchVision, split: str) -> torch.Tensor:
    items = data.open(split)
    return items.batch(range(len(items)))["x"]


@pytest.mark.parametrize("collection", ["MNIST", "FashionMNIST", "KMNIST"])
def test_idx_files_are_read_in_their_order(tmp_path: Path, collection: str) -> None:
    images = {"train": random(0, 5, 28, 28), "t10k": random(1, 3, 28, 28)}
    labels = {"train": np.array([3, 1, 4, 1, 5], np.uint8), "t10k": np.array([9, 2, 6], np.uint8)}
    for part in images:
        write_idx(tmp_path / collection / "raw" / f"{part}-images-idx3-ubyte", images[part])
        write_idx(tmp_path / collection / "raw" / f"{part}-labels-idx1-ubyte", labels[part])
    data = TorchVision(collection=collection, root=tmp_path)
    for split, part in (("train", "train"), ("test", "t10k")):
        torch.testing.assert_close(everything(data, split), torch.from_numpy(images[part])[:, None], rtol=0, atol=0)
        assert data.open(split).labels.tolist() == labels[part].tolist()
    assert data.open("train").spec == DataSpec(shape=(1, 28, 28), range=(-1.0, 1.0), levels=256, classes=10)
    assert TorchVision(collection=collection, root=tmp_path, centered=False).open("test").spec.range == (0.0, 1.0)


def test_cifar_is_read_with_its_channels_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    images = random(0, 4, 3, 32, 32)
    (folder / "batch").write_bytes(pickle.dumps({"data": images.reshape(4, -1), "labels": [7, 0, 9, 2]}))
    (folder / "meta").write_bytes(pickle.dumps({"label_names": [str(i) for i in range(10)]}))
    digest = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in ("batch", "meta")}
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [["batch", digest["batch"]]])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["batch", digest["batch"]]])
    monkeypatch.setattr(datasets.CIFAR10, "meta", {"filename": "meta", "key": "label_names", "md5": digest["meta"]})
    data = TorchVision(collection="CIFAR10", root=tmp_path)
    torch.testing.assert_close(everything(data, "train"), torch.from_numpy(images), rtol=0, atol=0)
    assert data.open("test").labels.tolist() == [7, 0, 9, 2]
    assert data.open("test").spec == DataSpec(shape=(3, 32, 32), range=(-1.0, 1.0), levels=256, classes=10)


def test_svhn_is_read_with_its_channels_first_and_its_zeros_of_class_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = random(0, 4, 3, 32, 32)
    labels = np.array([[10], [3], [1], [9]], np.uint8)
    for split in ("train", "test"):
        scipy.io.savemat(path := tmp_path / f"{split}_32x32.mat", {"X": images.transpose(2, 3, 1, 0), "y": labels})
        digest = hashlib.md5(path.read_bytes()).hexdigest()
        monkeypatch.setitem(datasets.SVHN.split_list, split, ["", path.name, digest])
        data = TorchVision(collection="SVHN", root=tmp_path)
        torch.testing.assert_close(everything(data, split), torch.from_numpy(images), rtol=0, atol=0)
        assert data.open(split).labels.tolist() == [0, 3, 1, 9]


@pytest.mark.parametrize(
    ("collection", "place"),
    [
        ("MNIST", "MNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte"),
        ("CIFAR10", "cifar-10-batches-py"),
        ("CIFAR100", "cifar-100-python"),
        ("SVHN", "test_32x32.mat"),
    ],
)
def test_a_missing_data_set_says_what_was_looked_for(tmp_path: Path, collection: str, place: str) -> None:
    message = (
        f"{collection} is not (or not whole) in {tmp_path}: looked for {tmp_path / place};"
        " copy torchvision's files there, or set download = true to fetch them"
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        TorchVision(collection=collection, root=tmp_path).open("test")
