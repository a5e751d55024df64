"""Whether a derivative comes back from an operation without a rule: judged by what the operation does, not by its name.

The operation is called once on copies of its operands that require a gradient, and differentiated. What it gives is
remembered by the function and its arguments beside tensors, so that a program is not made slower by it. Operations that
the table lists are known: they have a derivative, or a rule.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from softfx import torch_private
from softfx.ops.calls import Args, Function, Kwargs
from softfx.ops.operation import Effect
from softfx.ops.spelling import INDEX, Spelled
from softfx.ops.trees import map_tensors, tensors_in
from softfx.rules.refusals import is_discrete
from softfx.rules.unruled import NUMBER_TESTS
from softfx.runtime.elements import has_strides

__all__ = ["DISCRETE", "IN_PART", "Blockage", "is_judged", "is_real", "is_remembered", "judged", "knows_no_blockage"]

_SILENT = Effect.METADATA | Effect.SHOWS | Effect.HISTORY | Effect.AUTOGRAD | Effect.STOPS_GRADIENT | Effect.BRANCHES
# What a call on perturbed copies may raise: it is then left as it is, for nothing was learned of it.
_FAILURES = (RuntimeError, TypeError, ValueError, IndexError, ArithmeticError, AttributeError)
_MOST = 4096
_FOUND: dict[Hashable, Blockage | None] = {}


@dataclass(frozen=True)
class Blockage:
    """Why no derivative comes back from a call.

    operands: for each tensor among its operands, whether it is real and gets none.
    in_part: the operands get a derivative, and some results carry none.
    raises: its backward pass raises.
    reason: what the report says.
    is_constant: the result is constant wherever there is a derivative, so that nothing is lost.
    """

    operands: tuple[bool, ...]
    reason: str
    in_part: bool = False
    raises: bool = False
    is_constant: bool = False


_UNRULED = "and no rule relaxes it; softfx.register_rule gives it one"
DISCRETE = f"its result is integers or bools made of real numbers, {_UNRULED}"
IN_PART = f"a part of its result is integers or bools made of real numbers, {_UNRULED}"
_FLAT = f"its derivative with respect to its operands is zero or does not exist, {_UNRULED}"
_RAISES = f"its backward pass is not implemented, {_UNRULED}"
_CONSTANT = "it asks whether a number is one at all, which is constant wherever there is a derivative"


_OF_DRAWS = 100  # tries of a call that draws and has had no derivative


def is_judged(spelled: Spelled) -> bool:
    """Return True for an operation of which only a call tells whether a derivative comes back from it."""
    operation = spelled.operation
    if operation in NUMBER_TESTS:
        return True
    return not INDEX.is_listed(operation) and not operation.effect & _SILENT


def judged(func: Function, spelled: Spelled, args: Args, kwargs: Kwargs) -> Blockage | None:
    """Why no derivative comes back from this call; None if one does, or if that cannot be said."""
    tensors = tensors_in((args, kwargs))
    real = [is_real(tensor) for tensor in tensors]
    if not any(real) or not is_judged(spelled) or kwargs.get("out") is not None or not _may_be_tried(func, tensors):
        return None
    if spelled.operation in NUMBER_TESTS:
        return Blockage(tuple(real), _CONSTANT, is_constant=True)
    key = _key(func, args, kwargs)
    if key is None or key not in _FOUND:
        found = _tried(func, spelled, args, kwargs)
        if key is None:
            return found
        if len(_FOUND) > _MOST:
            _FOUND.clear()
        _FOUND[key] = found
    return _FOUND[key]


def knows_no_blockage(func: Function, args: Args, kwargs: Kwargs) -> bool:
    """Return True for a call that was judged before, and from which a derivative comes back."""
    key = _key(func, args, kwargs)
    return key is not None and _FOUND.get(key, _FOUND) is None


def is_remembered(func: Function, args: Args, kwargs: Kwargs) -> bool:
    """Return True if such a call is judged once; one whose arguments cannot be compared is judged each time."""
    return _key(func, args, kwargs) is not None


def _key(func: Function, args: Args, kwargs: Kwargs) -> Hashable | None:
    """The function and its arguments, a dtype for each tensor; None where they cannot be compared."""
    try:
        key = (func, _form(args), _form(kwargs) if kwargs else None)
        hash(key)
    except TypeError:
        return None
    return key


def _form(tree: Any) -> Any:
    if isinstance(tree, Tensor):
        return tree.dtype
    if isinstance(tree, tuple | list) and type(tree) is not torch.Size:
        return (type(tree), *map(_form, tree))
    if isinstance(tree, dict):
        return tuple((key, _form(value)) for key, value in tree.items())
    return (type(tree), tree)


def is_real(tensor: Tensor) -> bool:
    """Return True for a tensor of numbers in a floating type, real or complex."""
    return tensor.is_floating_point() or tensor.is_complex()


def _may_be_tried(func: Function, tensors: Sequence[Tensor]) -> bool:
    """Return True where a call can be repeated on copies: of real memory, outside of transforms and compilers."""
    if isinstance(func, torch_private.HigherOrderOperator) or torch_private.in_transform():
        return False
    if torch.compiler.is_compiling():
        return False
    return all(map(_has_elements, tensors))


def _has_elements(tensor: Tensor) -> bool:
    """Return True for a plain tensor with memory of its own."""
    if not has_strides(tensor) or tensor.is_quantized or tensor.device.type == "meta":
        return False
    return tensor.numel() > 0 and torch_private.fake_mode_of(tensor) is None


def _tried(func: Function, spelled: Spelled, args: Args, kwargs: Kwargs) -> Blockage | None:
    """What a call on copies shows; a derivative that is zero is tried again on perturbed copies.

    One that draws is tried more often: a dropout of few numbers leaves nothing at times.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices), torch.enable_grad():
        try:
            found = _differentiated(func, spelled, args, kwargs, noise=0.0)
        except _FAILURES:
            return None
        if found is None or found.raises or found.in_part or not _has_real_results(found):
            return found
        try:
            again = _differentiated(func, spelled, args, kwargs, noise=0.5)
            tries = _OF_DRAWS if again is not None and _draws(func, args, kwargs) else 0
            while tries and again is not None and not again.raises:
                again, tries = _differentiated(func, spelled, args, kwargs, noise=0.5), tries - 1
        except _FAILURES:
            return found
        return again


