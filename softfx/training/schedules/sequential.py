"""Schedules one after another, as torch.optim.lr_scheduler.SequentialLR has them."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from softfx.errors import ScheduleError
from softfx.training.schedules.base import SoftnessSchedule

__all__ = ["SequentialSoftness"]


class SequentialSoftness(SoftnessSchedule):
    """Schedules one after another, each from its own epoch 0 when its milestone comes.

    Args:
        schedules: one more than milestones; of any kind, also sequential ones.
        milestones: the epochs at which the next one takes over, increasing.

    Raises:
        ScheduleError: the milestones do not fit the schedules.

    Example:
        >>> import torch
        >>> from softfx.training.schedules import ExponentialSoftness, LinearSoftness
        >>> softness = torch.tensor(0.0)
        >>> warm = LinearSoftness(softness, start=1.0, end=1.0, total_iters=2)
        >>> cool = ExponentialSoftness(softness, start=1.0, end=0.1, total_iters=2)
        >>> schedule = SequentialSoftness([warm, cool], milestones=[2])
        >>> for _ in range(4):
        ...     schedule.step()
        >>> softness
        tensor(0.1000)
    """

    def __init__(self, schedules: Sequence[SoftnessSchedule], milestones: Sequence[int]) -> None:
        increasing = all(before < after for before, after in zip([0, *milestones], milestones, strict=False))
        if not schedules or len(milestones) != len(schedules) - 1 or not increasing:
            raise ScheduleError(
                f"SequentialSoftness: {len(schedules)} schedules and milestones {list(milestones)}. There is one "
                "milestone between two schedules, above 0 and increasing. Change them."
            )
        self.schedules, self.milestones = list(schedules), list(milestones)
        self.restart()

    @property
    def active(self) -> SoftnessSchedule:
        """The schedule whose turn it is."""
        return self.schedules[bisect.bisect_right(self.milestones, self.last_epoch)]

    def softness_at(self, epoch: int) -> float:
        """The softness after `epoch` steps, of schedules that are functions of time."""
        number = bisect.bisect_right(self.milestones, epoch)
        return self.schedules[number].softness_at(epoch - [0, *self.milestones][number])

    def step(self, *indices: Tensor | Sequence[Tensor]) -> None:
        """Advance by one step; arguments are handed to the schedule whose turn it is."""
        self.last_epoch += 1
        if self.last_epoch in self.milestones:
            self.active.restart()
        else:
            self.active.step(*indices)

    def restart(self) -> None:
        """Begin again with the first schedule."""
        self.last_epoch = 0
        self.active.restart()

    def get_last_softness(self) -> float:
        """The softness that the schedule whose turn it is set last."""
        return self.active.get_last_softness()

    def state_dict(self) -> dict[str, Any]:
        """The states of all schedules, and the number of steps taken."""
        states = [schedule.state_dict() for schedule in self.schedules]
        return {"last_epoch": self.last_epoch, "milestones": list(self.milestones), "schedules": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where the schedule that gave `state_dict` stopped."""
        states = state_dict.get("schedules", [])
        if len(states) != len(self.schedules):
            raise ScheduleError(
                f"SequentialSoftness: load_state_dict was given {len(states)} schedules and there are "
                f"{len(self.schedules)}. Load what the same schedule's state_dict() returned."
            )
        self.last_epoch, self.milestones = state_dict["last_epoch"], list(state_dict["milestones"])
        for schedule, state in zip(self.schedules, states, strict=True):
            schedule.load_state_dict(state)
        self.active.apply(self.active.get_last_softness())

    def __repr__(self) -> str:
        return f"SequentialSoftness({self.schedules}, milestones={self.milestones}, last_epoch={self.last_epoch})"
