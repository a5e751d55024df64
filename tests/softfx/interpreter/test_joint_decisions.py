"""Decisions that become one: how many there are, and what softness = "auto" makes of that."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx

ALONE, TWO, MORE = 0.2, 0.2 / 2**0.5, 0.2 / 3**0.5


def bounds() -> tuple[Tensor, Tensor, Tensor]:
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    return x, torch.full((3,), -0.5).requires_grad_(), torch.full((3,), 0.7).requires_grad_()


def factors(target: Callable[..., Tensor], policy: object = None) -> list[float]:
    """The softness of each comparison in spreads, as the reports say it."""
    report = softfx.check(target, policy, example_inputs=bounds())
    return [float(site.unit.split(" x ")[0]) for site in report.sites if site.op in ("gt", "lt", "sign")]


PROGRAMS: dict[str, tuple[Callable[..., Tensor], list[float]]] = {
    "alone": (lambda x, low, high: (x > low).float().mean() + (x < high).float().mean(), [ALONE, ALONE]),
    "and": (lambda x, low, high: ((x > low) & (x < high)).float().mean(), [TWO, TWO]),
    "or of not": (lambda x, low, high: (~(x > low) | (x < high)).float().mean(), [TWO, TWO]),
    "moved": (lambda x, low, high: ((x > low).T.flip(0) & (x.T < 0.3)).float().mean(), [TWO, TWO]),
    "all": (lambda x, low, high: (x > low).all(-1).float().mean(), [MORE]),
    "any of two": (lambda x, low, high: (x[:, :2] > low[:2]).any(-1).float().mean(), [TWO]),
    "box": (lambda x, low, high: ((x > low) & (x < high)).all(-1).float().mean(), [MORE, MORE]),
    "product": (lambda x, low, high: ((x > low) * (x < high)).float().mean(), [TWO, TWO]),
    "product of numbers": (
        lambda x, low, high: ((x > low).float() * (x < high).float()).prod(-1).mean(),
        [MORE, MORE],
    ),
    "each way once": (  # two leaves of one split: two decisions in each, not four
        lambda x, low, high: (((x > low) & (x < high)).float() + 2.0 * ((x > low) & ~(x < high))).mean(),
        [TWO] * 4,
    ),
    "weights": (lambda x, low, high: ((x > low).float() * x).sum(), [ALONE]),
    "counts": (lambda x, low, high: (x > low).sum().float() * (x < high).sum(), [ALONE, ALONE]),
    "signs": (lambda x, low, high: torch.sign(x - low).sum(), [ALONE]),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_softness_goes_by_how_many_decisions_are_joined(name: str) -> None:
    program, expected = PROGRAMS[name]
    assert factors(program) == pytest.approx(expected, abs=6e-4)


def test_a_loop_that_joins_its_own_result_counts_on() -> None:
    def inside(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        kept = torch.ones(len(x), dtype=torch.bool)
        for column in range(3):
            kept = kept & (x[:, column] > low[column])
        return kept.float().mean()

    assert factors(inside) == pytest.approx([MORE], abs=6e-4)


def test_a_softness_that_the_policy_gives_stays() -> None:
    program = PROGRAMS["box"][0]
    assert factors(program, {"default": {"softness": {"relative": 0.2}}}) == [ALONE, ALONE]


def test_set_softness_auto_is_the_softness_of_the_plan() -> None:
    soft = softfx.soften(PROGRAMS["and"][0], example_inputs=bounds())
    before = [site.softness for site in soft.report.sites]
    softfx.set_softness(soft, 0.5)
    softfx.set_softness(soft, "auto")
    assert [site.softness for site in soft.report.sites] == before


@pytest.mark.parametrize("executor", ["graph", "eager"])
def test_both_executors_take_it(executor: softfx.api.Executor) -> None:
    soft = softfx.soften(PROGRAMS["box"][0], example_inputs=bounds(), executor=executor)
    assert {site.unit.split(" x ")[0] for site in soft.report.sites} == {"0.115"}
    assert soft.report.sites[0].reason.endswith("joined with others, so less than 0.2")


def walls(policy: object) -> float:
    """How far the walls of a square end from the true ones, after training by overlap: the mean of the distances."""
    x = torch.randn(400, 2, generator=torch.Generator().manual_seed(3))
    wanted = ((x > -0.8) & (x < 0.9)).all(-1).float()
    low, high = torch.full((2,), 0.1).requires_grad_(), torch.full((2,), 1.5).requires_grad_()

    def loss(low: Tensor, high: Tensor) -> Tensor:
        inside = ((x > low) & (x < high)).all(-1).float()
        both = (inside * wanted).sum()
        return 1.0 - both / (inside.sum() + wanted.sum() - both)

    soft = softfx.soften(loss, policy, example_inputs=(low, high))
    optimizer = torch.optim.Adam([low, high], lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        soft(low, high).backward()
        optimizer.step()
    return float(torch.cat([low + 0.8, high - 0.9]).detach().abs().mean())


def test_a_box_of_rules_ends_nearer_to_its_walls() -> None:
    assert walls(None) < 0.6 * walls({"default": {"softness": {"relative": 0.2}, "mode": "tailed"}})
