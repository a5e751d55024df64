"""Whole numbers and constants: what the records say of results, held against torch on examples."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softfx import ops
from softfx.ops.integrality import fill_value, is_integral
from softfx.ops.operation import Integral, Operation
from softfx.ops.spelling import INDEX
from softfx.ops.trees import tensors_in

RECORDS = {record.name: record for record in INDEX if record.integral is not Integral.NEVER}

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def call(*args: Any, **kwargs: Any) -> Arguments:
    return args, kwargs


PLACES = torch.tensor([[0, 1, 2, 3], [3, 3, 0, 0], [1, 0, 1, 0]])
COLUMNS = torch.tensor([2, 0])
UNARY = (
    "neg abs relu clone contiguous cpu requires_grad_ resolve_neg resolve_conj positive detach alias flatten squeeze t "
    "adjoint fliplr flipud rot90 ravel diagonal atleast_1d atleast_2d atleast_3d tril triu sum prod any all argmax "
    "argmin max min aminmax amax amin sort msort argsort median unique count_nonzero diff round floor ceil trunc sign "
    "unbind T mT H mH data zeros_like ones_like square relu6 hardtanh hardshrink"
)
BINARY = (
    "add sub mul rsub copysign minimum maximum remainder fmod floor_divide trunc_divide view_as reshape_as expand_as"
)
WITH_NUMBER = "add sub mul rsub remainder fmod floor_divide trunc_divide clamp clamp_min clamp_max fill full_like"
LISTS = "cat stack hstack vstack"

# Calls of each operation: of tensors x and y (3, 4) and a number n.
CALLS: dict[str, list[Callable[[Tensor, Tensor, float], Arguments]]] = {
    name: [
        *[lambda x, y, n: call(x)] * (name in UNARY.split()),
        *[lambda x, y, n: call(x, y)] * (name in BINARY.split()),
        *[lambda x, y, n: call(x, n)] * (name in WITH_NUMBER.split()),
        *[lambda x, y, n: call([x, y])] * (name in LISTS.split()),
    ]
    for name in f"{UNARY} {BINARY} {WITH_NUMBER} {LISTS}".split()
}
CALLS["add"].append(lambda x, y, n: call(x, y, alpha=n))
CALLS["sub"].append(lambda x, y, n: call(x, y, alpha=n))
CALLS["round"].append(lambda x, y, n: call(x / 4, decimals=1))
CALLS["clamp"].append(lambda x, y, n: call(x, min=y, max=y + n))
CALLS["hardtanh"].append(lambda x, y, n: call(x, n - 1, n))
CALLS |= {
    "threshold": [lambda x, y, n: call(x, 1, n)],
    "cast": [lambda x, y, n: call(x, torch.float32), lambda x, y, n: call(x, torch.int64)],
    "reshape": [lambda x, y, n: call(x, (12,))],
    "view": [lambda x, y, n: call(x, 2, 6)],
    "expand": [lambda x, y, n: call(x, 2, 3, 4)],
    "broadcast_to": [lambda x, y, n: call(x, (2, 3, 4))],
    "broadcast_tensors": [lambda x, y, n: call(x, y)],
    "unflatten": [lambda x, y, n: call(x, 1, (2, 2))],
    "unsqueeze": [lambda x, y, n: call(x, 1)],
    "permute": [lambda x, y, n: call(x, (1, 0))],
    "transpose": [lambda x, y, n: call(x, 0, 1)],
    "movedim": [lambda x, y, n: call(x, 0, 1)],
    "repeat": [lambda x, y, n: call(x, 2, 1)],
    "tile": [lambda x, y, n: call(x, (2, 1))],
    "narrow": [lambda x, y, n: call(x, 1, 1, 2)],
    "select": [lambda x, y, n: call(x, 1, 2)],
    "split": [lambda x, y, n: call(x, 2)],
    "split_with_sizes": [lambda x, y, n: call(x, [1, 2])],
    "unsafe_split": [lambda x, y, n: call(x, 2)],
    "chunk": [lambda x, y, n: call(x, 2)],
    "unsafe_chunk": [lambda x, y, n: call(x, 2)],
    "tensor_split": [lambda x, y, n: call(x, 2)],
    "hsplit": [lambda x, y, n: call(x, 2)],
    "vsplit": [lambda x, y, n: call(x, 3)],
    "unfold": [lambda x, y, n: call(x[None, None], 2)],
    "flip": [lambda x, y, n: call(x, (0,))],
    "roll": [lambda x, y, n: call(x, 1)],
    "pad": [lambda x, y, n: call(x, (1, 1)), lambda x, y, n: call(x, (1, 1), value=n)],
    "repeat_interleave": [lambda x, y, n: call(x, 2)],
    "matmul": [lambda x, y, n: call(x, y.T)],
    "einsum": [lambda x, y, n: call("ij,ij->i", x, y)],
    "cumsum": [lambda x, y, n: call(x, 1)],
    "cumprod": [lambda x, y, n: call(x, 1)],
    "topk": [lambda x, y, n: call(x, 2)],
    "kthvalue": [lambda x, y, n: call(x, 2)],
    "cummax": [lambda x, y, n: call(x, 1)],
    "cummin": [lambda x, y, n: call(x, 1)],
    "max_pool1d": [lambda x, y, n: call(x, 2)],
    "max_pool2d": [lambda x, y, n: call(x[None], 2, padding=1)],
    "max_pool3d": [lambda x, y, n: call(x[None, None], (1, 2, 2))],
    "adaptive_max_pool1d": [lambda x, y, n: call(x, 2)],
    "adaptive_max_pool2d": [lambda x, y, n: call(x[None], (2, 2))],
    "adaptive_max_pool3d": [lambda x, y, n: call(x[None, None], (1, 2, 2))],
    "pow": [lambda x, y, n: call(x, n), lambda x, y, n: call(x, exponent=2), lambda x, y, n: call(n, x)],
    "addcmul": [lambda x, y, n: call(x, x, y), lambda x, y, n: call(x, x, y, value=n)],
    "nan_to_num": [lambda x, y, n: call(x), lambda x, y, n: call(x, n)],
    "linear": [lambda x, y, n: call(x, y), lambda x, y, n: call(x, y, y[:, 0])],
    "outer": [lambda x, y, n: call(x[0], y[0])],
    "inner": [lambda x, y, n: call(x, y)],
    "vdot": [lambda x, y, n: call(x[0], y[0])],
    "vecdot": [lambda x, y, n: call(x[0], y[0])],
    "tensordot": [lambda x, y, n: call(x, y.T, 1)],
    "kron": [lambda x, y, n: call(x, y)],
    "cross": [lambda x, y, n: call(x, y, dim=0)],
    "trace": [lambda x, y, n: call(x)],
    "addmm": [lambda x, y, n: call(x[:, :3], x, y.T), lambda x, y, n: call(x[:, :3], x, y.T, beta=n)],
    "addmv": [lambda x, y, n: call(x[:, 0], x, y[0])],
    "addr": [lambda x, y, n: call(x, x[:, 0], y[0])],
    "addbmm": [lambda x, y, n: call(x[:, :3], x[None], y.T[None])],
    "baddbmm": [lambda x, y, n: call(x[None, :, :3], x[None], y.T[None], alpha=n)],
    "conv1d": [lambda x, y, n: call(x[None], y[None, :, :2], padding=1)],
    "conv2d": [lambda x, y, n: call(x[None, None], y[None, None], padding=1)],
    "conv3d": [lambda x, y, n: call(x[None, None, None], y[None, None, None])],
    "conv_transpose1d": [lambda x, y, n: call(x[None], y[:, None, :2])],
    "conv_transpose2d": [lambda x, y, n: call(x[None, None], y[None, None])],
    "conv_transpose3d": [lambda x, y, n: call(x[None, None, None], y[None, None, None])],
    "avg_pool2d": [
        lambda x, y, n: call(x[None], 2, divisor_override=1),
        lambda x, y, n: call(x[None], 2, divisor_override=2),
        lambda x, y, n: call(x[None], 2, None, 0, False, True, 1),
        lambda x, y, n: call(x[None], 2),
    ],
    "avg_pool3d": [
        lambda x, y, n: call(x[None, None], (1, 2, 2), divisor_override=1),
        lambda x, y, n: call(x[None, None], (1, 2, 2)),
    ],
    "histc": [lambda x, y, n: call(x, 3, -5, 5)],
    "bincount": [
        lambda x, y, n: call(PLACES.flatten()),
        lambda x, y, n: call(PLACES.flatten(), y.flatten()),
    ],
    "scatter_reduce": [
        lambda x, y, n, word=word: call(x, 1, PLACES, y, word) for word in ("sum", "mean", "amax", "amin", "prod")
    ],
    "interpolate": [
        lambda x, y, n: call(x[None], scale_factor=2),
        lambda x, y, n: call(x[None], scale_factor=2, mode="linear"),
        lambda x, y, n: call(x[None], 3, None, "area"),
        lambda x, y, n: call(x[None], 3, mode="nearest-exact"),
    ],
    "pixel_shuffle": [lambda x, y, n: call(x.reshape(4, 3, 1), 2)],
    "pixel_unshuffle": [lambda x, y, n: call(x.reshape(1, 2, 6), 2)],
    "channel_shuffle": [lambda x, y, n: call(x.reshape(1, 4, 3, 1), 2)],
    "diag": [lambda x, y, n: call(x)],
    "diag_embed": [lambda x, y, n: call(x)],
    "diagflat": [lambda x, y, n: call(x)],
    "column_stack": [lambda x, y, n: call([x, y])],
    "dstack": [lambda x, y, n: call([x, y])],
    "block_diag": [lambda x, y, n: call(x, y)],
    "meshgrid": [lambda x, y, n: call(x[0], y[0], indexing="ij")],
    "searchsorted": [lambda x, y, n: call(x.sort().values, y)],
    "bucketize": [lambda x, y, n: call(x, torch.tensor([-1.0, 0.5]))],
    "where": [lambda x, y, n: call(x > 0, x, y), lambda x, y, n: call(x > 0, x, n)],
    "masked_fill": [lambda x, y, n: call(x, x > 0, n), lambda x, y, n: call(x, x > 0, y[0, 0])],
    "gather": [lambda x, y, n: call(x, 1, PLACES)],
    "take_along_dim": [lambda x, y, n: call(x, PLACES, 1)],
    "take": [lambda x, y, n: call(x, PLACES)],
    "index_select": [lambda x, y, n: call(x, 1, COLUMNS)],
    "embedding": [lambda x, y, n: call(COLUMNS, x)],
    "getitem": [lambda x, y, n: call(x, (slice(None), 1)), lambda x, y, n: call(x, x > 0)],
    "unravel_index": [lambda x, y, n: call(PLACES, (2, 2))],
    "one_hot": [lambda x, y, n: call(PLACES, 4)],
    "scatter": [lambda x, y, n: call(x, 1, PLACES, y), lambda x, y, n: call(x, 1, PLACES, n)],
    "scatter_add": [lambda x, y, n: call(x, 1, PLACES, y)],
    "index_add": [lambda x, y, n: call(x, 1, COLUMNS, y[:, :2], alpha=n)],
    "index_copy": [lambda x, y, n: call(x, 1, COLUMNS, y[:, :2])],
    "index_fill": [lambda x, y, n: call(x, 1, COLUMNS, n)],
    "masked_scatter": [lambda x, y, n: call(x, x > 0, y)],
    "index_put": [lambda x, y, n: call(x, (COLUMNS,), y[:2]), lambda x, y, n: call(x, (COLUMNS,), y[:2], True)],
    "setitem": [lambda x, y, n: call(x, 0, n), lambda x, y, n: call(x, x > 0, y[0, 0])],
    "copy_": [lambda x, y, n: call(x, y)],
    "zero_": [lambda x, y, n: call(x)],
    "zeros": [lambda x, y, n: call((2, 3))],
    "ones": [lambda x, y, n: call((2, 3))],
    "eye": [lambda x, y, n: call(3)],
    "arange": [lambda x, y, n: call(abs(n)), lambda x, y, n: call(0, 3, abs(n) or 1)],
    "full": [lambda x, y, n: call((2, 3), n)],
    "new_zeros": [lambda x, y, n: call(x, (2, 3))],
    "new_ones": [lambda x, y, n: call(x, (2, 3))],
    "new_full": [lambda x, y, n: call(x, (2, 3), n)],
}
ELSEWHERE = {"cuda", "pin_memory"}  # they need an accelerator

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "cast": Tensor.to,
    "embedding": F.embedding,  # torch.embedding has the table first
    "alias": torch.ops.aten.alias.default,
    "trunc_divide": functools.partial(torch.div, rounding_mode="trunc"),
    "getitem": operator.getitem,
    "setitem": operator.setitem,
    **{name: operator.attrgetter(name) for name in ("T", "mT", "H", "mH", "data")},
}

NUMBERS = st.sampled_from([-2, -1, 0, 1, 3, 2.0, 0.5, -1.5])
ENTRIES = st.lists(st.sampled_from([-3.0, -1.0, 0.0, 2.0, 3.0, 7.0]), min_size=12, max_size=12)
SHIFTS = st.sampled_from([0.0, 0.0, 0.5, 0.25])


def is_whole(tensor: Tensor) -> bool:
    """All finite elements are integers."""
    return not tensor.is_floating_point() or bool((tensor.frac().nan_to_num(0.0) == 0).all())


def outcome(record: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors that a call returns, or that it writes where it returns nothing."""
    function = FUNCTIONS.get(record.name) or record.function
    result = function(*args, **kwargs)
    return tensors_in(args[0] if result is None else result)


