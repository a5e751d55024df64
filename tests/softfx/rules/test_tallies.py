"""Counts of soft bools that are compared: votes, a least number of hits, none at all."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from softfx.runtime import tallies

COMPARISONS = [torch.gt, torch.ge, torch.lt, torch.le, torch.eq, torch.ne]
VOTES: dict[str, Callable[[Tensor], Tensor]] = {
    "majority": lambda x: ((x > 0.0).sum(-1) > 3).float(),
    "reflected": lambda x: ((x > 0.0).sum(-1) > 3).float(),
    "exactly": lambda x: ((x > 0.0).sum(-1) == 2).float(),
    "kept axis, moved": lambda x: ((x > 0.0).sum(-1, keepdim=True).transpose(0, 1) >= 4).float()[0],
    "all": lambda x: ((x > 0.0).sum() > 11).float().expand(4),
    "float": lambda x: ((x > 0.0).float().sum(-1) > 3).float(),
}
WEIGHTS = torch.tensor([0.7, -0.4, 1.1, 0.3])


def numbers() -> Tensor:
    return torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()


def gradient(vote: Callable[[Tensor], Tensor], executor: softfx.api.Executor) -> Tensor:
    x = numbers()
    soft = softfx.soften(lambda x: vote(x) @ WEIGHTS, example_inputs=(x,), executor=executor)
    value = soft(x)
    assert torch.equal(value, vote(x) @ WEIGHTS)
    return torch.autograd.grad(value, x)[0]


def smoothed(vote: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient of the vote, smoothed by noise of 0.3."""
    x, draws = numbers().detach(), torch.Generator().manual_seed(1)
    noises = (0.3 * torch.randn(x.shape, generator=draws) for _ in range(3000))
    return sum(((vote(x + noise) - vote(x - noise)) @ WEIGHTS * noise for noise in noises), torch.zeros_like(x))


@pytest.mark.parametrize("name", VOTES)
def test_the_gradient_is_that_of_the_smoothed_vote(name: str) -> None:
    found = gradient(VOTES[name], "eager")
    assert torch.allclose(gradient(VOTES[name], "graph"), found, atol=1e-6)
    # By the two numbers next to the count it is 0.6 for the majority, and 0 where a count is two numbers away.
    assert torch.cosine_similarity(found.flatten(), smoothed(VOTES[name]).flatten(), dim=0) > 0.9


@pytest.mark.parametrize("compare", COMPARISONS)
def test_the_probability_is_the_sum_over_all_outcomes(compare: Callable[..., Tensor]) -> None:
    p = torch.rand(2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for number, reflected in itertools.product((0, 2, torch.tensor([1, 3])), (False, True)):
        expected = torch.zeros(2, dtype=torch.float64)
        for outcome in itertools.product((0.0, 1.0), repeat=4):
            true = torch.tensor(outcome, dtype=torch.float64)
            operands = (true.sum(), torch.as_tensor(number))
            holds = compare(*(reversed(operands) if reflected else operands))
            expected += (p * true + (1.0 - p) * (1.0 - true)).prod(-1) * holds
        assert torch.allclose(tallies.probability(compare, p, number, reflected), expected)


@pytest.mark.parametrize("compare", COMPARISONS)
def test_many_bools_are_nearly_normal(compare: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    p = torch.rand(3, 200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = tallies.probability(compare, p, 101, True)
    monkeypatch.setattr(tallies, "_MOST", 0)
    # The error of the normal form is a part of 1 / variance, which is 33 here.
    assert torch.allclose(tallies.probability(compare, p, 101, True), exact, atol=0.01)


@pytest.mark.parametrize("most", [0, 1 << 24])
def test_certain_bools_have_the_hard_answer(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "_MOST", most)
    p = torch.tensor([1.0, 1.0, 0.0])
    assert [float(tallies.probability(torch.gt, p, number, False)) for number in (1, 2)] == [1.0, 0.0]


WEIGHTED: dict[str, Callable[[Tensor], Tensor]] = {
    "bits": lambda x: (x > 0.0).long() * torch.tensor([1, 2, 4, 8, 16, 32]),
    "bits of bools": lambda x: (x > 0.0) * torch.tensor([1, 2, 4, 8, 16, 32]),
    "twos": lambda x: (x > 0.0).int() * 2,
    "places": lambda x: x.view(4, 2, 3).argmax(-1),
}


@pytest.mark.parametrize("executor", ["graph", "eager"])
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("name", WEIGHTED)
def test_a_sum_of_a_few_indices_is_that_of_a_loop(name: str, keepdim: bool, executor: softfx.api.Executor) -> None:
    """As a mere number it had no derivative where it is two or more away from what it is compared with."""

    def summed(x: Tensor) -> Tensor:
        return (WEIGHTED[name](x).sum(-1, keepdim=keepdim).flatten() > 3).float()

    def added(x: Tensor) -> Tensor:
        return (sum(WEIGHTED[name](x).unbind(-1), torch.zeros((), dtype=torch.long)) > 3).float()

    found = gradient(summed, executor)
    assert found.any(-1).all()
    assert torch.allclose(found, gradient(added, executor), atol=1e-6)
