"""One call of an axiswise operator: the checked options, the keys with the axis last, and the way back.

Every operator opens a call, asks its method for something at some positions, and closes it with the function that fits
its shape: `reduced` for one result a row, `spread` for k of them along the same dim.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from softtorch.checks import resolve_dim, resolve_method, resolve_mode, row_softness
from softtorch.errors import OptionError, ShapeError, message
from softtorch.kernels.numeric.finite import with_finite_gradient
from softtorch.kernels.numeric.precision import floating, narrowed
from softtorch.methods import HARD, Keys, Method
from softtorch.methods.positions import Positions
from softtorch.modes import Mode
from softtorch.operators.axiswise.results import IndexForm, ValuesAndIndices


@dataclass(slots=True, eq=False)
class Call:
    """The prepared input of one operator call. `dim` is None where the input was flattened."""

    x: Tensor
    """the input as given, any shape"""
    dim: int | None
    """its dim, counted from the front"""
    method: Method
    keys: Keys
    """(..., [n]) with that dim last"""

    def spread(self, values: Tensor) -> Tensor:
        """Values (..., k) with k back at the place of dim."""
        values = floating(narrowed(values, self.x.dtype))
        alone = self.x.ndim == 0 and values.shape[-1] == 1
        return values.squeeze(-1) if alone else values.movedim(-1, self.dim or 0)

    def spread_rows(self, rows: Tensor) -> Tensor:
        """Rows (..., k, [n]) with k back at the place of dim and [n] last."""
        rows = narrowed(rows, self.x.dtype)
        if self.x.ndim == 0 and rows.shape[-2] == 1:
            return rows.squeeze(-2)
        return rows.movedim(-2, self.dim or 0)

    def reduced(self, values: Tensor, keepdim: bool) -> Tensor:
        """Values (..., 1) without dim, or with it as 1; axes in front of the batch stay in front."""
        values = floating(narrowed(values, self.x.dtype)).squeeze(-1)
        if not keepdim:
            return values
        if self.dim is None or self.x.ndim == 0:
            return values.reshape((*values.shape, *[1] * self.x.ndim))
        return values.unsqueeze(self.dim - self.x.ndim)

    def reduced_rows(self, rows: Tensor, keepdim: bool) -> Tensor:
        """Rows (..., 1, [n]) without dim, or with it as 1, and [n] last; axes in front of the batch stay there."""
        rows = narrowed(rows, self.x.dtype).squeeze(-2)
        if not keepdim:
            return rows
        if self.dim is None or self.x.ndim == 0:
            return rows.reshape((*rows.shape[:-1], *[1] * self.x.ndim, rows.shape[-1]))
        return rows.unsqueeze(self.dim - self.x.ndim - 1)

    def pair(self, positions: Positions, gated_grad: bool, form: IndexForm) -> ValuesAndIndices:
        """Values (..., k) and, where wanted and given, the soft index (..., k, [n]); both with the axis last."""
        values, rows = self.method.select(self.keys, positions, gated_grad, form.wanted)
        if rows is not None and form.log:
            rows = form.rows(self.method, self.keys, positions)
        return ValuesAndIndices(values, rows)


class Options(NamedTuple):
    """The options that every axiswise operator has, unchecked; documented in softtorch/shared.py."""

    softness: Tensor | float
    mode: str | Mode
    method: str | Method
    standardize: bool
    ot_kwargs: dict[str, Any] | None = None


def open_call(where: str, x: Tensor, dim: int | None, needs: str, options: Options, reduces: bool = True) -> Call:
    """Check the options and prepare the input.

    Args:
        where: the operator's name, for messages.
        x: input, any shape and real dtype.
        dim: the operator's dim; None flattens.
        needs: what the operator asks of the method, a key of `softtorch.checks.NEEDS`.
        options: as the user gave them.
        reduces: whether an axis without entries is an error.
    """
    if x.dtype.is_complex:
        wrong = f"input has dtype {x.dtype}, which has no order"
        raise OptionError(message(where, wrong, "Use a real dtype"))
    named = resolve_mode(where, options.mode)
    method, mode = resolve_method(where, options.method, named, needs, options.ot_kwargs)
    place = None if dim is None else resolve_dim(where, dim, x)
    last = _with_last(x, place)
    if reduces and last.shape[-1] == 0:
        wrong = f"input {tuple(x.shape)} has no entries" + ("" if dim is None else f" along dim={dim}")
        raise ShapeError(message(where, wrong, "Use an axis with at least one"))
    if last.shape[-1] == 0:
        method = HARD  # nothing to relax, and no method has to think of it
    softness = row_softness(where, options.softness, tuple(last.shape[:-1]))
    last = with_finite_gradient(last)
    return Call(x, place, method, method.prepare(last, softness, mode, options.standardize))


def _with_last(x: Tensor, place: int | None) -> Tensor:
    """x with the axis at `place` last, (..., [n]); flattened where there is no such axis."""
    if place is None or x.ndim == 0:
        return x.reshape(-1)
    return x if place == x.ndim - 1 else x.movedim(place, -1)
