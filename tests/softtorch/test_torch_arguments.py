"""Calls written for torch: its keywords are taken; arguments by place that mean something else there are refused."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softtorch
from softtorch.errors import OptionError
from tests.softtorch.cases import draw

X, Y = draw(3, 4), draw(3, 4, seed=1)
P = X.sigmoid()
ROWS = torch.softmax(draw(3, 2, 4, seed=2), dim=-1)

ALIKE: dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]] = {
    "input": (lambda: softtorch.relu(input=X), lambda: softtorch.relu(X)),
    "other": (lambda: softtorch.greater(X, other=Y), lambda: softtorch.greater(X, Y)),
    "min and max": (lambda: softtorch.clamp(X, min=0.0, max=1.0), lambda: softtorch.clamp(X, 0.0, 1.0)),
    "values": (
        lambda: softtorch.heaviside(X, values=torch.tensor(0.25)),
        lambda: softtorch.heaviside(X, 0.1, "smooth", torch.tensor(0.25)),
    ),
    "rtol and atol": (
        lambda: softtorch.isclose(X, Y, rtol=1e-3, atol=1e-4, equal_nan=False),
        lambda: softtorch.isclose(X, Y, 0.1, 1e-3, 1e-4),
    ),
    "sorted": (lambda: softtorch.topk(X, 2, largest=True, sorted=True).values, lambda: softtorch.topk(X, 2).values),
    "axis": (lambda: softtorch.argmax(X, axis=0), lambda: softtorch.argmax(X, 0)),
    "keepdim": (lambda: softtorch.any(P, 0, keepdim=True), lambda: softtorch.any(P, 0).unsqueeze(0)),
    "index": (lambda: softtorch.gather(X, 1, index=ROWS), lambda: softtorch.gather(X, 1, ROWS)),
    "indices": (
        lambda: softtorch.take_along_dim(X, indices=ROWS, dim=1),
        lambda: softtorch.take_along_dim(X, ROWS, 1),
    ),
    "where": (
        lambda: softtorch.where(P, input=X, other=Y),
        lambda: softtorch.where(P, X, Y),
    ),
    "inplace": (lambda: softtorch.relu_st(X, inplace=False), lambda: softtorch.relu_st(X)),
    "side": (
        lambda: softtorch.searchsorted(torch.arange(4.0), input=X.float(), side="right"),
        lambda: softtorch.searchsorted(torch.arange(4.0), X.float(), right=True),
    ),
}


@pytest.mark.parametrize("keyword", ALIKE)
def test_keywords_of_torch_mean_what_they_mean_there(keyword: str) -> None:
    theirs, ours = ALIKE[keyword]
    assert torch.equal(theirs(), ours())


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "heaviside by place": (
        lambda: softtorch.heaviside(X, torch.tensor(0.5)),
        "heaviside: argument 2 by place is values in torch and softness here. Name it, values= or softness=.",
    ),
    "its straight-through form": (
        lambda: softtorch.heaviside_st(X, torch.tensor(0.5)),
        "heaviside: argument 2 by place is values in torch and softness here.",
    ),
    "isclose by place": (
        lambda: softtorch.isclose(X, Y, 1e-5, 1e-8),
        "isclose: argument 3 by place is rtol in torch and softness here.",
    ),
    "any by place": (
        lambda: softtorch.any(P, 0, True),
        "any: argument 3 by place is keepdim in torch and use_geometric_mean here.",
    ),
    "all by place": (lambda: softtorch.all(P, 0, True), "all: epsilon=True is of type bool. Use a number."),
    "narrow by place": (lambda: softtorch.narrow(X, 0, 1, 2), "narrow: argument 2 by place is dim in torch"),
    "index_select by place": (
        lambda: softtorch.index_select(X, 0, torch.tensor([1, 2])),
        "index_select: dim is of type Tensor. Use an integer.",
    ),
    "topk by place": (
        lambda: softtorch.topk(X, 2, -1, True),
        "topk: softness=True is of type bool. Use a tensor or a number.",
    ),
    "topk_st by place": (lambda: softtorch.topk_st(X, 2, -1, False), "topk_st: softness=False is of type bool."),
    "sort by place": (lambda: softtorch.sort(X, 1, True, True), "sort: softness=True is of type bool."),
    "max of two": (lambda: softtorch.max(X, Y), "max: dim is of type Tensor. Use an integer or None."),
    "inplace by place": (lambda: softtorch.relu(X, True), "relu: softness=True is of type bool."),
    "inplace": (lambda: softtorch.relu(X, inplace=True), "relu: inplace=True has no soft form. Use inplace=False."),
    "equal_nan": (lambda: softtorch.isclose(X, Y, equal_nan=True), "isclose: equal_nan=True has no soft form."),
    "a bool for a count": (lambda: softtorch.histc(X, True), "histc: bins=True is of type bool. Use an integer."),
    "twice": (lambda: softtorch.relu(input=X, x=X), "relu: x is given twice, also as input. Use one of them."),
    "side": (
        lambda: softtorch.searchsorted(torch.arange(4.0), X.float(), side="middle"),
        "searchsorted: side='middle'. Use 'left' or 'right'.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_mean_something_else_is_refused(case: str) -> None:
    call, text = REFUSED[case]
    with pytest.raises(OptionError) as caught:
        call()
    assert str(caught.value).startswith(text)


def test_unknown_keywords_are_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        softtorch.abs(X, colour=1)


def test_numbers_may_be_bools_where_they_are_operands() -> None:
    assert torch.equal(softtorch.greater(X, True), softtorch.greater(X, 1.0))


@pytest.mark.parametrize("softness", [5e-324, 1e-310, 1e-39])
@pytest.mark.parametrize("operator", [softtorch.relu, softtorch.sort, softtorch.round])
def test_a_softness_that_is_too_small_to_divide_by_is_refused(operator: Callable, softness: float) -> None:
    with pytest.raises(OptionError, match=r"is too small to divide by\. Use softness >= 1.2e-38\. .* mode=\"hard\""):
        operator(X, softness=softness)
