"""The spreads that softness is relative to, measured again: on a batch, or every few steps of a training loop."""

from __future__ import annotations

from typing import Any

from softfx.decisions.measures import Measures
from softfx.errors import PolicyError, ScheduleError
from softfx.pipeline.softened import Softened, softened
from softfx.training.softness_state import load_softness_state, softness_state

__all__ = ["Remeasure", "remeasure"]


def remeasure(soft: Any, *args: Any, **kwargs: Any) -> None:
    """Measure again the spreads of what the sites decide about, on one call that leaves no trace.

    Numbers that were measured when the model was softened are enough while the spread of its data stays. Where it moves
    by factors in training, from a last layer that starts small for example, measure again now and then. The softness of
    each site is as many spreads as before.

    Args:
        soft: the module or function that `soften` returned.
        *args: the arguments of one call of it, such as a batch of the data.
        **kwargs: the keyword arguments of that call.

    Raises:
        PolicyError: no site has a softness that is relative to the data.

    Source: Gini's mean difference as a scale, Gerstenberger and Vogel 2015, arXiv 1405.5027.

    >>> import torch, softfx
    >>> policy = {"default": {"softness": {"relative": 0.2}}}
    >>> soft = softfx.soften(lambda x: (x > 0).float().mean(), policy, example_inputs=(torch.randn(100),))
    >>> before = soft.report.sites[0].softness
    >>> softfx.remeasure(soft, 1000 * torch.randn(100))
    >>> soft.report.sites[0].softness > 500 * before
    True
    """
    _relative(soft, "remeasure").measure(soft, args, kwargs)


class Remeasure:
    """Measures the spreads that softness is relative to again, every few steps of a training loop.

    Call `step` before each step of the loop. Of a batch that it is given it makes a call of its own that leaves no
    trace; without one the loop's next call measures while it runs, which costs nothing but the spreads themselves. A
    compiled model does not measure in its own calls: give it the batch.

    Args:
        soft: the module or function that `softfx.soften` returned.
        every: the number of steps from one measurement to the next; the first is at the first step.
        momentum: the part that each site keeps of the spread that it had, from 0 (the batch's alone) to below 1, for a
            moving average.

    Raises:
        PolicyError: no site has a softness that is relative to the data.
        ScheduleError: `every` is no whole number above 0, or `momentum` is outside of [0, 1).

    Source: Gini's mean difference as a scale, Gerstenberger and Vogel 2015, arXiv 1405.5027.

    Example:
        >>> import torch, softfx
        >>> soft = softfx.soften(lambda x: (x > 0).float().mean(), example_inputs=(torch.linspace(-1, 1, 101),))
        >>> again = softfx.Remeasure(soft, every=10)
        >>> for step in range(11):
        ...     batch = (1 + step) * torch.linspace(-1, 1, 101)  # (101,)
        ...     again.step()
        ...     loss = soft(batch)
        >>> f"{soft.report.sites[0].softness:.2f}"  # 0.2 spreads of the eleventh batch
        '1.33'
    """

    def __init__(self, soft: Any, every: int = 10, momentum: float = 0.0) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ScheduleError(f"Remeasure: every={every!r}. It is a whole number above 0. Write every=10.")
        if isinstance(momentum, bool) or not isinstance(momentum, int | float) or not 0 <= momentum < 1:
            raise ScheduleError(
                f"Remeasure: momentum={momentum!r}. It is a number from 0 to below 1. Write momentum=0.9."
            )
        self.target, self.every, self.momentum, self.last_step = soft, every, float(momentum), -1
        _relative(soft, "Remeasure")

    def step(self, *args: Any, **kwargs: Any) -> None:
        """Count one step, and measure if it is time: by a call on these arguments, or by the loop's next call."""
        self.reach(self.last_step + 1, args, kwargs)

    def reach(self, step: int, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> None:
        """Be at this step of the loop, counted from 0; the same step is counted once."""
        before, self.last_step = self.last_step, step
        if step // self.every == before // self.every and before >= 0:
            return
        state = _relative(self.target, "Remeasure")
        if args or kwargs:
            state.measure(self.target, args, kwargs or {}, self.momentum)
        else:
            state.measures = Measures(self.momentum)

    def state_dict(self) -> dict[str, Any]:
        """The step, and the softness of each site as `softfx.softness_state` gives it: plain data."""
        return {"last_step": self.last_step, "softness": softness_state(self.target)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue at the step, and with the spreads, of `state_dict`."""
        load_softness_state(self.target, state_dict["softness"], strict=False)
        self.last_step = state_dict["last_step"]


def _relative(soft: Any, where: str) -> Softened:
    """The state of what `soften` returned, some of whose softness is relative to the data."""
    state = softened(soft, where)
    if not state.sites.measures:
        raise PolicyError(
            f"{where}: no site has a softness that is relative to the data. Those of a policy with "
            'softness = "auto" or softness = { relative = 0.2 } have. Give such a policy to soften.'
        )
    return state
