"""Choices among parameters are made once more with exchanged places: what is not chosen learns of its own loss."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import softfx
from softfx.pipeline.exchanged_runs import SHARE

SCORES = torch.tensor([0.3, -0.2, 0.9, 0.1, 0.5, -0.7])
WEIGHTS = torch.tensor([1.0, -2.0, 0.5, 3.0, -1.0, 2.0])
X = torch.linspace(-1.0, 1.0, 24).reshape(4, 6).cos()
Loss = Callable[[Tensor, Tensor], Tensor]


def loss_of(mask: Tensor, weights: Tensor) -> Tensor:
    return torch.tanh(X @ (mask * weights)).square().mean()


def by_topk(scores: Tensor, weights: Tensor) -> Tensor:
    return loss_of(torch.zeros_like(scores).scatter(0, scores.topk(2).indices, 1.0), weights)


def by_look_up(scores: Tensor, weights: Tensor) -> Tensor:
    chosen = scores.topk(2).indices
    return torch.tanh(X[:, chosen] @ weights[chosen]).square().mean()


def by_argsort(scores: Tensor, weights: Tensor) -> Tensor:
    return loss_of(F.one_hot(scores.argsort(descending=True)[:2], 6).sum(0).float(), weights)


def by_kthvalue(scores: Tensor, weights: Tensor) -> Tensor:
    return loss_of((scores >= scores.kthvalue(5).values).float(), weights)


def by_last_of_topk(scores: Tensor, weights: Tensor) -> Tensor:
    return loss_of((scores >= scores.topk(2).values[-1]).float(), weights)


FORMS = [by_topk, by_look_up, by_argsort, by_kthvalue, by_last_of_topk]


def leaves() -> list[Tensor]:
    return [SCORES.clone().requires_grad_(), WEIGHTS.clone().requires_grad_()]


def softened(loss: Loss, policy: object = None, seed: int = 0) -> Loss:
    generator = torch.Generator().manual_seed(seed)
    return softfx.soften(loss, policy, example_inputs=leaves(), generator=generator)  # type: ignore[call-overload,no-any-return]


def weights_gradient(loss: Loss) -> Tensor:
    given = leaves()
    return torch.autograd.grad(loss(*given), given[1])[0]


def plain(*operations: str) -> dict[str, object]:
    return {"preset": "gradients", "rule": [{"op": list(operations), "estimator": "soft"}]}


WITHOUT = plain("@discrete")


def _with_mask(mask: Tensor, scores: Tensor, weights: Tensor) -> Tensor:
    return loss_of(mask, weights)


def neighbour_gradients() -> list[Tensor]:
    """The gradients of the weights at all choices of two."""
    found = []
    for chosen in itertools.combinations(range(6), 2):
        mask = torch.zeros(6)
        mask[list(chosen)] = 1.0
        found.append(weights_gradient(partial(_with_mask, mask)))
    return found


@pytest.mark.parametrize("loss", FORMS)
def test_the_gradient_is_that_of_the_call_and_a_share_of_another_choice(loss: Loss) -> None:
    """Beside its derivative at the choice, weights have a part of that at one of the choices with exchanged places."""
    soft, without = softened(loss), softened(loss, WITHOUT)
    given = leaves()
    assert torch.equal(soft(*given), loss(*given))
    apart = {
        n
        for _ in range(12)
        for n, other in enumerate(neighbour_gradients())
        if torch.allclose(weights_gradient(soft) - weights_gradient(without), SHARE * other, atol=1e-6)
    }
    assert len(apart) > 2


def test_each_further_run_has_another_choice_and_a_generator_decides_which() -> None:
    first, again, other = (softened(by_topk, seed=seed) for seed in (3, 3, 4))
    gradients = [[weights_gradient(soft) for _ in range(5)] for soft in (first, again, other)]
    assert all(map(torch.equal, gradients[0], gradients[1]))
    assert not all(map(torch.equal, gradients[0], gradients[2]))
    assert not all(torch.equal(gradients[0][0], each) for each in gradients[0])


def test_reports_say_what_it_costs_before_anything_runs() -> None:
    report = softfx.check(by_topk, example_inputs=leaves())
    assert report.sites[0].estimator == "exchange"
    assert "Exchanged choices take 2 forward passes a step" in str(report)
    without = softfx.check(by_topk, WITHOUT, example_inputs=leaves())
    assert without.sites[0].estimator is None
    assert "forward passes" not in str(without)


def test_an_example_without_gradients_leaves_it_to_the_first_call_that_has_some() -> None:
    soft = softfx.soften(by_topk, example_inputs=(SCORES, WEIGHTS))
    assert soft.report.sites[0].estimator is None
    assert torch.equal(soft(SCORES, WEIGHTS), by_topk(SCORES, WEIGHTS))
    assert soft.report.sites[0].estimator is None
    given = leaves()
    first = soft(*given)
    assert torch.equal(first, by_topk(*given))
    assert bool((torch.autograd.grad(first, given[0])[0] != 0).all())
    assert soft.report.sites[0].estimator == "exchange"
    assert "2 forward passes a step" in str(soft.report)


def alone(scores: Tensor, weights: Tensor) -> Tensor:
    return by_topk(scores, weights.detach())


def of_rows(scores: Tensor, weights: Tensor) -> Tensor:
    """One choice for each row of data: what one row does not choose others do."""
    own = X * scores
    return torch.zeros_like(own).scatter(1, own.topk(2, 1).indices, 1.0).mul(weights).sum(1).tanh().mean()


def of_predictions(scores: Tensor, weights: Tensor) -> Tensor:
    """The loss is elsewhere: a further run would say nothing of it."""
    return X @ (torch.zeros_like(scores).scatter(0, scores.topk(2).indices, 1.0) * weights)


def of_a_threshold(scores: Tensor, weights: Tensor) -> Tensor:
    return loss_of((scores > 0.2).float(), weights)


@pytest.mark.parametrize("loss", [alone, of_rows, of_predictions, of_a_threshold])
def test_auto_has_no_further_run_where_it_would_say_nothing(loss: Loss) -> None:
    report = softfx.check(loss, example_inputs=leaves())
    assert all(site.estimator is None for site in report.sites)
    assert "forward passes" not in str(report)


class Counting(nn.Module):
    """Keeps what it has seen in a buffer: a further run would count it twice."""

    def __init__(self) -> None:
        super().__init__()
        self.scores, self.weights = nn.Parameter(SCORES.clone()), nn.Parameter(WEIGHTS.clone())
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        mask = torch.zeros_like(self.scores).scatter(0, self.scores.topk(2).indices, 1.0)
        return torch.tanh(x @ (mask * self.weights)).square().mean()


def test_a_call_that_changes_what_it_keeps_is_made_once_and_told() -> None:
    soft = softfx.soften(Counting(), example_inputs=(X,))
    soft(X).backward()  # type: ignore[no-untyped-call]
    assert soft.seen == 1
    assert "no choice is exchanged" in str(softfx.report_of(soft)).lower().replace("\n", " ")


def test_a_further_run_leaves_no_trace() -> None:
    """Lists grow once, lines are printed once, and random numbers go on as in the program."""
    seen: list[float] = []

    def noisy(scores: Tensor, weights: Tensor) -> Tensor:
        seen.append(random.random())
        print("called")
        return by_topk(scores, weights) + 0.1 * torch.rand(())

    soft = softened(noisy)
    results, states = [], []
    for loss in (noisy, soft):
        torch.manual_seed(0)
        random.seed(0)
        seen.clear()
        results.append([loss(*leaves()).item() for _ in range(3)])
        states.append((torch.rand(()).item(), random.random(), list(seen)))
    assert results[0] == results[1]
    assert states[0] == states[1]


def test_a_checkpointed_block_is_computed_again_with_the_same_exchange() -> None:
    def blocked(scores: Tensor, weights: Tensor) -> Tensor:
        return checkpoint(by_topk, scores, weights, use_reentrant=False)  # type: ignore[no-any-return]

    gradients = [[weights_gradient(soft) for _ in range(4)] for soft in (softened(by_topk), softened(blocked))]
    assert all(map(torch.allclose, *gradients))


def test_transforms_have_the_first_run_alone_and_say_so() -> None:
    soft = softened(by_topk)
    gradient = torch.func.grad(soft, argnums=1)(*(leaf.detach() for leaf in leaves()))
    assert torch.allclose(gradient, weights_gradient(softened(by_topk, WITHOUT)))
    assert "torch.func" in str(softfx.report_of(soft))


def test_a_further_run_that_fails_is_told_and_left_out() -> None:
    """An exchanged choice may lead where the program refuses its numbers."""

    def positive(scores: Tensor, weights: Tensor) -> Tensor:
        chosen = scores.topk(2).indices
        if sorted(chosen.tolist()) != [2, 4]:
            raise ValueError("not these")
        return torch.tanh(X[:, chosen] @ weights[chosen]).square().mean()

    soft = softened(positive)
    assert torch.allclose(weights_gradient(soft), weights_gradient(softened(positive, WITHOUT)))
    assert "raised ValueError" in str(softfx.report_of(soft)).replace("\n", " ")


def test_copies_and_second_derivatives() -> None:
    soft = copy.deepcopy(softened(by_topk))
    given = leaves()
    (first,) = torch.autograd.grad(soft(*given), given[1], create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), given[1])
    assert bool(second.isfinite().all())
    assert bool((second != 0).any())


def _trained(policy: object, seed: int) -> float:
    """The loss of three channels of ten behind filters of their own, after training."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(120, 10, 8, generator=g)
    good, filters = torch.randperm(10, generator=g)[:3], torch.randn(3, 4, generator=g)
    y = 4.0 * torch.tanh(F.conv1d(x[:, good], filters.unsqueeze(0)).squeeze(1)).mean(-1)
    given = [(0.1 * torch.randn(*size, generator=g)).requires_grad_() for size in ((10,), (10, 4))]

    def loss(scores: Tensor, filters: Tensor) -> Tensor:
        chosen = scores.topk(3).indices
        heard = torch.tanh(F.conv1d(x[:, chosen], filters[chosen].unsqueeze(0)).squeeze(1))
        return (4.0 * heard.mean(-1) - y).square().mean()

    soft = softfx.soften(loss, policy, example_inputs=given, generator=g)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(given, lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        soft(*given).backward()
        optimizer.step()
    return loss(*given).item()


def test_channels_are_found_that_a_linear_derivative_misses() -> None:
    """Of a weight that is not chosen that is the slope of the loss without it, which does not tell where to stop."""
    for seed in (0, 6, 8):
        assert _trained(None, seed) < 0.2 < 0.8 < _trained(WITHOUT, seed)
