"""Softness schedules, and the best parameters, in the training loops of other packages: `LightningSoftness` and others.

The packages are imported when a name is first used; softfx does not depend on them. `_Driver` is the part that both
share; to add a loop, write one class of hooks and one line in `_BASES`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from softfx.errors import MissingPackageError, ScheduleError
from softfx.training.best import KeepBest
from softfx.training.remeasure import Remeasure
from softfx.training.schedules import SoftnessSchedule
from softfx.training.softness_state import load_softness_state, softness_state

if TYPE_CHECKING:  # made on demand by __getattr__
    LightningKeepBest: Any
    LightningRemeasure: Any
    LightningSoftness: Any
    TransformersKeepBest: Any
    TransformersRemeasure: Any
    TransformersSoftness: Any

__all__ = [
    "LightningKeepBest",
    "LightningRemeasure",
    "LightningSoftness",
    "TransformersKeepBest",
    "TransformersRemeasure",
    "TransformersSoftness",
]

_INTERVALS = ("epoch", "step")


class _Trainer(Protocol):
    """The part of lightning's Trainer that is read here."""

    current_epoch: int
    global_step: int


class _LightningModule(Protocol):
    """The part of lightning's LightningModule that is called here."""

    def log(self, name: str, value: float) -> object: ...


class _TrainerState(Protocol):
    """The part of the transformers' TrainerState that is read and written here."""

    epoch: float | None
    global_step: int
    stateful_callbacks: dict[str, Any]  # whatever callbacks save
    log_history: list[object]


class _Driver:
    """Keeps a schedule at the count of the loop.

    Args:
        schedule: made before training starts, with the softened model or a tensor as its target. While the loop is in
            epoch (or at optimizer step) k, the schedule is at its epoch k.
        interval: the unit that the schedule counts: "epoch", or "step" for optimizer steps.
        name: the name under which the softness is logged and its state saved; each callback needs one of its own.

    Raises:
        ScheduleError: `schedule` is no schedule, or the interval is another.
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
        """Step up to `count` if the schedule counts this interval, and return True if it does.

        The count is the loop's own, not the number of calls of a hook, so that a run that was resumed is like any
        other, wherever in the epoch its checkpoint was written.
        """
        if interval != self.interval:
            return False
        while self.schedule.last_epoch < count:
            self.schedule.step()
        return True

    def saved(self) -> dict[str, Any]:
        """The state of the schedule, and the softness of every site of its target, as plain data."""
        target = self.schedule.target
        return {
            "schedule": self.schedule.state_dict(),
            "softness": None if isinstance(target, Tensor) else softness_state(target),
        }

    def resume(self, saved: dict[str, Any]) -> None:
        """Continue where `saved` was made: learned softnesses, too, and those that the schedule's pattern leaves."""
        self.schedule.load_state_dict(saved["schedule"])
        if saved["softness"] is not None and not isinstance(self.schedule.target, Tensor):
            # Sites that calls had met by then and the new target has not met yet get theirs from the next step.
            load_softness_state(self.schedule.target, saved["softness"], strict=False)


