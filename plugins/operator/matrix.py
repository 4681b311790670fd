"""Any matrix A, (m, D), on the flattened items: y = A x (Tikhonov & Arsenin, 1977, on inverse problems)."""

from functools import lru_cache
from pathlib import Path
from typing import final

import attrs
import numpy as np
import torch
from torch import Tensor

from scoresde.core import Operator, option


@final
@attrs.frozen(kw_only=True)
class Matrix(Operator):
    """A matrix with independent rows, (m, D), that acts on flattened items; given by its rows or in a file (Tikhonov & Arsenin, 1977)."""

    name = "matrix"

    rows: tuple[tuple[float, ...], ...] = option((), help="the rows, of equal length")
    file: Path | None = option(None, help="an .npy file with the matrix, instead of rows")

    def __attrs_post_init__(self) -> None:
        if bool(self.rows) == (self.file is not None):
            raise ValueError("matrix: give either rows or file")
        if len({len(row) for row in self.rows}) > 1:
            raise ValueError("matrix: rows must be of equal length")

    def apply(self, x: Tensor) -> Tensor:
        a = _entries(self)
        if a.shape[1] != x[0].numel():
            raise ValueError(f"a matrix of shape {tuple(a.shape)} does not fit items of shape {tuple(x.shape[1:])}, {x[0].numel()} entries")
        return x.flatten(1) @ a.to(x).T


@lru_cache(maxsize=4)
def _entries(matrix: Matrix) -> Tensor:
    """(m, D), float64."""
    if matrix.file is None:
        return torch.tensor(matrix.rows, dtype=torch.float64)
    try:
        found = np.load(matrix.file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"matrix: {matrix.file} cannot be read as an .npy file: {error}") from error
    if found.ndim != 2 or found.dtype.kind not in "iuf" or not np.isfinite(found).all():
        raise ValueError(f"matrix: {matrix.file} holds {found.dtype} {found.shape}; expected finite numbers (m, D)")
    return torch.from_numpy(found.astype(np.float64))
