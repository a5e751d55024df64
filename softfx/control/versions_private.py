"""A write that takes another one back, so that autograd sees neither, and whether anybody is told of calls.

- torch._C._autograd._unsafe_set_version_counter: a run that is made again leaves what it wrote as it was, and a
  derivative that was recorded before must not take that for a write.
- torch._C._get_tracing_state, _get_dispatch_mode(_TorchDispatchModeKey.PROXY): torch.jit.trace, make_fx and
  torch.export record what is called, and cannot record further runs.
- torch._C.DisableTorchFunction: numbers that softfx itself reads are no calls of the program.
- torch._C._len_torch_function_stack, _len_torch_dispatch_stack, _functorch.maybe_current_level: whether a mode or a
  transform of the program is told of a call. It is asked at each comparison, so by counts and without lists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["is_recorded", "level", "nothing_around", "put_values", "untold"]

_count_modes: Callable[[], int] = torch._C._len_torch_function_stack
_count_dispatch_modes: Callable[[], int] = torch._C._len_torch_dispatch_stack
level: Callable[[], int | None] = torch._C._functorch.maybe_current_level


def put_values(tensor: Tensor, values: Tensor, version: int) -> None:
    """Give a tensor these values and this count of writes, as if it had not been written since.

    >>> x = torch.zeros(2)
    >>> _ = x.add_(1)
    >>> put_values(x, torch.zeros(2), 0)
    >>> from softfx.torch_private import version_of
    >>> x.tolist(), version_of(x)
    ([0.0, 0.0], 0)
    """
    with torch.no_grad():
        if tensor.shape == values.shape:
            tensor.copy_(values)
        else:
            tensor.data = values.clone()  # out= has given it another shape
    if version >= 0:
        torch._C._autograd._unsafe_set_version_counter((tensor,), (version,))


def is_recorded() -> bool:
    """Return True while torch.jit.trace, make_fx or torch.export record what is called."""
    if torch._C._get_tracing_state() is not None:
        return True
    return torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.PROXY) is not None


def nothing_around(modes: int = 0) -> bool:
    """Return True where a call is torch's alone: no mode of either kind is told of it, and no transform is running.

    modes: function modes of softfx's own that are.

    >>> nothing_around()
    True
    """
    return _count_modes() == modes and not _count_dispatch_modes() and level() is None


def untold(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, of whose calls of torch no function mode is told.

    >>> untold(torch.Tensor.item)(torch.tensor(2.0))
    2.0
    """

    def call(*args: Any) -> Any:
        with torch._C.DisableTorchFunction():
            return function(*args)

    return call
