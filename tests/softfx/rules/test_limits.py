"""Every limit that `softfx explain` states, and the formula of guards, tried on the softened operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from softfx.report.mathematics import limit
from softfx.rules import RULES
from tests.softfx.rules.formula_cases import CALLS, PROBABILITIES, Call, numbers

HARD = 1e-5  # a softness beside which the inputs are far from ties, jumps and corners
TIED = torch.tensor([0.5, 2.0, -1.0, 2.0, 0.3], dtype=torch.float64)  # entries 1 and 3

UNDERIVED = ("heaviside", "floor_divide")  # torch has no derivative for them, not even 0

TRIED = [(name, number) for name, calls in CALLS.items() for number in range(len(calls)) if name != "softmax"]


def softened(name: str, call: Call, inputs: tuple[Tensor, ...], **fields: Any) -> Any:
    policy = {"rule": [{"op": name, "action": "soft", **call.fields, **fields}]}
    return softfx.soften(call.program, policy, example_inputs=inputs)(*inputs)


def parts(result: Any) -> tuple[Tensor, ...]:
    return tuple(result) if isinstance(result, tuple) else (result,)


def derivatives(result: Any, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """Of a sum of all results with weights that tell them apart; 0 where nothing depends on an input."""
    total = torch.zeros((), dtype=torch.float64, requires_grad=True)
    for part in parts(result):
        if part.is_floating_point() and part.requires_grad:
            total = total + (part * numbers(11, *part.shape)).sum()
    found = torch.autograd.grad(total, inputs, allow_unused=True)
    return [torch.zeros_like(x) if grad is None else grad for x, grad in zip(inputs, found, strict=True)]


def of_words(words: str) -> list[tuple[str, int]]:
    return [(name, number) for name, number in TRIED if words in limit(RULES[name])]


@pytest.mark.parametrize(("name", "number"), of_words("torch's result as s -> 0"))
def test_the_limit_is_torchs_result_and_derivative(name: str, number: int) -> None:
    call = CALLS[name][number]
    inputs = tuple(x.clone().requires_grad_() for x in call.inputs)
    fields = {"epsilon": 0.0} if "epsilon" in RULES[name].options else {}
    soft, hard = softened(name, call, inputs, softness=HARD, **fields), call.program(*inputs)
    for one, other in zip(parts(soft), parts(hard), strict=True):
        torch.testing.assert_close(one.detach(), other.detach().to(one.dtype), rtol=0.0, atol=1e-7)
    if name in UNDERIVED:
        with pytest.raises(RuntimeError, match="derivative for"):
            derivatives(hard, inputs)
        hard = torch.zeros(())
    for one, other in zip(derivatives(soft, inputs), derivatives(hard, inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=0.0, atol=1e-7)


def test_every_operation_that_is_relaxed_by_a_softness_has_a_limit() -> None:
    relaxed = {name for name, rule in RULES.items() if rule.relax is not None and rule.code >= "SX1"}
    without = {name for name in relaxed if not limit(RULES[name])}
    assert without == {"softmax", "scaled_dot_product_attention", "existing_straight_through"}
    assert {name for name, _ in of_words("torch's result as s -> 0")} == {
        name for name in relaxed - without if RULES[name].family not in ("unsafe", "random")
    } - {"reduce_as_integers"}  # whose formula is that of trunc


# Programs on one row, with the name of each of their results.
OF_TIES: dict[str, tuple[Callable[[Tensor], Any], tuple[str, ...]]] = {
    **{name: (getattr(torch, name), ("indices",)) for name in ("argmax", "argmin", "argsort")},
    **{name: (getattr(torch, name), ("values",)) for name in ("max", "min", "msort", "amax", "amin")},
    "sort": (torch.sort, ("values", "indices")),
    "topk": (lambda x: x.topk(2), ("values", "indices")),
    "kthvalue": (lambda x: x.kthvalue(2), ("values", "indices")),
    "median": (lambda x: x.median(0), ("values", "indices")),
    "quantile": (lambda x: x.quantile(0.6), ("values",)),
    "cummax": (lambda x: x.cummax(0).indices[-1], ("indices",)),
    "cummin": (lambda x: x.cummin(0).indices[-1], ("indices",)),
    "max_pool1d": (lambda x: torch.nn.functional.max_pool1d(x.reshape(1, 1, -1), 5), ("values",)),
}


@pytest.mark.parametrize("softness", [0.001, 0.1, 1.0])
@pytest.mark.parametrize("name", OF_TIES)
def test_equal_entries_share_a_place_at_any_softness(name: str, softness: float) -> None:
    """Their probabilities are the same, and so are the derivatives of values by them."""
    assert "equal entries share a place at any s" in limit(RULES[name])
    program, names = OF_TIES[name]
    x = TIED.clone().requires_grad_()
    results = parts(softened(name, Call(program, (x,)), (x,), softness=softness, outputs="distribution"))
    for kind, result in zip(names, results, strict=True):
        if kind == "values":
            weights = numbers(12, *result.shape)
            (result,) = torch.autograd.grad((result * weights).sum(), x, retain_graph=True)
        torch.testing.assert_close(result[..., 1], result[..., 3], rtol=1e-10, atol=1e-10)


# -- guards ------------------------------------------------------------------------------------------------------------

ZEROS = torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 2.0], dtype=torch.float64)
ROWS = torch.stack([0 * ZEROS, ZEROS])
MATRICES = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
NEARLY = torch.tensor([1e-200, -1.0, 0.3, 2.0, -3.0, 0.5, -1e-200], dtype=torch.float64)  # singular, squared
SMALL = NEARLY.abs()
SHEARED = torch.tensor([[0.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
UNSAFE: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "sqrt": (torch.sqrt, (ZEROS,)),
    "log": (torch.log, (ZEROS,)),
    "asin": (torch.asin, (ZEROS,)),
    "acos": (torch.acos, (ZEROS,)),
    "div": (torch.div, (ZEROS.flip(0), ZEROS)),
    "pow": (lambda x: x**0.5, (ZEROS,)),
    "norm": (lambda x: torch.linalg.vector_norm(x, dim=-1), (torch.stack([0 * ZEROS, ZEROS]),)),
    "reciprocal": (torch.reciprocal, (ZEROS,)),
    "rsqrt": (torch.rsqrt, (ZEROS,)),
    "log2": (torch.log2, (ZEROS,)),
    "log10": (torch.log10, (ZEROS,)),
    "log1p": (torch.log1p, (ZEROS,)),
    "acosh": (torch.acosh, (ZEROS,)),
    "atanh": (torch.atanh, (ZEROS,)),
    "hypot": (torch.hypot, (ZEROS, torch.zeros_like(ZEROS))),
    "exp": (torch.exp, (1000 * ZEROS,)),
    "exp2": (torch.exp2, (1000 * ZEROS,)),
    "expm1": (torch.expm1, (1000 * ZEROS,)),
    "sinh": (torch.sinh, (1000 * ZEROS,)),
    "cosh": (torch.cosh, (1000 * ZEROS,)),
    "square": (torch.square, (1e308 * ZEROS,)),
    "float_power": (lambda x: torch.float_power(x, 0.5), (ZEROS,)),
    "addcdiv": (torch.addcdiv, (ZEROS, ZEROS.flip(0), ZEROS)),
    "ldexp": (torch.ldexp, (ZEROS, 1000 * ZEROS)),
    "xlogy": (torch.xlogy, (ZEROS.abs(), ZEROS)),
    "xlog1py": (torch.special.xlog1py, (ZEROS.abs(), ZEROS)),
    "entr": (torch.special.entr, (ZEROS,)),
    "kl_div": (lambda x, y: torch.nn.functional.kl_div(x, y, reduction="none"), (ZEROS, ZEROS)),
    "logit": (torch.logit, (ZEROS,)),
    "logaddexp": (torch.logaddexp, (ZEROS.log(), ZEROS.flip(0).log())),
    "logaddexp2": (torch.logaddexp2, (ZEROS.log(), ZEROS.log())),
    "erfinv": (torch.erfinv, (ZEROS,)),
    "ndtri": (torch.special.ndtri, (ZEROS,)),
    "log_ndtr": (torch.special.log_ndtr, (1e200 * ZEROS,)),
    "lgamma": (torch.lgamma, (ZEROS,)),
    "digamma": (torch.digamma, (ZEROS,)),
    "polygamma": (lambda x: torch.polygamma(1, x), (ZEROS,)),
    "mvlgamma": (lambda x: torch.mvlgamma(x, 2), (ZEROS[5:],)),
    "i0": (torch.i0, (1000 * ZEROS,)),
    "i1": (torch.special.i1, (1000 * ZEROS,)),
    "layer_norm": (lambda x: F.layer_norm(x, (7,), eps=0.0), (ROWS,)),
    "group_norm": (lambda x: F.group_norm(x, 2, eps=0.0), (ROWS.unsqueeze(0),)),
    "instance_norm": (lambda x: F.instance_norm(x, eps=0.0), (ROWS.unsqueeze(0),)),
    "rms_norm": (lambda x: F.rms_norm(x, (7,), eps=0.0), (ROWS,)),
    "cosine_similarity": (lambda x: F.cosine_similarity(x, x.flip(-1), eps=0.0), (ROWS,)),
    "local_response_norm": (lambda x: F.local_response_norm(x.view(7, 1, 1), 1, k=0.0).flatten(), (ZEROS,)),
    "corrcoef": (lambda x: torch.corrcoef(x)[1], (ROWS,)),
    "gelu": (lambda x: F.gelu(x, approximate="tanh"), (1e200 * ZEROS,)),
    "erfcx": (torch.special.erfcx, (1e10 * ZEROS,)),
    "gammainc": (lambda x: torch.special.gammainc(torch.full_like(x.detach(), 0.5), x), (ZEROS,)),
    "gammaincc": (lambda x: torch.special.gammaincc(torch.full_like(x.detach(), 0.5), x), (ZEROS,)),
    "zeta": (lambda x: torch.special.zeta(torch.full_like(x.detach(), 2.0), x), (ZEROS,)),
    "soft_margin_loss": (lambda x: F.soft_margin_loss(x, torch.ones_like(x), reduction="none"), (1e4 * ZEROS,)),
    "poisson_nll_loss": (
        lambda x: F.poisson_nll_loss(x, torch.ones_like(x), log_input=False, eps=0.0, reduction="none"),
        (ZEROS.abs(),),
    ),
    "slogdet": (lambda x: torch.linalg.slogdet(MATRICES * x.view(7, 1, 1))[1], (ZEROS,)),
    "logdet": (lambda x: torch.logdet(MATRICES * x.view(7, 1, 1)), (ZEROS,)),
    "eigh": (lambda x: torch.linalg.eigh(x.unsqueeze(-1) * torch.eye(7, dtype=x.dtype))[1].sum((1, 2)), (ROWS,)),
    "svd": (lambda x: torch.linalg.svd(x.unsqueeze(-1) * torch.eye(7, dtype=x.dtype))[0].sum((1, 2)), (ROWS,)),
    "qr": (lambda x: torch.linalg.qr(MATRICES * x.view(7, 1, 1))[0][:, 0, 0], (ZEROS,)),
    "inverse": (lambda x: torch.linalg.inv(MATRICES * x.view(7, 1, 1))[:, 0, 0], (NEARLY,)),
    "pinverse": (lambda x: torch.linalg.pinv(MATRICES * x.view(7, 1, 1))[:, 0, 0], (NEARLY,)),
    "solve": (lambda x: torch.linalg.solve(MATRICES * x.view(7, 1, 1), MATRICES)[:, 0, 0], (NEARLY,)),
    "solve_triangular": (
        lambda x: torch.linalg.solve_triangular(MATRICES.tril() * x.view(7, 1, 1), MATRICES, upper=False)[:, 0, 0],
        (NEARLY,),
    ),
    "cholesky": (lambda x: torch.linalg.cholesky(MATRICES * x.view(7, 1, 1))[:, 1, 0], (SMALL,)),
    "cholesky_inverse": (lambda x: torch.cholesky_inverse(MATRICES.tril() * x.view(7, 1, 1))[:, 0, 0], (NEARLY,)),
    "cholesky_solve": (
        lambda x: torch.cholesky_solve(MATRICES, MATRICES.tril() * x.view(7, 1, 1))[:, 0, 0],
        (NEARLY,),
    ),
    "lu": (lambda x: torch.linalg.lu(MATRICES * x.view(7, 1, 1))[1][:, 0, 0], (ZEROS,)),
    "lu_solve": (
        lambda x: torch.linalg.lu_solve(
            MATRICES * x.view(7, 1, 1), torch.tensor([1, 2], dtype=torch.int32).expand(7, 2), MATRICES.expand(7, 2, 2)
        )[:, 0, 0],
        (NEARLY,),
    ),
    "lstsq": (
        lambda x: torch.linalg.lstsq(MATRICES[:, :1] * x.view(7, 1, 1), MATRICES.expand(7, 2, 2)).solution[:, 0, 1],
        (NEARLY,),
    ),
    "matrix_power": (lambda x: torch.linalg.matrix_power(MATRICES * x.view(7, 1, 1), -2)[:, 0, 0], (NEARLY,)),
    "matrix_exp": (lambda x: torch.linalg.matrix_exp(MATRICES * x.view(7, 1, 1))[:, 0, 0], (1e300 * ZEROS,)),
    "householder_product": (
        lambda x: torch.linalg.householder_product(MATRICES[:, :1].expand(7, 2, 1), 2 * x.view(7, 1))[:, 0, 0],
        (ZEROS,),
    ),
    "ormqr": (
        lambda x: torch.ormqr(MATRICES[:, :1].expand(7, 2, 1), 2 * x.view(7, 1), MATRICES.expand(7, 2, 2))[:, 0, 0],
        (ZEROS,),
    ),
    "eig": (
        lambda x: torch.linalg.eig(torch.eye(2, dtype=x.dtype) + SHEARED * x.view(7, 1, 1))[1].abs()[:, 0, 1],
        (ZEROS,),
    ),
    "atan2": (torch.atan2, (NEARLY, 0 * NEARLY + 1e-200)),
    "binary_cross_entropy": (
        lambda x, y: F.binary_cross_entropy(x, y, reduction="none"),
        (ZEROS.clamp(0, 1), ZEROS.clamp(0, 1)),
    ),
}


# Made of several operations for the derivative, which are rounded one by one.
RECOMPOSED = ("instance_norm", "corrcoef")


def test_every_unsafe_operation_is_tried() -> None:
    assert set(UNSAFE) == {name for name, rule in RULES.items() if rule.family == "unsafe"}


@pytest.mark.parametrize("name", UNSAFE)
def test_a_guard_changes_no_value_and_only_derivatives_that_are_not_finite(name: str) -> None:
    program, points = UNSAFE[name]
    assert RULES[name].formula.startswith("the value as it is; the derivative as it is where it is finite")
    inputs = tuple(x.clone().requires_grad_() for x in points)
    policy = {"rule": [{"op": name, "action": "guard"}]}
    guarded, hard = softfx.soften(program, policy, example_inputs=inputs)(*inputs), program(*inputs)
    assert torch.equal(guarded.isnan(), hard.isnan())
    assert torch.equal(guarded.nan_to_num(), hard.nan_to_num())
    for one, other in zip(*(torch.autograd.grad(y.sum(), inputs) for y in (guarded, hard)), strict=True):
        kept = other.isfinite() & ~hard.isnan().reshape(*hard.shape, *[1] * (other.dim() - hard.dim()))
        atol = 1e-15 if name in RECOMPOSED else 0.0
        torch.testing.assert_close(one, torch.where(kept, other, 0.0), rtol=0.0, atol=atol)


@pytest.mark.parametrize("function", [torch.kl_div, torch.nn.functional.kl_div, torch.ops.aten.kl_div])
@pytest.mark.parametrize("options", [{}, {"log_target": True}])
@pytest.mark.filterwarnings("ignore:reduction")
def test_a_guard_keeps_the_defaults_of_each_spelling(function: Callable[..., Tensor], options: dict[str, bool]) -> None:
    inputs = tuple(x.clone().requires_grad_() for x in (PROBABILITIES, PROBABILITIES.flip(0)))
    soft = softfx.soften(lambda x, y: function(x, y, **options), example_inputs=inputs)
    assert torch.equal(soft(*inputs), function(*inputs, **options))


@pytest.mark.parametrize(
    "program",
    [
        lambda x: torch.where(x > 0, x.sqrt(), 0.0),
        lambda x: torch.where(x > 0, x.log(), torch.zeros_like(x)),
        lambda x: (x.log() * (x > 0).float()).nan_to_num(0.0, 0.0, 0.0),
        lambda x: x.pow(0.5).masked_fill(x <= 0, 0.0),
    ],
)
def test_the_smooth_preset_makes_no_gradient_infinite_by_the_branch_not_chosen(
    program: Callable[[Tensor], Tensor],
) -> None:
    x = torch.tensor([0.0, 4.0], dtype=torch.float64, requires_grad=True)
    soft = softfx.soften(program, "smooth", example_inputs=(x,))
    (gradient,) = torch.autograd.grad(soft(x).sum(), x)
    assert gradient.isfinite().all()


# -- draws -------------------------------------------------------------------------------------------------------------


def test_soft_draws_have_the_frequencies_of_the_original() -> None:
    torch.manual_seed(0)
    p = PROBABILITIES.expand(4000, 7)
    ones = softened("bernoulli", Call(torch.bernoulli, (p,)), (p,)).round().mean(0)
    # Four standard deviations of a frequency over 4000 draws are at most 4 * 0.5 / sqrt(4000) = 0.032.
    torch.testing.assert_close(ones, PROBABILITIES, rtol=0.0, atol=0.032)
    drawn = softened("multinomial", Call(lambda p: torch.multinomial(p, 1), (p,)), (p,), outputs="distribution")
    counts = torch.bincount(drawn.argmax(-1).flatten(), minlength=7).double() / 4000
    torch.testing.assert_close(counts, PROBABILITIES / PROBABILITIES.sum(), rtol=0.0, atol=0.032)


@pytest.mark.parametrize(("loss", "biased"), [(lambda b: 3 * b, False), (lambda b: (b - 0.3) ** 2, True)])
def test_straight_through_gradients_of_draws_are_biased_for_losses_that_bend(
    loss: Callable[[Tensor], Tensor], biased: bool
) -> None:
    torch.manual_seed(0)
    p = torch.full((4000,), 0.9, dtype=torch.float64, requires_grad=True)
    policy = {"rule": [{"op": "bernoulli", "action": "straight_through"}]}
    soft = softfx.soften(lambda p: loss(torch.bernoulli(p)), policy, example_inputs=(p,))
    found = torch.autograd.grad(soft(p).mean(), p)[0].sum()
    exact = loss(torch.ones(())) - loss(torch.zeros(()))  # the derivative of p loss(1) + (1 - p) loss(0)
    assert bool((found - exact).abs() > 0.1) == biased


@pytest.mark.parametrize("numbers", [[0.0, 1.0, 2.0, 3.0], [0.5, 1.5, 2.0, 7.0]])
@pytest.mark.parametrize("compare", [torch.lt, torch.ge, torch.eq])
def test_an_index_is_compared_with_constant_numbers_on_its_points(
    compare: Callable[..., Tensor], numbers: list[float]
) -> None:
    constants = torch.tensor(numbers)

    def program(x: Tensor) -> Tensor:
        return compare(constants, x.argmax(-1, keepdim=True)) * x

    x = torch.tensor([[3.0, 1.0, 0.0, 2.0], [0.0, 1.0, 5.0, 2.0]])
    soft = softfx.soften(program, "smooth", example_inputs=(x,))
    softfx.set_softness(soft, 1e-3)
    torch.testing.assert_close(soft(x), program(x))
