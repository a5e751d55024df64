"""What a soft mask selects: x[mask] is all of x with the probability of each row, until the rows are reduced.

ROWS holds what is known of such rows: functions that act on each row by itself are made of all of them, sums and means
become weighted ones, and y[mask] = rows a soft where. Any other operation takes the rows that the original selects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import softtorch
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.values import as_real, is_discrete
from softfx.runtime import selections
from softfx.values.domains import Domain, Soft, map_tensors, tensors_in

__all__ = ["ROWS", "RowRule", "selected"]


@dataclass(frozen=True)
class RowRule:
    """An operation on rows that a soft mask selects.

    carry(context, rule, *args, **kwargs): rule is the operation's own, or None. `reduces`: what it returns is no rows.
    """

    carry: Callable[..., Any]
    reduces: bool = False


def selected(context: RuleContext, input: Any, mask: Soft, chosen: Tensor) -> Soft:
    """x[mask].  # x (*mask, ...) -> rows (n, ...), probabilities (n)"""
    if isinstance(input, Soft) and input.domain is Domain.SOFT_INDEX:
        raise Cut("x[mask] has a shape that depends on data; its rows are soft indices")
    data = as_real(context, input)
    rank = mask.value.dim()
    rows = context.call(torch.flatten, data, 0, rank - 1) if rank > 1 else data
    weights = context.call(torch.flatten, mask.value)
    return replace(context.soft(rows, "selected", weights), mask=context.call(torch.flatten, chosen))


def _rows_of(tree: Any) -> list[Soft]:
    """The selections among a call's operands, made by one mask."""
    found: list[Soft] = []

    def note(operand: Any) -> None:
        if isinstance(operand, Soft):
            found.append(operand)
        elif isinstance(operand, tuple | list):
            for item in operand:
                note(item)

    note(tree)
    if any(soft.domain is not Domain.SELECTED for soft in found):
        raise Cut("rows that a soft mask selects meet other soft values")
    first = found[0]
    if not all(_same_mask(soft, first) for soft in found):
        raise Cut("rows that two soft masks select stand beside each other")
    return found


def _same_mask(one: Soft, other: Soft) -> bool:
    assert one.support is not None and other.support is not None
    if one.support is other.support:
        return True
    return one.support.shape == other.support.shape and torch.equal(one.support, other.support)


def _opened(tree: Any) -> Any:
    """The operands with all rows in the place of the selected ones."""
    if isinstance(tree, Soft):
        return tree.value
    if isinstance(tree, tuple | list):
        return type(tree)(_opened(item) for item in tree)
    return tree


def _beside(context: RuleContext, rows: Soft, tensor: Tensor) -> Tensor:
    """A hard operand beside the rows: one with as many rows as the original selects is spread over all of them."""
    rank = rows.value.dim()
    if tensor.dim() < rank or (tensor.dim() == rank and tensor.shape[0] == 1):
        return tensor
    if tensor.dim() > rank or rows.mask is None or tensor.shape[0] != int(rows.mask.sum()):
        raise Cut("rows that a soft mask selects meet a tensor of other rows")
    spread: Tensor = context.call(selections.alongside, tensor, rows.support)
    return spread


def _like(context: RuleContext, first: Soft, rows: Tensor) -> Soft:
    assert first.support is not None
    return replace(context.soft(rows, "selected", first.support), mask=first.mask)


def _each(context: RuleContext, rule: Rule | None, *args: Any, **kwargs: Any) -> Any:
    """Row by row: made of all rows; a decision among them as the site's policy has it."""
    softs = _rows_of((args, tuple(kwargs.values())))
    args, kwargs = map_tensors(lambda tensor: _beside(context, softs[0], tensor), (args, kwargs))
    args, kwargs = _opened(args), {key: _opened(value) for key, value in kwargs.items()}
    relaxed = rule is not None and rule.relax is not None and (rule.family == "unsafe" or context.options)
    if not relaxed or rule is None or rule.relax is None:
        return _like(context, softs[0], context.call(context.func, *args, **kwargs))
    inner = context.on(context.call(context.func, *args, **kwargs))
    return _like(context, softs[0], as_real(context, rule.relax(inner, *args, **kwargs)))


