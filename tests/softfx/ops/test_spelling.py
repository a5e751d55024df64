"""Every way to write an operation leads to its record, and operations that the table lacks get one of their own."""

from __future__ import annotations

import inspect
import operator
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from softfx import ops
from softfx.ops.operation import Effect, Infix, Integral, Operation, Prefix, Rows
from softfx.ops.spelling import INDEX, Attribute, Spelled, arguments, attribute_of
from softfx.ops.verbs import decomposes
from softfx.torch_private import OpOverloadPacket

SPACES = (torch, Tensor, F, torch.special, torch.linalg, operator)
RECORDS = {record.name: record for record in INDEX}
# Names that no function has: calls with certain arguments, or several calls, are one; three have other spellings alone.
UNSPELLED = {
    "trunc_divide", "reduce_as_integers", "scatter_extremum", "existing_straight_through", "cast", "differentiate",
    "unruled", "deepcopy", "spell_out",
}  # fmt: skip


def named(name: str) -> list[Any]:
    """Everything of torch and of Python that a name in the table spells."""
    if "." in name:
        return [operator.attrgetter(name)(torch)]
    if name.startswith("__"):  # which every object of Python has
        return [getattr(Tensor, name)]
    spaces = SPACES[:-1] if name == "inv" else SPACES  # operator.inv turns bits
    found = [getattr(space, name) for space in spaces if callable(getattr(space, name, None))]
    attribute = getattr(Tensor, name, None)
    if attribute is not None and not callable(attribute):
        found.append(attribute.__get__)
    packet = getattr(torch.ops.aten, name, None)
    if packet is not None:
        found += [packet, *(getattr(packet, overload) for overload in packet.overloads())]
    return found


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_a_record_is_found_by_each_of_its_spellings(record: Operation) -> None:
    for name in (record.name, *record.spellings):
        found = named(name)
        assert bool(found) == (name not in UNSPELLED), f"torch has nothing named {name}"
        for function in found:
            # Importing torch._dynamo wraps some, before or after softfx has seen them.
            assert record in (INDEX.of(function).operation, INDEX.of(inspect.unwrap(function)).operation), function


def test_pythons_older_name_of_turned_bits_inverts_no_matrix() -> None:
    assert INDEX.of(operator.inv) == INDEX.of(operator.invert)
    assert INDEX.of(torch.linalg.inv).operation is ops.inverse


@pytest.mark.parametrize("name", [n for n in RECORDS if hasattr(Tensor, n + "_") and n + "_" not in RECORDS])
def test_a_name_with_an_underscore_writes_its_operand(name: str) -> None:
    spelled = INDEX.of(getattr(Tensor, f"{name}_"))
    assert spelled == Spelled(RECORDS[name], in_place=True)
    assert spelled.writes({})


@pytest.mark.parametrize(
    ("function", "record", "in_place"),
    [
        (torch.ops.aten.topk.default, ops.topk, False),
        (torch.ops.aten.topk, ops.topk, False),
        (torch.ops.aten.add_.Tensor, ops.add, True),
        (torch.ops.aten.max_pool2d_with_indices.default, ops.max_pool2d, False),
        (torch.ops.aten.log_sigmoid.default, ops.logsigmoid, False),
        (torch.ops.aten.requires_grad_.default, ops.requires_grad_, True),
    ],
    ids=str,
)
def test_overloads_of_aten(function: Any, record: Operation, in_place: bool) -> None:
    assert INDEX.of(function) == Spelled(record, in_place=in_place)


def test_a_library_of_the_users_own_does_not_take_the_names_of_aten() -> None:
    @torch.library.custom_op("softfx_test_spelling::relu", mutates_args=())
    def relu(x: Tensor) -> Tensor:
        return x.clone()

    assert INDEX.of(torch.ops.softfx_test_spelling.relu.default).operation is not ops.relu


# -- Python's operators ------------------------------------------------------------------------------------------------


