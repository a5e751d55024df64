"""The largest or smallest of groups by a soft index: values have the program's own derivative, also where they tie."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import softfx
from tests.helpers import EXECUTOR, identical

INF = float("inf")
PLACES = torch.tensor([0.1, 0.2, 1.1, 0.9])
VALUES = {
    "unequal": [1.0, 2.0, 3.0, 4.0],
    "equal": [1.0, 1.0, 3.0, 3.0],
    "equal, below": [-1.0, -1.0, -2.0, -2.0],
    "as large as what was there": [0.0, -1.0, 2.0, 0.0],
    "zeros": [0.0, 0.0, 0.0, 0.0],
    "with an infinity": [-INF, 1.0, 2.0, 2.0],
}


def gradients(function: object, values: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    x, k = values.clone().requires_grad_(), PLACES.clone().requires_grad_()
    found = function(x, k)  # type: ignore[operator]  # a function, or one that is softened
    by_values, by_places = torch.autograd.grad(found @ torch.tensor([1.0, 2.0, 3.0]), (x, k), allow_unused=True)
    return found.detach(), by_values, by_places


@EXECUTOR
@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("reduce", ["amax", "amin"])
@pytest.mark.parametrize("name", VALUES)
def test_values_share_the_derivative_as_in_the_original(
    name: str, reduce: str, include_self: bool, executor: str
) -> None:
    def program(x: Tensor, k: Tensor) -> Tensor:
        found = torch.zeros(3).scatter_reduce(0, k.round().long(), x, reduce, include_self=include_self)
        return torch.where(found.isfinite(), found, 0.0)

    values = torch.tensor(VALUES[name])
    soft = softfx.soften(program, example_inputs=(values, PLACES), executor=executor)
    found, by_values, by_places = gradients(soft, values)
    wanted, own, _ = gradients(program, values)
    assert identical(found, wanted)
    torch.testing.assert_close(by_values, own)
    assert by_places is not None and by_places.isfinite().all()


@pytest.mark.parametrize("policy", ["gradients", "smooth"])
def test_an_empty_index_leaves_what_was_there(policy: str) -> None:
    def program(x: Tensor, k: Tensor) -> Tensor:
        return torch.zeros(3).scatter_reduce(0, k.round().long(), x, "amax", include_self=False) + x.sum()

    empty = torch.zeros(0, requires_grad=True)
    soft = softfx.soften(program, policy, example_inputs=(empty, empty))
    assert torch.equal(soft(empty, empty), torch.zeros(3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_values_of_another_type_and_more_of_them_than_places(dtype: torch.dtype) -> None:
    def program(x: Tensor, k: Tensor) -> Tensor:
        return torch.zeros(3, dtype=dtype).scatter_reduce(0, k.round().long(), x, "amax", include_self=False).float()

    values = torch.tensor([1.0, 1.0, 3.0, 3.0, 9.0], dtype=dtype)
    found, by_values, _ = gradients(softfx.soften(program, example_inputs=(values, PLACES)), values)
    assert torch.equal(found, program(values, PLACES))
    assert by_values.tolist() == [0.5, 0.5, 1.0, 1.0, 0.0]
