"""Graphs as Python text: each kind of call as a person would write it, and the text computes what the graph does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from softfx.code.names import name_of
from softfx.code.print import constant_text

X, Y = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), torch.linspace(-1, 1, 12).reshape(3, 4)


def in_place(x: Tensor, y: Tensor) -> Tensor:
    z = x.clone()
    z[0, 1:] = float("inf")
    z[1] = y[1]
    z += 1
    return z


def without_gradient(x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        z = x.exp()
    return z + y


PROGRAMS: dict[str, tuple[Callable[[Tensor, Tensor], Any], list[str]]] = {
    "infix": (lambda x, y: x - y, ["sub = input_0 - input_1"]),
    "a number first": (lambda x, y: 2 - x, ["sub = 2 - input_0"]),
    "prefix": (lambda x, y: -x, ["neg = -input_0"]),
    "a method": (lambda x, y: x.sum(-1, keepdim=True), ["sum_1 = input_0.sum(-1, keepdim=True)"]),
    "a function": (lambda x, y: torch.cat([x, y], 0), ["cat = torch.cat([input_0, input_1], 0)"]),
    "torch.nn.functional": (lambda x, y: F.softplus(x), ["softplus = F.softplus(input_0)"]),
    "slices": (lambda x, y: x[..., 1:, None], ["getitem = input_0[..., 1:, None]"]),
    "an index alone": (lambda x, y: x[0], ["getitem = input_0[0]"]),
    "a step": (lambda x, y: x[::2], ["getitem = input_0[::2]"]),
    "a pair": (lambda x, y: x.max(0)[0], ["max_1 = input_0.max(0)", "getitem = max_1[0]"]),
    "a dtype": (lambda x, y: x.to(torch.float64), ["to = input_0.to(torch.float64)"]),
    "an attribute": (lambda x, y: x.T, ["getattr_1 = input_0.T"]),
    "writes": (
        in_place,
        [
            "clone = input_0.clone()",
            'clone[0, 1:] = float("inf")',
            "getitem = input_1[1]",
            "clone[1] = getitem",
            "clone.add_(1)",
        ],
    ),
    "no_grad": (
        without_gradient,
        [
            "torch.set_grad_enabled(False)",
            "exp = input_0.exp()",
            "torch.set_grad_enabled(True)",
            "add = exp + input_1",
        ],
    ),
}


def written(program: Callable[..., Any]) -> str:
    """The text of a program of which nothing is softened."""
    policy = {"default": {"families": ["random"]}}
    return softfx.source(softfx.soften(program, policy, example_inputs=(X, Y), executor="graph"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_call_is_written_as_a_person_would_write_it(name: str) -> None:
    program, expected = PROGRAMS[name]
    body = written(program).partition("def forward(module, input_0, input_1):\n")[2]
    statements = [line.strip() for line in body.splitlines() if not line.strip().startswith(("#", "return"))]
    assert [statement for statement in statements if statement] == expected


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_text_computes_what_the_program_does(name: str) -> None:
    program, _ = PROGRAMS[name]
    names: dict[str, Any] = {}
    exec(compile(written(program), "written.py", "exec"), names)
    found, expected = names["forward"](None, X, Y), program(X, Y)
    assert torch.equal(found[0] if isinstance(found, tuple) else found, expected)


def test_a_comment_names_the_users_line_once_for_all_calls_on_it() -> None:
    text = written(lambda x, y: (x + y).exp().sum())
    comments = [line.strip() for line in text.splitlines() if line.strip().startswith("#")]
    assert len(comments) == 1
    assert comments[0].endswith("text = written(lambda x, y: (x + y).exp().sum())")
    assert "test_print.py:" in comments[0]


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (torch.relu, "torch.relu"),
        (F.gelu, "F.gelu"),
        (Tensor.add_, "torch.Tensor.add_"),
        (torch.ops.aten.relu.default, "torch.ops.aten.relu.default"),
        (written, f"{__name__}.written"),
    ],
)
def test_a_function_is_named_as_the_written_code_reaches_it(function: object, name: str) -> None:
    assert name_of(function) == name


def test_constants_are_expressions_where_there_is_one() -> None:
    assert constant_text(torch.tensor([1, 2])) == "torch.tensor([1, 2], dtype=torch.int64)"
    assert constant_text(torch.relu) == "torch.relu"
    assert constant_text(object()) is None
