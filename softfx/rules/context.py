"""The context of one call: what the functions of a rule are given beside the operands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from torch import Tensor

from softfx.ops.calls import Function, Options, Result
from softfx.rules.spread import Spread
from softfx.values import SelectedRows, Soft, SoftBool, SoftCount, SoftIndex

__all__ = ["Beside", "Operand", "RuleContext", "RuleFunction", "Shadow", "TensorOrSoft"]

_Result = TypeVar("_Result")

# A tensor among the arguments of a call, or its shadow.
TensorOrSoft: TypeAlias = Tensor | Soft
# The same, or a number in its place.
Operand: TypeAlias = Tensor | Soft | float
# The result of a rule, which stands beside the hard one leaf by leaf: a real tensor, a soft value, or None for neither.
Shadow: TypeAlias = "Tensor | Soft | Sequence[Shadow] | None"
# A relaxation or a propagation: the context, then the call's own arguments.
RuleFunction: TypeAlias = Callable[..., Shadow]


@dataclass(frozen=True, eq=False)
class Beside:
    """A comparison of numbers with what was made of them: of rows with an order statistic of their own.

    statistic: as the program has it, also where it runs beside a soft value. Of clipped numbers it is the number at
        which they were clipped.
    form: the soft form, a function of the comparison, the rows, the statistic, and `where`.
    where: what the statistic was taken along, as `form` has it.
    rows: the numbers that are compared with it.
    reflected: the statistic is the first operand.
    idiom: what a report calls such a comparison.
    measure: the spread that the softness is in units of.
    """

    statistic: Tensor | float
    form: Callable[..., Tensor]
    where: tuple[object, ...]
    rows: Tensor
    reflected: bool
    measure: Callable[[], Spread | None]
    idiom: str


class RuleContext(Protocol):
    """One call under a decision. Interpreters implement it (softfx.interpreter.call_context)."""

    hard: Result
    """The result of the original call; an estimator that draws puts its draw here."""

    @property
    def exact(self) -> bool:
        """True if values stay as they are: only the derivative of the shadow counts."""

    @property
    def reaches(self) -> bool:
        """True where a derivative alone is wanted of decisions whose noise has a tail (mode "tailed")."""

    @property
    def meets_nan(self) -> bool:
        """True where a NaN may be among real operands: values that change, or calls that have met one."""

    @property
    def beside(self) -> Beside | None:
        """What is known of a comparison with an order statistic of the other operand."""

    @property
    def options(self) -> Options:
        """mode, softness, method ...: the options that the policy gives and the rule takes."""

    @property
    def func(self) -> Function:
        """The function as the program spelled it."""

    def is_integral(self, operand: object, by_elements: bool = True) -> bool:
        """Return True if an operand stands for integers, whatever its type; of a constant also `by_elements`."""

    def is_source(self, operand: Tensor) -> bool:
        """Return True for a tensor that depends on a differentiable source."""

    def fill(self, operand: Tensor) -> float | None:
        """The one number that a constant tensor is filled with, if that is known."""

    def recognise(self, idiom: str) -> None:
        """Note that the call and what it takes are this idiom together, for the report."""

    def call(self, function: Callable[..., _Result], *args: object, **kwargs: object) -> _Result:
        """Call `function` as one visible step of the rewritten code."""

    def with_hard(self, hard: object) -> RuleContext:
        """The same context with another hard result."""

    def soft_bool(self, probability: Tensor) -> SoftBool:
        """A soft bool that comes from this call."""

    def soft_count(self, value: Tensor) -> SoftCount:
        """A count that comes from this call."""

    def soft_index(self, weights: Tensor, support: Tensor | None = None, *, distinct: int | None = None) -> SoftIndex:
        """A soft index that comes from this call."""

    def selected_rows(self, rows: Tensor, probabilities: Tensor, mask: Tensor) -> SelectedRows:
        """Selected rows that come from this call."""

    def like(self, soft: Soft, tensor: Tensor) -> Soft:
        """A shadow of the kind of `soft` made of another tensor, that comes from this call."""
