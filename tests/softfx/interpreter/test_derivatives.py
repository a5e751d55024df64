"""Operations from which no derivative comes back are sites, whatever their names are: found by what they do."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from tests.helpers import EXECUTOR, gradient

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
W = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
IMAGE = torch.rand(1, 1, 5, 5, generator=torch.Generator().manual_seed(2))


@torch.library.custom_op("softfx_test_derivatives::twice", mutates_args=())
def twice(x: Tensor) -> Tensor:
    return x * 2


@torch.library.custom_op("softfx_test_derivatives::bits", mutates_args=())
def bits(x: Tensor) -> Tensor:
    return (x > 0).to(torch.int64)


@torch.library.custom_op("softfx_test_derivatives::smooth", mutates_args=())
def smooth(x: Tensor) -> Tensor:
    return x.exp()


smooth.register_autograd(
    lambda ctx, g: g * ctx.saved_tensors[0],
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(output),
)

BLOCKED: dict[str, Callable[[Tensor], Any]] = {
    "grid_sample": lambda x: F.grid_sample(IMAGE, x.tanh().view(1, 2, 3, 2), mode="nearest", align_corners=False),
    "histogram": lambda x: torch.histogram(x, 4, range=(-3.0, 3.0)).hist,
    "nanmedian": lambda x: torch.nanmedian(x, 1).indices * W[:, 0],
    "mode": lambda x: torch.mode(x, 1).indices * W[:, 0],
    "frexp": lambda x: torch.frexp(x).exponent * W,
    "cdist": lambda x: torch.cdist(x, W, p=0),
    "view": lambda x: (x.view(torch.int32) >> 23) * W,
    "linalg_matrix_rank": lambda x: torch.linalg.matrix_rank(x) * W,
    "twice": lambda x: twice(x),
    "bits": lambda x: bits(x) * W,
    "nonzero": lambda x: x.nonzero()[:, 0] * 1.0,
    "unique_consecutive": lambda x: torch.unique_consecutive(x, return_inverse=True)[1].float() * 0.3,
    "fractional_max_pool2d": lambda x: F.fractional_max_pool2d(
        x[None], 2, output_size=1, return_indices=True, _random_samples=torch.full((1, 1, 2), 0.5)
    )[1].float(),
}


@EXECUTOR
@pytest.mark.parametrize("name", BLOCKED)
def test_an_operation_without_a_derivative_is_a_blocked_site(name: str, executor: Any) -> None:
    program = BLOCKED[name]
    x = X.clone().requires_grad_()
    try:
        soft = softfx.soften(program, example_inputs=(x,), executor=executor)
    except softfx.SoftfxError:  # no graph holds it
        assert executor == "graph"
        return
    (site,) = [site for site in soft.report.sites if site.op == name]
    assert (site.code, site.family, site.action) == ("SX991", "discrete", "blocked")
    assert "no rule relaxes it" in site.reason or "stays hard" in site.reason
    assert sum(soft.report.counts.values()) == 2 * soft.report.counts["found"]
    assert torch.equal(soft(x), program(x))


PASSING: dict[str, Callable[[Tensor], Tensor]] = {
    "a convolution": lambda x: F.conv1d(x[None], W[:, :3, None]),
    "one whose weights are zero": lambda x: F.conv1d(x[None], torch.zeros(2, 3, 1)),
    "bilinear samples": lambda x: F.grid_sample(IMAGE, x.tanh().view(1, 2, 3, 2), align_corners=False),
    "nearest samples of what has the gradient": lambda x: F.interpolate(x[None], scale_factor=2.0, mode="nearest"),
    "an operator with a backward pass": lambda x: smooth(x),
    "written in place": lambda x: x.clone().addmm_(W, torch.eye(4)),
    "a matrix norm": lambda x: torch.linalg.matrix_norm(x, "nuc"),
    "a distance": lambda x: torch.cdist(x, W),
}


@pytest.mark.parametrize("name", PASSING)
def test_an_operation_with_a_derivative_is_no_site(name: str) -> None:
    assert softfx.check(PASSING[name], example_inputs=(X,)).sites == []


STATIC: dict[str, Callable[[Tensor], Tensor]] = {
    "under no_grad": lambda x: x * _without_gradients(lambda: torch.cdist(x, W, p=0)[:, :1]),
    "detached": lambda x: x * torch.cdist(x.detach(), W, p=0)[:, :1],
    "on constants": lambda x: x * torch.cdist(W, W + 1, p=0)[:, :1],
    "on integers": lambda x: x * torch.gcd(torch.tensor([4]), torch.tensor([6])),
}


def _without_gradients(function: Callable[[], Tensor]) -> Tensor:
    with torch.no_grad():
        return function()


@pytest.mark.parametrize("name", STATIC)
def test_what_could_never_have_a_gradient_is_no_site(name: str) -> None:
    assert [site.op for site in softfx.check(STATIC[name], example_inputs=(X,)).sites] == []


@pytest.mark.parametrize("test", [torch.isnan, torch.isinf, torch.isfinite, Tensor.isnan, torch.isneginf])
def test_a_test_for_numbers_is_kept_with_the_reason(test: Callable[[Tensor], Tensor]) -> None:
    (site,) = softfx.check(lambda x: torch.where(test(x), W, x), example_inputs=(X,)).sites
    assert site.action == "keep" and "constant wherever there is a derivative" in site.reason


def test_the_kept_policy_keeps_it() -> None:
    (site,) = softfx.check(BLOCKED["cdist"], "keep", example_inputs=(X,)).sites
    assert (site.action, site.reason) == ("keep", "the policy keeps it")


@EXECUTOR
def test_an_operator_without_a_backward_pass_does_not_raise_for_what_softening_gave_it(
    executor: Any,
) -> None:
    def program(x: Tensor) -> Tensor:
        return twice((x > 0).float()) + x

    x = torch.tensor([0.3, -0.2])
    soft = softfx.soften(program, example_inputs=(x,), executor=executor)
    assert gradient(soft, x).tolist() == [1.0, 1.0]
    comparison = soft.report.sites[0]
    assert ("twice", "hard") in [(use.op, use.takes) for use in comparison.consumers]


def test_an_unseen_operation_first_met_while_running_joins_the_report() -> None:
    def program(x: Tensor) -> Tensor:
        return torch.cdist(x, W, p=0) if x.sum() > 0 else x[:, :3] * 2

    soft = softfx.soften(program, example_inputs=(-W,), executor="eager")
    assert soft.report.sites == [] or "cdist" not in [site.op for site in soft.report.sites]
    soft(W.clone().requires_grad_())
    assert "cdist" in [site.op for site in soft.report.sites]


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda soft: pickle.loads(pickle.dumps(soft))], ids=["copy", "pickle"]
)
def test_such_a_site_is_copied_and_pickled(again: Callable[[Any], Any]) -> None:
    class Ranked(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cdist(x, W, p=0)

    globals()["Ranked"], Ranked.__qualname__ = Ranked, "Ranked"
    soft = again(softfx.soften(Ranked(), example_inputs=(X,)))
    assert [site.op for site in soft.report.sites] == ["cdist"]


def test_random_numbers_are_as_without_the_trial() -> None:
    def program(x: Tensor) -> Tensor:
        return torch.normal(x, 1.0)

    torch.manual_seed(3)
    softfx.soften(program, example_inputs=(X,))
    drawn = torch.rand(2)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(2))


KINKS: dict[str, Callable[[Tensor], Tensor]] = {
    "l1_loss": lambda x: F.l1_loss(x, W),
    "rrelu": lambda x: F.rrelu(x, 0.1, 0.2),
    "aminmax": lambda x: torch.aminmax(x, dim=-1).max,
}


@pytest.mark.parametrize("name", KINKS)
def test_corners_of_other_operations_are_softened(name: str) -> None:
    soft = softfx.soften(KINKS[name], "straight-through", example_inputs=(X,))
    assert [(site.op, site.action) for site in soft.report.sites] == [(name, "straight_through")]
    assert torch.equal(soft(X), KINKS[name](X))
    assert gradient(soft, X).abs().sum() > 0


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_l1_loss_is_softened_before_it_is_reduced(reduction: str) -> None:
    def program(x: Tensor) -> Tensor:
        return F.l1_loss(x, W, reduction=reduction)

    soft = softfx.soften(program, "smooth", example_inputs=(X,))
    softfx.set_softness(soft, 1e-4)
    torch.testing.assert_close(soft(X), program(X), rtol=1e-3, atol=1e-3)  # |.| is off by s log 2 at most


@pytest.mark.parametrize("policy", [None, "straight-through"])
def test_a_remainder_towards_zero_learns_from_its_jumps(policy: str | None) -> None:
    soft = softfx.soften(lambda x: x.fmod(0.7), policy, example_inputs=(X,))
    assert [(site.op, site.action) for site in soft.report.sites] == [("fmod", "straight_through")]
    assert torch.equal(soft(X), X.fmod(0.7))
    assert not torch.equal(gradient(soft, X), torch.ones_like(X))


@pytest.mark.parametrize("q", [0.3, torch.tensor([0.2, 0.5])])
def test_a_quantile_that_passes_over_nan_is_told(q: Any) -> None:
    (site,) = softfx.check(lambda x: x.nanquantile(q, -1), example_inputs=(X,)).sites
    assert (site.op, site.action) == ("nanquantile", "blocked")


@pytest.mark.parametrize("seed", range(8))
def test_a_draw_that_leaves_nothing_is_no_lack_of_a_derivative(seed: int) -> None:
    """A dropout of one number leaves nothing three times of four, and it has a derivative all the same."""
    rate = 0.75 + seed / 1000  # a call that was judged before is not judged again

    def program(x: Tensor) -> Tensor:
        return torch.nn.functional.dropout(x.sign(), rate).sum()

    torch.manual_seed(seed)
    (site,) = softfx.check(program, example_inputs=(torch.tensor([0.3]),)).sites
    assert site.op == "sign"


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize(
    "program",
    [
        lambda x: (x * (x > 0)).to_sparse().to_dense(),
        lambda x: torch.sparse.mm((x * (x > 0)).to_sparse(), x.mT).to_dense(),
        lambda x: torch.sparse.softmax((x * (x > 0)).to_sparse(), 1).to_dense() * x,
        lambda x: (x * (x > 0)).to_sparse_csr().to_dense(),
        lambda x: (x * (x > 0)).to_mkldnn().to_dense(),
    ],
)
def test_results_that_store_no_zeros_have_their_derivative(program: Callable[[Tensor], Tensor]) -> None:
    x = X.clone().requires_grad_()
    soft = softfx.soften(program, example_inputs=(x,))
    assert torch.equal(soft(x), program(x))
    before, after = (torch.autograd.grad(run(x).sum(), x)[0] for run in (program, soft))
    assert not bool(((before != 0) & (after == 0)).any())
    assert soft.report.counts["blocked"] == 0
