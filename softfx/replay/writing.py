"""A recording as functions: one for each call of the program, which makes it as the interpreter made it.

    def step(run, func, args, kwargs):
        <return OTHER unless the call is the one that was recorded>
        <the calls that the interpreter made>
        <what it remembered>
        return <the result>

`run` is the mode of the present run, `run.held` has its tensors and records that later calls use, by number. What a
function computes goes into `held` only if a later call uses it, and is let go there after the last use. A step that the
interpreter has to make has a function that only checks the call, and one that takes what the interpreter left.
"""

from __future__ import annotations

import keyword
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from numbers import Number
from typing import Any, NamedTuple

import torch
from torch import Tensor

from softfx.locations import Location, Stack
from softfx.ops.calls import Args, Function, Kwargs
from softfx.ops.operation import Effect
from softfx.ops.spelling import INDEX
from softfx.ops.trees import ATOMS, tensors_in
from softfx.replay.records import Made, Noted, Step, is_alone
from softfx.replay.regions import Region, regions
from softfx.replay.text import Program, Text
from softfx.replay.values import Unmakeable, holds_own, is_lasting, is_record, parts_of_record
from softfx.torch_private import storage_key
from softfx.traces.traced import Traced
from softfx.values import Pending

__all__ = ["Written", "written"]

# Under this name, code is the package's own to what looks for the user's frames.
_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "step")
_DRAWS = Effect.DRAWS | Effect.MAY_DRAW
_ARGUMENTS = "run, func, args, kwargs"
_NOTHING = object()  # no result
_OF_TENSORS = ("discard", "made", "carried")  # verbs of tables that are told a tensor and nothing of it


class Written(NamedTuple):
    """A step as functions.

    make: makes the call; returns OTHER where the call, or its outcome, is another one.
    by_interpreter: `make` only checks the call, which the interpreter makes.
    settle: takes the result of such a call; returns OTHER where it is another one than was recorded.
    """

    func: Function
    gradients: bool
    location: Location | None
    stack: Stack | None
    make: Callable[[Any, Function, Args, Kwargs], Any]
    by_interpreter: bool
    settle: Callable[[Any, Any], Any] | None


def written(steps: Sequence[Step], given: Sequence[Tensor], lasting: Sequence[Tensor]) -> tuple[list[Written], int]:
    """The steps of a recording as functions, and how many things they hold at most.

    given: the tensors that the call was given, in order; the run holds them from the start.
    lasting: tensors that are the same in each run.

    Raises:
        Unmakeable: a call cannot be told from others.
    """
    memory = {storage_key(tensor) for step in steps for tensor in step.written}
    first, by_interpreter = Program(given, lasting, written=memory), set[int]()
    for number, step in enumerate(steps):  # once to see what is used until when, and what cannot be written
        try:
            if step.by_interpreter:
                raise Unmakeable("a call of which more is to be known")
            _made(first, step, number)
        except Unmakeable:
            _left(first, step, number)
            by_interpreter.add(number)
    program = Program(given, lasting, first.used, written=memory)
    texts: list[str] = []
    for number, step in enumerate(steps):
        texts += (_left if number in by_interpreter else _made)(program, step, number)
    namespace = program.namespace
    exec(compile("\n".join(texts), _FILE, "exec"), namespace)  # of names, numbers and the letters of this package
    functions = [
        Written(
            step.func, step.gradients, step.location, step.stack,
            namespace[f"step_{number}"], number in by_interpreter, namespace.get(f"settle_{number}"),
        )
        for number, step in enumerate(steps)
    ]  # fmt: skip
    return functions, len(program.places)


def _made(program: Program, step: Step, number: int) -> list[str]:
    """The function of a step."""
    text = Text(program, step, number)
    _check_call(text)
    for tensor in {id(tensor): tensor for tensor in step.written if id(tensor) not in step.own}.values():
        text.unless(f"not {program.constant(is_alone)}({text.known(tensor)})")
    changed = [tensor for tensor in (*step.written, *tensors_in(step.result)) if tensor.requires_grad]
    if has_own_history := step.operands is not None and bool(changed):
        text.line(f"histories = run.histories_of({text.value(step.operands)})")
    last: tuple[Any, str] = _NOTHING, ""
    kept = _kept(text)
    for place, (group, is_region) in enumerate(groups := regions(step, text.program.written)):
        if is_region:
            later = [made for others, _ in groups[place + 1 :] for made in others]
            _make_region(text, group, later, kept)
            continue
        for made in group:
            last = _make(text, made) or last
    for noted in kept:
        table = f"run.{noted.table}_{noted.verb}"
        values = [noted.tensor] if noted.verb in _OF_TENSORS else [noted.tensor, noted.value]
        text.line(f"{table}({', '.join(map(text.value, values))})")
    if step.grad_mode is not None:
        text.line(f"run.switch_gradients(*{program.constant(step.grad_mode)})")
    if has_own_history:
        text.line(f"run.note_made({text.value(changed)}, histories)")
    if step.turns:
        text.line(f"run.turns.update({program.constant(step.turns)})")
    result = _given(text, *last)
    text.finish()
    text.line(f"return {result}")
    return [text.function_text(f"step_{number}", _ARGUMENTS)]


