"""The run that the present thread is in, told by the function mode under which it stands.

What is called of a softened thing while its own run is on is part of that run. Another softened thing inside it runs by
its own decisions, out of the mode's sight; the run is told what it returned. The mode is active exactly while the
program's code runs, in this thread, whatever is raised: no record beside it could be more right.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

from torch.overrides import TorchFunctionMode

from softfx import torch_private

__all__ = ["PLACE", "Host", "HostMode", "beside", "host"]


class Host(Protocol):
    """A run that a softened thing may be called in.

    owner: what is run: a softened module, or the state of a softened function.
    """

    owner: object

    def leaves(self) -> None:
        """Another softened thing is about to run by its own decisions; raises where the run cannot go on after it."""

    def received(self, name: str, result: Any) -> None:
        """A softened part of that name, which ran by its own decisions, returned `result`."""


class _Place(threading.local):
    """What this thread runs without a function mode (softfx.control.light), if it does."""

    run: Any = None


PLACE = _Place()


class HostMode(TorchFunctionMode):
    """A mode under which a program runs.

    owner: what is run: a softened module, or the state of a softened function.
    """

    owner: object = None

    def leaves(self) -> None:
        pass

    def received(self, name: str, result: Any) -> None:
        """A softened part of that name, which ran by its own decisions, returned `result`."""
        raise NotImplementedError


def host() -> Host | None:
    """The innermost run that this thread is in, or None."""
    modes = torch_private.function_modes()
    return next((mode for mode in reversed(modes) if isinstance(mode, HostMode)), PLACE.run)


def beside(run: Host, name: str, call: Any) -> Any:
    """The result of `call()`, a softened part inside `run`, which does not see its calls."""
    run.leaves()
    with torch_private.without_function_modes(HostMode):
        result = call()
    run.received(name, result)
    return result
