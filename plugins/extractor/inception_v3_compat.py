"""The Inception-v3 of the Frechet Inception distance (Szegedy et al., 2016; Heusel et al., 2017), as torch-fidelity has it.

Its features agree with those of the TensorFlow network by which figures are published: pictures are resized to 299x299 as TensorFlow 1
does, and the network runs in float32. Grey pictures are given to it as three equal channels.
"""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, final

import attrs
import torch
from torch import Tensor, nn

from scoresde.core import DataSpec, FeatureExtractor, Items, option

LAYERS = ("2048", "logits_unbiased")
_PATIENCE = 30.0  # seconds that a server may be silent


@final
@attrs.frozen(kw_only=True)
class InceptionV3Compat(FeatureExtractor):
    """torch-fidelity's inception-v3-compat, whose weights are a file that is named, or else are downloaded once."""

    name = "inception_v3_compat"
    channels: ClassVar[int | None] = 3
    standard: ClassVar[bool] = True

    weights: Path | None = option(None, help="the file of torch-fidelity's weights (.pth); left out: torch's own cache, or a download")

    @property
    def layers(self) -> Mapping[str, str]:
        return {"fid": LAYERS[0], "kid": LAYERS[0], "prc": LAYERS[0], "isc": LAYERS[1]}

    def check(self, items: Items) -> None:
        self._file()

    def build(self, spec: DataSpec) -> nn.Module:
        return InceptionNetwork(self._file())

    def _file(self) -> Path:
        """The file of the weights. Raises OSError or ValueError, in one line, where there is none, or it holds anything but tensors."""
        path = downloaded() if self.weights is None else self.weights
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path} with its weights")
        try:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a broken file makes of the reader
            reason = str(error).strip().split("\n")[0]
            raise ValueError(f"{path} cannot be read without running code from it: {reason}") from error
        if not isinstance(tensors, Mapping) or not all(isinstance(value, Tensor) for value in tensors.values()):
            raise ValueError(f"{path} holds no weights, but a {type(tensors).__name__}")
        return path


class InceptionNetwork(nn.Module):
    """forward(x (B, 3, H, W) uint8) -> {"2048": (B, 2048), "logits_unbiased": (B, 1008)}, with the weights of a file of tensors.

    Raises ValueError for weights of another network.
    """

    def __init__(self, path: Path) -> None:
        from torch_fidelity import FeatureExtractorInceptionV3

        super().__init__()
        with torch.random.fork_rng(devices=[]):  # it draws weights before it reads them
            try:
                self.network = FeatureExtractorInceptionV3("inception-v3-compat", list(LAYERS), feature_extractor_weights_path=str(path))
            except RuntimeError as error:
                reason = " ".join(str(error).split())
                raise ValueError(f"{path} holds the weights of another network: {reason[:160]} ...") from error

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.network.convert_features_tuple_to_dict(self.network(x))
        return found


def downloaded() -> Path:
    """torch-fidelity's weights in torch's cache, fetched where they are missing. Raises OSError where they cannot be."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    path = Path(torch.hub.get_dir(), "checkpoints", Path(URL_INCEPTION_V3).name)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with _patience():
                torch.hub.download_url_to_file(URL_INCEPTION_V3, str(path), hash_prefix=path.stem.rpartition("-")[2], progress=False)
        except (OSError, RuntimeError) as error:
            raise OSError(
                f"its weights could not be downloaded from {URL_INCEPTION_V3} ({error}); name a file of them by its option weights,"
                " or take an extractor that needs none, such as classifier"
            ) from error
    return path


@contextmanager
def _patience() -> Iterator[None]:
    """A server that stays silent is given up."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
