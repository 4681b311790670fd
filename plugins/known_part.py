"""Which entries of an item are known: named parts of its last two axes, for inpainting and for masks."""

from typing import Literal, TypeAlias

import torch
from torch import Tensor

Part: TypeAlias = Literal["left", "right", "top", "bottom", "border"]


def known_part(shape: tuple[int, ...], part: Part) -> Tensor:
    """True where an entry of an item of this shape is known: a half of its last two axes, or the border around their centre.

    Raises ValueError where that is no entry, or every one.
    """
    rows, columns = (shape[-2] if len(shape) > 1 else 1), shape[-1]
    known = torch.zeros(torch.Size(shape).numel() // (rows * columns), rows, columns, dtype=torch.bool)
    if part in ("left", "right"):
        known[..., slice(0, columns // 2) if part == "left" else slice(columns // 2, None)] = True
    elif part in ("top", "bottom"):
        known[..., slice(0, rows // 2) if part == "top" else slice(rows // 2, None), :] = True
    else:
        known.fill_(True)[..., rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4] = False
    if not bool(known.any()) or bool(known.all()):
        which = "every entry" if bool(known.any()) else "no entry"
        raise ValueError(f'known = "{part}" is {which} of items of shape {tuple(shape)}: take another part')
    return known.reshape(shape)
