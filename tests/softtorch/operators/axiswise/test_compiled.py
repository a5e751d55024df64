"""Operators along an axis in compiled and exported programs; other transforms are in ../test_transforms.py."""

import pytest
import torch
from torch import Tensor

import softtorch
from tests.softtorch.cases import draw, weights_like


def values_of(result: Tensor | tuple[Tensor, ...]) -> Tensor:
    return result[0] if isinstance(result, tuple) else result


OPERATORS = {
    "argmax": lambda x, **o: softtorch.argmax(x, -1, **o),
    "max": lambda x, **o: softtorch.max(x, -1, **o),
    "sort": lambda x, **o: softtorch.sort(x, -1, **o),
    "argsort": lambda x, **o: softtorch.argsort(x, -1, descending=True, **o),
    "topk": lambda x, **o: softtorch.topk(x, 2, -1, **o),
    "quantile": lambda x, **o: softtorch.quantile(x, 0.35, -1, **o),
    "median": lambda x, **o: softtorch.median(x, -1, **o),
    "rank": lambda x, **o: softtorch.rank(x, -1, **o),
    "cummax": lambda x, **o: softtorch.cummax(x, -1, **o),
    "percentile": lambda x, **o: softtorch.argpercentile(x, torch.tensor([20.0, 70.0], dtype=x.dtype), -1, **o),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_compiled_calls_agree_with_plain_ones(name: str) -> None:
    fn = lambda x: values_of(OPERATORS[name](x, method="softsort", mode="c1"))  # noqa: E731
    x = draw(3, 4).requires_grad_()
    torch._dynamo.reset()
    compiled = torch.compile(fn, fullgraph=True, backend="eager")
    plain = fn(x)
    weights = weights_like(plain)
    torch.testing.assert_close(compiled(x), plain)
    (got,) = torch.autograd.grad((compiled(x) * weights).sum(), x)
    (want,) = torch.autograd.grad((plain * weights).sum(), x)
    torch.testing.assert_close(got, want)


def test_one_compiled_call_serves_every_size() -> None:
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: softtorch.sort(x).values, fullgraph=True, backend="eager", dynamic=True)
    for n in (4, 7, 12):
        with torch._dynamo.config.patch(error_on_recompile=n > 4):
            torch.testing.assert_close(compiled(draw(2, n)), softtorch.sort(draw(2, n)).values)


@pytest.mark.parametrize("strict", [False, True])
def test_exported_programs_keep_their_gradient(strict: bool) -> None:
    class Model(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return softtorch.sort(x, mode="c1", method="softsort").values

    x = draw(3, 5).requires_grad_()
    program = torch.export.export(Model(), (x,), strict=strict).module()
    weights = weights_like(x)
    (want,) = torch.autograd.grad((Model()(x) * weights).sum(), x)
    (got,) = torch.autograd.grad((program(x) * weights).sum(), x)
    torch.testing.assert_close(got, want)


BATCHES = range(12, 32, 2)  # ten, none of them as large as an axis of an operator, which would be taken for the same


@pytest.mark.parametrize("name", OPERATORS)
def test_ten_batch_sizes_are_served_by_one_graph(name: str) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: values_of(OPERATORS[name](x)), fullgraph=True, backend="eager", dynamic=True)
    for place, batch in enumerate(BATCHES):
        x = draw(batch, 37).requires_grad_()
        with torch._dynamo.config.patch(error_on_recompile=place > 0):
            found = compiled(x)
        torch.testing.assert_close(found, values_of(OPERATORS[name](x)))
        assert torch.autograd.grad((found * weights_like(found)).sum(), x)[0].any()


INF = torch.inf
UNEVEN = torch.tensor(
    [
        [0.3, -1.2, 0.9, 0.1, -0.4],
        [3e-12, -1e-12, 2e-12, 0.0, 1e-12],  # narrow: no floor of a fixed size
        [1e6 + 0.5, 1e6 - 1.0, 1e6, 1e6 + 2.0, 1e6 + 0.25],  # far from 0
        [-1e9, 0.4, -0.8, 1.1, 0.2],  # masked by a number
        [-INF, 0.4, INF, 1.1, 0.2],
        [-1e9, 0.4, -INF, 1.1, torch.finfo(torch.float64).min],
        [-INF, -INF, INF, -INF, -INF],
        [-INF, -INF, -INF, 2.0, -INF],
        [2.0, 2.0, 2.0, 2.0, 2.0],
        [0.4, torch.nan, 1.0, -INF, 0.2],
    ],
    dtype=torch.float64,
)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("name", ["argmax", "max", "rank", "topk"])
def test_compiled_rows_of_any_kind_are_what_eager_ones_are(name: str, standardize: bool) -> None:
    def fn(x: Tensor) -> Tensor:
        result = values_of(OPERATORS[name](x, method="softsort", standardize=standardize))
        return result.nan_to_num(5.0, 6.0, -7.0)

    x = UNEVEN.clone().requires_grad_()
    torch._dynamo.reset()
    compiled, plain = torch.compile(fn, fullgraph=True, backend="aot_eager")(x), fn(x)
    torch.testing.assert_close(compiled, plain)
    weights = weights_like(plain)
    (got,) = torch.autograd.grad((compiled * weights).sum(), x)
    (want,) = torch.autograd.grad((plain * weights).sum(), x)
    size = want.abs().amax(dim=-1, keepdim=True).clamp(min=1.0)
    torch.testing.assert_close(got / size, want / size, rtol=0, atol=1e-7)  # of entries 1e6 away from 0


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")  # torch's own use
@pytest.mark.parametrize("name", ["argmax", "max"])
def test_compiled_rows_keep_few_vectors_and_no_masks_for_backward(name: str) -> None:
    def kept(tensor: Tensor) -> Tensor:
        if tensor.numel() == x.numel():
            saved.append(tensor.dtype)
        return tensor

    x, saved = draw(8, 16).requires_grad_(), list[torch.dtype]()
    torch._dynamo.reset()
    fn = torch.compile(lambda x: values_of(OPERATORS[name](x)), fullgraph=True, backend="aot_eager_decomp_partition")
    with torch.autograd.graph.saved_tensors_hooks(kept, lambda tensor: tensor):
        fn(x).sum().backward()
    assert saved
    assert len(saved) <= 4
    assert torch.bool not in saved
