"""Policies: what is read, what each mistake is told as, and what an entry comes to for a site."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from softfx.decisions.policy import PRESETS, Policy, Resolved
from softfx.decisions.policy.toml import Lines
from softfx.errors import PolicyError
from softfx.rules import RULES


@dataclass
class Where:
    """A site as far as a policy looks at it."""

    op: str
    module: str = "layers.0.router"
    file: str = "/site-packages/pkg/router.py"
    line: int = 12

    @property
    def family(self) -> str:
        return RULES[self.op].family


def resolve(policy: Any, op: str, **place: Any) -> Resolved:
    site = Where(op, **place)
    return Policy.load(policy).resolve(
        op=op, code=RULES[op].code, family=site.family, module=site.module, file=site.file, line=site.line
    )


def mistakes(policy: Any) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        Policy.load(policy)
    return str(caught.value).splitlines()


def write(folder: Path, text: str) -> str:
    path = folder / "policy.toml"
    path.write_text(text)
    return str(path)


# -- presets ------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "argmax", "relu", "sqrt", "bernoulli"),
    [
        (None, "straight_through", "keep", "guard", "keep"),
        ("gradients", "straight_through", "keep", "guard", "keep"),
        ("straight-through", "straight_through", "straight_through", "guard", "keep"),
        ("lifted", "straight_through", "straight_through", "guard", "keep"),
        ("smooth", "soft", "soft", "keep", "keep"),
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


# -- resolving ------------------------------------------------------------


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
    assert resolved.options == {}


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


# -- mistakes ------------------------------------------------------------


def test_an_unknown_operation_names_the_nearest_one(tmp_path: Path) -> None:
    path = write(tmp_path, 'version = 1\n[[rule]]\nop = ["topk",\n  "argmx"]\naction = "soft"\n')
    expected = f"{path}:3: unknown operation 'argmx'. Did you mean 'argmax'? `softfx rules` lists all."
    assert mistakes(path) == [expected]


def test_all_mistakes_are_told_at_once_each_with_its_line(tmp_path: Path) -> None:
    text = """
