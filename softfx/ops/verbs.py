"""The verbs that register operations: each gives the facts that all operations of its kind share.

`moves("flip")` says in one word that the result of flip holds elements of its operand and nothing else, so that whole
numbers stay whole, and that selected rows have to be there at once. The optional arguments of a verb are the facts in
which operations of one kind differ. To describe a further kind of operation, add a verb.
"""

from __future__ import annotations

from collections.abc import Callable

from softfx.ops.calls import Args, Options
from softfx.ops.operation import Effect, Infinities, Integral, Linear, Operation, PythonOperator, Reads, Rows
from softfx.ops.shapes_from_data import always, never

__all__ = [
    "acts_on_autograd",
    "allocates",
    "branches",
    "compares",
    "computes",
    "contracts",
    "creates",
    "decomposes",
    "draws",
    "keeps",
    "loses",
    "metadata",
    "moves",
    "orders",
    "reads_history",
    "reads_number",
    "reduces",
    "rewrites",
    "rounds",
    "runs_along",
    "selects",
    "shapes_by_data",
    "shifts",
    "shows",
    "stops_gradient",
    "writes_into",
]

ShapedByData = Callable[[Args, Options], bool]


def _plain(
    name: str,
    spellings: tuple[str, ...],
    integral: Integral,
    rows: Rows,
    *,
    effect: Effect = Effect.NONE,
    reads: Reads = Reads.ALL,
    fills: int | None = None,
    keeps_fill: bool = False,
    uninitialized: bool = False,
    infinities: Infinities = Infinities.END,
    dim: int | None = None,
    commutes: bool = False,
    python: PythonOperator | None = None,
    shaped_by_data: ShapedByData = never,
    linear: Linear = Linear.NO,
) -> Operation:
    """A record of an operation that is unusual in nothing but what is given."""
    return Operation(
        name, spellings, effect, integral, reads, fills, keeps_fill, uninitialized, rows, infinities, dim, commutes,
        python, shaped_by_data, linear,
    )  # fmt: skip


def _beside(spreads: bool) -> Infinities:
    """What becomes of infinities. spreads: derivatives by other elements are infinite or NaN beside one."""
    return Infinities.SPREAD if spreads else Infinities.PASS


# -- elementwise -------------------------------------------------------------------------------------------------------


def computes(
    name: str, *spellings: str, python: PythonOperator | None = None, commutes: bool = False, rows: Rows = Rows.EACH,
    integral: Integral = Integral.NEVER, spreads: bool = False, linear: Linear = Linear.NO,
) -> Operation:  # fmt: skip
    """An elementwise operation whose results are real numbers, of whole operands too: exp, division."""
    return _plain(
        name, spellings, integral, rows, python=python, commutes=commutes, infinities=_beside(spreads), linear=linear
    )


def keeps(
    name: str, *spellings: str, python: PythonOperator | None = None, commutes: bool = False,
    spreads: bool = False, linear: Linear = Linear.NO,
) -> Operation:  # fmt: skip
    """An elementwise operation that gives whole numbers for whole operands: addition, clamp."""
    integral = Integral.OF_INTEGRAL_OPERANDS
    return _plain(
        name,
        spellings,
        integral,
        Rows.EACH,
        python=python,
        commutes=commutes,
        infinities=_beside(spreads),
        linear=linear,
    )


def rounds(name: str, *spellings: str, python: PythonOperator | None = None) -> Operation:
    """An elementwise operation whose results are whole whatever its operands are."""
    return _plain(name, spellings, Integral.ALWAYS, Rows.EACH, python=python)


def compares(
    name: str, *spellings: str, python: PythonOperator | None = None, commutes: bool = False, rows: Rows = Rows.EACH
) -> Operation:
    """An elementwise operation that gives bools."""
    return _plain(name, spellings, Integral.NEVER, rows, python=python, commutes=commutes)


def shifts(name: str, *spellings: str, python: PythonOperator | None = None) -> Operation:
    """An elementwise operation that shifts the bits of integers."""
    return computes(name, *spellings, python=python)


