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
