"""Sums of products of operands: matmul, einsum, linear, convolutions. Of masks and counts they are counts.

One operand made of integers and another of strides give places: few whole multiples each, which are kept apart as
those of `(rows * strides).sum(-1)` are. To add an operation, append its name to _CONTRACTIONS, and to _SUMS what it
sums, if that can be written as einsum does.
"""

from __future__ import annotations

import inspect
import math
import string
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor

from softfx import ops
from softfx.ops.calls import Args, Function, Kwargs
from softfx.ops.operation import Operation
from softfx.ops.trees import map_tensors, tensors_in
from softfx.rules.context import RuleContext, RuleFunction, Shadow, TensorOrSoft
from softfx.rules.multiples import MOST_TERMS, multiple, summed, total
from softfx.rules.readings import as_number, as_real, out_of_place, shape_of, softs_in
from softfx.rules.rule import following
from softfx.values import Soft, SoftSum

__all__ = ["RULES", "is_short"]


# -- what is summed ----------------------------------------------------------------------------------------------------


class _Axes(NamedTuple):
    """The axes of two operands and of their contraction, a letter each, as einsum names them."""

    left: str
    right: str
    result: str


class _Sum(NamedTuple):
    """The products of two operands, summed over the axes that the result lacks, and what is added to them.

    factor: what the products are multiplied by.
    added, share: a third operand, and what it is multiplied by.
    """

    left: Any
    right: Any
    axes: _Axes
    factor: float = 1
    added: Any = None
    share: float = 1


def _named(ndim: int, *last: str) -> str:
    """Letters for the axes of an operand, from the last: those given, then those of batches."""
    given = "".join(last)[max(0, len(last) - ndim) :]
    batch = max(0, ndim - len(last))
    return string.ascii_uppercase[:batch][::-1] + given


def _batch(*sides: str) -> str:
    return max(("".join(filter(str.isupper, side)) for side in sides), key=len)


def _matmul(input: Any, other: Any) -> _Sum | None:
    left, right = len(shape_of(input)), len(shape_of(other))
    if not left or not right:
        return None
    first, second = _named(left, "i", "k"), "k" if right == 1 else _named(right, "k", "j")
    own = ("i" if left > 1 else "") + ("j" if right > 1 else "")
    return _Sum(input, other, _Axes(first, second, _batch(first, second) + own))


def _linear(input: Any, weight: Any, bias: Any = None) -> _Sum:
    first, second = _named(len(shape_of(input)), "k"), "jk"[-len(shape_of(weight)) :]
    return _Sum(input, weight, _Axes(first, second, first[:-1] + second[:-1]), added=bias)


def _inner(input: Any, other: Any) -> _Sum | None:
    left, right = len(shape_of(input)), len(shape_of(other))
    if not left or not right:
        return None
    first, second = _named(left, "k"), string.ascii_lowercase[-right:-1] + "k"
    return _Sum(input, other, _Axes(first, second, first[:-1] + second[:-1]))


def _vecdot(x: Any, y: Any, dim: int = -1) -> _Sum | None:
    sides = [_named(len(shape_of(operand))) for operand in (x, y)]
    if dim >= 0 or not all(sides):
        return None
    batch = _batch(*sides)
    return _Sum(x, y, _Axes(sides[0], sides[1], batch.replace(batch[dim], "")))


def _tensordot(a: Any, b: Any, dims: Any = 2, out: None = None) -> _Sum | None:
    left, right = len(shape_of(a)), len(shape_of(b))
    if isinstance(dims, int):
        dims = (range(left - dims, left), range(dims))
    if isinstance(dims, Tensor) or len(dims) != 2:
        return None
    first, second = list(string.ascii_lowercase[:left]), list(string.ascii_uppercase[:right])
    for one, other in zip(*(list(axes) if isinstance(axes, Sequence) else [axes] for axes in dims), strict=True):
        second[other] = first[one]
    result = [name for name in first if name not in second] + [name for name in second if name not in first]
    return _Sum(a, b, _Axes("".join(first), "".join(second), "".join(result)))


