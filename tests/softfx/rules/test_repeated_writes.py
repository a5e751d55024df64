"""Writes at places that are named twice: as softness goes to 0 the value is the program's, and nothing adds up."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from tests.helpers import EXECUTORS

X = torch.tensor([1.3, -2.2, 0.6, -0.3])


def assigned(x: Tensor) -> Tensor:
    y = torch.zeros(5)
    y[(x.abs() * 0.4).round().long()] = 1.0
    return y


def truncated(x: Tensor) -> Tensor:
    y = torch.zeros(5)
    y[x.abs().long()] = 1.0
    return y


def rows(x: Tensor) -> Tensor:
    y = torch.zeros(5, 3)
    y[(x.abs() * 0.4).round().long()] = torch.tensor([1.0, 2.0, 3.0])
    return y


PROGRAMS: dict[str, Callable[[Tensor], Tensor]] = {
    "setitem": assigned,
    "of truncated numbers": truncated,
    "rows": rows,
    "index_fill": lambda x: torch.zeros(5).index_fill(0, x.abs().round().long(), 2.0),
    "scatter": lambda x: torch.zeros(5).scatter(0, (x.abs() * 0.3).round().long(), 1.0),
    "index_put": lambda x: torch.zeros(5).index_put((x.abs().round().long(),), torch.tensor(3.0)),
    "index_copy": lambda x: torch.zeros(5).index_copy(0, x.abs().round().long(), torch.full((4,), 2.0)),
    "accumulate": lambda x: torch.zeros(5).index_put((x.abs().round().long(),), torch.ones(4), accumulate=True),
    "scatter_add": lambda x: torch.zeros(5).scatter_add(0, x.abs().round().long(), torch.ones(4)),
}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_the_limit_of_a_repeated_write_is_the_program(program: Callable[[Tensor], Tensor], executor: str) -> None:
    policy = {"preset": "smooth", "default": {"softness": 1e-6}}
    soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor)
    assert torch.allclose(soft(X), program(X), atol=1e-3)


def test_an_index_of_another_dtype_writes_in_the_dtype_of_its_target() -> None:
    def program(y: Tensor, x: Tensor) -> Tensor:
        y = y * 1
        y[x.argmax(-1)] += 1.0
        return y

    y, x = torch.randn(3, 4, dtype=torch.bfloat16), torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    out = softfx.soften(program, example_inputs=(y, x))(y, x)
    assert torch.equal(out, program(y, x)) and out.dtype == torch.bfloat16
    assert torch.autograd.grad(out.sum(), x)[0].isfinite().all()
