"""x[key] and x[key] = value, where the key, the data or the value is soft."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx import runtime
from softfx.domains import Domain, Soft
from softfx.rules.rule import Cut, Rule, RuleContext
from softfx.rules.selection import look_up
from softfx.rules.values import as_probability, as_real, is_discrete, lift

__all__ = ["RULES"]


def _getitem(context: RuleContext, input: Any, key: Any) -> Any:
    parts = list(key) if isinstance(key, tuple) else [key]
    soft_parts = [i for i, part in enumerate(parts) if isinstance(part, Soft)]
    if not soft_parts:
        return _from_soft(context, input, key)
    if isinstance(input, Soft):
        raise Cut("soft data indexed by a soft key has no rule")
    if len(soft_parts) > 1:
        raise Cut("two soft keys index at once")
    at = soft_parts[0]
    if parts[at].domain is Domain.SOFT_BOOL:
        raise Cut("x[mask] has a shape that depends on data; use torch.where or a masked reduction")
    data, index = input, parts[at]
    rows = at == 0 and len(parts) == 1 and index.support is None and index.domain is Domain.SOFT_INDEX
    if rows and data.is_floating_point() and data.dim() <= 2 and index.value.shape[-1] == data.shape[0]:
        if data.dim() == 2:
            return context.call(softtorch.embedding, index.value, data)
        return context.call(runtime.weighted, index.value, data)

    places = tuple("index" if i == at else part for i, part in enumerate(parts))
    return look_up(context, torch.Tensor.__getitem__, (data, places), index, _block(parts, at, index, data.dim()))


def _block(parts: Sequence[Any], at: int, index: Soft, ndim: int) -> int:
    """The axis of x[parts] where the axes of the soft key begin (NumPy's rule for advanced keys)."""
    advanced = [i for i, part in enumerate(parts) if isinstance(part, Tensor | Soft | list | int) and part is not True]
    lead = index.value.dim() - 1
    others = [parts[i] for i in advanced if i != at and isinstance(parts[i], Tensor)]
    if any(other.dim() > lead or other.dtype is torch.bool for other in others):
        raise Cut("a soft key is broadcast against a larger hard one")
    if advanced[-1] - advanced[0] + 1 != len(advanced):
        return 0
    block = 0
    for part in parts[: advanced[0]]:
        block += ndim - _consumed(parts) if part is Ellipsis else 1
    return block


def _consumed(parts: Sequence[Any]) -> int:
    return sum(1 for part in parts if part is not None and part is not Ellipsis)


def _from_soft(context: RuleContext, input: Soft, key: Any) -> Any:
    """Soft data under a hard key: the same selection on the shadow."""
    if input.domain is not Domain.SOFT_INDEX:
        return context.soft(context.call(torch.Tensor.__getitem__, input.value, key), input.domain.value)
    value = context.call(runtime.move, torch.Tensor.__getitem__, input.value, key)
    support = input.support
    if support is not None and support.dim() > 1:
        full = context.call(torch.Tensor.expand, support, input.value.shape)
        support = context.call(runtime.move, torch.Tensor.__getitem__, full, key)
    return context.soft(value, "soft_index", support)


def _setitem(context: RuleContext, input: Any, key: Any, value: Any) -> Any:
    if isinstance(key, Soft) and key.domain is Domain.SOFT_BOOL:
        return _masked_write(context, input, key, value)
    if any(isinstance(part, Soft) for part in (key if isinstance(key, tuple) else (key,))):
        raise Cut("writing at a soft index has no rule")
    return _written(context, input, key, value)


def _masked_write(context: RuleContext, input: Any, mask: Soft, value: Any) -> Any:
    """x[mask] = v: where(mask, v, x), the mask over x's leading axes."""
    if isinstance(value, Tensor) and value.dim() > 0 and value.numel() != 1:
        raise Cut("x[mask] = values takes as many values as the mask has hits, which depends on data")
    real = as_real(context, input)
    extra = real.dim() - mask.value.dim()
    weight = mask.value
    if extra:
        weight = context.call(torch.reshape, weight, (*weight.shape, *(1,) * extra))
    like = real if real.is_floating_point() else weight
    filled = as_probability(context, value, like) if is_discrete(value) else as_real(context, value)
    if not isinstance(filled, Tensor):
        filled = context.call(torch.full, (), filled, dtype=like.dtype, device=like.device)
    base = real if real.is_floating_point() else context.call(torch.Tensor.to, real, like.dtype)
    result = context.call(softtorch.where, weight, filled, base)
    return _in_form(context, result)


def _written(context: RuleContext, input: Any, key: Any, value: Any) -> Any:
    """A hard key: the write is made on a copy of the shadow."""
    soft = next((o for o in (input, value) if isinstance(o, Soft)), None)
    if soft is None:
        raise Cut("nothing soft is written")
    if soft.domain is Domain.SOFT_INDEX and not context.hard.is_floating_point():
        base = input.value if isinstance(input, Soft) else lift(context, input, soft)
        if not isinstance(value, Soft | Tensor):
            value = context.call(torch.full, (), value, device=base.device, dtype=torch.int64)
        key = key if isinstance(key, tuple) else (key,)
        key = key if Ellipsis in [part for part in key if not isinstance(part, Tensor)] else (*key, Ellipsis)
        written = context.call(runtime.write, base, (*key, slice(None)), lift(context, value, soft))
        return context.soft(written, "soft_index")
    base, new = as_real(context, input), as_real(context, value)
    if is_discrete(base):
        base = context.call(torch.Tensor.to, base, soft.value.dtype)
    if is_discrete(new):
        new = context.call(torch.Tensor.to, new, soft.value.dtype)
    return _in_form(context, context.call(runtime.write, base, key, new))


def _in_form(context: RuleContext, result: Tensor) -> Any:
    if context.hard.is_floating_point():
        return result
    return context.soft(result, "soft_bool" if context.hard.dtype is torch.bool else "count")


_WHY = "Indexing follows what reaches it: by a soft index it becomes a weighted sum, by a soft mask a soft where."
RULES = (
    Rule("SX511", "getitem", "selection", _WHY, "It follows what reaches it.", "", soft="softtorch.take_along_dim",
         carry=_getitem, options=()),
    Rule("SX512", "setitem", "selection", _WHY, "It follows what reaches it.", "", soft="softtorch.where",
         carry=_setitem, options=()),
)  # fmt: skip
