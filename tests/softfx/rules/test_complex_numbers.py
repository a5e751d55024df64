"""Complex numbers: spectra that masks, choices and look-ups filter are softened as real numbers are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
import softtorch
from tests.generated.contracts import EXACT
from tests.helpers import EXECUTOR

X = torch.tensor([[0.3, -1.2, 2.0], [1.1, 0.4, -0.2]])


def spectrum(x: Tensor) -> Tensor:
    return torch.fft.fft(x, dim=-1)


def loud(x: Tensor) -> Tensor:
    return spectrum(x).abs() > 1.9


def times_a_mask(x: Tensor) -> Tensor:
    return torch.fft.ifft(spectrum(x) * loud(x)).real


def by_where(x: Tensor) -> Tensor:
    return torch.where(loud(x), spectrum(x), 0).imag


def by_masked_fill(x: Tensor) -> Tensor:
    return torch.view_as_real(spectrum(x).masked_fill(~loud(x), 0))


def by_assignment(x: Tensor) -> Tensor:
    f = spectrum(x)
    f[loud(x)] = 0
    return f.abs()


def in_place(x: Tensor) -> Tensor:
    f = spectrum(x).clone()
    f *= loud(x)
    return f.real


def mean_of_a_selection(x: Tensor) -> Tensor:
    return spectrum(x)[loud(x)].mean().abs()


def the_loudest(x: Tensor) -> Tensor:
    f = spectrum(x)
    return torch.view_as_real(f.gather(-1, f.abs().argmax(-1, keepdim=True)))


def as_a_matrix(x: Tensor) -> Tensor:
    return (loud(x).to(torch.complex64) @ spectrum(x).T).abs()


def of_a_rounded_phase(x: Tensor) -> Tensor:
    return torch.exp(1j * x.round()).real


def beside_an_infinity(x: Tensor) -> Tensor:
    wide = torch.complex(torch.where(x > 1.5, torch.inf, x), x)
    return (wide * (x < 1.5)).imag


def a_root_not_chosen(x: Tensor) -> Tensor:
    positive = torch.complex(x.relu(), torch.zeros_like(x))
    return torch.where(x > 0, positive.sqrt() + positive.log(), 0).real


PROGRAMS = [
    times_a_mask, by_where, by_masked_fill, by_assignment, in_place, mean_of_a_selection, the_loudest, as_a_matrix,
    of_a_rounded_phase, beside_an_infinity, a_root_not_chosen,
]  # fmt: skip


@EXECUTOR
@pytest.mark.parametrize("policy", (*EXACT, "smooth"))
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_decisions_about_complex_numbers_have_a_derivative(
    program: Callable[[Tensor], Tensor], policy: str, executor: str
) -> None:
    x = X.clone().requires_grad_()
    if executor == "graph" and program is mean_of_a_selection:
        pytest.skip("no graph holds rows that a mask selects")
    soft = softfx.soften(program, policy, example_inputs=(x,), executor=executor)
    result, wanted = soft(x), program(X)
    if policy != "smooth":
        torch.testing.assert_close(result.detach(), wanted, rtol=0, atol=0, equal_nan=True)
    assert all(site.action in ("soft", "straight_through", "guard") for site in soft.report.sites if site.op == "gt")
    weights = torch.linspace(0.5, 1.7, result.numel()).view(result.shape)
    (gradient,) = torch.autograd.grad((result.nan_to_num(nan=0.0) * weights).sum(), x)
    assert gradient.isfinite().all() and gradient.any()


def test_where_mixes_both_parts() -> None:
    mixed = softtorch.where(torch.tensor([0.25, 1.0]), torch.tensor([4 + 2j, 1j]), torch.tensor([0j, 3 + 0j]))
    torch.testing.assert_close(mixed, torch.tensor([1 + 0.5j, 1j]))


@pytest.mark.parametrize("function", [torch.sqrt, torch.log], ids=lambda function: function.__name__)
def test_guards_of_complex_numbers_have_no_derivative_at_zero_and_torchs_elsewhere(
    function: Callable[[Tensor], Tensor],
) -> None:
    x = torch.tensor([0j, -3 + 4j], requires_grad=True)
    safe = getattr(softtorch, function.__name__)
    torch.testing.assert_close(safe(x)[1], function(x)[1])
    gradients = [torch.autograd.grad(f(x)[1].abs(), x)[0][1] for f in (safe, function)]
    torch.testing.assert_close(*gradients)
    assert torch.autograd.grad(safe(x).abs().sum(), x)[0][0] == 0


def test_the_quotient_by_a_complex_zero_is_zero() -> None:
    y = torch.tensor([0j, 2j], requires_grad=True)
    torch.testing.assert_close(softtorch.div(torch.tensor([1 + 0j, 1 + 0j]), y), torch.tensor([0j, -0.5j]))


MOVES: list[Callable[[Tensor, Tensor], Tensor]] = [
    lambda z, x: z * (x > 0),
    lambda z, x: torch.where(x > 0, z, 0),
    lambda z, x: z.gather(-1, x.topk(2, -1).indices),
    lambda z, x: z[x[:, 0].argmax()],
    lambda z, x: z[x[:, 0].round().long().clamp(0, 1)],
    lambda z, x: z.index_copy(0, x[:, 0].argsort(), z.flip(0)),
    lambda z, x: (x > 0).to(z.dtype) @ z.T,
    lambda z, x: torch.kron((x > 0).to(z.dtype), z),
]


@pytest.mark.parametrize("policy", ["gradients", "smooth"])
@pytest.mark.parametrize("number", range(len(MOVES)))
def test_what_moves_complex_numbers_moves_both_of_their_parts(number: int, policy: str) -> None:
    move, gradients = MOVES[number], []

    def together(x: Tensor) -> Tensor:
        return torch.view_as_real(move(torch.complex(x, x.sin()), x))

    def apart(x: Tensor) -> Tensor:
        return torch.stack([move(x, x), move(x.sin(), x)], -1)

    for program in (together, apart):
        x = X.double().requires_grad_()
        preset = {"preset": policy, "default": {"softness": 0.3}}
        result = softfx.soften(program, preset, example_inputs=(x,))(x)
        weights = torch.linspace(0.5, 1.7, result.numel(), dtype=x.dtype).view(result.shape)
        gradients.append(torch.autograd.grad((result * weights).sum(), x)[0])
    torch.testing.assert_close(*gradients)


def _guarded(x: Tensor) -> Tensor:
    z = torch.complex(x, x.flip(0))
    return (z / z.abs() * (x > 0)).abs()


def _written(x: Tensor) -> Tensor:
    y = torch.complex(x, x.flip(0)).clone()
    y[x > 0] = 0
    y.real.mul_(2)
    return y.abs() + x.round()


@pytest.mark.parametrize("policy", ["gradients", "smooth"])
@pytest.mark.parametrize("program", [times_a_mask, by_where, _guarded, _written])
def test_transforms_take_the_derivative_of_complex_numbers(program: Callable[[Tensor], Tensor], policy: str) -> None:
    x = torch.tensor([[0.3, -1.2, 2.0], [1.1, 0.4, -0.2]])
    soft = softfx.soften(program, policy, example_inputs=(x,))

    def total(x: Tensor) -> Tensor:
        value: Tensor = soft(x).sum()
        return value

    own = x.clone().requires_grad_()
    expected = torch.autograd.grad(total(own), own)[0]
    torch.testing.assert_close(torch.func.grad(total)(x), expected)
    assert torch.func.hessian(total)(x).isfinite().all()