class Spy(TorchFunctionMode):
    """The last function that torch hands over, with its arguments."""

    seen: tuple[Callable[..., Any], tuple[Any, ...]]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen = func, args
        return func(*args, **(kwargs or {}))


INFIX = {record.python.symbol: record for record in RECORDS.values() if isinstance(record.python, Infix)}
COMPARED = ("<", "<=", ">", ">=", "==", "!=")


def operands(symbol: str) -> tuple[Tensor, Tensor]:
    if symbol == "@":
        return torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[2.0, 1.0], [0.5, 3.0]])
    dtype = torch.int64 if symbol in ("&", "|", "^", "<<", ">>") else torch.float32
    return torch.tensor([5, 3], dtype=dtype), torch.tensor([2, 3], dtype=dtype)


def called(function: Callable[..., Any], *args: Any) -> tuple[Spelled, tuple[Any, ...]]:
    """The spelling of a call, and its operands in the order of the operation."""
    with Spy() as spy:
        function(*args)
    func, given = spy.seen
    spelled = INDEX.of(func)
    return spelled, arguments(spelled, given, {})[0]


@pytest.mark.parametrize("symbol", INFIX)
def test_an_operator_between_tensors_is_its_operation(symbol: str) -> None:
    record, (x, y) = INFIX[symbol], operands(symbol)
    spelled, given = called(eval(f"lambda x, y: x {symbol} y"), x, y)
    assert spelled == Spelled(record)
    assert given[0] is x and given[1] is y


@pytest.mark.parametrize("symbol", [symbol for symbol in INFIX if symbol != "@"])
def test_an_operator_after_a_number_has_its_operands_in_order(symbol: str) -> None:
    record, (x, _) = INFIX[symbol], operands(symbol)
    spelled, given = called(eval(f"lambda x: 3 {symbol} x"), x)
    if symbol in COMPARED:  # Python itself exchanges them: 3 < x is x > 3
        exchanged = symbol.translate(str.maketrans("<>", "><"))
        assert spelled == Spelled(INFIX[exchanged]) and given == (x, 3)
        return
    assert spelled.operation is record and not spelled.in_place
    assert spelled.reflected != record.commutes
    assert (given == (x, 3)) if record.commutes else (given == (3, x))
    torch.testing.assert_close(record.python.function(*given), eval(f"3 {symbol} x"))  # type: ignore[union-attr]


@pytest.mark.parametrize("symbol", [symbol for symbol in INFIX if symbol not in (*COMPARED, "@")])
def test_an_operator_with_an_equals_sign_writes(symbol: str) -> None:
    record, (x, y) = INFIX[symbol], operands(symbol)
    in_place = record.python.in_place  # type: ignore[union-attr]
    spelled, given = called(in_place, x, y)
    assert spelled == Spelled(record, in_place=True) and given[0] is x and spelled.writes({})
    assert INDEX.of(in_place) == spelled


def test_operators_before_a_tensor_and_subscripts() -> None:
    prefix = [record for record in RECORDS.values() if isinstance(record.python, Prefix)]
    for record in prefix:
        spelled, _ = called(record.python.function, torch.tensor([1, 2]))  # type: ignore[union-attr]
        assert spelled == Spelled(record)
    assert called(lambda x: x[0], torch.ones(2))[0] == Spelled(ops.getitem)
    assert called(lambda x: operator.setitem(x, 0, 3.0), torch.ones(2))[0] == Spelled(ops.setitem, in_place=True)
    assert called(abs, torch.ones(2))[0] == Spelled(ops.abs)


def test_arguments_have_torchs_own_names() -> None:
    spelled, x = INDEX.of(torch.sum), torch.ones(2)
    assert arguments(spelled, (), {"x": x, "axis": 0, "keepdims": True, "out": None}) == (
        (x,),
        {"dim": 0, "keepdim": True},
    )
    assert arguments(INDEX.of(Tensor.__rsub__), (x, 1), {}) == ((1, x), {})


