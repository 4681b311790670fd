import pytest
import torch

from scoresde.core import DataSpec
from scoresde.core.published import PublishedMismatchError, rename
from scoresde.plugins.model.ncsnpp import NCSNpp
from scoresde.plugins.model.published import published_names
from scoresde.plugins.sde.ve import VE


def network(**options) -> torch.nn.Module:
    model = NCSNpp(**{"channels": 8, "multipliers": (1, 1), "blocks": 1, "attention": (), **options})
    return model.build(VE(), DataSpec(shape=(1, 8, 8), range=(0.0, 1.0)))


def test_every_tensor_has_its_published_names() -> None:
    net = network(progressive_input="input_skip")
    names = published_names(net)
    assert set(names) == set(net.state_dict())
    assert names["embed.features.frequencies"] == ("all_modules.0.W",)
    assert names["embed.outer.bias"] == ("all_modules.2.bias",)
    assert names["inlet.weight"] == ("all_modules.3.weight",)
    assert names["down.0.blocks.0.time.weight"] == ("all_modules.4.Dense_0.weight",)
    assert names["down.0.shrink.skip.weight"] == ("all_modules.5.Conv_2.weight",)
    assert names["down.0.join.combine.conv.bias"] == ("all_modules.6.Conv_0.bias",)
    assert names["middle.0.attention.qkv.weight"] == tuple(f"all_modules.9.NIN_{i}.W" for i in range(3))
    assert names["middle.0.attention.out.bias"] == ("all_modules.9.NIN_3.b",)
    assert names["outlet.conv.weight"] == ("all_modules.17.weight",)


def test_layers_without_weights_have_numbers_too() -> None:
    names = published_names(network(progressive_input="none", resblock_type="ddpm", resamp_with_conv=False))
    assert names["down.1.blocks.0.norm_in.weight"] == ("all_modules.6.GroupNorm_0.weight",)
    assert names["up.0.blocks.0.skip.weight"] == ("all_modules.10.NIN_0.W",)


def test_tensors_are_joined_and_matrices_turned() -> None:
    names = {"qkv": ("q", "k"), "linear": ("matrix",)}
    q, k, matrix = torch.randn(3, 2), torch.randn(3, 2), torch.randn(4, 5)
    shapes = {"qkv": torch.Size((4, 3, 1, 1)), "linear": matrix.shape}
    state = rename(names, shapes, {"q": q, "k": k, "matrix": matrix, "table": q}, ignored=("table",))
    assert torch.equal(state["qkv"][:, :, 0, 0], torch.cat((q.T, k.T)))
    assert torch.equal(state["linear"], matrix)


def test_every_tensor_that_does_not_fit_is_listed() -> None:
    names = {"a": ("one",), "b": ("two",), "c": ("three", "four")}
    shapes = {"a": torch.Size((2,)), "b": torch.Size((2,)), "c": torch.Size((4,)), "d": torch.Size((1,))}
    published = {"one": torch.zeros(3), "three": torch.zeros(2), "five": torch.zeros(1)}
    with pytest.raises(PublishedMismatchError) as error:
        rename(names, shapes, published)
    assert error.value.problems == (
        "d has no published name",
        "one has shape (3,); a needs (2,)",
        "two is missing",
        "four is missing",
        "five is extra",
    )
