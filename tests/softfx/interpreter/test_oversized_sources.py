"""Sources of scatter that are larger than their index, or have another number of axes: torch has no derivative then."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx

INDEX = torch.tensor([[0, 1, 1], [2, 0, 0]])
Written = Callable[[Tensor, Tensor], Tensor]


def added_in_place(index: Tensor, source: Tensor) -> Tensor:
    return torch.zeros(3, 5).scatter_add_(0, index, src=source)


WRITES: dict[str, Written] = {
    "scatter_add": lambda index, source: torch.zeros(3, 5).scatter_add(0, index, source),
    "scatter": lambda index, source: torch.scatter(torch.zeros(3, 5), 1, index=index, src=source),
    "in place": added_in_place,
    "scatter_reduce": lambda index, source: torch.zeros(3, 5).scatter_reduce(0, index, source, "sum"),
    "largest": lambda index, source: torch.zeros(3, 5).scatter_reduce(0, index, source, "amax"),
}
SOURCES: dict[str, Callable[[Tensor], Tensor]] = {
    "of a mask": lambda x: (x > 0).float(),
    "of a straight-through product": lambda x: 3.0 * (x > 0.2).float() * 0.5 + 1.0,
    "of integers": lambda x: (x > 0).long() + (x > 1).long(),
}


@pytest.mark.parametrize("policy", ["gradients", "smooth", "lifted"])
@pytest.mark.parametrize("executor", ["eager", "graph"])
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", WRITES)
def test_the_part_that_is_read_has_the_derivative(
    name: str, source: str, executor: softfx.api.Executor, policy: str
) -> None:
    write, make = WRITES[name], SOURCES[source]

    def program(x: Tensor) -> Tensor:
        made = make(x)
        return write(INDEX, made.to(torch.get_default_dtype())) ** 2

    def in_part(x: Tensor) -> Tensor:
        made = make(x)
        return write(INDEX, made.to(torch.get_default_dtype())[:2, :3]) ** 2

    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(4)).requires_grad_()
    found = []
    for target in (program, in_part):
        soft = softfx.soften(
            target, {"preset": policy, "default": {"softness": 0.3}}, example_inputs=(x,), executor=executor
        )
        value = soft(x)
        assert policy == "smooth" or torch.equal(value, program(x))
        found.append(torch.autograd.grad(value.sum(), x)[0])
    assert torch.allclose(*found) and found[0][:2, :3].any() and not found[0][2:].any()


@pytest.mark.parametrize("policy", ["gradients", "smooth"])
@pytest.mark.parametrize("name", ["scatter", "scatter_add"])
@pytest.mark.parametrize("axes", [(0, 1), (1, 0)])
def test_one_number_is_written_beside_a_row(axes: tuple[int, int], name: str, policy: str) -> None:
    index = torch.tensor([1] if axes[0] else 1)

    def program(x: Tensor) -> Tensor:
        mask = (x > 0.2).float()
        written: Tensor = getattr(torch.zeros(3), name)(0, index, mask if axes[1] else mask[0])
        return written

    x = torch.tensor([0.3, 0.1, -0.4], requires_grad=True)
    soft = softfx.soften(program, policy, example_inputs=(x,))
    (slope,) = torch.autograd.grad(soft(x).sum(), x)
    assert slope[0] > 0 and not slope[1:].any()
    assert policy == "smooth" or torch.equal(soft(x), program(x))


@pytest.mark.parametrize("executor", ["eager", "graph"])
def test_a_part_that_is_read_beside_an_infinity_has_a_derivative(executor: softfx.api.Executor) -> None:
    def program(x: Tensor) -> Tensor:
        written = torch.zeros(4).scatter_add(-1, torch.arange(2), x)
        return written.gather(-1, written.argmax(-1, keepdim=True))

    x = torch.tensor([1.0, torch.inf, 2.0, 3.0])
    soft = softfx.soften(program, example_inputs=(x,), executor=executor)
    assert torch.equal(soft(x), program(x))
