"""The record of one torch operation: everything that softfx knows of it without softness.

An `Operation` says how a call is spelled, what it does besides computing its result, and how integers, constants,
shapes and selected rows fare in it. Every field is required, so that a fact which was forgotten is an error at import.
The records themselves are in `table`, made by the verbs of `verbs`; what is made of softness is a
`softfx.rules.Rule`, which refers to a record.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from softfx.ops.calls import Args, Function, Options

__all__ = [
    "Effect",
    "Infinities",
    "Infix",
    "Integral",
    "Linear",
    "Operation",
    "Prefix",
    "PythonOperator",
    "Reads",
    "Rows",
    "Subscript",
    "SubscriptAssignment",
]


class Effect(enum.Flag):
    """Effects of a call besides its result, and ways in which its result is no ordinary tensor."""

    NONE = 0
    WRITES_FIRST = enum.auto()  # it writes its first operand, in every spelling
    WRITES_OTHERS = enum.auto()  # it writes further operands, such as running statistics
    DRAWS = enum.auto()  # its result is random
    MAY_DRAW = enum.auto()  # its result is random where an argument asks for that, as for dropout
    METADATA = enum.auto()  # the Python value that it returns does not depend on the elements of its operands
    SHOWS = enum.auto()  # it makes text of the elements of its operand
    HISTORY = enum.auto()  # the Python value that it returns depends on the autograd graph
    AUTOGRAD = enum.auto()  # it acts on the autograd graph: hooks, backward
    STOPS_GRADIENT = enum.auto()  # no derivative goes on from its operands
    BRANCHES = enum.auto()  # Python takes one way or the other by the bool that it returns
    READS_NUMBER = enum.auto()  # it makes a Python number, or an array of another library
    REFUSES_GRADIENTS = enum.auto()  # torch refuses operands that require a gradient
    CONVERTS = enum.auto()  # the dtype among its arguments is the one that its operand is converted to
    COPIES_VALUES = enum.auto()  # it makes a tensor of the values of its operands, and no derivative goes on from these
    SHAPE_FROM_DATA = enum.auto()  # the shape of its result depends on the elements of its operands


class Integral(enum.Enum):
    """Conditions under which a result in a floating type holds whole numbers only."""

    NEVER = enum.auto()
    OF_INTEGRAL_OPERANDS = enum.auto()  # where its operands and the numbers among its arguments are whole
    OF_NATURAL_POWERS = enum.auto()  # where besides its exponent is a number from 0 on
    UNLESS_AVERAGED = enum.auto()  # where besides none of the words among its arguments names an average
    OF_UNDIVIDED_SUMS = enum.auto()  # where besides the sums that it takes are divided by 1
    OF_WHOLE_ARGUMENTS = enum.auto()  # where the numbers that it is filled with are whole
    ALWAYS = enum.auto()  # it rounds (to no decimals)


class Infinities(enum.Enum):
    """What becomes of an infinite or NaN element of an operand."""

    END = enum.auto()  # results do not hold it as a rule, or rows of them do
    PASS = enum.auto()  # results may hold it, and the derivatives are finite beside it
    SPREAD = enum.auto()  # results may hold it, and the derivatives by other elements are infinite or NaN beside it
    CONTRACT = enum.auto()  # sums of products: as END, and the derivatives by the other factors are as of SPREAD


class Linear(enum.Enum):
    """The operands in which an operation is linear, but for what does not depend on them."""

    NO = enum.auto()
    JOINTLY = enum.auto()  # in all of them together: a sum
    EACH = enum.auto()  # in each while the others stay: a product
    FIRST = enum.auto()  # in the first while the others stay: a quotient


class Reads(enum.Enum):
    """Operands of which the elements matter, and not only shape and type."""

    ALL = enum.auto()
    FIRST = enum.auto()
    NONE = enum.auto()


class Rows(enum.Enum):
    """The action of an operation on rows that a mask selects: x[mask] or its first operand made of such rows."""

    TOGETHER = enum.auto()  # it needs the selected rows alone and at once
    EACH = enum.auto()  # elementwise
    WEIGHED = enum.auto()  # elementwise, with weights that lie along the second axis
    OWN_AXES = enum.auto()  # along axes of each row
    JOINED = enum.auto()  # joins several selections along axes of each row
    STACKED = enum.auto()  # joins several selections along a new axis of each row
    RESHAPED = enum.auto()  # gives each row another shape
    PARTED = enum.auto()  # cuts into parts along an axis
    EXTENDED = enum.auto()  # adds an axis to each row
    INDEXED = enum.auto()  # selects by a key: entries of each row, or rows by a mask
    SELECTED = enum.auto()  # selects rows by a mask
    WRITTEN = enum.auto()  # writes rows back by a mask, or at the places that it selects
    LOOKED_UP = enum.auto()  # looks up, along an axis, the places that a mask selects
    ADDED = enum.auto()  # adds rows along an axis, or writes them, at the places that a mask selects
    TOTAL = enum.auto()  # sums
    COUNT = enum.auto()  # counts what is not 0
    MEAN = enum.auto()
    VARIANCE = enum.auto()
    DEVIATION = enum.auto()
    LARGEST = enum.auto()
    SMALLEST = enum.auto()
    LOSS = enum.auto()  # a loss of rows and targets, reduced


@dataclass(frozen=True)
class PythonOperator:
    """Python's own way to write an operation.

    symbol: how it is written.
    function: what `operator` calls it.
    methods: Tensor's methods that read better as the operator.
    """

    symbol: str
    function: Function
    methods: tuple[str, ...] = ()
    operands: ClassVar[int]

    @property
    def name(self) -> str:
        """The name of the operator inside the double underscores."""
        return self.function.__name__.strip("_")


class Infix(PythonOperator):
    """An operator between two operands."""

    operands = 2

    @property
    def in_place(self) -> Function | None:
        """The operator's function for the statement that writes its first operand."""
        return getattr(operator, f"i{self.name}", None)


