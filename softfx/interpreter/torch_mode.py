"""The mode in which a program runs: past the engine for calls that it would make as they are.

Most calls of a program are such: no site that acts, nothing soft among the operands. All that the engine would remember
of their results is looked up, see engine.habits. Whatever else may matter is the engine's: a call that writes or
detaches, gradients switched off, a shadow, a hard value behind an operand. Both ways leave the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from softfx.interpreter.backends import Call
from softfx.interpreter.fast_path import After, Habit, Habits
from softfx.interpreter.inline import opened
from softfx.interpreter.interpreter import Engine
from softfx.locations import Location
from softfx.ops.integrality import filled_with, gives_whole
from softfx.values.domains import ATOMS, Known, tensors_in

__all__ = ["Quick", "Thorough"]

# A subclass may be more than its entries.
_BARE = frozenset({Tensor, torch.nn.Parameter})
_gradients = torch.is_grad_enabled


class Thorough(TorchFunctionMode):
    """Every torch call goes through the engine."""

    def __init__(self, engine: Engine, where: Callable[[], Location]) -> None:
        super().__init__()
        self._engine = engine
        self._where = where

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return self._thoroughly(func, args, kwargs or {})

    def _thoroughly(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if (body := opened(func)) is not None:
            with self:
                return body(*args, **kwargs)
        return self._engine.call(func, args, kwargs, self._where)


class Quick(Thorough):
    """Every torch call gives what it gives through the engine."""

    def __init__(self, engine: Engine, habits: Habits, where: Callable[[], Location]) -> None:
        super().__init__(engine, where)
        self._habits = habits.current()
        self._found = self._habits.of
        self._values = engine.values
        self._entries = engine.values.entries
        self._terms = engine.existing.terms.entries
        self._reads = engine.updates.reads.entries

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        try:
            habit = self._found[func]
        except (KeyError, TypeError):
            habit = self._meet(func)
        kwargs = kwargs or {}
        if habit is None or not _gradients() or ((kwargs or habit.becomes) and not habit.is_plain(args, kwargs)):
            return self._thoroughly(func, args, kwargs)
        if habit.simple and not (habit.sums and (self._terms or self._reads)):
            for argument in (*args, *kwargs.values()) if kwargs else args:
                kind = type(argument)
                if kind in _BARE:
                    if id(argument) in self._entries:
                        break
                elif kind not in ATOMS and not _is_empty(argument):
                    break
            else:
                return self._bare(habit, func, args, kwargs)
        return self._looked_up(habit, func, args, kwargs)

    def _bare(self, habit: Habit, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call that is no site, of tensors of which nothing is remembered: nor is there of what needs a gradient."""
        result = func(*args, **kwargs)
        kind = type(result)
        if result.requires_grad if kind is Tensor else kind in ATOMS:
            return result
        if kind is tuple and all(type(item) is Tensor and item.requires_grad for item in result):
            return result
        known = [self._values.known(tensor) for tensor in tensors_in((args, kwargs))]
        after = self._after(habit, known)
        if known and after is not None:
            self._remember(habit, after, args, kwargs, result)
        return result

    def _looked_up(self, habit: Habit, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call whose operands are looked at."""
        known: list[Known] = []
        for argument in (*args, *kwargs.values()) if kwargs else args:
            if type(argument) not in ATOMS:
                entry = self._entries.get(id(argument))
                if entry is not None and entry[0]() is argument:
                    known.append(entry[1])
                else:
                    known.extend(map(self._values.known, tensors_in(argument)))
        after = self._after(habit, known)
        if after is None or (known and habit.counts and habit.leaves) or (habit.sums and self._goes_on(args)):
            tensors = tensors_in((args, kwargs) if kwargs else args)
            call = Call(func, args, kwargs, tensors, known, habit.spelled, habit.rule, self._where)
            return self._engine.made(call)
        if habit.may_be_site and after.tainted and habit.is_site(func, args, kwargs):
            assert habit.rule is not None  # a site has one
            location = self._where()
            record = self._engine.sites.at(habit.rule, location)
            if record.acts:
                tensors = tensors_in((args, kwargs) if kwargs else args)
                call = Call(func, args, kwargs, tensors, known, habit.spelled, habit.rule, self._where, location)
                return self._engine.acting(record, call)
        result = func(*args, **kwargs)
        if type(result) not in ATOMS:
            if known and habit.leaves:
                self._remember(habit, after, args, kwargs, result)
            elif habit.counts or not known:
                self._made(habit, known, args, kwargs, result)
        return result

    def _after(self, habit: Habit, known: list[Known]) -> After | None:
        return habit.after.get(known[0] if len(known) == 1 else tuple(known)) or self._habits.after(habit, known)

    def _meet(self, func: Callable[..., Any]) -> Habit | None:
        """The habit of a function that is called for the first time."""
        try:
            hash(func)
        except TypeError:  # nothing can be found of it again
            return None
        return self._habits.meet(func, self._engine.sites.policy)

    def _goes_on(self, args: tuple[Any, ...]) -> bool:
        """Whether a sum may continue something that is followed: straight-through code, or an update."""
        if not self._terms and not self._reads:
            return False
        terms, reads = self._engine.existing.terms, self._engine.updates.reads
        return any(terms.get(tensor) is not None or reads.get(tensor) is not None for tensor in tensors_in(args))

    def _remember(self, habit: Habit, after: After, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """What is known of the results."""
        for output in (result,) if type(result) is Tensor else tensors_in(result):
            entry = self._entries.get(id(output))
            if entry is not None and entry[0]() is output and entry[1].tainted:
                if after.tainted:
                    self._engine.existing.terms.discard(output)
                continue
            whole = not (output.is_floating_point() or output.is_complex())
            if after.numbers and not whole:
                whole = gives_whole(habit.op, args, kwargs, [])
            self._values.share(output, after.whole if whole else after.other)
        if habit.op == "sub" and after.tainted and len(args) == 2 and not kwargs:
            left, right = reversed(args) if habit.reflected else args
            if isinstance(left, Tensor) and isinstance(right, Tensor) and isinstance(result, Tensor):
                self._engine.existing.subtracted(result, left, right)

    def _made(
        self, habit: Habit, known: list[Known], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        """The same where at most the shapes of operands count."""
        whole = gives_whole(habit.op, args, kwargs, [operand.whole for operand in known])
        fill = filled_with(habit.op, args, kwargs, [operand.fill for operand in known])
        if whole or fill is not None:
            for output in tensors_in(result):
                self._values.set(output, Known(False, whole=whole, fill=fill))


def _is_empty(argument: Any) -> bool:
    """Whether it is a sequence or a slice that holds no tensors: a shape, a key of slices."""
    if type(argument) is slice:
        argument = (argument.start, argument.stop, argument.step)
    if type(argument) is not tuple and type(argument) is not list:
        return False
    return all(type(item) in ATOMS or (type(item) is slice and _is_empty(item)) for item in argument)
