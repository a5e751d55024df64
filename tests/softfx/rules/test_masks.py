"""Soft bools: logic, selection, sums and counts, masked writes, what a mask selects, as by hand in softtorch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
import softtorch
from tests.helpers import EXECUTOR
from tests.softfx.by_hand import SOFTNESS, Pair, agree


def above(x: Tensor, bound: float | Tensor = 0.0) -> Tensor:
    """x > bound, softly."""
    result: Tensor = softtorch.greater(x, torch.as_tensor(bound, dtype=x.dtype), softness=SOFTNESS)
    return result


def logic(x: Tensor) -> tuple[Tensor, ...]:
    a, b, c = x > 0, x < 1, x > -0.5
    return (
        (a & b).double(), (a | b).double(), (a ^ c).double(), (~a).double(), torch.logical_and(a, c).double(),
        a.any(-1).double(), c.all(-1).double(), (a * c).double(), (a + b).double(), (1 - a.double()),
    )  # fmt: skip


def logic_by_hand(x: Tensor) -> tuple[Tensor, ...]:
    a, b, c = above(x), softtorch.less(x, torch.ones((), dtype=x.dtype), softness=SOFTNESS), above(x, -0.5)
    return (
        softtorch.logical_and(a, b), softtorch.logical_or(a, b), softtorch.logical_xor(a, c), 1 - a,
        softtorch.logical_and(a, c), softtorch.any(a, dim=-1), softtorch.all(c, dim=-1), a * c,
        softtorch.logical_or(a, b), 1 - a,
    )  # fmt: skip


def selected(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    m = x > 0
    return torch.where(m, y, -y), y.masked_fill(m, 2.0), y * m, torch.where(m, y, 0.0).clamp(max=9.0)


def selected_by_hand(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    b = above(x)
    return softtorch.where(b, y, -y), softtorch.where(b, 2.0, y), y * b, y * b


def attention(x: Tensor, y: Tensor) -> Tensor:
    return y.masked_fill(x < 0, float("-inf")).softmax(-1)


def attention_by_hand(x: Tensor, y: Tensor) -> Tensor:
    """What is excluded is -inf forward; backward a weight of 1 - p multiplies its exponential."""
    out = softtorch.less(x, torch.zeros((), dtype=x.dtype), softness=SOFTNESS)
    soft = y + torch.log((1 - out).clamp(min=1e-6))
    return softtorch.straight_through(y.masked_fill(x < 0, float("-inf")), soft).softmax(-1)


def counts(x: Tensor) -> tuple[Tensor, ...]:
    m = x > 0
    return (
        m.sum(-1).double(), m.double().mean(-1), torch.count_nonzero(m, -1).double(), m.cumsum(-1).double(),
        m.double().prod(-1), x.sum(-1) / m.sum(-1).clamp(min=1), (x * m).sum(-1),
    )  # fmt: skip


def counts_by_hand(x: Tensor) -> tuple[Tensor, ...]:
    b = above(x)
    return (
        b.sum(-1),
        b.mean(-1),
        b.sum(-1),
        b.cumsum(-1),
        b.prod(-1),
        x.sum(-1) / b.sum(-1).clamp(min=1),
        (x * b).sum(-1),
    )


def capacity(x: Tensor) -> Tensor:
    """At most two of a row: a count compared is resolved between its two neighbours."""
    m = x > 0
    return ((m.cumsum(-1) <= 2) & m).double()


def capacity_by_hand(x: Tensor) -> Tensor:
    b = above(x)
    return (3 - b.cumsum(-1)).clamp(0, 1) * b


def written(x: Tensor) -> tuple[Tensor, Tensor]:
    y = x * 2
    view = y[:, 1:]
    y[x > 0] = 0.5
    y[:, 0] = 1.0
    return y, view * 3


def written_by_hand(x: Tensor) -> tuple[Tensor, Tensor]:
    y = softtorch.where(above(x), 0.5, x * 2)
    return torch.cat([torch.ones_like(y[:, :1]), y[:, 1:]], 1), y[:, 1:] * 3


def code(x: Tensor) -> tuple[Tensor, Tensor]:
    """Bits shifted into a number, and one read back out of it."""
    bits = (x > 0).long()
    number = (bits << torch.arange(x.shape[-1])).sum(-1)
    return number.double(), ((bits * 2 + 1) & 2).double()


def code_by_hand(x: Tensor) -> tuple[Tensor, Tensor]:
    b = above(x)
    return (b * 2 ** torch.arange(x.shape[-1])).sum(-1), 2 * b


def moved(x: Tensor) -> tuple[Tensor, ...]:
    m = x > 0
    return (
        m.T.reshape(-1).double(), torch.cat([m, ~m], -1).double(), torch.stack([m, m.flip(0)]).double(),
        m.roll(1, -1).double(), m[:, 1:].double(), F.pad(m, (1, 0)).double(), m.repeat_interleave(2, 0).double(),
    )  # fmt: skip


def moved_by_hand(x: Tensor) -> tuple[Tensor, ...]:
    b = above(x)
    return (
        b.T.reshape(-1), torch.cat([b, 1 - b], -1), torch.stack([b, b.flip(0)]), b.roll(1, -1), b[:, 1:],
        F.pad(b, (1, 0)), b.repeat_interleave(2, 0),
    )  # fmt: skip


def reduced(x: Tensor) -> tuple[Tensor, ...]:
    m = x > 0
    return x[m].sum(), x[m].mean(), (x[m] ** 2).mean(), torch.masked_select(x, m).sum(), x[m].exp().sum() / m.sum()


def reduced_by_hand(x: Tensor) -> tuple[Tensor, ...]:
    b = above(x)
    total = (b * x).sum()
    return total, total / b.sum(), (b * x**2).sum() / b.sum(), total, (b * x.exp()).sum() / b.sum()


def rows(x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    m = s > 0
    return x[m].mean(0), F.mse_loss(x[m], 2 * x[m])


def rows_by_hand(x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    b = above(s)[:, None]
    return (b * x).sum(0) / b.sum(), (b * x**2).sum() / (b.sum() * x.shape[1])


def average_precision(x: Tensor) -> Tensor:
    """Each hit's rank among the hits over its rank among all: the first has as many rows as the mask has hits."""
    places = torch.arange(1.0, len(x) + 1, dtype=x.dtype)[x > 0]
    return ((torch.arange(len(places)) + 1) / places).mean()