def _along_rows(context: RuleContext, rule: Rule | None, input: Soft, *args: Any, **kwargs: Any) -> Any:
    """A function of each row's own axes: linear layers, normalisations, softmax along another axis."""
    dim = kwargs.get("dim", args[0] if args and isinstance(args[0], int) else None)
    if isinstance(dim, int) and dim % input.value.dim() == 0:
        raise Cut("it runs along the rows that a soft mask selects")
    if any(isinstance(arg, Soft) for arg in args):
        raise Cut("rows that a soft mask selects stand where weights are wanted")
    return _like(context, input, context.call(context.func, input.value, *args, **kwargs))


def _joined(context: RuleContext, rule: Rule | None, tensors: Any, dim: int = 0) -> Any:
    """cat and stack along the rows' own axes."""
    softs = _rows_of(tensors)
    rank = softs[0].value.dim() + (context.func is torch.stack)
    if len(softs) != len(tensors) or dim % rank == 0:
        raise Cut("rows that a soft mask selects are joined with others")
    return _like(context, softs[0], context.call(context.func, [soft.value for soft in softs], dim))


def _shaped(context: RuleContext, rule: Rule | None, input: Soft, dim: int) -> Any:
    """unsqueeze and squeeze along the rows' own axes."""
    rank = input.value.dim() + (getattr(context.func, "__name__", "") == "unsqueeze")
    if dim % rank == 0:
        raise Cut("the rows that a soft mask selects become an axis of something else")
    return _like(context, input, context.call(context.func, input.value, dim))


def _key(context: RuleContext, rule: Rule | None, input: Any, key: Any) -> Any:
    """rows[:, key]: the same of every row; table[rows]: what each row finds."""
    if isinstance(key, Soft) and not isinstance(input, Soft):
        rows = _rows_of([key])[0]
        if input.dim() == 0 or not is_discrete(rows.value) or rows.value.dtype is torch.bool:
            raise Cut("rows that a soft mask selects, as an index")
        return _like(context, rows, context.call(Tensor.__getitem__, input, rows.value))
    if not isinstance(input, Soft) or isinstance(key, Soft) or input.domain is not Domain.SELECTED:
        raise Cut("rows that a soft mask selects, as an index")
    first = key[0] if isinstance(key, tuple) and key else key
    if first is not Ellipsis and first != slice(None):
        raise Cut("a part of the rows that a soft mask selects")
    if any(True for _ in tensors_in(key)) or (first is Ellipsis and input.value.dim() < 2):
        raise Cut("a part of the rows that a soft mask selects")
    return _like(context, input, context.call(Tensor.__getitem__, input.value, key))


def _reduced(function: Callable[..., Tensor]) -> RowRule:
    def carry(
        context: RuleContext, rule: Rule | None, input: Soft, dim: Any = None, keepdim: bool = False, **_: Any
    ) -> Any:
        axes = (dim,) if isinstance(dim, int) else tuple(dim) if dim is not None else ()
        rank = input.value.dim()
        places = {axis % rank for axis in axes} or set(range(rank))
        if 0 not in places:
            return _like(context, input, context.call(context.func, input.value, dim, keepdim))
        value = context.call(function, input.value, input.support, input.mask, sorted(places), keepdim)
        return context.soft(value, "count") if is_discrete(context.hard) else value

    return RowRule(carry, reduces=True)


def _extreme(soft: Callable[..., Any], largest: bool) -> RowRule:
    def carry(context: RuleContext, rule: Rule | None, input: Soft, dim: Any = None, keepdim: bool = False) -> Any:
        if dim not in (None, ()) or keepdim:
            raise Cut("an extreme along one axis of the rows that a soft mask selects")
        left = context.call(selections.left_out, input.value, input.support, input.mask, largest)
        return context.call(soft, left, **(context.options or {"mode": "hard"}))

    return RowRule(carry, reduces=True)


def _loss(loss: Callable[..., Tensor]) -> RowRule:
    def carry(
        context: RuleContext, rule: Rule | None, input: Soft, target: Any, *, reduction: str = "mean", **kw: Any
    ) -> Any:
        softs = _rows_of((input, target))
        if len(softs) != 2 or reduction not in ("mean", "sum") or any(kw.values()):
            raise Cut("a loss of rows that a soft mask selects, beside others or with weights")
        losses = context.call(loss, input.value, _opened(target), reduction="none")
        function = selections.mean if reduction == "mean" else selections.total
        return context.call(function, losses, input.support, input.mask)

    return RowRule(carry, reduces=True)


