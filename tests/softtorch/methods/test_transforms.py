"""Every method under vmap, forward mode, double backward, compile, export, fake tensors; empty and single rows."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from softtorch.methods import METHODS
from softtorch.methods.positions import At, Every, Highest, Smallest
from softtorch.modes import MODES
from tests.softtorch.cases import METHOD_MODES, draw, weights_like

CASES = [case for case in METHOD_MODES if case[0] not in ("softsort", "neuralsort")]
# One use for each code path: tracing is slow, and the uses of a method share theirs.
COMPILED = [
    ("ot", "smooth", "rows"),
    ("ot", "c0", "least value"),
    ("sorting_network", "smooth", "rows"),
    ("fast_soft_sort", "smooth", "some values"),
    ("fast_soft_sort", "c1", "rank"),
    ("smooth_sort", "smooth", "some values"),
    ("lapsum", "smooth", "some values"),
    ("lapsum", "smooth", "mask"),
    ("sparse_topk", "c0", "mask"),
]

S = torch.tensor(0.3, dtype=torch.float64)


def uses(method: str, mode: str) -> dict[str, Callable[[Tensor, Tensor | float], Tensor]]:
    """Everything the method does, as functions of entries and softness."""
    m = METHODS[method]

    def keys(x: Tensor, s: Tensor | float) -> object:
        return m.prepare(x, s, MODES[mode], True)

    every = {
        "values": (m.has_values, lambda x, s: m.values(keys(x, s), Every())),
        "some values": (m.has_values, lambda x, s: m.values(keys(x, s), At((1, 2)))),
        "places that data decides": (m.has_values, lambda x, s: m.values(keys(x, s), At(torch.tensor([1, 1, 4])))),
        "least value": (m.has_values, lambda x, s: m.values(keys(x, s), Smallest())),
        "rows": (m.has_rows, lambda x, s: m.rows(keys(x, s), Highest(2))),
        "rank": (m.has_rank, lambda x, s: m.rank(keys(x, s), True)),
        "mask": (m.has_mask, lambda x, s: m.mask(keys(x, s), 2)),
    }
    return {name: use for name, (able, use) in every.items() if able}


def everything(method: str, mode: str) -> Callable[[Tensor, Tensor | float], Tensor]:
    """All uses in one vector a row: what holds for it holds for each."""
    parts = list(uses(method, mode).values())
    return lambda x, s: torch.cat([part(x, s).flatten(x.ndim - 1) for part in parts], dim=-1)


def gradient(y: Tensor, x: Tensor) -> Tensor:
    return torch.autograd.grad((y * weights_like(y)).sum(), x)[0]


# Solutions are right to 1e-10, and their conditioning takes some of it.
CLOSE = {"rtol": 0, "atol": 1e-7}


@pytest.mark.parametrize(("method", "mode"), CASES)
def test_vmap_over_entries_and_softness_gives_the_batch(method: str, mode: str) -> None:
    f, x, s = everything(method, mode), draw(3, 5).requires_grad_(), torch.tensor([[0.1], [0.3], [1.0]]).double()
    batch, mapped = f(x, s), torch.func.vmap(f)(x, s)
    torch.testing.assert_close(mapped, batch, **CLOSE)
    torch.testing.assert_close(gradient(mapped, x), gradient(batch, x), **CLOSE)
    x = draw(2, 3, 4, 5)
    nested = torch.func.vmap(torch.func.vmap(lambda x: f(x, S), in_dims=1), in_dims=1)(x)  # axes 1 and then 2 in front
    torch.testing.assert_close(nested, f(x.permute(1, 2, 0, 3), S), **CLOSE)


@pytest.mark.parametrize(("method", "mode"), CASES)
def test_forward_mode_is_the_adjoint_of_reverse_mode(method: str, mode: str) -> None:
    f, x, v = everything(method, mode), draw(2, 5), draw(2, 5, seed=3)
    y, forward = torch.func.jvp(lambda x: f(x, S), (x,), (v,))
    leaf = x.requires_grad_()
    torch.testing.assert_close((forward * weights_like(y)).sum(), (gradient(f(leaf, S), leaf) * v).sum(), **CLOSE)


@pytest.mark.parametrize(("method", "mode"), [case for case in CASES if case[1] in ("smooth", "c2")])
def test_double_backward_is_forward_over_reverse(method: str, mode: str) -> None:
    f, x, v = everything(method, mode), draw(1, 5).requires_grad_(), draw(1, 5, seed=3)

    def slope(x: Tensor) -> Tensor:
        return torch.func.grad(lambda x: (f(x, S) * weights_like(f(x, S).detach())).sum())(x)

    y = f(x, S)
    (first,) = torch.autograd.grad((y * weights_like(y)).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad((first * v).sum(), x)
    step = 1e-4
    between = (slope(x.detach() + step * v) - slope(x.detach() - step * v)) / (2 * step)
    assert first.isfinite().all()
    # differences of slopes with error 1e-9 over a step of 1e-4; third derivatives of some hundreds times its square
    torch.testing.assert_close(second, between, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("method", "mode", "use"), COMPILED)
def test_compiling_the_whole_changes_neither_value_nor_gradient(method: str, mode: str, use: str) -> None:
    torch._dynamo.reset()
    f, x = uses(method, mode)[use], draw(2, 5).requires_grad_()
    compiled, eager = torch.compile(f, fullgraph=True, backend="aot_eager")(x, S), f(x, S)
    torch.testing.assert_close(compiled, eager, **CLOSE)
    torch.testing.assert_close(gradient(compiled, x), gradient(eager, x), **CLOSE)


@pytest.mark.parametrize(("method", "mode", "use"), COMPILED)
def test_exporting_keeps_the_gradient(method: str, mode: str, use: str) -> None:
    f, x = uses(method, mode)[use], draw(2, 5).requires_grad_()

    class Module(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return f(x, S)

    exported, eager = torch.export.export(Module(), (x.detach(),), strict=False).module()(x), f(x, S)
    torch.testing.assert_close(exported, eager, **CLOSE)
    torch.testing.assert_close(gradient(exported, x), gradient(eager, x), **CLOSE)


@pytest.mark.parametrize(("method", "mode"), {method: (method, mode) for method, mode in CASES}.values())
def test_no_contents_are_read_outside_the_solvers(method: str, mode: str) -> None:
    for name, use in uses(method, mode).items():
        if name != "places that data decides":
            make_fx(use, tracing_mode="fake")(draw(2, 5), S)
            assert use(torch.empty(2, 5, device="meta"), 0.3).device.type == "meta"


@pytest.mark.parametrize(("method", "mode"), CASES)
def test_empty_batches_and_single_entries_have_finite_gradients(method: str, mode: str) -> None:
    for shape in ((0, 5), (2, 0, 5), (3, 1)):
        for name, use in uses(method, mode).items():
            if shape[-1] == 5 or name in ("values", "rank", "least value"):
                x = draw(*shape).requires_grad_()
                y = use(x, 0.3)
                assert y.isfinite().all()
                assert gradient(y, x).isfinite().all()


@pytest.mark.parametrize(("method", "mode"), CASES)
def test_half_precision_is_computed_wide(method: str, mode: str) -> None:
    for name, use in uses(method, mode).items():
        for dtype in (torch.float16, torch.bfloat16):
            x = draw(3, 5).to(dtype)
            narrow, wide = use(x, 0.3), use(x.double(), 0.3)
            assert narrow.dtype == torch.float32, name
            torch.testing.assert_close(narrow.double(), wide, rtol=0, atol=2e-5)  # float32 after float32 moments


@pytest.mark.parametrize(("method", "mode"), CASES)
def test_a_nan_makes_its_row_nan_and_leaves_the_others(method: str, mode: str) -> None:
    x = draw(3, 5)
    x[0, 2] = torch.nan
    for use in uses(method, mode).values():
        y = use(x, S)
        assert y[0].isnan().any()
        torch.testing.assert_close(y[1:], use(x[1:], S), **CLOSE)
