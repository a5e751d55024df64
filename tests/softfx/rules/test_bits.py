"""Bitwise algebra of soft integers, in each type that holds them, and what leaves the range of such a type."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from tests.helpers import EXECUTORS, gradient

TINY = {"preset": "smooth", "default": {"softness": 1e-5, "mode": "smooth"}}
X = torch.tensor([0.3, 1.9, 0.7, 1.2, 1.45, 0.05])
KNOWN = torch.tensor([0, 1, 3, 4, 65, 255], dtype=torch.uint8)

OF_INTEGERS: dict[str, Callable[[Tensor], Tensor]] = {
    "or": lambda q: q | 64,
    "and": lambda q: q & 3,
    "xor": lambda q: q ^ 5,
    "not": lambda q: ~q,
    "by name": lambda q: torch.bitwise_or(q, KNOWN[:1].to(q.dtype)),
    "with other integers": lambda q: q | KNOWN.clamp(max=100).to(q.dtype),
    "of two": lambda q: q | q.flip(0),
    "shifted": lambda q: (q << 3) >> 1,
    "shifted out": lambda q: q << 6,
    "packed": lambda q: q[::2] | (q[1::2] << 4),
    "unpacked": lambda q: torch.stack([q & 1, (q >> 1) & 1, (q >> 2) & 1]),
}


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32, torch.int64])
@pytest.mark.parametrize("name", OF_INTEGERS)
def test_bits_of_rounded_numbers_tend_to_the_program(name: str, dtype: torch.dtype) -> None:
    def program(x: Tensor) -> Tensor:
        return OF_INTEGERS[name]((x * 3).round().to(dtype)).float()

    soft = softfx.soften(program, TINY, example_inputs=(X,))
    torch.testing.assert_close(soft(X), program(X), rtol=0, atol=1e-3)
    hard = softfx.soften(program, "straight-through", example_inputs=(X,))
    assert torch.equal(hard(X), program(X)) and gradient(hard, X).any()


OF_MASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "of two masks": lambda x: (x > 1).byte() & (x < 1.5).byte(),
    "with a mask of bools": lambda x: (x > 1).byte() | (KNOWN > 3),
    "with other numbers": lambda x: (x > 1).byte() & KNOWN,
    "with a number": lambda x: (x > 1).byte() | 64,
    "without": lambda x: ~(x > 1).byte(),
    "as a mask again": lambda x: ((x > 1).byte() & KNOWN.clamp(max=1)).bool() * x,
    "by truth": lambda x: torch.logical_and((x * 3).round().byte(), (x > 0.2).byte()),
}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", OF_MASKS)
def test_bits_of_masks_tend_to_the_program(name: str, executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        return OF_MASKS[name](x).float()

    soft = softfx.soften(program, TINY, example_inputs=(X,), executor=executor)
    torch.testing.assert_close(soft(X), program(X), rtol=0, atol=1e-3)
    hard = softfx.soften(program, "straight-through", example_inputs=(X,), executor=executor)
    assert torch.equal(hard(X), program(X)) and gradient(hard, X).any()


BEYOND: dict[str, Callable[[Tensor], Tensor]] = {
    "product": lambda q: q * 100,
    "difference": lambda q: q - 130,
    "negative": lambda q: -q,
    "power": lambda q: (q + 14) ** 2,
    "quotient": lambda q: (q - 3) // 2,
    "sum": lambda q: (q * 60).sum(dtype=q.dtype),
    "running sum": lambda q: (q * 60).cumsum(0, dtype=q.dtype),
    "cast": lambda q: (q.long() * 300).to(q.dtype),
    "written": lambda q: q.clone().mul_(90),
}


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8])
@pytest.mark.parametrize("name", BEYOND)
def test_numbers_beyond_a_narrow_type_wrap_around_as_in_the_program(name: str, dtype: torch.dtype) -> None:
    def program(x: Tensor) -> Tensor:
        return BEYOND[name]((x * 3).round().to(dtype)).float()

    soft = softfx.soften(program, TINY, example_inputs=(X,))
    torch.testing.assert_close(soft(X), program(X), rtol=0, atol=1e-2)  # 1e-5 times up to 300
    assert gradient(soft, X).isfinite().all()


def test_a_count_that_fits_its_type_is_the_same_as_in_a_wide_one() -> None:
    """In a narrow type, too, it is known how many bools are counted: a majority is compared exactly."""

    def majority(dtype: torch.dtype) -> Tensor:
        def program(x: Tensor) -> Tensor:
            return ((x > 1).sum(dtype=dtype) > 3).float()

        return softfx.soften(program, {"preset": "smooth", "default": {"softness": 0.5}}, example_inputs=(X,))(X)

    assert torch.equal(majority(torch.uint8), majority(torch.int64))


IMAGE = torch.arange(120.0).square().view(6, 20)
PLACES = torch.tensor([1.2, 3.3, 2.6, 4.9]), torch.tensor([4.3, 0.2, 18.9, 19.2])
OF_DIGITS: dict[str, Callable[[Tensor], Tensor]] = {
    "looked up": lambda i: IMAGE.flatten()[i.long()],
    "apart again": lambda i: IMAGE[(i // 20).long(), (i % 20).long()],
    "in a wider type": lambda i: IMAGE.flatten()[i.to(torch.int16).long() + 0],
}


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16])
@pytest.mark.parametrize("name", OF_DIGITS)
def test_places_made_of_digits_are_the_same_in_a_narrow_type(name: str, dtype: torch.dtype) -> None:
    def softened(dtype: torch.dtype) -> tuple[Tensor, ...]:
        def program(y: Tensor, x: Tensor) -> Tensor:
            return OF_DIGITS[name](y.round().to(dtype) * 20 + x.round().to(dtype))

        soft = softfx.soften(program, {"preset": "smooth", "default": {"softness": 0.3}}, example_inputs=PLACES)
        y, x = (place.clone().requires_grad_() for place in PLACES)
        return torch.autograd.grad(soft(y, x).sum(), (y, x))

    for narrow, wide in zip(softened(dtype), softened(torch.int64), strict=True):
        torch.testing.assert_close(narrow, wide)
        assert wide.any()


WRAPPED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sum": lambda y, x: y * 100 + x,
    "sum, and more": lambda y, x: (y * 100 + x) * 2 - y,
    "in a wider type": lambda y, x: (y * 100 + x).long() * 2 + x,
    "in the other narrow type": lambda y, x: (y * 100 + x).to(torch.int8).to(torch.int16) + 5,
    "quotient": lambda y, x: (y * 100 + x) // 7,
    "remainder": lambda y, x: (y * 100 + x) % 20,
}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8])
@pytest.mark.parametrize("name", WRAPPED)
def test_sums_of_multiples_wrap_around_as_in_the_program(name: str, dtype: torch.dtype, executor: str) -> None:
    def program(y: Tensor, x: Tensor) -> Tensor:
        place = WRAPPED[name](y.round().to(dtype), x.round().to(dtype))
        return torch.linspace(0, 3, 2000)[place.long() + 1000]

    soft = softfx.soften(program, TINY, example_inputs=PLACES, executor=executor)
    torch.testing.assert_close(soft(*PLACES), program(*PLACES), rtol=0, atol=1e-3)
