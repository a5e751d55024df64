"""Rows that hold infinities behind soft indices: filters of logits, and what stands beside a masked element."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from softfx.runtime import infinities, places
from softtorch import choose, gather, scatter

INF = float("inf")


def top_k(logits: Tensor) -> Tensor:
    values, places = logits.topk(5)
    return torch.full_like(logits, -INF).scatter_(1, places, values)


def top_p(logits: Tensor) -> Tensor:
    ordered, places = logits.sort(descending=True)
    drop = F.pad(ordered.softmax(-1).cumsum(-1) > 0.8, (1, -1), value=False)
    ordered[drop] = -INF
    return ordered.scatter(1, places, ordered)


def top_p_without_writes(logits: Tensor) -> Tensor:
    ordered, places = logits.sort(descending=True)
    kept = ordered.masked_fill(F.pad(ordered.softmax(-1).cumsum(-1) > 0.8, (1, -1), value=False), -INF)
    return kept.gather(1, places.argsort(1))


def top_p_of_a_mask(logits: Tensor) -> Tensor:
    ordered, places = logits.masked_fill(logits < -1, -INF).sort(descending=True)
    drop = F.pad(ordered.softmax(-1).cumsum(-1) > 0.8, (1, -1), value=False)
    return logits.masked_fill(drop.gather(1, places.argsort(1)), -INF)


def best_alone(logits: Tensor) -> Tensor:
    best = logits.argmax(-1, keepdim=True)
    return torch.full_like(logits, -INF).scatter(1, best, logits.gather(1, best)).logsumexp(-1, keepdim=True) * logits


def best_left_out(logits: Tensor) -> Tensor:
    rest = logits * 1
    rest[torch.arange(3), logits.argmax(1)] = -INF
    return rest


def best_of_the_rest(logits: Tensor) -> Tensor:
    rest, found = logits, []
    for _ in range(3):
        value, place = rest.max(1, keepdim=True)
        rest = rest.scatter(1, place, -INF)
        found.append(value)
    return torch.cat(found, 1)


def beams(logits: Tensor) -> Tensor:
    values, places = logits.log_softmax(-1).topk(3)
    return torch.full_like(logits, -1e9).scatter(1, places, values)


def best_element(logits: Tensor) -> Tensor:
    return torch.where(logits < -0.5, -INF, logits)[torch.arange(3), logits.argmax(1)].unsqueeze(1) * logits


FILTERS: dict[str, Callable[[Tensor], Tensor]] = {
    "top-p": top_p,
    "top-p by gather": top_p_without_writes,
    "top-p by gather of a mask": top_p_of_a_mask,
    "top-p of top-k": lambda x: top_p(top_k(x)),
    "top-k of top-p": lambda x: top_k(top_p(x)),
    "top-p of negative ones": lambda x: top_p(x.masked_fill(x < 0, -INF)),
    "sorted top-k": lambda x: top_k(x).sort(descending=True).values,
    "take_along_dim": lambda x: torch.take_along_dim(top_k(x), x.argsort(1, descending=True), 1),
    "best alone": best_alone,
    "best left out": best_left_out,
    "best of the rest": best_of_the_rest,
    "beams": beams,
    "best element": best_element,
    "one column left out": lambda x: x.index_fill(1, x[0].argmin().unsqueeze(0), -INF),
    "one column": lambda x: top_k(x).index_select(1, x[0].argmax().unsqueeze(0)).clamp(min=-5.0) * x,
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("preset", ["gradients", "straight-through", "smooth"])
def test_filters_of_logits_keep_a_gradient(name: str, preset: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 10, generator=generator, dtype=torch.float64, requires_grad=True)

    def program(x: Tensor) -> Tensor:
        return FILTERS[name](x).softmax(-1)

    expected = program(logits)
    weight = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    (hard,) = torch.autograd.grad((expected * weight).sum(), logits)
    result = softfx.soften(program, preset, example_inputs=(logits,))(logits)
    (soft,) = torch.autograd.grad((result * weight).sum(), logits)
    assert result.isfinite().all()
    assert preset == "smooth" or torch.equal(result, expected)
    assert soft.isfinite().all()
    assert (soft.abs().sum(-1) > 0.1 * hard.abs().sum(-1)).all()


@pytest.mark.parametrize("name", FILTERS)
def test_filters_of_logits_reach_their_limit(name: str) -> None:
    logits = torch.randn(3, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    policy = {"preset": "smooth", "default": {"softness": 1e-6}}
    soft = softfx.soften(FILTERS[name], policy, example_inputs=(logits,))
    torch.testing.assert_close(soft(logits), FILTERS[name](logits), rtol=1e-4, atol=1e-4)


def test_finite_rows_have_the_averages_of_the_operators() -> None:
    x, values = torch.rand(2, 4, dtype=torch.float64), torch.rand(2, 3, dtype=torch.float64)
    p = torch.rand(2, 3, 4, dtype=torch.float64).softmax(-1)
    torch.testing.assert_close(infinities.gathered(x, 1, p, values), gather(x, 1, p))
    torch.testing.assert_close(infinities.scattered(x, 1, p, values, x), scatter(x, 1, p, values))
    rows = x.unsqueeze(1).expand(2, 3, 4)
    torch.testing.assert_close(infinities.averaged(p, rows, values), choose(p, rows.movedim(-1, 0)))


@pytest.mark.parametrize("row", [(), (2,), (2, 2)], ids=["numbers", "rows", "matrices"])
@pytest.mark.parametrize("policy", ["gradients", "smooth"])
def test_a_table_with_infinities_is_looked_up_in_its_finite_elements(row: tuple[int, ...], policy: str) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(4, *row, generator=generator).where(torch.rand(4, *row, generator=generator) > 0.3, -INF)
    table[1] = torch.randn(row, generator=generator)
    scores = torch.randn(6, 4, generator=generator).requires_grad_()

    def found(scores: Tensor) -> Tensor:
        rows = table[scores.argmax(-1)]
        return torch.where(torch.isfinite(rows), rows, 0.0).sum()

    soft = softfx.soften(found, policy, example_inputs=(scores,))
    (gradient,) = torch.autograd.grad(soft(scores), scores)
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0
    if policy == "gradients":
        assert torch.equal(soft(scores), found(scores))


def test_rows_of_a_finite_table_are_those_of_one_that_is_known_to_be() -> None:
    table, weights = torch.randn(3, 2, 4, dtype=torch.float64), torch.rand(5, 3, dtype=torch.float64).softmax(-1)
    expected = torch.einsum("kn,nij->kij", weights, table)
    torch.testing.assert_close(places.rows_of(weights, table), expected)
    torch.testing.assert_close(infinities.rows_of(weights, table, expected), expected)
    operands = (weights.requires_grad_(), table.requires_grad_())
    assert torch.autograd.gradcheck(lambda p, table: infinities.rows_of(p, table, expected), operands)
