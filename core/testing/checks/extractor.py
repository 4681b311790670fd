"""Checks of feature extractors: features are a function of the options, of the picture and of what was learnt, and of nothing else.

The problem has pictures of two classes, one dark and one bright, in grey and in colour; what an extractor has learnt is looked at after its
whole ``fit``.
"""

import torch
from torch import Tensor, nn

from ...data import DataSpec, Items, TensorItems
from ...interfaces import FeatureExtractor
from ...sampling import evaluating
from ..conformance import Check, Subject
from .component import VALUE, global_states

MEASURES = ("fid", "kid", "prc", "isc")
SHAPES = ((1, 8, 8), (3, 12, 10))
COUNT = 64  # pictures to learn from
SOME = 6  # whose features are looked at


def check_layers(subject: Subject) -> None:
    """Each layer that a measure reads: there, with one row a picture, in floats that are finite; and other pictures have other features."""
    extractor = _extractor(subject)
    unknown = sorted(set(extractor.layers) - set(MEASURES))
    assert extractor.layers, f"it has no layer for any of {', '.join(MEASURES)}"
    assert not unknown, f"it names layers for {', '.join(unknown)}, which is no measure: there are {', '.join(MEASURES)}"
    for items in _problems(extractor):
        features = _features(_learnt(extractor, items), extractor, items)
        for measure, layer in extractor.layers.items():
            assert layer in features, f"its network has no layer {layer!r}, which {measure} reads: it gives {', '.join(features)}"
            value, words = features[layer], f"the layer {layer!r} of {SOME} pictures {items.spec.shape}"
            assert value.ndim == 2, f"{words} has the shape {tuple(value.shape)}, not ({SOME}, D)"
            assert len(value) == SOME, f"{words} has {len(value)} rows"
            assert value.dtype in (torch.float32, torch.float64), f"{words} is in {value.dtype}: it has to be in float32 at least"
            assert bool(torch.isfinite(value).all()), f"{words} is not finite"
            assert not torch.equal(value[0], value[1]), f"{words} is the same for a dark and a bright picture"


def check_repeatable(subject: Subject) -> None:
    """Built twice, asked twice: the same features; no global random state is touched, nor the pictures that were handed in."""
    extractor = _extractor(subject)
    for items in _problems(extractor):
        found, states = [], []
        for seed in (0, 1):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                before = global_states()
                network = _learnt(extractor, items)
                found += [_features(network, extractor, items) for _ in range(2)]
                states += [name for name, value in global_states().items() if value != before[name]]
        assert not states, f"it changed {' and '.join(sorted(set(states)))}'s global random state"
        for again in found[1:]:
            off = max(float((again[layer] - value).abs().max()) for layer, value in found[0].items())
            assert off == 0, f"built and asked twice, its features differ by {off:.3g} for pictures {items.spec.shape}"


def check_inputs(subject: Subject) -> None:
    extractor = _extractor(subject)
    for items in _problems(extractor):
        x = _pictures(extractor, items)
        before = x.clone()
        network = _learnt(extractor, items)
        with torch.no_grad(), evaluating(network):
            network(x)
        assert torch.equal(x, before), f"it changed the pictures that it was given ({items.spec.shape})"


def check_coupling(subject: Subject) -> None:
    """The features of a picture alone, and among others."""
    extractor = _extractor(subject)
    for items in _problems(extractor):
        network, x = _learnt(extractor, items), _pictures(extractor, items)
        with torch.no_grad(), evaluating(network):
            together, alone = network(x), network(x[:1])
        for layer in extractor.layers.values():
            scale = float(together[layer].abs().max().clamp(min=1e-3))
            off = float((together[layer][:1] - alone[layer]).abs().max()) / scale
            assert off < 1e-3, f"the features {layer!r} of a picture depend on its batch-mates: they change by {off:.2g} of their size"


def check_learning(subject: Subject) -> None:
    """As declared: ``fit`` changes the network, or does not; and it says how many of how many steps are done."""
    extractor = _extractor(subject)
    items = _problems(extractor)[0]
    network, steps = extractor.build(items.spec), []
    before = {name: value.clone() for name, value in network.state_dict().items()}
    extractor.fit(network, items, lambda done, total: steps.append((done, total)))
    changed = sum(not torch.equal(value, before[name]) for name, value in network.state_dict().items())
    if not extractor.learns:
        assert changed == 0, f"it declares learns = False, but fit changed {changed} of {len(before)} tensors"
        return
    assert changed > 0, f"it declares learns = True, but fit changed {changed} of {len(before)} tensors of its state"
    counted = [(done, len(steps)) for done in range(1, len(steps) + 1)]
    assert steps, "fit never called on_step"
    assert steps == counted, f"fit said {steps[0]}, ..., {steps[-1]} of its {len(steps)} steps, not (1, {len(steps)}), ..."


CHECKS = (
    *VALUE,
    Check("layers", check_layers, "give every layer that layers names, (B, D), from pooled features or logits"),
    Check("repeatable", check_repeatable, "draw first weights under torch.random.fork_rng() with a seed of the options"),
    Check("inputs", check_inputs, "convert the bytes first: x.float() is a new tensor"),
    Check("coupling", check_coupling, "normalise by running statistics in evaluation, never by those of the batch"),
    Check("learning", check_learning, "declare learns, keep all that is learnt in parameters and buffers, and call on_step(done, total)"),
)


def _extractor(subject: Subject) -> FeatureExtractor:
    assert isinstance(subject.component, FeatureExtractor)
    return subject.component


def _problems(extractor: FeatureExtractor) -> list[Items]:
    """Labelled pictures that alternate between dark and bright ones."""
    generator = torch.Generator().manual_seed(3)
    found: list[Items] = []
    for shape in SHAPES:
        labels = torch.arange(COUNT) % 2
        x = (60 + 80 * labels)[:, None, None, None] + torch.randint(0, 60, (COUNT, *shape), generator=generator)
        spec = DataSpec(shape=shape, range=(-1.0, 1.0), levels=256, classes=2)
        found.append(TensorItems(spec, {"x": x.to(torch.uint8)}, labels=labels))
    return found


def _learnt(extractor: FeatureExtractor, items: Items) -> nn.Module:
    extractor.check(items)
    network = extractor.build(items.spec)
    if extractor.learns:
        extractor.fit(network, items, lambda done, total: None)
    return network


def _pictures(extractor: FeatureExtractor, items: Items) -> Tensor:
    """Some pictures, with the channels that the extractor takes."""
    x = items.batch(range(SOME))["x"]
    return x if extractor.channels is None else x[:, :1].expand(-1, extractor.channels, -1, -1).contiguous()


def _features(network: nn.Module, extractor: FeatureExtractor, items: Items) -> dict[str, Tensor]:
    with torch.no_grad(), evaluating(network):
        found: dict[str, Tensor] = network(_pictures(extractor, items))
    return found
