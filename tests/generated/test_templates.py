"""The templates that programs are made of: each is Python, none stands twice, and every kind of them is used."""

from __future__ import annotations

import re

import pytest

from tests.generated import axiswise, elementwise, statements
from tests.generated.programs import make

EXPRESSIONS = {name: getattr(module, name) for module in (elementwise, axiswise) for name in module.__all__}
STATEMENTS = {name: getattr(statements, name) for name in statements.__all__}
KINDS = EXPRESSIONS | STATEMENTS
# What takes the place of a placeholder: a variable, a number, a constant index, or a mask made of a comparison.
FILLED = r"(?:\w+|-?[\d.]+|torch\.\w+\([^()]*\)|\(\w+ > -?[\d.]+\))"


def pattern(template: str) -> re.Pattern[str]:
    """Match the statements that the template can become."""
    parts = re.split(r"\{\w\}", template)
    return re.compile(r"(?:v\d+ = )?" + FILLED.join(map(re.escape, parts)))


@pytest.mark.parametrize("kind", KINDS)
def test_templates_are_python_and_none_stands_twice(kind: str) -> None:
    templates = list(KINDS[kind])
    assert len(set(templates)) == len(templates) > 5
    for template in templates:
        binds = "{v}" in template
        compile(re.sub(r"\{(\w)\}", r"\1", template), template, "exec" if binds else "eval")
        assert binds == (kind in STATEMENTS and kind != "LAYERS")


def test_every_kind_of_template_occurs_in_the_first_programs() -> None:
    made = [statement for seed in range(300) for statement in make(seed).statements]
    missing = {
        kind
        for kind, templates in KINDS.items()
        if not any(pattern(template).fullmatch(statement) for template in templates for statement in made)
    }
    assert not missing
