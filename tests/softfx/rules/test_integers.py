"""Integers however they came to be: masks put together by arithmetic, and places made of several indices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
import softtorch
from tests.helpers import EXECUTOR, gradient

# At this softness a program is as good as hard, away from ties.
TINY = {"preset": "smooth", "default": {"softness": 1e-5}}
SIGNS = torch.tensor([1.0, -2.0, 0.5, -0.3, 0.8, -1.2])
KNOWN = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 0.0])

# -- masks compared with whole numbers ---------------------------------------------------------------------------------

OF_MASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "times a constant mask": lambda m: (m * KNOWN) > 0,
    "minus a constant mask": lambda m: (m - KNOWN) > 0,
    "a constant made of constants": lambda m: (m - KNOWN * 2 + 1) >= 0,
    "product": lambda m: (m * m.flip(0)) > 0,
    "sum": lambda m: (m + m.flip(0)) > 1,
    "multiple": lambda m: (m * 2 + m.flip(0)) == 2,
    "power": lambda m: m**2 > 0,
    "power by name": lambda m: torch.pow(m, exponent=3) < 1,
    "square": lambda m: m.square() > 0,
    "outer": lambda m: torch.outer(m, m) > 0,
    "inner": lambda m: torch.inner(m, m.flip(0)) > 0,
    "kron": lambda m: torch.kron(m, m) > 0,
    "matmul": lambda m: (m[:, None] @ m[None]) > 0,
    "product with a constant matrix": lambda m: (m @ torch.ones(6, 2)) > 2,
    "linear": lambda m: F.linear(m, torch.ones(2, 6)) > 2,
    "einsum": lambda m: torch.einsum("i,j->ij", m, m) > 0,
    "tensordot": lambda m: torch.tensordot(m, m, 0) > 0,
    "dot": lambda m: torch.dot(m, m.flip(0)) > 0,
    "addcmul": lambda m: torch.addcmul(m, m, KNOWN) > 1,
    "addmm": lambda m: torch.addmm(m, m[:, None], m[None]) > 1,
    "convolution": lambda m: F.conv1d(m[None, None], torch.ones(1, 1, 3), padding=1) >= 2,
    "sum of windows": lambda m: F.avg_pool2d(m.view(1, 2, 3), 2, 1, divisor_override=1) > 2,
    "largest of windows": lambda m: F.max_pool1d(m[None, None], 3, 1, 1) > 0,
    "erosion": lambda m: (1 - F.max_pool1d(1 - m[None, None], 3, 1, 1)) > 0,
    "enlarged": lambda m: F.interpolate(m[None, None], scale_factor=2.0) > 0,
    "padded": lambda m: F.pad(m, (1, 1), value=1.0) > 0,
    "joined": lambda m: torch.cat([m, KNOWN]) > 0,
    "chosen": lambda m: torch.where(m > 0, KNOWN, m) > 0,
    "running sum": lambda m: (m.cumsum(0) * KNOWN) > 1,
    "product along an axis": lambda m: m.view(2, 3).prod(1) > 0,
    "largest": lambda m: m.view(2, 3).max(1).values > 0,
    "smallest": lambda m: m.view(3, 2).amin(1) > 0,
    "sorted": lambda m: m.sort().values > 0,
    "rounded": lambda m: (m @ torch.ones(6)).round() > 2,
    "cast": lambda m: (m @ torch.ones(6)).long() > 2,
    "halved": lambda m: (m @ torch.ones(6)) // 2 > 0,
    "of a count": lambda m: (m.sum() - 3) == 0,
    "of integers": lambda m: torch.outer(m.long(), m.long()) > 0,
}


@EXECUTOR
@pytest.mark.parametrize("name", OF_MASKS)
def test_masks_compared_with_whole_numbers_tend_to_the_hard_bools(name: str, executor: str) -> None:
    def program(x: Tensor) -> Tensor:
        return OF_MASKS[name]((x > 0).float()).float()

    soft = softfx.soften(program, TINY, example_inputs=(SIGNS,), executor=executor, allow_unused=True)
    torch.testing.assert_close(soft(SIGNS), program(SIGNS), rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["times", "eroded"])
def test_a_mask_that_is_given_to_the_call_is_one(name: str) -> None:
    """It is an input in a floating type; what is made of it without a gradient is whole by its elements."""
    combined: Callable[[Tensor, Tensor], Tensor] = {
        "times": lambda m, given: (m * given) > 0,
        "eroded": lambda m, given: (m + given - (1 - F.max_pool1d(1 - given[None], 3, 1, 1)[0])) > 0,
    }[name]

    def program(x: Tensor, given: Tensor) -> Tensor:
        return combined((x > 0).float(), given).float()

    soft = softfx.soften(program, TINY, example_inputs=(SIGNS, KNOWN), allow_unused=True)
    torch.testing.assert_close(soft(SIGNS, KNOWN), program(SIGNS, KNOWN), rtol=0, atol=1e-3)


@EXECUTOR
def test_a_count_without_a_shadow_keeps_its_gradient_on_both_sides(executor: str) -> None:
    """A product by a constant matrix is not made twice: its hard value is compared, and may flip on either side."""

    def hits(x: Tensor) -> Tensor:
        return ((x > 0).float() @ torch.ones(6, 1) > 2).float()

    soft = softfx.soften(hits, example_inputs=(SIGNS,), executor=executor)
    assert soft(SIGNS) == 1
    assert gradient(soft, SIGNS).abs().sum() > 0


# -- one index made of several -----------------------------------------------------------------------------------------

HEIGHT, WIDTH, DEPTH = 4, 5, 3
IMAGE = torch.randn(HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
VOLUME = torch.randn(DEPTH, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
# None of them at an edge, and some near the middle between two pixels.
X, Y, Z = torch.tensor([2.3, 1.1, 3.45, 1.8]), torch.tensor([1.2, 1.55, 2.4, 1.3]), torch.tensor([0.6, 1.2, 1.4, 0.9])
STRIDES = torch.tensor([WIDTH, 1])

Program = Callable[[Tensor, Tensor, Tensor], Tensor]


def rows(y: Tensor) -> Tensor:
    return y.round().long()


def in_place(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    place = rows(y)
    place *= WIDTH
    place += rows(x)
    return IMAGE.flatten()[place]


def parted(apart: Callable[[Tensor], tuple[Tensor, ...]]) -> Program:
    """The image at a place that is taken apart again."""
    return lambda x, y, z: IMAGE[apart(rows(y) * WIDTH + rows(x))]


FLAT: dict[str, Program] = {
    "key": lambda x, y, z: IMAGE.flatten()[rows(y) * WIDTH + rows(x)],
    "terms exchanged": lambda x, y, z: IMAGE.flatten()[rows(x) + WIDTH * rows(y)],
    "alpha": lambda x, y, z: IMAGE.flatten()[torch.add(rows(x), rows(y), alpha=WIDTH)],
    "negative terms": lambda x, y, z: IMAGE.flatten()[rows(y) * WIDTH - (-rows(x))],
    "negated": lambda x, y, z: IMAGE.flatten()[-(-(rows(y) * WIDTH) - rows(x))],
    "offset": lambda x, y, z: IMAGE.flatten()[(rows(y) + 1) * WIDTH + rows(x) - WIDTH],
    "from the end": lambda x, y, z: IMAGE.flatten()[rows(y) * WIDTH + rows(x) - HEIGHT * WIDTH],
    "flipped": lambda x, y, z: IMAGE.flip(1).flatten()[rows(y) * WIDTH + (WIDTH - 1 - rows(x))],
    "columns first": lambda x, y, z: IMAGE.T.reshape(-1)[rows(x) * HEIGHT + rows(y)],
    "tensor of the width": lambda x, y, z: IMAGE.flatten()[rows(y) * torch.tensor(WIDTH) + rows(x)],
    "floating type": lambda x, y, z: IMAGE.flatten()[(y.round() * WIDTH + x.round()).long()],
    "floors": lambda x, y, z: IMAGE.flatten()[((y + 0.5).floor() * WIDTH + (x + 0.5).floor()).to(torch.int64)],
    "in place": in_place,
    "take": lambda x, y, z: IMAGE.take(rows(y) * WIDTH + rows(x)),
    "gather": lambda x, y, z: IMAGE.flatten().gather(0, rows(y) * WIDTH + rows(x)),
    "index_select": lambda x, y, z: IMAGE.flatten().index_select(0, rows(y) * WIDTH + rows(x)),
    "embedding": lambda x, y, z: F.embedding(rows(y) * WIDTH + rows(x), IMAGE.view(-1, 1))[:, 0],
    "one_hot": lambda x, y, z: F.one_hot(rows(y) * WIDTH + rows(x), HEIGHT * WIDTH).float() @ IMAGE.flatten(),
    "moved": lambda x, y, z: IMAGE.flatten()[(rows(y) * WIDTH + rows(x)).view(2, 2).T].T.reshape(-1),
    "joined": lambda x, y, z: IMAGE.flatten()[
        torch.cat([(rows(y) * WIDTH + rows(x))[:1], (rows(y) * WIDTH + rows(x))[1:]])
    ],
    "chosen": lambda x, y, z: IMAGE.flatten()[torch.where(y > -9, rows(y) * WIDTH + rows(x), 0)],
    "clamped": lambda x, y, z: IMAGE.flatten()[(rows(y) * WIDTH + rows(x)).clamp(0, HEIGHT * WIDTH - 1)],
    "strides": lambda x, y, z: IMAGE.flatten()[(torch.stack([y, x], -1).round().long() * STRIDES).sum(-1)],
    "product with strides": lambda x, y, z: IMAGE.flatten()[torch.stack([y, x], -1).round().long() @ STRIDES],
    "divided": parted(lambda i: (i // WIDTH, i % WIDTH)),
    "div": parted(lambda i: (torch.div(i, WIDTH, rounding_mode="floor"), torch.remainder(i, WIDTH))),
    "div by trunc": parted(lambda i: (torch.div(i, WIDTH, rounding_mode="trunc"), torch.fmod(i, WIDTH))),
    "unravel_index": parted(lambda i: tuple(torch.unravel_index(i, (HEIGHT, WIDTH)))),
}
SOLID: dict[str, Program] = {
    "nested": lambda x, y, z: VOLUME.flatten()[(rows(z) * HEIGHT + rows(y)) * WIDTH + rows(x)],
    "three terms": lambda x, y, z: VOLUME.flatten()[rows(z) * HEIGHT * WIDTH + rows(y) * WIDTH + rows(x)],
    "two keys": lambda x, y, z: VOLUME.flatten(1)[rows(z), rows(y) * WIDTH + rows(x)],
    "unravel_index": lambda x, y, z: VOLUME[
        torch.unravel_index((rows(z) * HEIGHT + rows(y)) * WIDTH + rows(x), (DEPTH, HEIGHT, WIDTH))
    ],
}


def outcomes(program: Program, policy: Any, executor: str) -> list[Tensor]:
    """The value, and its gradients by X, Y and Z."""
    inputs = [coordinate.clone().requires_grad_() for coordinate in (X, Y, Z)]
    soft = softfx.soften(program, policy, example_inputs=inputs, executor=executor, allow_unused=True)
    value = soft(*inputs)
    found = torch.autograd.grad(value.square().sum(), inputs, allow_unused=True, materialize_grads=True)
    return [value.detach(), *found]


@EXECUTOR
@pytest.mark.parametrize("policy", ["gradients", "smooth"])
@pytest.mark.parametrize(("whole", "name"), [(False, name) for name in FLAT] + [(True, name) for name in SOLID])
def test_one_index_made_of_several_reads_what_they_read(whole: bool, name: str, policy: str, executor: str) -> None:
    """To 2e-3: a digit that is far from certain to stay in its range may carry into the next."""
    program = SOLID[name] if whole else FLAT[name]
    apart: Program = (
        (lambda x, y, z: VOLUME[rows(z), rows(y), rows(x)]) if whole else (lambda x, y, z: IMAGE[rows(y), rows(x)])
    )
    kept = {"preset": policy, "rule": [{"op": "@kink", "action": "keep"}]}
    for one, other in zip(outcomes(program, kept, executor), outcomes(apart, kept, executor), strict=True):
        torch.testing.assert_close(one, other, rtol=2e-3, atol=2e-3)


@EXECUTOR
def test_the_neighbour_of_the_last_column_is_no_pixel_of_the_next_row(executor: str) -> None:
    x, y = torch.tensor([4.4, -0.4]), torch.tensor([1.0, 2.0])
    soft = softfx.soften(lambda x, y: IMAGE.flatten()[rows(y) * WIDTH + rows(x)], "smooth", example_inputs=(x, y),
                         executor=executor)  # fmt: skip
    torch.testing.assert_close(soft(x, y), torch.stack([IMAGE[1, 4], IMAGE[2, 0]]), rtol=0, atol=1e-3)


# -- ranks: the inverse of a permutation -------------------------------------------------------------------------------

SCORES = torch.tensor([0.3, -1.2, 0.9, 0.1, -0.4])


def written(scores: Tensor) -> Tensor:
    order = scores.argsort()
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(5)
    return ranks.float()


RANKS: dict[str, Callable[[Tensor], Tensor]] = {
    "argsort of argsort": lambda z: torch.argsort(torch.argsort(z)).float(),
    "places of sort, sorted": lambda z: z.sort().indices.sort().indices.float(),
    "along the first axis": lambda z: torch.stack([z, z], 1).argsort(0).argsort(0)[:, 1].float(),
    "falling twice": lambda z: 4 - z.argsort(descending=True).argsort().float(),
    "falling at last": lambda z: z.argsort().argsort(descending=True).flip(0).float(),
    "written": written,
    "scattered": lambda z: torch.zeros(5).scatter(0, z.argsort(), torch.arange(5.0)),
    "scattered as integers": lambda z: torch.zeros(5).long().scatter_(0, z.argsort(), torch.arange(5)).float(),
    "copied": lambda z: torch.zeros(5).index_copy(0, z.argsort(), torch.arange(5.0)),
}


@EXECUTOR
@pytest.mark.parametrize("name", RANKS)
def test_the_inverse_of_a_soft_permutation_is_softtorchs_rank(name: str, executor: str) -> None:
    soft = softfx.soften(RANKS[name], "smooth", example_inputs=(SCORES,), executor=executor)
    right = softtorch.rank(SCORES, descending=False) - 1
    torch.testing.assert_close(soft(SCORES), right, rtol=1e-5, atol=1e-5)


def test_ranks_along_another_axis_than_the_permutation_are_not_its_inverse() -> None:
    def program(z: Tensor) -> Tensor:
        return z.argsort(0).argsort(1).float()

    square = torch.stack([SCORES[:2], SCORES[1:3]])
    soft = softfx.soften(program, "smooth", example_inputs=(square,))
    assert torch.equal(soft(square), program(square))


@EXECUTOR
@pytest.mark.parametrize("right", [False, True])
def test_a_value_that_is_a_boundary_belongs_where_torch_puts_it(right: bool, executor: str) -> None:
    def places(z: Tensor) -> Tensor:
        among_itself = torch.searchsorted(z.sort().values, z, right=right)
        return among_itself + torch.bucketize(z, SCORES.sort().values, right=right)

    soft = softfx.soften(places, TINY, example_inputs=(SCORES,), executor=executor)
    torch.testing.assert_close(soft(SCORES), places(SCORES).float(), rtol=0, atol=1e-4)


MULTIPLES: dict[str, Callable[[Tensor], Tensor]] = {
    "corner": lambda n: torch.relu(n),
    "size": lambda n: (2 * n).abs(),
    "remainder": lambda n: torch.remainder(n, 3),
    "comparison": lambda n: (n > 0).float(),
    "largest": lambda n: torch.maximum(n, torch.zeros(())),
}


@pytest.mark.parametrize("name", MULTIPLES)
def test_a_multiple_of_a_rounded_number_has_neighbours_on_both_sides(name: str) -> None:
    """Of minus a number that is rounded to 0 as of one: the derivative of f(-round(x)) is that of f(round(-x))."""
    x = torch.tensor([0.1, 0.3, -0.1, -0.3, -0.6, 0.6, 1.2])

    def rounded(x: Tensor) -> Tensor:
        return MULTIPLES[name]((x * 2).round())

    def negated(x: Tensor) -> Tensor:
        return MULTIPLES[name](-(x * 2).round())

    first, second = (softfx.soften(program, example_inputs=(x,)) for program in (rounded, negated))
    expected = -gradient(first, -x)
    torch.testing.assert_close(gradient(second, x), expected)
    torch.testing.assert_close(torch.func.grad(lambda x: second(x).sum())(x), expected)
    assert expected[2:4].any()


def test_a_sum_of_no_multiples_is_a_number() -> None:
    x = torch.zeros(3, 0, requires_grad=True)
    soft = softfx.soften(lambda x: (x, (x.sign() * x).sum() > 0), example_inputs=(x,), allow_unused=True)
    assert not soft(x)[1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_integer_of_a_nan_is_a_finite_number_in_any_type(dtype: torch.dtype) -> None:
    x = torch.tensor([0.5, torch.nan, 2.75], dtype=dtype)
    value = softfx.soften(lambda x: x.long(), "smooth", example_inputs=(x,))(x)
    assert value.isfinite().all()
    assert value[1] <= -torch.finfo(torch.float16).max