def test_out_and_inplace_write() -> None:
    assert INDEX.of(torch.add).writes({"out": torch.ones(2)})
    assert INDEX.of(F.relu).writes({"inplace": True})
    assert not INDEX.of(F.relu).writes({"inplace": False})
    assert INDEX.of(F.batch_norm).writes({})  # its running statistics


def test_attributes_are_read_and_set() -> None:
    assert attribute_of(Tensor.shape.__get__) == Attribute("shape", is_set=False)
    assert attribute_of(Tensor.grad.__set__) == Attribute("grad", is_set=True)
    assert attribute_of(torch.sum) is None
    assert INDEX.of(Tensor.shape.__get__).operation.effect is Effect.METADATA
    assert INDEX.of(Tensor.mT.__get__).operation is ops.mT


# -- operations that the table lacks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "draws", "in_place"),
    [
        (torch.rand, True, False),
        (torch.randperm, True, False),
        (torch.poisson, True, False),
        (torch.normal, True, False),
        (F.dropout, True, False),
        (F.alpha_dropout, True, False),
        (Tensor.normal_, True, True),
        (Tensor.exponential_, True, True),
        (Tensor.index_reduce_, False, True),
        (Tensor.nextafter_, False, True),
        (torch.nextafter, False, False),
        (torch.fft.fft, False, False),
        (torch.linalg.cond, False, False),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_operation_that_the_table_lacks_is_described_by_torchs_dispatcher(
    function: Callable[..., Any], draws: bool, in_place: bool
) -> None:
    spelled = INDEX.of(function)
    name = getattr(function, "__name__", "")
    assert name not in RECORDS and spelled.operation.name == name
    assert bool(spelled.operation.effect & Effect.DRAWS) == draws
    assert spelled.in_place == spelled.writes({}) == in_place
    assert spelled.operation.integral is Integral.NEVER and spelled.operation.rows is Rows.TOGETHER
    assert INDEX.of(function) is spelled  # made once


def test_every_random_function_of_the_dispatcher_is_known_to_draw() -> None:
    """By its tag: what torch marks as random, in the table or not."""
    random = []
    for name in dir(torch):
        packet, function = getattr(torch.ops.aten, name, None), getattr(torch, name)
        if not isinstance(packet, OpOverloadPacket) or not callable(function):
            continue
        overloads = [getattr(packet, overload) for overload in packet.overloads()]
        if any(torch.Tag.nondeterministic_seeded in overload.tags for overload in overloads):
            random.append(name)
            effect = INDEX.of(function).operation.effect
            assert effect & (Effect.DRAWS | Effect.MAY_DRAW), name
    assert len(random) > 15 and "rand" in random and "bernoulli" in random


def test_a_callable_that_cannot_be_hashed_is_described_too() -> None:
    class Unhashable:
        __name__ = "unhashable"
        __hash__ = None  # type: ignore[assignment]

        def __call__(self) -> None: ...

    assert INDEX.of(Unhashable()).operation.name == "unhashable"


# -- operations of the user's own --------------------------------------------------------------------------------------


def test_an_operation_that_is_added_is_found_until_it_is_removed() -> None:
    derived, changes = INDEX.of(torch.frexp), INDEX.changes
    record = decomposes("test_frexp")
    INDEX.add(record, torch.frexp)
    try:
        assert INDEX.of(torch.frexp) == Spelled(record)
        assert INDEX.was_added(record) and not INDEX.was_added(ops.add)
        assert INDEX.named("test_frexp") is record
        assert pickle.loads(pickle.dumps(record)) is record
        assert INDEX.changes > changes
    finally:
        INDEX.remove(record)
    assert not INDEX.was_added(record)
    assert INDEX.of(torch.frexp).operation.name == derived.operation.name == "frexp"
    with pytest.raises(KeyError, match="test_frexp"):
        INDEX.named("test_frexp")
