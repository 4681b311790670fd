"""Distances between sets of pictures in the space of an extractor's features, as torch-fidelity computes them.

With the means m and covariances C of the features of samples (1) and reference (2),

    FID = |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2))                                  (Heusel et al., 2017),
    KID = the unbiased MMD^2 with the kernel (f . g / D + 1)^3, a mean over subsets          (Binkowski et al., 2018),
    IS  = exp E KL(p(class | x) || p(class)), a mean over ten parts                          (Salimans et al., 2016),

precision is the share of samples within the reach of a reference picture, that of its third neighbour among its own, and recall the same
with the sets exchanged (Kynkaanniemi et al., 2019). FID and IS depend on the number of samples; a figure says it unless it is 50,000.

The pictures pass through once. For the FID their moments are summed in float64 as they come; the features themselves are kept for the
others alone. What is computed of a reference is kept in the cache folder, under the digests of the pictures and of the extractor's weights.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, final

import torch
from torch import Tensor

from .checkpoint import read_tensors, write_tensors
from .experiment.schema import OF_FEATURES
from .features import Features, cache_folder, key_of
from .files import write_file
from .progress import Progress
from .sample_sets import SampleSet

Figure: TypeAlias = dict[str, Any]
Progresses: TypeAlias = Callable[[str, int, str], AbstractContextManager[Progress]]  # of a name, a number of units, and what they are


USUAL = 50_000  # the number of samples of published figures
BATCH = 64
_SUBSETS, _SUBSET = 100, 1000  # of the KID
_PARTS = 10  # of the Inception score
_NEIGHBOUR = 3
_ROWS = 1000  # of distances at a time


@final
class Moments:
    """The mean and the covariance of rows that come in blocks, summed in float64 about the mean of the first block."""

    def __init__(self) -> None:
        self.count, self.about = 0, torch.empty(0, dtype=torch.float64)
        self.sum, self.squares = self.about, self.about

    def add(self, rows: Tensor) -> None:
        """Takes in rows (B, D)."""
        rows = rows.double()
        if not self.count:
            self.about = rows.mean(0)
            self.sum, self.squares = torch.zeros_like(self.about), torch.zeros(2 * rows.shape[1:], dtype=torch.float64)
        centred = rows - self.about
        self.count += len(rows)
        self.sum = self.sum + centred.sum(0)
        self.squares.addmm_(centred.T, centred)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The mean ``mu`` (D,) and the unbiased covariance ``sigma`` (D, D)."""
        shift = self.sum / self.count
        sigma = (self.squares - self.count * torch.outer(shift, shift)) / (self.count - 1)
        return {"mu": self.about + shift, "sigma": sigma}


class Seen(NamedTuple):
    """What is kept of a set: the moments of the features of the FID, and the features of other layers (N, D)."""

    moments: dict[str, Tensor]
    layers: dict[str, Tensor]


def fidelity_figures(
    samples: SampleSet, reference: SampleSet, features: Features, metrics: Sequence[str], *, seed: int, progress: Progresses
) -> list[Figure]:
    """The figures of these names (keys of ``OF_FEATURES``), each {name, value, std_error, protocol}.

    Raises ValueError where there are too few pictures, or they cannot be read.
    """
    check_counts(len(samples), len(reference), metrics)
    of_both = [name for name in metrics if name != "inception_score"]
    theirs = _reference(reference, features, of_both, progress) if of_both else Seen({}, {})
    ours = _seen(samples, features, metrics, progress, "samples")
    made = {"fid": _fid, "kid": _kid, "inception_score": _inception_score, "precision_recall": _precision_recall}
    protocol = {
        "samples": samples.protocol,
        **({"reference": reference.protocol} if of_both else {}),
        **features.facts,
        "software": f"torch-fidelity {version('torch-fidelity')}",
        "seed": seed,
    }
    found = []
    for name in metrics:
        layer = features.extractor.layers[OF_FEATURES[name]]
        for entry in made[name](ours, theirs, layer, seed):
            dtype = "float64 moments of float32 features" if name == "fid" else "float32 features"
            entry["protocol"] = {"n": len(samples), "layer": layer, "dtype": dtype, **entry["protocol"], **protocol}
            entry["name"] = figure_name(entry["name"], len(samples), features)
            found.append(entry)
    return found


def figure_name(base: str, n: int, features: Features) -> str:
    """FID for 50,000 samples and the extractor of published figures; else with the number and the extractor."""
    extractor = features.extractor
    return base + ("" if extractor.standard else f"_{extractor.name}") + ("" if n == USUAL else f"@{n}")


