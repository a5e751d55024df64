"""Every error of the foundation and of the axiswise operators: its class and its whole text."""

from collections.abc import Callable

import pytest
import torch

import softtorch
from softtorch.errors import (
    DimensionError,
    MethodError,
    OptionError,
    ShapeError,
    SoftTorchError,
    message,
    nearest,
)

X = torch.zeros(2, 5)
MODES = "Modes: hard, smooth, c0, c1, c2, tailed, c1_pnorm, c2_pnorm."
METHODS = f"Methods: {', '.join(softtorch.methods.METHODS)}."
BATCH = "The batch shape is the input's without the operator's dim."

CASES: list[tuple[Callable[[], object], type[SoftTorchError], str]] = [
    (
        lambda: softtorch.topk(X, 7, dim=-1),
        ShapeError,
        "topk: k=7 is larger than the 5 elements along dim=-1 of input (2, 5). Use 1 <= k <= 5.",
    ),
    (lambda: softtorch.topk(X, -1), ShapeError, "topk: k=-1 is not positive. Use 1 <= k <= 5."),
    (lambda: softtorch.topk(X, 1.5), OptionError, "topk: k=1.5 is of type float. Use an integer."),
    (lambda: softtorch.topk(X, True), OptionError, "topk: k=True is of type bool. Use an integer."),
    (lambda: softtorch.kthvalue(X, 0), ShapeError, "kthvalue: k=0 is not positive. Use 1 <= k <= 5."),
    (
        lambda: softtorch.argmax(X, 1, method="fast_soft_sort"),
        MethodError,
        "argmax: method 'fast_soft_sort' gives sorted values but no soft indices, so it cannot be used here. "
        "Methods with indices: softsort, neuralsort, ot, sorting_network, lapsum.",
    ),
    (
        lambda: softtorch.topk_mask(X, 2, method="softsort"),
        MethodError,
        "topk_mask: method 'softsort' gives no top-k mask, so it cannot be used here. "
        "Methods with top-k masks: ot, lapsum, sparse_topk.",
    ),
    (
        lambda: softtorch.sort(X, method="sparse_topk"),
        MethodError,
        "sort: method 'sparse_topk' gives no sorted values, so it cannot be used here. Methods with sorted values: "
        "softsort, neuralsort, ot, sorting_network, fast_soft_sort, smooth_sort, lapsum.",
    ),
    (
        lambda: softtorch.rank(X, method="sparse_topk"),
        MethodError,
        "rank: method 'sparse_topk' gives no ranks, so it cannot be used here. Methods with ranks: softsort, "
        "neuralsort, ot, sorting_network, fast_soft_sort, smooth_sort, lapsum.",
    ),
    (
        lambda: softtorch.sort(X, method="lapsum", mode="c0"),
        MethodError,
        "sort: method 'lapsum' is not defined in mode 'c0'. Its modes: hard, smooth, tailed.",
    ),
    (
        lambda: softtorch.sort(X, method="softsrt"),
        OptionError,
        f"sort: unknown method 'softsrt'. {METHODS} Did you mean 'softsort'?",
    ),
    (lambda: softtorch.sort(X, mode="x"), OptionError, f"sort: unknown mode 'x'. {MODES}"),
    (
        lambda: softtorch.sort(X, mode="smoot"),
        OptionError,
        f"sort: unknown mode 'smoot'. {MODES} Did you mean 'smooth'?",
    ),
    (
        lambda: softtorch.sort(X, softness=0.0),
        OptionError,
        'sort: softness=0.0 is not a positive number. Use softness > 0. For the limit 0 use mode="hard".',
    ),
    (
        lambda: softtorch.sort(X, softness=float("nan")),
        OptionError,
        'sort: softness=nan is not a positive number. Use softness > 0. For the limit 0 use mode="hard".',
    ),
    (
        lambda: softtorch.sort(X, softness="0.1"),
        OptionError,
        "sort: softness='0.1' is of type str. Use a number or a tensor.",
    ),
    (
        lambda: softtorch.sort(X, softness=torch.tensor(1)),
        OptionError,
        "sort: softness is a tensor of dtype torch.int64. Use a floating dtype.",
    ),
    (
        lambda: softtorch.sort(X, softness=torch.ones(3)),
        ShapeError,
        f"sort: softness of shape (3,) does not broadcast against the batch shape (2,). {BATCH}",
    ),
    (
        lambda: softtorch.max(X, 2),
        DimensionError,
        "max: dim=2 is out of range for input (2, 5). Use -2 <= dim <= 1.",
    ),
    (lambda: softtorch.sort(X, 0.5), OptionError, "sort: dim=0.5 is of type float. Use an integer."),
    (
        lambda: softtorch.argmax(torch.zeros(2, 0), 1),
        ShapeError,
        "argmax: input (2, 0) has no entries along dim=1. Use an axis with at least one.",
    ),
    (
        lambda: softtorch.median(torch.zeros(0)),
        ShapeError,
        "median: input (0,) has no entries. Use an axis with at least one.",
    ),
    (
        lambda: softtorch.sort(torch.zeros(2, dtype=torch.complex64)),
        OptionError,
        "sort: x has dtype torch.complex64, which has no order. Use a real dtype.",
    ),
    (
        lambda: softtorch.argmax(X, 1, log_prob_eps=0.1),
        OptionError,
        "argmax: log_prob_eps=0.1 is given without return_log_probs. Set return_log_probs=True or leave "
        "log_prob_eps out.",
    ),
    (
        lambda: softtorch.argmax(X, 1, return_log_probs=True, log_prob_eps=2.0),
        OptionError,
        "argmax: log_prob_eps=2.0 is no probability. Use 0 < eps <= 1.",
    ),
    (lambda: softtorch.quantile(X, 1.5), OptionError, "quantile: q=1.5 is out of range. Use 0 <= q <= 1."),
    (
        lambda: softtorch.percentile(X, 150),
        OptionError,
        "percentile: p=150 is out of range. Use 0 <= p <= 100.",
    ),
    (
        lambda: softtorch.quantile(X, "0.5"),
        OptionError,
        "quantile: q='0.5' is of type str. Use a number or a tensor.",
    ),
    (
        lambda: softtorch.quantile(X, torch.zeros(1, 1)),
        ShapeError,
        "quantile: q has shape (1, 1). Use a 0-dim or 1-dim tensor.",
    ),
    (
        lambda: softtorch.quantile(X, torch.tensor(1)),
        OptionError,
        "quantile: q is a tensor of dtype torch.int64. Use a floating dtype.",
    ),
    (
        lambda: softtorch.quantile(X, 0.5, interpolation="liner"),
        OptionError,
        "quantile: unknown interpolation 'liner'. Interpolations: linear, lower, higher, midpoint, nearest. "
        "Did you mean 'linear'?",
    ),
    (
        lambda: softtorch.topk_mask(X, 6),
        ShapeError,
        "topk_mask: k=6 is larger than the 5 elements along dim=-1 of input (2, 5). Use 0 <= k <= 5.",
    ),
    (
        lambda: softtorch.topk_mask(X, -0.5),
        ShapeError,
        "topk_mask: k=-0.5 is not a number from 0 up. Use 0 <= k <= 5.",
    ),
    (
        lambda: softtorch.topk_mask(X, "2"),
        OptionError,
        "topk_mask: k='2' is of type str. Use a number or a tensor.",
    ),
    (
        lambda: softtorch.topk_mask(X, torch.ones(3)),
        ShapeError,
        f"topk_mask: k of shape (3,) does not broadcast against the batch shape (2,). {BATCH}",
    ),
    (
        lambda: softtorch.searchsorted(torch.zeros(3, 4), X),
        ShapeError,
        "searchsorted: sorted_sequence (3, 4) does not fit values (2, 5). Use one dimension, or the same sizes in all "
        "but the last.",
    ),
    (
        lambda: softtorch.bucketize(X, X),
        ShapeError,
        "bucketize: boundaries have shape (2, 5). Use a one-dimensional tensor.",
    ),
    (
        lambda: softtorch.bucketize(X, X[0], softness=torch.ones(3)),
        ShapeError,
        "bucketize: softness of shape (3,) does not broadcast to input (2, 5). Use a number, a 0-dim tensor or a "
        "shape that broadcasts.",
    ),
    (
        lambda: softtorch.histc(X, 0),
        OptionError,
        "histc: bins=0 is not a positive integer. Use bins >= 1.",
    ),
    (
        lambda: softtorch.histc(X, 3, 2, 1),
        OptionError,
        "histc: max=1 is less than min=2. Use min <= max.",
    ),
    (
        lambda: softtorch.histc(X, 3, X[0], 1),
        ShapeError,
        "histc: min or max has axes. Use numbers or tensors of shape ().",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), CASES, ids=[text[:40] for _, _, text in CASES])
