"""The lines of tables and keys in TOML text."""

from __future__ import annotations

from softfx.decisions.policy.toml import Lines


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
