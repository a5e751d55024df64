"""Written modules are executed: they give what the softened program gives, bit for bit, whatever constants it has."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from enum import StrEnum
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import softfx
from softfx import api
from softfx.visible import visible
from tests.generated.programs import make
from tests.generated.running import build
from tests.helpers import Outcome, assert_same, identical, leaves, outcome

X = torch.tensor([[2.2, -3.7, 0.4], [1.5, 0.0, -0.6]])
INF = float("inf")


class Order(StrEnum):
    UP = "ij"


def executed(text: str) -> Callable[..., Any]:
    names: dict[str, Any] = {"__name__": "written"}
    exec(compile(text, "written.py", "exec"), names)
    forward: Callable[..., Any] = names["forward"]
    return forward


def same(found: Any, expected: Any) -> bool:
    if not isinstance(expected, Tensor):
        return type(found) is type(expected) and found == expected
    if expected.is_complex():
        return found.dtype is expected.dtype and identical(torch.view_as_real(found), torch.view_as_real(expected))
    return identical(found, expected)


# -- generated programs ------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # of torch: programs mean nothing
@pytest.mark.parametrize("policy", ["keep", "straight-through", "smooth"])
@pytest.mark.parametrize("seed", range(40))
def test_the_written_module_of_a_program_is_the_softened_program(seed: int, policy: str) -> None:
    built = build(make(seed))
    inputs = built.inputs()
    text, _ = api.written(built.target(), policy, example_inputs=inputs)
    forward, target = executed(text), built.target()
    if "This is the path" in text:
        return  # one path of several, which may draw other numbers
    soft = softfx.soften(built.target(), policy, example_inputs=inputs, executor="eager", allow_unused=True)
    expected = outcome(soft, inputs, catch=True)
    found = outcome(functools.partial(forward, target), inputs, catch=True)
    assert_same(Outcome(found.results, error=found.error), Outcome(expected.results, error=expected.error))
    if not built.program.is_special:  # which entries a NaN reaches on its way back is no matter of the text
        count = len(found.gradients)  # of the inputs: the target's parameters are beyond the function that is called
        assert_same(Outcome(gradients=found.gradients), Outcome(gradients=expected.gradients[:count]))


# -- constants and operators -------------------------------------------------------------------------------------------

TABLE = torch.tensor([0.0, -0.0, INF, -INF, float("nan"), 1e-45])
CONSTANTS = {
    "half": torch.tensor([0.1, -2.0], dtype=torch.float16),
    "bfloat16": torch.tensor([0.1, 3e38], dtype=torch.bfloat16),
    "complex": torch.tensor([complex(-0.0, INF), complex(float("nan"), -1.0)]),
    "integers": torch.tensor([-(2**63), 2**63 - 1]),
    "bools": torch.tensor([[True], [False]]),
    "a scalar": torch.tensor(-0.0),
    "nothing": torch.empty(0, 3, 2),
    "nothing in rows": torch.empty(2, 0, dtype=torch.int64),
    "special numbers": TABLE,
}
PROGRAMS: dict[str, Callable[[Tensor], Any]] = {
    "a negative base": lambda x: (-2) ** x.round(),
    "a negative float base": lambda x: (-2.0) ** x.round(),
    "a negative exponent": lambda x: x.round() ** -2,
    "reflected operators": lambda x: (-1 - x, -1 / x, -7 // x, -7 % x, -3 * x, -1 + x),
    "a minus sign": lambda x: (-x).neg(),
    "invert": lambda x: ~(x > 0),
    "shifts": lambda x: (-8 >> x.abs().long()) + (1 << x.abs().long()),
    "bits": lambda x: (-3 & x.long(), -3 | x.long(), -3 ^ x.long()),
    "comparisons": lambda x: ((x > -1), (x == -INF), (x != -0.0), (x >= -1)),
    "infinities": lambda x: (x + INF, x.clamp(-INF, INF), torch.full((2,), -INF), x.masked_fill(x > 0, float("nan"))),
    "a negative zero": lambda x: (x * -0.0, torch.where(x > 0, x, -0.0)),
    "complex numbers": lambda x: (x * 2j, x + (1 - 2j), x * complex(-0.0, INF)),
    "dtypes": lambda x: (x.to(torch.float64), x.type(torch.bfloat16), x.to(dtype=torch.complex64)),
    "a device": lambda x: (x.to("cpu"), x.to(torch.device("cpu")), torch.zeros(2, device=torch.device("cpu"))),
    "layouts": lambda x: torch.zeros(2, 3, layout=torch.strided) + x.contiguous(memory_format=torch.contiguous_format),
    "slices": lambda x: (x[..., ::2], x[-1:], x[:, None, 1:], x[None], x[()], x[..., -1], x[0, :-1]),
    "lists as keys": lambda x: (x[[0, -1]], x[:, [True, False, True]], x[(0, 1)], x[[1], [0]]),
    "a slice in a list": lambda x: operator.getitem(x, (slice(0, 1), [0, 2])),
    "text": lambda x: torch.einsum("ij,ij->i", x, x),
    "text of an enumeration": lambda x: torch.meshgrid(x[0], x[1], indexing=Order.UP),
    "a library operator": lambda x: torch.ops.aten.clamp.Tensor(x, torch.ones(()), None),
    "rounding modes": lambda x: torch.div(x, -2, rounding_mode="floor"),
    "in place": lambda x: operator.iadd(x * 1, -1.0),
    "results in containers": lambda x: {"a": [x.round(), (x, 3, None)], "b": (x.sign(),), 3: -INF},
    "nothing at all": lambda x: (),
    **{f"a constant of {name}": lambda x, c=value: (x.round(), c * 1, c) for name, value in CONSTANTS.items()},
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, for casts of complex numbers
@pytest.mark.parametrize("policy", ["keep", "straight-through"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_constants_and_operators_are_written_as_what_they_are(name: str, policy: str) -> None:
    program = PROGRAMS[name]
    text, _ = api.written(program, policy, example_inputs=(X,))
    found, expected = executed(text)(None, X), program(X)
    assert type(found) is type(expected)
    assert len(leaves(found)) == len(leaves(expected))
    assert all(map(same, leaves(found), leaves(expected))), text


# -- names -------------------------------------------------------------------------------------------------------------


def named(name: str) -> Callable[[Tensor], Tensor]:
    """A function of torch's protocol that goes by a name."""

    def function(x: Tensor) -> Tensor:
        if torch.overrides.has_torch_function_unary(x):
            return cast(Tensor, torch.overrides.handle_torch_function(function, (x,), x))
        return x * 2

    function.__name__ = function.__qualname__ = name
    return function


