"""The table of operations: complete records, one a name, and no other file that names an operation."""

from __future__ import annotations

import ast
import copy
import dataclasses
import operator
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from softfx import ops
from softfx.ops import verbs
from softfx.ops.operation import Effect, Operation, SubscriptAssignment
from softfx.ops.spelling import INDEX, SpellingIndex
from softfx.rules import RULES
from tests.test_architecture import MODULES, tree

RECORDS = {record.name: record for record in INDEX}

# -- no other file names an operation ----------------------------------------------------------------------------------

# Words that are names of operations, too, where they stand for something else: (meaning, words, files).
OTHER_MEANINGS = (
    ("torch's word for a reduction", "mean sum", "rules.corners rules.rows runtime.distributions"),
    ("torch's word for a reduction", "mean", "rules.selection"),
    ("torch's word for a reduction of scatter_reduce", "amax amin mean sum", "rules.writing"),
    ("torch's word for a reduction of scatter_reduce", "amax amin", "runtime.places"),
    ("torch's word for a rounding_mode", "floor trunc", "rules.arithmetic"),
    ("torch's word for a rounding_mode", "trunc", "runtime.divisions"),
    ("torch's word for an interpolation", "linear", "rules.axiswise"),
    ("an argument", "dim", "interpreter.carried interpreter.native ops.spelling plots.curves rules.rows rules.unsafe"),
    ("an argument", "dim", "runtime.moves"),
    ("an argument", "max min", "interpreter.clipped"),
    ("an argument", "stride", "interpreter.statistics"),
    ("an argument", "threshold", "plots.curves"),
    ("an argument", "tensor", "ops.spelling"),
    ("an attribute of a soft value", "tensor", "rules.row_operands"),
    ("the place of an argument that is filled in later", "data", "rules.selection runtime.distributions runtime.moves"),
    ("an option of a policy", "dim", "rules.straight_through_idiom"),
    ("a variant of softpick", "abs", "decisions.policy.schema runtime.normalized"),
    ("a reason why derivatives stop at a place, beside no_grad", "detach", "decisions.sites interpreter.interpreter"),
    ("a reason why derivatives stop at a place, beside no_grad", "detach", "interpreter.lifting pipeline.plan"),
    ("a scope of a policy", "linear", "decisions.policy.schema decisions.site decisions.sites rules.units"),
    ("a scope of a policy", "linear", "interpreter.binding interpreter.interpreter control.guarding"),
    (
        "a device",
        "cpu",
        "capture.recorder code.literals cli.inputs ops.autocast traces.logged training.schedules.entropy",
    ),
    ("a device", "cuda", "capture.recorder ops.autocast"),
    ("a package", "numpy", "capture.preserve"),
    ("a method of `operator` in old Python", "div", "ops.spelling control.slots"),
    ("a verb of softfx", "diff", "api cli.arguments cli.commands"),
    ("a fact on a page", "where", "report.rule_pages"),
    ("a language for rich", "diff", "report.terminal"),
    ("a style for rich", "dim", "handbook.terminal report.terminal"),
    ("a scale, or the end of a line, for matplotlib", "log round", "plots.pictures"),
    ("a verb of softfx", "diff", "cli.output report.page.render"),
    ("an argument", "dim", "rules.units auditing.margins interpreter.measuring interpreter.statistics"),
    ("an argument", "dim", "interpreter.chosen_places"),
    ("a call that reads a value into Python", "item", "control.slots"),
    ("an attribute of a tensor", "requires_grad", "pipeline.snapshot"),
    ("an attribute of a tensor", "data", "ops.spelling"),
    ("an attribute of a tensor", "grad_fn is_leaf requires_grad", "interpreter.own_histories"),
    ("an attribute of a tensor", "is_leaf requires_grad", "replay.recording"),
    ("a type variable", "T", "cli.on_target report.shown"),
)


def constants(name: str) -> Iterator[str]:
    """The strings in a module that are neither its docstrings nor the names that it exports."""
    skipped = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Expr) or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"):
            skipped.update(id(part) for part in ast.walk(node) if isinstance(node.value, ast.Constant | ast.List))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.value


def test_no_other_file_names_an_operation() -> None:
    """A file refers to a record, such as ops.add: a name in a string would be a second table."""
    found = {
        (name.removeprefix("softfx."), word)
        for name in MODULES
        if name.startswith("softfx.") and name not in ("softfx.ops.table", "softfx.ops.special_functions")
        for word in constants(name)
        if word in RECORDS
    }
    meant = {(file, word) for _, words, files in OTHER_MEANINGS for word in words.split() for file in files.split()}
    assert found - meant == set(), "refer to the record: ops.NAME"
    assert meant - found == set(), "no longer used: take it out of OTHER_MEANINGS"


