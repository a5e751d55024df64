"""Products with infinities of the program's own: what they decide has derivative 0 beside them, by every factor."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from softfx.interpreter.settled import is_seen_finite
from softfx.runtime import guards
from tests.helpers import EXECUTOR, gradient, identical

INF, NAN = float("inf"), float("nan")
PRESETS = ("gradients", "straight-through", "lifted", "smooth")
X = torch.tensor([[1.0, -2.0, 0.5], [INF, 1.0, -0.3], [0.2, 0.1, -INF], [0.7, NAN, 0.1], [-0.4, 0.3, 0.8]])
FINITE = X.isfinite().all(-1)
W = torch.tensor([[0.3, -1.2], [0.9, 0.4], [-0.7, 1.1]])

# None is derived in the original. Of each row of x by itself:
OF_ROWS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "matmul": lambda w, x: ((x @ w) > 0).float(),
    "mm": lambda w, x: torch.mm(x, w).round(),
    "bmm": lambda w, x: (torch.bmm(x[None], w[None])[0] > 0.1).float(),
    "einsum": lambda w, x: torch.einsum("ij,jk->ik", x, w).sign(),
    "linear": lambda w, x: (F.linear(x, w.t(), w[0]) > 0).float(),
    "addmm": lambda w, x: torch.addmm(w[0], x, w).floor(),
    "conv1d": lambda w, x: (F.conv1d(x[:, None], w.t()[:, None]) > 0).float(),
    "by a mask": lambda w, x: ((x @ w) > 0).float() * x.isfinite().all(-1, keepdim=True),
    "argmax": lambda w, x: (x @ w).argmax(-1).float(),
}
# Of each element by itself, and a 0 in x has no part in the derivative by w:
OF_ELEMENTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mul": lambda w, x: ((x * w[:, 0]) > 0).float(),
    "in place": lambda w, x: ((x * 1.0).mul_(w[:, 0]) > 0).float(),
    "in a chain": lambda w, x: (((x * w[:, 0]) ** 2 * w[:, 1]) > 0.1).float(),
}


def fixed(preset: str) -> dict[str, object]:
    """The preset at a softness that is given: no spread of the data is measured for it."""
    return {"preset": preset, "default": {"softness": 0.5}}


@EXECUTOR
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", [*OF_ROWS, *OF_ELEMENTS])
def test_what_is_decided_beside_infinities_has_the_derivative_of_what_is_finite(
    name: str, preset: str, executor: str
) -> None:
    program = (OF_ROWS | OF_ELEMENTS)[name]
    part = X[FINITE] if name in OF_ROWS else X.nan_to_num(0.0, 0.0, 0.0)
    finite, whole = (softfx.soften(program, fixed(preset), example_inputs=(W, x), executor=executor) for x in (part, X))
    if preset != "smooth":
        assert identical(whole(W, X), program(W, X))
    wanted = gradient(finite, W, part)
    assert wanted.any()
    torch.testing.assert_close(gradient(whole, W, X), wanted)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_mask_of_infinities_before_a_product_leaves_its_other_factor_a_gradient(preset: str) -> None:
    def program(w: Tensor, x: Tensor) -> Tensor:
        return (x.masked_fill(x > 0.3, -INF) * w[:, 0]).argmax(-1) + w.sum()

    x = X[FINITE]
    assert gradient(program, W, x).isfinite().all()
    soft = softfx.soften(program, preset, example_inputs=(W, x))
    assert gradient(soft, W, x).isfinite().all()


@pytest.mark.parametrize("preset", PRESETS)
def test_a_product_that_the_original_derives_is_the_originals_where_nothing_acts(preset: str) -> None:
    def program(w: Tensor, x: Tensor) -> Tensor:
        return torch.where(FINITE[:, None], x @ w, 0.0)

    assert gradient(program, W, X).isnan().any()  # 0 times infinity, in the original already
    soft = softfx.soften(program, preset, example_inputs=(W, X))
    assert identical(gradient(soft, W, X), gradient(program, W, X))


def test_a_policy_that_keeps_everything_keeps_infinite_derivatives() -> None:
    def program(w: Tensor, x: Tensor) -> Tensor:
        return torch.where((x @ w) > 0, x @ w, 0.0)

    x = X[:2]
    assert not gradient(program, W, x).isfinite().all()
    soft = softfx.soften(program, "keep", example_inputs=(W, x))
    assert identical(gradient(soft, W, x), gradient(program, W, x))


ORDERED: dict[str, Callable[[Tensor], Tensor]] = {
    "sort": lambda x: x.sort().values,
    "topk": lambda x: x.topk(3).values,
    "cummax": lambda x: x.cummax(0).values,
    "max": lambda x: x.max()[None],
    "frac": lambda x: x.frac(),
}


@EXECUTOR
@pytest.mark.parametrize("preset", PRESETS[:-1])
@pytest.mark.parametrize("name", ORDERED)
def test_a_nan_leaves_other_elements_their_derivative_at_a_softness_that_is_given(
    name: str, preset: str, executor: str
) -> None:
    def program(x: Tensor) -> Tensor:
        y = ORDERED[name](x)
        return torch.where(y.isfinite(), y, 0.0)

    x = torch.tensor([0.3, 1.2, NAN, -0.7, 2.4])
    soft = softfx.soften(program, fixed(preset), example_inputs=(x,), executor=executor)
    original, found = gradient(program, x), gradient(soft, x)
    assert found.isfinite().all() and bool((found[original != 0] != 0).all())


OWN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sigmoid": lambda w, x: x.sigmoid(),
    "sin": lambda w, x: x.sin(),
    "softmax": lambda w, x: x.softmax(-1),
    "norm": lambda w, x: x.norm(dim=-1, keepdim=True) + x,
    "cdist": lambda w, x: torch.cdist(x, w.T),
    "cosine_similarity": lambda w, x: F.cosine_similarity(x[:, None], w.T, dim=-1),
    "huber_loss": lambda w, x: F.huber_loss(x, w[:, 0].expand(5, 3), reduction="none"),
    "attention": lambda w, x: F.scaled_dot_product_attention(x[None], w.T[None], w.T[None])[0],
    "layer_norm": lambda w, x: F.layer_norm(x, (3,), w[:, 0]),
    "a written view": lambda w, x: _written(x.exp().sin()) * w[:, 0],
}


def _written(x: Tensor) -> Tensor:
    x[1:].mul_(2.0)
    return x


@EXECUTOR
@pytest.mark.parametrize("preset", PRESETS[:3])
@pytest.mark.parametrize("name", OWN)
def test_what_makes_nan_of_infinities_spoils_no_gradient_by_what_is_decided_of_it(
    name: str, preset: str, executor: str
) -> None:
    def program(w: Tensor, x: Tensor) -> Tensor:
        chosen = OWN[name](w, x).argmin(-1) % 2
        return w.T[chosen] + torch.where(x.isfinite(), x, 0.0)

    soft = softfx.soften(program, preset, example_inputs=(W, X), executor=executor)
    assert identical(soft(W, X), program(W, X))
    leaves = [W.clone().requires_grad_(), X.clone().requires_grad_()]
    found = torch.autograd.grad(soft(*leaves).sum(), leaves)
    assert all(bool(gradient.isfinite().all()) for gradient in found)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2])
def test_infinite_and_nan_elements_of_short_types_are_seen(dtype: torch.dtype) -> None:
    assert is_seen_finite(torch.tensor([1.0, -2.0]).to(dtype))
    assert not is_seen_finite(torch.tensor([1.0, NAN]).to(dtype))


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
@pytest.mark.parametrize("preset", ["gradients", "smooth"])
def test_products_with_sparse_matrices_are_made_as_they_are(preset: str, layout: torch.layout) -> None:
    """torch cannot look for infinities among the elements that a sparse matrix stores."""
    matrix = torch.eye(3).to_sparse(layout=layout)
    x = torch.tensor([[0.5], [1.0], [2.0]], requires_grad=True)

    def program(x: Tensor, matrix: Tensor) -> Tensor:
        return (matrix @ x.log()).sum() + ((matrix @ x) > 0.7).float().sum()

    soft = softfx.soften(program, preset, example_inputs=(x, matrix))
    gradient = torch.autograd.grad(soft(x, matrix), x)[0]
    assert bool((gradient > 1 / x).all())


@pytest.mark.filterwarnings("ignore:Sparse")
def test_sparse_matrices_of_what_was_chosen_beside_a_nan() -> None:
    def program(x: Tensor) -> Tensor:
        return torch.sparse.mm((x * (x > 0)).to_sparse(), x)

    x = torch.tensor([[0.5, NAN], [-1.0, 2.0]], requires_grad=True)
    soft = softfx.soften(program, example_inputs=(x,))
    result = soft(x)
    assert torch.equal(result.nan_to_num(), program(x).nan_to_num())
    gradient = torch.autograd.grad(result[0, 0], x)[0]
    assert bool(gradient[0, 0]) and bool(gradient.isfinite().all())


def test_a_product_that_overflows_keeps_its_finite_derivatives() -> None:
    x, y = torch.tensor([1e30, 2.0, INF], requires_grad=True), torch.tensor([1e30, 3.0, 4.0], requires_grad=True)
    product = guards.mul(x, y)
    assert identical(product, x * y)
    of_x, of_y = torch.autograd.grad(product.sum(), (x, y))
    assert torch.equal(of_x, y) and of_y.tolist() == [x[0].item(), 2.0, 0.0]
