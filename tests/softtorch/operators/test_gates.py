"""Gates: Boolean functions at 0 and 1, multilinear between; a layer of them learns."""

import itertools

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import softtorch
from softtorch.errors import OptionError, ShapeError
from softtorch.operators.gates import GATES

BITS = torch.tensor(list(itertools.product([0.0, 1.0], repeat=2))).T  # x, y over 00, 01, 10, 11


@pytest.mark.parametrize("place", range(16))
def test_the_table_is_in_the_order_of_the_truth_tables(place):
    name = list(GATES)[place]
    want = [float(digit) for digit in f"{place:04b}"]
    assert softtorch.gate(name, *BITS).tolist() == want
    assert softtorch.gate(name, *BITS.bool()).tolist() == want


def test_gates_named_like_operators_agree_with_them():
    x, y = torch.rand(2, 50, dtype=torch.float64)
    for name, fn in (("and", softtorch.logical_and), ("or", softtorch.logical_or)):
        assert torch.allclose(softtorch.gate(name, x, y), fn(x, y))
    assert torch.allclose(softtorch.gate("not_x", x, y), softtorch.logical_not(x))
    for name in GATES:
        assert softtorch.gate(name, x, y).sub(0.5).abs().le(0.5).all()


def test_mixed_gates_are_the_weighted_sum_of_gates():
    x, y = torch.rand(2, 5, dtype=torch.float64)
    weights = torch.softmax(torch.randn(5, 16, dtype=torch.float64), -1)
    want = sum(weights[:, k] * softtorch.gate(name, x, y) for k, name in enumerate(GATES))
    assert torch.allclose(softtorch.mixed_gates(x, y, weights), want)


def test_gate_st_is_the_boolean_function_with_the_soft_derivative():
    x, y = (torch.rand(20, dtype=torch.float64, requires_grad=True) for _ in range(2))
    for name in GATES:
        hard = softtorch.gate_st(name, x, y)
        assert torch.equal(hard, softtorch.gate(name, (x > 0.5).double(), (y > 0.5).double()))
        soft = softtorch.gate(name, x, y)
        if soft.requires_grad:
            grads = [torch.autograd.grad(o.sum(), x, allow_unused=True)[0] for o in (hard, soft)]
            assert grads[0] is grads[1] is None or torch.equal(*grads)


def test_smooth_step_is_exact_outside_and_a_c1_cubic_inside():
    x = torch.linspace(-2, 2, 41, dtype=torch.float64)
    width = 1.6
    want = (-2 * x**3 / width**3 + 1.5 * x / width + 0.5).where(x.abs() < width / 2, (x > 0).double())
    assert torch.allclose(softtorch.smooth_step(x, width), want)
    inside = torch.tensor([-0.3, 0.1, 0.7], dtype=torch.float64, requires_grad=True)
    learned = torch.tensor(1.6, dtype=torch.float64, requires_grad=True)
    assert gradcheck(softtorch.smooth_step, (inside, learned))
    assert gradgradcheck(softtorch.smooth_step, (inside, learned))


@pytest.mark.parametrize("n", [1, 3, 4])
def test_a_selector_is_one_hot_where_its_bits_are_decided_and_sums_to_1(n):
    for place in range(n):
        logits = torch.tensor([2.0 if place >> bit & 1 else -2.0 for bit in range(2)])
        assert softtorch.selector(logits, n).tolist() == [float(k == place) for k in range(n)]
    soft = softtorch.selector(torch.randn(7, 2, dtype=torch.float64) * 0.4, n)
    assert soft.shape == (7, n) and torch.allclose(soft.sum(-1), torch.ones(7, dtype=torch.float64))


def test_a_selector_without_a_legal_choice_is_uniform_with_finite_gradients():
    logits = torch.tensor([2.0, 2.0], requires_grad=True)  # asks for the choice 3 of 0, 1, 2
    p = softtorch.selector(logits, 3)
    assert p.tolist() == pytest.approx([1 / 3] * 3)
    assert torch.autograd.grad(p[0], logits)[0].isfinite().all()


@pytest.mark.parametrize("straight_through", [False, True])
def test_a_logic_layer_learns_xor_and_evaluates_as_one_gate(straight_through):
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    layer = softtorch.LogicLayer(2, 8, straight_through=straight_through, generator=generator)
    inputs, target = BITS.T, torch.tensor([0.0, 1.0, 1.0, 0.0])
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.2)
    for _ in range(150):
        optimizer.zero_grad()
        ((layer(inputs) - target[:, None]) ** 2).mean().backward()
        optimizer.step()
    layer.eval()
    out = layer(inputs)
    assert set(out.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(out, target[:, None].expand(4, 8))
    assert (layer.left != layer.right).all()


def test_errors():
    x = torch.rand(3)
    with pytest.raises(OptionError, match=r"gate: unknown gate 'xnr'.*Did you mean 'xnor'"):
        softtorch.gate("xnr", x, x)
    with pytest.raises(ShapeError, match=r"mixed_gates: weights \(3,\) do not end"):
        softtorch.mixed_gates(x, x, x)
    with pytest.raises(ShapeError, match=r"selector: n=9 choices do not fit the 3 bits of logits \(3,\). Use 1"):
        softtorch.selector(x, 9)
    with pytest.raises(ShapeError, match="LogicLayer: in_features=1 makes no pairs"):
        softtorch.LogicLayer(1, 2)
    with pytest.raises(OptionError, match="smooth_step: softness=0"):
        softtorch.smooth_step(x, 0)


def test_transforms_see_through():
    x, y, w = torch.rand(3, 4), torch.rand(3, 4), torch.softmax(torch.randn(4, 16), -1)
    assert torch.allclose(
        torch.func.vmap(lambda x, y: softtorch.mixed_gates(x, y, w))(x, y), softtorch.mixed_gates(x, y, w)
    )
    layer = softtorch.LogicLayer(4, 6)
    assert torch.allclose(torch.compile(layer, fullgraph=True, backend="aot_eager")(x), layer(x))
    assert torch.equal(
        softtorch.gate("xor", x.bfloat16(), y.bfloat16()),
        softtorch.gate("xor", x.bfloat16().float(), y.bfloat16().float()).bfloat16(),
    )
