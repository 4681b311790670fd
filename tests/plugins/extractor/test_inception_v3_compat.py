"""Inception as torch-fidelity has it: the same features to the last bit, and one line where weights are missing. The weights are random."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_fidelity import FeatureExtractorInceptionV3
from torch_fidelity import feature_extractor_inceptionv3 as inception

from scoresde.core import DataSpec, TensorItems
from scoresde.core.errors import UserError
from scoresde.core.features import Features, check
from scoresde.plugins import InceptionV3Compat
from scoresde.plugins.extractor import inception_v3_compat

GREY = DataSpec(shape=(1, 8, 8), range=(-1.0, 1.0), levels=17)
ITEMS = TensorItems(GREY, {"x": torch.arange(128).reshape(2, 1, 8, 8) % 17})


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights as torch-fidelity's is, with other numbers in it."""
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(inception, "load_state_dict_from_url", lambda *args, **options: {})
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        torch.save(FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]).state_dict(), path)
    return path


def test_features_are_those_of_torch_fidelity_and_grey_is_repeated(weights: Path) -> None:
    before = torch.random.get_rng_state()
    features = Features(InceptionV3Compat(weights=weights), ITEMS)
    assert torch.equal(torch.random.get_rng_state(), before)
    own = FeatureExtractorInceptionV3("own", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(weights))
    x = GREY.to_bytes(ITEMS.batch([0, 1])["x"])
    with torch.no_grad():
        expected = own(x.repeat(1, 3, 1, 1))
    found = features(x, ["2048", "logits_unbiased"])
    assert torch.equal(found["2048"], expected[0])
    assert torch.equal(found["logits_unbiased"], expected[1])
    assert features.facts == {
        "extractor": f"InceptionV3Compat(weights={weights!r})",
        "extractor_weights": features.digest,
        "channels": "grey, repeated 3 times",
        "pictures": "uint8",
    }
    assert re.fullmatch(r"scoresde-inception_v3_compat-[0-9a-f]{16}", features.name)


def test_missing_and_wrong_weights_are_one_line(tmp_path: Path) -> None:
    lost, text, network = tmp_path / "lost.pth", tmp_path / "text.pth", tmp_path / "other.pth"
    text.write_text("no weights")
    torch.save({"weight": torch.zeros(2)}, network)
    with pytest.raises(UserError) as error:
        check(InceptionV3Compat(weights=lost), ITEMS)
    assert str(error.value) == f"extractor 'inception_v3_compat': there is no file {lost} with its weights"
    with pytest.raises(UserError) as error:
        check(InceptionV3Compat(weights=text), ITEMS)
    assert str(error.value).startswith(f"extractor 'inception_v3_compat': {text} cannot be read without running code from it: ")
    with pytest.raises(UserError) as error:
        Features(InceptionV3Compat(weights=network), ITEMS)
    assert str(error.value).startswith(f"extractor 'inception_v3_compat': {network} holds the weights of another network: ")
    assert "\n" not in str(error.value)


def test_code_in_a_file_of_weights_is_not_run(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "run",)

    torch.save(Malicious(), tmp_path / "bad.pth")
    with pytest.raises(UserError, match=r"cannot be read without running code from it"):
        Features(InceptionV3Compat(weights=tmp_path / "bad.pth"), ITEMS)
    assert not (tmp_path / "run").exists()


def test_a_download_that_fails_says_what_else_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(inception_v3_compat.torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(inception_v3_compat.torch.hub, "download_url_to_file", offline)
    with pytest.raises(UserError) as error:
        check(InceptionV3Compat(), ITEMS)
    assert str(error.value) == (
        f"extractor 'inception_v3_compat': its weights could not be downloaded from {inception.URL_INCEPTION_V3} (no network);"
        " name a file of them by its option weights, or take an extractor that needs none, such as classifier"
    )
