"""Whether a call computes tensors out of sight of torch's function protocol, by which captures look on.

TorchScript, and blocks in which the protocol is switched off, make tensors that a capture meets as if they had been
there before: a graph would hold them as constants. torch's dispatcher, below the protocol, sees them made.

Private interfaces of torch, which may move between releases:

- torch.utils._python_dispatch.TorchDispatchMode: what the dispatcher runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.trees import tensors_in

__all__ = ["made_below"]


def made_below(call: Callable[[], object]) -> str | None:
    """The first operation on tensors that `call` makes out of sight; None if there is none.

    >>> import torch
    >>> x = torch.ones(2)
    >>> made_below(lambda: torch.jit.script(torch.nn.ReLU())(x)), made_below(lambda: torch.nn.ReLU()(x))
    ('aten.relu.default', None)
    """
    above = _Above()
    below = _Below(above)
    with below, above:
        call()
    return below.found


class _Above(TorchFunctionMode):
    """Counts the calls of the protocol that are under way."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_function__(self, func: Function, types: Any, args: Args = (), kwargs: Kwargs | None = None) -> Result:
        self.calls += 1
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.calls -= 1


class _Below(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has left its class hooks untyped
    """Notes the first operation on tensors that belongs to no call of the protocol."""

    supports_higher_order_operators = True

    def __init__(self, above: _Above) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.above = above
        self.found: str | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Args = (), kwargs: Kwargs | None = None) -> Result:
        if not self.above.calls and self.found is None and tensors_in((args, kwargs or {})):
            self.found = str(func)
        return func(*args, **(kwargs or {}))
