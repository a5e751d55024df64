"""What objects hold at one moment: which changes are seen, and which are none."""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from softfx.pipeline.snapshot import ABSENT, Snapshot

BIG = 10**6


class Thing:
    size = BIG

    def grow(self) -> None:
        """Do nothing."""


def noted(note: Callable[[Snapshot, Any], object], value: object) -> Snapshot:
    snapshot = Snapshot()
    note(snapshot, value)
    assert snapshot.holds()
    return snapshot


TABLES = [{"a": BIG, "b": 2}, collections.OrderedDict(a=BIG, b=2), collections.defaultdict(int, a=BIG, b=2)]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: type(table).__name__)
@pytest.mark.parametrize(
    ("change", "holds"),
    [
        (lambda table: table.update(a=10**6), True),  # another object, the same number
        (lambda table: table.update(a=1e6), False),
        (lambda table: table.update(b=True), False),
        (lambda table: table.update(c=1), False),
        (lambda table: table.pop("b"), False),
        (lambda table: table.update(z=table.pop("b")), False),
        (lambda table: [table.clear(), table.update(a=BIG, b=2)], True),
    ],
)
def test_a_table(table: dict[str, Any], change: Callable[[Any], object], holds: bool) -> None:
    own = table.copy()
    snapshot = noted(Snapshot.table, own)
    change(own)
    assert snapshot.holds() is holds
    assert snapshot.holds() is holds


def test_the_order_of_an_ordered_table() -> None:
    table = collections.OrderedDict(a=1, b=1)
    snapshot = noted(Snapshot.table, table)
    table.move_to_end("a")
    assert not snapshot.holds()


@pytest.mark.parametrize("kind", [list, collections.deque, set])
def test_an_empty_container_that_is_filled(kind: Any) -> None:
    snapshot = noted(Snapshot.items, values := kind())
    (values.add if kind is set else values.append)(1)
    assert not snapshot.holds()


def test_an_item_that_moves_to_the_next_container() -> None:
    snapshot = Snapshot()
    one, two = [1, 2], [3]
    snapshot.items(one)
    snapshot.items(two)
    assert snapshot.holds()
    two.insert(0, one.pop())
    assert not snapshot.holds()


def test_a_tuple_of_plain_values_may_be_made_again_and_a_list_may_not() -> None:
    snapshot = noted(Snapshot.items, values := [(BIG, "a"), [BIG]])
    values[0] = (10**6, "a")
    assert snapshot.holds()
    values[0] = (1e6, "a")
    assert not snapshot.holds()
    values[0], values[1] = (BIG, "a"), [BIG]
    assert not snapshot.holds()


def test_a_class() -> None:
    kind: Any = type("Kind", (Thing,), {"size": 1})
    snapshot = noted(Snapshot.of_class, kind)
    kind.__doc__ = "Nothing that a result depends on."
    assert snapshot.holds()
    kind.grow = Thing.grow
    assert not snapshot.holds()
    del kind.grow
    assert snapshot.holds()
    kind.__bases__ = (type("Other", (), {}),)
    assert not snapshot.holds()


def test_the_form_of_a_tensor() -> None:
    snapshot = noted(Snapshot.tensor, tensor := torch.zeros(2))
    tensor.add_(1)
    assert snapshot.holds()
    tensor.requires_grad_()
    assert not snapshot.holds()


@pytest.mark.parametrize(
    ("new", "holds"), [(torch.ones(2), True), (torch.ones(3), False), (torch.ones(2).double(), False), (None, False)]
)
def test_a_tensor_of_a_table_may_be_another_of_its_form(new: Tensor | None, holds: bool) -> None:
    snapshot = noted(Snapshot.tensors, table := {"a": torch.zeros(2), "b": None})
    table["a"] = new
    assert snapshot.holds() is holds


def test_entries_that_are_not_there_yet() -> None:
    table: dict[str, int] = {"a": 1}
    snapshot = Snapshot()
    snapshot.entries(table, ("a", "b"))
    table["c"] = 1
    assert snapshot.holds()
    table["b"] = 1
    assert not snapshot.holds()


def test_what_is_asked_of_one_dictionary_is_read_once() -> None:
    names: dict[str, object] = {"a": 1, "b": 2}
    snapshot = Snapshot()
    assert snapshot.entries(names, ("a", "c")) == [1, ABSENT]
    assert snapshot.entries(names, ("b", "a")) == [2, 1]
    read = len(snapshot._namespaces._tables)
    assert snapshot.entries(names, ("a", "b", "c")) == [1, 2, ABSENT] and len(snapshot._namespaces._tables) == read
    assert snapshot.holds()
    names["c"] = 3
    assert not snapshot.holds()


def test_an_entry_that_is_gone_and_one_that_is_equal() -> None:
    names: dict[str, object] = {"a": BIG, "b": 2}
    snapshot = Snapshot()
    snapshot.entries(names, ("a", "b"))
    names["a"] = 10**6
    assert snapshot.holds()
    del names["b"]
    assert not snapshot.holds()


def test_names_that_move_to_the_next_table() -> None:
    one, two = {"a": 1, "b": 2}, {"c": 3}
    snapshot = Snapshot()
    snapshot.table(one)
    snapshot.table(two)
    assert snapshot.holds()
    del one["b"]
    two.clear()
    two.update(b=2, c=3)
    assert not snapshot.holds()


def test_slots_that_are_set_later() -> None:
    class Slotted:
        __slots__ = ("a", "b")

    value: Any = Slotted()
    value.a = BIG
    snapshot = Snapshot()
    assert snapshot.slots(value, ("a", "b")) == [BIG, ABSENT]
    value.a = 10**6
    assert snapshot.holds()
    value.b = 1
    assert not snapshot.holds()


@pytest.mark.parametrize("name", ["__code__", "__defaults__", "__kwdefaults__", "__dict__"])
def test_what_makes_a_function(name: str) -> None:
    def function(a: int = 1, *, b: int = 2) -> None:
        """Do nothing."""

    def other(a: int = 3, *, b: int = 4) -> int:
        return a

    snapshot = noted(Snapshot.functions, [function])
    setattr(function, name, getattr(other, name))
    assert not snapshot.holds()