def _einsum(equation: Any, *operands: Any) -> _Sum | None:
    if len(operands) == 1 and isinstance(operands[0], tuple | list):
        operands = tuple(operands[0])
    if not isinstance(equation, str) or len(operands) != 2:
        return None
    names, _, result = equation.replace(" ", "").partition("->")
    sides = names.split(",")
    if "->" not in equation:
        letters = sorted(set(names) - set(",."))
        result = "..." * ("." in names) + "".join(name for name in letters if names.count(name) == 1)
    free = [name for name in string.ascii_uppercase if name not in names]
    wide = [
        len(shape_of(operand)) - len(side.replace("...", "")) for side, operand in zip(sides, operands, strict=True)
    ]
    batches = [("".join(free[:size][::-1])) for size in wide]
    first, second = (side.replace("...", batch) for side, batch in zip(sides, batches, strict=True))
    result = result.replace("...", max(batches, key=len))
    if any(len(set(side)) < len(side) for side in (first, second)):  # a diagonal
        return None
    return _Sum(*operands, _Axes(first, second, result))


def _added(input: Any, left: Any, right: Any, *, beta: float = 1, alpha: float = 1) -> _Sum | None:
    product = _matmul(left, right)
    return None if product is None else product._replace(factor=alpha, added=input, share=beta)


def _addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> _Sum:
    first, second = _named(len(shape_of(tensor1))), _named(len(shape_of(tensor2)))
    return _Sum(tensor1, tensor2, _Axes(first, second, _batch(first, second)), value, input)


def _outer(input: Any, vec2: Any) -> _Sum:
    return _Sum(input, vec2, _Axes("i", "j", "ij"))


_SUMS: dict[Operation, Callable[..., _Sum | None]] = {
    ops.matmul: _matmul,
    ops.linear: _linear,
    ops.inner: _inner,
    ops.vdot: _matmul,
    ops.vecdot: _vecdot,
    ops.tensordot: _tensordot,
    ops.einsum: _einsum,
    ops.outer: _outer,
    ops.addmv: _added,
    ops.addmm: _added,
    ops.baddbmm: _added,
    ops.addcmul: _addcmul,
}


# -- few multiples -----------------------------------------------------------------------------------------------------


def is_short(operation: Operation, args: Args, kwargs: Kwargs) -> bool:
    """Return True if a call sums few products of two operands, whose multiples are worth keeping apart."""
    found = _sum_of(operation, args, kwargs)
    return found is not None and _length(found) <= MOST_TERMS


def _sum_of(operation: Operation, args: Args, kwargs: Kwargs) -> _Sum | None:
    """What a call sums; None where it is not known, or is no sum of products of two operands."""
    function = _SUMS.get(operation)
    if function is None or not _fits(function, len(args), tuple(kwargs)):
        return None
    return function(*args, **kwargs)


@lru_cache(maxsize=256)
def _fits(function: Callable[..., _Sum | None], count: int, names: tuple[str, ...]) -> bool:
    """Return True if a function can be called on so many operands, and others by these names."""
    try:
        inspect.signature(function).bind(*(None for _ in range(count)), **dict.fromkeys(names))
    except TypeError:  # another form of the call: with out=, or one of an older torch
        return False
    return True


def _length(found: _Sum) -> int:
    """How many products are summed."""
    sides = ((found.axes.left, found.left), (found.axes.right, found.right))
    sizes = {name: size for names, side in sides for name, size in zip(names, shape_of(side), strict=True)}
    return math.prod(size for name, size in sizes.items() if name not in found.axes.result)


def _terms(context: RuleContext, value: Tensor, found: _Sum) -> SoftSum | None:
    """The multiples that a call sums; None where they are no whole ones, or too many.

    value: the number that the sum is worth.
    """
    operands = [found.left, found.right, found.factor, found.share, *(() if found.added is None else (found.added,))]
    few = _length(found) <= MOST_TERMS and len(softs_in((found.left, found.right))) == 1
    if not few or not all(context.is_integral(operand) for operand in operands):
        return None
    contracted = "".join(dict.fromkeys(n for n in found.axes.left + found.axes.right if n not in found.axes.result))
    letters = found.axes.result + contracted
    left = _laid_out(context, found.left, found.axes.left, letters)
    right = _laid_out(context, found.right, found.axes.right, letters)
    products = context.call(torch.mul, as_real(context, left), as_real(context, right))
    soft, factor = (left, right) if isinstance(left, Soft) else (right, left)
    multiples = multiple(context, products, soft, factor)
    if contracted and multiples is not None:
        kept, summed_over = multiples.shape[: len(found.axes.result)], multiples.shape[len(found.axes.result) :]
        flat = multiples.moved(context.call, torch.reshape, (*kept, math.prod(summed_over)))
        multiples = summed(context, value, flat, -1) if isinstance(flat, Soft) else None
    if multiples is not None and found.factor != 1:
        multiples = multiple(context, value, multiples, found.factor)
    if multiples is not None and found.added is not None:
        added = _shared(context, value, found)
        multiples = None if added is None else total(context, value, multiples, added)
    return multiples if multiples is None else replace(multiples, value=value)


