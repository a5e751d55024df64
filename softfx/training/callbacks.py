"""Softness schedules inside the training loops of other packages: `LightningSoftness`, `TransformersSoftness`.

The packages are imported when a name is first used; softfx does not depend on them. What both share is in `_Driver`;
a further loop is one class of hooks here and one line in `_BASES`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from softfx.errors import MissingPackageError, ScheduleError
from softfx.training.schedules import SoftnessSchedule

if TYPE_CHECKING:  # made on demand, see __getattr__
    LightningSoftness: Any
    TransformersSoftness: Any

__all__ = ["LightningSoftness", "TransformersSoftness"]

_INTERVALS = ("epoch", "step")


class _Driver:
    """Keeps a schedule at the loop's own count.

    Args:
        schedule: made before training starts, with the softened model or a tensor as its target. While the loop is in
            epoch (or at optimizer step) k, the schedule is at its epoch k.
        interval: what the schedule counts: "epoch", or "step", an optimizer step.
        name: under which the softness is logged and its state saved; one for each callback.

    Raises:
        ScheduleError: no schedule, or another interval.
    """

    def __init__(self, schedule: SoftnessSchedule, interval: str = "epoch", name: str = "softness") -> None:
        where = type(self).__name__
        if not isinstance(schedule, SoftnessSchedule):
            raise ScheduleError(
                f"{where}: a {type(schedule).__name__} is no softness schedule. Legal are those of softfx.schedules. "
                "Write softfx.ExponentialSoftness(soft, start=1.0, end=0.01, total_iters=10)."
            )
        if interval not in _INTERVALS:
            raise ScheduleError(f"{where}: unknown interval {interval!r}. Legal: {', '.join(_INTERVALS)}. Take one.")
        self.schedule, self.interval, self.name = schedule, interval, name

    def reach(self, interval: str, count: int) -> bool:
        """Step up to `count`, if this is what is counted; whether it is.

        Going by the loop's count, not by how often a hook was called, makes no difference between a run and one that
        was resumed, wherever in the epoch its checkpoint was written.
        """
        if interval != self.interval:
            return False
        while self.schedule.last_epoch < count:
            self.schedule.step()
        return True


class _Lightning(_Driver):
    """A Lightning callback that drives a softness schedule, logs the softness and saves it in checkpoints."""

    @property
    def state_key(self) -> str:
        """Where in a checkpoint the schedule's state is."""
        return f"softfx.{self.name}"

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Reach the epoch."""
        if self.reach("epoch", trainer.current_epoch):
            pl_module.log(self.name, self.schedule.get_last_softness())

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Reach the optimizer step."""
        if self.reach("step", trainer.global_step):
            pl_module.log(self.name, self.schedule.get_last_softness())

    def state_dict(self) -> dict[str, Any]:
        """The schedule's."""
        return self.schedule.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the checkpoint was written."""
        self.schedule.load_state_dict(state_dict)


class _Transformers(_Driver):
    """A callback of the transformers Trainer that drives a softness schedule, logs and saves the softness."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Go on where the checkpoint was written, if training is resumed from one."""
        if saved := state.stateful_callbacks.get(self._key):
            self.schedule.load_state_dict(saved)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Reach the epoch."""
        self.reach("epoch", int(state.epoch or 0))
        self._save(state)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Reach the optimizer step."""
        self.reach("step", state.global_step)
        self._save(state)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Add the softness to what is logged and to the history."""
        for record in (logs, state.log_history[-1] if state.log_history else None):
            if isinstance(record, dict):
                record[self.name] = self.schedule.get_last_softness()

    @property
    def _key(self) -> str:
        return f"softfx.{self.name}"

    def _save(self, state: Any) -> None:
        """The trainer writes its state into every checkpoint and reads it from there."""
        state.stateful_callbacks[self._key] = self.schedule.state_dict()


# name: (hooks, package to install, modules that have the base class, its name)
_BASES: dict[str, tuple[type[_Driver], str, tuple[str, ...], str]] = {
    "LightningSoftness": (_Lightning, "lightning", ("lightning.pytorch", "pytorch_lightning"), "Callback"),
    "TransformersSoftness": (_Transformers, "transformers", ("transformers",), "TrainerCallback"),
}


def __getattr__(name: str) -> Any:
    if name not in _BASES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    hooks, package, modules, base = _BASES[name]
    documented = {"__doc__": f"{hooks.__doc__}\n\n{_Driver.__doc__}", "__module__": __name__}
    made = type(name, (hooks, getattr(_first(name, package, modules), base)), documented)
    globals()[name] = made  # the next look, and a pickle's, finds the same class
    return made


def _first(name: str, package: str, modules: tuple[str, ...]) -> Any:
    for module in modules:
        try:
            return import_module(module)
        except ModuleNotFoundError as error:
            missing = error
    raise MissingPackageError(
        f"softfx.callbacks.{name}: {missing.name} is not installed. It is a callback of {package}. "
        f"Run pip install {package}."
    ) from missing
