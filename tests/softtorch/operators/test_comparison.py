"""What is particular to comparisons; the rest is in test_pointwise.py."""

import inspect

import pytest
import torch

import softtorch
from tests.softtorch.pointwise_table import INF, MODES

each_mode = pytest.mark.parametrize("mode", MODES)


def pair():
    generator = torch.Generator().manual_seed(3)
    return (torch.randn(2, 50, generator=generator, dtype=torch.float64)).unbind()


@each_mode
def test_complements_and_mirror_images(mode):
    x, y = pair()
    options = {"mode": mode, "softness": 0.3}
    assert torch.allclose(softtorch.less(x, y, **options), 1 - softtorch.greater_equal(x, y, **options))
    assert torch.allclose(softtorch.less_equal(x, y, **options), 1 - softtorch.greater(x, y, **options))
    assert torch.allclose(softtorch.less(x, y, **options), softtorch.greater(y, x, **options))
    assert torch.allclose(softtorch.eq(x, y, **options), 1 - softtorch.not_equal(x, y, **options), atol=1e-8)
    assert torch.allclose(softtorch.eq(x, y, **options), softtorch.eq(y, x, **options))


@each_mode
def test_equal_numbers_are_equal_and_neither_greater_nor_less(mode):
    x = torch.tensor([0.0, 1.0, INF, -INF, 1e30])
    for compare in (softtorch.greater, softtorch.greater_equal, softtorch.less, softtorch.less_equal):
        assert compare(x, x, mode=mode).tolist() == [0.5] * 5
    assert softtorch.eq(x, x, mode=mode).tolist() == [1.0] * 5
    assert softtorch.not_equal(x, x, mode=mode).tolist() == [0.0] * 5
    assert softtorch.isclose(x[:2], x[:2], mode=mode).tolist() == [1.0] * 2


def test_isclose_stays_in_0_to_1_for_wide_tolerances():
    x = torch.linspace(-1, 1, 11)
    p = softtorch.isclose(x, torch.zeros(()), rtol=0.0, atol=0.5)
    assert p.max() == 1.0 and p.min() >= 0.0


def test_short_names_are_the_long_ones():
    pairs = {"gt": "greater", "ge": "greater_equal", "lt": "less", "le": "less_equal", "ne": "not_equal"}
    for short, long in pairs.items():
        assert inspect.unwrap(getattr(softtorch, short)) is inspect.unwrap(getattr(softtorch, long))


def test_comparisons_of_integers_are_floating_probabilities():
    x, y = torch.tensor([1, 2, 3]), torch.tensor([2, 2, 2])
    assert softtorch.greater(x, y, softness=0.05).tolist() == pytest.approx([0.0, 0.5, 1.0], abs=1e-6)
    assert softtorch.greater(x, 2, mode="hard").tolist() == [0.0, 0.0, 1.0]
    assert softtorch.eq(x, 2, mode="hard").dtype == torch.float32


@each_mode
@pytest.mark.parametrize("broadcast", [False, True])  # by passes by hand, and by torch's operators
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("compare", [softtorch.greater, softtorch.eq, softtorch.isclose])
def test_gradients_that_are_not_finite_count_as_0(compare, dtype, broadcast, mode):
    x = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=dtype, requires_grad=True)
    y = torch.tensor([[0.25], [0.3]] if broadcast else [0.2, 0.1, 0.4, 0.3], dtype=dtype, requires_grad=True)
    result = compare(x, y, mode=mode, softness=0.3)
    arriving = torch.ones_like(result)
    arriving[..., 1], arriving[..., 2] = torch.inf, torch.nan
    of_x, of_y = torch.autograd.grad(result, (x, y), arriving)
    assert of_x[1] == of_x[2] == 0 and of_x[0] != 0 and of_y.isfinite().all()
    largest = torch.full_like(result, torch.finfo(dtype).max)  # of which no multiple is finite
    steep = torch.autograd.grad(compare(x, y, mode=mode, softness=0.01), (x, y), largest)
    assert all(part.isfinite().all() for part in steep)
