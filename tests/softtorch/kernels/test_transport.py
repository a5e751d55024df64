"""Transport plans: marginals at every softness, against plain Sinkhorn, derivatives, columns and entries left out."""

import itertools

import pytest
import torch
from torch import Tensor

from softtorch.kernels import transport
from softtorch.kernels.numeric.tracing import plain_operators
from softtorch.kernels.transport import Columns, plan
from tests.softtorch.cases import draw, weights_like

POWERS = [0, 1, 2, 3]


def columns(n: int, m: int) -> Columns:
    mass = torch.ones(m, dtype=torch.float64)
    mass[0] += n - m
    return Columns(torch.linspace(0, 1, m, dtype=torch.float64), mass)


def plain(x: Tensor, at: Columns, softness: float, power: int) -> Tensor:
    return plan(x, torch.ones_like(x), at, torch.tensor([softness], dtype=torch.float64), power)


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize(("n", "m"), [(1, 1), (6, 6), (6, 2), (40, 3), (40, 40)])
def test_marginals_hold_from_hard_to_uniform(power: int, n: int, m: int) -> None:
    for softness in (1e-4, 1e-2, 0.1, 1.0, 10.0):
        for x in (torch.sigmoid(draw(3, n)), 30 * draw(3, n), draw(3, n).round()):
            got = plain(x, columns(n, m), softness, power)
            assert (got >= 0).all()
            torch.testing.assert_close(got.sum(dim=-1), torch.ones_like(x), rtol=0, atol=1e-12)
            # costs of 1e3 over softness 1e-4 round at 1e-9
            mass = columns(n, m).mass.expand(3, m)
            torch.testing.assert_close(got.sum(dim=-2), mass, rtol=0, atol=1e-8)


def test_the_exponential_link_is_sinkhorn() -> None:
    x, at, s = torch.sigmoid(draw(3, 6)), columns(6, 4), 0.1
    cost = (x.unsqueeze(-1) - at.anchors).square()
    f, g = torch.zeros(3, 6, 1, dtype=torch.float64), torch.zeros(3, 1, 4, dtype=torch.float64)
    for _ in range(2000):
        f = -s * ((g - cost) / s).logsumexp(dim=-1, keepdim=True)
        g = s * at.mass.log() - s * ((f - cost) / s).logsumexp(dim=-2, keepdim=True)
    torch.testing.assert_close(plain(x, at, s, 0), ((f + g - cost) / s).exp(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("power", [1, 2, 3])
def test_power_links_minimize_the_regularized_cost(power: int) -> None:
    x, at, s, n = torch.sigmoid(draw(3, 6)), columns(6, 4), 0.1, 6
    mass = plain(x, at, s, power) / n
    # G = s^-p (f + g - C)_+^p minimizes <C, G> + s sum G^(1 + 1/p) / (1 + 1/p): no plan is better in first order.
    slope = (x.unsqueeze(-1) - at.anchors).square() + s * mass.pow(1 / power)
    places = torch.tensor(list(itertools.permutations([0, 0, 0, 1, 2, 3])))  # every vertex, some of them six times
    vertices = torch.nn.functional.one_hot(places, 4).to(x.dtype) / n
    best = torch.einsum("bij,vij->bv", slope, vertices).amin(dim=-1)
    torch.testing.assert_close((slope * mass).sum(dim=(-2, -1)), best, rtol=0, atol=1e-9)


@pytest.mark.parametrize("power", POWERS)
def test_derivatives_equal_finite_differences(power: int) -> None:
    x = torch.sigmoid(draw(2, 4)).requires_grad_()
    softness = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    loss = lambda x, s: plan(x, torch.ones_like(x), columns(4, 3), s, power) * draw(2, 4, 3, seed=5)  # noqa: E731
    assert torch.autograd.gradcheck(loss, (x, softness))
    assert torch.autograd.gradcheck(loss, (x, softness), check_forward_ad=True, check_backward_ad=False)
    if power != 1:  # p = 1 is continuous only; p = 2 has kinks in its derivative, which this softness keeps away
        assert torch.autograd.gradgradcheck(loss, (x, torch.ones_like(softness).requires_grad_()), fast_mode=True)


@pytest.mark.parametrize("power", POWERS)
def test_the_derivatives_given_are_those_of_the_recorded_form(power: int) -> None:
    x, softness = torch.sigmoid(draw(3, 8)), torch.tensor([[0.1], [0.3], [1.0]], dtype=torch.float64)
    present = torch.ones_like(x)
    present[1, 2] = 0.0
    anchors, mass = (part.repeat(3, 1) for part in columns(8, 4))
    mass[1, 0] -= 1.0
    operands = [part.requires_grad_() for part in (x, anchors, mass, softness)]
    weights = weights_like(torch.empty(3, 8, 4, dtype=torch.float64))

    def slopes() -> tuple[Tensor, ...]:
        result = plan(x, present, Columns(anchors, mass), softness, power)
        return torch.autograd.grad((result * weights).sum(), operands)

    given = slopes()
    with plain_operators():
        recorded = slopes()
    for slope, want in zip(given, recorded, strict=True):
        torch.testing.assert_close(slope, want, rtol=1e-9, atol=1e-9)  # systems of a condition of some 1e3


def test_a_hard_plan_has_no_gradient_instead_of_an_enormous_one() -> None:
    x = torch.tensor([[0.1, 0.5, 0.9]], dtype=torch.float64, requires_grad=True)
    for power in POWERS:
        got = plain(x, columns(3, 3), 1e-4, power)
        (gradient,) = torch.autograd.grad((got * weights_like(got)).sum(), x)
        torch.testing.assert_close(gradient, torch.zeros_like(x), rtol=0, atol=1e-9)


@pytest.mark.parametrize("power", POWERS)
def test_empty_columns_and_absent_entries_are_as_if_not_there(power: int) -> None:
    x, s = torch.rand(2, 6, dtype=torch.float64), torch.tensor([0.1], dtype=torch.float64)
    present = torch.ones_like(x)
    present[:, 2] = 0
    at = Columns(torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]).double(), torch.tensor([2.0, 0.0, 1.0, 1.0, 1.0]).double())
    got = plan(x, present, at, s, power)
    some = [0, 2, 3, 4]
    alone = plan(x[:, [0, 1, 3, 4, 5]], present[:, :5] * 0 + 1, Columns(*(c[some] for c in at)), s, power)
    torch.testing.assert_close(got[:, [0, 1, 3, 4, 5]][..., some], alone, rtol=0, atol=1e-9)
    assert (got[:, 2] == 0).all()
    assert (got[..., 1] == 0).all()


