"""The settings of a call's runs: those of the control sites that act, together."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from softfx.decisions.site import Decision
from softfx.decisions.sites import Sites
from softfx.torch_private import has_forward_hooks

__all__ = ["Settings", "runs_alone", "scoped_modules"]

TURNS = 8  # a path: with fewer the variance grows, with more the time (24 programs: 8 turns beside 4 and all)
LIMIT = 10.0
_IN_ORDER = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Settings:
    """How a call is run again.

    samples: drawn paths; 0 for the program's own.
    turns: further runs a path.
    exact: the most paths that are enumerated; 0 for none.
    limit: the calls that a run may make, in those of the first.
    seed: what draws begin with; None for torch's own seed.
    soft: the value is the mean over the paths.
    """

    samples: int = 0
    turns: int = TURNS
    exact: int = 0
    limit: float = LIMIT
    soft: bool = False
    seed: int | None = None

    @classmethod
    def of(cls, sites: Sites) -> Settings:
        """Those of the control sites known, the largest of each; of the policy where no site is known yet."""
        acting = [decision for decision in sites if decision.rule.family == "control" and decision.acts]
        return cls(
            max(map(samples_of, acting), default=0),
            max((decision.resolved.options.get("turns", TURNS) for decision in acting), default=TURNS),
            max((decision.resolved.options.get("exact", 0) for decision in acting), default=0),
            max((decision.resolved.options.get("limit", LIMIT) for decision in acting), default=LIMIT),
            any(decision.action == "soft" for decision in acting),
            next((d.resolved.options["seed"] for d in acting if "seed" in d.resolved.options), None),
        )

    @property
    def passes(self) -> int:
        """About how many forward passes a step takes."""
        return 1 + self.turns if self.samples == 0 else 1 + self.samples * (1 + self.turns)


def scoped_modules(root: object, sites: Sites) -> dict[str, nn.Module]:
    """The modules that a policy has run again alone for their decisions, by their paths."""
    if not isinstance(root, nn.Module):
        return {}
    control = (decision for decision in sites if decision.rule.family == "control" and decision.acts)
    paths = {decision.location.module for decision in control if decision.resolved.scope == "module"}
    return {path: module for path, module in root.named_modules() if path in paths} if paths else {}


def runs_alone(root: object) -> bool:
    """Return True if no module but the root itself runs code of the program: all others are torch's own layers."""
    return not isinstance(root, nn.Module) or all(module is root or _is_layer(module) for module in root.modules())


def _is_layer(module: nn.Module) -> bool:
    """Return True for a layer of torch's own, and for layers one after the other, that call nothing of the program."""
    if not type(module).__module__.startswith("torch.nn.modules.") or has_forward_hooks(module):
        return False
    holds = any(True for _ in module.children())
    return type(module) in _IN_ORDER if holds else not any(map(callable, vars(module).values()))


def samples_of(decision: Decision) -> int:
    """The drawn paths that a site asks for: one, unless it only acts because its family does."""
    usual = 1 if decision.resolved.named else 0
    found: int = decision.resolved.options.get("samples", usual)
    return found
