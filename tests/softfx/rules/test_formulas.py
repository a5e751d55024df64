"""Every formula that `softfx explain` shows is the value that the softened operation has, in each mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import softfx
import softtorch
from softfx.report.mathematics import NOTATION, notation
from softfx.rules import RULES
from softtorch.modes import MODES
from tests.softfx.rules.formula_cases import CALLS, PROBABILITIES, ROW, Call, S, X, numbers
from tests.softfx.rules.formula_language import Evaluation, on_axis, parse

FORMULAS = {name: rule.formula for name, rule in RULES.items() if rule.relax is not None and rule.family != "unsafe"}
# What is evaluated beside the formula in a test of its own.
APART = {"scaled_dot_product_attention", "multinomial", "bernoulli", "existing_straight_through", "reduce_as_integers"}


def polynomial(*coefficients: float) -> Callable[[Tensor], Tensor]:
    """A step from 0 at -5 to 1 at 5, a polynomial of the way gone, the constant term first."""

    def step(z: Tensor) -> Tensor:
        gone = (z / 10.0 + 0.5).clamp(0.0, 1.0)
        return sum((c * gone**power for power, c in enumerate(coefficients)), torch.zeros_like(gone))

    return step


STEPS: dict[str, Callable[[Tensor], Tensor]] = {
    "smooth": torch.sigmoid,
    "c0": polynomial(0, 1),
    "c1": polynomial(0, 0, 3, -2),
    "c2": polynomial(0, 0, 0, 10, -15, 6),
}
PROJECTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    mode: MODES[mode].project if mode != "smooth" else lambda z: torch.softmax(z, -1) for mode in STEPS
}
# The symbols that have a value in every call.
BY_DEFAULT = {"s": S, "epsilon": 1e-10}


def evaluation(call: Call, mode: str) -> Evaluation:
    values = {**BY_DEFAULT, **call.values}
    return Evaluation(FORMULAS, STEPS[mode], PROJECTIONS[mode], values, call.sequences, call.indices)


def softened(name: str, call: Call, mode: str) -> tuple[Tensor, ...]:
    """The results of the program with this operation alone softened."""
    fields = dict(call.fields) | ({"mode": mode} if mode != "smooth" else {})
    policy = {"rule": [{"op": name, "action": "soft", "outputs": "distribution", **fields}]}
    inputs = tuple(x.clone().requires_grad_() for x in call.inputs)
    results = softfx.soften(call.program, policy, example_inputs=inputs)(*inputs)
    return results if isinstance(results, tuple) else (results,)


def modes_of(name: str) -> tuple[str, ...]:
    return ("smooth",) if name == "scatter_extremum" or "mode" not in RULES[name].options else tuple(STEPS)


@pytest.mark.parametrize(
    ("name", "number", "mode"),
    [(name, number, mode) for name, calls in CALLS.items() for number in range(len(calls)) for mode in modes_of(name)],
)
def test_the_formula_is_the_value_of_the_softened_operation(name: str, number: int, mode: str) -> None:
    call = CALLS[name][number]
    stated = evaluation(call, mode).results(FORMULAS[name], call.case)
    for result, found in zip(call.names, softened(name, call, mode), strict=True):
        torch.testing.assert_close(found.detach().squeeze(), stated[result], rtol=1e-10, atol=1e-11)


def test_the_formula_of_relu_in_mode_smooth_is_the_integral() -> None:
    (call,) = CALLS["relu"]
    integral, closed = (
        evaluation(call, "smooth").results(FORMULAS["relu"], label)[""] for label in (None, "mode smooth")
    )
    torch.testing.assert_close(integral, closed, rtol=1e-10, atol=1e-11)


def test_every_formula_is_tried_and_no_operation_that_is_not_relaxed_has_one() -> None:
    assert set(CALLS) | APART == set(FORMULAS)
    assert not [rule for rule in RULES.values() if rule.relax is None and rule.formula and rule.family != "control"]


def test_a_relaxed_operation_without_a_formula_is_an_error_at_import() -> None:
    with pytest.raises(ValueError, match=r"Rule SX101: 'round' is relaxed and has no formula\. .* Give `formula`"):
        replace(RULES["round"], formula="")


def test_every_symbol_with_a_meaning_is_used_and_explained_where_it_is() -> None:
    texts = [notation(text) for text in FORMULAS.values()]
    for meaning in NOTATION.values():
        assert any(meaning in text for text in texts)
    assert notation(FORMULAS["sign"]).startswith("s is the softness; sigma is the step of the mode")


PROSE = {
    "a the mean slope", "a the negative slope", "at most 1", "for bin k between its edges",
    "for the gap k of the boundaries b",
    "g Gumbel noise", "g logistic noise", "i from the largest on", "i from the smallest on", "i up to k",
    "its own value", "m + w = 1 + q (n - 1)", "m the lower of the middle places", "of a probability",
    "of each element before the reduction", "of probabilities", "over the integers k around x",
    "over those left where none is drawn twice", "softpick(Q K^T / sqrt(d) + mask) V",
    "the outer edges infinite where the bins span the data", "the rotation that takes x to q",
    "the sum of the probabilities of equal pairs", "values x_j as they are", "w the weight", "x the distinct numbers",
}  # fmt: skip


def test_the_prose_in_formulas_is_known_so_that_no_mistyped_clause_passes_for_it() -> None:
    found = {clause for text in FORMULAS.values() for case in parse(text) for clause in case.prose}
    assert {clause for clause in found if not clause.endswith(" soft")} == PROSE


# -- formulas that other symbols are needed for ------------------------------------------------------------------------


def test_a_comparison_of_indices_is_the_sum_of_the_probabilities_of_equal_pairs() -> None:
    x, y = numbers(5, 4).requires_grad_(), numbers(6, 4).requires_grad_()
    policy = {"rule": [{"op": ["argmax", "eq"], "action": "soft", "outputs": "distribution"}]}
    found = softfx.soften(lambda x, y: x.argmax() == y.argmax(), policy, example_inputs=(x, y))(x, y)
    assert torch.allclose(found, (softtorch.argmax(x) * softtorch.argmax(y)).sum())


def test_softpick_attention_is_the_formula() -> None:
    query, key, value, mask = numbers(7, 3, 4), numbers(8, 5, 4), numbers(9, 5, 2), numbers(10, 3, 5)
    call = Call(torch.nn.functional.scaled_dot_product_attention, (query, key, value, mask))
    (found,) = softened("scaled_dot_product_attention", call, "smooth")
    scores = query @ key.mT / 4**0.5 + mask
    assert torch.allclose(found, scores / (1 + scores.abs().sum(-1, keepdim=True)) @ value)


@pytest.mark.parametrize("reduction", [torch.sum, torch.prod])
def test_numbers_reduced_as_integers_lose_their_fraction_first(reduction: Callable[..., Tensor]) -> None:
    call = Call(
        lambda x: reduction(x, dtype=torch.int64),
        (2 * ROW,),
        {"x": on_axis(2 * ROW, 0)},
        indices=CALLS["round"][0].indices,
    )
    policy = {"rule": [{"op": "reduce_as_integers", "action": "soft"}]}
    found = softfx.soften(call.program, policy, example_inputs=call.inputs)(*call.inputs)
    assert torch.allclose(found, reduction(evaluation(call, "smooth").results(FORMULAS["reduce_as_integers"])[""]))


def of_draws(name: str, case: str, noise: Tensor) -> Tensor:
    sequences = {"p": (PROBABILITIES, 1), "g": (noise, 1)}
    values: dict[str, Any] = {"p": on_axis(PROBABILITIES, 0), "g": on_axis(noise, 0), "n": len(noise)}
    call = Call(lambda: None, (), values, sequences if name == "multinomial" else {})
    (result,) = evaluation(call, "smooth").results(FORMULAS[name], case).values()
    return result


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_a_soft_bernoulli_draw_is_the_formula() -> None:
    """The noise is what a draw of softness 1 from the same seed had."""
    noise = softtorch.bernoulli(PROBABILITIES, 1.0, generator=seeded()).logit() - PROBABILITIES.logit()
    stated = of_draws("bernoulli", "soft", noise)
    assert torch.allclose(softtorch.bernoulli(PROBABILITIES, generator=seeded()), stated)


@pytest.mark.parametrize(("replacement", "case"), [(True, "soft, with replacement"), (False, "without")])
def test_a_soft_multinomial_draw_is_the_formula(replacement: bool, case: str) -> None:
    """The noise, but for a number that all entries share, is what a draw of softness 1 from the same seed had."""
    one = softtorch.multinomial(PROBABILITIES, 1, True, 1.0, generator=seeded())[0]
    stated = of_draws("multinomial", case, one.log() - PROBABILITIES.log())
    found = softtorch.multinomial(PROBABILITIES, 1, replacement, generator=seeded())
    assert torch.allclose(found[0], stated if replacement else stated[0])


def test_the_noise_of_draws_is_logistic_and_gumbel() -> None:
    """A difference of two Gumbel numbers is logistic, and a logistic number has the variance pi^2 / 3."""
    half = torch.full((20000,), 0.5, dtype=torch.float64)
    logistic = softtorch.bernoulli(half, 1.0, generator=seeded()).logit()
    gumbel = softtorch.multinomial(half.reshape(-1, 2), 1, True, 1.0, generator=seeded()).log().squeeze(1)
    for noise in (logistic, gumbel[:, 0] - gumbel[:, 1]):
        # Four standard errors of the mean and of the variance of 10000 logistic numbers, whose kurtosis is 4.2.
        torch.testing.assert_close(noise.mean(), torch.zeros_like(noise.mean()), rtol=0.0, atol=0.073)
        torch.testing.assert_close(noise.var(), torch.full_like(noise.var(), torch.pi**2 / 3), rtol=0.072, atol=0.0)


def straight_through(name: str, program: Callable[[Tensor], Tensor], p: Tensor) -> Tensor:
    policy = {"rule": [{"op": name, "action": "straight_through"}]}
    drawn: Tensor = softfx.soften(program, policy, example_inputs=(p,))(p)
    return drawn


def test_a_straight_through_bernoulli_draw_has_the_derivative_of_its_probability() -> None:
    p = PROBABILITIES.clone().requires_grad_()
    (found,) = torch.autograd.grad(straight_through("bernoulli", torch.bernoulli, p).sum(), p)
    assert torch.equal(found, torch.ones_like(p))
    assert torch.equal(of_draws("bernoulli", "straight-through", PROBABILITIES), PROBABILITIES)


@pytest.mark.parametrize("draws", [1, 3])
def test_a_straight_through_multinomial_draw_has_the_derivative_over_those_left(draws: int) -> None:
    p, values = PROBABILITIES.clone().requires_grad_(), torch.arange(7.0, dtype=torch.float64)
    drawn = straight_through("multinomial", lambda p: values[torch.multinomial(p, draws)], p)
    left = p.masked_fill(torch.isin(values, drawn.detach()[:-1]), 0.0)
    (expected,) = torch.autograd.grad((left / left.sum()) @ values, p)
    assert torch.allclose(torch.autograd.grad(drawn[-1], p)[0], expected)
    stated = of_draws("multinomial", "straight-through", PROBABILITIES)
    assert torch.allclose(stated, PROBABILITIES / PROBABILITIES.sum())


def test_straight_through_code_keeps_its_value_and_its_rotation_takes_x_to_q() -> None:
    def program(x: Tensor) -> Tensor:
        return x + (x.round() - x).detach()

    x = X[:4].clone().requires_grad_()
    policy = {"rule": [{"op": "existing_straight_through", "action": "straight_through", "estimator": "rotation"}]}
    result = softfx.soften(program, policy, example_inputs=(x,))(x)
    assert torch.equal(result, x.round())
    rows = torch.stack([torch.autograd.grad(part, x, retain_graph=True)[0] for part in result])
    assert torch.allclose(rows @ x, x.round())  # the linear map takes x to q
    scaled = rows * x.norm() / x.round().norm()
    assert torch.allclose(scaled @ scaled.mT, torch.eye(4, dtype=x.dtype))  # and is a rotation, but for its scale
