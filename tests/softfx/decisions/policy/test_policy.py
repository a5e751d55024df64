"""A policy as a whole: entries that match nothing, and policies written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from softfx.decisions.policy import Policy
from tests.softfx.decisions.policy.helpers import Where, write


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