class _Lightning(_Driver):
    """A Lightning callback that drives a softness schedule, logs the softness and saves it in checkpoints."""

    @property
    def state_key(self) -> str:
        """The key of the schedule's state in a checkpoint."""
        return f"softfx.{self.name}"

    def on_train_epoch_start(self, trainer: _Trainer, pl_module: _LightningModule) -> None:
        """Step up to the epoch of the loop."""
        if self.reach("epoch", trainer.current_epoch):
            pl_module.log(self.name, self.schedule.get_last_softness())

    def on_train_batch_start(
        self, trainer: _Trainer, pl_module: _LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Step up to the optimizer step of the loop."""
        if self.reach("step", trainer.global_step):
            pl_module.log(self.name, self.schedule.get_last_softness())

    def state_dict(self) -> dict[str, Any]:
        """The state of the schedule, and the softness of every site."""
        return self.saved()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where the checkpoint was written."""
        self.resume(state_dict)


class _Transformers(_Driver):
    """A callback of the transformers Trainer that drives a softness schedule, logs and saves the softness."""

    def on_train_begin(self, args: object, state: _TrainerState, control: object, **kwargs: object) -> None:
        """Continue where the checkpoint was written, if training is resumed from one."""
        if saved := state.stateful_callbacks.get(self._key):
            self.resume(saved)

    def on_epoch_begin(self, args: object, state: _TrainerState, control: object, **kwargs: object) -> None:
        """Step up to the epoch of the loop."""
        self.reach("epoch", int(state.epoch or 0))
        self._save(state)

    def on_step_begin(self, args: object, state: _TrainerState, control: object, **kwargs: object) -> None:
        """Step up to the optimizer step of the loop."""
        self.reach("step", state.global_step)
        self._save(state)

    def on_log(
        self, args: object, state: _TrainerState, control: object, logs: object = None, **kwargs: object
    ) -> None:
        """Add the softness to the values that are logged and to the history."""
        for record in (logs, state.log_history[-1] if state.log_history else None):
            if isinstance(record, dict):
                record[self.name] = self.schedule.get_last_softness()

    @property
    def _key(self) -> str:
        return f"softfx.{self.name}"

    def _save(self, state: _TrainerState) -> None:
        """Put the schedule's state into the trainer's own, which is written into every checkpoint."""
        state.stateful_callbacks[self._key] = self.saved()


class _KeepsBest:
    """Keeps the parameters of the lowest loss, and puts them back when training ends.

    Args:
        best: made before training starts.
        name: the name under which its state is saved, or of the metric that is read where losses are not handed out.

    Raises:
        ScheduleError: `best` is no KeepBest.
    """

    usual = "best"

    def __init__(self, best: KeepBest, name: str = "") -> None:
        if not isinstance(best, KeepBest):
            raise ScheduleError(
                f"{type(self).__name__}: a {type(best).__name__} keeps nothing. Legal is a softfx.KeepBest. "
                "Write softfx.KeepBest(model)."
            )
        self.best, self.name = best, name or self.usual


class _LightningBest(_KeepsBest):
    """A Lightning callback that keeps the parameters of the training step with the lowest loss."""

    @property
    def state_key(self) -> str:
        """The key of what is kept in a checkpoint."""
        return f"softfx.{self.name}"

    def on_before_backward(self, trainer: _Trainer, pl_module: _LightningModule, loss: Tensor) -> None:
        """Note the loss of the present parameters."""
        self.best.update(loss)

    def on_train_end(self, trainer: _Trainer, pl_module: _LightningModule) -> None:
        """Put the best parameters back."""
        self.best.restore()

    def state_dict(self) -> dict[str, Any]:
        """What is kept."""
        return self.best.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where the checkpoint was written."""
        self.best.load_state_dict(state_dict)


class _TransformersBest(_KeepsBest):
    """A callback of the transformers Trainer that keeps the parameters of the evaluation with the lowest metric."""

    usual = "eval_loss"

    def on_evaluate(self, args: object, state: _TrainerState, control: object, **kwargs: Any) -> None:
        """Note the metric of the present parameters."""
        metrics = kwargs.get("metrics") or {}
        if self.name not in metrics:
            raise ScheduleError(
                f"softfx.callbacks.TransformersKeepBest: there is no metric {self.name!r}. "
                f"Legal: {', '.join(map(str, metrics)) or 'none'}. Give the name of one."
            )
        self.best.update(float(metrics[self.name]))

    def on_train_end(self, args: object, state: _TrainerState, control: object, **kwargs: object) -> None:
        """Put the best parameters back."""
        self.best.restore()


class _Remeasures:
    """Has the spreads of the data measured again every few optimizer steps, in the loop's own calls.

    Args:
        remeasure: made before training starts.
        inputs: gives the arguments of a call of the softened model for a batch, as a tuple; it measures by a call of
            its own then, as a compiled model needs it.
        name: the name under which the spreads are saved.

    Raises:
        ScheduleError: `remeasure` is no Remeasure.
    """

    def __init__(
        self, remeasure: Remeasure, inputs: Callable[[Any], tuple[Any, ...]] | None = None, name: str = "spreads"
    ) -> None:
        if not isinstance(remeasure, Remeasure):
            raise ScheduleError(
                f"{type(self).__name__}: a {type(remeasure).__name__} measures nothing. Legal is a softfx.Remeasure. "
                "Write softfx.Remeasure(soft, every=10)."
            )
        self.remeasure, self.inputs, self.name = remeasure, inputs, name


class _LightningRemeasure(_Remeasures):
    """A Lightning callback that has spreads measured again and saves them in checkpoints."""

    @property
    def state_key(self) -> str:
        """The key of the spreads in a checkpoint."""
        return f"softfx.{self.name}"

    def on_train_batch_start(
        self, trainer: _Trainer, pl_module: _LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Measure on this batch, if it is time."""
        self.remeasure.reach(trainer.global_step, () if self.inputs is None else self.inputs(batch))

    def state_dict(self) -> dict[str, Any]:
        """The spreads."""
        return self.remeasure.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the spreads of the checkpoint."""
        self.remeasure.load_state_dict(state_dict)


class _TransformersRemeasure(_Remeasures):
    """A callback of the transformers Trainer that has spreads measured again; it hands out no batches."""

    def __init__(self, remeasure: Remeasure, name: str = "spreads") -> None:
        super().__init__(remeasure, None, name)

    def on_train_begin(self, args: object, state: _TrainerState, control: object, **kwargs: object) -> None:
        """Continue with the spreads of the checkpoint, if training is resumed from one."""
        if saved := state.stateful_callbacks.get(f"softfx.{self.name}"):
            self.remeasure.load_state_dict(saved)

    def on_step_begin(self, args: object, state: _TrainerState, control: object, **kwargs: object) -> None:
        """Measure in the loop's next call, if it is time."""
        self.remeasure.reach(state.global_step)

    def on_step_end(self, args: object, state: _TrainerState, control: object, **kwargs: object) -> None:
        """Put the spreads into the trainer's state, which is written into every checkpoint."""
        state.stateful_callbacks[f"softfx.{self.name}"] = self.remeasure.state_dict()


# The hooks of each callback, the package to install, the modules that may have the base class, and its name.
_BASES: dict[str, tuple[type[_Driver] | type[_KeepsBest] | type[_Remeasures], str, tuple[str, ...], str]] = {
    "LightningKeepBest": (_LightningBest, "lightning", ("lightning.pytorch", "pytorch_lightning"), "Callback"),
    "TransformersKeepBest": (_TransformersBest, "transformers", ("transformers",), "TrainerCallback"),
    "LightningRemeasure": (_LightningRemeasure, "lightning", ("lightning.pytorch", "pytorch_lightning"), "Callback"),
    "TransformersRemeasure": (_TransformersRemeasure, "transformers", ("transformers",), "TrainerCallback"),
    "LightningSoftness": (_Lightning, "lightning", ("lightning.pytorch", "pytorch_lightning"), "Callback"),
    "TransformersSoftness": (_Transformers, "transformers", ("transformers",), "TrainerCallback"),
}


def __getattr__(name: str) -> type:
    if name not in _BASES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    hooks, package, modules, base = _BASES[name]
    documented = {"__doc__": f"{hooks.__doc__}\n\n{hooks.__bases__[0].__doc__}", "__module__": __name__}
    made = type(name, (hooks, getattr(_first(name, package, modules), base)), documented)
    globals()[name] = made  # so that the next access, and a pickle's, finds the same class
    return made


def _first(name: str, package: str, modules: tuple[str, ...]) -> ModuleType:
    """The first of these modules that is installed."""
    for module in modules:
        try:
            return import_module(module)
        except ModuleNotFoundError as error:
            missing = error
    raise MissingPackageError(
        f"softfx.callbacks.{name}: {missing.name} is not installed. It is a callback of {package}. "
        f"Run pip install {package}."
    ) from missing
