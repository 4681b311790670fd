"""The names that the published NCSN and NCSNv2 give to the tensors of ours.

The published stages are numbered 1, 2, 3, 4, and so are the refinement blocks, in the order in which they act; where there are six, a 31
stands after the 3 on the way down and before it on the way up. Convolution j of residual unit i is ``i_j_conv``.
The table ``sigmas``, a buffer of the published NCSNv2, is no tensor of ours.
"""

import re

from torch import nn

_DOWN = {4: ("1", "2", "3", "4"), 5: ("1", "2", "3", "4", "5"), 6: ("1", "2", "3", "31", "4", "5")}
_UP = {**_DOWN, 6: ("1", "2", "31", "3", "4", "5")}
_TOP = {"inlet": "begin_conv", "norm": "normalizer", "outlet": "end_conv"}
_BLOCK = {"norm_in": "normalize1", "conv_in": "conv1", "norm_out": "normalize2", "conv_out": "conv2", "skip": "shortcut"}
_REFINE = {"adapt": "adapt_convs", "fuse": "msf", "chain": "crp", "out": "output_convs"}
_UNIT = re.compile(r"\b(adapt_convs\.\d+|output_convs)\.(norm|conv)s\.(\d+)")


def published_refinenet_names(network: nn.Module) -> dict[str, tuple[str, ...]]:
    """For each parameter of an NCSN or NCSNv2 the published tensor that it is; empty where the number of stages was never published."""
    names = [name for name, _ in network.named_parameters()]
    stages = {match[1] for name in names if (match := re.search(r"\bstages\.(\d+)\.", name))}
    if len(stages) not in _DOWN:
        return {}
    return {name: (_published(name.removeprefix("field."), len(stages)),) for name in names}


def _published(name: str, stages: int) -> str:
    top, _, rest = name.partition(".")
    if top in _TOP:
        return f"{_TOP[top]}.{rest}"
    place, _, rest = rest.partition(".")
    if top == "stages":
        block, part, leaf = rest.split(".", 2)
        return f"res{_DOWN[stages][int(place)]}.{block}.{_BLOCK[part]}.{leaf}"
    part, _, leaf = rest.partition(".")
    return f"refine{_UP[stages][int(place)]}." + _UNIT.sub(_unit, f"{_REFINE[part]}.{leaf}")


def _unit(match: re.Match[str]) -> str:
    unit, place = divmod(int(match[3]), 2)
    return f"{match[1]}.{unit + 1}_{place + 1}_{match[2]}"
