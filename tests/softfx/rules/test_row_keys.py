"""Keys behind a mask, `weights[mask, None]` and `x[mask, 1:]`: a part of each row that the mask selects."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import softfx
import softtorch
from tests.softfx.by_hand import SOFTNESS, Pair, agree


def above(x: Tensor) -> Tensor:
    """x > 0, softly."""
    result: Tensor = softtorch.greater(x, torch.zeros((), dtype=x.dtype), softness=SOFTNESS)
    return result


def parts(x: Tensor, s: Tensor) -> tuple[Tensor, ...]:
    m = s > 0
    return x[m, 1].sum(), x[m, :].sum(0), x[m, 1:].mean(0), x[m, ..., None].sum(0), (s[m, None] * x[m]).sum(0)


def parts_by_hand(x: Tensor, s: Tensor) -> tuple[Tensor, ...]:
    b = above(s)[:, None]
    total = (b * x).sum(0)
    return total[1], total, total[1:] / b.sum(), total[:, None], (b * s[:, None] * x).sum(0)


PAIRS = {"parts of rows": Pair(parts, parts_by_hand, ((6, 3), (6,)), linear=False)}


@pytest.mark.parametrize("name", PAIRS)
def test_a_key_behind_a_mask_looks_up_the_same_of_each_row(name: str) -> None:
    agree(PAIRS[name])


def test_rows_are_written_where_their_mask_has_a_key_of_all_behind_it() -> None:
    def plain(x: Tensor, s: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        out[s > 0] = s[s > 0].unsqueeze(-1) * x[s > 0]
        return (out - 1).square().sum()

    def keyed(x: Tensor, s: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        out[s > 0, :] = s[s > 0, None] * x[s > 0, ...]
        return (out - 1).square().sum()

    given = [torch.linspace(-1, 1, 18).reshape(6, 3), torch.linspace(-0.9, 1.2, 6)]
    leaves = [value.clone().requires_grad_() for value in given]
    gradients = [
        torch.autograd.grad(softfx.soften(function, example_inputs=given)(*leaves), leaves)
        for function in (plain, keyed)
    ]
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))
    assert gradients[0][1].abs().min() > 0


@pytest.mark.parametrize("factor", [lambda s, m: s[m, None], lambda s, m: torch.ones(int(m.sum()), 1)])
def test_a_router_one_of_whose_experts_gets_no_row_is_trained(factor: object) -> None:
    assert callable(factor)

    def routed(x: Tensor, s: Tensor, experts: Tensor) -> Tensor:
        chosen, out = s.argmax(-1), torch.zeros_like(x)
        for place, expert in enumerate(experts):
            mask = chosen == place
            out[mask] = factor(s[:, place], mask) * (x[mask] @ expert)
        return out.square().sum()

    draws = torch.Generator().manual_seed(0)
    x, s, experts = (torch.randn(*shape, generator=draws) for shape in ((6, 3), (6, 2), (2, 3, 3)))
    s[:, 1] -= 9.0  # the second gets none
    leaves = [value.requires_grad_() for value in (x, s, experts)]
    soft = softfx.soften(routed, example_inputs=leaves)
    assert torch.equal(soft(*leaves), routed(*leaves))
    found = torch.autograd.grad(soft(*leaves), leaves)
    assert all(bool(gradient.isfinite().all()) and bool(gradient.any()) for gradient in found)
