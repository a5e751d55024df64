"""The decision that a policy comes to for one site: presets, entries in order, settings and options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from softfx.decisions.policy import PRESETS, Policy
from softfx.decisions.policy.schema import SETTINGS, Settings
from softfx.errors import PolicyError
from tests.softfx.decisions.policy.helpers import Where, resolve, write


@pytest.mark.parametrize(
    ("preset", "argmax", "relu", "sqrt", "bernoulli"),
    [
        (None, "straight_through", "keep", "guard", "keep"),
        ("gradients", "straight_through", "keep", "guard", "keep"),
        ("straight-through", "straight_through", "straight_through", "guard", "keep"),
        ("lifted", "straight_through", "straight_through", "guard", "keep"),
        ("smooth", "soft", "soft", "guard", "keep"),
        ("keep", "keep", "keep", "keep", "keep"),
    ],
)
def test_each_preset_acts_on_its_families(
    preset: str | None, argmax: str, relu: str, sqrt: str, bernoulli: str
) -> None:
    actions = [resolve(preset, op).action for op in ("argmax", "relu", "sqrt", "bernoulli")]
    assert actions == [argmax, relu, sqrt, bernoulli]


def test_a_preset_says_that_it_decided() -> None:
    assert resolve(None, "argmax").decided_by == "preset gradients"
    assert resolve("keep", "argmax").decided_by == "preset keep"


@pytest.mark.parametrize("preset", PRESETS)
def test_only_the_keep_preset_cannot_act(preset: str) -> None:
    assert Policy.load(preset).can_act == (preset != "keep")


def test_a_policy_whose_entries_all_keep_cannot_act() -> None:
    keep = {"default": {"action": "keep"}, "rule": [{"op": "topk", "action": "keep"}]}
    assert not Policy.load(keep).can_act
    assert Policy.load(keep | {"rule": [{"op": "topk", "action": "soft"}]}).can_act


def test_a_policy_starts_from_the_preset_it_names() -> None:
    policy = {"preset": "smooth", "default": {"softness": 0.02}}
    resolved = resolve(policy, "relu")
    assert (resolved.action, resolved.options["softness"]) == ("soft", 0.02)
    assert resolved.decided_by == "preset smooth (action), <dict> [default] (softness)"


def test_a_policy_object_is_taken_as_it_is() -> None:
    policy = Policy.load("smooth")
    assert Policy.load(policy) is policy


def test_fields_that_are_not_given_are_not_in_the_options() -> None:
    assert resolve({"default": {"action": "soft"}}, "argmax").options == {}


def test_an_option_that_the_operation_does_not_take_is_left_out() -> None:
    policy = {"default": {"action": "soft", "method": "lapsum", "softness": 0.3, "families": ["discrete", "kink"]}}
    assert resolve(policy, "argmax").options == {"method": "lapsum", "softness": 0.3}
    assert resolve(policy, "relu").options == {"softness": 0.3}


def test_a_later_entry_overrides_the_fields_it_sets_and_no_others() -> None:
    rules = [{"op": "topk", "action": "soft", "softness": 0.5}, {"op": "@discrete", "softness": 0.1}]
    resolved = resolve({"rule": rules}, "topk")
    assert (resolved.action, resolved.options["softness"]) == ("soft", 0.1)
    assert resolved.decided_by == "<dict> [[rule]] 1 (action), <dict> [[rule]] 2 (softness)"


@pytest.mark.parametrize("name", ["abs", "SX121", "@kink"])
def test_an_entry_that_names_an_operation_acts_on_it_whatever_its_family(name: str) -> None:
    resolved = resolve({"rule": [{"op": name, "action": "soft"}]}, "abs")
    assert resolved.action == "soft"
    assert resolved.named


def test_an_entry_for_every_operation_stays_inside_the_families_acted_on() -> None:
    policy = {"rule": [{"op": "*", "action": "soft"}]}
    assert resolve(policy, "argmax").action == "soft"
    assert not resolve(policy, "argmax").named
    assert resolve(policy, "abs").action == "keep"
    assert resolve(policy, "abs").decided_by == "preset gradients"


def test_an_operation_may_be_named_by_a_spelling_of_it() -> None:
    assert resolve({"rule": [{"op": "greater", "action": "soft"}]}, "gt").action == "soft"


@pytest.mark.parametrize("action", ["soft", "straight_through", "guard"])
def test_every_action_on_an_unsafe_operation_is_its_guard(action: str) -> None:
    assert resolve({"rule": [{"op": "sqrt", "action": action}]}, "sqrt").action == "guard"


def test_settings_reach_the_decision() -> None:
    settings = {
        "scope": "model",
        "estimator": "reinmax",
        "lift_no_grad": True,
        "lift_detach": True,
        "allow_partial": True,
        "on_blocked": "error",
        "outputs": "hard",
    }
    resolved = resolve({"rule": [{"op": "argmin"} | settings]}, "argmin")
    assert {key: getattr(resolved, key) for key in settings} == settings
    assert resolved.options == {"softness": {"relative": 0.25}, "method": "softsort", "standardize": False}


@pytest.mark.parametrize(
    ("pattern", "module", "matches"),
    [
        ("layers.*.router", "layers.0.router", True),
        ("layers.*.router", "layers.0.experts", False),
        (["head", "layers.1*"], "layers.1.router", True),
        ("", "", True),
        ("", "layers.0", False),
    ],
)
def test_the_module_pattern_is_a_glob_on_the_whole_path(pattern: Any, module: str, matches: bool) -> None:
    policy = {"rule": [{"op": "argmax", "module": pattern, "action": "soft"}]}
    assert (resolve(policy, "argmax", module=module).action == "soft") == matches


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("*/router.py", True),
        ("router.py", True),
        ("pkg/router.py:12", True),
        ("*/router.py:13", False),
        ("*/other.py", False),
        ("outer.py", False),
    ],
)
def test_the_source_pattern_matches_the_file_and_the_line(pattern: str, matches: bool) -> None:
    policy = {"rule": [{"source": pattern, "action": "soft"}]}
    assert (resolve(policy, "argmax").action == "soft") == matches


def test_an_entry_of_a_file_is_named_by_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, 'version = 1\n\n[[rule]]\nop = "argmax"\naction = "soft"\n')
    assert resolve(path, "argmax").decided_by == f"{path}:3 [[rule]] 1"
    assert resolve(Path(path), "argmax").decided_by == f"{path}:3 [[rule]] 1"


def test_settings_of_the_command_line_come_last() -> None:
    policy = Policy.load({"rule": [{"op": "topk", "action": "soft", "softness": 0.5}]})
    policy = policy.extended({"rule": [{"op": "*", "softness": 0.01}]}, "--set softness=0.01")
    site = Where("topk")
    resolved = policy.resolve(op="topk", code="SX206", family="discrete", module="", file=site.file, line=1)
    assert resolved.options["softness"] == 0.01
    assert resolved.decided_by == "<dict> [[rule]] 1 (action), --set softness=0.01 (softness)"


def test_a_method_by_default_that_cannot_serve_a_site_is_told_when_the_site_is_met() -> None:
    policy = {"default": {"action": "soft", "method": "fast_soft_sort"}}
    assert resolve(policy, "sort").options["method"] == "fast_soft_sort"
    with pytest.raises(PolicyError, match=r"<dict> \[default\]: method 'fast_soft_sort' gives no soft indices"):
        resolve(policy, "argmax")


@pytest.mark.parametrize(("op", "method"), [("sort", "neuralsort"), ("argmax", "softsort")])
def test_an_option_of_networks_is_refused_by_the_name_of_the_operators_own_default_method(op: str, method: str) -> None:
    with pytest.raises(PolicyError) as caught:
        resolve({"rule": [{"op": op, "action": "soft", "swap": "cauchy"}]}, op)
    assert str(caught.value) == (
        f"<dict> [[rule]] 1: swap is an option of method = 'sorting_network', and {op} at "
        f"/site-packages/pkg/router.py:12 has {method!r}. Give the entry that method, or leave swap out."
    )


def test_every_setting_has_a_type() -> None:
    assert set(Settings.__annotations__) == {*SETTINGS, "families", "softness"}
