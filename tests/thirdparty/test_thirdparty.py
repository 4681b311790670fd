"""A stranger's distribution, as it is installed from ``scoresde-deis``: found, described, run from a file and used from Python.

It is judged against the exact law of its example. Without it the tests are skipped; SCORESDE_THIRDPARTY=1 makes that a failure.
"""

import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from click.testing import CliRunner, Result

from scoresde.core import Mixture, SeededNoise, sample
from scoresde.core.cli import main
from scoresde.core.testing import Law, mixture_score
from scoresde.registry import Registry

EXAMPLE = Path(__file__).parent / "scoresde-deis" / "examples" / "mixture-deis.toml"
TRUTH = Mixture(
    torch.tensor([0.2, 0.3, 0.5]),
    torch.tensor([[-1.5, -1.0], [1.5, -1.0], [0.0, 1.2]]),
    torch.tensor([[[0.10, 0.06], [0.06, 0.10]], [[0.10, -0.06], [-0.06, 0.10]], [[0.30, 0.00], [0.00, 0.03]]]),
)


@pytest.fixture(scope="module", autouse=True)
def release() -> str:
    """The installed version."""
    try:
        return version("scoresde-deis")
    except PackageNotFoundError:
        missing = "scoresde-deis is not installed: pip install --no-deps ./tests/thirdparty/scoresde-deis"
        if os.environ.get("SCORESDE_THIRDPARTY") == "1":
            pytest.fail(missing)
        pytest.skip(missing)


@pytest.fixture(scope="module")
def registry(release: str) -> Registry:
    return Registry.discover()


@pytest.fixture(scope="module")
def run(release: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of the example."""
    folder = tmp_path_factory.mktemp("thirdparty") / "run"
    result = scoresde("run", str(EXAMPLE), "--out", str(folder), "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    return folder


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    AcceleratorState._reset_state(True)


def scoresde(*arguments: str) -> Result:
    AcceleratorState._reset_state(True)
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def test_it_is_found_beside_the_built_in_components(release: str) -> None:
    expected = f"scoresde-deis {release} (deis)\n  conditioner  ilvr\n  predictor    deis\n  sde          cosine\n"
    listed = scoresde("plugins").stdout
    assert expected in listed
    assert "failed to load" not in listed.partition(expected)[2].partition("\nscoresde")[0]
    assert f'predictor "deis" of scoresde-deis {release}\n' in scoresde("describe", "predictor", "deis").stdout


def test_without_plugins_its_experiment_is_refused_and_says_what_was_left_out() -> None:
    result = scoresde("check", str(EXAMPLE), "--no-plugins")
    assert result.exit_code == 2
    assert 'sde.use = "cosine": unknown sde "cosine".' in result.stderr
    assert result.stderr.count("Not loaded, as asked: scoresde-deis:deis") == 3


def test_its_experiment_draws_the_exact_law(run: Path, registry: Registry) -> None:
    sde = registry.get("sde", "cosine")()
    with np.load(run / "samples.npz") as arrays:
        x = torch.from_numpy(arrays["model_range"])
    assert x.shape == (4000, 2)
    end = sde.sampling_end
    assert Law(TRUTH.marginal(sde.alpha(end), sde.sigma(end))).deviations(x).worst() < 3.5
    assert '"name": "evaluations_per_sample",\n      "value": 20,' in (run / "results.json").read_text("utf-8")


def test_its_conditioner_holds_what_is_known(run: Path, registry: Registry) -> None:
    """The mean of the two coordinates, scaled by alpha at the end."""
    sde = registry.get("sde", "cosine")()
    with np.load(run / "ilvr.npz") as arrays:
        x, y, originals = (arrays[name] for name in ("samples", "y", "originals"))
    assert np.allclose(y, originals.mean(1, keepdims=True), rtol=0, atol=1e-6)
    assert np.allclose(x.mean(1, keepdims=True), sde.alpha(sde.sampling_end) * y, rtol=0, atol=1e-6)
    assert np.abs(x - originals).max() > 0.5


def test_the_run_s_experiment_says_whose_components_it_has(run: Path) -> None:
    text = (run / "experiment.toml").read_text("utf-8")
    assert all(f'"scoresde-deis:{name}"' in text for name in ("cosine", "deis", "ilvr"))
    assert scoresde("check", str(run / "experiment.toml")).exit_code == 0


def test_the_same_samples_in_python(run: Path, registry: Registry) -> None:
    """Up to rounding, from the exact score of the law and the components of the registry."""
    sde, predictor = registry.get("sde", "cosine")(), registry.get("predictor", "deis")(order=3)
    x = sample(sde, mixture_score(sde, TRUTH), shape=(4000, 2), predictor=predictor, steps=20, chunk=1000)
    with np.load(run / "samples.npz") as arrays:
        assert np.allclose(arrays["model_range"], x.numpy(), rtol=0, atol=1e-3)
    exact = Law(TRUTH.marginal(sde.alpha(sde.sampling_end), sde.sigma(sde.sampling_end)))
    assert exact.deviations(x).worst() < 3.5


def test_a_condition_in_python(registry: Registry) -> None:
    sde, ilvr = registry.get("sde", "cosine")(), registry.get("conditioner", "ilvr")()
    noise = SeededNoise(0, range(200), "condition")
    y = torch.linspace(-1, 1, 200)[:, None]
    x = sample(
        sde,
        mixture_score(sde, TRUTH),
        shape=(200, 2),
        condition=ilvr.condition(sde, y, noise),
        predictor=registry.get("predictor", "deis")(),
        steps=20,
    )
    assert torch.allclose(x.mean(1, keepdim=True), sde.alpha(sde.sampling_end) * y, rtol=0, atol=1e-6)