def check_counts(samples: int, reference: int, metrics: Iterable[str]) -> None:
    """Raises ValueError where there are too few pictures for a figure."""
    least = {"fid": 2, "kid": 2, "inception_score": 1, "precision_recall": _NEIGHBOUR + 1}
    for name in metrics:
        for count, which in ((samples, "samples"), (reference, "reference pictures")):
            if count < least[name] and not (name == "inception_score" and which != "samples"):
                raise ValueError(f"{name} needs {least[name]} {which} or more: there are {count}")


def _fid(ours: Seen, theirs: Seen, layer: str, seed: int) -> list[Figure]:
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    one, other = ({name: value.numpy() for name, value in seen.moments.items()} for seen in (ours, theirs))
    return [_figure("FID", fid_statistics_to_metric(one, other, False)[KEY_METRIC_FID])]


def _kid(ours: Seen, theirs: Seen, layer: str, seed: int) -> list[Figure]:
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

    one, other = ours.layers[layer], theirs.layers[layer]
    size = min(_SUBSET, len(one), len(other))
    found = kid_features_to_metric(one, other, kid_subsets=_SUBSETS, kid_subset_size=size, rng_seed=seed, verbose=False)
    settings = {"subsets": _SUBSETS, "subset_size": size, "std_over_subsets": found[KEY_METRIC_KID_STD], "kernel": "(f . g / D + 1)^3"}
    return [_figure("KID", found[KEY_METRIC_KID_MEAN], **settings)]


def _inception_score(ours: Seen, theirs: Seen, layer: str, seed: int) -> list[Figure]:
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric

    logits = ours.layers[layer]
    parts = _PARTS if len(logits) >= 10 * _PARTS else 1
    found = isc_features_to_metric(logits, parts, True, seed)
    return [_figure("inception_score", found[KEY_METRIC_ISC_MEAN], parts=parts, std_over_parts=found[KEY_METRIC_ISC_STD])]


def _precision_recall(ours: Seen, theirs: Seen, layer: str, seed: int) -> list[Figure]:
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    one, other = ours.layers[layer], theirs.layers[layer]
    found = prc_features_to_metric(one, other, prc_neighborhood=_NEIGHBOUR, prc_batch_size=_ROWS, save_cpu_ram=True, verbose=False)
    keys = {"precision": KEY_METRIC_PRECISION, "recall": KEY_METRIC_RECALL}
    return [_figure(name, found[key], neighbour=_NEIGHBOUR) for name, key in keys.items()]


def _figure(name: str, value: float, **protocol: Any) -> Figure:
    return {"name": name, "value": float(value), "std_error": None, "protocol": protocol}


def _seen(samples: SampleSet, features: Features, metrics: Sequence[str], progress: Progresses, what: str) -> Seen:
    """One pass over the pictures."""
    layers, moments = features.extractor.layers, Moments()
    kept: dict[str, list[Tensor]] = {layers[OF_FEATURES[name]]: [] for name in metrics if name != "fid"}
    wanted = list({**dict.fromkeys(kept), **({layers["fid"]: None} if "fid" in metrics else {})})
    with progress(f"features of the {what}", len(samples), "picture") as bar:
        for pictures in samples.pictures(BATCH):
            found = features(pictures, wanted)
            if "fid" in metrics:
                moments.add(found[layers["fid"]])
            for layer, parts in kept.items():
                parts.append(found[layer].float())
            bar.update(len(pictures))
    return Seen(moments.tensors if "fid" in metrics else {}, {layer: torch.cat(parts) for layer, parts in kept.items()})


def _reference(reference: SampleSet, features: Features, metrics: Sequence[str], progress: Progresses) -> Seen:
    """What is kept of the reference, from the cache folder where it is there."""
    layers = features.extractor.layers
    places = {name: _place(reference, features, layers[OF_FEATURES[name]], "moments" if name == "fid" else "features") for name in metrics}
    missing = [name for name, path in places.items() if not path.is_file()]
    if missing:
        seen = _seen(reference, features, missing, progress, "reference")
        for name in missing:
            tensors = seen.moments if name == "fid" else {"features": seen.layers[layers[OF_FEATURES[name]]]}
            write_file(places[name], lambda temporary, tensors=tensors: write_tensors(temporary, tensors))  # type: ignore[misc]
    moments = read_tensors(places["fid"]) if "fid" in metrics else {}
    return Seen(moments, {layers[OF_FEATURES[name]]: read_tensors(places[name])["features"] for name in metrics if name != "fid"})


def _place(reference: SampleSet, features: Features, layer: str, what: str) -> Path:
    key = key_of(reference.digest, reference.spec, len(reference), features.digest, features.extractor.name, layer, what)
    return cache_folder() / "references" / f"{features.extractor.name}-{what}-{key}.safetensors"
