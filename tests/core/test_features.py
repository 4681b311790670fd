"""Extractors at work: what is learnt once is kept under the digest of the data, and torch-fidelity knows them by name."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
import torch_fidelity
from torch import Tensor, nn

from scoresde.core import DataSpec, FeatureExtractor, TensorItems
from scoresde.core.errors import UserError
from scoresde.core.features import Features, cache_folder, check, items_digest

SPEC = DataSpec(shape=(1, 2, 2), range=(0.0, 1.0), levels=256)
FITS: list[str] = []


class Affine(nn.Module):
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(()))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"points": x.flatten(1).float() - self.shift}


@attrs.frozen(kw_only=True)
class Centred(FeatureExtractor):
    """The pictures as points about the mean of all their numbers."""

    name = "centred"
    learns = True
    factor: float = 1.0

    @property
    def layers(self) -> Mapping[str, str]:
        return {"fid": "points"}

    def build(self, spec: DataSpec) -> nn.Module:
        return Affine()

    def fit(self, network: Any, items: Any, on_step: Callable[[int, int], object]) -> None:
        FITS.append(repr(self))
        network.shift.fill_(float(items.batch(range(len(items)))["x"].double().mean()))
        on_step(1, 1)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORESDE_CACHE", str(tmp_path))
    FITS.clear()


def items(value: int, spec: DataSpec = SPEC) -> TensorItems:
    return TensorItems(spec, {"x": torch.full((3, *spec.shape), value, dtype=torch.uint8)})


def test_what_is_learnt_of_the_same_data_with_the_same_options_is_learnt_once() -> None:
    first, again = (Features(Centred(), items(10), quiet=True) for _ in range(2))
    assert (len(FITS), first.digest, first.name) == (1, again.digest, again.name)
    assert first(items(12).tensors["x"], ["points"])["points"].tolist() == [[2.0] * 4] * 3
    assert Features(Centred(), items(11), quiet=True).digest != first.digest
    Features(Centred(factor=2.0), items(10), quiet=True)
    assert len(FITS) == 3
    assert len(list(cache_folder().rglob("centred-*.safetensors"))) == 3


def test_torch_fidelity_takes_it_by_its_name() -> None:
    features = Features(Centred(), items(10), quiet=True)
    made = torch_fidelity.utils.create_feature_extractor(features.name, ["points"], cuda=False, verbose=False)
    assert made(torch.full((1, 1, 2, 2), 13, dtype=torch.uint8))[0].tolist() == [[3.0] * 4]


def test_progress_says_what_is_trained(capsys: pytest.CaptureFixture[str]) -> None:
    Features(Centred(), items(10))
    assert "extractor centred: step 1/1 (100 %)" in capsys.readouterr().err


def test_digests_are_of_numbers_and_labels() -> None:
    labelled = TensorItems(SPEC, items(10).tensors, labels=torch.tensor([0, 1, 2]))
    assert len({items_digest(one) for one in (items(10), items(11), labelled)}) == 3
    assert items_digest(items(10)) == items_digest(items(10))


def test_the_cache_lies_where_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/general")
    monkeypatch.delenv("SCORESDE_CACHE")
    assert cache_folder() == Path("/general/scoresde")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "scoresde"


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (DataSpec(shape=(3,)), "compares pictures (1 or 3 channels, H, W); the data have the shape (3,)"),
        (DataSpec(shape=(1, 2, 2)), "compares pictures of 8 bits; the data have no range to make them of"),
    ],
)
def test_what_are_no_pictures_is_refused(spec: DataSpec, why: str) -> None:
    with pytest.raises(UserError) as error:
        check(Centred(), items(0, spec))
    assert str(error.value) == f"extractor 'centred': {why}"


def test_bytes_of_levels_and_of_numbers() -> None:
    levels = DataSpec(shape=(1, 1, 3), range=(-1.0, 1.0), levels=17)
    assert levels.to_bytes(torch.tensor([[[[0, 8, 16]]]])).flatten().tolist() == [0, 128, 255]
    assert SPEC.to_bytes(torch.tensor([[[[0, 3], [128, 255]]]])).flatten().tolist() == [0, 3, 128, 255]
    numbers = DataSpec(shape=(1, 1, 4), range=(-1.0, 1.0))
    assert numbers.to_bytes(torch.tensor([[[[-2.0, -1.0, 0.0, 1.5]]]])).flatten().tolist() == [0, 0, 128, 255]
    with pytest.raises(ValueError, match=r"^the data have no range to make bytes of$"):
        DataSpec(shape=(2,)).to_bytes(torch.zeros(1, 2))
