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
    "infix": (lambda x, y: x - y, ["sub = x - y"]),
    "a number first": (lambda x, y: 2 - x, ["sub = 2 - x"]),
    "prefix": (lambda x, y: -x, ["neg = -x"]),
    "a method": (lambda x, y: x.sum(-1, keepdim=True), ["sum_1 = x.sum(-1, keepdim=True)"]),
    "a function": (lambda x, y: torch.cat([x, y], 0), ["cat = torch.cat([x, y], 0)"]),
    "torch.nn.functional": (lambda x, y: F.softplus(x), ["softplus = F.softplus(x)"]),
    "slices": (lambda x, y: x[..., 1:, None], ["getitem = x[..., 1:, None]"]),
    "an index alone": (lambda x, y: x[0], ["getitem = x[0]"]),
    "a step": (lambda x, y: x[::2], ["getitem = x[::2]"]),
    "a pair": (lambda x, y: x.max(0)[0], ["max_1 = x.max(0)", "max_1_item0 = max_1[0]"]),
    "a dtype": (lambda x, y: x.to(torch.float64), ["to = x.to(torch.float64)"]),
    "an attribute": (lambda x, y: x.T, ["getattr_1 = x.T"]),
    "writes": (
        in_place,
        [
            "clone = x.clone()",
            'clone[0, 1:] = float("inf")',
            "getitem = y[1]",
            "clone[1] = getitem",
            "clone.add_(1)",
        ],
    ),
    "no_grad": (
        without_gradient,
        [
            "torch.set_grad_enabled(False)",
            "exp = x.exp()",
            "torch.set_grad_enabled(True)",
            "add = exp + y",
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
    body = written(program).partition("def forward(module, x, y):\n")[2]
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


def batch_of(batch: dict[str, Tensor], *rest: Tensor, self: Tensor, flag: bool = True) -> Tensor:
    return batch["a"].round() + rest[0] + self if flag else batch["b"]


def test_arguments_keep_the_names_that_the_program_gives_them() -> None:
    batch = {"a": X, "b": Y}
    soft = softfx.soften(
        batch_of, "smooth", example_inputs=(batch, X), example_kwargs={"self": Y}, executor="graph", allow_unused=True
    )
    assert "\ndef forward(module, batch_0, batch_1, rest_0, _self):\n" in softfx.source(soft)


def test_a_module_is_passed_first_to_its_own_call_alone() -> None:
    soft = softfx.soften(
        torch.nn.Softplus(), {"default": {"families": ["random"]}}, example_inputs=(X,), executor="graph"
    )
    assert "def forward(module, input_1):" in softfx.source(soft)  # torch calls it `input`, which is Python's own
    assert "`forward` takes the module first" in softfx.source(soft)
