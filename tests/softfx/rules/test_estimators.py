"""What gives a straight-through site its derivative by the policy's `estimator`, and what leaves by its `outputs`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import softfx
import softtorch
from tests.helpers import EXECUTOR


def policy(op: str | list[str], **fields: Any) -> dict[str, Any]:
    return {"rule": [{"op": op, "action": "straight_through", **fields}]}


def pick(scores: Tensor, values: Tensor) -> Tensor:
    return values[scores.argmax(-1)]


@EXECUTOR
def test_identity_passes_the_gradient_of_a_rounding_as_it_is(executor: str) -> None:
    x = torch.tensor([0.2, 1.7, -2.4], requires_grad=True)
    soft = softfx.soften(
        lambda x: x.round() ** 2, policy("round", estimator="identity"), example_inputs=(x,), executor=executor
    )
    assert torch.equal(soft(x), x.round() ** 2)
    (gradient,) = torch.autograd.grad(soft(x).sum(), x)
    assert torch.equal(gradient, 2 * x.round())


@EXECUTOR
def test_identity_of_a_comparison_is_the_difference_of_what_is_compared(executor: str) -> None:
    def binary(x: Tensor, y: Tensor) -> Tensor:
        return (x > y).float() * 3.0 + (x <= 0.5)

    x, y = torch.tensor([0.2, 1.7], requires_grad=True), torch.tensor([0.1, 2.0], requires_grad=True)
    soft = softfx.soften(binary, policy(["gt", "le"], estimator="identity"), example_inputs=(x, y), executor=executor)
    assert torch.equal(soft(x, y), binary(x, y))
    of_x, of_y = torch.autograd.grad(soft(x, y).sum(), (x, y))
    assert torch.equal(of_x, torch.full((2,), 2.0)) and torch.equal(of_y, torch.full((2,), -3.0))


@EXECUTOR
def test_reinmax_is_that_of_softtorch(executor: str) -> None:
    scores, values = torch.randn(4, 5).requires_grad_(), torch.randn(5)
    chosen = policy("argmax", estimator="reinmax", softness=0.7)
    soft = softfx.soften(pick, chosen, example_inputs=(scores, values), executor=executor)
    index = softtorch.st(softtorch.argmax, "reinmax")(scores, -1, softness=0.7)
    (wanted,) = torch.autograd.grad((index @ values).sum(), scores)
    (gradient,) = torch.autograd.grad(soft(scores, values).sum(), scores)
    assert torch.equal(soft(scores, values), pick(scores, values))
    assert torch.allclose(gradient, wanted, atol=1e-6)  # float32 rounding


@pytest.mark.parametrize("count", [1, 3])
@EXECUTOR
def test_reinmax_of_a_draw_is_that_of_softtorch_for_what_was_drawn(executor: str, count: int) -> None:
    logits, values = torch.randn(4, 5).requires_grad_(), torch.randn(5)

    def draw(logits: Tensor, values: Tensor) -> Tensor:
        return values[torch.multinomial(logits.softmax(-1), count, replacement=True)]

    chosen = policy("multinomial", estimator="reinmax")
    soft = softfx.soften(draw, chosen, example_inputs=(logits, values), executor=executor)
    torch.manual_seed(0)
    found = soft(logits, values)
    torch.manual_seed(0)
    drawn = torch.multinomial(logits.softmax(-1), count, replacement=True)
    assert torch.equal(found, values[drawn])
    hard = torch.nn.functional.one_hot(drawn, 5).float()
    wanted = softtorch.reinmax(logits.unsqueeze(1).expand(4, count, 5), hard=hard) @ values
    expected, gradient = (torch.autograd.grad(out.square().sum(), logits)[0] for out in (wanted, found))
    assert torch.allclose(gradient, expected, atol=1e-5)  # float32 rounding


@EXECUTOR
def test_gumbel_draws_in_the_frequencies_of_softmax(executor: str) -> None:
    scores = torch.tensor([0.0, 1.0, -1.0]).expand(4000, 3).clone().requires_grad_()
    values = torch.tensor([0.0, 1.0, 2.0])
    soft = softfx.soften(pick, policy("argmax", estimator="gumbel"), example_inputs=(scores, values), executor=executor)
    torch.manual_seed(0)
    drawn = soft(scores, values)
    frequencies = torch.stack([(drawn == value).float().mean() for value in values])
    # Four standard deviations of a frequency of 4000 draws are at most 0.032.
    assert torch.allclose(frequencies, scores[0].softmax(-1), atol=0.032)
    assert torch.autograd.grad(drawn.sum(), scores)[0].isfinite().all()


@EXECUTOR
def test_a_drawn_comparison_holds_with_the_probability_of_the_logistic_function(executor: str) -> None:
    x = torch.full((4000,), 0.8, requires_grad=True)
    soft = softfx.soften(
        lambda x: (x > 0).float(), policy("gt", estimator="gumbel"), example_inputs=(x,), executor=executor
    )
    torch.manual_seed(0)
    assert abs(soft(x).mean().item() - torch.sigmoid(torch.tensor(0.8)).item()) < 0.032  # as above


@EXECUTOR
def test_draws_are_made_without_gradients_too(executor: str) -> None:
    x = torch.zeros(200)
    soft = softfx.soften(
        lambda x: (x > 0).float(), policy("gt", estimator="gumbel"), example_inputs=(x,), executor=executor
    )
    with torch.no_grad():
        assert 0 < soft(x).sum() < 200


def test_the_report_names_the_estimator() -> None:
    x = torch.randn(3)
    report = softfx.check(torch.argmax, policy("argmax", estimator="soft", outputs="distribution"), example_inputs=(x,))
    assert report.sites[0].estimator is None
    report = softfx.check(lambda x: x.round() * x, policy("round", estimator="identity"), example_inputs=(x,))
    assert report.sites[0].estimator == "identity" and "estimator identity" in str(report)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"op": "argmax", "estimator": "identity"},
            "does not fit argmax. Estimators for it: soft, gumbel, exchange, reinmax",
        ),
        ({"op": "round", "estimator": "reinmax"}, "does not fit round. Estimators for it: soft, identity"),
        ({"op": "round", "estimator": "identity", "action": "soft"}, "needs action = 'straight_through'"),
    ],
)
def test_an_estimator_that_does_not_fit_is_told(fields: dict[str, Any], message: str) -> None:
    x = torch.randn(3)
    with pytest.raises(softfx.PolicyError, match=message):
        softfx.check(lambda x: x.round()[x.argmax()], {"rule": [fields]}, example_inputs=(x,))


def test_an_estimator_by_default_is_taken_where_it_fits() -> None:
    x = torch.randn(3)
    report = softfx.check(lambda x: x.round()[x.argmax()], {"default": {"estimator": "identity"}}, example_inputs=(x,))
    assert {site.op: site.estimator for site in report.sites} == {"round": "identity", "argmax": None}


@EXECUTOR
@pytest.mark.parametrize("action", ["soft", "straight_through"])
def test_an_index_may_leave_as_its_distribution(action: str, executor: str) -> None:
    x = torch.randn(4, 5).requires_grad_()
    soft = softfx.soften(
        lambda x: x.argmax(-1),
        {"default": {"action": action, "outputs": "distribution", "softness": 0.1}},
        example_inputs=(x,),
        executor=executor,
    )
    wanted = (softtorch.argmax if action == "soft" else softtorch.argmax_st)(x, -1)
    assert torch.equal(soft(x), wanted)
    weights = torch.randn(4, 5)
    gradients = [torch.autograd.grad((value * weights).sum(), x)[0] for value in (soft(x), wanted)]
    assert torch.equal(*gradients) and gradients[0].abs().sum() > 0


@EXECUTOR
def test_a_result_may_leave_as_the_original_gives_it(executor: str) -> None:
    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        index = x.argmax(-1)
        return x.gather(-1, index.unsqueeze(-1)), index

    x = torch.randn(4, 5)
    soft = softfx.soften(
        both, {"default": {"action": "soft", "outputs": "hard"}}, example_inputs=(x,), executor=executor
    )
    value, index = soft(x)
    assert torch.equal(index, both(x)[1]) and not torch.equal(value, both(x)[0])


def test_a_site_that_may_not_act_in_part_is_blocked() -> None:
    def halves(x: Tensor) -> Tensor:
        bits = (x > 0).long()
        return x * torch.gcd(bits, bits) + x * bits

    x = torch.randn(3)
    assert softfx.check(halves, example_inputs=(x,)).counts["straight_through"] == 1
    report = softfx.check(halves, policy("gt", allow_partial=False), example_inputs=(x,))
    assert report.counts["blocked"] == 1 and "gcd" in report.sites[0].reason