class Prefix(PythonOperator):
    """An operator before its operand."""

    operands = 1


class Subscript(PythonOperator):
    """x[key], whose operands are x and the key."""

    operands = 2


class SubscriptAssignment(PythonOperator):
    """x[key] = value."""

    operands = 3


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation of torch.

    name: the canonical name, torch's own.
    spellings: further names in torch's namespaces; one with a dot is looked up from torch on.
    effect: what a call does besides computing its result.
    integral: when a floating-point result holds whole numbers only.
    reads: of which operands the elements matter.
    fills: the position of the number that it fills its result with, if it does.
    keeps_fill: whether the result of a constant tensor is filled with the same constant.
    uninitialized: whether the elements of its result are arbitrary.
    rows: its action on rows that a mask selects.
    infinities: what becomes of an infinite element of an operand.
    dim: the position of the axis among the arguments, where it runs along one.
    commutes: whether its two operands may be exchanged, so that a reflected operator needs no exchange.
    python: how code writes it, where Python has an operator for it.
    shaped_by_data: whether these arguments make the shape of its result depend on elements.
    linear: the operands in which it is linear.
    """

    name: str
    spellings: tuple[str, ...]
    effect: Effect
    integral: Integral
    reads: Reads
    fills: int | None
    keeps_fill: bool
    uninitialized: bool
    rows: Rows
    infinities: Infinities
    dim: int | None
    commutes: bool
    python: PythonOperator | None
    shaped_by_data: Callable[[Args, Options], bool]
    linear: Linear

    # Facts that calls ask for again and again, found once: a Flag is slow to ask.

    @cached_property
    def passes_infinities(self) -> bool:
        """True if an element of its results may be an infinite element of an operand."""
        return self.infinities in (Infinities.PASS, Infinities.SPREAD)

    @cached_property
    def multiplies(self) -> bool:
        """True if the derivative by an element is a product with others, which may be infinite."""
        return self.infinities in (Infinities.SPREAD, Infinities.CONTRACT)

    @cached_property
    def is_multilinear(self) -> bool:
        """True if it is linear in each operand while the others stay."""
        return self.linear in (Linear.JOINTLY, Linear.EACH) or self.infinities is Infinities.CONTRACT

    @cached_property
    def stops_gradient(self) -> bool:
        """True if no derivative goes on from its operands."""
        return bool(self.effect & Effect.STOPS_GRADIENT)

    @cached_property
    def copies_values(self) -> bool:
        """True if its result holds the values of its operands, and no derivative goes on from these."""
        return bool(self.effect & Effect.COPIES_VALUES)

    @cached_property
    def repeatable(self) -> bool:
        """True if a second call on the same operands gives the same and changes nothing."""
        return not self.effect & _UNREPEATABLE

    @cached_property
    def writes_alike(self) -> bool:
        """True if, as a write in place, a second call on the same operands writes the same elements."""
        return not self.effect & (_UNREPEATABLE & ~Effect.WRITES_FIRST | Effect.STOPS_GRADIENT)

    @cached_property
    def converts(self) -> bool:
        """True if the dtype among its arguments is the one that its operand is converted to."""
        return bool(self.effect & Effect.CONVERTS)

    @cached_property
    def refuses_gradients(self) -> bool:
        """True if torch refuses operands that require a gradient, whatever the other arguments are."""
        return bool(self.effect & (Effect.REFUSES_GRADIENTS | Effect.COPIES_VALUES))  # a deepcopy, or with a warning

    @cached_property
    def gives_python_value(self) -> bool:
        """True if Python gets a number or a bool of its result, which depends on elements."""
        return bool(self.effect & (Effect.BRANCHES | Effect.READS_NUMBER))

    @cached_property
    def depends_on_numbers(self) -> bool:
        """True if numbers among the arguments alone decide if a result is whole, or what it is filled with."""
        return self.integral in (Integral.ALWAYS, Integral.OF_WHOLE_ARGUMENTS) or self.fills is not None

    @cached_property
    def function(self) -> Function:
        """torch's own function of it, out of place."""
        # A loss of torch.nn.functional takes its reduction as a word, one of torch as a number.
        first = (F, torch) if self.rows is Rows.LOSS else (torch, F)
        for space in (*first, torch.linalg, torch.special, Tensor):
            if callable(found := getattr(space, self.name, None)):
                function: Function = found
                return function
        raise AttributeError(f"torch has no function {self.name!r}")

    def __repr__(self) -> str:
        return f"ops.{self.name}"

    def __reduce__(self) -> tuple[Callable[[str], Operation], tuple[str]]:
        return _named, (self.name,)  # copies and pickles are the table's own record


_UNREPEATABLE = Effect.DRAWS | Effect.MAY_DRAW | Effect.WRITES_FIRST | Effect.WRITES_OTHERS | Effect.AUTOGRAD


def _named(name: str) -> Operation:
    from softfx.ops.spelling import INDEX

    return INDEX.named(name)
