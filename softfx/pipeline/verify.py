"""The specification of a rewrite, as a list of laws that are checked before anything runs on it.

A rewrite adds calls to a captured program, and puts values with a derivative in the place of some that had none. The
laws say what it must leave alone. Each is a function of a `Rewrite` that yields one sentence for each violation; to
add one, write it and put it into `LAWS`, with a planted rewrite in the tests that breaks it alone.

The domain rules (contract I6) are three of them: a soft bool or a soft index is a tensor of floating-point numbers, so
a call of the program, which knows no softness, may be given it only where a rule has made a real number of it. Soft
values pass between calls that softening added.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx

from softfx import torch_private as private
from softfx.capture.below_private import made_below
from softfx.capture.example import function_of
from softfx.capture.outcome import same
from softfx.capture.preserve import Preserved
from softfx.capture.program import Program
from softfx.errors import SpecError
from softfx.ops.calls import Function
from softfx.pipeline import nodes
from softfx.pipeline.rewrite import Rewritten
from softfx.runtime import guards

__all__ = [
    "LAWS",
    "Example",
    "Law",
    "Rewrite",
    "SpecError",
    "Violation",
    "check_spec",
    "difference",
    "unseen",
    "violations",
]


@dataclass(frozen=True, eq=False)
class Example:
    """A call to run a graph on: the target's arguments, and the further inputs of the graph after its tensors.

    touched: tensors and generators outside of the module that the call changes.
    """

    target: Function
    args: tuple[object, ...]
    kwargs: dict[str, object]
    further: Sequence[object]
    touched: Sequence[object] = ()


@dataclass(frozen=True, eq=False)
class Rewrite:
    """A program and its rewrite, with what the policy promises of the results.

    exact: every site that acts is straight-through, so that results keep their dtypes and their bits.
    distributions: a result of integers may come back as a distribution, over one axis more.
    example: a call on which to hold both against each other; None leaves the values unchecked.
    """

    program: Program
    rewritten: Rewritten
    exact: bool
    distributions: bool = False
    example: Example | None = None

    @property
    def graph(self) -> fx.Graph:
        """The graph of the rewrite."""
        return self.rewritten.module.graph

    @property
    def kept_calls(self) -> list[tuple[fx.Node, fx.Node]]:
        """The calls of the program that the rewrite makes, each with its node in the program."""
        named = {node.name: node for node in self.program.graph.nodes}
        kept = [node for node in self.graph.nodes if nodes.is_call(node) and not node.meta.get("added")]
        return [(named[nodes.origin(node)], node) for node in kept if nodes.origin(node) in named]

    @property
    def results(self) -> list[tuple[Any, Any]]:
        """The results of the program, each with that of the rewrite; the shorter list ends both."""
        return list(zip(nodes.outputs(self.program.graph), nodes.outputs(self.graph), strict=False))


Law: TypeAlias = Callable[[Rewrite], Iterator[str]]


@dataclass(frozen=True)
class Violation:
    """One law that a rewrite breaks, and how."""

    law: str
    text: str


def check_spec(
    program: Program,
    rewritten: Rewritten,
    *,
    exact: bool,
    distributions: bool = False,
    example: Example | None = None,
) -> None:
    """Raise a SpecError if `rewritten` breaks a law; all violations are collected first.

    The arguments are the fields of a `Rewrite`.
    """
    found = violations(Rewrite(program, rewritten, exact, distributions, example))
    if found:
        raise SpecError("\n".join(f"verify: {violation.text}." for violation in found))


def violations(rewrite: Rewrite) -> list[Violation]:
    """The violations of all laws; a graph that is not well formed is held to no further law."""
    found: list[Violation] = []
    for law in LAWS:
        found += [Violation(law.__name__, text) for text in law(rewrite)]
        if found and law is graph_is_well_formed:
            break
    return found


# -- the graph ---------------------------------------------------------------------------------------------------


def graph_is_well_formed(rewrite: Rewrite) -> Iterator[str]:
    """Every node is computed before it is used, every name is unique, and every call says what its value is like."""
    try:
        rewrite.graph.lint()
    except (RuntimeError, ValueError) as error:
        yield f"the rewritten graph is malformed: {error}"
    yield from (f"{node.name} has no example value" for node in rewrite.graph.nodes if nodes.lacks_value(node))


def inputs_are_the_programs(rewrite: Rewrite) -> Iterator[str]:
    """The graph takes the program's inputs and attributes in their order, and then the softness of sites."""
    before, after = ([node.name for node in graph.nodes if node.op == "placeholder"] for graph in _graphs(rewrite))
    softness = len(rewrite.rewritten.softness)
    if after[: len(before)] != before or len(after) != len(before) + softness:
        yield f"the program takes {', '.join(before)}, the rewrite {', '.join(after)} with {softness} of softness"
    if rewrite.rewritten.attributes != list(rewrite.program.attributes.values()):
        yield "the rewrite fetches other attributes of the module than the program"


