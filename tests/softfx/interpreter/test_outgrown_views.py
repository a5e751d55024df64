"""Views that out= makes larger than what they are views of: the memory grows, as it does in the original."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx.torch_private import leaves
from tests.generated.contracts import EXACT
from tests.helpers import gradient, identical, outcome

X = torch.tensor([[1.2, -2.7, 0.6], [0.4, 3.3, -1.1]])

pytestmark = pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")


def outgrown(x: Tensor) -> tuple[Tensor, Tensor]:
    """A mask, and a view of its second row that holds one more row beyond it."""
    mask = (x > 0.5).to(x.dtype)
    rows = mask[1:]
    torch.round(x.detach(), out=rows)
    return mask, rows


def rounded(x: Tensor) -> Tensor:
    mask, rows = outgrown(x)
    return mask * 2 + rows


def written_again(x: Tensor) -> tuple[Tensor, Tensor]:
    mask, rows = outgrown(x)
    rows.mul_(3)
    rows[1:] += x[:1].ceil()
    nn.functional.relu(rows, inplace=True)
    return mask, rows


def set_by_a_mask(x: Tensor) -> tuple[Tensor, Tensor]:
    mask, rows = outgrown(x)
    rows[rows > 1] = 5.0
    mask.add_(x.sign())
    return mask, rows


def reshaped_in_place(x: Tensor) -> tuple[Tensor, Tensor]:
    mask, rows = outgrown(x)
    rows.unsqueeze_(0).add_(1)
    return mask, rows


def real_numbers(x: Tensor) -> tuple[Tensor, Tensor]:
    mask = (x > 0.5).to(x.dtype)
    rows = mask[1:]
    torch.mul(mask * x, 2, out=rows)
    return mask, rows


def of_no_elements(x: Tensor) -> tuple[Tensor, Tensor]:
    mask = (x > 0.5).to(x.dtype)
    rows = mask[2:]
    torch.floor(x, out=rows)
    return mask, rows


def by_out_again(x: Tensor) -> tuple[Tensor, Tensor]:
    mask, rows = outgrown(x)
    torch.ones(3, 3, out=rows)
    torch.add(x.sign(), 1, out=rows)
    return mask, rows


def of_its_own_memory(x: Tensor) -> tuple[Tensor, Tensor]:
    mask = torch.zeros_like(x).scatter_(-1, x.argmax(-1, keepdim=True), 1.0)
    columns = mask[:, 1:, None]
    torch.round(mask.detach(), out=columns)
    columns.add_(0.5)
    return mask, columns


PROGRAMS = [
    of_its_own_memory,
    rounded,
    written_again,
    set_by_a_mask,
    reshaped_in_place,
    real_numbers,
    of_no_elements,
    by_out_again,
]


@pytest.mark.parametrize("policy", EXACT)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_view_that_outgrows_its_base_holds_what_it_does_in_the_original(
    program: Callable[[Tensor], Any], policy: str
) -> None:
    soft = softfx.soften(program, policy, example_inputs=(X,))
    ours, theirs = outcome(soft, [X]), leaves(program(X))  # where X has a derivative torch raises
    assert len(ours.results) == len(theirs)
    assert all(map(identical, ours.results, theirs))
    assert all(result is None or result.isfinite().all() for result in ours.gradients)


def test_what_it_takes_has_no_derivative_which_is_told_and_its_base_keeps_that_of_the_rest() -> None:
    soft = softfx.soften(lambda x: outgrown(x)[0], "gradients", example_inputs=(X,))
    found = gradient(soft, X)
    assert (found[0] != 0).all() and (found[1] == 0).all()
    mask, rounding = soft.report.sites
    assert mask.action == "straight_through"
    assert rounding.action == "blocked" and "beyond what it is a view of" in rounding.reason


def test_the_parts_of_a_complex_number_do_not_outgrow_it() -> None:
    def program(x: Tensor) -> Tensor:
        numbers = torch.complex(x.sign(), x)
        torch.view_as_real(numbers)[0, :, 0].mul_(2)
        return numbers.real

    soft = softfx.soften(program, "gradients", example_inputs=(X,))
    assert identical(soft(X), program(X))
    assert (gradient(soft, X) != 0).all()


def test_a_soft_value_that_is_written_into_it_is_told_to_end_there() -> None:
    def program(x: Tensor) -> Tensor:
        rows = outgrown(x)[1]
        rows += x.sign()
        return rows * x

    soft = softfx.soften(program, "gradients", example_inputs=(X,))
    added = soft.report.sites[2]
    assert added.op == "sign" and [(use.op, use.takes) for use in added.consumers] == [("add", "hard")]
    assert (gradient(soft, X) == soft(X) / X).all()  # by the factor x alone