def decomposes(name: str, *, integral: Integral = Integral.NEVER, rows: Rows = Rows.TOGETHER) -> Operation:
    """An operation that no function spells: a call with certain arguments is one, or several calls are."""
    return _plain(name, (), integral, rows)


# -- along axes --------------------------------------------------------------------------------------------------------


def runs_along(
    name: str, *spellings: str, dim: int | None = None, effect: Effect = Effect.NONE, rows: Rows = Rows.OWN_AXES,
    shaped_by_data: ShapedByData = never,
) -> Operation:  # fmt: skip
    """An operation along axes that gives real numbers: softmax, a norm, a linear layer."""
    return _plain(name, spellings, Integral.NEVER, rows, dim=dim, effect=effect, shaped_by_data=shaped_by_data)


def contracts(
    name: str, *spellings: str, python: PythonOperator | None = None, rows: Rows = Rows.TOGETHER,
    integral: Integral = Integral.OF_INTEGRAL_OPERANDS,
) -> Operation:  # fmt: skip
    """Sums of products of operands, or of differences of one operand: matmul, diff."""
    return _plain(name, spellings, integral, rows, python=python, infinities=Infinities.CONTRACT)


def reduces(
    name: str, *spellings: str, rows: Rows = Rows.TOGETHER, integral: Integral = Integral.OF_INTEGRAL_OPERANDS,
    spreads: bool = False, linear: Linear = Linear.NO,
) -> Operation:  # fmt: skip
    """An operation whose results are made of many elements along axes: sum, max, cumsum."""
    return _plain(name, spellings, integral, rows, dim=1, infinities=_beside(spreads), linear=linear)


def orders(
    name: str, *spellings: str, rows: Rows = Rows.TOGETHER, integral: Integral = Integral.OF_INTEGRAL_OPERANDS,
    effect: Effect = Effect.NONE, shaped_by_data: ShapedByData = never,
) -> Operation:  # fmt: skip
    """An operation that returns some of its elements, or their places, by their order."""
    return _plain(
        name, spellings, integral, rows, effect=effect, shaped_by_data=shaped_by_data, infinities=Infinities.PASS
    )


# -- moving, selecting, writing ----------------------------------------------------------------------------------------


def moves(
    name: str, *spellings: str, rows: Rows = Rows.TOGETHER, reads: Reads = Reads.ALL, keeps_fill: bool = False,
    effect: Effect = Effect.NONE, shaped_by_data: ShapedByData = never,
    integral: Integral = Integral.OF_INTEGRAL_OPERANDS, linear: Linear = Linear.NO,
) -> Operation:  # fmt: skip
    """An operation whose result holds elements of its operands, each as it was, and padding at most."""
    return _plain(
        name, spellings, integral, rows, reads=reads, keeps_fill=keeps_fill, effect=effect,
        shaped_by_data=shaped_by_data, infinities=Infinities.PASS, linear=linear,
    )  # fmt: skip


def selects(
    name: str, *spellings: str, rows: Rows = Rows.TOGETHER, python: PythonOperator | None = None,
    shaped_by_data: ShapedByData = never,
) -> Operation:  # fmt: skip
    """An operation that looks up elements by a bool or an index."""
    return _plain(
        name, spellings, Integral.OF_INTEGRAL_OPERANDS, rows, python=python, shaped_by_data=shaped_by_data,
        infinities=Infinities.PASS,
    )  # fmt: skip


def writes_into(
    name: str, *spellings: str, rows: Rows = Rows.TOGETHER, effect: Effect = Effect.NONE,
    integral: Integral = Integral.OF_INTEGRAL_OPERANDS, python: PythonOperator | None = None,
    shaped_by_data: ShapedByData = never,
) -> Operation:  # fmt: skip
    """An operation that puts elements into places, of a copy of its operand unless its effect says otherwise."""
    return _plain(
        name, spellings, integral, rows, effect=effect, python=python, shaped_by_data=shaped_by_data,
        infinities=Infinities.PASS,
    )  # fmt: skip


