"""The surroundings of a call: may derivatives be asked for, and are torch's own operators needed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from softtorch.torch_private import forward_mode_is_open, is_recorded


def differentiating() -> bool:
    """Return True if derivatives can be asked for here: gradients are enabled, or a forward-mode level is open.

    `torch.no_grad` does not stop forward-mode derivatives, so both are looked at.
    """
    return torch.is_grad_enabled() or forward_mode_is_open()


def plain_operators_needed() -> bool:
    """Return True if a computation has to consist of torch's own operators here, rather than of a custom Function.

    A graph that is recorded (compile, export, make_fx) would lose the derivative of a Function, or could not fuse it;
    forward mode loses what is beyond the first derivative.
    """
    return torch.compiler.is_compiling() or _asked.plain or forward_mode_is_open() or is_recorded()


def function_may_be_traced() -> bool:
    """Return True in a graph that torch.compile records: it takes a custom Function with its backward pass.

    An exported graph would lose that, and the transforms of torch.func inside the graph take the derivative of what
    the forward pass does.
    """
    if not torch.compiler.is_dynamo_compiling() or torch.compiler.is_exporting():
        return False
    return not forward_mode_is_open()


class _Asked(threading.local):
    plain = False


_asked = _Asked()


@contextmanager
def plain_operators() -> Iterator[None]:
    """Within this context, and in this thread, plain operators are needed: Functions do not nest in derivatives."""
    before, _asked.plain = _asked.plain, True
    try:
        yield
    finally:
        _asked.plain = before
