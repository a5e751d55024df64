"""What every elementwise operator and comparison has to keep, over the table of all of them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as drawn
from torch.autograd import gradcheck, gradgradcheck

from softtorch.errors import OptionError
from tests.helpers import identical
from tests.softtorch.pointwise_table import CASES, FLOATS, MODES, NAN, edges, operands

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_mode = pytest.mark.parametrize("mode", MODES)
floats = drawn.floats(-1e30, 1e30)


@each_case
@pytest.mark.parametrize("dtype", FLOATS)
def test_hard_mode_is_torchs_own_function_bit_for_bit(case, dtype):
    xs = edges(case.arity, dtype)
    assert identical(case.soft(*xs, mode="hard"), case.hard(*xs))


@each_case
@each_mode
def test_the_limit_of_small_softness_is_the_hard_function(case, mode):
    xs = operands(case.arity, 400)
    scaled = (x.mul(20).round().div(20).add(0.021) for x in xs)  # at least 0.02 away from every tie
    xs = [x + 0.01 * place for place, x in enumerate(scaled)]
    if case.name in ("fmod", "remainder"):  # their ties are where the quotient is an integer
        far = ((xs[0] / xs[1] + 0.5) % 1 - 0.5).abs() > 0.02
        xs = [x[far] for x in xs]
    if mode == "tailed":  # what is left of a Cauchy tail is the softness over the distance
        assert torch.allclose(case.soft(*xs, softness=1e-9, mode=mode), case.hard(*xs), rtol=1e-6, atol=1e-6)
        return
    # 0.02 / 1e-4 is 200 widths from a tie: what is left is e^-200, or nothing; the tolerance is rounding.
    assert torch.allclose(case.soft(*xs, softness=1e-4, mode=mode), case.hard(*xs), rtol=1e-10, atol=1e-10)


@each_case
@each_mode
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_infinities_have_their_hard_value_or_a_number_and_no_gradient_is_lost_to_them(case, mode, dtype):
    xs = [x.requires_grad_() for x in edges(case.arity, dtype)]
    out = case.soft(*xs, mode=mode)
    numbers = torch.stack([~x.isnan() for x in xs]).all(0)
    finite = torch.stack([x.isfinite() for x in xs]).all(0)
    want = case.hard(*(x.detach() for x in xs))
    assert out[finite & want.isfinite()].isfinite().all()
    if case.at_infinity:
        far = numbers & ~finite & (xs[0] != xs[-1] if case.arity == 2 else finite.logical_not())
        assert torch.allclose(out[far], want[far])
        assert not out[numbers].isnan().any()
        grads = torch.autograd.grad(out[numbers].clamp(-1e3, 1e3).sum(), xs)
        assert all(grad[numbers].isfinite().all() for grad in grads)


@each_case
@each_mode
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(case, mode, dtype):
    xs = operands(case.arity, 50, dtype=dtype)
    assert identical(case.soft(*xs, mode=mode), case.soft(*(x.float() for x in xs), mode=mode).to(dtype))


@each_case
@each_mode
def test_first_derivatives(case, mode):
    xs = [x.requires_grad_() for x in operands(case.arity, 20)]
    softness = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    weight = operands(1, 20, seed=1)[0]
    for given_softness in (0.3, softness):
        inputs = (*xs, softness) if given_softness is softness else tuple(xs)

        def weighted(*inputs, learned=given_softness is softness):
            s = inputs[-1] if learned else 0.3
            return case.soft(*inputs[: case.arity], softness=s, mode=mode) * weight

        assert gradcheck(weighted, inputs, check_forward_ad=True, fast_mode=True)


@each_case
@pytest.mark.parametrize("mode", ["smooth", "c2"])
def test_second_derivatives(case, mode):
    xs = [x.requires_grad_() for x in operands(case.arity, 6)]
    weight = operands(1, 6, seed=1)[0]
    assert gradgradcheck(lambda *xs: case.soft(*xs, softness=0.4, mode=mode) * weight, tuple(xs))


@each_case
@each_mode
def test_derivatives_at_ties_are_those_next_to_them(case, mode):
    place = torch.tensor([0.0, 0.5, 1.0, -1.0, 2.0, 3.0, -3.0, 6.0], dtype=torch.float64)
    xs = [place, place + 0.0][: case.arity] if case.arity == 1 or "mod" not in case.name else [place, place + 7]
    if case.name in ("fmod", "remainder"):
        xs = [place, torch.full_like(place, 1.5)]
    if case.name in ("eq", "not_equal", "isclose"):
        xs = [place, place + 0.3]

    def slope(shift):
        moved = [(x + shift * (k == 0)).requires_grad_() for k, x in enumerate(xs)]
        return torch.autograd.grad(case.soft(*moved, softness=0.21, mode=mode).sum(), moved[0])[0]

    # The slopes have second derivatives below 100: 1e-7 to the side they have moved by less than 1e-5.
    assert torch.allclose(slope(0.0), slope(1e-7), atol=1e-5) or mode == "c0"
    assert torch.allclose(slope(0.0), (slope(1e-7) + slope(-1e-7)) / 2, atol=0.2 if mode == "c0" else 1e-5)


@each_case
@each_mode
def test_a_softness_tensor_does_what_the_number_does_and_broadcasts(case, mode):
    xs = operands(case.arity, 3, 4)
    want = case.soft(*xs, softness=0.3, mode=mode)
    for softness in (torch.tensor(0.3, dtype=torch.float64), torch.full((3, 1), 0.3, dtype=torch.float64)):
        got = case.soft(*xs, softness=softness, mode=mode)
        assert got.dtype == want.dtype and torch.allclose(got, want, rtol=1e-9, atol=1e-12)
    rows = torch.tensor([[0.1], [0.3], [0.7]], dtype=torch.float64)
    got = case.soft(*xs, softness=rows, mode=mode)
    for row, softness in enumerate((0.1, 0.3, 0.7)):
        want = case.soft(*(x[row] for x in xs), softness=softness, mode=mode)
        assert torch.allclose(got[row], want, rtol=1e-9, atol=1e-12)


@each_case
@pytest.mark.parametrize("mode", ["smooth", "c1", "hard"])
@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch.isclose itself, under vmap
def test_transforms_see_through(case, mode):
    xs = operands(case.arity, 3, 4)

    def fn(*xs):
        return case.soft(*xs, softness=0.3, mode=mode)

    want = fn(*xs)
    assert torch.allclose(torch.func.vmap(fn)(*xs), want)
    assert fn(*(x.to("meta") for x in xs)).shape == want.shape
    if mode == "hard":
        return
    want = torch.autograd.functional.jacobian(lambda x: fn(x, *xs[1:]).sum(0), xs[0])
    for jacobian in (torch.func.jacrev, torch.func.jacfwd):
        assert torch.allclose(jacobian(lambda x: fn(x, *xs[1:]).sum(0))(xs[0]), want)
    second = torch.func.hessian(lambda x: (fn(x, *xs[1:]) ** 2).sum())(xs[0])
    for outer, inner in ((torch.func.jacrev, torch.func.jacfwd), (torch.func.jacfwd, torch.func.jacfwd)):
        again = outer(inner(lambda x: (fn(x, *xs[1:]) ** 2).sum()))(xs[0])
        assert torch.allclose(again, second, atol=1e-9)


@pytest.mark.parametrize(("mode", "cases"), [("smooth", CASES[::3]), ("c2", CASES[1::9])], ids=["smooth", "c2"])
def test_compile_takes_them_whole(mode, cases):
    """Some in one graph with its derivative; all of them one by one in the full matrix of test_transforms.py."""

    def fn(*xs):
        return [case.soft(*xs[: case.arity], softness=0.3, mode=mode) for case in cases]

    xs = [x.requires_grad_() for x in operands(2, 5)]
    got, want = torch.compile(fn, fullgraph=True, backend="aot_eager")(*xs), fn(*xs)
    for case, one, other in zip(cases, got, want, strict=True):
        assert torch.allclose(one, other), case
        grads = [torch.autograd.grad(out.sum(), xs[: case.arity], retain_graph=True) for out in (one, other)]
        assert all(torch.allclose(a, b) for a, b in zip(*grads, strict=True)), case


@each_case
def test_empty_and_0_dim_inputs_and_other_dtypes_work(case):
    for shape in ((), (0,), (2, 0, 3)):
        assert case.soft(*operands(case.arity, *shape)).shape == shape
    integers = [torch.tensor([-3, 0, 2]), torch.tensor([1, 1, 3])][: case.arity]
    out = case.soft(*integers)
    assert out.dtype == torch.float32
    assert torch.allclose(out, case.soft(*(x.float() for x in integers)))


@each_case
def test_nan_in_gives_nan_out(case):
    assert case.soft(*(torch.tensor([NAN]) for _ in range(case.arity))).isnan().all()


@each_case
def test_options_are_checked_at_the_boundary(case):
    xs = operands(case.arity, 3)
    name = case.name.split()[0]
    with pytest.raises(OptionError, match=f"^{name}: softness=0 is not a positive number. Use softness > 0"):
        case.soft(*xs, softness=0)
    with pytest.raises(OptionError, match=f"^{name}: unknown mode 'smoth'.*Did you mean 'smooth'"):
        case.soft(*xs, mode="smoth")


@pytest.mark.parametrize("case", [case for case in CASES if case.arity == 2], ids=str)
def test_the_second_operand_may_be_a_number_or_broadcast(case):
    (x,) = operands(1, 3, 4)
    want = case.soft(x, torch.full_like(x, 1.5))
    assert torch.allclose(case.soft(x, 1.5), want)
    assert torch.allclose(case.soft(x, torch.full((3, 1), 1.5, dtype=torch.float64)), want)
    assert case.soft(x.float(), 1.5).dtype == torch.float32


STEPS = [case for case in CASES if case.name in ("sigmoidal", "greater", "greater_equal", "less", "less_equal")]
SOFT_BOOLS = [*STEPS, *(case for case in CASES if case.name in ("eq", "not_equal", "isclose"))]


@pytest.mark.parametrize("case", SOFT_BOOLS, ids=str)
@each_mode
@settings(max_examples=40)
@given(x=floats, y=floats, softness=drawn.floats(1e-9, 1e3))
def test_soft_bools_stay_in_0_to_1(case, mode, x, y, softness):
    xs = torch.tensor([x], dtype=torch.float64), torch.tensor([y], dtype=torch.float64)
    for other in (xs[1], xs[0]):
        p = case.soft(*(xs[0], other)[: case.arity], softness=softness, mode=mode).item()
        assert 0.0 <= p <= 1.0


RISING = ["sigmoidal", "softrelu", "sign", "clamp", "round", "floor", "ceil", "trunc", "relu6", "leaky_relu"]


@pytest.mark.parametrize("case", [case for case in CASES if case.name in RISING], ids=str)
@each_mode
@settings(max_examples=40)
@given(x=drawn.floats(-50, 50), step=drawn.floats(0, 5))
def test_monotone_functions_stay_monotone(case, mode, x, step):
    a, b = (case.soft(torch.tensor(v, dtype=torch.float64), softness=0.1, mode=mode) for v in (x, x + step))
    assert b >= a - 1e-12  # rounding of sums of numbers up to 50
