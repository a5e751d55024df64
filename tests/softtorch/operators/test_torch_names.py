"""torch's further names: the operators that they stand for, with torch's arguments."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import softtorch
from softtorch.errors import DimensionError

X = torch.tensor([[0.3, -2.0, 1.5], [4.0, 0.0, -1.0]])
Y = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "other", "options"),
    [("absolute", "abs", {}), ("clip", "clamp", {"a": -1.0, "b": 1.0}), ("clip", "clamp", {"min": 0.0}),
     ("clip", "clamp", {"max": 0.5, "gated": True}), ("clamp", "clip", {"min": -1.0, "max": 1.0})],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["hard", "smooth", "c1"])
def test_a_name_is_another_ones(name: str, other: str, options: dict[str, Any], mode: str) -> None:
    found = getattr(softtorch, name)(X, **options, mode=mode)
    assert torch.equal(found, getattr(softtorch, other)(X, **options, mode=mode))
    assert torch.equal(
        getattr(softtorch, f"{name}_st")(X, **options), getattr(softtorch, name)(X, **options, mode="hard")
    )


@pytest.mark.parametrize("name", ["amax", "amin"])
@pytest.mark.parametrize("dim", [None, (), 0, -1, (0, 2), (-1, 1), (0, 1, 2)])
@pytest.mark.parametrize("keepdim", [False, True])
def test_extrema_along_axes_are_torchs_in_hard_mode_and_tend_to_them(name: str, dim: Any, keepdim: bool) -> None:
    expected = getattr(torch, name)(Y, () if dim is None else dim, keepdim)
    assert torch.equal(getattr(softtorch, name)(Y, dim, keepdim, mode="hard"), expected)
    assert torch.equal(getattr(softtorch, f"{name}_st")(Y, dim, keepdim), expected)
    torch.testing.assert_close(getattr(softtorch, name)(Y, dim, keepdim, softness=1e-4), expected)
    assert getattr(softtorch, name)(torch.tensor(2.0), None, keepdim).shape == ()


def test_extrema_of_several_axes_are_those_of_all_their_entries() -> None:
    joined = Y.movedim(1, -1).flatten(1)
    torch.testing.assert_close(softtorch.amax(Y, (1, 2)), softtorch.max(joined, 1).values)
    with pytest.raises(DimensionError, match=r"^amax: dim=3 is out of range"):
        softtorch.amax(Y, (0, 3))


def test_msort_sorts_along_the_first_axis() -> None:
    assert torch.equal(softtorch.msort(Y, mode="hard"), torch.msort(Y))
    assert torch.equal(softtorch.msort_st(Y), torch.msort(Y))
    expected = softtorch.sort(Y, 0, False, 0.3, method="lapsum").values
    torch.testing.assert_close(softtorch.msort(Y, 0.3, method="lapsum"), expected)


def test_nan_to_num_is_torchs() -> None:
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), 1.0], requires_grad=True)
    for options in ({}, {"nan": 2.0, "posinf": 3.0, "neginf": -3.0}):
        assert torch.equal(softtorch.nan_to_num(x, **options), torch.nan_to_num(x, **options))
    softtorch.nan_to_num(input=x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0, 0, 0, 1]


def test_the_names_of_soft_values_are_tensors_for_annotations() -> None:
    def likely(mask: softtorch.SoftBool, place: softtorch.SoftIndex) -> softtorch.SoftBool:
        return mask * place.sum(-1)

    assert softtorch.SoftBool is softtorch.SoftIndex is torch.Tensor
    assert likely(torch.ones(2), torch.ones(2, 1)).tolist() == [1, 1]


INTEGERS = torch.tensor([3, -1, 2])


@pytest.mark.parametrize(
    ("name", "more"),
    [("abs", ()), ("sign", ()), ("relu", ()), ("round", ()), ("floor", ()), ("max", ()), ("median", ()), ("sort", ()),
     ("clamp", (0, 2)), ("topk", (2,)), ("maximum", (INTEGERS.flip(0),)), ("cummax", (0,)), ("kthvalue", (1,)),
     ("amax", ()), ("msort", ()), ("hardtanh", ())],
)  # fmt: skip
@pytest.mark.parametrize("grad", [False, True])
def test_whole_numbers_in_hard_mode_give_floats_as_in_the_others(name: str, more: tuple[Any, ...], grad: bool) -> None:
    def values(result: Any) -> torch.Tensor:
        return result[0] if isinstance(result, tuple) else result

    with torch.set_grad_enabled(grad):
        hard = values(getattr(softtorch, name)(INTEGERS, *more, mode="hard"))
        assert hard.dtype == values(getattr(softtorch, name)(INTEGERS, *more)).dtype == torch.float32
        assert torch.equal(hard, values(getattr(softtorch, name)(INTEGERS.float(), *more, mode="hard")))
        assert torch.equal(values(getattr(softtorch, f"{name}_st")(INTEGERS, *more)), hard)


def test_log_probabilities_are_asked_for_by_place_and_with_any_floor_up_to_one() -> None:
    x = torch.tensor([0.0, 3.0, 1.0])
    ahead = (x, None, False, 0.1, "c0", "softsort", True, None)
    assert torch.equal(softtorch.argmax(*ahead, True), softtorch.argmax(*ahead, return_log_probs=True))
    floor = torch.tensor(0.05, requires_grad=True)
    floored = softtorch.argmax(*ahead, True, floor)
    torch.testing.assert_close(floored, softtorch.argmax(*ahead, True, 0.05))
    floored[0].backward()
    assert floor.grad is not None and floor.grad != 0
    torch.testing.assert_close(softtorch.argmax(*ahead, True, 1.0).exp(), torch.full((3,), 1 / 3))
    for wrong in (torch.ones(2), torch.tensor(1), 0, 1.5):
        with pytest.raises(softtorch.errors.OptionError, match="log_prob_eps"):
            softtorch.argmax(*ahead, True, wrong)