def average_precision_by_hand(x: Tensor) -> Tensor:
    b = above(x)
    before = (b.cumsum(0) - b).clamp(0, float((x > 0).sum()) - 1)
    return (b * (before + 1) / torch.arange(1, len(x) + 1)).sum() / b.sum()


def by_parts(x: Tensor) -> Tensor:
    """Huber's loss, as it is written by hand: each part where its mask says."""
    size = x.abs()
    small = size < 1
    y = torch.empty_like(x)
    y[small] = 0.5 * x[small] ** 2
    y[~small] = size[~small] - 0.5
    return y.mean()


def by_parts_by_hand(x: Tensor) -> Tensor:
    size = x.abs()
    b = softtorch.less(size, torch.ones((), dtype=x.dtype), softness=SOFTNESS)
    y = b * (0.5 * x**2)
    return ((1 - b) * (size - 0.5) + b * y).mean()


def matrices(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    m = (x[:, None] > y[None] + 0.1).double()
    return m @ y, torch.einsum("ij,i->j", m, x)


def matrices_by_hand(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    b = softtorch.greater(x[:, None], y[None] + 0.1, softness=SOFTNESS)
    return b @ y, torch.einsum("ij,i->j", b, x)


def truths(x: Tensor) -> tuple[Tensor, Tensor]:
    """Real numbers asked whether they are 0."""
    return torch.logical_not(x.round()).double(), x.bool().double()


def truths_by_hand(x: Tensor) -> tuple[Tensor, Tensor]:
    zero = torch.zeros((), dtype=x.dtype)
    size = softtorch.round(x, softness=SOFTNESS).abs().clamp(max=1)
    return 1 - size, softtorch.not_equal(x, zero, softness=SOFTNESS)


PAIRS = {
    "logic": Pair(logic, logic_by_hand, ((4, 5),), linear=False),
    "where and its kin": Pair(selected, selected_by_hand, ((4, 5), (4, 5)), linear=False),
    "masked attention": Pair(attention, attention_by_hand, ((4, 5), (4, 5)), linear=False),
    "sums and counts": Pair(counts, counts_by_hand, ((4, 5),), linear=False),
    "a capacity": Pair(capacity, capacity_by_hand, ((4, 6),), linear=False),
    "masked writes": Pair(written, written_by_hand, ((4, 5),)),
    "bits": Pair(code, code_by_hand, ((4, 5),)),
    "data movement": Pair(moved, moved_by_hand, ((4, 5),)),
    "reductions of a selection": Pair(reduced, reduced_by_hand, ((9,),), linear=False),
    "rows of a selection": Pair(rows, rows_by_hand, ((6, 3), (6,)), linear=False),
    "ranks beside a selection": Pair(average_precision, average_precision_by_hand, ((9,),), linear=False),
    "a function by parts": Pair(by_parts, by_parts_by_hand, ((9,),), linear=False),
    "matrices of masks": Pair(matrices, matrices_by_hand, ((4,), (5,)), linear=False),
    "truth of numbers": Pair(truths, truths_by_hand, ((9,),), linear=False),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_mask_does_softly_what_is_written_by_hand(name: str) -> None:
    agree(PAIRS[name])


def test_a_selection_that_something_else_takes_keeps_its_rows_and_says_what_was_lost() -> None:
    import softfx

    def sorted_selection(x: Tensor) -> Tensor:
        return x[x > 0].cumsum(0)

    x = torch.tensor([0.5, -1.0, 2.0])
    soft = softfx.soften(sorted_selection, example_inputs=(x,))
    leaf = x.clone().requires_grad_()
    assert torch.equal(soft(leaf), sorted_selection(x))
    assert torch.equal(torch.autograd.grad(soft(leaf).sum(), leaf)[0], torch.tensor([2.0, 0.0, 1.0]))
    (site,) = soft.report.sites
    assert site.action == "blocked" and "cumsum" in site.reason and "depends on data" in site.reason


@pytest.mark.parametrize("test", [torch.isnan, torch.isfinite, torch.signbit, lambda rows: rows > 0.5, Tensor.round])
def test_what_is_asked_of_selected_rows_leaves_the_model_in_the_shape_of_the_original(
    test: Callable[[Tensor], Tensor],
) -> None:
    def program(x: Tensor) -> Tensor:
        return test(x[x > 0])

    x = torch.tensor([0.7, -0.4, 1.9, -2.0])
    soft = softfx.soften(program, "smooth", example_inputs=(x,))
    assert soft(x).shape == program(x).shape and soft(x).dtype == program(x).dtype


@EXECUTOR
def test_the_largest_of_bools_is_a_mask_and_no_index(executor: str) -> None:
    def program(x: Tensor, y: Tensor) -> Tensor:
        seen = (x > 0).cummax(-1).values
        y = y.clone()
        y[seen] = 0.0
        return y

    x, y = torch.tensor([[-1.0, 0.1, -2.0], [0.2, 0.3, -0.1]]), torch.ones(2, 3)
    policy = {"preset": "smooth", "default": {"softness": 1e-3}}
    soft = softfx.soften(program, policy, example_inputs=(x, y), executor=executor)
    torch.testing.assert_close(soft(x, y), program(x, y))


@pytest.mark.parametrize("reduced", [torch.all, torch.any])
@pytest.mark.parametrize("keepdim", [False, True])
def test_a_bool_by_itself_has_no_axis_to_keep(reduced: Callable[..., Tensor], keepdim: bool) -> None:
    x = torch.tensor(0.5)
    soft = softfx.soften(lambda x: reduced(x > 0, dim=0, keepdim=keepdim), "smooth", example_inputs=(x,))
    assert soft(x).shape == ()