def _draws(func: Function, args: Args, kwargs: Kwargs) -> bool:
    """Return True if a call moves the state of the random numbers."""
    states = torch.get_rng_state(), torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]
    own_args, own_kwargs = map_tensors(lambda tensor: tensor.detach().clone(), (args, kwargs))
    func(*own_args, **own_kwargs)
    if not torch.equal(states[0], torch.get_rng_state()):
        return True
    return states[1] is not None and not torch.equal(states[1], torch.cuda.get_rng_state())


def _has_real_results(found: Blockage) -> bool:
    return found.reason is not DISCRETE


def _differentiated(func: Function, spelled: Spelled, args: Args, kwargs: Kwargs, noise: float) -> Blockage | None:
    leaves: list[Tensor] = []

    def copy(tensor: Tensor) -> Tensor:
        copied = tensor.detach().clone()
        if not is_real(tensor):
            leaves.append(copied)
            return copied
        if noise:
            copied += noise * (copied.abs().mean() + 1) * torch.randn_like(copied)
        leaves.append(copied.requires_grad_())
        return copied.clone()  # a leaf cannot be written in place

    own_args, own_kwargs = map_tensors(copy, (args, kwargs))
    results = tensors_in(func(*own_args, **own_kwargs))
    real = tuple(leaf.requires_grad for leaf in leaves)
    outputs = [result for result in results if is_real(result)]
    if not results:
        return None
    if not outputs:
        return Blockage(real, DISCRETE)
    in_part = any(is_discrete(result) for result in results) and not spelled.operation.name.startswith("linalg_")
    try:
        gradients = _gradients(outputs, [leaf for leaf in leaves if leaf.requires_grad])
    except (RuntimeError, NotImplementedError):
        return Blockage(real, _RAISES, raises=True)
    pending = iter(gradients)
    flat = tuple(is_real and not _passes(next(pending)) for is_real in real)
    if any(flat):
        return Blockage(flat, _FLAT)
    return Blockage(flat, IN_PART, in_part=True) if in_part else None


def _gradients(outputs: list[Tensor], leaves: list[Tensor]) -> Sequence[Tensor | None]:
    """The derivatives of a random combination of the outputs."""
    outputs = [_dense(output) for output in outputs if output.requires_grad and output.numel()]
    if not outputs:
        return [None] * len(leaves)
    weights = [torch.randn_like(output) for output in outputs]
    return torch.autograd.grad(outputs, leaves, weights, allow_unused=True)


def _dense(tensor: Tensor) -> Tensor:
    """A result with zeros where a sparse one stores none and a nested one ends: numbers can be drawn for it."""
    if tensor.is_nested:
        tensor = torch.nested.to_padded_tensor(tensor, 0.0)
    return tensor if has_strides(tensor) else tensor.to_dense()


def _passes(gradient: Tensor | None) -> bool:
    return gradient is not None and bool((gradient != 0).any())
