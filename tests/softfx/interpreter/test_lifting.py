"""What is lifted of blocks without gradients and of detachments, and what stays because it outlives the call."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import softfx
from tests.helpers import EXECUTORS


class Average(nn.Module):
    """A share of entries, beside its moving average, which is updated in one of four ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.register_buffer("average", torch.zeros(()))
        self.history: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        share = (x > 0).float().mean()
        if self.way == "written":
            self.average.mul_(0.9).add_(share.detach() * 0.1)
        elif self.way == "bound":
            self.average = self.average * 0.9 + share.detach() * 0.1
        elif self.way == "bound in a block":
            with torch.no_grad():
                self.average = self.average * 0.9 + share * 0.1
        else:
            self.history = [*self.history[-3:], share.detach()]
            return x.sum() * torch.stack(self.history).mean() + share
        return x.sum() * self.average + share


@pytest.mark.parametrize("way", ["written", "bound", "bound in a block", "in a list"])
@pytest.mark.parametrize("preset", ["lifted", "smooth"])
def test_what_a_module_keeps_of_one_call_for_the_next_carries_no_derivative(preset: str, way: str) -> None:
    soft = softfx.soften(Average(way), preset, example_inputs=(torch.randn(5),))
    for _ in range(3):  # a second backward pass through the first call would raise
        x = torch.randn(5, requires_grad=True)
        soft(x).backward()
        assert x.grad is not None and bool(x.grad.any())
        assert not soft.average.requires_grad and not any(value.requires_grad for value in soft.history)


def test_a_detachment_of_what_outlives_the_call_is_told() -> None:
    class Observer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("counts", torch.zeros(3))

        def forward(self, x: Tensor) -> Tensor:
            self.counts += torch.histc(x, 3, -1, 1).detach()
            return x / self.counts.sum()

    (site, *_) = softfx.soften(Observer(), "lifted", example_inputs=(torch.randn(5),)).report.sites
    assert site.op == "histc" and site.action == "keep"
    assert "such a detachment is not lifted, for what outlives the call is written in place" in site.reason


def test_a_detachment_within_the_call_is_lifted() -> None:
    def program(x: Tensor) -> Tensor:
        scale = x.round().detach() + 1.0
        local = torch.zeros(3)
        local.add_(scale)
        return (local * 2).sum()

    x = torch.tensor([0.2, 1.4, 2.6], requires_grad=True)
    soft = softfx.soften(program, "lifted", example_inputs=(x,))
    assert bool(torch.autograd.grad(soft(x), x)[0].all())


def test_a_detachment_is_left_where_the_program_fails_without_it() -> None:
    def copied(x: Tensor) -> Tensor:
        return copy.deepcopy(x.detach()).round() * x

    def differentiated(x: Tensor) -> Tensor:
        v = x.detach().clone().requires_grad_()
        (v.round() * v).sum().backward()
        assert v.grad is not None
        return v.grad * x

    for program in (copied, differentiated):
        x = torch.tensor([0.3, -1.2, 2.0], requires_grad=True)
        soft = softfx.soften(program, "lifted", example_inputs=(x,), allow_unused=True)
        assert torch.equal(soft(x), program(x))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_lifted_detachment_has_the_strides_of_the_original(executor: str) -> None:
    def program(x: Tensor) -> tuple[Tensor, Tensor]:
        part = x.round()[:, :2].split(1)[-1]  # (1, 2), of rows of four
        return part.long().detach(), part.detach()

    soft = softfx.soften(program, "lifted", example_inputs=(torch.ones(3, 4),), executor=executor)
    x = torch.randn(3, 4)
    assert [found.stride() for found in soft(x)] == [expected.stride() for expected in program(x)]