def _shared(context: RuleContext, value: Tensor, found: _Sum) -> Any:
    """What is added to the products, times its share; None of a soft one that has too many terms."""
    if found.share == 1:
        return found.added
    if isinstance(found.added, Soft):
        return multiple(context, value, found.added, found.share)
    return context.call(torch.mul, found.added, found.share)


def _laid_out(context: RuleContext, operand: TensorOrSoft, names: str, letters: str) -> Any:
    """An operand whose axes are those of `letters`, of size 1 where it has none."""
    order = [names.index(name) for name in letters if name in names]
    shape = [shape_of(operand)[names.index(name)] if name in names else 1 for name in letters]
    steps: list[tuple[Function, list[int]]] = [(torch.permute, order)] if order != sorted(order) else []
    steps += [(torch.reshape, shape)] if len(shape) != len(order) else []
    laid_out: Any = operand
    for function, argument in steps:
        if isinstance(laid_out, Soft):
            laid_out = laid_out.moved(context.call, function, argument)
        else:
            laid_out = context.call(function, laid_out, argument)
    return laid_out


# -- propagation -------------------------------------------------------------------------------------------------------


def _contracting(operation: Operation) -> RuleFunction:
    """The propagation of a sum of products: a count, with its multiples where they are few."""

    def propagate(context: RuleContext, *args: Any, **kwargs: Any) -> Shadow:
        value = _of_numbers(context, *args, **kwargs)
        found = _sum_of(operation, args, kwargs)
        if found is None or not isinstance(value, Tensor) or value.is_complex():
            return value
        multiples = _terms(context, value, found)
        return value if multiples is None else multiples

    return propagate


def _of_numbers(context: RuleContext, *args: Any, **kwargs: Any) -> Shadow:
    """Sums and products of masks and counts: those of the numbers that they are worth."""
    operands = [operand for arg in args for operand in (arg if isinstance(arg, tuple | list) else (arg,))]
    like = softs_in((*operands, *kwargs.values()))[0].tensor
    named = {key: _numbers(context, value, like) for key, value in kwargs.items() if key != "dtype"}
    positional, named = _of_one_type(context, ([_numbers(context, arg, like) for arg in args], named))
    result: Tensor = context.call(out_of_place(context), *positional, **named)
    return result


def _numbers(context: RuleContext, operand: Any, like: Tensor) -> Any:
    """An operand, or each of nested ones, as a number."""
    if isinstance(operand, Tensor | Soft):
        return as_number(context, operand, like)
    return [_numbers(context, item, like) for item in operand] if isinstance(operand, tuple | list) else operand


def _of_one_type(context: RuleContext, arguments: Any) -> Any:
    """Arguments whose tensors have the widest of their types: shadows keep theirs where the program casts."""
    dtypes = [tensor.dtype for tensor in tensors_in(arguments)]
    widest = reduce(torch.promote_types, dtypes)
    if context.hard.is_complex():
        widest = context.hard.dtype

    def cast(tensor: Tensor) -> Tensor:
        result: Tensor = tensor if tensor.dtype is widest else context.call(Tensor.to, tensor, widest)
        return result

    return map_tensors(cast, arguments)


# -- records -----------------------------------------------------------------------------------------------------------

_CONTRACTIONS = {
    "SX619": ops.matmul,
    "SX620": ops.einsum,
    "SX641": ops.linear,
    "SX642": ops.outer,
    "SX643": ops.inner,
    "SX644": ops.vdot,
    "SX645": ops.tensordot,
    "SX646": ops.kron,
    "SX647": ops.cross,
    "SX648": ops.trace,
    "SX649": ops.addmm,
    "SX650": ops.addmv,
    "SX651": ops.addr,
    "SX652": ops.addbmm,
    "SX653": ops.baddbmm,
    "SX654": ops.conv1d,
    "SX655": ops.conv2d,
    "SX656": ops.conv3d,
    "SX657": ops.addcmul,
    "SX658": ops.interpolate,
    "SX659": ops.vecdot,
}

RULES = tuple(
    replace(following(code, operation, _contracting(operation)), only_discrete=True)
    for code, operation in _CONTRACTIONS.items()
)