def test_the_message_says_where_what_and_what_is_legal(
    call: Callable[[], object], kind: type[SoftTorchError], text: str
) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text
    assert isinstance(caught.value, ValueError)


def test_a_wrong_dim_is_also_the_index_error_that_torch_raises() -> None:
    with pytest.raises(IndexError):
        softtorch.sort(X, 9)


def test_hard_mode_takes_any_method_for_any_operator() -> None:
    assert softtorch.argmax(X, 1, mode="hard", method="fast_soft_sort").shape == (2, 5)
    assert softtorch.sort(X, mode="hard", method="lapsum").indices is not None


def test_a_tensor_softness_is_never_read_back() -> None:
    softtorch.sort(X.to("meta"), softness=torch.tensor(0.1, device="meta"))


def test_parts_of_a_message_end_in_one_mark() -> None:
    assert message("here", "wrong", "Legal.", nearest("sofsort", ["softsort"])) == (
        "here: wrong. Legal. Did you mean 'softsort'?"
    )
    assert nearest("abc", ["xyz"]) == ""


@pytest.mark.parametrize("value", [[0.5] * 1000, torch.ones(1000).numpy(), "word " * 200, {"a": list(range(500))}])
def test_no_message_prints_a_whole_array_or_list(value: object) -> None:
    for call in (lambda: softtorch.argmax(value), lambda: softtorch.topk(torch.ones(3), value)):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=f"is of type {type(value).__name__}") as refusal:
            call()
        assert len(str(refusal.value)) < 120 and "\n" not in str(refusal.value)
