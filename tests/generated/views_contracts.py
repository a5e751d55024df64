"""What has to hold for programs of views and writes: every deviation, as a line of text.

Values, types and strides of all tensors, bit for bit, under every policy that changes no value and by both executors;
inputs and their grad modes after the call; finite gradients, the same by both executors; and those of a program whose
straight-through code is written by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import softfx
from tests.generated.contracts import EXACT
from tests.generated.programs import Program
from tests.generated.running import Built, build
from tests.generated.views import by_hand
from tests.helpers import EXECUTORS, identical

__all__ = ["deviations", "deviations_from_hand"]

# The derivative may be summed up in another order.
_CLOSE = {torch.float32: 1e-4, torch.float64: 1e-10}


def deviations(program: Program) -> list[str]:
    """All deviations of a program; what stands before a bar is their kind."""
    return list(_deviations(build(program)))


def deviations_from_hand(program: Program) -> list[str]:
    """The deviations of a linear program from the same with straight-through code written by hand."""
    wanted = _called(build(by_hand(program)).target(), build(program).inputs(), True)
    found = []
    for executor in EXECUTORS:
        built = build(program)
        try:
            policy = {"preset": "gradients", "default": {"softness": 0.1}}  # as straight-through code by hand has it
            soft = softfx.soften(
                built.target(), policy, example_inputs=built.inputs(), executor=executor, allow_unused=True
            )
        except softfx.CaptureError:
            continue
        got = _called(soft, built.inputs(), True)
        found += [f"{executor} {text}" for text in (*_values(got, wanted), *_gradients(got, wanted))]
    return found


class _Call:
    """What one call gave, and left."""

    def __init__(self, results: tuple[Tensor, ...], inputs: tuple[Tensor, ...], gradients: list[Any]) -> None:
        self.results = results
        self.inputs = inputs
        self.gradients = gradients


def _called(function: Callable[..., Any], inputs: tuple[Tensor, ...], requires_gradient: bool) -> _Call:
    """A call on inputs that are its own, and the gradients of a weighted sum of its results."""
    leaves = tuple(tensor.requires_grad_(requires_gradient) for tensor in inputs)
    results: tuple[Tensor, ...] = function(*leaves)
    gradients: list[Any] = [None] * len(leaves)
    parts = [result for result in results if result.requires_grad]
    if parts and requires_gradient:
        generator = torch.Generator().manual_seed(1)
        loss = sum((part * torch.rand(part.shape, generator=generator).to(part.dtype)).sum() for part in parts)
        gradients = list(torch.autograd.grad(loss, leaves, allow_unused=True))  # type: ignore[arg-type]  # a tensor
    return _Call(results, leaves, gradients)


def _deviations(built: Built) -> Iterator[str]:
    policy = EXACT[built.program.seed % len(EXACT)]
    wanted = [_called(built.target(), built.inputs(), requires_gradient) for requires_gradient in (True, False)]
    calls = {}
    for executor in EXECUTORS:
        where = f"{policy} {executor}"
        try:
            soft = softfx.soften(
                built.target(), policy, example_inputs=built.inputs(), executor=executor, allow_unused=True
            )
            got = [_called(soft, built.inputs(), requires_gradient) for requires_gradient in (True, False)]
        except softfx.CaptureError as error:
            if executor == "eager" or "no graph holds the call" not in str(error):
                yield f"{where} raises|{error}"
            continue
        except Exception as error:
            yield f"{where} raises {type(error).__name__}|{str(error)[:300]}"
            continue
        calls[executor] = got[0]
        yield from (f"{where} {text}" for text in _finite(got[0], wanted[0]))
        for a, b in zip(got, wanted, strict=True):
            yield from (f"{where} {text}" for text in _values(a, b))
    if len(calls) == len(EXECUTORS):
        yield from (f"{policy} executors {text}" for text in _gradients(calls["graph"], calls["eager"]))


def _values(got: _Call, wanted: _Call) -> Iterator[str]:
    for kind in ("results", "inputs"):
        ours, theirs = getattr(got, kind), getattr(wanted, kind)
        if len(ours) != len(theirs):
            yield f"number of {kind}|{len(ours)} for {len(theirs)}"
        for number, (a, b) in enumerate(zip(ours, theirs, strict=False)):
            if not identical(a.detach(), b.detach()):
                yield f"value of {kind}|{number}: {a.tolist()} for {b.tolist()}"
            elif a.stride() != b.stride() and _is_dense(b):  # a column looked up softly is a tensor of its own
                yield f"strides of {kind}|{number}: {a.stride()} for {b.stride()}"
            elif b.requires_grad and not a.requires_grad:
                yield f"gradient of {kind} lost|{number}"


def _is_dense(tensor: Tensor) -> bool:
    """Return True for a tensor of several elements between which no others lie."""
    return (
        tensor.numel() > 1 and torch.empty_like(tensor, memory_format=torch.preserve_format).stride() == tensor.stride()
    )


def _finite(got: _Call, wanted: _Call) -> Iterator[str]:
    for number, (a, b) in enumerate(zip(got.gradients, wanted.gradients, strict=True)):
        if b is not None and bool(b.isfinite().all()) and (a is None or not bool(a.isfinite().all())):
            yield f"gradient lost or not finite|{number}: {a} for {b}"


def _gradients(got: _Call, wanted: _Call) -> Iterator[str]:
    for number, (a, b) in enumerate(zip(got.gradients, wanted.gradients, strict=True)):
        a, b = (torch.zeros(()) if one is None else one for one in (a, b))
        close = max(_CLOSE.get(tensor.dtype, 0.0) for tensor in (b, *wanted.results))  # it may go through float32
        if not torch.allclose(a, b.expand_as(a) if b.dim() == 0 else b, rtol=close, atol=close, equal_nan=True):
            yield f"gradients differ|{number}: {a.tolist()} for {b.tolist()}"
