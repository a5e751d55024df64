"""What the elements of a tensor are, and functions of real numbers on the parts of complex ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["by_parts", "has_strides", "is_discrete"]


def is_discrete(tensor: Tensor) -> bool:
    """Return True for a tensor of integers or bools: its elements are neither real nor complex numbers."""
    return not (tensor.is_floating_point() or tensor.is_complex())


def has_strides(tensor: Tensor) -> bool:
    """Return True for a tensor with an element at each place: neither a sparse nor a nested one.

    >>> has_strides(torch.eye(2)), has_strides(torch.eye(2).to_sparse())
    (True, False)
    """
    return tensor.layout is torch.strided and not tensor.is_nested


def by_parts(function: Callable[..., Tensor], *operands: Tensor) -> Tensor:
    """A function that is linear in all of its operands, (...) each; of complex ones in each of their parts.

    >>> by_parts(lambda x: x.flip(0), torch.tensor([1j, 2.0]))
    tensor([2.+0.j, 0.+1.j])
    """
    if not any(operand.is_complex() for operand in operands):
        return function(*operands)
    imaginary = [operand.imag if operand.is_complex() else torch.zeros_like(operand) for operand in operands]
    return torch.complex(function(*(operand.real for operand in operands)), function(*imaginary))
