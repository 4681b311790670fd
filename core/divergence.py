"""Traces of Jacobians, by products with vectors from one evaluation of the score.

For a field v with the Jacobian J and random signs e, E e^T J e = tr J (Hutchinson, 1989; Skilling, 1989), and what varies are J's
off-diagonal entries. Along a path of slowly changing J probes need not be drawn anew: with the columns h_c of a Walsh-Hadamard
matrix of order P >= D and one draw of signs s, the probes e_c = s h_c are each as good as a fresh draw, and together

    1/m sum_{c < m} e_c^T J e_c = sum over the pairs i, j whose places agree modulo m of s_i s_j J_ij,    m = 2, 4, ..., P:

each doubling of m takes away half of the pairs that are left, and m = P leaves the diagonal. Places are counted so that neighbours
differ in the last binary digits: for pictures the channels' digits come last, then those of row and column in turn. This is the
colouring of probing methods (Tang & Saad, 2012) with the signs that keep it unbiased.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def products(field: Callable[[Tensor], Tensor], x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor]:
    """The field's values at x (B, *), and e^T J e for each of the ``probes`` (n, B or 1, *), all at once: (B, *) and (B, n)."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        value = field(x)
        vectors = probes.expand(len(probes), *x.shape).to(value)
        if len(probes) == 1:
            found = torch.autograd.grad(value, x, vectors[0])[0][None]
        else:
            (found,) = torch.autograd.grad(value, x, vectors, is_grads_batched=True)
    return value.detach(), (found * vectors).flatten(2).sum(2).T


def unit_vectors(x: Tensor) -> Tensor:
    """(D, 1, *): with these the divergence is exact."""
    return torch.eye(x[0].numel(), dtype=x.dtype, device=x.device).reshape(-1, 1, *x.shape[1:])


def order(shape: Sequence[int]) -> int:
    """P: the number of different probes of items of this shape."""
    return 1 << sum(_digits(shape))


def hadamard(shape: Sequence[int], columns: Sequence[int]) -> Tensor:
    """The columns c (modulo P) of the Walsh-Hadamard matrix for items of this shape: (len(columns), *shape) of +1 and -1, float64."""
    common = places(shape)[None] & (torch.as_tensor(columns) % order(shape)).reshape(-1, *(1,) * len(shape))
    for shift in (16, 8, 4, 2, 1):
        common = common ^ (common >> shift)
    return 1.0 - 2.0 * (common & 1).double()


def places(shape: Sequence[int]) -> Tensor:
    """The place of every entry of an item, (*shape) int64: all different, below P."""
    counts = _digits(shape)
    result = torch.zeros(tuple(shape), dtype=torch.int64)
    used = [0] * len(shape)
    for digit, axis in enumerate(_turns(counts)):
        index = torch.arange(shape[axis]).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        result += ((index >> used[axis]) & 1) << digit
        used[axis] += 1
    return result


def _digits(shape: Sequence[int]) -> list[int]:
    """Binary digits of the indices of each axis."""
    return [(size - 1).bit_length() for size in shape]


def _turns(counts: Sequence[int]) -> list[int]:
    """The axis of each binary digit of a place, the last digit first: leading axes whole, then the last two in turn."""
    leading = [axis for axis, count in enumerate(counts[:-2]) for _ in range(count)]
    last = range(max(len(counts) - 2, 0), len(counts))
    return leading + [axis for digit in range(max(counts, default=0)) for axis in last if digit < counts[axis]]
