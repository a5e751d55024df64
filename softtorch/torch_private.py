"""The private interfaces of torch that softtorch uses, each with its reason; no other file of the package uses one.

- torch._C._functorch.is_functorch_wrapped_tensor: torch.func has no question for whether a tensor stands for many
  (vmap) or carries a tangent (jvp), so that its numbers may not be read.
- torch.autograd.forward_ad._current_level: nor has torch for whether forward-mode derivatives are being computed.
- torch._C._are_functorch_transforms_active and torch._functorch.utils.unwrap_dead_wrappers, with the `apply` of
  torch.autograd.Function's base: to call a Function without the search for default arguments, see `Function`.
- torch._C._get_dispatch_mode, _TorchDispatchModeKey.PROXY, torch._ops.mode_stack_state_for_pre_dispatch: whether
  make_fx records, which torch.fx.experimental.proxy_tensor.get_proxy_mode tells by six calls in Python.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

__all__ = ["Function", "PlainFunction", "forward_mode_is_open", "is_recorded", "is_wrapped"]

_PROXY = torch._C._TorchDispatchModeKey.PROXY
_before_dispatch = torch._ops.mode_stack_state_for_pre_dispatch()  # type: ignore[no-untyped-call]  # untyped in torch


def is_wrapped(x: Tensor) -> bool:
    """Return True if x, of any shape, belongs to a running torch.func transform."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(x))


def forward_mode_is_open() -> bool:
    """Return True if forward-mode derivatives are being computed around this call."""
    return forward_ad._current_level >= 0


def is_recorded() -> bool:
    """Return True if make_fx records the operators that are called."""
    return torch._C._get_dispatch_mode(_PROXY) is not None or _before_dispatch.get(0) is not None


class Function(torch.autograd.Function):
    """A torch.autograd.Function with `setup_context` whose `forward` has no default arguments.

    In each call torch asks `inspect` for the signature of `forward` and binds the arguments to it, to fill in defaults.
    That is half of what a call costs, and the Functions of this package have none. What remains of torch's `apply`
    outside of torch.func transforms is done here.
    """

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call the Function on arguments that are given by place."""
        if torch._C._are_functorch_transforms_active():
            return super().apply(*args)  # type: ignore[no-untyped-call]  # untyped in torch
        args = torch._functorch.utils.unwrap_dead_wrappers(args)
        return super(torch.autograd.Function, cls).apply(*args)  # type: ignore[misc]  # of a base written in C


class PlainFunction(Function):
    """A Function whose operands no torch.func transform has wrapped; vmap meets it where they are the same for all."""

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *operands: Any) -> Any:
        """The rule that torch asks for before it looks whether any operand is mapped; none is."""
        raise NotImplementedError("the operands of a PlainFunction are none that vmap has wrapped")
