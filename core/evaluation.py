"""What a classifier that was trained on the real items says of generated samples.

A perceptron learns the classes of real training items and gives each item x a class c(x) = argmax_k p(k | x) and a top probability
max_k p(k | x). Three figures come from these, each beside its value for held-out real items, which is what perfect samples would reach:

    accuracy on held-out items,       mean top probability,       class balance  1/2 sum_k |s_k - r_k|,

where s_k is the share of the class k among the c(x) and r_k its share among the training labels (total-variation distance: 0 equal
shares, 1 none in common). Of n items drawn with the shares r_k it has about the mean 1/2 sum_k sqrt(2 r_k (1 - r_k) / (pi n)), given as
``by_chance``: a balance near it is no defect.
"""

import math
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .data import DataSpec, Items
from .noise import stream_seed

_MOST = 10_000  # items of a split that are used, chosen at random where there are more
_SETTINGS = {"hidden_layer_sizes": [256], "alpha": 0.01, "max_iter": 50}


def classifier_agreement(samples: Tensor, items_train: Items, items_test: Items, seed: int) -> list[dict[str, Any]]:
    """How well generated samples (N, *shape), in the model's range, fall into the classes of the data.

    A figure is {name, value, std_error, protocol}, with the standard error of the mean, None for a class balance. Samples are rounded to
    stored items first, where the data have levels; all items are scaled without dequantisation.
    Raises ValueError where the data have no labels, or a single class.
    """
    spec = items_train.spec
    x, labels = _labelled(items_train, seed)
    heldout, truth = _labelled(items_test, seed)
    classes = max(spec.classes or 0, int(labels.max()) + 1, int(truth.max()) + 1)
    shares = np.bincount(labels, minlength=classes) / len(labels)
    classifier = _classifier(x, labels, seed)
    common = {"classifier": "scikit-learn MLPClassifier", "classifier_n": len(x), "settings": dict(_SETTINGS), "seed": seed}

    figures: list[dict[str, Any]] = []
    for split, rows in (("samples", _rows(spec, spec.quantise(samples.detach().cpu()))), ("heldout", heldout)):
        probabilities = classifier.predict_proba(rows)
        predicted = classifier.classes_[probabilities.argmax(1)]
        protocol = {"n": len(rows), **common}
        if split == "heldout":
            figures.insert(0, _mean("classifier_accuracy_heldout", predicted == truth, protocol))
        figures.append(_mean(f"classifier_top_probability_{split}", probabilities.max(1), protocol))
        figures.append(_balance(f"class_balance_{split}", predicted, shares, protocol))
    return figures


def class_accuracy(samples: Tensor, y: Tensor, items_train: Items, items_test: Items, seed: int) -> list[dict[str, Any]]:
    """The share of samples (N, *shape), in the model's range, whose class y (N,) the classifier finds: of all, and of each class.

    It is trained on real items alone, and its own accuracy on held-out ones stands in the protocol. None for data of a single class.
    Raises ValueError where the data have no labels.
    """
    spec = items_train.spec
    x, labels = _labelled(items_train, seed)
    if len(np.unique(labels)) < 2:
        return []
    heldout, truth = _labelled(items_test, seed)
    classifier = _classifier(x, labels, seed)
    right = classifier.predict(_rows(spec, spec.quantise(samples.detach().cpu()))) == y.numpy()
    own = float((classifier.predict(heldout) == truth).mean())
    common = {"classifier": "scikit-learn MLPClassifier", "classifier_n": len(x), "settings": dict(_SETTINGS), "seed": seed}
    figures = []
    for name, rows in [
        ("class_accuracy", right),
        *((f"class_accuracy_{label}", right[y.numpy() == label]) for label in sorted(set(y.tolist()))),
    ]:
        figures.append(_mean(name, rows.astype(float), {"n": len(rows), **common, "accuracy_heldout": own}))
    return figures


def _labelled(items: Items, seed: int) -> tuple[Any, Any]:
    """At most 10,000 items (n, D), as the model sees them, and their labels (n,)."""
    if items.labels is None:
        raise ValueError("the classifier figures need data with labels: these have none")
    count = len(items)
    chosen = torch.arange(count)
    if count > _MOST:
        generator = torch.Generator().manual_seed(stream_seed(seed, 0, "evaluation"))
        chosen = torch.randperm(count, generator=generator)[:_MOST]
    return _rows(items.spec, items.batch(chosen.tolist())["x"]), items.labels[chosen].numpy()


def _rows(spec: DataSpec, stored: Tensor) -> Any:
    return spec.scale(stored).flatten(1).numpy()


def _classifier(x: Any, labels: Any, seed: int) -> Any:
    """A fitted scikit-learn classifier.

    Its accuracy on held-out items is 97 to 98 % on the 8x8 digits and 96 % on MNIST, in seconds; a support-vector machine gains 1 %,
    takes three to four times as long with probabilities, and is nearly as sure of uniform noise as of digits.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    if len(np.unique(labels)) < 2:
        raise ValueError("the classifier figures need data with at least two classes: these have one")
    classifier = MLPClassifier(**_SETTINGS, random_state=stream_seed(seed, 0, "evaluation"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is fixed on purpose
        return classifier.fit(x, labels)


def _mean(name: str, values: Any, protocol: dict[str, Any]) -> dict[str, Any]:
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
    return {"name": name, "value": float(values.mean()), "std_error": error, "protocol": protocol}


def _balance(name: str, predicted: Any, shares: Any, protocol: dict[str, Any]) -> dict[str, Any]:
    n = len(predicted)
    found = np.bincount(predicted, minlength=len(shares)) / n
    chance = 0.5 * float(np.sqrt(2 * shares * (1 - shares) / (math.pi * n)).sum())
    details = {"shares": found.tolist(), "training_shares": shares.tolist(), "by_chance": chance}
    return {"name": name, "value": 0.5 * float(np.abs(found - shares).sum()), "std_error": None, "protocol": {**protocol, **details}}
