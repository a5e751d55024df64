"""The pages about rules: each fact is the record's own, and options have the defaults of the soft operator."""

from __future__ import annotations

import inspect
import json
import re

import pytest
import torch

import softtorch
from softfx.handbook.entries import entries, find
from softfx.handbook.text import page_text, rules_markdown, rules_text
from softfx.report.rule_pages import rule_data, rule_facts
from softfx.rules import RULES


def test_the_page_of_a_rule_has_its_facts_in_order() -> None:
    names = [name for name, _ in rule_facts(RULES["topk"])]
    assert names == [
        "family", "why", "becomes", "flows into", "formula", "where", "limit", "options", "derivative", "keep it",
        "source", "policy",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["argmax", "gt", "multinomial"])
def test_a_page_says_what_takes_its_soft_value_and_what_does_not(name: str) -> None:
    text = dict(rule_facts(RULES[name]))["flows into"]
    ends = {"if" if rule.name == "is_nonzero" else rule.name for rule in RULES.values() if rule.barrier}
    assert all(re.search(rf"\b{end}\b", text) for end in ends)


@pytest.mark.parametrize(
    ("name", "advice"), [("if", "torch.where"), ("item", "leave it a tensor"), ("nonzero", "mask")]
)
def test_a_page_of_what_takes_hard_values_alone_says_what_to_do_instead(name: str, advice: str) -> None:
    entry = find(name)
    assert entry is not None and advice in dict(entry.facts)["instead"]


def test_flat_on_one_side_is_said_of_what_is() -> None:
    x = torch.tensor([-9.0, 9.0], requires_grad=True)
    for name in ("abs", "relu", "relu6", "hardtanh", "leaky_relu", "hardsigmoid", "hardswish"):
        (slope,) = torch.autograd.grad(getattr(torch.nn.functional, name, torch.abs)(x).sum(), x)
        assert ("flat on one side" in RULES[name].why) is bool((slope == 0).any()), name


@pytest.mark.parametrize("name", ["argmax", "sort", "relu", "max_pool2d"])
def test_options_are_shown_with_the_default_of_the_operator_itself(name: str) -> None:
    options = dict(rule_facts(RULES[name]))["options"]
    parameters = inspect.signature(getattr(softtorch, name)).parameters
    for option in set(RULES[name].options) & {"softness", "mode", "method"}:
        assert f"{option} = {json.dumps(parameters[option].default)}" in options


def test_a_rule_as_data_has_the_documented_keys_and_survives_json() -> None:
    for rule in RULES.values():
        data = rule_data(rule)
        assert json.loads(json.dumps(data)) == data
    keys = "code op family why formula limit estimators keep soft options aliases source drop_in"
    assert list(rule_data(RULES["topk"])) == keys.split()


@pytest.mark.parametrize("width", [60, 100])
def test_a_page_of_text_has_two_columns_inside_of_the_width(width: int) -> None:
    lines = page_text("SX206 topk", rule_facts(RULES["topk"]), width).splitlines()
    assert lines[:2] == ["SX206 topk", ""]
    assert all(len(line) <= width for line in lines)
    assert all(line[:12].strip() == "" or line[11] == " " for line in lines[2:])


def test_the_list_of_rules_has_a_line_for_each() -> None:
    rules = [entry for entry in entries() if entry.name in ("relu", "where")]
    code, name, family, *becomes = rules_text(rules).splitlines()[0].split()
    assert (code, name, family, becomes[0]) == (RULES["relu"].code, "relu", "kink", "softtorch.relu")
    assert len(rules_text(rules).splitlines()) == 2
    assert len(rules_markdown(rules).splitlines()) == 4


@pytest.mark.parametrize("name", ["SX206", "sx206", "topk", "TOPK"])
def test_an_entry_is_found_by_code_and_name_in_capitals_or_not(name: str) -> None:
    entry = find(name)
    assert entry is not None and entry.name == "topk" and dict(entry.facts) == dict(rule_facts(RULES["topk"]))


def test_an_entry_is_found_by_its_other_names() -> None:
    for rule in RULES.values():
        for alias in rule.aliases:
            assert find(alias) is not None
