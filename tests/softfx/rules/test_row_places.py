"""Places that a soft mask selects: nonzero and where(mask), and what is read, written and added at them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import softfx
import softtorch


class Experts(nn.Module):
    """Each row goes to the expert that the router chooses, by the places that `form` makes of the mask."""

    def __init__(self, form: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.router = nn.Parameter(torch.randn(4, 3, generator=generator, dtype=torch.float64))
        self.experts = nn.Parameter(torch.randn(3, 4, 4, generator=generator, dtype=torch.float64))
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        chosen = (x @ self.router).argmax(-1)
        out = torch.zeros_like(x)
        for number, weight in enumerate(self.experts):
            at = self.form(chosen == number)
            out[at] = torch.tanh(x[at] @ weight)
        return out


FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "nonzero, squeezed along an axis": lambda mask: mask.nonzero().squeeze(-1),
    "nonzero, squeezed": lambda mask: mask.nonzero().squeeze(),
    "nonzero, flattened": lambda mask: torch.nonzero(mask).flatten(),
    "nonzero, another shape": lambda mask: mask.nonzero().view(-1),
    "nonzero, a column": lambda mask: mask.nonzero()[:, 0],
    "nonzero, apart": lambda mask: mask.nonzero(as_tuple=True)[0],
    "argwhere": lambda mask: torch.argwhere(mask).reshape(-1),
    "where": lambda mask: torch.where(mask)[0],
    "where of integers": lambda mask: torch.where(mask.long())[0],
}


def rows(count: int = 9) -> Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def gradients(model: nn.Module, policy: object, loss: Callable[[Tensor], Tensor]) -> tuple[Tensor, list[Tensor]]:
    soft = softfx.soften(model, policy, example_inputs=(rows(),))
    out = soft(rows())
    return out, list(torch.autograd.grad(loss(out), list(soft.parameters())))


@pytest.mark.parametrize("policy", ["gradients", "smooth"])
@pytest.mark.parametrize("form", FORMS)
def test_places_are_worth_what_the_mask_is(form: str, policy: str) -> None:
    def loss(out: Tensor) -> Tensor:
        return (out @ torch.linspace(-1.0, 1.0, 4, dtype=torch.float64)).square().sum()

    by_mask, expected = gradients(Experts(lambda mask: mask), policy, loss)
    by_places, found = gradients(Experts(FORMS[form]), policy, loss)
    torch.testing.assert_close(by_places, by_mask)
    torch.testing.assert_close(found, expected)
    assert expected[0].norm() > 0
    if policy == "gradients":
        assert torch.equal(by_places, Experts(FORMS[form])(rows()))


class Mixture(nn.Module):
    """Two experts for each row, their results added at the rows' places: the form of mixtures in language models."""

    def __init__(self, dense: bool = False) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.router = nn.Parameter(torch.randn(4, 3, generator=generator, dtype=torch.float64))
        self.experts = nn.Parameter(torch.randn(3, 4, 8, generator=generator, dtype=torch.float64))
        self.dense = dense

    def forward(self, x: Tensor) -> Tensor:
        weights, chosen = (x @ self.router).softmax(-1).topk(2, -1)
        out = torch.zeros_like(x)
        for number, weight in enumerate(self.experts):
            if self.dense:
                share = ((chosen == number) * weights).sum(-1, keepdim=True)
                gate, up = (x @ weight).chunk(2, -1)
                out = out + share * torch.sigmoid(gate) * up
            else:
                row, slot = torch.where(chosen == number)
                gate, up = (x[row] @ weight).chunk(2, dim=-1)
                out.index_add_(0, row, torch.sigmoid(gate) * up * weights[row, slot, None])
        return out


def test_what_is_added_at_places_is_weighted_by_their_probability() -> None:
    dense, expected = gradients(Mixture(dense=True), "smooth", torch.sum)
    sparse, found = gradients(Mixture(), "smooth", torch.sum)
    torch.testing.assert_close(sparse, dense)
    torch.testing.assert_close(found, expected)