def test_every_argument_may_be_batched_by_vmap() -> None:
    x, s = torch.rand(4, 2, 6, dtype=torch.float64), torch.rand(4, 1, dtype=torch.float64) + 0.1
    mass = torch.rand(4, 5, dtype=torch.float64) + 0.1
    mass = 6 * mass / mass.sum(dim=-1, keepdim=True)
    anchors = torch.linspace(0, 1, 5, dtype=torch.float64)

    def one(x: Tensor, mass: Tensor, s: Tensor) -> Tensor:
        return plan(x, torch.ones_like(x), Columns(anchors, mass), s, 2)

    each = torch.stack([one(*row) for row in zip(x, mass, s, strict=True)])
    torch.testing.assert_close(torch.func.vmap(one)(x, mass, s), each, rtol=0, atol=1e-9)


def test_few_steps_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_STEPS", 12)
    for power in POWERS:
        got = plain(torch.sigmoid(draw(5, 30)), columns(30, 30), 0.1, power)
        torch.testing.assert_close(got.sum(dim=-2), torch.ones(5, 30, dtype=torch.float64), rtol=0, atol=1e-9)


def test_nan_stays_in_its_row() -> None:
    x = torch.rand(2, 5, dtype=torch.float64)
    x[0, 1] = torch.nan
    got = plain(x, columns(5, 3), 0.1, 0)
    assert got[0].isnan().any()
    torch.testing.assert_close(got[1:], plain(x[1:], columns(5, 3), 0.1, 0))


def test_the_operator_keeps_what_its_fake_form_promises() -> None:
    x = torch.rand(2, 5, dtype=torch.float64)
    anchors, mass = (part.expand(2, 3) for part in columns(5, 3))
    scale = torch.ones(2, 1, 1).double()
    torch.library.opcheck(transport._potentials, (x, anchors, mass, scale, torch.ones_like(x), 1, 200, 1e-12))
