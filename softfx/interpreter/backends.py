"""What surrounds one call: how it is carried out (`Backend`) and what a rule is given beside the operands.

Two backends exist: `Direct`, which simply calls (softfx.pipeline.execute), and the one of softfx.pipeline.rewrite,
whose calls are nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

import softtorch
from softfx.decisions.sites import SiteRecord
from softfx.locations import Location
from softfx.ops.integrality import is_whole_number
from softfx.ops.spelling import Spelled, Spelling
from softfx.rules.rule import Estimate, Rule
from softfx.values.domains import Domain, Known, Soft

# Of their second operand only the shape or the type is wanted.
_LIKE = ("expand_as", "view_as", "reshape_as", "type_as")

__all__ = ["Backend", "Call", "Context", "Direct", "depends", "detachments", "is_blind", "name_of", "writes"]


class Backend(Protocol):
    """Carries out calls."""

    def run(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call of the program."""

    def emit(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call that softening adds, as one visible step."""

    def again(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], like: Any = None) -> Any:
        """A call of the program on other operands of the same shapes.

        like: the `template` of its result; that of the program's present call if it is left out.
        """

    def template(self, result: Any) -> Any:
        """What `again` has to know of a result to make its like later."""

    def softness(self, record: SiteRecord) -> Any:
        """What to pass as this site's softness."""


class Direct:
    """Calls are simply made; softness is read from the site at each call."""

    def run(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return func(*args, **kwargs)

    emit = run

    def again(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], like: Any = None) -> Any:
        return func(*args, **kwargs)

    def template(self, result: Any) -> Any:
        return None

    def softness(self, record: SiteRecord) -> Any:
        return record.softness


def name_of(func: Callable[..., Any], rule: Rule | None) -> str:
    """The operation that a call of `func` is, by its rule if it has one."""
    return rule.op if rule is not None else str(getattr(func, "__name__", func))


def writes(func: Callable[..., Any], spelled: Spelled | None) -> bool:
    """Whether a function writes its first argument in place."""
    if spelled is not None:
        return spelled.in_place
    name = str(getattr(func, "__name__", ""))
    return name.endswith("_") and not name.endswith("__")


def depends(op: str, known: Sequence[Known]) -> bool:
    """Whether the result of `op` on these operands depends on a differentiable source."""
    return any(operand.tainted for operand in (known[:1] if op in _LIKE else known))


def is_blind(op: str, kwargs: dict[str, Any]) -> bool:
    """Whether torch refuses to make such a call of operands that require a gradient."""
    dtype = kwargs.get("dtype")
    whole = isinstance(dtype, torch.dtype) and not (dtype.is_floating_point or dtype.is_complex)
    return (whole and op != "cast") or op == "numpy"


def detachments(known: Sequence[Known]) -> frozenset[Location]:
    """Where all of these operands that depend on a source were detached; nowhere if one of them was not."""
    stops = frozenset[Location]()
    for operand in known:
        if operand.tainted and (not operand.stops or operand.soft is not None):
            return frozenset()
        stops |= operand.stops
    return stops if any(operand.tainted for operand in known) else frozenset()


@dataclass
class Call:
    """One call of the program: what is called, on what, and what is known of it."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tensors: list[Tensor]
    known: list[Known]
    spelled: Spelled | None
    rule: Rule | None
    locate: Callable[[], Location]
    _location: Location | None = field(default=None, repr=False)
    op: str = field(init=False)
    written: Tensor | None = field(init=False)  # the tensor it writes in place
    softs: list[Soft] = field(init=False)  # the discrete shadows among its operands
    has_real_shadow: bool = field(init=False, default=False)  # a real operand runs beside its value (scope = "model")
    has_hard: bool = field(init=False, default=False)  # softening has changed a real operand

    def __post_init__(self) -> None:
        self.op = name_of(self.func, self.rule)
        self.written = self._target()
        self.softs = []
        for known in self.known:
            if known.soft is not None and known.soft.domain is Domain.REAL:
                self.has_real_shadow = True
            elif known.soft is not None:
                self.softs.append(known.soft)
            if known.hard is not None:
                self.has_hard = True

    @property
    def location(self) -> Location:
        """Where the program makes it; found once, when asked for."""
        if self._location is None:
            self._location = self.locate()
        return self._location

    @property
    def discrete_softs(self) -> list[Soft]:
        """Those of tensors of integers or bools, which have no derivative of their own."""
        pairs = zip(self.tensors, self.known, strict=True)
        softs = [(tensor, k.soft) for tensor, k in pairs if k.soft is not None]
        return [s for tensor, s in softs if not tensor.is_floating_point() or s.domain is Domain.SELECTED]

    @property
    def tainted(self) -> bool:
        """Whether an operand depends on a differentiable source."""
        return depends(self.op, self.known)

    @property
    def detached(self) -> bool:
        """Whether all operands that depend on a source were detached: no derivative could pass whatever is done."""
        return bool(detachments(self.known))

    @property
    def stops(self) -> frozenset[Location]:
        """Where all of its operands that depend on a source were detached."""
        return detachments(self.known)

    def _target(self) -> Tensor | None:
        in_place = writes(self.func, self.spelled) or (self.kwargs and self.kwargs.get("inplace"))
        if not in_place and not self.kwargs:
            return None
        target = self.args[0] if in_place and self.args else self.kwargs.get("out")
        return target if isinstance(target, Tensor) else None

    @property
    def blind(self) -> bool:
        """Whether torch refuses to make it of operands that require a gradient, which softening may have given them."""
        return is_blind(self.op, self.kwargs)

    @property
    def is_site(self) -> bool:
        """Whether it is one that needs a decision: it relaxes something, or decides on something soft."""
        if self.rule is None or self.rule.family == "selection" or self.rule.barrier:
            return False
        if self.rule.site is None or self.spelled is None:
            return True
        return self.rule.site(self.func, *Spelling.arguments(self.spelled, self.args, self.kwargs))


@dataclass
class Context:
    """A rule's RuleContext, see softfx.rules.rule."""

    backend: Backend
    func: Callable[..., Any]
    options: dict[str, Any]
    exact: bool
    sites: frozenset[int]
    hard: Any = None
    estimate: Estimate | None = None
    whole_tensor: Callable[[Tensor], bool] = bool
    fill_tensor: Callable[[Tensor], float | None] = lambda tensor: None  # a default, not a name
    joined: Tensor | None = None  # the hard result with a derivative, where the rule has made that itself

    def whole(self, operand: Any) -> bool:
        if isinstance(operand, Soft):
            return operand.domain is not Domain.REAL
        return self.whole_tensor(operand) if isinstance(operand, Tensor) else is_whole_number(operand)

    def fill(self, operand: Tensor) -> float | None:
        return self.fill_tensor(operand)

    def on(self, hard: Any) -> Context:
        """The same with another hard result."""
        return replace(self, hard=hard)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = self.backend.emit(function, args, kwargs)
        if function is softtorch.straight_through and args[0] is self.hard:
            self.joined = result
        return result

    def soft(self, value: Tensor, domain: str, support: Tensor | None = None) -> Soft:
        return Soft(Domain(domain), value, support, self.exact, self.sites)
