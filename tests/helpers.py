"""What the tests of softfx share: running a call for its results and gradients, and comparing two of them bit for bit.

A test that needs another loss or another tolerance has its own few lines; what many tests ask is here, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import softfx

__all__ = [
    "EXECUTOR",
    "EXECUTORS",
    "Outcome",
    "assert_same",
    "difference",
    "gradient",
    "identical",
    "leaves",
    "outcome",
    "run_eagerly",
]

EXECUTORS = ("graph", "eager")
EXECUTOR = pytest.mark.parametrize("executor", EXECUTORS)


@dataclass(frozen=True)
class Outcome:
    """What a call gives.

    results: the leaves of what it returns, tensors detached.
    gradients: of a weighted sum of the float results, with respect to each float input and then each parameter.
    error: the exception that the call or its backward pass raised, as text.
    report: of the softened target after the call, where it was asked for.
    """

    results: list[Any] = field(default_factory=list)
    gradients: list[Tensor | None] = field(default_factory=list)
    error: str | None = None
    report: dict[str, Any] | None = None


def leaves(result: Any) -> list[Any]:
    """The values in nested tuples, lists and dicts, in order."""
    return list(pytree.tree_leaves(result))


def outcome(
    function: Callable[..., Any],
    args: Iterable[Any],
    kwargs: Mapping[str, Any] | None = None,
    sources: Iterable[Tensor] | None = None,
    requires_gradient: bool = True,
    catch: bool = False,
    of_finite: bool = False,
) -> Outcome:
    """Call `function` from random state 1 on copies of `args`.

    requires_gradient: the copies of float tensors require a gradient.
    sources: tensors to differentiate with respect to; by default the copied float inputs and, of a module, its
        parameters.
    catch: what the call or the backward pass raises is the outcome's error; results before it are kept.
    of_finite: the gradients are of those elements of the results that are finite.
    """
    copies = [_copied(arg, requires_gradient) if isinstance(arg, Tensor) else arg for arg in args]
    if sources is None:
        inputs = [copy for copy in copies if isinstance(copy, Tensor) and copy.requires_grad]
        sources = [*inputs, *(function.parameters() if isinstance(function, nn.Module) else ())]
    torch.manual_seed(1)
    detached: list[Any] = []
    try:
        results = leaves(function(*copies, **(kwargs or {})))
        detached = [result.detach() if isinstance(result, Tensor) else result for result in results]
        return Outcome(detached, _gradients(results, list(sources), of_finite))
    except Exception as error:
        if not catch:
            raise
        return Outcome(detached, error=f"{type(error).__name__}: {error}")


def _copied(tensor: Tensor, requires_gradient: bool) -> Tensor:
    return tensor.detach().clone().requires_grad_(requires_gradient and tensor.is_floating_point())


def _gradients(results: list[Any], sources: list[Tensor], of_finite: bool) -> list[Tensor | None]:
    """The weights are uneven, for the sum of a distribution or of ranks is constant."""
    generator = torch.Generator().manual_seed(1)
    loss: Tensor | None = None
    for result in results:
        if isinstance(result, Tensor) and result.is_floating_point() and result.requires_grad:
            weights = torch.randn(result.shape, generator=generator).to(result.dtype)
            part = (torch.where(result.isfinite(), result, 0.0) if of_finite else result).mul(weights).sum()
            loss = part if loss is None else loss + part
    if loss is None or not sources:
        return [None] * len(sources)
    return list(torch.autograd.grad(loss, sources, allow_unused=True))


def gradient(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """The gradient of the sum of `function(*inputs)` with respect to the first input."""
    leaf = inputs[0].detach().clone().requires_grad_()
    found: Tensor = torch.autograd.grad(function(leaf, *inputs[1:]).sum(), leaf)[0]
    return found


def identical(x: Tensor, y: Tensor) -> bool:
    """Return True if two tensors are equal bit for bit: shape, dtype, NaN where NaN, the sign of zero."""
    if x.dtype != y.dtype or x.shape != y.shape:
        return False
    if not x.is_floating_point():
        return torch.equal(x, y)
    return bool((((x == y) & (x.signbit() == y.signbit())) | (x.isnan() & y.isnan())).all())


def difference(one: Outcome, other: Outcome, rounded: bool = False) -> str:
    """The first thing in which two outcomes differ, as text; empty where they are the same bit for bit.

    rounded: gradients may differ by the rounding of float32, for their terms are added in another order.
    """
    if one.error != other.error:
        return f"error: {one.error} and {other.error}"
    for kind in ("results", "gradients"):
        ours, theirs = getattr(one, kind), getattr(other, kind)
        if len(ours) != len(theirs):
            return f"{len(ours)} {kind} and {len(theirs)}"
        for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            if not (_equal(a, b) or (rounded and kind == "gradients" and _close(a, b))):
                return f"{kind} {number}: {a} and {b}"
    return "" if one.report == other.report else f"report: {one.report} and {other.report}"


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return identical(a, b)
    return type(a) is type(b) and bool(a == b or a != a)  # a NaN is no other NaN's equal


def _close(a: Any, b: Any) -> bool:
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)) or a.shape != b.shape or a.dtype != b.dtype:
        return False
    size = b.detach().abs().nan_to_num(posinf=0.0).amax().item() if b.numel() else 0.0
    return torch.allclose(a, b, rtol=1e-5, atol=1e-6 * max(size, 1.0), equal_nan=True)


def assert_same(one: Outcome, other: Outcome) -> None:
    """Fail if two outcomes differ in any bit of a result or gradient, in the error or in the report."""
    assert difference(one, other) == ""


def run_eagerly(
    target: Any, policy: Any, inputs: tuple[Any, ...], fast: bool, requires_gradient: bool = True
) -> Outcome:
    """Two calls of `target`, softened, by the eager executor: on its fast path, or by full interpretation.

    The first call fills the cache of the fast path and the second uses it. This is the one place of the tests that
    knows how the way is chosen.
    """
    torch.manual_seed(1)  # what is measured on the example may rest on draws
    soft = softfx.soften(target, policy, example_inputs=inputs, executor="eager", allow_unused=True)
    soft._softfx.eager = replace(soft._softfx.eager, fast=fast)
    first, second = (outcome(soft, inputs, requires_gradient=requires_gradient, catch=True) for _ in range(2))
    return Outcome(
        first.results + second.results,
        first.gradients + second.gradients,
        second.error or first.error,
        soft.report.to_dict(),
    )