RUN = "raise SystemExit('it ran')"
HOSTILE = [
    f"a\n{RUN}\n#",
    f"a\r{RUN}\r#",
    f"a)\n    {RUN}\n    (",
    f'a"""\n{RUN}\n"""',
    f"a'''\n{RUN}\n'''",
    f"a', {RUN.removeprefix('raise ')}, '",
    "a\\N{nonsense}\\x",
    "a\\",
    'a"',
    '""""',
    "a\x00b\x1b[2J\u202e\u2028",
    f"a=exec({RUN!r}) or b",
]
SHADOWS = ["torch", "F", "softtorch", "operator", "guards", "SOFTNESS", "module", "_at", "attrgetter"]


class Shadowed(nn.Module):
    """Parameters whose variables would hide what the code uses."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.parts = nn.ParameterDict({name: nn.Parameter(torch.tensor(float(k))) for k, name in enumerate(names)})

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts.values():
            x = (x + part).round()
        return F.hardtanh(x)


@pytest.mark.parametrize(
    "names", [SHADOWS, ["class", "def", "None", "match"], ["a b", "a_b", "a-b"], ["0", "é", "x\n"]]
)
def test_parameters_of_any_name_are_read(names: list[str]) -> None:
    model = Shadowed(names)
    soft = softfx.soften(model, "straight-through", example_inputs=(X,), executor="graph")
    assert torch.equal(executed(softfx.source(soft))(model, X), model(X))


@pytest.mark.parametrize("name", [*SHADOWS, "lambda", "0", "print", "input_0", "function_0", *HOSTILE])
def test_a_function_that_no_import_reaches_is_to_be_set_whatever_its_name(name: str) -> None:
    function = named(name)

    def program(x: Tensor) -> Tensor:
        return F.relu(function(x).round())

    text, _ = api.written(program, "keep", example_inputs=(X,))
    names: dict[str, Any] = {"__name__": "written"}
    exec(compile(text, "written.py", "exec"), names)
    (variable,) = (line.partition(" = ")[0] for line in text.splitlines() if "set it before calling forward" in line)
    names[variable] = function
    assert torch.equal(names["forward"](None, X), program(X))


def test_parameters_whose_dotted_names_come_to_one_variable_are_told_apart() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 3, bias=False)
            self.a_weight = nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            return (self.a(x) * self.a_weight).round()

    model = Two()
    soft = softfx.soften(model, "straight-through", example_inputs=(X,), executor="graph")
    assert torch.equal(executed(softfx.source(soft))(model, X), model(X))


# -- texts that would be code ------------------------------------------------------------------------------------------


def with_module(name: str) -> nn.Module:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleDict({name: nn.Linear(3, 3)})

        def forward(self, x: Tensor) -> Tensor:
            for part in self.parts.values():
                x = part(x).round()
            return x

    return Net()


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_of_a_module_becomes_code(name: str) -> None:
    model = with_module(name)
    soft = softfx.soften(model, "straight-through", example_inputs=(X,), executor="graph")
    text = softfx.source(soft)
    assert text == visible(text, "\n")
    assert torch.equal(executed(text)(model, X), model(X))
    assert torch.equal(soft(X), model(X))


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("part", ["__qualname__", "__name__", "__module__"])
def test_no_name_of_a_function_becomes_code(name: str, part: str) -> None:
    def program(x: Tensor) -> Tensor:
        return x.round()

    setattr(program, part, name)
    text, _ = api.written(program, "straight-through", example_inputs=(X,))
    assert text == visible(text, "\n")
    assert torch.equal(executed(text)(None, X), program(X))


@pytest.mark.parametrize("name", HOSTILE)
def test_no_file_name_and_no_source_line_becomes_code(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import linecache

    source = "def program(x):\n    y = x.round()\n    return y if y.sum() > -99 else x\n"
    names: dict[str, Any] = {}
    file = f"{name}.py".replace("\x00", "")
    exec(compile(source, file, "exec"), names)
    lines = [f"{name} {line}" for line in source.splitlines()]
    monkeypatch.setitem(linecache.cache, file, (len(source), None, lines, file))
    text, _ = api.written(names["program"], "straight-through", example_inputs=(X,))
    assert text == visible(text, "\n")
    assert "This is the path" in text
    assert torch.equal(executed(text)(None, X), X.round())


@pytest.mark.parametrize("value", HOSTILE)
def test_a_text_among_the_arguments_stays_a_text(value: str) -> None:
    def program(x: Tensor) -> Any:
        return x.round(), value

    text, _ = api.written(program, "straight-through", example_inputs=(X,))
    assert executed(text)(None, X)[1] == value