def _left(program: Program, step: Step, number: int) -> list[str]:
    """The functions of a step that the interpreter makes; it is not settled where it has steps inside it."""
    before = Text(program, step, number)
    _check_call(before)
    if step.has_inner:
        before.finish()
        return [before.function_text(f"step_{number}", _ARGUMENTS)]
    for value in before.new:  # what settles the call has to find them
        before.line(f"held[{program.place(value)}] = {before.local[id(value)]}")
        program.known.add(id(value))
    after = Text(program, step, number)
    _settle(after)
    after.finish()
    texts = before.function_text(f"step_{number}", _ARGUMENTS), after.function_text(f"settle_{number}", "run, result")
    return [*texts]


# -- the program's call is the one that was recorded -------------------------------------------------------------------


def _check_call(text: Text) -> None:
    step, constant = text.step, text.program.constant
    text.unless(f"len(args) != {len(step.args)} or len(kwargs) != {len(step.kwargs)}")
    for place, value in enumerate(step.args):
        _check(text, value, f"args[{place}]")
    if step.kwargs:
        text.unless(f"tuple(kwargs) != {constant(tuple(step.kwargs))}")
    for name, value in step.kwargs.items():
        _check(text, value, f"kwargs[{constant(name)}]")


def _check(text: Text, value: Any, place: str) -> None:
    """What stands at a place is what was recorded there."""
    constant = text.program.constant
    if isinstance(value, Tensor):
        _check_tensor(text, value, place)
    elif isinstance(value, tuple | list | dict) and type(value) is not torch.Size:
        name = text.name()
        text.line(f"{name} = {place}")
        text.unless(f"type({name}) is not {constant(type(value))} or len({name}) != {len(value)}")
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(value, dict):
                text.unless(f"{constant(key)} not in {name}")
            _check(text, item, f"{name}[{constant(key)}]")
    elif isinstance(value, slice):
        name = text.name()
        text.line(f"{name} = {place}")
        text.unless(f"type({name}) is not slice")
        for part in ("start", "stop", "step"):
            _check(text, getattr(value, part), f"{name}.{part}")
    elif value is None or isinstance(value, bool) or value is ...:
        text.unless(f"{place} is not {value!r}")
    elif type(value) is float:  # 0.0 is not -0.0, and NaN is NaN
        text.unless(f"type({place}) is not float or {place}.hex() != {value.hex()!r}")
    elif type(value) in ATOMS or isinstance(value, Number):
        text.unless(f"type({place}) is not {constant(type(value))} or {place} != {constant(value)}")
    elif holds_own(value):
        raise Unmakeable("an argument that holds tensors")
    else:
        text.unless(f"{place} is not {constant(value)}")


def _check_tensor(text: Text, tensor: Tensor, place: str) -> None:
    if text.knows(tensor):
        text.unless(f"{place} is not {text.known(tensor)}")
        return
    like = text.step.likes[id(tensor)]
    if like is None or id(tensor) in text.step.remembered:
        raise Unmakeable("a tensor that is sparse, or was made out of sight")
    name = text.name()
    text.line(f"{name} = {place}")
    text.unless(f"not {text.program.constant(like)}.fits({name}) or not run.meets({name})")
    text.bind(tensor, name)


# -- what the interpreter made of it -----------------------------------------------------------------------------------


def _make(text: Text, made: Made) -> tuple[Any, str] | None:
    """A call of the interpreter; what it gave, and the name of that, unless it only asked something."""
    step = text.step
    if made.gradients is not step.gradients:
        raise Unmakeable("a call under another grad mode")
    if text.is_settled:
        raise Unmakeable("a call after one that writes")
    same_names = made.kwargs is step.kwargs or not (made.kwargs or step.kwargs)
    if made.func is step.func and made.args is step.args and same_names:
        call = "func(*args, **kwargs)" if step.kwargs else "func(*args)"
    else:
        if not all(map(_is_name, made.kwargs)):
            raise Unmakeable("an argument under no name of Python's")
        arguments = [*map(text.value, made.args)]
        arguments += [f"{name}={text.value(value)}" for name, value in made.kwargs.items()]
        call = f"{text.function(made.func, made.kwargs)}({', '.join(arguments)})"
    if made.is_guard:
        text.unless(f"{call} is not {made.result}")
        return None
    name = text.name()
    text.line(f"{name} = {call}")
    text.is_settled |= made.writes
    _take(text, made.result, name, made.is_programs and not _draws(step), is_opaque=made.is_programs)
    return made.result, name


