"""Operations that are said to be linear are: half way between two operands they are half way between two results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from softfx.ops.operation import Linear
from softfx.ops.spelling import INDEX
from tests.softfx.ops.test_integrality import CALLS, Arguments, call, outcome

RECORDS = {record.name: record for record in INDEX if record.linear is not Linear.NO}
MORE: dict[str, list[Callable[[Tensor, Tensor, float], Arguments]]] = {
    "mean": [lambda x, y, n: call(x), lambda x, y, n: call(x, 1)],
    "div": [lambda x, y, n: call(x, y), lambda x, y, n: call(x, n)],
}


def half_way(a: Tensor, b: Tensor) -> Tensor:
    return (a + b) / 2


@pytest.mark.parametrize("name", RECORDS)
def test_what_is_said_to_be_linear_is(name: str) -> None:
    record, generator = RECORDS[name], torch.Generator().manual_seed(0)
    x, other_x, y, other_y = torch.randn(4, 3, 4, generator=generator, dtype=torch.float64)

    def given(make: Any, x: Tensor, y: Tensor) -> list[Tensor]:
        args, kwargs = make(x, y, 3)
        return outcome(record, args, kwargs)

    for make in MORE.get(name) or CALLS[name]:
        moves = {"x": (x, other_x, y, y), "y": (x, x, y, other_y), "both": (x, other_x, y, other_y)}
        due = {Linear.JOINTLY: ("x", "y", "both"), Linear.EACH: ("x", "y"), Linear.FIRST: ("x",)}[record.linear]
        for one, other, first, second in (moves[kind] for kind in due):
            middle = given(make, half_way(one, other), half_way(first, second))
            ends = zip(given(make, one, first), given(make, other, second), strict=True)
            torch.testing.assert_close(middle, [half_way(a, b) for a, b in ends])


def test_a_product_and_a_quotient_are_not_linear_in_all_operands() -> None:
    assert {record.linear for record in RECORDS.values()} == set(Linear) - {Linear.NO}
    assert RECORDS["mul"].linear is Linear.EACH and RECORDS["div"].linear is Linear.FIRST
