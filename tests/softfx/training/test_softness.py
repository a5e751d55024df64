"""What `set_softness` takes for a softness, and what it refuses."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from torch import Tensor

import softfx


@pytest.mark.parametrize("softness", ["0.5", None, True, 0.0, -1.0, torch.ones(2), torch.tensor(3)])
def test_what_is_no_softness_is_refused(softness: Any) -> None:
    soft = softfx.soften(torch.sign, "smooth", example_inputs=(torch.zeros(3),))
    for given in (softness, {"sign": softness}):
        with pytest.raises(softfx.PolicyError, match="A softness is a number above 0, or a tensor without axes"):
            softfx.set_softness(soft, given)
    assert soft.report.sites[0].softness == 0.1


@pytest.mark.parametrize("softness", [0.5, 2, torch.tensor(0.5)])
def test_numbers_and_tensors_without_axes_are_softnesses(softness: Any) -> None:
    soft = softfx.soften(torch.sign, "smooth", example_inputs=(torch.zeros(3),))
    softfx.set_softness(soft, softness)
    assert soft.report.sites[0].softness == float(softness)


# -- saved and loaded --------------------------------------------------------------------------------------------------


class Steps(torch.nn.Module):
    """Two layers with a site each, and a function with two sites of one operation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.sign(self.first(x))
        return torch.round(torch.sign(self.second(x))) + torch.nn.functional.relu(x)


def steps() -> torch.nn.Module:
    return softfx.soften(Steps(), "smooth", example_inputs=(torch.randn(3, 2),))


def softnesses(soft: object) -> list[float]:
    return [site.softness for site in softfx.report_of(soft).sites]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [0.02, {"sign": 0.03, "round": 0.4}, {"sign": torch.tensor(0.25)}, {"relu": torch.nn.Parameter(torch.tensor(2.0))},
     {"*": {"relative": 0.2}}],
)  # fmt: skip
def test_the_softness_of_a_fresh_softened_model_is_that_of_the_saved_one(settings: Any) -> None:
    soft, again = steps(), steps()
    before = softnesses(again)
    softfx.set_softness(soft, settings)
    state = json.loads(json.dumps(softfx.softness_state(soft)))  # plain data
    softfx.load_softness_state(again, state)
    assert softnesses(again) == softnesses(soft) != before
    assert list(again.state_dict()) == list(Steps().state_dict())
    assert softfx.softness_state(again) == state


def test_a_learned_softness_is_found_and_filled_in_place() -> None:
    soft, again = steps(), steps()
    for each, value in ((soft, 0.7), (again, 0.2)):
        softfx.set_softness(each, {"sign": torch.nn.Parameter(torch.tensor(value))})
    (learned,) = softfx.softness_parameters(again)
    softfx.load_softness_state(again, softfx.softness_state(soft))
    assert softfx.softness_parameters(again) == [learned] and learned.item() == pytest.approx(0.7)
    again(torch.randn(3, 2)).sum().backward()
    assert learned.grad is not None
    assert softfx.softness_parameters(steps()) == []


def test_sites_whose_lines_moved_are_found_by_their_order_in_the_module() -> None:
    soft, again = steps(), steps()
    for number, site in enumerate(soft._softfx.sites):
        soft._softfx.sites.replace(site.with_softness(0.1 * (number + 2)))
    state = softfx.softness_state(soft)
    for site in state["sites"]:
        site["line"] += 7
    softfx.load_softness_state(again, state)
    assert softnesses(again) == softnesses(soft)


def test_the_state_of_another_target_is_refused_and_changes_nothing() -> None:
    soft, other = steps(), softfx.soften(torch.sign, "smooth", example_inputs=(torch.zeros(3),))
    softfx.set_softness(other, 0.5)
    for state in (softfx.softness_state(other), {"version": 1, "sites": []}):
        with pytest.raises(
            softfx.PolicyError, match=r"the sites of the state and of the target differ: .*strict=False"
        ):
            softfx.load_softness_state(soft, state)
        softfx.load_softness_state(soft, state, strict=False)
    assert set(softnesses(soft)) == {0.1}


@pytest.mark.parametrize(
    "state", [None, {}, {"version": 2, "sites": []}, {"version": 1, "sites": [{}]}, {"version": 1, "sites": 3}]
)
def test_what_is_no_state_is_refused(state: Any) -> None:
    with pytest.raises(softfx.PolicyError, match=r"is no state of softness\. Legal is what softfx"):
        softfx.load_softness_state(steps(), state)


@pytest.mark.parametrize("number", [-1.0, 0, "0.1", float("nan"), True])
def test_a_state_with_a_number_that_is_no_softness_is_refused(number: Any) -> None:
    soft = steps()
    state = softfx.softness_state(soft)
    state["sites"][0]["softness"] = number
    with pytest.raises(softfx.PolicyError, match="is no softness"):
        softfx.load_softness_state(soft, state)


def test_what_is_set_is_the_softness_of_sites_that_later_calls_meet() -> None:
    def program(x: Tensor) -> Tensor:
        return x.round() if x.sum() > 0 else x.floor() * x.sign()

    x = torch.tensor([0.3, 1.4])
    soft = softfx.soften(program, "smooth", example_inputs=(x,))
    softfx.set_softness(soft, 0.5)
    softfx.set_softness(soft, {"round": 0.3})
    softfx.set_softness(soft, 0.001)
    again = copy.deepcopy(soft)
    assert {site.op for site in soft.report.sites} == {"round", "gt"}
    for softened in (soft, again):
        torch.testing.assert_close(softened(-x), program(-x))
        of = {site.op: site.softness for site in softened.report.sites}
        assert of["floor"] == of["sign"] == 0.001


def test_a_relative_softness_by_itself_is_that_of_every_site() -> None:
    x = torch.linspace(-2, 3, 40)
    soft = softfx.soften(lambda x: (x > 0.3).float().mean(), example_inputs=(x,))
    softfx.set_softness(soft, {"relative": 0.5})
    assert soft.report.sites[0].reason.startswith("0.5 x spread")
    with pytest.raises(softfx.PolicyError, match="'relative'"):
        softfx.set_softness(soft, {"relative": -0.5})
