"""`patched`: third-party code softened where its own package calls it, for the length of a with block.

`soften` returns a new module or function and changes nothing. Where other code calls the original and cannot be handed
the new one, `patched` puts it in place: a function in every module that holds it, the forward of a module on the
instance, the forward of a class on the class. `softfx run` runs a script inside such blocks.
"""

from __future__ import annotations

import functools
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import ParamSpec, Protocol, TypeVar

from torch import nn

from softfx.api import soften
from softfx.decisions.policy import Policy, PolicyLike
from softfx.errors import TargetError, brief, did_you_mean
from softfx.report import Report

__all__ = ["Patch", "patched", "resolve_name"]


P = ParamSpec("P")
R = TypeVar("R")


class _Reporting(Protocol):
    @property
    def report(self) -> Report: ...


class Patch:
    """The softened code of a `patched` block, with a report for each target that has been called."""

    def __init__(self, policy: Policy, target: object = None) -> None:
        self.policy, self.target = policy, target
        self._softened: list[_Reporting] = []

    def __repr__(self) -> str:
        target = self.target if isinstance(self.target, str) else getattr(self.target, "__qualname__", self.target)
        return f"Patch({target}, {self.policy.name}, {len(self._softened)} softened)"

    @property
    def reports(self) -> list[Report]:
        """A report for each softened function, module or class met so far."""
        return [soft.report for soft in self._softened]

    def standing_in(self, function: Callable[P, R]) -> Callable[P, R]:
        """A function to be called in place of `function`; it is softened on the arguments of its first call."""
        soft: Callable[P, R] | None = None
        inside = threading.local()

        @functools.wraps(function)
        def stand_in(*args: P.args, **kwargs: P.kwargs) -> R:
            if getattr(inside, "called", False):  # it calls itself, or names itself to torch's function protocol
                return function(*args, **kwargs)
            inside.called = True
            try:
                return softly(*args, **kwargs)
            finally:
                inside.called = False

        def softly(*args: P.args, **kwargs: P.kwargs) -> R:
            nonlocal soft
            if soft is None:
                softened = soften(
                    function,
                    self.policy,
                    example_inputs=args,
                    example_kwargs=kwargs,
                    executor="eager",
                    allow_unused=True,
                )
                self._softened.append(softened)
                soft = softened
            return soft(*args, **kwargs)

        return stand_in


@contextmanager
def patched(target: object, policy: PolicyLike = None) -> Iterator[Patch]:
    """Soften `target` wherever it is called inside the block.

    Args:
        target: a function, an nn.Module, a class of modules, or the name of one of these as "package.module:name".
        policy: as `soften` takes it.

    Yields:
        A `Patch` with the reports.

    Raises:
        TargetError: a name that leads nowhere, or something that is not called by name.

    >>> import torch, torch.nn.functional
    >>> import colorsys
    >>> with patched("colorsys:rgb_to_hsv", "keep") as patch:
    ...     colorsys.rgb_to_hsv(1.0, 0.0, 0.0)
    (0.0, 1.0, 1.0)
    >>> len(patch.reports)
    1
    """
    patch = Patch(Policy.load(policy), target)
    if isinstance(target, str):
        target = resolve_name(target)
    with ExitStack() as stack:
        for holder, name, value in _places(target):
            stack.enter_context(_replaced(holder, name, patch.standing_in(value)))
        yield patch


def resolve_name(name: str) -> object:
    """The object that "package.module:name" names."""
    path, _, attribute = name.partition(":")
    try:
        found: object = importlib.import_module(path)
    except ImportError as error:
        raise TargetError(
            f"patched: {name!r} cannot be imported: {error}. A name is package.module:name. Check the package."
        ) from None
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise TargetError(
                f"patched: {path} has no {attribute!r}.{did_you_mean(part, dir(found))} "
                "A name is package.module:name. Name a function, a module or a class of modules."
            )
        found = getattr(found, part)
    return found


def _places(target: object) -> list[tuple[object, str, Callable[..., object]]]:
    """The places from which `target` is called: the holder, its attribute, and the hard function there."""
    if isinstance(target, nn.Module) or (isinstance(target, type) and issubclass(target, nn.Module)):
        return [(target, "forward", target.forward)]
    if not callable(target) or isinstance(target, type):
        raise TargetError(
            f"patched: {brief(target)} cannot be softened in place. "
            "A target is a function, an nn.Module or a class of modules. Pass one, or its name."
        )
    name = getattr(target, "__name__", "")
    holders = [
        module for module in list(sys.modules.values()) if module is not None and vars(module).get(name) is target
    ]
    if not holders:
        raise TargetError(
            f"patched: no imported module holds {name or target!r} under that name: nothing would call the soft one. "
            "A target is called by its name in a module. Use softfx.soften and call what it returns."
        )
    return [(holder, name, target) for holder in holders]


@contextmanager
def _replaced(holder: object, name: str, value: object) -> Iterator[None]:
    missing = object()
    before = vars(holder).get(name, missing)
    setattr(holder, name, value)
    try:
        yield
    finally:
        if before is missing:
            delattr(holder, name)
        else:
            setattr(holder, name, before)
