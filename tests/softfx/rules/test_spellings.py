"""Every spelling of every operation, by position and by keyword, held against torch itself in the limit.

An operand bound to another's place gives another value: each call that torch accepts is softened at a tiny softness,
where its value is torch's own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from softfx.ops.operation import Effect, Operation
from softfx.ops.spelling import INDEX
from softfx.rules import rule_of
from softfx.torch_private import OpOverloadPacket
from tests.helpers import leaves

SPACES = (torch, Tensor, F, torch.special, torch.linalg)
METHODS = (type(Tensor.where), type(torch.ones(1).where))
UNTRIED = Effect.DRAWS | Effect.MAY_DRAW | Effect.WRITES_FIRST | Effect.STOPS_GRADIENT | Effect.AUTOGRAD

X = torch.tensor([[0.31, -1.27, 2.23], [1.71, 0.63, -0.52]])
Y = torch.tensor([[0.9, -0.2, 1.4], [-1.1, 2.2, 0.7]])
EDGES = torch.tensor([-1.0, 0.2, 1.1])
# Operands made of x, which is softened on: real numbers, masks, places of numbers, the place of one.
OPERANDS: dict[str, Callable[[Tensor], Any]] = {
    "x": lambda x: x,
    "y": lambda x: Y,
    "mask": lambda x: x > 0,
    "other mask": lambda x: (x * Y) > 0.3,
    "places": lambda x: x.argsort(1),
    "place": lambda x: x.argmax(1),
    "edges": lambda x: EDGES,
}
CALLS: tuple[tuple[Any, ...], ...] = (
    ("x",), ("mask",), ("x", "y"), ("mask", "other mask"), ("x", 0.37), ("x", 1), ("mask", "x", "y"),
    ("x", "mask", "y"),
    ("y", "mask", "x"), ("x", "mask"), ("mask", "x"), ("x", "mask", 0.0), ("y", "mask"), ("y", 1, "places"),
    ("y", "places", 1),
    ("y", 1, "place"), ("place", "y"), ("place", 3), ("y", "place"), ("edges", "x"), ("x", "edges"), ("x", 0.3, 1),
    ("x", -0.5, 0.5), ("x", 2, 1), ("x", "y", 0.5), ("x", (1, 0)), ("x", (3, 2)), ("x", 3, -1.0, 1.0),
    ("places", 1), ("y", 1, "places", "x"), ("y", 1, "places", 1.0),
)  # fmt: skip
# Calls that have no limit, by their first operand, which is not sorted. A cast to bytes wraps around.
NO_LIMIT = {
    ("searchsorted", "x"),
    ("searchsorted", "mask"),
    ("searchsorted", "y"),
    ("searchsorted", "place"),
    ("bucketize", "y"),
}
# The logarithm of an impossible event is its guard's; a sign bit, a step and a difference of bools have no real limit.
OF_BOOLS = {"heaviside", "copysign", "diff", "log"}

OPERATIONS = [
    operation
    for operation in INDEX
    if (rule := rule_of(operation)) is not None and rule.barrier is None and not operation.effect & UNTRIED
]


def functions(operation: Operation) -> list[Callable[..., Any]]:
    """The functions and methods that spell an operation, out of place."""
    names = [name for name in (operation.name, *operation.spellings) if "." not in name and name != "byte"]
    found = [getattr(space, name, None) for name in names for space in SPACES]
    return list(dict.fromkeys(function for function in found if callable(function)))


def signatures(function: Callable[..., Any]) -> Iterator[list[str]]:
    """The names of a function's arguments, of each overload, as torch declares them."""
    try:
        parameters = inspect.signature(function).parameters.values()
        yield [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    except (ValueError, TypeError):
        pass
    packet = getattr(torch.ops.aten, getattr(function, "__name__", ""), None)
    for overload in packet.overloads() if isinstance(packet, OpOverloadPacket) else ():
        arguments = getattr(packet, overload)._schema.arguments
        names = [argument.name for argument in arguments if not argument.is_out]
        if isinstance(function, METHODS):
            yield ["self", *(name for name in names if name != "self")]
        else:
            yield ["input" if name == "self" else name for name in names]


def forms(function: Callable[..., Any], count: int) -> Iterator[tuple[int, list[str]]]:
    """How a call of `count` operands may be written: so many by position, the others by these names."""
    yield count, []
    seen: list[list[str]] = []
    for names in signatures(function):
        if len(names) >= count and names[:count] not in seen:
            seen.append(names[:count])
            for given in {1 if isinstance(function, METHODS) else 0, count - 1}:
                yield given, names[given:count]


def accepted(operation: Operation) -> Iterator[tuple[str, Callable[[Tensor], Any], Any]]:
    """The calls of the list that torch accepts, with torch's results."""
    for function in functions(operation):
        tried = 0
        for call in CALLS:
            if (operation.name, call[0]) in NO_LIMIT or (operation.name in OF_BOOLS and call[0] == "mask"):
                continue
            results = [
                found for given, names in forms(function, len(call)) if (found := _called(function, call, given, names))
            ]
            yield from results
            tried += bool(results)
            if tried == 3:
                break


def _called(function: Callable[..., Any], call: tuple[Any, ...], given: int, names: list[str]) -> Any:
    def program(x: Tensor) -> Any:
        values = [OPERANDS[word](x * 1) if isinstance(word, str) else word for word in call]
        return function(*values[:given], **dict(zip(names, values[given:], strict=True)))

    try:
        result = program(X)
    except (TypeError, RuntimeError, ValueError, IndexError, AssertionError, AttributeError):
        return None
    tensors = [leaf for leaf in leaves(result) if isinstance(leaf, Tensor)]
    spelled = f"{getattr(function, '__qualname__', function)}{call}, by keyword: {names}"
    return (spelled, program, tensors) if tensors else None


@pytest.mark.filterwarnings("ignore")  # of old arguments that torch still takes, which are tried as well
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_each_spelling_binds_its_operands_as_torch_does(operation: Operation) -> None:
    policy = {"preset": "smooth", "default": {"softness": 1e-5}}
    for spelled, program, expected in accepted(operation):
        soft = softfx.soften(program, policy, example_inputs=(X,), executor="eager")
        for got, hard in zip(leaves(soft(X)), expected, strict=True):
            # At this softness a probability is within 1e-4 of 0 or 1 half a softness-width away from a tie, and the
            # numbers are below 10.
            close = torch.allclose(got.double(), hard.double(), atol=1e-2, rtol=1e-2, equal_nan=True)
            assert close, f"{spelled}: {got} for {hard}"


def gradient_of(program: Callable[[Tensor], Tensor]) -> Tensor:
    soft = softfx.soften(program, example_inputs=(X,))
    x = X.clone().requires_grad_()
    found: Tensor = torch.autograd.grad(soft(x).sum(), x)[0]
    return found


SELECTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "method": lambda x: x.where(x > 0, Y),
    "method, by keyword": lambda x: x.where(condition=x > 0, other=Y),
    "method, one by keyword": lambda x: x.where(x > 0, other=Y),
    "function, by keyword": lambda x: torch.where(condition=x > 0, input=x, other=Y),
    "function, exchanged keywords": lambda x: torch.where(other=Y, input=x, condition=x > 0),
}


