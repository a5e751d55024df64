"""The operands by which torch has no derivative of a function that has one by others: it refuses those that need one.

In a program none of them requires a gradient; a class weight that is counted, or a target that is compared, does where
softening gives it one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from softfx.ops.calls import Args, Function, Kwargs

__all__ = ["constant_operands", "has_constant_operands"]

_FIRST = {"input": 0}
_STATISTICS = {"running_mean": 1, "running_var": 2}
_BY_FUNCTION: dict[Function, dict[str, int]] = {
    F.soft_margin_loss: {"target": 1},
    F.cross_entropy: {"weight": 2},
    F.nll_loss: {"weight": 2},
    F.multi_margin_loss: {"weight": 4},
    F.binary_cross_entropy: {"weight": 2},
    F.binary_cross_entropy_with_logits: {"weight": 2, "pos_weight": 6},
    F.batch_norm: _STATISTICS,
    F.instance_norm: _STATISTICS,
    torch.batch_norm: {"running_mean": 3, "running_var": 4},
    torch.instance_norm: {"running_mean": 3, "running_var": 4},
    torch.fake_quantize_per_tensor_affine: {"scale": 1},
    torch.fake_quantize_per_channel_affine: {"scale": 1},
    torch.special.zeta: _FIRST,
    torch.special.gammainc: _FIRST,
    torch.special.gammaincc: _FIRST,
    torch.igamma: _FIRST,
    torch.igammac: _FIRST,
    Tensor.igamma: _FIRST,
    Tensor.igammac: _FIRST,
}


def has_constant_operands(function: Function) -> bool:
    """Return True for a function that torch has no derivative of by some of its operands."""
    try:
        return function in _BY_FUNCTION
    except TypeError:  # an unhashable callable
        return False


def constant_operands(function: Function, args: Args, kwargs: Kwargs) -> list[Tensor]:
    """The tensors among the arguments of such a function by which it has none.

    >>> weight = torch.ones(3)
    >>> constant_operands(F.nll_loss, (torch.rand(2, 3), torch.tensor([0, 1])), {"weight": weight})
    [tensor([1., 1., 1.])]
    """
    found = []
    for name, place in _BY_FUNCTION[function].items():
        operand = args[place] if place < len(args) else kwargs.get(name)
        if isinstance(operand, Tensor):
            found.append(operand)
    return found
