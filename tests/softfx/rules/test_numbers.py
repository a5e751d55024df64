"""Soft values where torch reads one number: a bound, a size, an axis. They are cut there, and the report says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx

TABLE = torch.arange(12.0).view(3, 4)
X = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))


def assigned(x: Tensor) -> Tensor:
    y = x * 2
    y[:, : x.argmax(1)[0]] = 1.0
    return y


PROGRAMS: dict[str, Callable[[Tensor], Tensor]] = {
    "end": lambda x: TABLE[: (x > 0).sum()].sum() * x,
    "start": lambda x: TABLE[x.argmax(1)[0] :].sum() * x,
    "from the end": lambda x: TABLE[-x.argmax(1)[0] :].sum() * x,
    "step": lambda x: TABLE.flatten()[:: x.argmax(1)[0] + 1].sum() * x,
    "of the data itself": lambda x: x[: x[:, 0].argmax() + 1].sum(),
    "among other keys": lambda x: TABLE[:, : x.argmax(1)[0]].sum() * x,
    "assigned": assigned,
    "narrow": lambda x: TABLE.narrow(1, 0, x.argmax(1)[0]).sum() * x,
    "padding": lambda x: F.pad(TABLE, (x.argmax(1)[0], 0)).sum() * x,
    "classes": lambda x: F.one_hot(torch.arange(3), x.argmax(1)[0] + 4).sum() * x,
    "diagonal": lambda x: x.tril(x.argmax(1)[0] - 1),
    "k": lambda x: x.flatten().topk((x > 0).sum())[0].sum(),
    "bins": lambda x: torch.histc(x, (x > 0).sum()).sum() * x,
    "repeats": lambda x: x.repeat((x[0] > 0).sum(), 1),
    "range": lambda x: torch.arange((x > 0).sum()).sum() * x,
    "size": lambda x: torch.ones((x > 0).sum()).sum() * x,
    "integer of Python": lambda x: TABLE[: int((x > 0).sum())].sum() * x,
}


@pytest.mark.parametrize("policy", ["gradients", "smooth"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_soft_value_in_the_place_of_a_number_is_cut_and_told(name: str, policy: str) -> None:
    soft = softfx.soften(PROGRAMS[name], policy, example_inputs=(X,))
    assert soft(X).shape == PROGRAMS[name](X).shape
    if policy == "gradients":
        assert torch.equal(soft(X), PROGRAMS[name](X))
    blocked = [site for site in soft.report.sites if site.action == "blocked"]
    assert blocked and all(site.reason and "object" not in site.reason for site in blocked)


# -- rows of a selection along their own axes --------------------------------------------------------------------------

LABELS = torch.tensor([1, 2, 0])
SCORES = torch.tensor([0.4, -0.3, 1.2])
OF_ROWS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sum": lambda x, m: (x[m].sum(1) ** 2).mean(),
    "sum that keeps its axis": lambda x, m: (x[m] - x[m].sum(-1, keepdim=True)).pow(2).mean(),
    "mean": lambda x, m: x[m].mean(dim=1).abs().sum(),
    "standard deviation": lambda x, m: x[m].std(1).sum(),
    "product": lambda x, m: x[m].prod(1).sum(),
    "running sum": lambda x, m: x[m].cumsum(1).sum(),
    "norm": lambda x, m: x[m].norm(dim=1).mean(),
    "distance": lambda x, m: ((x[m] - TABLE[m]) ** 2).sum(1).sqrt().mean(),
    "cross entropy": lambda x, m: F.cross_entropy(x[m], LABELS[m]),
    "sum of losses": lambda x, m: F.nll_loss(x.log_softmax(1)[m], LABELS[m], reduction="sum"),
}


@pytest.mark.parametrize("name", OF_ROWS)
def test_rows_of_a_selection_are_reduced_along_their_own_axes(name: str) -> None:
    """The mask gets the gradient of a weighted mean or sum, and the limit is the hard value."""

    def program(x: Tensor, scores: Tensor) -> Tensor:
        return OF_ROWS[name](x, scores > 0)

    scores = SCORES.clone().requires_grad_()
    soft = softfx.soften(program, example_inputs=(X, scores))
    assert soft.report.counts["blocked"] == 0
    value = soft(X, scores)
    assert torch.equal(value, program(X, scores))
    (found,) = torch.autograd.grad(value, scores)
    assert found.isfinite().all() and found.any()
    tiny = softfx.soften(program, {"preset": "smooth", "default": {"softness": 1e-5}}, example_inputs=(X, SCORES))
    torch.testing.assert_close(tiny(X, SCORES), program(X, SCORES), rtol=1e-3, atol=1e-3)


# -- division of whole numbers by zero, sums in another type -----------------------------------------------------------

DIVISIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "floor": lambda n: torch.div(n, n, rounding_mode="floor"),
    "trunc": lambda n: torch.div(n, n, rounding_mode="trunc"),
    "operator": lambda n: n // n,
    "remainder": lambda n: n % n,
    "of a number": lambda n: 5 // n,
}


@pytest.mark.parametrize("name", DIVISIONS)
def test_whole_numbers_divided_by_a_zero_are_what_torch_gives(name: str) -> None:
    def program(x: Tensor) -> Tensor:
        return DIVISIONS[name](x.ceil())

    x = torch.tensor([-0.3, 0.7, 1.4], requires_grad=True)
    soft = softfx.soften(program, example_inputs=(x,))
    value = soft(x)
    torch.testing.assert_close(value, program(x), rtol=0, atol=0, equal_nan=True)
    (found,) = torch.autograd.grad(value[1:].sum(), x)
    assert found.isfinite().all()


@pytest.mark.parametrize("policy", ["gradients", "smooth"])
def test_a_mask_is_added_in_the_type_of_what_it_is_added_to(policy: str) -> None:
    def program(x: Tensor) -> Tensor:
        rows = torch.tensor([0, 1, 0])
        return torch.zeros(2, dtype=torch.float64).index_add(0, rows, (x > 0).double())

    assert softfx.soften(program, policy, example_inputs=(SCORES,))(SCORES).dtype == torch.float64


def test_a_number_without_axes_is_its_own_sum() -> None:
    def program(x: Tensor) -> Tensor:
        n = (x > 0) & ((x > 0).cumsum(-1) <= 1)
        return ((n * x).sum(-1) + (n.long() * 3 + n.long()).sum(0)) * x

    x = torch.tensor(0.7, requires_grad=True)
    result = softfx.soften(program, example_inputs=(x,))(x)
    assert torch.equal(result, program(x))
    assert torch.autograd.grad(result, x)[0].isfinite()
