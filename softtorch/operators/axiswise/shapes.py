"""From positions to results: the four shapes that order statistics come back in.

One per row (`one_index`, `one_value`: argmax, max, kthvalue, median) or several along the same dim (`many_indices`,
`many_values`: argsort, sort, topk). An operator is its `Positions` and one of these.
"""

from dataclasses import replace

from torch import Tensor

from softtorch.methods.positions import Positions
from softtorch.operators.axiswise.call import Options, open_call
from softtorch.operators.axiswise.results import IndexForm, ValuesAndIndices


def one_index(
    where: str,
    positions: Positions,
    x: Tensor,
    dim: int | None,
    keepdim: bool,
    options: Options,
    form: IndexForm,
) -> Tensor:
    """The soft index of one position: x (..., n, ...) -> (..., [n])."""
    call = open_call(where, x, dim, "rows", options)
    return call.reduced_rows(form.rows(call.method, call.keys, positions), keepdim)


def one_value(
    where: str,
    positions: Positions,
    x: Tensor,
    dim: int | None,
    keepdim: bool,
    options: Options,
    gated_grad: bool,
    form: IndexForm,
) -> Tensor | ValuesAndIndices:
    """The value at one position, x (..., n, ...) -> (...), paired with its soft index (..., [n]) if dim is given."""
    call = open_call(where, x, dim, "values", options)
    if dim is None:
        form = replace(form, wanted=False)
    values, rows = call.pair(positions, gated_grad, form)
    value = call.reduced(values, keepdim)
    if dim is None:
        return value
    return ValuesAndIndices(value, None if rows is None else call.reduced_rows(rows, keepdim))


def many_indices(where: str, positions: Positions, x: Tensor, dim: int, options: Options, form: IndexForm) -> Tensor:
    """The soft indices of k positions: x (..., n, ...) -> (..., k, ..., [n])."""
    call = open_call(where, x, dim, "rows", options, reduces=False)
    return call.spread_rows(form.rows(call.method, call.keys, positions))


def many_values(
    where: str,
    positions: Positions,
    x: Tensor,
    dim: int,
    options: Options,
    gated_grad: bool,
    form: IndexForm,
) -> ValuesAndIndices:
    """The values (..., k, ...) and soft indices (..., k, ..., [n]) of k positions of x (..., n, ...)."""
    call = open_call(where, x, dim, "values", options, reduces=False)
    values, rows = call.pair(positions, gated_grad, form)
    return ValuesAndIndices(call.spread(values), None if rows is None else call.spread_rows(rows))