def _written(context: RuleContext, rule: Rule | None, input: Any, key: Any, value: Any) -> Any:
    """y[mask] = rows, by the mask that selected them: where(mask, rows, y)."""
    mask = key[0] if isinstance(key, tuple) and len(key) == 1 else key
    if not isinstance(value, Soft) or not isinstance(mask, Soft) or mask.domain is not Domain.SOFT_BOOL:
        raise Cut("rows that a soft mask selects are written elsewhere")
    probe = replace(value, support=context.call(torch.flatten, mask.value))
    if not _same_mask(value, probe):
        raise Cut("rows that a soft mask selects are written where another is true")
    base = as_real(context, input)
    weight = context.call(torch.reshape, mask.value, (*mask.value.shape, *(1,) * (base.dim() - mask.value.dim())))
    rows = context.call(torch.reshape, value.value, base.shape)
    like = base if base.is_floating_point() else weight
    written = context.call(selections.placed, weight, rows, base, like)
    if context.hard.is_floating_point():
        return written
    return context.soft(written, "soft_bool" if context.hard.dtype is torch.bool else "count")


_SMOOTH = (
    "exp", "expm1", "sigmoid", "tanh", "sin", "cos", "tan", "square", "erf", "softplus", "silu", "gelu", "mish",
    "elu", "selu", "celu", "logsigmoid", "softsign", "atan", "arctan", "sinh", "cosh", "asinh", "lgamma", "atan2",
    "log_sigmoid", "addcmul", "addcdiv", "lerp", "sinc", "exp2", "logit", "rsub", "float_power",
)  # fmt: skip
_SPELLED = (
    "add", "sub", "mul", "div", "pow", "neg", "sqrt", "log", "log2", "log10", "log1p", "rsqrt", "reciprocal", "asin",
    "acos", "abs", "relu", "clamp", "clamp_min", "clamp_max", "hardtanh", "relu6", "leaky_relu", "hardsigmoid",
    "hardswish", "threshold", "minimum", "maximum", "round", "floor", "ceil", "trunc", "sign", "frac", "gt", "ge",
    "lt", "le", "eq", "ne", "isclose", "logical_and", "logical_or", "logical_xor", "logical_not", "floor_divide",
    "trunc_divide", "remainder", "where", "masked_fill", "clone", "contiguous", "detach", "cast", "hypot",
)  # fmt: skip
_OWN_AXES = ("linear", "softmax", "log_softmax", "layer_norm", "rms_norm", "matmul", "normalize")

ROWS: dict[str, RowRule] = {
    **dict.fromkeys((*_SMOOTH, *_SPELLED), RowRule(_each)),
    **dict.fromkeys(_OWN_AXES, RowRule(_along_rows)),
    "getitem": RowRule(_key),
    **dict.fromkeys(("cat", "stack"), RowRule(_joined)),
    **dict.fromkeys(("unsqueeze", "squeeze"), RowRule(_shaped)),
    "sum": _reduced(selections.total),
    "mean": _reduced(selections.mean),
    "var": _reduced(selections.variance),
    "std": _reduced(selections.deviation),
    "max": _extreme(softtorch.max, True),
    "min": _extreme(softtorch.min, False),
    "amax": _extreme(softtorch.max, True),
    "amin": _extreme(softtorch.min, False),
    "count_nonzero": _reduced(selections.total),
    "mse_loss": _loss(F.mse_loss),
    "l1_loss": _loss(F.l1_loss),
    "smooth_l1_loss": _loss(F.smooth_l1_loss),
    "huber_loss": _loss(F.huber_loss),
    "binary_cross_entropy": _loss(F.binary_cross_entropy),
    "binary_cross_entropy_with_logits": _loss(F.binary_cross_entropy_with_logits),
    "cross_entropy": _loss(F.cross_entropy),
    "nll_loss": _loss(F.nll_loss),
    "setitem": RowRule(_written, reduces=True),
    "index_put": RowRule(_written, reduces=True),
}
