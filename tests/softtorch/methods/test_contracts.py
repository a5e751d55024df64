"""The contracts of the methods as laws: each tried where it is said to hold, and where not."""

import inspect
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as drawn
from hypothesis.extra import numpy as arrays
from torch import Tensor

import softtorch
from softtorch.methods import METHODS, Method
from softtorch.methods.contract import LAWS, Contract
from softtorch.methods.sorting_network import SortingNetwork
from tests.softtorch.methods import contract_table

ROOT = Path(__file__).parents[3]
README, DOCUMENT = ROOT / "README.md", ROOT / "softtorch" / "docs" / "methods.md"

# Iterative methods stop at 1e-10; sums of numbers up to 5 and columns of small mass take some of it.
TOLERANCE = 1e-7

Check = Callable[..., Tensor]


def rows(x: Tensor, **options: object) -> Tensor:
    """How far a law is broken, as numbers that should be 0."""
    return softtorch.argsort(x, **options).sum(dim=-1) - 1.0


def columns(x: Tensor, **options: object) -> Tensor:
    return softtorch.argsort(x, **options).sum(dim=-2) - 1.0


def sums(x: Tensor, **options: object) -> Tensor:
    return softtorch.sort(x, **options).values.sum(dim=-1) - x.sum(dim=-1)


def rank_sums(x: Tensor, **options: object) -> Tensor:
    n = x.shape[-1]
    return softtorch.rank(x, -1, **options).sum(dim=-1) - n * (n + 1) / 2


def masks(x: Tensor, **options: object) -> Tensor:
    return softtorch.topk_mask(x, 2, **options).sum(dim=-1) - 2.0


def ordered(x: Tensor, **options: object) -> Tensor:
    return softtorch.sort(x, **options).values.diff(dim=-1).clamp(max=0.0)


def monotone(x: Tensor, **options: object) -> Tensor:
    """Along one entry that rises, by steps: derivatives have jumps in some modes."""
    step = torch.zeros_like(x)
    step[..., 1] = 0.05
    rises = softtorch.sort(x + step, **options).values - softtorch.sort(x, **options).values
    return rises.clamp(max=0.0)


def equivariant(x: Tensor, **options: object) -> Tensor:
    method = options["method"]
    order = torch.randperm(x.shape[-1], generator=torch.Generator().manual_seed(1))
    able = METHODS[method.name] if isinstance(method, SortingNetwork) else METHODS[str(method)]
    broken = [torch.zeros(1, dtype=x.dtype)]
    if able.has_values:
        broken.append(softtorch.sort(x[..., order], **options).values - softtorch.sort(x, **options).values)
    if able.has_rows:
        moved = softtorch.argsort(x[..., order], **options)
        broken.append(moved - softtorch.argsort(x, **options)[..., order])
    if able.has_mask:
        broken.append(
            softtorch.topk_mask(x[..., order], 2, **options) - softtorch.topk_mask(x, 2, **options)[..., order]
        )
    return torch.cat([part.flatten() for part in broken])


def sparse(x: Tensor, **options: object) -> Tensor:
    """0 where there are exact zeros."""
    able = METHODS[str(options["method"])]
    options["softness"] = 0.01  # of what lies in (0, 1): not everything is within reach of everything
    wide = torch.linspace(-1.0, 1.0, x.shape[-1], dtype=x.dtype).expand(x.shape)
    p = softtorch.argsort(wide, **options) if able.has_rows else softtorch.topk_mask(wide, 1, **options)
    return 1.0 - (p == 0).any().double()


CHECKS: dict[str, Check] = {
    "rows_sum_to_one": rows,
    "doubly_stochastic": columns,
    "keeps_sum": sums,
    "keeps_rank_sum": rank_sums,
    "masks_sum_to_k": masks,
    "ordered": ordered,
    "monotone": monotone,
    "equivariant": equivariant,
    "sparse": sparse,
}

HOLDS, FAILS = [], []
for name, method in METHODS.items():
    for check in CHECKS:
        stated = method.law(check)
        for mode in method.modes:
            if stated is not None:
                (HOLDS if stated.holds_in(mode) else FAILS).append((name, mode, check))


@pytest.mark.parametrize(("method", "mode", "law"), HOLDS)
@given(
    x=arrays.arrays("float64", (2, 4), elements=drawn.floats(-5, 5).map(lambda v: round(v, 3))),
    softness=drawn.sampled_from([0.02, 0.1, 0.5, 3.0]),
    standardize=drawn.booleans(),
)
@settings(max_examples=8)
def test_a_law_holds(method: str, mode: str, law: str, x: object, softness: float, standardize: bool) -> None:
    stated = METHODS[method].law(law)
    plain = stated is not None and stated.plain
    given_x = torch.as_tensor(x)
    if law == "equivariant" and METHODS[method].name == "smooth_sort":
        given_x = given_x + torch.arange(4) * 1e-2  # ties are told apart by place
    options = {"method": method, "mode": mode, "softness": softness, "standardize": standardize and not plain}
    assert CHECKS[law](given_x, **options).abs().max() <= TOLERANCE


