"""Feature extractors at work: built, taught what they learn, kept under the digest of what they have learnt from, known to torch-fidelity.

A grey picture becomes three equal channels for an extractor that takes colour. What an extractor has learnt lies in the cache folder, under
a key made of its options, the spec of its network and the digest of the items: it is learnt once.
"""

import hashlib
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from .checkpoint import load_weights, read_tensors, write_tensors
from .data import DataSpec, Items
from .errors import UserError
from .files import write_file
from .interfaces import FeatureExtractor
from .progress import Progress
from .runs import digest

_BLOCK = 4096  # items that are looked at at a time


def cache_folder() -> Path:
    """Where what is computed of data alone is kept: $SCORESDE_CACHE, or scoresde in the user's cache folder."""
    own, general = os.environ.get("SCORESDE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(own) if own else (Path(general) if general else Path.home() / ".cache") / "scoresde"


def key_of(*parts: object) -> str:
    """A name for what depends on these: 16 hexadecimal digits."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]


def items_digest(items: Items) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of all items and their labels."""
    total = hashlib.sha256()
    for start in range(0, len(items), _BLOCK):
        total.update(items.batch(range(start, min(start + _BLOCK, len(items))))["x"].contiguous().numpy().tobytes())
    if items.labels is not None:
        total.update(items.labels.contiguous().numpy().tobytes())
    return total.hexdigest()[:16]


def check(extractor: FeatureExtractor, items: Items) -> None:
    """Raises UserError where the extractor does not fit the data or lacks what it needs; ``items`` are what it would learn from."""
    title, spec = f"extractor {extractor.name!r}", items.spec
    if not spec.is_image:
        raise UserError(f"{title}: compares pictures (1 or 3 channels, H, W); the data have the shape {spec.shape}")
    if spec.range is None:
        raise UserError(f"{title}: compares pictures of 8 bits; the data have no range to make them of")
    if extractor.channels is not None and spec.shape[0] > extractor.channels:
        raise UserError(f"{title}: takes pictures with {extractor.channels} channel; the data have {spec.shape[0]}")
    try:
        extractor.check(items)
    except (OSError, ValueError) as error:
        raise UserError(f"{title}: {error}") from error


@final
class Features:
    """An extractor whose network is ready: called with pictures (B, C, H, W) uint8 of the data's channels it gives the layers that are
    asked for, (B, D), on the CPU. ``digest`` is that of its weights, ``name`` the one under which torch-fidelity knows it."""

    def __init__(self, extractor: FeatureExtractor, items: Items, *, device: torch.device | str = "cpu", quiet: bool = False) -> None:
        self.extractor, self.spec, self.device = extractor, items.spec, device
        network = _built(extractor, items, quiet).eval().requires_grad_(False)
        tensors = network.state_dict()
        self.digest = digest([tensors[name] for name in sorted(tensors)])
        self.network = _Registered.of(f"scoresde-{extractor.name}-{self.digest}", network, extractor.layers).to(device)
        self.name = str(self.network.get_name())

    @torch.no_grad()
    def __call__(self, x: Tensor, layers: list[str]) -> dict[str, Tensor]:
        every: dict[str, Tensor] = self.network.convert_features_tuple_to_dict(self.network(self.coloured(x).to(self.device)))
        return {name: every[name].cpu() for name in layers}

    def coloured(self, x: Tensor) -> Tensor:
        """With as many channels as the network takes."""
        channels = self.extractor.channels
        return x if channels is None or x.shape[1] == channels else x.expand(-1, channels, -1, -1).contiguous()

    @property
    def facts(self) -> dict[str, Any]:
        """What a figure says of its features."""
        repeated = self.extractor.channels not in (None, self.spec.shape[0])
        return {
            "extractor": repr(self.extractor),
            "extractor_weights": self.digest,
            "channels": f"grey, repeated {self.extractor.channels} times" if repeated else self.spec.shape[0],
            "pictures": "uint8",
        }


def _built(extractor: FeatureExtractor, items: Items, quiet: bool) -> nn.Module:
    network = _network(extractor, items.spec)
    if not extractor.learns:
        return network
    shapes = sorted((name, tuple(value.shape)) for name, value in network.state_dict().items())
    key = key_of(repr(extractor), items.spec, items_digest(items), shapes, version("scoresde"))
    path = cache_folder() / "extractors" / f"{extractor.name}-{key}.safetensors"
    if path.is_file():
        load_weights(network, read_tensors(path), path)
        return network
    progress = Progress(f"extractor {extractor.name}", 0, quiet=quiet)

    def on_step(done: int, total: int) -> None:
        progress.total = total
        progress.update(done - progress.done)

    with progress:
        extractor.fit(network, items, on_step)
    tensors = {name: value.detach().contiguous() for name, value in network.state_dict().items()}
    write_file(path, lambda temporary: write_tensors(temporary, tensors))
    return network


def _network(extractor: FeatureExtractor, spec: DataSpec) -> nn.Module:
    try:
        return extractor.build(spec)
    except (OSError, ValueError) as error:
        raise UserError(f"extractor {extractor.name!r}: {error}") from error


class _Registered:
    """Makes classes that torch-fidelity can call by their name."""

    @staticmethod
    def of(name: str, network: nn.Module, layers: Mapping[str, str]) -> Any:
        """The registered extractor with all its layers, by the road on which torch-fidelity makes one of its own."""
        from torch_fidelity import FeatureExtractorBase, register_feature_extractor
        from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY
        from torch_fidelity.utils import create_feature_extractor

        provided = tuple(dict.fromkeys(layers.values()))

        class Registered(FeatureExtractorBase):  # type: ignore[misc]
            def __init__(self, name: str, features_list: list[str], **unused: Any) -> None:
                super().__init__(name, features_list)
                self.network = network

            def forward(self, x: Tensor) -> tuple[Tensor, ...]:
                found = self.network(x)
                return tuple(found[layer] for layer in self.features_list)

            @staticmethod
            def get_provided_features_list() -> tuple[str, ...]:
                return provided

            @staticmethod
            def get_default_feature_layer_for_metric(metric: str) -> str:
                return layers[metric]

            @staticmethod
            def can_be_compiled() -> bool:
                return False

        if name not in FEATURE_EXTRACTORS_REGISTRY:
            register_feature_extractor(name, Registered)
        return create_feature_extractor(name, list(provided), cuda=False, verbose=False)
