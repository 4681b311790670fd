"""Figures by features: those of torch-fidelity on the same pictures, and closed forms."""

import math
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
import torch_fidelity
from torch import Tensor, nn
from torch.utils.data import Dataset

from scoresde.core import DataSpec, FeatureExtractor, TensorItems
from scoresde.core.features import Features
from scoresde.core.fidelity import Moments, Seen, _kid, fidelity_figures
from scoresde.core.progress import Progress
from scoresde.core.sample_sets import SampleSet, of_items
from scoresde.core.testing import BatchNoise

METRICS = ("fid", "kid", "inception_score", "precision_recall")


class Linear(nn.Module):
    calls = 0

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        Linear.calls += 1
        points = x.flatten(1).float() / 16
        return {"points": points, "logits": points @ torch.linspace(-1, 1, 3 * points.shape[1]).reshape(-1, 3)}


@attrs.frozen(kw_only=True)
class Points(FeatureExtractor):
    """The pictures as points."""

    name = "points"

    @property
    def layers(self) -> Mapping[str, str]:
        return {"fid": "points", "kid": "points", "prc": "points", "isc": "logits"}

    def build(self, spec: DataSpec) -> nn.Module:
        return Linear()


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORESDE_CACHE", str(tmp_path))


def as_set(x: Tensor, source: str = "x") -> SampleSet:
    spec = DataSpec(shape=tuple(x.shape[1:]), range=(-1.0, 1.0), levels=256)
    return of_items(TensorItems(spec, {"x": x.to(torch.uint8)}), source)


def figures(one: SampleSet, other: SampleSet, metrics: Any = METRICS, **options: Any) -> dict[str, Any]:
    features = Features(Points(), TensorItems(one.spec, {"x": next(one.blocks(1))}), quiet=True)
    progress = lambda what, total, unit: Progress(what, total, unit, quiet=True)  # noqa: E731
    return {figure["name"]: figure for figure in fidelity_figures(one, other, features, metrics, seed=3, progress=progress, **options)}


def drawn(count: int, shift: float, stream: int, shape: tuple[int, ...] = (1, 3, 3)) -> Tensor:
    return (100 + shift + 30 * BatchNoise(stream).normal((count, *shape))).clamp(0, 255).round()


class Bytes(Dataset[Tensor]):
    def __init__(self, x: Tensor) -> None:
        self.x = x.to(torch.uint8)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, place: int) -> Tensor:
        return self.x[place]


def test_all_figures_are_those_of_torch_fidelity() -> None:
    x, y = drawn(130, 8, 1), drawn(150, 0, 2)
    found = figures(as_set(x), as_set(y))
    name = Features(Points(), TensorItems(as_set(x).spec, {"x": x.to(torch.uint8)}), quiet=True).name
    expected = torch_fidelity.calculate_metrics(
        **dict.fromkeys(("fid", "kid", "isc", "prc"), True),
        **{"input1": Bytes(x), "input2": Bytes(y), "feature_extractor": name, "kid_subset_size": 130, "rng_seed": 3},
        **{"cuda": False, "cache": False, "verbose": False, "save_cpu_ram": True},
    )
    assert {key: figure["value"] for key, figure in found.items()} == {
        "FID_points@130": pytest.approx(expected["frechet_inception_distance"], rel=1e-4),
        "KID_points@130": pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-6),
        "inception_score_points@130": pytest.approx(expected["inception_score_mean"], rel=1e-6),
        "precision_points@130": expected["precision"],
        "recall_points@130": expected["recall"],
    }
    assert found["KID_points@130"]["protocol"]["std_over_subsets"] == pytest.approx(expected["kernel_inception_distance_std"], rel=1e-5)
    assert found["inception_score_points@130"]["protocol"]["std_over_parts"] == pytest.approx(expected["inception_score_std"], rel=1e-5)


def test_the_frechet_distance_of_axes_in_closed_form() -> None:
    """All sign patterns of two pixels: the covariances are diagonal, 4/3 of the squares, and commute."""
    one, other = (
        torch.tensor([[[[m + a * s, n + b * t]]] for s, t in product((-1.0, 1.0), repeat=2)])
        for m, n, a, b in ((100, 50, 16, 32), (116, 50, 48, 8))
    )
    stds = [(math.sqrt(4 / 3) * a / 16, math.sqrt(4 / 3) * b / 16) for a, b in ((16, 32), (48, 8))]
    expected = 1.0**2 + sum((s - t) ** 2 for s, t in zip(*stds, strict=True))
    assert figures(as_set(one), as_set(other), ["fid"])["FID_points@4"]["value"] == pytest.approx(expected, rel=1e-6)
    assert figures(as_set(one), as_set(one), ["fid"])["FID_points@4"]["value"] == pytest.approx(0, abs=1e-6)


