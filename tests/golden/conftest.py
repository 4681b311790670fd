"""The recorded cases, found by their file names in the folder that SCORESDE_GOLDEN names; settings and tolerances come from the files."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from scoresde.core import LinearSDE
from scoresde.plugins.sde.sub_vp import SubVP
from scoresde.plugins.sde.ve import VE
from scoresde.plugins.sde.vp import VP

FOLDER = os.environ.get("SCORESDE_GOLDEN")


def case_names() -> list[str]:
    if FOLDER is None:
        return []
    return sorted(path.stem for path in Path(FOLDER).glob("*.json") if path.with_suffix(".safetensors").exists())


class Case:
    """One recorded case, read in one dtype; remembers which outputs were checked."""

    def __init__(self, name: str, dtype: torch.dtype) -> None:
        assert FOLDER is not None
        self.name, self.dtype = name, dtype
        self.record = json.loads((Path(FOLDER) / f"{name}.json").read_text())
        self.params: dict[str, Any] = self.record["params"]
        self.tensors = load_file(Path(FOLDER) / f"{name}.safetensors")
        self.unchecked = {
            key
            for key, entry in self.record["tensors"].items()
            if entry["role"] == "output" and not key.endswith("_f64") and (dtype == torch.float32 or self.twin(key) is not None)
        }

    def twin(self, key: str) -> Tensor | None:
        entry = self.record["tensors"][key]
        if not entry["dtype"].startswith("float"):
            return self.tensors[key]
        return self.tensors.get(entry.get("float64_twin", ""))

    def __getitem__(self, key: str) -> Tensor:
        """An input or a draw, in the dtype of this run."""
        value = self.tensors[key]
        return value.to(self.dtype) if value.is_floating_point() else value

    def __contains__(self, key: str) -> bool:
        return key in self.record["tensors"]

    def check(self, key: str, value: Tensor | float, relative: float = 1e-9) -> None:
        """Holds a value to the recorded one: in float32 by the file's tolerances, in float64 by ``relative`` of the largest entry."""
        self.unchecked.discard(key)
        entry, expected = self.record["tensors"][key], self.twin(key)
        if expected is None:
            assert self.dtype == torch.float32, f"{key} has no float64 twin"
            expected = self.tensors[key]
        value = torch.as_tensor(value).to(expected.dtype)
        assert value.shape == expected.shape, key
        if not expected.is_floating_point():
            assert torch.equal(value, expected), key
            return
        difference, size = (value - expected).abs(), expected.abs()
        if self.dtype == torch.float64:
            bound = relative * (size + size.max())
        else:
            bound = entry["tolerance"]["atol"] + entry["tolerance"]["rtol"] * size
        assert bool((difference <= bound).all()), f"{key}: off by {float((difference - bound).max()):.3g} beyond its tolerance"
        share = entry.get("tolerance", {}).get("per_sample_rel")
        if share is not None and self.dtype == torch.float32:
            assert bool((difference.flatten(1).amax(1) <= share * size.flatten(1).amax(1)).all()), f"{key}: per-sample bound"

    def sde(self, **changes: Any) -> LinearSDE:
        """The case's SDE; ``changes`` replace options, those that are None are left as they are."""
        kinds: dict[str, type[LinearSDE]] = {"ve": VE, "vp": VP, "subvp": SubVP}
        names = ("sigma_min", "sigma_max", "beta_min", "beta_max")
        options = {key: self.params[key] for key in names if key in self.params}
        options["levels"] = self.params["N"]
        if "eps" in self.params:
            options["t_min"] = self.params["eps"]
        return kinds[self.params["sde"]](**{**options, **{key: value for key, value in changes.items() if value is not None}})


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    if FOLDER is None:
        reason = "SCORESDE_GOLDEN does not name a folder of recorded cases"
        metafunc.parametrize("case", [pytest.param(None, marks=pytest.mark.skip(reason=reason))])
        return
    prefixes = metafunc.function.families
    names = [name for name in case_names() if name.startswith(prefixes)]
    pairs = [(name, dtype) for name in names for dtype in (torch.float32, torch.float64)]
    metafunc.parametrize("case", pairs, indirect=True, ids=[f"{name}-{str(dtype)[6:]}" for name, dtype in pairs])


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    case = Case(*request.param)
    yield case
    assert not case.unchecked, f"recorded but not compared: {sorted(case.unchecked)}"
