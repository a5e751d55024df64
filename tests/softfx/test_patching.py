"""patched: soft inside the block, the original before and after it."""

from __future__ import annotations

import colorsys
import types
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx import patching


def choose(x: Tensor) -> Tensor:
    return x * (x > 0)


def consumer(x: Tensor) -> Tensor:
    return choose(x).sum()


class Rounded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.scale).round()


def test_a_function_is_soft_where_its_module_calls_it_and_hard_again_after() -> None:
    x = torch.tensor([-0.1, 0.1, 0.3], requires_grad=True)
    (before,) = torch.autograd.grad(consumer(x), x)
    with softfx.patched(f"{__name__}:choose", "gradients") as patch:
        value = consumer(x)
        (inside,) = torch.autograd.grad(value, x)
    (after,) = torch.autograd.grad(consumer(x), x)
    assert torch.equal(value, consumer(x)) and torch.equal(before, after) and not torch.equal(before, inside)
    assert [site.op for report in patch.reports for site in report.sites] == ["gt"]


@pytest.mark.parametrize("kind", ["instance", "class"])
def test_a_modules_forward_is_soft_inside_the_block(kind: str) -> None:
    module = Rounded()
    x = torch.tensor([0.2, 0.9])
    original = Rounded.forward
    with softfx.patched(module if kind == "instance" else Rounded, "gradients"):
        module(x).sum().backward()
    assert module.scale.grad is not None and module.scale.grad != 0
    assert Rounded.forward is original and "forward" not in vars(module)


def test_the_original_comes_back_when_the_block_raises() -> None:
    original = choose
    with pytest.raises(ZeroDivisionError), softfx.patched(choose):
        raise ZeroDivisionError
    assert choose is original


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("no_such_package:f", "cannot be imported"),
        ("torch.nn.functional:relux", "Did you mean"),
        (3, "patched: 3 cannot be softened in place"),
        (types.FunctionType(choose.__code__, {}, "unheld"), "no imported module holds"),
    ],
)
def test_a_target_that_nothing_calls_is_an_error(target: Any, says: str) -> None:
    with pytest.raises(softfx.TargetError, match=says), softfx.patched(target):
        pass


def test_names_resolve_through_classes() -> None:
    assert patching.resolve_name("torch.nn:Module.forward") is nn.Module.forward


def test_a_patch_says_what_it_softens_and_how_much_of_it() -> None:
    with softfx.patched("colorsys:rgb_to_hsv", "smooth") as patch:
        assert repr(patch) == "Patch(colorsys:rgb_to_hsv, preset smooth, 0 softened)"
        colorsys.rgb_to_hsv(1.0, 0.0, 0.0)
        assert repr(patch).endswith("1 softened)")
    with softfx.patched(colorsys.rgb_to_hsv, "smooth") as patch:
        assert repr(patch) == "Patch(rgb_to_hsv, preset smooth, 0 softened)"


@pytest.mark.parametrize("name", ["relu6", "max_pool1d", "hardtanh", "softmax"])
def test_a_function_of_torch_that_names_itself_to_the_function_protocol(name: str) -> None:
    x = torch.tensor([[[-1.0, 3.0, 7.0, 8.0]]], requires_grad=True)
    function = getattr(torch.nn.functional, name)
    arguments = {"max_pool1d": (x, 2), "softmax": (x, -1)}.get(name, (x,))
    expected = function(*arguments)
    with softfx.patched(f"torch.nn.functional:{name}", "straight-through") as patch:
        results = [getattr(torch.nn.functional, name)(*arguments) for _ in range(2)]
    assert getattr(torch.nn.functional, name) is function
    assert all(torch.equal(result, expected) for result in results)
    assert [site.op for site in patch.reports[0].sites] == ([] if name == "softmax" else [name])
