"""Schedules that are a function of time, from a start to an end."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable

from torch import Tensor

from softfx.training.schedules.base import SoftnessSchedule, check_positive

__all__ = ["CosineSoftness", "ExponentialSoftness", "GeometricSoftness", "LinearSoftness"]


class _Timed(SoftnessSchedule):
    """From `start` to `end` in `total_iters` steps, and `end` from then on."""

    def __init__(
        self,
        target: Tensor | Callable[..., object],
        start: float,
        end: float,
        total_iters: int,
        pattern: str = "*",
        relative: bool = False,
    ) -> None:
        super().__init__(target, pattern, relative)
        check_positive(type(self).__name__, start=start, end=end, total_iters=total_iters)
        self.start, self.end, self.total_iters = float(start), float(end), total_iters
        self.restart()

    def softness_at(self, epoch: int) -> float:
        """The softness after `epoch` steps; both ends are exact."""
        if epoch <= 0:
            return self.start
        return self.end if epoch >= self.total_iters else self.between(epoch / self.total_iters)

    @abstractmethod
    def between(self, t: float) -> float:
        """The softness at the fraction t of the way, 0 < t < 1."""


class ExponentialSoftness(_Timed):
    """Multiplies the softness by the same factor at every step: start * (end / start) ** (epoch / total_iters).

    Args:
        target: the softened module or function, or a 0-dim floating tensor that is filled in place.
        start: the softness at first.
        end: the softness after `total_iters` steps and from then on.
        total_iters: the number of steps from start to end.
        pattern: the sites of a softened target, as `softfx.set_softness` takes it.
        relative: start and end are in units of the data, site by site: spreads of what each decides about.

    Raises:
        ScheduleError: the target has no softness, or a number is not above 0.

    Example:
        >>> import torch
        >>> softness = torch.tensor(0.0)
        >>> schedule = ExponentialSoftness(softness, start=1.0, end=0.01, total_iters=2)
        >>> for _ in range(3):
        ...     print(f"{softness:.2f}")
        ...     schedule.step()
        1.00
        0.10
        0.01
    """

    def between(self, t: float) -> float:
        """Interpolate linearly in the logarithm."""
        return float(self.start * (self.end / self.start) ** t)


class GeometricSoftness(ExponentialSoftness):
    """The schedule of control flow: geometric, from 1 to .05 in units of the spread of each site's margins.

    As for every schedule, the spreads are measured again after each step, unless the policy says remeasure = false.
    Arguments as for `ExponentialSoftness`.

    Raises:
        PolicyError: the target has no control sites.

    Source: softfx/docs/control.md, where it is measured beside constant softness.

    Example:
        >>> import torch, softfx
        >>> def program(x):
        ...     return x * 2 if x > 1 else x - 1
        >>> policy = {"rule": [{"op": "@control", "action": "straight_through"}]}
        >>> soft = softfx.soften(program, policy, example_inputs=(torch.ones((), requires_grad=True),))
        >>> schedule = GeometricSoftness(soft, total_iters=2)
        >>> for _ in range(3):
        ...     print(f"{schedule.get_last_softness():.3f}")
        ...     schedule.step()
        1.000
        0.224
        0.050
    """

    def __init__(
        self,
        target: Tensor | Callable[..., object],
        start: float = 1.0,
        end: float = 0.05,
        total_iters: int = 100,
        pattern: str = "@control",
    ) -> None:
        super().__init__(target, start, end, total_iters, "*" if isinstance(target, Tensor) else pattern)


class LinearSoftness(_Timed):
    """Changes the softness by the same difference at every step. Arguments as for `ExponentialSoftness`.

    Example:
        >>> import torch
        >>> softness = torch.tensor(0.0)
        >>> schedule = LinearSoftness(softness, start=1.0, end=0.5, total_iters=2)
        >>> schedule.step()
        >>> softness
        tensor(0.7500)
    """

    def between(self, t: float) -> float:
        """Interpolate linearly."""
        return self.start + (self.end - self.start) * t


class CosineSoftness(_Timed):
    """Follows half a wave of the cosine, slow at both ends. Arguments as for `ExponentialSoftness`.

    Source: Loshchilov and Hutter 2017, arXiv 1608.03983, equation 5, for the learning rate.

    Example:
        >>> import torch
        >>> softness = torch.tensor(0.0)
        >>> schedule = CosineSoftness(softness, start=1.0, end=0.5, total_iters=4)
        >>> schedule.step()
        >>> softness
        tensor(0.9268)
    """

    def between(self, t: float) -> float:
        """Go the fraction (1 + cos(pi t)) / 2 of the way back from the end."""
        return self.end + (self.start - self.end) * (1.0 + math.cos(math.pi * t)) / 2.0