version = 2
prset = "smooth"
[default]
action = "sfot"
softness = -1
[[rule]]
op = "@kinks"
mode = "smoth"
[[rule]]
op = "topk"
temperature = 3
"""
    path = write(tmp_path, text)
    starts = [line.removeprefix(path).split(".")[0] for line in mistakes(path)]
    assert starts == [
        ":2: version = 2 is not known",
        ":3: unknown key 'prset'",
        ":5: action = 'sfot' is not legal",
        ":6: softness = -1 is not legal",
        ":8: unknown family '@kinks'",
        ":9: mode = 'smoth' is not legal",
        ":12: unknown key 'temperature'",
    ]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (
            {"default": {"action": "straight-through"}},
            "<dict> [default]: action = 'straight-through' is not legal. "
            "Use one of soft, straight_through, guard, keep. Did you mean 'straight_through'?",
        ),
        (
            {"rule": [{"op": "argmax", "mode": "hard"}]},
            "<dict> [[rule]] 1: mode = 'hard' is not legal. Use one of smooth, c0, c1, c2. "
            'To leave an operation hard write action = "keep".',
        ),
        (
            {"rule": [{"op": "argmax", "softness": True}]},
            "<dict> [[rule]] 1: softness = true is not legal. Use a number above 0.",
        ),
        (
            {"default": {"families": ["discret"]}},
            "<dict> [default]: families = ['discret'] is not legal. "
            "Use a list of discrete, kink, selection, random, unsafe, normalization. Did you mean 'discrete'?",
        ),
        (
            {"rule": {"op": "argmax"}},
            "<dict> [[rule]] 1: rule is a single table. Write each entry as [[rule]], with two brackets.",
        ),
        (
            {"rule": [{"op": "argmax"}]},
            "<dict> [[rule]] 1: this [[rule]] sets nothing. Give it an action or an option such as softness.",
        ),
        (
            {"rule": [{"op": "argmax", "method": "lapsum", "mode": "c0"}]},
            "<dict> [[rule]] 1: method 'lapsum' is not defined in mode 'c0'. Its modes: smooth.",
        ),
        (
            {"preset": "smoth"},
            "<dict>: unknown preset 'smoth'. Legal: gradients, straight-through, lifted, smooth, keep. "
            "Did you mean 'smooth'?",
        ),
    ],
)
def test_a_mistake_says_what_is_legal_and_what_is_near(policy: Any, message: str) -> None:
    assert mistakes(policy) == [message]


def test_an_option_that_no_named_operation_takes_is_a_mistake() -> None:
    (message,) = mistakes({"rule": [{"op": "relu", "action": "soft", "method": "softsort"}]})
    assert message.startswith("<dict> [[rule]] 1: relu takes no method. It takes ")
    assert message.endswith("`softfx explain relu` says more.")


@pytest.mark.parametrize("op", ["argmax", "@kink", "*"])
def test_a_guard_of_anything_but_an_unsafe_operation_is_a_mistake(op: str) -> None:
    (message,) = mistakes({"rule": [{"op": op, "action": "guard"}]})
    assert message.startswith(f"<dict> [[rule]] 1: action = 'guard' is only for unsafe operations, not for {op}.")


def test_a_method_without_indices_is_a_mistake_where_an_index_is_asked_for() -> None:
    (message,) = mistakes({"rule": [{"op": ["sort", "argmax"], "action": "soft", "method": "fast_soft_sort"}]})
    assert "method 'fast_soft_sort' gives no soft indices, which argmax needs. Methods with indices: " in message


def test_a_method_by_default_that_cannot_serve_a_site_is_told_when_the_site_is_met() -> None:
    policy = {"default": {"action": "soft", "method": "fast_soft_sort"}}
    assert resolve(policy, "sort").options["method"] == "fast_soft_sort"
    with pytest.raises(PolicyError, match=r"<dict> \[default\]: method 'fast_soft_sort' gives no soft indices"):
        resolve(policy, "argmax")


def test_a_guard_by_default_must_be_for_the_unsafe_family() -> None:
    (message,) = mistakes({"default": {"action": "guard"}})
    assert "a guard cannot act on discrete operations" in message
    assert resolve({"default": {"action": "guard", "families": ["unsafe"]}}, "sqrt").action == "guard"


def test_a_misspelt_table_is_told_with_its_line(tmp_path: Path) -> None:
    (message,) = mistakes(write(tmp_path, 'version = 1\n\n[[rules]]\nop = "topk"\n'))
    assert ":3: unknown key 'rules'. Legal: version, preset, default, rule. Did you mean 'rule'?" in message


def test_selectors_and_families_in_the_wrong_table_are_explained() -> None:
    first, second = mistakes({"default": {"op": "topk"}, "rule": [{"families": ["kink"], "action": "soft"}]})
    assert "[default] holds for every site; selectors belong in a [[rule]]." in first
    assert 'A [[rule]] names families as op = "@discrete".' in second


def test_broken_toml_is_told_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "version = 1\n[default]\naction = soft\n")
    (message,) = mistakes(path)
    assert message.startswith(f"{path}:3: not valid TOML: Invalid value.")


def test_toml_that_ends_too_early_is_told_with_its_last_line(tmp_path: Path) -> None:
    (message,) = mistakes(write(tmp_path, 'version = 1\n[[rule]]\nop = ["topk"'))
    assert ":3: not valid TOML" in message


def test_what_is_neither_preset_nor_file_is_told_with_both() -> None:
    (message,) = mistakes("smoth")
    assert message.startswith("policy: 'smoth' is neither a preset nor a file. Presets: gradients, straight-through,")
    assert "Did you mean 'smooth'?" in message


def test_what_is_no_policy_at_all_is_told_with_its_value() -> None:
    assert mistakes(3)[0].startswith("policy: 3 is not a policy.")


def test_a_policy_is_data_and_never_evaluated() -> None:
    (message,) = mistakes({"default": {"softness": "__import__('os').getpid()"}})
    assert "is not legal. Use a number above 0." in message


# -- entries that match nothing ------------------------------------------------------------


def unmatched(rule: dict[str, Any], *sites: Where) -> str:
    messages = Policy.load({"rule": [rule]}).unmatched(sites)
    return messages[0] if messages else ""


def test_an_entry_whose_operation_is_not_there_says_what_is() -> None:
    message = unmatched({"op": "argmin", "action": "soft"}, Where("topk"), Where("argmax"))
    assert "<dict> [[rule]] 1: this entry matches none of the 2 sites: there is no argmin" in message
    assert "Operations found: argmax, topk." in message
    assert "--allow-unused" in message


def test_an_entry_whose_module_is_wrong_says_where_the_operation_is() -> None:
    message = unmatched({"op": "topk", "module": "blocks.*", "action": "soft"}, Where("topk"))
    assert "module 'blocks.*' is not where they are. Modules: 'layers.0.router'." in message


def test_an_entry_whose_source_is_wrong_says_where_the_operation_is() -> None:
    message = unmatched({"op": "topk", "source": "*/router.py:11", "action": "soft"}, Where("topk"))
    assert "source '*/router.py:11' is not where they are. Places: /site-packages/pkg/router.py:12." in message


def test_an_entry_for_a_selection_says_that_none_is_needed() -> None:
    assert "Selections need no entry" in unmatched({"op": "gather", "action": "soft"}, Where("topk"))


def test_entries_that_match_and_entries_for_everything_are_no_mistake() -> None:
    assert unmatched({"op": "topk", "action": "soft"}, Where("topk")) == ""
    assert unmatched({"softness": 0.1}) == ""


# -- files ------------------------------------------------------------


def test_a_policy_written_out_decides_the_same(tmp_path: Path) -> None:
    data = {
        "preset": "straight-through",
        "default": {"softness": 1e-05, "families": ["discrete"]},
        "rule": [
            {"op": ["topk", "@kink"], "module": 'a."b"', "action": "soft", "method": "lapsum"},
            {"source": ["x.py:3", "y.py"], "lift_no_grad": True, "scope": "model"},
        ],
    }
    policy = Policy.load(data)
    again = Policy.load(write(tmp_path, policy.to_toml()))
    assert again.to_toml() == policy.to_toml()
    assert [entry.fields for entry in again.entries] == [entry.fields for entry in policy.entries]


def test_lines_are_found_through_comments_strings_and_long_values() -> None:
    text = """\
# [default]
version = 1 # x = [
note = \"\"\"
[default]
softness = 1
\"\"\"
[default] # the rest
families = [
  "discrete", # ]
  "kink",
]
softness = 0.1
[[rule]]
op = "a]["
[[rule]]
"op" = {x = 1}
"""
    lines = Lines(text)
    assert lines.of("", 0, "version") == 2
    assert lines.of("default") == 7
    assert lines.of("default", 0, "softness") == 12
    assert lines.of("rule", 0, "op") == 14
    assert lines.of("rule", 1, "op") == 16
    assert lines.of("rule", 1, "missing") == 15
    assert lines.of("nothing") == 1
