"""A report says where a gradient ends: at cuts of the program's own, in copies, and where nothing can pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from softfx.report import Report
from softfx.report.baseline import since
from tests.helpers import EXECUTOR

X = torch.tensor([1.2, 0.7, -3.5])
W = torch.tensor([2.0, 3.0, 1.0])
NOTHING = "Nothing to act on"


def source() -> Tensor:
    return X.clone().requires_grad_()


@torch.no_grad()
def without_gradients(x: Tensor) -> Tensor:
    return x * 2


CUTS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "detach": (lambda x: x.detach() * 2, "detach ends the gradient"),
    "data": (lambda x: x.data * 2, "data ends the gradient"),
    "no_grad": (lambda x: without_gradients(x) + 1, "a block without gradients"),
    "numpy": (lambda x: torch.from_numpy(x.detach().numpy()) * W, "detach ends the gradient"),
}


@pytest.mark.parametrize("name", CUTS)
def test_a_cut_of_the_program_has_a_line_of_its_own(name: str) -> None:
    program, words = CUTS[name]
    report = softfx.check(program, example_inputs=(source(),))
    assert [words in cut.reason for cut in report.cuts] == [True]
    assert report.cuts[0].file == __file__ and report.cuts[0].line > 1
    for text in (str(report), report.render("markdown") if hasattr(report, "render") else str(report)):
        assert NOTHING not in text and words in text
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))).cuts == report.cuts


COPIES: dict[str, Callable[[Tensor], Tensor]] = {
    "tensor": lambda x: torch.tensor(x) * W,
    "tensor of a list": lambda x: torch.tensor([x[0], x[1], x[2]]) * W,
    "tensor of nested lists": lambda x: torch.tensor([[x[0]], [x[1]]]),
    "new_tensor": lambda x: x.new_tensor([x[0], 1.0, 2.0]) * W,
    "new_tensor of a tensor": lambda x: W.new_tensor(x) * W,
    "as_tensor of a list": lambda x: torch.as_tensor([x[0], x[1], x[2]]) * W,
}


@pytest.mark.filterwarnings("ignore")  # torch advises to write detach().clone()
@EXECUTOR
@pytest.mark.parametrize("name", COPIES)
def test_a_copy_of_a_value_is_a_blocked_site(name: str, executor: Any) -> None:
    x = source()
    soft = softfx.soften(COPIES[name], example_inputs=(x,), executor=executor)
    (site,) = soft.report.sites
    assert (site.code, site.action) == ("SX991", "blocked") and "copies the value" in site.reason
    assert torch.equal(soft(x), COPIES[name](x)) and NOTHING not in str(soft.report)


@pytest.mark.parametrize(
    "program",
    [lambda x: x.new_tensor([1.0, 2.0, 3.0]) * x, lambda x: torch.tensor([1.0, 2.0, 3.0]) * x, torch.as_tensor],
)
def test_a_new_tensor_of_numbers_is_no_copy(program: Callable[[Tensor], Tensor]) -> None:
    report = softfx.check(program, example_inputs=(source(),))
    assert report.sites == [] and report.cuts == [] and NOTHING in str(report)


@pytest.mark.parametrize(
    "program",
    [
        lambda x: torch.tensor(x.tolist()) * W,
        lambda x: x.sum().item() * W,
        lambda x: float(x.sum()) * W,
        lambda x: W * 2,
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_has_no_gradient_is_never_told_as_nothing(program: Callable[[Tensor], Tensor]) -> None:
    assert NOTHING not in str(softfx.check(program, example_inputs=(source(),)))


def test_a_report_whose_sites_the_baseline_has_says_so() -> None:
    report = softfx.check(torch.round, example_inputs=(source(),))
    left = since(report, report)
    assert left.sites == [] and left.known == 1
    assert NOTHING not in str(left) and "1 site" in str(left)


# -- where nothing can pass --------------------------------------------------------------------------------------------


def branch(x: Tensor) -> Tensor:
    if x.abs().max() > 3:
        return x * 2
    return x


def greedy(x: Tensor) -> Tensor:
    weights = torch.arange(9.0).reshape(3, 3).sin()
    tokens = []
    for _ in range(3):
        token = (x @ weights).argmax(-1)
        tokens.append(token)
        x = weights[token]
    return torch.stack(tokens)


ENDS: dict[str, tuple[Callable[[Tensor], Any], str, str]] = {
    "branch": (branch, "max", "it ends in if"),
    "item": (lambda x: x.round().sum().item() * x.sum(), "round", "it ends in item"),
    "float": (lambda x: x * float(x.abs().sum().sqrt().detach() + x.round().sum()), "round", "it ends in"),
    "greedy": (greedy, "argmax", "only leaves the model as int64"),
    "unused": (lambda x: (x.round() * 2, x.sum())[1], "round", "reaches no result"),
}


@EXECUTOR
@pytest.mark.parametrize("name", ENDS)
def test_a_site_whose_derivative_reaches_no_result_is_kept_with_that_reason(name: str, executor: Any) -> None:
    program, op, words = ENDS[name]
    try:
        soft = softfx.soften(program, example_inputs=(X,), executor=executor)
    except softfx.SoftfxError:  # no graph holds a branch
        assert executor == "graph"
        return
    (site,) = [site for site in soft.report.sites if site.op == op]
    assert site.action == "keep" and words in site.reason, site.reason


def keeps_a_loss() -> torch.nn.Module:
    class Router(torch.nn.Module):
        loss: Tensor

        def forward(self, x: Tensor) -> Tensor:
            self.loss = x.round().sum()
            return x * 2

    return Router()


REACHES: dict[str, Callable[[], Any]] = {
    "a mask of a maximum": lambda: lambda x: ((x.max() > 0.5).float() * x).sum(),
    "kept on the module": keeps_a_loss,
    "written into a view": lambda: lambda x: _into_view(x),
    "an object": lambda: lambda x: {"kept": [x.round()]},
    "a count": lambda: lambda x: (x > 0).sum() * x,
}


def _into_view(x: Tensor) -> Tensor:
    rows = torch.zeros(2, 3)
    rows[0].copy_(x.round())
    return rows


@pytest.mark.parametrize("name", REACHES)
def test_a_site_whose_derivative_goes_on_acts(name: str) -> None:
    report = softfx.soften(REACHES[name](), example_inputs=(source(),), executor="eager").report
    assert {site.action for site in report.sites} == {"straight_through"}, report


def test_rows_that_leave_the_model_are_said_to() -> None:
    report = softfx.check(lambda x: x[x > 0].round(), example_inputs=(source(),))
    assert all("rows that a mask selects leave the model" in site.reason for site in report.sites)


# -- what stands on the line -------------------------------------------------------------------------------------------

AGE = torch.nn.Parameter(torch.tensor([0.1, 0.2, 0.3]))

WRITTEN: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "0.3 < x": (lambda x: (0.3 < x).float(), "lt"),  # noqa: SIM300  # which is what is tested
    "0.3 >= x": (lambda x: (0.3 >= x).float(), "ge"),  # noqa: SIM300
    "x > 0.3": (lambda x: (x > 0.3).float(), "gt"),
    "x > parameter": (lambda x: (x > AGE).float(), "gt"),
    "parameter <= x": (lambda x: torch.where(AGE <= x, 1.0, 0.0), "le"),  # noqa: SIM300
    "x.gt(0.3)": (lambda x: x.gt(0.3).float(), "gt"),
    "torch.lt(x, 0.3)": (lambda x: torch.lt(x, 0.3).float(), "lt"),
}


@EXECUTOR
@pytest.mark.parametrize("name", WRITTEN)
def test_a_comparison_is_told_as_it_is_written(name: str, executor: Any) -> None:
    program, op = WRITTEN[name]
    policy = {"preset": "smooth", "rule": [{"op": op, "softness": 0.5}]}
    soft = softfx.soften(program, policy, example_inputs=(X,), executor=executor)
    assert [(site.op, site.softness) for site in soft.report.sites] == [(op, 0.5)]
    softfx.set_softness(soft, 1e-4)
    torch.testing.assert_close(soft(X), program(X), rtol=0.0, atol=1e-3)  # no entry is nearer to a tie than 0.4


def test_the_steps_of_a_function_of_torch_name_it() -> None:
    report = softfx.check(lambda x: F.normalize(x, dim=0), example_inputs=(X,))
    assert len(report.sites) > 1
    assert all(site.reason.startswith("a step of normalize") for site in report.sites)


@EXECUTOR
def test_products_whose_derivative_is_another_one_beside_infinities_are_told(executor: Any) -> None:
    infinite = torch.tensor([2.0, torch.inf, 1.0])

    def program(x: Tensor, w: Tensor) -> Tensor:
        return torch.where(x * w > 0, x * w, 0.0)

    report = softfx.soften(program, example_inputs=(source(), infinite), executor=executor).report
    (cut,) = report.cuts
    assert cut.reason.startswith("mul has infinite or NaN factors: beside them its derivative is 0")
    assert cut.reason in " ".join(str(report).split()) and "detaches" not in str(report)
    assert softfx.soften(program, "keep", example_inputs=(source(), infinite), executor="eager").report.cuts == []
    assert softfx.soften(program, example_inputs=(source(), W), executor=executor).report.cuts == []
