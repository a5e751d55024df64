"""Branches with scope = "module": the innermost module call that holds them is run again, instead of the whole call.

Where such a module returns, in a run whose points are wanted, it is run again with decisions turned round, and the
differences become a derivative of its results. What follows is linearised at these: cheaper, and biased.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from softfx import torch_private
from softfx.control.draws import Stream
from softfx.control.engine import Engine, Run
from softfx.control.modes import Watch
from softfx.control.path import Path, Point
from softfx.control.settings import Settings
from softfx.control.traceless import Traceless
from softfx.interpreter.host import HostMode
from softfx.ops.calls import Args, Kwargs, Result
from softfx.pipeline.control_runs import ControlRuns

__all__ = ["hooked"]


@dataclass(frozen=True, eq=False)
class _Entered:
    """A call of a module, and where the run was when it began.

    answers, points, calls: how many the run had.
    """

    module: nn.Module
    traceless: Traceless
    mode: Watch
    path: Path
    before: Path
    answers: int
    points: int
    calls: int


@contextmanager
def hooked(runs: ControlRuns, settings: Settings, random: Stream) -> Iterator[None]:
    """A block in which modules that are run again alone have their derivative when they return."""
    if not runs.modules:
        yield
        return
    entered: list[_Entered] = []
    with ExitStack() as stack:
        for path, module in runs.modules.items():
            begins, ends = partial(_begins, runs, entered), partial(_ends, runs, entered, path, settings, random)
            before = module.register_forward_pre_hook(begins, prepend=True, with_kwargs=True)
            stack.callback(before.remove)
            stack.callback(module.register_forward_hook(ends, with_kwargs=True).remove)
        yield


def _begins(runs: ControlRuns, entered: list[_Entered], module: nn.Module, args: Args, kwargs: Kwargs) -> None:
    if runs.kept is None:
        return
    mode, path = runs.kept
    with torch_private.without_function_modes(HostMode):
        traceless = Traceless(module, module, args, kwargs, draws=True)
    traceless.writes.around, mode.writes = mode.writes, traceless.writes
    counts = len(path.answers), len(path.points), mode.calls
    entered.append(_Entered(module, traceless, mode, path, path.begun_again(), *counts))


def _ends(
    runs: ControlRuns, entered: list[_Entered], name: str, settings: Settings, random: Stream,
    module: nn.Module, args: Args, kwargs: Kwargs, result: Result,
) -> Any:  # fmt: skip
    if runs.kept is None:
        return None
    call = entered.pop()
    while call.module is not module:  # it raised, and the program went on
        call = entered.pop()
    mode, path = call.mode, call.path
    mode.writes = call.traceless.writes.around or mode.writes
    points = path.points[call.points :]
    path.points[call.points :] = [point for point in points if not _is_its(point, name)]
    mine = [replace(point, number=point.number - call.answers) for point in points if _is_its(point, name)]
    if not mine or not torch.is_grad_enabled():
        return None
    part = call.before.begun_again()
    part.answers, part.points = path.answers[call.answers :], mine
    kept, runs.kept = runs.kept, None
    try:
        with torch_private.without_function_modes(HostMode):
            call.traceless.first_run_ended()
            further = runs.part(module, call.traceless, call.before)
            engine = Engine(further, settings, runs.evidence.control, random)
            return engine.derived(Run(result, part, mode.calls - call.calls), path.numbers)
    finally:
        runs.kept = kept


def _is_its(point: Point, name: str) -> bool:
    """Return True for a decision of the module of that name, which is turned there."""
    return point.decision.resolved.scope == "module" and point.decision.location.module == name