def _make_region(text: Text, group: Sequence[Made], later: Sequence[Made], kept: Sequence[Noted]) -> None:
    """Calls of the interpreter that are made as one.

    later: what the step makes behind them.
    kept: what it remembers.
    """
    if text.is_settled:
        raise Unmakeable("a call after one that writes")
    used = tensors_in(([(made.args, made.kwargs) for made in later], text.step.result, text.step.operands))
    used += [tensor for noted in kept for tensor in (noted.tensor, *_tensors_of(noted.value))]
    made = [tensor for call in group for tensor in tensors_in(call.result)]
    wanted = {id(tensor) for tensor in made if text.program.is_used_later(tensor, text.number)}
    region, values, outs = Region.spread(group, wanted.union(map(id, used)))
    if not outs:
        return
    names = [text.name() for _ in outs]
    arguments = ", ".join(map(text.value, values))
    text.line(f"{', '.join(names)}, = {text.program.constant(Traced(region))}({arguments})")
    for tensor, name in zip(outs, names, strict=True):
        text.bind(tensor, name)


def _is_name(name: str) -> bool:
    """Return True for what may stand in the text: no function checks the names that it is given by **."""
    return name.isidentifier() and not keyword.iskeyword(name)


def _draws(step: Step) -> bool:
    """Return True for a call that is not to be made twice: the interpreter would draw other numbers."""
    return bool(INDEX.of(step.func).operation.effect & _DRAWS)


def _take(text: Text, result: Any, name: str, is_checked: bool, is_opaque: bool = False) -> None:
    """Give names to the tensors of a result that has a name.

    is_checked: they have to be like those of the recording.
    is_opaque: it may be something of which nothing is known, as the program's own calls give it.
    """
    if isinstance(result, Tensor):
        if text.knows(result):
            if not text.is_settled:
                text.unless(f"{name} is not {text.known(result)}")
            return
        if is_checked:
            like, constant = text.step.outcomes[id(result)], text.program.constant
            text.unless(f"{name}.shape != {constant(like.shape)} or {name}.dtype is not {constant(like.dtype)}")
            text.unless(f"{name}.requires_grad is not {like.requires_grad}")
        text.bind(result, name)
    elif isinstance(result, tuple | list) and holds_own(result):
        text.unless(f"len({name}) != {len(result)}")
        for place, item in enumerate(result):
            if holds_own(item):
                own = text.name()
                text.line(f"{own} = {name}[{place}]")
                _take(text, item, own, is_checked)
    elif holds_own(result) or not (is_opaque or is_lasting(result)):
        raise Unmakeable(f"a {type(result).__name__}")


def _given(text: Text, outcome: Any, name: str) -> str:
    """What the program got, where the last call gave an outcome under a name."""
    result = text.step.result
    if result is outcome:
        return name
    if holds_own(result):
        return text.value(result)
    raise Unmakeable("a result that no call has given")


# -- what it remembered ------------------------------------------------------------------------------------------------


def _kept(text: Text) -> list[Noted]:
    """What was remembered of tensors that are not gone when the call is made."""
    step = text.step
    lasting = {id(tensor) for tensor in tensors_in((step.args, step.kwargs, step.result))}
    lasting |= {id(noted.tensor) for noted in step.noted if text.program.is_used_later(noted.tensor, text.number)}
    kept, rest = list[Noted](), step.noted
    while taken := [noted for noted in rest if id(noted.tensor) in lasting]:
        kept += taken
        rest = [noted for noted in rest if noted not in taken]
        lasting |= {id(tensor) for noted in taken for tensor in _tensors_of(noted.value)}
    return [noted for noted in step.noted if noted in kept]


def _tensors_of(value: Any) -> Iterator[Tensor]:
    """The tensors in what was remembered."""
    if isinstance(value, Tensor):
        yield value
        return
    if is_record(value):
        value = parts_of_record(value)
    elif isinstance(value, partial):
        value = value.args
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ():
        yield from _tensors_of(item)


# -- what the interpreter makes each time ------------------------------------------------------------------------------


def _settle(text: Text) -> None:
    """Take the result of a call that the interpreter made, and what it remembered."""
    _take(text, text.step.result, "result", is_checked=True, is_opaque=True)
    for tensor, facts in text.step.facts:
        if text.knows(tensor):
            name = text.name()
            text.line(f"{name} = run.entry({text.known(tensor)})")
            _take_facts(text, facts, name)


def _take_facts(text: Text, value: Any, name: str) -> None:
    """What was remembered is what was recorded; its parts get names."""
    if isinstance(value, Tensor):
        _take(text, value, name, is_checked=False)
    elif isinstance(value, Pending) or is_record(value):
        text.unless(f"type({name}) is not {text.program.constant(type(value))}")
        if isinstance(value, Pending):  # what is found of it later is found by the interpreter
            return
        if not text.knows(value):
            text.bind(value, name)
        _take_parts(text, [(f".{part}", own) for part, own in parts_of_record(value).items()], name)
    elif isinstance(value, tuple | list) and holds_own(value):
        text.unless(f"len({name}) != {len(value)}")
        _take_parts(text, [(f"[{place}]", own) for place, own in enumerate(value)], name)
    elif holds_own(value):
        raise Unmakeable(f"a {type(value).__name__}")
    else:
        text.unless(f"{name} != {text.program.constant(value)}")


def _take_parts(text: Text, parts: Sequence[tuple[str, Any]], name: str) -> None:
    for place, part in parts:
        own = text.name()
        text.line(f"{own} = {name}{place}")
        _take_facts(text, part, own)
