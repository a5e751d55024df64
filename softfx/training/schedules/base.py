"""The base of all schedules: it checks the target, sets the softness, counts, saves and loads its state."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from softfx.errors import ScheduleError
from softfx.pipeline.softened import Softened
from softfx.training.softness import measure_again, set_softness

__all__ = ["SoftnessSchedule", "check_positive"]

_NOT_SAVED = ("target", "probe", "relative")  # left out of a state_dict, as torch's schedulers leave out the optimizer


class SoftnessSchedule(ABC):
    """Sets another softness at every `step()`; the softness of epoch 0 is set when the schedule is made.

    Args:
        target: the softened module or function, or a 0-dim floating tensor that is filled in place. A tensor serves
            plain softtorch operators, and keeps torch.compile from compiling again at every step.
        pattern: the sites of a softened target, as `softfx.set_softness` takes it.
        relative: the softness is in units of the data, site by site, as {"relative": number} is in `set_softness`.
    """

    def __init__(self, target: Tensor | Callable[..., object], pattern: str = "*", relative: bool = False) -> None:
        self.target, self.pattern, self.relative = target, pattern, relative
        self.last_epoch = 0
        where = type(self).__name__
        if isinstance(target, Tensor):
            if target.dim() != 0 or not target.is_floating_point():
                raise ScheduleError(
                    f"{where}: a tensor of shape {tuple(target.shape)} and {target.dtype} cannot hold the softness. "
                    "It has no dims and a floating dtype. Write torch.tensor(1.0)."
                )
            if pattern != "*":
                raise ScheduleError(
                    f"{where}: pattern {pattern!r} is given for a tensor. Patterns name sites of what softfx.soften "
                    "returned. Leave it out."
                )
            if relative:
                raise ScheduleError(
                    f"{where}: relative=True is given for a tensor. Only the sites of what softfx.soften returned have "
                    "data that are measured. Leave it out."
                )
        elif not isinstance(getattr(target, "_softfx", None), Softened):
            raise ScheduleError(
                f"{where}: a {type(target).__name__} has no softness. A target is what softfx.soften returned, or a "
                "0-dim tensor. Pass one of these."
            )

    @abstractmethod
    def softness_at(self, epoch: int) -> float:
        """The softness after `epoch` steps."""

    def step(self) -> None:
        """Advance by one epoch, or by one batch if the schedule counts batches."""
        self.last_epoch += 1
        self.apply(self.softness_at(self.last_epoch))

    def get_last_softness(self) -> float:
        """The softness that was set last."""
        return self._last_softness

    def state_dict(self) -> dict[str, Any]:
        """The state without the target, as plain numbers and strings."""
        return {key: value for key, value in self.__dict__.items() if key not in _NOT_SAVED}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where the schedule that gave `state_dict` stopped; its softness is set at once."""
        if different := state_dict.keys() ^ self.state_dict().keys():
            raise ScheduleError(
                f"{type(self).__name__}: load_state_dict was given the state of another schedule, which differs in "
                f"{', '.join(sorted(different))}. Load what the same class's state_dict() returned."
            )
        self.__dict__.update(state_dict)
        self.apply(self._last_softness)

    def restart(self) -> None:
        """Begin again at epoch 0."""
        self.last_epoch = 0
        self.apply(self.softness_at(0))

    def apply(self, softness: float) -> None:
        """Set this softness on the target now."""
        if isinstance(self.target, Tensor):
            with torch.no_grad():
                self.target.fill_(softness)
        else:
            set_softness(self.target, {self.pattern: {"relative": softness} if self.relative else softness})
            measure_again(self.target)
        self._last_softness = softness

    def __repr__(self) -> str:
        return f"{type(self).__name__}(last_epoch={self.last_epoch}, softness={self._last_softness:g})"


def check_positive(where: str, **numbers: float) -> None:
    """Refuse numbers that are not above 0 and finite."""
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < math.inf:
            raise ScheduleError(f"{where}: {name}={number!r}. It is a number above 0. Give one.")