def test_every_operation_that_may_give_whole_numbers_is_tried() -> None:
    assert set(CALLS) | ELSEWHERE == set(RECORDS)


@pytest.mark.parametrize("name", sorted(CALLS))
@settings(max_examples=10, deadline=None)
@given(entries=ENTRIES, others=ENTRIES, x_shift=SHIFTS, y_shift=SHIFTS, number=NUMBERS)
def test_results_that_are_said_to_be_whole_are_whole(
    name: str, entries: list[float], others: list[float], x_shift: float, y_shift: float, number: float
) -> None:
    record = RECORDS[name]
    for arguments in CALLS[name]:
        x = torch.tensor(entries, dtype=torch.float64).reshape(3, 4) + x_shift
        y = torch.tensor(others, dtype=torch.float64).reshape(3, 4) + y_shift
        args, kwargs = arguments(x, y, number)
        said = is_integral(record, args, kwargs, [is_whole(tensor) for tensor in tensors_in((args, kwargs))])
        if said:
            assert all(is_whole(tensor) for tensor in outcome(record, args, kwargs))


@pytest.mark.parametrize("name", sorted(CALLS))
def test_results_of_whole_numbers_alone_are_said_to_be_whole(name: str) -> None:
    """So that the law above is not kept by saying nothing."""
    args, kwargs = CALLS[name][0](torch.ones(3, 4), torch.ones(3, 4), 2)
    operands = tensors_in((args, kwargs))
    assert is_integral(RECORDS[name], args, kwargs, [True] * len(operands))


