"""The mode of straight-through forms: values of mode hard, derivatives of the other mode, curve by curve."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softtorch
from softtorch.errors import MethodError
from softtorch.modes import HARD, MODES, Mode, StraightThrough
from tests.softtorch.cases import CURVE_MODES, draw, weights_like

# Each curve, and the same of mode hard, which has torch's own functions in place of curves of a softness.
CURVES: dict[str, tuple[Callable[[Mode, Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "sigmoidal": (lambda mode, u: mode.sigmoidal(u), HARD.sigmoidal),
    "softrelu": (lambda mode, u: mode.softrelu(u), HARD.softrelu),
    "project": (lambda mode, u: mode.project(u), HARD.project),
    "step_of": (lambda mode, u: mode.step_of(u, 0.5), lambda u: HARD.sigmoidal(u / 0.5)),
    "ramp_of": (lambda mode, u: mode.ramp_of(u, 0.5), torch.relu),
}


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("name", CURVE_MODES)
def test_a_curve_has_the_hard_value_and_the_soft_derivative(name: str, curve: str) -> None:
    u = draw(4, 5).requires_grad_()
    of, hard = CURVES[curve]
    result = of(StraightThrough(MODES[name]), u)
    assert torch.equal(result, hard(u))
    found, expected = (torch.autograd.grad((y * weights_like(y)).sum(), u)[0] for y in (result, of(MODES[name], u)))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", CURVE_MODES)
def test_operators_take_it_for_their_whole_formula(name: str) -> None:
    x = draw(3, 4).requires_grad_()
    mode = StraightThrough(MODES[name])
    for operator, form in ((softtorch.abs, softtorch.abs_st), (softtorch.round, softtorch.round_st)):
        result = operator(x, mode=mode)
        assert torch.equal(result, form(x, mode=name))
        found = torch.autograd.grad(result.square().sum(), x)[0]
        expected = torch.autograd.grad((operator(x, mode=name) * 2 * result.detach()).sum(), x)[0]
        torch.testing.assert_close(found, expected)


def test_methods_are_not_defined_in_it() -> None:
    with pytest.raises(MethodError, match="argmax: method 'softsort' is not defined in mode 'straight_through'"):
        softtorch.argmax(draw(3), mode=StraightThrough(MODES["smooth"]))
