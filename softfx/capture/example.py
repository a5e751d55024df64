"""The call that is captured: a target and the example inputs it runs on."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from softfx import torch_private as private
from softfx.capture.preserve import copied
from softfx.locations import Place
from softfx.ops.calls import Function

__all__ = ["ExampleCall", "entry_of", "function_of", "name_of"]


def name_of(target: object) -> str:
    """The name of a function or of a module's class, as messages and reports give it."""
    return str(getattr(target, "__qualname__", None) or type(target).__qualname__)


def function_of(target: Function) -> Function:
    """The function that a call of `target` runs: a module's forward, or its whole call where that does more.

    That is where hooks run before or after forward, and where the class has a `__call__` of its own.
    """
    if not isinstance(target, nn.Module):
        return target
    if type(target).__call__ is not nn.Module.__call__:
        return target.__call__
    return private.python_call(target) if private.has_forward_hooks(target) else target.forward


def entry_of(target: object) -> str:
    """The name of the method that a call of `target` runs, as `function_of` gives it."""
    if not isinstance(target, nn.Module):
        return "__call__"
    more = type(target).__call__ is not nn.Module.__call__ or private.has_forward_hooks(target)
    return "__call__" if more else "forward"


@dataclass(frozen=True, eq=False)
class ExampleCall:
    """One call of `target`, on the inputs that it is captured with.

    place: the place that stands in where no line of the user's is involved.
    """

    target: Function
    args: tuple[object, ...]
    kwargs: dict[str, object]
    place: Place

    @property
    def name(self) -> str:
        """The name of the target."""
        return name_of(self.target)

    @property
    def function(self) -> Function:
        """The function that the call runs."""
        return function_of(self.target)

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors among its arguments, in order: the inputs of its graph."""
        return [leaf for leaf in private.leaves((self.args, self.kwargs)) if isinstance(leaf, Tensor)]

    def copied_arguments(self) -> tuple[tuple[object, ...], dict[str, object]]:
        """The arguments with each tensor copied, so that the call may write it in place."""
        leaves, structure = private.flatten((self.args, self.kwargs))
        args, kwargs = private.unflatten(copied(leaves), structure)
        return args, kwargs

    def asks_for_gradients(self) -> ExampleCall | None:
        """The same call on copies of its inputs that all require a gradient; None if its inputs do already."""
        leaves, structure = private.flatten((self.args, self.kwargs))
        without = [id(leaf) for leaf in leaves if _could_require_a_gradient(leaf)]
        if not without:
            return None
        own = [
            copy.requires_grad_() if id(leaf) in without else copy
            for leaf, copy in zip(leaves, copied(leaves), strict=True)
        ]
        args, kwargs = private.unflatten(own, structure)
        return replace(self, args=args, kwargs=kwargs)


def _could_require_a_gradient(leaf: object) -> bool:
    """Return True for a tensor of real or complex numbers that does not require a gradient yet."""
    return isinstance(leaf, Tensor) and (leaf.is_floating_point() or leaf.is_complex()) and not leaf.requires_grad