def test_the_kernel_distance_is_unbiased() -> None:
    """Each law has two points: the population's MMD^2 with (f . g / D + 1)^3 is a finite sum."""
    laws = torch.tensor([[[0.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 0.5]]], dtype=torch.float64)
    p, q = laws
    k = lambda a, b: float(((a @ b.T / 2 + 1) ** 3).mean())  # noqa: E731
    exact = k(p, p) + k(q, q) - 2 * k(p, q)
    values = []
    for stream in range(60):
        rows = BatchNoise(stream).integers(2, (2, 8))
        ours, theirs = (Seen({}, {"points": law[row].float()}) for law, row in zip(laws, rows, strict=True))
        values.append(_kid(ours, theirs, "points", 0)[0]["value"])
    error = torch.tensor(values).std() / math.sqrt(len(values))
    assert abs(sum(values) / len(values) - exact) < 4 * float(error)
    assert exact > 8 * float(error)


def test_precision_and_recall_of_sets_inside_one_another() -> None:
    """Samples on a small part of what the reference covers are precise and recall little."""
    grid = torch.tensor([[[[float(a), float(b)]]] for a in range(0, 240, 16) for b in range(0, 240, 16)])
    part = torch.tensor([[[[float(a), float(b)]]] for a in range(0, 64, 8) for b in range(0, 64, 8)])
    found = figures(as_set(part), as_set(grid), ["precision_recall"])
    assert found["precision_points@64"]["value"] == 1.0
    assert found["recall_points@64"]["value"] < 0.15
    assert figures(as_set(grid), as_set(grid), ["precision_recall"])["recall_points@225"]["value"] == 1.0


def test_moments_in_blocks_are_those_of_the_whole() -> None:
    rows = 1e4 + BatchNoise().normal((50, 3), dtype=torch.float64)
    moments = Moments()
    for block in rows.split(7):
        moments.add(block)
    torch.testing.assert_close(moments.tensors["mu"], rows.mean(0), rtol=1e-14, atol=0)
    torch.testing.assert_close(moments.tensors["sigma"], torch.cov(rows.T), rtol=1e-9, atol=1e-12)


def test_what_was_computed_of_a_reference_is_kept() -> None:
    x, y = as_set(drawn(80, 5, 1)), as_set(drawn(90, 0, 2))
    Linear.calls = 0
    first = figures(x, y)
    assert Linear.calls == 2 + 2  # batches of 64
    again = figures(x, as_set(drawn(90, 0, 2)), ["fid", "kid"])
    assert Linear.calls == 6
    assert all(again[name] == first[name] for name in again)
    figures(x, as_set(drawn(90, 1, 2)), ["fid"])
    assert Linear.calls == 10


def test_the_protocol_says_all_that_a_figure_depends_on() -> None:
    x, y = as_set(drawn(20, 5, 1), "runs/a"), as_set(drawn(30, 0, 2), "data")
    found = figures(x, y, ["fid"])["FID_points@20"]
    assert found["std_error"] is None
    assert found["protocol"] == {
        "n": 20,
        "layer": "points",
        "dtype": "float64 moments of float32 features",
        "samples": {"source": "runs/a", "n": 20, "digest": x.digest},
        "reference": {"source": "data", "n": 30, "digest": y.digest},
        "extractor": "Points()",
        "extractor_weights": found["protocol"]["extractor_weights"],
        "channels": 1,
        "pictures": "uint8",
        "software": "torch-fidelity 0.4.0",
        "seed": 3,
    }


def test_the_usual_number_and_the_usual_features_have_the_plain_name() -> None:
    from scoresde.core.fidelity import figure_name

    features = Features(Points(), TensorItems(as_set(drawn(2, 0, 0)).spec, {"x": drawn(2, 0, 0).to(torch.uint8)}), quiet=True)
    assert [figure_name("FID", n, features) for n in (50_000, 10_000)] == ["FID_points", "FID_points@10000"]

    @attrs.frozen(kw_only=True)
    class Standard(Points.__mro__[1]):  # type: ignore[misc]
        name = "usual"
        standard = True
        layers = Points.layers
        build = Points.build

    features.extractor = Standard()
    assert [figure_name("FID", n, features) for n in (50_000, 10_000)] == ["FID", "FID@10000"]


@pytest.mark.parametrize(
    ("metric", "n", "m", "message"),
    [
        ("fid", 1, 5, "fid needs 2 samples or more: there are 1"),
        ("kid", 5, 1, "kid needs 2 reference pictures or more: there are 1"),
        ("precision_recall", 3, 9, "precision_recall needs 4 samples or more: there are 3"),
    ],
)
def test_too_few_pictures(metric: str, n: int, m: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        figures(as_set(drawn(n, 0, 0)), as_set(drawn(m, 0, 1)), [metric])
