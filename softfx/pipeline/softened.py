"""The results of `soften`: a module of the original's own kind, or a function, with its decisions and report.

The softened module is a shallow copy of the original: same class (as a base), same attributes, the same Parameter,
buffer and submodule objects; only `forward` differs. Nothing of the original is touched.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from softfx.capture.program import Seen
from softfx.decisions.evidence import Evidence
from softfx.decisions.sites import Sites
from softfx.errors import PolicyError
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.spelling import INDEX
from softfx.pipeline.execute import Eager, Graph
from softfx.report import Report
from softfx.report.build import make_report
from softfx.rules import RULES

__all__ = ["SoftFunction", "SoftModule", "Softened", "harden", "soft_module", "softened"]


@dataclass(eq=False)
class Softened:
    """The decisions about one target and the ways to run it."""

    original: Any
    sites: Sites
    evidence: Evidence
    eager: Eager
    graph: Graph | None
    seen: Seen
    name: str
    rules_seen: int = field(default_factory=lambda: INDEX.changes)

    @property
    def report(self) -> Report:
        """The report, sites met since the capture included."""
        return make_report(self.name, self.seen, self.sites, self.evidence, "eager" if self.graph is None else "graph")

    def run(self, root: object, function: Function, args: Args, kwargs: Kwargs) -> Result:
        """One call: softened always, by the graph where it holds, by the original Python otherwise."""
        if self.rules_seen != INDEX.changes:
            self._check_rules()
        if not self.sites.policy.can_act:
            return function(*args, **kwargs)
        if not torch.is_grad_enabled() and self.sites.exact:
            return function(*args, **kwargs)
        if self.graph is not None and self.graph.holds(root, args, kwargs):
            return self.graph(root, args, kwargs)
        return self.eager(root, function, args, kwargs)

    def _check_rules(self) -> None:
        """Refuse to run where a rule that acts is not registered any more: its site would be hard in silence."""
        for decision in self.sites:
            if decision.acts and decision.rule.name not in RULES:
                place = decision.location
                raise PolicyError(
                    f"{self.name}: the rule {decision.rule.code} was unregistered, and {place.file}:{place.line} needs "
                    "it. A model runs with the rules it was softened with. Register it again, or soften the model anew."
                )
        self.rules_seen = INDEX.changes


class SoftModule:
    """Mixin before the original's class: its forward, softened. Made by `soft_module`."""

    _softfx: Softened

    @property
    def report(self) -> Report:
        """The sites found in the module, and the decision about each."""
        return self._softfx.report

    def forward(self, *args: Any, **kwargs: Any) -> Result:
        hard = super().forward  # type: ignore[misc]  # the original's class follows in the bases
        return self._softfx.run(self, hard, args, kwargs)

    def __reduce_ex__(self, protocol: Any) -> tuple[object, ...]:
        return _rebuild, (type(self).__bases__[1],), self.__dict__


_CLASSES: dict[type[nn.Module], type[nn.Module]] = {}


def _soft_class(original: type[nn.Module]) -> type[nn.Module]:
    """The softened class of a class; one each, so that copies and pickles share it."""
    if original not in _CLASSES:
        namespace = {"__doc__": original.__doc__, "__module__": original.__module__}
        _CLASSES[original] = type(f"Soft{original.__name__}", (SoftModule, original), namespace)
    return _CLASSES[original]


def _rebuild(original: type[nn.Module]) -> nn.Module:
    soft = _soft_class(original)
    return soft.__new__(soft)


def soft_module(original: nn.Module, state: Softened) -> nn.Module:
    """A module with the original's attributes, parameters, buffers and submodules, that runs as `state` says."""
    soft = _rebuild(type(original))
    for key, value in original.__dict__.items():
        soft.__dict__[key] = value.copy() if isinstance(value, dict) and key.startswith("_") else value
    soft.__dict__["_softfx"] = state
    return soft


class SoftFunction:
    """A function, softened."""

    def __init__(self, original: Function, state: Softened) -> None:
        functools.update_wrapper(self, original)
        self._softfx = state

    @property
    def report(self) -> Report:
        """The sites found in the function, and the decision about each."""
        return self._softfx.report

    def __call__(self, *args: Any, **kwargs: Any) -> Result:
        return self._softfx.run(None, self._softfx.original, args, kwargs)

    def __repr__(self) -> str:
        return f"SoftFunction({self._softfx.original!r})"


def softened(soft: Any, where: str) -> Softened:
    """The state of something `soften` returned."""
    state = getattr(soft, "_softfx", None)
    if not isinstance(state, Softened):
        raise TypeError(
            f"{where}: {type(soft).__name__} was not softened. It takes what softfx.soften returned. "
            "Call softfx.soften first."
        )
    return state


def harden(soft: Any) -> Any:
    """The original that `soft` was made from.

    >>> layer = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    >>> import softfx
    >>> soft = softfx.soften(layer, "smooth", example_inputs=(torch.zeros(1, 2),))
    >>> softfx.harden(soft) is layer
    True
    """
    return softened(soft, "harden").original
