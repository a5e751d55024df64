"""The outcome of a call, copied, so that two runs can be held against each other bit for bit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from softfx import torch_private as private

__all__ = ["Outcome", "difference", "same"]


@dataclass(frozen=True, eq=False)
class Outcome:
    """Everything that a call leaves behind: its results, its arguments and the module's buffers as it left them."""

    results: list[object]
    arguments: list[object]
    buffers: list[object]

    @staticmethod
    def of(results: Iterable[object], arguments: Iterable[object], buffers: Iterable[object]) -> Outcome:
        """Copies of what a call left, for the call may go on writing it."""
        return Outcome(_kept(results), _kept(arguments), _kept(buffers))


def _kept(values: Iterable[object]) -> list[object]:
    """Tensors copied, numbers and strings as they are, of anything else its type: it is not kept alive."""
    return [_copy(value) if isinstance(value, Tensor) else value if _plain(value) else type(value) for value in values]


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


def _plain(value: object) -> bool:
    return value is None or isinstance(value, int | float | complex | str | bytes)


def difference(expected: Outcome, got: Outcome, *, gradients: bool) -> str:
    """The first difference between two outcomes, or "" if there is none.

    gradients: whether results must agree in that they require a gradient, too.
    """
    for kind, before, after in (
        ("result", expected.results, got.results),
        ("argument", expected.arguments, got.arguments),
        ("buffer", expected.buffers, got.buffers),
    ):
        if len(before) != len(after):
            return f"it gives {len(after)} {kind}s for {len(before)}"
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            if reason := _difference_of_values(old, new, gradients=gradients and kind == "result"):
                return f"{kind} {number} {reason}"
    return ""


def _difference_of_values(expected: object, got: object, *, gradients: bool) -> str:
    if not isinstance(expected, Tensor) or not isinstance(got, Tensor):
        return "" if same(expected, got) else f"is {got!r} for {expected!r}"
    if expected.is_nested or got.is_nested:
        return "" if same(expected, got) else "has other values"
    if (expected.shape, expected.dtype, expected.layout) != (got.shape, got.dtype, got.layout):
        return f"is {tuple(got.shape)} {got.dtype} for {tuple(expected.shape)} {expected.dtype}"
    if not same(expected, got):
        return "has other values"
    if gradients and expected.requires_grad != got.requires_grad:
        return "carries a gradient" if got.requires_grad else "carries no gradient"
    return ""


def same(x: object, y: object) -> bool:
    """Return True if two values are equal bit for bit: NaN where NaN, zeros of one sign, one dtype.

    Tensors without values, on the meta device or fake, are equal where their shapes and dtypes are.

    >>> same(torch.tensor([0.0, float("nan")]), torch.tensor([0.0, float("nan")]))
    True
    >>> same(torch.tensor(0.0), torch.tensor(-0.0)), same(torch.tensor(1), torch.tensor(1.0))
    (False, False)
    """
    if not isinstance(x, Tensor) or not isinstance(y, Tensor):
        return x is y or repr(x) == repr(y)  # NaN is NaN here, and 1 is not True
    if x.is_nested and y.is_nested:
        return x.layout is y.layout and x.size(0) == y.size(0) and all(map(same, x.unbind(), y.unbind()))
    if x.is_nested or y.is_nested or (x.shape, x.dtype, x.layout) != (y.shape, y.dtype, y.layout):
        return False
    return _same_elements(x.detach(), y.detach())


def _same_elements(x: Tensor, y: Tensor) -> bool:
    if private.has_no_values(x) or private.has_no_values(y):
        return True
    if x.layout is not torch.strided:
        x, y = x.to_dense(), y.to_dense()
    if x.is_quantized:
        return torch.equal(x, y)
    if x.is_complex():
        x, y = torch.view_as_real(x.resolve_conj()), torch.view_as_real(y.resolve_conj())
    if not x.is_floating_point():
        return torch.equal(x, y)
    return bool((((x == y) & (x.signbit() == y.signbit())) | (x.isnan() & y.isnan())).all())