# -- constants ---------------------------------------------------------------------------------------------------------

# Calls on a constant x (3, 4) and a number n; the results are filled with the one or the other.
FILLING: dict[str, Callable[[Tensor, float], Arguments]] = {
    "full": lambda x, n: call((2, 3), n),
    "full_like": lambda x, n: call(x, n),
    "new_full": lambda x, n: call(x, (2, 3), n),
    "tensor": lambda x, n: call(n),
    "scalar_tensor": lambda x, n: call(n),
    "cast": lambda x, n: call(x, torch.float32),
    "clone": lambda x, n: call(x),
    "reshape": lambda x, n: call(x, (12,)),
    "view": lambda x, n: call(x, 2, 6),
    "expand_as": lambda x, n: call(x, torch.zeros(2, 3, 4)),
    "expand": lambda x, n: call(x, 2, 3, 4),
    "squeeze": lambda x, n: call(x),
    "unsqueeze": lambda x, n: call(x, 1),
    "repeat": lambda x, n: call(x, 2, 1),
}


def test_every_operation_that_fills_its_result_is_tried() -> None:
    assert set(FILLING) == {record.name for record in INDEX if record.fills is not None or record.keeps_fill}


@pytest.mark.parametrize("name", FILLING)
@pytest.mark.parametrize("number", [2, 0, -1.5, 0.25, True])
def test_results_that_are_said_to_be_constant_are(name: str, number: float) -> None:
    record = INDEX.named(name)
    args, kwargs = FILLING[name](torch.full((3, 4), number, dtype=torch.float64), number)
    said = fill_value(record, args, kwargs, [float(number), None][: len(tensors_in(args))])
    assert said == float(number)
    assert all((tensor == said).all() for tensor in outcome(record, args, kwargs))


@pytest.mark.parametrize(
    ("record", "args", "fills"),
    [
        (ops.add, (torch.ones(2), 1.0), [1.0]),
        (ops.full, ((2,), torch.tensor(3.0)), [None]),
        (ops.tensor, ([1.0, 2.0],), []),
        (ops.clone, (torch.arange(2),), [None]),
        (ops.zeros, ((2,),), []),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_of_other_results_no_constant_is_known(
    record: Operation, args: tuple[Any, ...], fills: list[float | None]
) -> None:
    assert fill_value(record, args, {}, fills) is None


def test_a_fill_that_is_given_by_keyword_is_known() -> None:
    assert fill_value(ops.full, ((2,),), {"fill_value": 3}, []) == 3.0
    assert fill_value(ops.full_like, (torch.ones(2),), {"fill_value": 0.5}, [1.0]) == 0.5
