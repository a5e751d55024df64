"""The state of what `soften` returned: the decisions about a target, the ways to run it, and its report.

A softened module (softfx.pipeline.soft_module) or function (soft_function) hands each of its calls to `Softened.run`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from softfx import torch_private
from softfx.capture import left_attributes, left_buffers
from softfx.capture.later import exhausted
from softfx.capture.preserve import Preserved, copied
from softfx.capture.program import Seen
from softfx.decisions.evidence import Evidence
from softfx.decisions.measures import Measures
from softfx.decisions.sites import Sites
from softfx.errors import PolicyError
from softfx.interpreter.host import beside, host
from softfx.locations import shown_place
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.spelling import INDEX
from softfx.pipeline.execute import Eager, Graph
from softfx.pipeline.plan import settle, settle_neighbours
from softfx.report import Report
from softfx.report.build import make_report
from softfx.rules import RULES

__all__ = ["Softened", "harden", "softened"]


@dataclass(eq=False)
class Softened:
    """The decisions about one target and the ways to run it.

    original: the target as `soften` was given it.
    function: what a call of a softened function runs.
    entry: the name of the method that was captured: "forward", or "__call__" where a call runs more than that.
    graph: runs that method where it holds the call, under a compiler; plain calls only where `replays`.
    replays: executor="graph" was asked for.
    measures: where the next call notes the spreads that softness is relative to, if it is to measure them.
    planned: the names of the methods that were planned.
    """

    original: Any
    function: Any
    entry: str
    sites: Sites
    evidence: Evidence
    eager: Eager
    graph: Graph | None
    seen: Seen
    name: str
    planned: set[str] = field(default_factory=set)
    replays: bool = False
    measures: Measures | None = None
    rules_seen: int = field(default_factory=lambda: INDEX.changes)

    @property
    def report(self) -> Report:
        """The report, sites met since the capture included."""
        executor = "graph" if self.replays else "eager"
        return make_report(self.name, self.seen, self.sites, self.evidence, executor)

    def run(self, root: object, name: str, function: Function, args: Args, kwargs: Kwargs) -> Result:
        """One call of the method `name`: softened always, but for one inside another, which is a part of that.

        root: the softened module that it is called on; None for a function.
        """
        owner = self if root is None else root
        around = None if torch.compiler.is_compiling() else host()
        if around is None:
            return self._run(owner, root, name, function, args, kwargs)
        if around.owner is owner:
            return function(*args, **kwargs)
        return beside(around, self.name, lambda: self._run(owner, root, name, function, args, kwargs))

    def _run(self, owner: object, root: object, name: str, function: Function, args: Args, kwargs: Kwargs) -> Result:
        """As it is where nothing is to be softened, softened otherwise."""
        if self.rules_seen != INDEX.changes:
            self._check_rules()
        if not self.sites.policy.can_act:
            return function(*args, **kwargs)
        if not torch.is_grad_enabled() and self.sites.exact:
            return function(*args, **kwargs)
        if self.evidence.left_attributes and not torch.compiler.is_compiling():
            target, names = self.function if root is None else root, self.evidence.left_attributes
            left_attributes.end(target, names)
            result = self._run_softened(owner, root, name, function, args, kwargs)
            left_attributes.watch(target, names, result)
            return result
        return self._run_softened(owner, root, name, function, args, kwargs)

    def _run_softened(
        self, owner: object, root: object, name: str, function: Function, args: Args, kwargs: Kwargs
    ) -> Result:
        """By the graph where it holds, by the original Python otherwise."""
        if self.evidence.left_buffers and name == self.entry and not torch.compiler.is_compiling():
            left_buffers.detach(root, self.evidence.left_buffers)
        if self.measures is not None and name in self.planned and not torch.compiler.is_compiling():
            measures, self.measures = self.measures, None
            return self.eager(root, function, args, kwargs, owner, measures)
        # A graph measures nothing. A compiler need not look through the decisions.
        wanted = torch.compiler.is_compiling() or (self.replays and not self.sites.awaits_measure)
        if wanted and self.graph is not None and name == self.entry and self.graph.holds(root, args, kwargs):
            return self.graph(root, args, kwargs)
        if name not in self.planned:
            return self._first(owner, root, name, function, args, kwargs)
        if self.evidence.awaits_learning and _learns(args, kwargs):
            result = self.eager.learning(root, function, args, kwargs, owner)
            settle_neighbours(self.sites, self.evidence)
            self.evidence.awaits_learning = False  # what does not learn in this call is not asked for again
            return result
        return self.eager(root, function, args, kwargs, owner)

    def measure(self, soft: Any, args: Args, kwargs: Kwargs, momentum: float = 0.0) -> None:
        """Measure the spreads that softness is relative to, by a call of what was softened that leaves no trace.

        momentum: the part that each site keeps of the spread that it had.
        """
        leaves, structure = torch_private.flatten((args, kwargs))
        own_args, own_kwargs = torch_private.unflatten(copied(leaves), structure)
        self.measures = Measures(momentum)
        try:
            with Preserved(soft), torch.enable_grad():
                exhausted(soft(*own_args, **own_kwargs))
        finally:
            self.measures = None

    @torch_private.uncompiled
    def _first(self, owner: object, root: object, name: str, function: Function, args: Args, kwargs: Kwargs) -> Result:
        """The first call of a method: it is planned by what it does, once, for it may not be repeatable."""
        first = len(self.sites)
        result, met = self.eager.planned(root, function, args, kwargs, owner)
        settle(self.sites, self.evidence, [site for site in sorted(met) if site >= first])
        self.planned.add(name)
        return result

    def _check_rules(self) -> None:
        """Refuse to run where a rule that acts is not registered any more: its site would be hard in silence."""
        for decision in self.sites:
            if decision.acts and decision.rule.name not in RULES:
                place = decision.location
                raise PolicyError(
                    f"{self.name}: the rule {decision.rule.code} was unregistered, and "
                    f"{shown_place(place.file, place.line)} needs it. A model runs with the rules it was softened "
                    "with. Register it again, or soften the model anew."
                )
        self.rules_seen = INDEX.changes


def _learns(args: Args, kwargs: Kwargs) -> bool:
    """Return True for a call that is given something to learn."""
    return any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in torch_private.leaves((args, kwargs)))


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

    >>> import softfx
    >>> from torch import nn
    >>> layer = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    >>> soft = softfx.soften(layer, "smooth", example_inputs=(torch.zeros(1, 2),))
    >>> softfx.harden(soft) is layer
    True
    """
    return softened(soft, "harden").original