def test_a_mixture_keeps_its_value_and_its_router_learns_what_was_not_chosen() -> None:
    value, found = gradients(Mixture(), "gradients", torch.sum)
    assert torch.equal(value, Mixture()(rows()))
    plain = Mixture()
    hard = torch.autograd.grad(plain(rows()).sum(), [plain.router])
    assert all(torch.isfinite(grad).all() for grad in found)
    assert not torch.allclose(found[0], hard[0])


def above(x: Tensor) -> Tensor:
    return (x > 0.3).nonzero().squeeze(-1)


@pytest.mark.parametrize(
    ("program", "dense"),
    [
        (lambda x: x[above(x)].sum(), lambda x, p: (p * x).sum()),
        (lambda x: x.index_select(0, above(x)).mean(), lambda x, p: (p * x).sum() / p.sum()),
        (lambda x: (2 * x).index_fill(0, above(x) * 0, 1.0).sum(), None),
        (lambda x: torch.ones_like(x).index_put((above(x),), x.new_tensor(3.0)).sum(), lambda x, p: (1 + 2 * p).sum()),
        (lambda x: torch.zeros(len(x)).index_copy(0, above(x), x[above(x)]).sum(), lambda x, p: (p * x).sum()),
        (lambda x: torch.ones(len(x)).index_add(0, above(x), x[above(x)], alpha=2).sum(),
         lambda x, p: (1 + 2 * p * x).sum()),
    ],
)  # fmt: skip
def test_the_soft_form_is_that_of_the_mask(
    program: Callable[[Tensor], Tensor], dense: Callable[[Tensor, Tensor], Tensor] | None
) -> None:
    x = torch.linspace(-1.0, 1.0, 8).requires_grad_()
    if dense is None:  # no rule: told, and as hard as it was
        report = softfx.check(program, "smooth", example_inputs=(x,))
        assert next(site for site in report.sites if site.op == "gt").action == "blocked"
        return
    soft = softfx.soften(program, "smooth", example_inputs=(x,))
    expected = dense(x, softtorch.greater(x, 0.3))
    torch.testing.assert_close(soft(x), expected)
    torch.testing.assert_close(torch.autograd.grad(soft(x), x), torch.autograd.grad(expected, x))


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (lambda x: x.clone().index_put((above(x) % 2,), x[above(x)]).sum(), "where several of them may meet"),
        (lambda x: x.clone().index_put((above(x),), torch.arange(3.0)).sum(), "a tensor of other rows"),
        (lambda x: torch.zeros(2, 8)[:, above(x)].sum() + x.sum(), "as an index"),
        (lambda x: x.view(2, 4).index_select(1, above(x[:4])).sum(), "as an index"),
        (lambda x: x * above(x).sum(), ""),
        (lambda x: x.new_tensor(above(x).tolist()).sum() * x, "tolist"),
    ],
)
def test_what_places_cannot_do_is_told(program: Callable[[Tensor], Tensor], said: str) -> None:
    x = torch.tensor([-1.0, 0.5, 0.2, 0.9, 0.1, 0.4, -0.3, 0.0]).requires_grad_()
    soft = softfx.soften(program, example_inputs=(x,))
    assert torch.equal(soft(x), program(x))
    site = next(site for site in soft.report.sites if site.op == "gt")
    assert site.action == ("blocked" if said else "straight_through")
    assert said in site.reason


def test_no_rows_at_all_are_no_error() -> None:
    soft = softfx.soften(lambda x: x[above(x)].sum(), example_inputs=(torch.linspace(-1, 1, 8),))
    x = torch.full((8,), -2.0, requires_grad=True)
    soft(x).backward()
    assert x.grad is not None and torch.isfinite(x.grad).all() and x.grad.abs().sum() > 0