def test_the_scan_finds_a_name_in_a_string(monkeypatch: pytest.MonkeyPatch) -> None:
    source = '"""relu"""\n__all__ = ["sort"]\n\ndef f(x):\n    "abs"\n    return x.name == "topk"\n'
    monkeypatch.setattr("tests.softfx.ops.test_table.tree", lambda name: ast.parse(source))
    assert list(constants("softfx.anything")) == ["topk"]


# -- records -----------------------------------------------------------------------------------------------------------


def test_every_name_of_the_table_is_the_name_of_its_record() -> None:
    for name, record in vars(ops).items():
        if isinstance(record, Operation):
            assert record.name == name
            assert INDEX.named(name) is record


def test_no_spelling_belongs_to_two_records() -> None:
    spelled = [name for record in RECORDS.values() for name in (record.name, *record.spellings)]
    assert sorted(spelled) == sorted(set(spelled))


def test_two_records_of_one_name_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"ops\.table: 'twice' has two records\. A name is unique\. Join them\."):
        SpellingIndex([verbs.keeps("twice"), verbs.computes("twice")])


@pytest.mark.parametrize("field", dataclasses.fields(Operation), ids=lambda field: field.name)
def test_a_record_that_lacks_a_fact_is_an_error(field: dataclasses.Field[Any]) -> None:
    """No fact has a default, so that a verb which forgets one fails where the table is imported."""
    facts = {other.name: getattr(ops.add, other.name) for other in dataclasses.fields(Operation)}
    del facts[field.name]
    with pytest.raises(TypeError, match=field.name):
        Operation(**facts)


@pytest.mark.parametrize("name", verbs.__all__)
def test_every_verb_gives_every_fact(name: str) -> None:
    record = getattr(verbs, name)("an_operation")
    assert all(hasattr(record, field.name) for field in dataclasses.fields(Operation))
    assert record.name == "an_operation" and record.spellings == ()


def test_copies_and_pickles_of_a_record_are_the_record() -> None:
    assert copy.deepcopy(ops.add) is copy.copy(ops.add) is pickle.loads(pickle.dumps(ops.add)) is ops.add


def test_operations_that_are_not_repeatable() -> None:
    """A second call of them draws again, writes again, or acts on the graph again."""
    kinds = Effect.DRAWS | Effect.MAY_DRAW | Effect.WRITES_FIRST | Effect.WRITES_OTHERS | Effect.AUTOGRAD
    for record in RECORDS.values():
        assert record.repeatable != bool(record.effect & kinds)
    names = {"bernoulli", "dropout1d", "scaled_dot_product_attention", "copy_", "setitem", "batch_norm", "backward"}
    assert not any(RECORDS[name].repeatable for name in names)
    assert all(RECORDS[name].repeatable for name in ("add", "topk", "item", "requires_grad", "detach"))


# -- torch's own functions ---------------------------------------------------------------------------------------------

# Operations with a rule that no function of torch computes, by reason.
WITHOUT_FUNCTION = {
    "calls with certain arguments, or several calls": {
        "trunc_divide", "reduce_as_integers", "scatter_extremum", "existing_straight_through",
        "unruled",
    },
    "decisions of Python": {"branch", "membership", "read_integer", "read_real"},
    "the spelling says the dtype": {"cast"},
    "syntax of Python, which `operator` has functions for": {"getitem", "setitem"},
    "attributes": {"T", "mT", "H", "mH", "data"},
    "known to the dispatcher only": {"alias"},
}  # fmt: skip


def test_torchs_function_of_every_rule_that_torch_computes_is_found() -> None:
    missing = set()
    for name, rule in RULES.items():
        try:
            assert callable(rule.operation.function)
        except AttributeError as error:
            assert str(error) == f"torch has no function {name!r}"
            missing.add(name)
    assert missing == set().union(*WITHOUT_FUNCTION.values())


@pytest.mark.parametrize("name", [n for n in RECORDS if hasattr(Tensor, n + "_") and n + "_" not in RECORDS])
def test_the_function_of_an_operation_with_an_in_place_spelling_is_out_of_place(name: str) -> None:
    """It is what rules call in the place of x.relu_()."""
    assert not getattr(RECORDS[name].function, "__name__", name).endswith("_")


def test_a_loss_is_the_function_whose_reduction_is_a_word() -> None:
    x = torch.tensor([1.0, -2.0])
    target = torch.tensor([1.0, 0.5])
    assert ops.mse_loss.function(x, target, reduction="none").tolist() == [0.0, 6.25]
    assert ops.binary_cross_entropy_with_logits.function(x, target, reduction="none").shape == (2,)


def test_the_functions_of_operators_are_those_of_python() -> None:
    for record in RECORDS.values():
        if record.python is not None and not isinstance(record.python, SubscriptAssignment):
            assert record.python.function in vars(operator).values()
            assert INDEX.of(record.python.function).operation is record