def calls_are_the_programs(rewrite: Rewrite) -> Iterator[str]:
    """A call that was not added is one of the program's, of the same function with the same constants."""
    names = {node.name for node in rewrite.program.graph.nodes}
    for node in rewrite.graph.nodes:
        if nodes.is_call(node) and not node.meta.get("added") and nodes.origin(node) not in names:
            yield f"the program has no call {node.name}"
    for old, new in rewrite.kept_calls:
        if new.target is not old.target:
            yield f"{old.name} calls another function than in the program"
        elif nodes.constants(new) != nodes.constants(old):
            yield f"{old.name} has the arguments {nodes.constants(new)}, in the program {nodes.constants(old)}"


# -- effects -----------------------------------------------------------------------------------------------------


def effects_are_kept(rewrite: Rewrite) -> Iterator[str]:
    """Every random draw, every grad-mode switch and every write in place of the program happens.

    A switch that the policy lifts is left out. A write is also kept where softening writes another value in its place.
    """
    kept = _effects_after(rewrite)
    for name in _effects_before(rewrite):
        if name not in kept:
            yield f"the rewrite lost {name}, which the program does for its effect"


def effects_keep_their_order(rewrite: Rewrite) -> Iterator[str]:
    """Effects happen in the order of the program."""
    before, after = _effects_before(rewrite), _effects_after(rewrite)
    if [name for name in before if name in after] != after:
        yield f"the program does {', '.join(before)} for their effects, the rewrite in the order {', '.join(after)}"


def _effects_before(rewrite: Rewrite) -> list[str]:
    """The names of the program's calls with an effect, but for the switches that the policy lifts."""
    calls = [node for node in rewrite.program.graph.nodes if nodes.is_call(node) and nodes.has_effect(node)]
    return [node.name for node in calls if node.name not in rewrite.rewritten.lifted_blocks]


def _effects_after(rewrite: Rewrite) -> list[str]:
    """The names of the program's calls with an effect of which the rewrite has that effect, in its order."""
    wanted, found = set(_effects_before(rewrite)), dict[str, None]()
    for node in rewrite.graph.nodes:
        if nodes.is_call(node) and nodes.origin(node) in wanted:
            own = not node.meta.get("added")
            if own or (nodes.writes(node) and not _is_scratch(nodes.written(node), nodes.origin(node))):
                found.setdefault(nodes.origin(node))
    return list(found)


def _is_scratch(written: object, origin: str) -> bool:
    """Return True if what an added call writes was itself added for the same call: nobody else sees it.

    A part of a tensor is that tensor.
    """
    while isinstance(written, fx.Node) and nodes.origin(written) == origin:
        if written.target is not torch.Tensor.__getitem__:
            return True
        written = written.args[0]
    return False


# -- domains -----------------------------------------------------------------------------------------------------


def operands_keep_their_form(rewrite: Rewrite) -> Iterator[str]:
    """A call of the program is given tensors of the shapes and dtypes that it has in the program.

    So one that takes a bool is given a bool, and not its probability; one that takes an integer no distribution. Of an
    operand that is read in part it may be given that part.
    """
    for old, new in rewrite.kept_calls:
        for was, now in nodes.operands(old, new):
            if nodes.form(was) != nodes.form(now) and not _is_part(was, now):
                form = nodes.form(was)
                yield f"{old.name} takes {form} in the program, and {nodes.form(now)} from {now.name} in the rewrite"


def _is_part(whole: fx.Node, part: fx.Node) -> bool:
    """Return True for the leading entries of a tensor of the form of `whole`, taken out for one call."""
    while part.meta.get("added") and part.target is guards.passing_finite and isinstance(part.args[0], fx.Node):
        part = part.args[0]
    if not part.meta.get("added") or part.target is not Tensor.__getitem__:
        return False
    source = part.args[0]
    return isinstance(source, fx.Node) and nodes.form(source) == nodes.form(whole)


def soft_values_reach_rules_only(rewrite: Rewrite) -> Iterator[str]:
    """A call of the program is given no tensor that stands for a shadow alone, be its shape and dtype those it takes.

    The weights of a soft index pass where they are the one-hot that the program asked for: they stand for both.
    """
    for old, new in rewrite.kept_calls:
        for was, now in nodes.operands(old, new):
            meanings = now.meta.get("stands_for", ())
            if meanings and nodes.form(was) == nodes.form(now) and not {"real", "hard"}.intersection(meanings):
                yield f"{old.name} has no rule, and takes {now.name}, which stands for a {meanings[0]}"


def results_mean_what_the_policy_says(rewrite: Rewrite) -> Iterator[str]:
    """Results are real or hard; a soft policy also returns counts and probabilities, and distributions on request."""
    legal = {"real", "hard"} if rewrite.exact else {"real", "hard", "count", "soft_bool"}
    if rewrite.distributions:
        legal.add("soft_index")
    for position, (_, now) in enumerate(rewrite.results):
        meanings = now.meta.get("stands_for", ()) if isinstance(now, fx.Node) else ()
        if meanings and not legal.intersection(meanings):
            yield f"result {position} stands for a {meanings[0]}"


# -- results -----------------------------------------------------------------------------------------------------


