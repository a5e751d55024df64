"""What is particular to the staircases; the rest is in test_pointwise.py."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import softtorch
from softtorch.errors import OptionError
from softtorch.modes import MODES as MODE_OBJECTS
from softtorch.operators import staircase
from tests.softtorch.pointwise_table import MODES

each_mode = pytest.mark.parametrize("mode", MODES)


def published(x, softness, mode, radius):
    """The sum as it is written, with every term."""
    curve = MODE_OBJECTS[mode].tailless
    total = torch.zeros_like(x)
    for k in range(-radius, radius + 1):
        place = x.floor() + k
        up, down = (curve.sigmoidal((x - place + half) / softness) for half in (0.5, -0.5))
        total = total + place * (up - down)
    return total


@each_mode
@pytest.mark.parametrize("softness", [0.01, 0.1, 0.7, 2.0])
@pytest.mark.parametrize("radius", [1, 2, 5])
def test_the_running_sum_is_the_published_sum(mode, softness, radius):
    x = torch.linspace(-7.3, 9.1, 300, dtype=torch.float64)
    want = published(x, softness, mode, radius)
    got = softtorch.round(x, softness, mode, neighbor_radius=radius)
    assert torch.allclose(got, want, rtol=1e-12, atol=1e-12)
    learned = softtorch.round(x, torch.tensor(softness, dtype=torch.float64), mode, neighbor_radius=radius)
    assert torch.allclose(learned, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("decimals", [-1, 1, 2])
def test_decimals_are_torchs(decimals):
    x = torch.tensor([123.456, -0.26, 17.0], dtype=torch.float64)
    want = torch.round(x, decimals=decimals)
    assert torch.equal(softtorch.round(x, mode="hard", decimals=decimals), want)
    assert torch.allclose(softtorch.round(x, softness=1e-3, decimals=decimals), want)


@each_mode
def test_floor_ceil_and_trunc_fit_together(mode):
    x = torch.linspace(-4.2, 4.2, 97, dtype=torch.float64)
    options = {"mode": mode, "softness": 0.05}
    assert torch.allclose(softtorch.ceil(x, **options), softtorch.floor(x, **options) + 1)
    assert torch.allclose(softtorch.ceil(x, **options), -softtorch.floor(-x, **options))
    assert torch.allclose(softtorch.trunc(x, **options), -softtorch.trunc(-x, **options), atol=1e-14)
    assert torch.allclose(softtorch.frac(x, **options) + softtorch.trunc(x, **options), x)


def test_the_derivative_saved_in_the_forward_pass_is_that_of_the_sum():
    x = torch.linspace(-3, 3, 50, dtype=torch.float64, requires_grad=True)
    for mode in MODES:
        (saved,) = torch.autograd.grad(softtorch.round(x, 0.2, mode).sum(), x)
        (plain,) = torch.autograd.grad(published(x, 0.2, mode, 5).sum(), x)
        assert torch.allclose(saved, plain, atol=1e-10)


def test_memory_is_that_of_the_input_whatever_the_radius():
    x = torch.randn(20_000, requires_grad=True)  # few numbers are not worth the care
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):
        softtorch.round(x, 0.5, neighbor_radius=8)
    assert sum(saved) <= 20_000


def test_remainders_are_differentiable_in_both_operands():
    x = torch.tensor([5.3, -2.2, 7.9], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([2.0, 1.5, -3.1], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    for fn in (softtorch.fmod, softtorch.remainder):
        assert gradcheck(lambda x, y, fn=fn: fn(x, y) * weight, (x, y))
        assert gradgradcheck(lambda x, y, fn=fn: fn(x, y) * weight, (x, y))


@pytest.mark.parametrize("radius", [101, 10_000_000])
def test_a_radius_beyond_all_that_counts_is_an_error(radius):
    with pytest.raises(
        OptionError, match=rf"floor: neighbor_radius={radius} is too large\. Use 1 <= neighbor_radius <= 100"
    ):
        softtorch.floor(torch.zeros(2), neighbor_radius=radius)


@pytest.mark.parametrize("radius", [0, -1, 2.5])
def test_a_radius_that_is_no_count_is_an_error(radius):
    with pytest.raises(OptionError, match=f"round: neighbor_radius={radius} is no count. Use an integer >= 1"):
        softtorch.round(torch.ones(2), neighbor_radius=radius)


def test_the_steps_of_a_softness_are_found_once():
    x = torch.randn(4, dtype=torch.float64)
    before = staircase._known_within.cache_info()
    for _ in range(3):
        softtorch.round(x, softness=0.0713)
    after = staircase._known_within.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 2)
    softness = torch.tensor(0.0713, dtype=torch.float64)
    torch.testing.assert_close(softtorch.round(x, softness=softness), softtorch.round(x, softness=0.0713))


@pytest.mark.parametrize("softness", [0.1, 0.3, torch.tensor(0.2, dtype=torch.float64)], ids=["few", "some", "tensor"])
@pytest.mark.parametrize("name", ["round", "floor", "trunc"])
def test_compiled_stairs_are_one_loop(name: str, softness: torch.Tensor | float) -> None:
    seen: list[torch.fx.GraphModule] = []

    def kept(graph: torch.fx.GraphModule, _: object) -> object:
        seen.append(graph)
        return graph

    def stairs(x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = getattr(softtorch, name)(x, softness)
        return result

    torch.compiler.reset()  # which keeps a few graphs for each code, and `stairs` is one code
    x = torch.linspace(-7.3, 7.3, 40, dtype=torch.float64).requires_grad_()
    compiled = torch.compile(stairs, fullgraph=True, backend=kept)
    torch.testing.assert_close(compiled(x), stairs(x), rtol=1e-12, atol=1e-12)
    slopes = [torch.autograd.grad(each(x).sum(), x)[0] for each in (compiled, stairs)]
    torch.testing.assert_close(*slopes, rtol=1e-9, atol=1e-12)
    assert not any("sum" in str(node.target) or "unsqueeze" in str(node.target) for node in seen[0].graph.nodes)
