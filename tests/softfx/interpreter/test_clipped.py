"""Clipped numbers that are compared with the number at which they were clipped."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from softfx.runtime.clips import beside_corner

WEIGHTS = torch.tensor([0.3, -1.0, 0.8, 1.4, -0.2, 0.5])
Program = Callable[[Tensor], Tensor]

SAME: dict[str, tuple[Program, Program]] = {  # a question about clipped numbers, and the same of the numbers before
    "relu above 0": (lambda x: F.relu(x) > 0, lambda x: x > 0),
    "relu not 0, reflected": (lambda x: 0 != torch.relu(x), lambda x: x > 0),  # noqa: SIM300
    "relu is 0": (lambda x: x.relu() == 0.0, lambda x: x <= 0),
    "0 below relu6": (lambda x: 0 < F.relu6(x), lambda x: x > 0),  # noqa: SIM300
    "relu6 is 6": (lambda x: F.relu6(6.0 * x) >= 6, lambda x: 6.0 * x >= 6),
    "clamp at its highest": (lambda x: x.clamp(-0.5, 0.5) == 0.5, lambda x: x >= 0.5),
    "clamp above its lowest": (lambda x: torch.clamp(x, min=-0.5) > -0.5, lambda x: x > -0.5),
    "clamp_max below it": (lambda x: x.clamp_max(0.25) < 0.25, lambda x: x < 0.25),
    "hardtanh at its lowest": (lambda x: F.hardtanh(x) <= -1, lambda x: x <= -1),
}


def numbers() -> Tensor:
    return torch.randn(4, 6, generator=torch.Generator().manual_seed(5)).requires_grad_()


def gradient(program: Program, executor: softfx.api.Executor = "auto") -> Tensor:
    def weighted(x: Tensor) -> Tensor:
        return program(x).float() @ WEIGHTS

    x = numbers()
    soft = softfx.soften(weighted, example_inputs=(x,), executor=executor)
    value = soft(x)
    assert torch.equal(value, weighted(x))
    return torch.autograd.grad(value.sum(), x)[0]


@pytest.mark.parametrize("executor", ["eager", "graph"])
@pytest.mark.parametrize("name", SAME)
def test_a_question_whether_numbers_were_clipped_is_asked_of_the_numbers(
    name: str, executor: softfx.api.Executor
) -> None:
    clipped, before = SAME[name]
    assert torch.allclose(gradient(clipped, executor), gradient(before, executor), atol=1e-6)


def test_the_number_of_entries_that_a_relu_leaves_is_that_of_positive_ones() -> None:
    clipped = gradient(lambda x: torch.count_nonzero(F.relu(x.T), 1).expand(6))
    assert torch.allclose(clipped, gradient(lambda x: (x.T > 0).sum(1).expand(6)), atol=1e-6) and clipped.any()


def test_other_comparisons_of_clipped_numbers_are_their_own() -> None:
    def elsewhere(x: Tensor) -> Tensor:
        return (F.relu(x) > 0.5).float()

    def written(x: Tensor) -> Tensor:
        positive = F.relu(x)
        positive[:, 0] = 1.0
        return (positive > 0).float()

    def of_another(x: Tensor) -> Tensor:
        return (F.relu(x) > x).float()

    for program in (elsewhere, written, of_another):
        soft = softfx.soften(program, example_inputs=(numbers(),), executor="graph")
        assert "beside_corner" not in str(softfx.source(soft))


@pytest.mark.parametrize("compare", [torch.eq, torch.ne, torch.gt, torch.ge, torch.lt, torch.le])
@pytest.mark.parametrize("mode", ["smooth", "c1", "tailed"])
def test_the_soft_form_tends_to_the_hard_one(compare: Callable[..., Tensor], mode: str) -> None:
    x = torch.tensor([-torch.inf, -1.0, 0.2, 1.0, torch.inf])
    for is_lowest, clipped in ((True, x.clamp(min=0.1)), (False, x.clamp(max=0.1))):
        soft = beside_corner(compare, x, 0.1, is_lowest, softness=1e-7, mode=mode)
        assert torch.allclose(soft, compare(clipped, torch.tensor(0.1)).float(), atol=1e-6)


def test_nan_has_the_programs_answer() -> None:
    x = torch.tensor([float("nan"), 1.0, -1.0], requires_grad=True)
    for program in (lambda x: (F.relu(x) != 0).float(), lambda x: (F.relu(x) > 0).float()):
        value = softfx.soften(program, example_inputs=(x,))(x)
        assert torch.equal(value, program(x))
        assert torch.autograd.grad(value.sum(), x)[0][1:].isfinite().all()