def results_keep_their_number(rewrite: Rewrite) -> Iterator[str]:
    """The rewrite returns as many values as the program."""
    before, after = (len(nodes.outputs(graph)) for graph in _graphs(rewrite))
    if before != after:
        yield f"the program returns {before} values, the rewrite {after}"


def results_keep_their_constants(rewrite: Rewrite) -> Iterator[str]:
    """A result that is no tensor is the program's."""
    for position, (was, now) in enumerate(rewrite.results):
        if not isinstance(was, fx.Node) and (isinstance(now, fx.Node) or not same(was, now)):
            yield f"result {position} was {was!r} and is {now!r}"


def results_keep_their_shapes(rewrite: Rewrite) -> Iterator[str]:
    """A result has the program's shape; one of integers may have one axis more, if distributions are asked for."""
    for position, was, now in _result_values(rewrite):
        spread = rewrite.distributions and not was.is_floating_point() and was.shape == now.shape[:-1]
        if was.shape != now.shape and not spread:
            yield f"result {position} had shape {tuple(was.shape)} and has {tuple(now.shape)}"


def results_keep_their_dtypes(rewrite: Rewrite) -> Iterator[str]:
    """A result has the program's dtype; under a soft policy one of bools or integers may become a real number."""
    for position, was, now in _result_values(rewrite):
        softened = not rewrite.exact and not was.is_floating_point() and now.is_floating_point()
        if was.dtype != now.dtype and not softened:
            yield f"result {position} was {was.dtype} and is {now.dtype}"


def results_keep_their_bits(rewrite: Rewrite) -> Iterator[str]:
    """On the example inputs a straight-through rewrite gives the original's results, bit for bit (contract I2)."""
    if rewrite.exact and (example := rewrite.example) is not None and len(rewrite.results):
        text = difference(example, rewrite.rewritten.module)
        if text:
            yield text


LAWS: tuple[Law, ...] = (
    graph_is_well_formed,
    inputs_are_the_programs,
    calls_are_the_programs,
    effects_are_kept,
    effects_keep_their_order,
    operands_keep_their_form,
    soft_values_reach_rules_only,
    results_mean_what_the_policy_says,
    results_keep_their_number,
    results_keep_their_constants,
    results_keep_their_shapes,
    results_keep_their_dtypes,
    results_keep_their_bits,
)


# -- both graphs -------------------------------------------------------------------------------------------------


def _graphs(rewrite: Rewrite) -> tuple[fx.Graph, fx.Graph]:
    return rewrite.program.graph, rewrite.graph


def _result_values(rewrite: Rewrite) -> Iterator[tuple[int, Tensor, Tensor]]:
    """The example values of the results that are tensors in both, with their positions."""
    for position, (was, now) in enumerate(rewrite.results):
        if isinstance(was, fx.Node) and isinstance(now, fx.Node):
            yield position, was.meta["val"], now.meta["val"]


# -- running -----------------------------------------------------------------------------------------------------


def difference(example: Example, module: fx.GraphModule) -> str:
    """What a graph does other than the original on example inputs, as a sentence; "" if nothing.

    module: takes the tensors among the inputs, and then those that are further.
    """
    args, kwargs = example.args, example.kwargs
    wanted = private.leaves(_run(example, function_of(example.target), args, kwargs))

    def replay(*tensors: Tensor) -> object:
        return module(*tensors, *example.further)

    tensors = tuple(leaf for leaf in private.leaves((args, kwargs)) if isinstance(leaf, Tensor))
    try:
        got = private.leaves(_run(example, replay, tensors, {}))
    except Exception as error:  # the original has just run: what the graph cannot repeat is the graph's fault
        said = textwrap.shorten(str(error), 200)
        return ": ".join(filter(None, (f"its graph raises {type(error).__name__} where the original runs", said)))
    different = [i for i, (x, y) in enumerate(zip(wanted, got, strict=True)) if not same(x, y)]
    return f"its graph gives other values than the original for results {different}" if different else ""


def unseen(example: Example, program: Program) -> str:
    """What a constant of a program may be made of out of sight, as a sentence; "" if nothing is made so."""
    if not any(isinstance(value, Tensor) for value in program.constants.values()):
        return ""
    function = function_of(example.target)

    def look(*args: Any, **kwargs: Any) -> object:
        return made_below(lambda: function(*args, **kwargs))

    try:
        found = _run(example, look, example.args, example.kwargs)
    except Exception as error:  # the original has just run: what it does cannot be looked at from below
        return f"it cannot be said what its constants are made of, for it raises {type(error).__name__} when looked at"
    return f"a tensor made out of sight of torch's function protocol ({found})" if found else ""


def _run(
    example: Example, function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
) -> object:
    """A call on copies of its arguments, without gradients and without a trace."""
    leaves, structure = private.flatten((args, kwargs))
    copies = [leaf.detach().clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    args, kwargs = private.unflatten(copies, structure)
    with Preserved(example.target) as preserved, torch.no_grad():
        for value in example.touched:
            preserved.save(value)
        return function(*args, **kwargs)