@pytest.mark.parametrize("program", SELECTIONS.values(), ids=SELECTIONS)
def test_the_gradient_of_each_spelling_of_where_is_the_functions(program: Callable[[Tensor], Tensor]) -> None:
    torch.testing.assert_close(gradient_of(program), gradient_of(lambda x: torch.where(x > 0, x, Y)))


ROWS: dict[str, Callable[[Tensor], Tensor]] = {
    "function": lambda x: torch.masked_select(x, x > 0).sum(),
    "method": lambda x: x.masked_select(x > 0).sum(),
    "function, by keyword": lambda x: torch.masked_select(input=x, mask=x > 0).sum(),
    "method, by keyword": lambda x: x.masked_select(mask=x > 0).sum(),
}


@pytest.mark.parametrize("program", ROWS.values(), ids=ROWS)
def test_the_gradient_of_each_spelling_of_masked_select_is_that_of_the_rows(
    program: Callable[[Tensor], Tensor],
) -> None:
    torch.testing.assert_close(gradient_of(program), gradient_of(lambda x: x[x > 0].sum()))


POWERS: dict[str, Callable[[Tensor], Tensor]] = {
    "method": lambda x: x[x > 0].pow(exponent=2).sum(),
    "function": lambda x: torch.pow(x[x > 0], exponent=2).sum(),
}


@pytest.mark.parametrize("program", POWERS.values(), ids=POWERS)
def test_rows_take_an_operand_by_its_own_name(program: Callable[[Tensor], Tensor]) -> None:
    torch.testing.assert_close(gradient_of(program), gradient_of(lambda x: (x[x > 0] ** 2).sum()))


BY_NAME: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "reshape": (lambda x: torch.reshape(shape=(3, 2), input=x * 1), lambda x: torch.reshape(x * 1, (3, 2))),
    "stack": (lambda x: torch.stack(tensors=[x], dim=1), lambda x: torch.stack([x], dim=1)),
    "clone": (lambda x: torch.clone(input=x), torch.clone),
    "searchsorted": (
        lambda x: torch.searchsorted(input=x, sorted_sequence=EDGES),
        lambda x: torch.searchsorted(EDGES, x),
    ),
    "gt": (lambda x: torch.gt(other=Y, input=x), lambda x: torch.gt(x, Y)),
    "relu": (lambda x: F.relu(input=x.round(), inplace=True), lambda x: F.relu(x.round(), inplace=True)),
}


@pytest.mark.parametrize("executor", ["graph", "eager"])
@pytest.mark.parametrize(("by_name", "by_place"), BY_NAME.values(), ids=BY_NAME)
def test_a_call_by_names_alone_is_that_by_places(
    by_name: Callable[[Tensor], Tensor], by_place: Callable[[Tensor], Tensor], executor: str
) -> None:
    def run(program: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, list[tuple[str, str]]]:
        soft = softfx.soften(lambda x: program(x) * 1.0, "smooth", example_inputs=(X,), executor=executor)
        x = X.clone().requires_grad_()
        value = soft(x)
        return value, *torch.autograd.grad(value.sum(), x), [(site.op, site.action) for site in soft.report.sites]

    for got, want in zip(run(by_name), run(by_place), strict=True):
        assert torch.equal(got, want) if isinstance(got, Tensor) else got == want