@pytest.mark.parametrize(("method", "mode", "law"), FAILS)
def test_a_law_that_is_said_not_to_hold_does_not(method: str, mode: str, law: str) -> None:
    generator = torch.Generator().manual_seed(0)
    broken = [
        CHECKS[law](
            scale * torch.randn(20, n, generator=generator, dtype=torch.float64),
            method=method,
            mode=mode,
            softness=softness,
            standardize=standardize,
        )
        for n in (3, 5)
        for scale in (0.3, 3.0)
        for softness in (0.05, 0.3, 2.0)
        for standardize in (True, False)
    ]
    # More than any rounding, which is 1e-15: the sorting network's values are out of order by a few thousandths, and
    # those of lapsum in mode "tailed" fall by 8e-4, for two of its three widths dampen what the first does.
    assert max(float(part.abs().max()) for part in broken) > 5e-4


@pytest.mark.parametrize("swap", ["reciprocal", "cauchy", "optimal"])
@given(
    x=arrays.arrays("float64", (2, 5), elements=drawn.floats(-5, 5)), softness=drawn.sampled_from([0.02, 0.1, 0.5, 3.0])
)
@settings(max_examples=20)
def test_networks_of_monotone_swaps_are_monotone(swap: str, x: object, softness: float) -> None:
    options = {"method": SortingNetwork(swap=swap), "softness": softness, "standardize": False}
    assert monotone(torch.as_tensor(x), **options).abs().max() <= TOLERANCE


# Methods and modes with a continuous derivative at ties, too.
DIFFERENTIABLE = [(m, mode) for m in ("neuralsort", "ot") for mode in ("smooth", "c1", "c2")] + [("lapsum", "smooth")]


@pytest.mark.parametrize(("method", "mode"), DIFFERENTIABLE)
def test_the_derivative_has_no_jump_at_ties(method: str, mode: str) -> None:
    def slope(apart: float) -> Tensor:
        x = torch.tensor([0.3, 0.3 + apart, -0.8, 1.0], dtype=torch.float64, requires_grad=True)
        ranks = softtorch.rank(x, -1, 0.3, mode, method)
        return torch.autograd.grad((ranks * torch.tensor([1.0, -0.5, 2.0, 0.3])).sum(), x)[0]

    # second derivatives of up to a thousand times 1e-6
    torch.testing.assert_close(slope(1e-6), slope(-1e-6), rtol=0, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_ties_are_as_the_contract_says(method: str) -> None:
    x = torch.tensor([0.5, -0.2, 0.5, 0.5, 1.0], dtype=torch.float64)
    mode = METHODS[method].modes[0]
    if METHODS[method].contract.ties == "share evenly":
        if METHODS[method].has_rows:
            tied = softtorch.argsort(x, method=method, mode=mode)[:, [0, 2, 3]]
        else:
            tied = softtorch.topk_mask(x, 2, method=method, mode=mode)[[0, 2, 3]]
        torch.testing.assert_close(tied, tied[..., :1].expand_as(tied), rtol=0, atol=TOLERANCE)
    elif METHODS[method].name != "sorting_network":
        ranks = softtorch.rank(x, -1, 0.1, method=method, mode=mode, descending=False)[[0, 2, 3]]
        gaps = ranks.diff()
        apart = METHODS[method].contract.ties == "have ranks apart, by place"
        assert (gaps.abs() > TOLERANCE).all() if apart else (gaps.abs() <= TOLERANCE).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_nan_makes_its_row_nan_and_infinities_keep_their_places(method: str) -> None:
    able, mode = METHODS[method], METHODS[method].modes[0]
    x = torch.tensor([[0.5, torch.nan, 0.1], [0.5, -torch.inf, torch.inf]], dtype=torch.float64)
    if able.has_values:
        values = softtorch.sort(x, method=method, mode=mode).values
        assert values[0].isnan().all()
        torch.testing.assert_close(values[1], x[1].sort().values, rtol=0, atol=1e-6)  # mapped back by logit
    mask = softtorch.topk_mask(x, 1, method=method, mode=mode) if able.has_mask else None
    if mask is not None:
        assert mask[0].isnan().all()
        torch.testing.assert_close(mask[1], torch.tensor([0.0, 0.0, 1.0]).double(), rtol=0, atol=TOLERANCE)


def test_every_law_is_tried() -> None:
    assert CHECKS.keys() == LAWS.keys()


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_no_law_is_stated_about_what_a_method_does_not_give(method: Method) -> None:
    for name in LAWS:
        if method.law(name) is None:
            assert getattr(method.contract, name, None) == getattr(Contract, name, None)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_docstring_of_a_method_ends_with_its_contract(method: Method) -> None:
    text = inspect.getdoc(type(method)) or ""
    for fact in (f"time: {method.contract.time}", f"ties: {method.contract.ties}", f"ordered: {method.law('ordered')}"):
        assert (fact in text) == ("None" not in fact), fact


def test_the_tables_in_readme_and_docs_are_the_contracts() -> None:
    """UPDATE_DOCS=1 writes them anew."""
    begin, end = contract_table.BEGIN, contract_table.END
    text, block = README.read_text(), begin + contract_table.summary() + end
    if os.environ.get("UPDATE_DOCS"):
        head, _, rest = text.partition(begin)
        README.write_text(head + block + rest.partition(end)[2])
        DOCUMENT.write_text(contract_table.document())
    assert block in README.read_text()
    assert DOCUMENT.read_text() == contract_table.document()