def stops_gradient(name: str, *spellings: str) -> Operation:
    """The same tensor, from which no derivative goes on."""
    return moves(name, *spellings, rows=Rows.EACH, effect=Effect.STOPS_GRADIENT)


def rewrites(name: str) -> Operation:
    """A method that gives a tensor other elements, or another size, by means which have no derivative."""
    effect = Effect.WRITES_FIRST | Effect.STOPS_GRADIENT | Effect.REFUSES_GRADIENTS
    return _plain(name, (), Integral.NEVER, Rows.TOGETHER, effect=effect)


# -- making ------------------------------------------------------------------------------------------------------------


def creates(
    name: str, *spellings: str, fills: int | None = None, integral: Integral = Integral.OF_WHOLE_ARGUMENTS,
    reads: Reads = Reads.ALL, effect: Effect = Effect.NONE,
) -> Operation:  # fmt: skip
    """An operation that fills a new tensor with numbers among its arguments, or with 0 or 1."""
    return _plain(name, spellings, integral, Rows.TOGETHER, fills=fills, reads=reads, effect=effect)


def allocates(name: str, *, reads: Reads = Reads.ALL) -> Operation:
    """An operation that makes a tensor of arbitrary elements."""
    return _plain(name, (), Integral.NEVER, Rows.TOGETHER, reads=reads, uninitialized=True)


def draws(name: str, *spellings: str, reads: Reads = Reads.ALL, effect: Effect = Effect.NONE) -> Operation:
    """An operation with a random result."""
    return _plain(name, spellings, Integral.NEVER, Rows.TOGETHER, effect=effect | Effect.DRAWS, reads=reads)


# -- losses ------------------------------------------------------------------------------------------------------------


def loses(name: str, *spellings: str) -> Operation:
    """A loss: of inputs and targets, with a `reduction`."""
    return _plain(name, spellings, Integral.NEVER, Rows.LOSS)


# -- leaving torch -----------------------------------------------------------------------------------------------------


def reads_number(name: str, *spellings: str, effect: Effect = Effect.NONE) -> Operation:
    """An operation that makes a Python number, or an array of another library, of a tensor."""
    return _plain(name, spellings, Integral.NEVER, Rows.TOGETHER, effect=effect | Effect.READS_NUMBER)


def branches(name: str, *spellings: str) -> Operation:
    """An operation that returns a Python bool, by which Python takes one way or the other."""
    return _plain(name, spellings, Integral.NEVER, Rows.TOGETHER, effect=Effect.BRANCHES)


def shapes_by_data(name: str, *spellings: str, rows: Rows = Rows.TOGETHER, effect: Effect = Effect.NONE) -> Operation:
    """An operation whose result has a shape that depends on the elements of its operands."""
    effect, integral = effect | Effect.SHAPE_FROM_DATA, Integral.NEVER
    return _plain(name, spellings, integral, rows, effect=effect, shaped_by_data=always)


def metadata(name: str, *spellings: str, reads: Reads = Reads.ALL) -> Operation:
    """A question about a tensor, or about torch, whose answer does not depend on elements."""
    return _plain(name, spellings, Integral.NEVER, Rows.TOGETHER, effect=Effect.METADATA, reads=reads)


def shows(name: str, *spellings: str) -> Operation:
    """An operation that makes text of a tensor."""
    return _plain(name, spellings, Integral.NEVER, Rows.TOGETHER, effect=Effect.SHOWS)


def reads_history(name: str) -> Operation:
    """A question about a tensor's place in the autograd graph."""
    return _plain(name, (), Integral.NEVER, Rows.TOGETHER, effect=Effect.HISTORY)


def acts_on_autograd(name: str, *spellings: str) -> Operation:
    """A call that runs or changes the autograd graph."""
    return _plain(name, spellings, Integral.NEVER, Rows.TOGETHER, effect=Effect.AUTOGRAD)
