"""Softness in units of the data: as an option, as "auto", measured at planning and again."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn

import softfx
import softtorch
from softfx.errors import PolicyError
from tests.helpers import EXECUTOR, gradient

AUTO = {"default": {"softness": "auto"}}
NOT_STANDARDIZED = {"preset": "smooth", "default": {"standardize": False}}
RELATIVE = {"default": {"softness": {"relative": 0.2}}}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def above(x, t):
    return (x > t).float().mean()


PROGRAMS = {
    "gt": above,
    "lt": lambda x, t: (x < t).double().sum(),
    "where": lambda x, t: torch.where(x >= t, 1.0, 0.2).mean(),
    "mean": lambda x, t: x[x > t].mean() / x.detach().abs().max(),
    "any": lambda x, t: (x[:5] > 4 * t).any().float() + (x[:3] < 4 * t).all().float(),
    "sign": lambda x, t: torch.sign(x - t).mean(),
    "bins": lambda x, t: torch.bucketize(x - t, x.detach()[:7].sort().values).float().mean(),
    "histogram": lambda x, t: torch.histc(x - t, 8, x.min().item(), x.max().item()) @ torch.arange(8.0),
    "isclose": lambda x, t: torch.isclose(x, t, rtol=0.0, atol=0.3 * x.abs().mean().item()).float().mean(),
    "copysign": lambda x, t: torch.copysign(torch.ones_like(x), x - t).mean(),
    "argmax": lambda x, t: (x.reshape(10, 20) * t.abs()).argmax(-1).float().mean(),
    "ranks": lambda x, t: x[: 20].argsort().float() @ torch.arange(20.0),
    "topk": lambda x, t: torch.zeros(200).scatter(0, x.topk(5).indices, 1.0) @ torch.linspace(0, 1, 200),
    "median": lambda x, t: (x > x.median() + t).float().mean(),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_data_and_thresholds_multiplied_together_change_no_direction(name, scale):
    def direction(scale):
        x = (scale * normal(200)).requires_grad_()
        t = torch.tensor(0.4 * scale, requires_grad=True)
        soft = softfx.soften(PROGRAMS[name], AUTO, example_inputs=(x, t))
        result = soft(x, t)
        assert torch.equal(result, PROGRAMS[name](x, t))
        grads = torch.autograd.grad(result, (x, t), allow_unused=True)
        return torch.cat([scale * grad.flatten() for grad in grads if grad is not None])

    one, other = direction(1.0), direction(scale)
    assert one.norm() > 0
    assert torch.cosine_similarity(one, other, dim=0) > 0.999


def cosine(program, policy, x, true):
    soft = softfx.soften(program, policy, example_inputs=(x.clone().requires_grad_(),))
    return float(torch.cosine_similarity(gradient(soft, x), true, dim=0))


def smoothed(program, x, seed):
    """The gradient of the program smoothed by normal noise, up to a factor."""
    noise = 0.3 * normal(20_000, len(x), seed=100 + seed)
    return (program(x + noise) - program(x - noise)) @ noise


PLACES = {
    "median": lambda x: x.median(-1).values,
    "kthvalue": lambda x: x.kthvalue(19, -1).values,
    "quantile": lambda x: x.quantile(0.8, -1),
}


@pytest.mark.parametrize("name", PLACES)
def test_one_place_of_an_order_has_the_gradient_of_the_smoothed_program(name):
    place = PLACES[name]
    draws = [normal(24, seed=seed) for seed in range(6)]
    soft = softfx.soften(place, AUTO, example_inputs=(draws[0].clone().requires_grad_(),))
    assert soft.report.sites[0].reason.startswith("0.3 x spread")
    cosines = [cosine(place, AUTO, x, smoothed(place, x, seed)) for seed, x in enumerate(draws)]
    # 0.83 to 0.91 with the 0.2 spreads that other orderings take, 0.92 to 0.96 with 0.3.
    assert sum(cosines) / len(cosines) > 0.915


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_who_holds_a_running_extreme_has_a_gradient_nearer_to_the_smoothed_programs(sign):
    def holders(x):
        running = x.cummax(-1).values if sign > 0 else x.cummin(-1).values
        return (sign * x >= sign * running).float() @ torch.linspace(-1.0, 1.5, 24).roll(7)

    narrower = {"softness": {"relative": 0.2}, "method": "softsort", "standardize": False}
    narrow = AUTO | {"rule": [{"op": "cummax" if sign > 0 else "cummin", **narrower}]}
    gains = []
    for seed in range(6):
        x = sign * normal(24, seed=seed)
        true = smoothed(holders, x, seed)
        gains.append(cosine(holders, AUTO, x, true) - cosine(holders, narrow, x, true))
    assert sum(gains) / len(gains) > 0.05


@EXECUTOR
def test_the_report_says_what_a_softness_is_made_of(executor):
    x, t = 2000.0 * normal(4000), torch.tensor(10.0, requires_grad=True)
    soft = softfx.soften(above, RELATIVE, example_inputs=(x, t), executor=executor)
    (site,) = soft.report.sites
    assert site.softness == pytest.approx(400.0, rel=0.05)
    assert site.reason.startswith("0.2 x spread ")
    assert "of the margins at test_measuring.py:" in site.reason
    assert site.reason in soft.report.to_text() if hasattr(soft.report, "to_text") else site.reason in str(soft.report)
    assert gradient(soft, x, t)[1] != 0


def test_auto_chooses_shape_method_and_scope_where_the_policy_is_silent():
    def program(x):
        chosen = x.topk(3).indices
        return (x > 0).float().sum() + chosen.float().sum() + x.argmax().float() + x.round().sum() + x.sort()[0][1]

    x = normal(40)
    sites = {site.op: site for site in softfx.check(program, AUTO, example_inputs=(x.requires_grad_(),)).sites}
    assert sites["gt"].mode == "tailed"
    assert (sites["topk"].method, sites["topk"].standardize, sites["topk"].scope) == ("lapsum", False, "linear")
    assert sites["argmax"].method == "softsort"
    assert (sites["round"].mode, sites["round"].softness) == ("smooth", 0.3)
    assert sites["sort"].method == "lapsum"
    said = {"default": {"softness": "auto"}, "rule": [{"op": "sort", "method": "ot"}, {"op": "gt", "mode": "c1"}]}
    sites = {site.op: site for site in softfx.check(program, said, example_inputs=(x,)).sites}
    assert (sites["sort"].method, sites["sort"].standardize) == ("ot", False)
    assert sites["gt"].mode == "c1"


def test_a_mode_that_the_chosen_method_lacks_gets_the_operations_own_method():
    policy = {"default": {"softness": "auto", "mode": "c1"}}
    (site,) = softfx.check(lambda x: x.sort()[0][0], policy, example_inputs=(normal(9).requires_grad_(),)).sites
    assert site.action == "straight_through"
    assert (site.mode, site.method) == ("c1", None)


def test_columns_in_units_of_their_own_have_a_softness_each():
    class Rules(nn.Module):
        def __init__(self):
            super().__init__()
            self.thresholds = nn.Parameter(torch.zeros(3))

        def forward(self, x):
            return (x > self.thresholds).float().prod(1).mean()

    units = torch.tensor([1e-2, 1.0, 1e3])
    model, x = Rules(), normal(100, 3) * units
    soft = softfx.soften(model, AUTO, example_inputs=(x,))
    soft(x).backward()
    sizes = (model.thresholds.grad * units).abs()
    assert sizes.min() > 0.2 * sizes.max()
    assert "one for each of 3 thresholds" in soft.report.sites[0].reason
    soft(x[:5]).backward()  # a batch of another size
    assert "torch.tensor([" in softfx.source(soft)
    compiled = torch.compile(soft, backend="aot_eager")
    eager, traced = (torch.autograd.grad(f(x), model.thresholds)[0] for f in (soft, compiled))
    torch.testing.assert_close(traced, eager)


def test_a_threshold_far_from_all_data_is_drawn_towards_it():
    x, t = normal(500), torch.tensor(1000.0, requires_grad=True)
    soft = softfx.soften(above, AUTO, example_inputs=(x, t))
    assert torch.autograd.grad(soft(x, t), t)[0] < -1e-7


def test_numbers_stay_until_they_are_measured_again():
    x, t = normal(100), torch.tensor(0.1, requires_grad=True)
    soft = softfx.soften(above, RELATIVE, example_inputs=(x, t))
    before = soft.report.sites[0].softness
    soft(100 * x, t)
    assert soft.report.sites[0].softness == before
    state = torch.get_rng_state()
    softfx.remeasure(soft, 100 * x, 100 * t)
    assert torch.equal(torch.get_rng_state(), state)
    assert soft.report.sites[0].softness == pytest.approx(100 * before, rel=1e-4)
    for other in (
        copy.deepcopy(soft),
        pickle.loads(pickle.dumps(softfx.soften(Above(), RELATIVE, example_inputs=(x,)))),
    ):
        assert "0.2 x spread" in other.report.sites[0].reason


class Above(nn.Module):
    def __init__(self):
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(0.1))

    def forward(self, x):
        return above(x, self.threshold)


def test_a_modules_state_is_as_it_was_after_measuring():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.BatchNorm1d(3)

        def forward(self, x):
            return (self.inner(x) > 0.1).float().sum()

    model, x = Counting(), normal(50, 3)
    soft = softfx.soften(model, RELATIVE, example_inputs=(x,))
    softfx.remeasure(soft, 10 * x)
    assert model.inner.num_batches_tracked == 0


def test_a_loops_iterations_are_pooled_and_unmet_sites_are_measured_when_met():
    def program(x, deep):
        for factor in (1.0, 3.0):
            x = x + 0 * (factor * x > 0).float()
        return (x > 0.2).float().sum() + (10 * x).sign().sum() if deep else x.sum()

    x = normal(2000).requires_grad_()
    soft = softfx.soften(program, RELATIVE, example_inputs=(x, False))
    assert soft.report.sites[0].softness == pytest.approx(0.2 * 2.0, rel=0.1)
    soft(x, True)
    found = {site.op: site.softness for site in soft.report.sites}
    assert found["sign"] == pytest.approx(2.0, rel=0.1)


def test_softness_is_set_in_both_units():
    x, t = 50.0 * normal(300), torch.tensor(0.1, requires_grad=True)
    soft = softfx.soften(above, AUTO, example_inputs=(x, t))
    softfx.set_softness(soft, 0.02)
    assert (soft.report.sites[0].softness, soft.report.sites[0].reason) == (0.02, "")
    softfx.set_softness(soft, {"*": {"relative": 0.02}})
    assert soft.report.sites[0].softness == pytest.approx(1.0, rel=0.2)
    softfx.set_softness(soft, {"gt": "auto"})
    assert soft.report.sites[0].softness == pytest.approx(10.0, rel=0.2)


def test_a_softness_that_was_never_measured_is_at_the_next_call_or_under_vmap_from_its_own_numbers():
    x, t = 50.0 * normal(300), torch.tensor(0.1, requires_grad=True)
    soft = softfx.soften(above, {"default": {"softness": 0.1}}, example_inputs=(x, t))
    softfx.set_softness(soft, {"gt": {"relative": 0.2}})
    assert "measured at the next call" in soft.report.sites[0].reason
    grads = torch.func.vmap(torch.func.grad(lambda x: soft(x, t)))(x.reshape(3, 100))
    assert (grads != 0).any(1).all()
    soft(x, t)
    assert soft.report.sites[0].softness == pytest.approx(10.0, rel=0.2)


@pytest.mark.parametrize("executor", ["graph", "eager"])
def test_what_was_captured_on_zeros_is_measured_at_the_first_call_on_others(executor):
    """A graph measures nothing itself: until all is measured the original Python runs."""
    x = 50.0 * normal(300)
    soft = softfx.soften(lambda x: torch.sign(x), example_inputs=(torch.zeros(300),), executor=executor)
    soft(torch.zeros(300))
    assert "measured at the next call" in soft.report.sites[0].reason
    soft(x)
    direct = softfx.soften(lambda x: torch.sign(x), example_inputs=(x,), executor=executor)
    assert soft.report.sites[0].softness == direct.report.sites[0].softness != 0.1
    assert torch.equal(gradient(soft, x), gradient(direct, x))


def test_schedules_count_in_units_of_the_data_site_by_site():
    def program(x):
        return (x > 0.1).float().mean() + torch.sign(100 * x).mean() + x.round().mean()

    x = normal(2000).requires_grad_()
    soft = softfx.soften(program, AUTO, example_inputs=(x,))
    schedule = softfx.LinearSoftness(soft, start=1.0, end=0.05, total_iters=2, relative=True)
    assert "relative" not in schedule.state_dict()
    for wanted in (1.0, 0.525, 0.05):
        found = {site.op: site.softness for site in soft.report.sites}
        assert found["gt"] == pytest.approx(wanted, rel=0.05)
        assert found["sign"] == pytest.approx(100 * wanted, rel=0.05)
        assert found["round"] == pytest.approx(wanted)
        schedule.step()
    indices = torch.tensor([[0.5, 0.5], [0.9, 0.1]])
    feedback = softfx.EntropySoftness(soft, entropy=0.5, start=0.2, pattern="gt", relative=True)
    feedback.step(indices)
    assert soft.report.sites[0].softness == pytest.approx(feedback.get_last_softness(), rel=0.05)
    assert "spread" in soft.report.sites[0].reason
    with pytest.raises(softfx.ScheduleError, match="relative=True is given for a tensor"):
        softfx.LinearSoftness(torch.tensor(1.0), 1.0, 0.5, 2, relative=True)


def test_mistakes_are_told():
    x, t = normal(30), torch.tensor(0.1, requires_grad=True)
    for wrong in ({"relative": -1.0}, {"relativ": 0.1}, "much", {"relative": 0.1, "more": 1}):
        with pytest.raises(PolicyError, match=r"In units of the data it is \{ relative = 0.2 \}"):
            softfx.soften(above, {"default": {"softness": wrong}}, example_inputs=(x, t))
    soft = softfx.soften(above, {"default": {"softness": 0.3}}, example_inputs=(x, t))
    with pytest.raises(PolicyError, match="no site has a softness that is relative to the data"):
        softfx.remeasure(soft, x, t)
    standardized = {"rule": [{"op": "sort", "standardize": True, "softness": {"relative": 0.2}}]}
    with pytest.raises(PolicyError, match="needs rows as they are"):
        softfx.soften(lambda x: x.sort()[0][0], standardized, example_inputs=(x.requires_grad_(),))
    classic = softfx.soften(lambda x: x.sort()[0][0], {"default": {"softness": 0.1}}, example_inputs=(x,))
    softfx.set_softness(classic, {"sort": {"relative": 0.2}})  # standardized rows have a unit of their own
    assert (classic.report.sites[0].softness, classic.report.sites[0].reason) == (0.2, "")


def test_soft_policies_take_it_too():
    x = 30.0 * normal(100)
    soft = softfx.soften(lambda x: (x > 1).float(), {"preset": "smooth", **AUTO}, example_inputs=(x.requires_grad_(),))
    assert soft(x).max() < 1.0
    assert soft.report.sites[0].softness == pytest.approx(6.0, rel=0.2)


@pytest.mark.parametrize(
    ("function", "shape", "told"),
    [
        (lambda x: x[x.argmax()], (2,), True),
        (lambda x: x[x.argmax()], (1, 2), True),
        (lambda x: x.sort(0).values, (2, 5), True),
        (lambda x: x.sort(1).values, (2, 5), False),
        (lambda x: x[x.argmax()], (3,), False),
        (lambda x: x[(x > 0.2).long()], (2,), False),
    ],
)
def test_a_standardized_order_of_two_entries_is_told(
    function: Callable[[torch.Tensor], torch.Tensor], shape: tuple[int, ...], told: bool
) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for policy, said in (("smooth", told), ("gradients", False), (NOT_STANDARDIZED, False)):
        report = softfx.check(function, policy, example_inputs=(x,))
        assert ("how far apart they are does not count" in str(report).replace("\n    ", " ")) is said


def test_the_order_of_two_standardized_entries_does_not_depend_on_their_distance() -> None:
    weights = [softtorch.argmax(torch.tensor([0.0, gap])) for gap in (0.1, 1.0, 10.0)]
    torch.testing.assert_close(weights[0], weights[2], atol=1e-3, rtol=0)  # the floor under the variance
    plain = [softtorch.argmax(torch.tensor([0.0, gap]), standardize=False)[1] for gap in (0.1, 1.0)]
    assert plain[1] > plain[0] + 0.1


def test_products_of_small_numbers_have_the_direction_of_large_ones() -> None:
    """The unit of a product is the square of theirs: 1e-12, below what comparisons take for rounding."""

    def agreeing(x: torch.Tensor) -> torch.Tensor:
        return (x[:12] * x[12:] > 0.0).float() @ torch.arange(12.0)

    x = torch.randn(24, generator=torch.Generator().manual_seed(0))
    slopes = []
    for unit in (1.0, 1e-6):
        moved = (unit * x).requires_grad_()
        soft = softfx.soften(agreeing, example_inputs=(moved,))
        slopes.append(unit * torch.autograd.grad(soft(moved), moved)[0])
    assert torch.allclose(*slopes, rtol=1e-3)


@pytest.mark.parametrize("requires_grad", [True, False])
def test_numbers_written_through_another_name_are_measured(requires_grad):
    def softness(name):
        def program(x):
            total = torch.ones(3)
            name(total)[x.argmax()] += 0.5
            return total.abs_()

        soft = softfx.soften(program, "lifted", example_inputs=(normal(3).requires_grad_(requires_grad),))
        (found,) = (site.softness for site in soft.report.sites if site.op == "abs")
        return found

    assert softness(lambda total: total.view(3)) == softness(lambda total: total) < 0.1
