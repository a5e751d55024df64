"""The public verbs: soften, check, diff, source. Each runs the stages in order and adds nothing of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, ParamSpec, TypeVar, overload

import torch
from torch import nn

from softfx.capture import frontends as choose
from softfx.capture.example import name_of
from softfx.capture.lazy import initialized, is_uninitialized
from softfx.capture.program import Program
from softfx.code import diff as diffing
from softfx.control.draws import Draws
from softfx.decisions.evidence import Evidence
from softfx.decisions.policy import Policy, PolicyLike
from softfx.decisions.sites import Sites
from softfx.errors import CaptureError, PolicyError, SpecError, TargetError, UnseenError
from softfx.locations import Place, caller, resolve
from softfx.ops.calls import Args, Kwargs
from softfx.pipeline.execute import Eager, Graph
from softfx.pipeline.given import example_call
from softfx.pipeline.plan import plan, settle_alone, settle_neighbours
from softfx.pipeline.rewrite import Rewritten, rewrite
from softfx.pipeline.serialize import graph_module
from softfx.pipeline.settings import settings_of
from softfx.pipeline.signatures import signature
from softfx.pipeline.soft_function import SoftFunction
from softfx.pipeline.softened import Softened, softened
from softfx.pipeline.subject import Subject, subject_of
from softfx.pipeline.upstream import look_at_run
from softfx.pipeline.verify import Example, check_spec, difference, unseen
from softfx.report import Report
from softfx.report.build import make_report
from softfx.vocabulary import MethodName, ModeName

__all__ = ["check", "diff", "diffed", "report_of", "soften", "source", "written"]

Capture = Literal["auto", "eager", "dynamo", "fx"]
Executor = Literal["auto", "graph", "eager"]
SoftnessSetting = float | Literal["auto"] | Mapping[str, float]

_EXECUTORS = ("auto", "graph", "eager")


M = TypeVar("M", bound=torch.nn.Module)
P = ParamSpec("P")
R = TypeVar("R")


@overload
def soften(  # type: ignore[overload-overlap]  # a Module is callable, too, and the first that fits is taken
    target: M,
    policy: PolicyLike = None,
    *,
    example_inputs: Sequence[Any] | None = None,
    example_kwargs: Mapping[str, Any] | None = None,
    softness: SoftnessSetting | None = None,
    mode: ModeName | None = None,
    method: MethodName | None = None,
    capture: Capture = "auto",
    executor: Executor = "auto",
    allow_unused: bool = False,
    generator: torch.Generator | None = None,
) -> M: ...
@overload
def soften(
    target: Callable[P, R],
    policy: PolicyLike = None,
    *,
    example_inputs: Sequence[Any] | None = None,
    example_kwargs: Mapping[str, Any] | None = None,
    softness: SoftnessSetting | None = None,
    mode: ModeName | None = None,
    method: MethodName | None = None,
    capture: Capture = "auto",
    executor: Executor = "auto",
    allow_unused: bool = False,
    generator: torch.Generator | None = None,
) -> SoftFunction[P, R]: ...
def soften(
    target: Any,
    policy: PolicyLike = None,
    *,
    example_inputs: Sequence[Any] | None = None,
    example_kwargs: Mapping[str, Any] | None = None,
    softness: SoftnessSetting | None = None,
    mode: str | None = None,
    method: str | None = None,
    capture: str = "auto",
    executor: str = "auto",
    allow_unused: bool = False,
    generator: torch.Generator | None = None,
) -> Any:
    """A softened copy of `target` that shares its parameters, buffers and submodules.

    Args:
        target: an nn.Module or a function; it stays as it is, but for lazy modules, which the call initialises.
        policy: a preset ("gradients", "straight-through", "lifted", "smooth", "keep"), a TOML file's path, a dict or a
            Policy; None is "gradients".
        example_inputs: positional arguments of one call; its runs on copies put back tensors, modules and random state.
        example_kwargs: keyword arguments of that call.
        softness: a shorthand for this field of the policy's [default]; its [[rule]] entries override it.
            `softfx.set_softness` takes tensors and Parameters, too.
        mode: the same for the mode.
        method: the same for the method of orderings.
        capture: "auto", "eager", "dynamo" or "fx": how the call is seen.
        executor: how the softened call is run. "auto" runs the original Python softly, which follows whatever it
            reads, and gives compilers and exporters a graph; "graph" replays that graph in plain calls, too, where
            all that the call depends on is as it was; "eager" makes no graph.
        allow_unused: accept policy entries that match no site.
        generator: what paths of control flow are drawn by (see softfx/docs/control.md); None for a sequence that begins
            with torch's own seed. The program's random state is not touched in either case.

    Returns:
        A Module of the same class for a Module, a function of the same signature for a function; both with `.report`,
        which a type checker finds on a Module by `softfx.report_of`.

    Raises:
        PolicyError: a policy with mistakes; all of them at once.
        CaptureError: a call that fails on its example inputs, or a graph asked for where none holds the call.
        TargetError: a generator that is none.
        BlockedError: a blocked site under `on_blocked = "error"`.

    >>> soft = soften(torch.round, {"default": {"action": "straight_through"}}, example_inputs=(torch.ones(2),))
    >>> x = torch.tensor([0.2, 1.7], requires_grad=True)
    >>> soft(x).tolist()
    [0.0, 2.0]
    >>> print(soft.report.counts["straight_through"])
    1
    """
    place = caller()
    if executor not in _EXECUTORS:
        raise TargetError(f"soften: unknown executor {executor!r}. Legal: {', '.join(_EXECUTORS)}. Take 'auto'.")
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TargetError(
            f"soften: generator is a {type(generator).__name__}. Legal is a torch.Generator, or None. "
            "Write generator=torch.Generator().manual_seed(0)."
        )
    args, kwargs = example_call(target, policy, example_inputs, example_kwargs)
    loaded = Policy.load(policy).with_defaults("soften", softness=softness, mode=mode, method=method)
    subject = subject_of(_initialized(target, args, kwargs, in_place=True))
    program, sites, evidence = _plan(subject, loaded, args, kwargs, capture, allow_unused, place)
    rewritten = _rewritten(subject.runs, program, sites, evidence, args, kwargs, executor)
    subject = subject.keeping(program.written)
    eager, planned = Eager(sites, evidence, place, draws=Draws(generator)), {subject.entry}
    graph = None if rewritten is None else Graph(rewritten, sites, signature(args, kwargs), settings_of(subject.runs))
    replays = executor == "graph"
    ran = eager.executed(subject.runs, args, kwargs, program.touched) if graph is not None and replays else None
    state = Softened(
        subject.original, subject.runs, subject.entry, sites, evidence, eager, graph, program.seen, subject.name,
        planned, graph is not None and replays,
    )  # fmt: skip
    soft = subject.softened(state)
    if graph is not None and replays:
        graph.watch(soft if isinstance(soft, torch.nn.Module) else None, subject.runs, ran)
    return soft


def check(
    target: Any,
    policy: Any = None,
    *,
    example_inputs: Sequence[Any] | None = None,
    example_kwargs: Mapping[str, Any] | None = None,
    softness: SoftnessSetting | None = None,
    mode: str | None = None,
    method: str | None = None,
    capture: str = "auto",
    allow_unused: bool = False,
) -> Report:
    """The report of what `soften` would find and do, with nothing changed. Arguments as `soften` takes them.

    >>> report = check(torch.argmax, example_inputs=(torch.rand(3),))
    >>> [(site.code, site.action) for site in report.sites]
    [('SX201', 'keep')]
    """
    args, kwargs = example_call(target, policy, example_inputs, example_kwargs)
    loaded = Policy.load(policy).with_defaults("check", softness=softness, mode=mode, method=method)
    subject = subject_of(_initialized(target, args, kwargs, in_place=False))
    program, sites, evidence = _plan(subject, loaded, args, kwargs, capture, allow_unused, caller())
    return make_report(subject.name, program.seen, sites, evidence, "eager")


def diff(
    target: Any,
    policy: Any = None,
    *,
    example_inputs: Sequence[Any] | None = None,
    example_kwargs: Mapping[str, Any] | None = None,
    softness: SoftnessSetting | None = None,
    mode: str | None = None,
    method: str | None = None,
    capture: str = "auto",
    allow_unused: bool = False,
) -> str:
    """The code before and after, site by site, as a unified diff. Arguments as `soften` takes them."""
    args, kwargs = example_call(target, policy, example_inputs, example_kwargs)
    text, _ = diffed(
        target,
        Policy.load(policy).with_defaults("diff", softness=softness, mode=mode, method=method),
        example_inputs=args,
        example_kwargs=kwargs,
        capture=capture,
        allow_unused=allow_unused,
    )
    return text


def diffed(
    target: Any,
    policy: Any = None,
    *,
    example_inputs: Sequence[Any] | None = None,
    example_kwargs: Mapping[str, Any] | None = None,
    capture: str = "auto",
    allow_unused: bool = False,
) -> tuple[str, Report]:
    """What `diff` returns, and the report of the same plan. Arguments as `soften` takes them."""
    args, kwargs = example_call(target, policy, example_inputs, example_kwargs)
    subject = subject_of(_initialized(target, args, kwargs, in_place=False))
    program, sites, evidence = _plan(subject, policy, args, kwargs, capture, allow_unused, caller())
    report = make_report(subject.name, program.seen, sites, evidence, "eager")
    return diffing.unified(program, sites, evidence), report


def written(
    target: Any,
    policy: Any = None,
    *,
    example_inputs: Sequence[Any] | None = None,
    example_kwargs: Mapping[str, Any] | None = None,
    capture: str = "auto",
    allow_unused: bool = False,
    own_arguments: bool = False,
) -> tuple[str, Report]:
    """The softened call as a Python module's text, and its report. Arguments as `soften` takes them.

    Where no single graph holds the call, it is the path that these example inputs take, and says so. Its `forward`
    takes the module first, None for a function, as that of `source` does; with `own_arguments` the one of a function
    takes the function's arguments alone, as a file for people does.
    """
    args, kwargs = example_call(target, policy, example_inputs, example_kwargs)
    subject = subject_of(_initialized(target, args, kwargs, in_place=False))
    program, sites, evidence = _plan(subject, policy, args, kwargs, capture, allow_unused, caller())
    report = make_report(subject.name, program.seen, sites, evidence, "eager")
    rewritten, of_module = diffing.drawn(program, sites, evidence), not own_arguments or isinstance(target, nn.Module)
    return diffing.module_text(subject.name, rewritten, sites, program.seen, of_module=of_module), report


def report_of(soft: Callable[..., Any]) -> Report:
    """The report of what `soften` returned: its `.report`, for type checkers, which see a Module's own class.

    Args:
        soft: a softened Module or function.

    Raises:
        TypeError: it was not softened.

    Source: the decisions about its sites at this moment, those met since `soften` included.

    >>> soft = soften(torch.nn.ReLU(), example_inputs=(torch.ones(2),))
    >>> report_of(soft).counts["keep"]
    1
    """
    return softened(soft, "report_of").report


def source(soft: Any) -> str:
    """The softened call of `soft` as a Python module's text.

    Its `forward` takes the module first, on which parameters and buffers are looked up, and then the tensors among the
    call's arguments. For a function the first is None, so that one call fits the text of any target.
    """
    state = softened(soft, "source")
    if state.graph is None:
        raise CaptureError(
            f"source: {state.name} has no graph: {'; '.join(state.seen.obstacles) or 'it was not asked for'}. "
            "Only a call that one graph holds can be written out. It runs softly all the same."
        )
    return diffing.module_text(state.name, state.graph.rewritten, state.sites)


def _plan(
    subject: Subject,
    policy: Any,
    args: Args,
    kwargs: Kwargs,
    capture: str,
    allow_unused: bool,
    place: Place,
) -> tuple[Program, Sites, Evidence]:
    loaded = Policy.load(policy)
    try:
        program = choose.capture(subject.runs, args, kwargs, capture, place)
    except UnseenError as error:
        if loaded.can_act:
            raise
        return Program.unseen(str(error), place), Sites(loaded), Evidence()  # as it is, all that is asked for
    program.add_notes(subject.notes)

    def trial(sites: Sites, evidence: Evidence) -> None:
        Eager(sites, evidence, place).trial(subject.runs, args, kwargs, program.touched)

    sites, evidence = plan(program, loaded, trial)
    if sites.measures or (sites.acts and not program.finite):  # what such elements touch only a run on them shows
        Eager(sites, evidence, place).measure(subject.runs, args, kwargs, program.touched)
        settle_alone(sites, evidence)
        settle_neighbours(sites, evidence)
    found = make_report("", program.seen, sites, evidence, "").sites
    unmatched = [] if allow_unused else loaded.unmatched(found)
    if unmatched:
        raise PolicyError("\n".join(unmatched))
    look_at_run(program, Eager(sites, evidence, place), subject.runs, args, kwargs)
    return program, sites, evidence


def _rewritten(
    target: Any, program: Program, sites: Sites, evidence: Evidence, args: Args, kwargs: Kwargs,
    executor: str,
) -> Rewritten | None:  # fmt: skip
    """The rewritten graph, where it holds the call and is wanted."""
    if executor == "eager" or not sites.policy.can_act:
        return None
    attributes = [resolve(target, name) for name in program.attributes.values()]
    if not program.seen.obstacles:
        captured = graph_module(program.graph, program.constants)
        example = Example(target, args, kwargs, attributes, program.touched)
        if different := difference(example, captured) or unseen(example, program):
            program.add_obstacle(different)
    if program.seen.obstacles:
        if executor == "graph":
            choose.refuse(program)
        return None
    rewritten = rewrite(program, sites, evidence)
    softness = rewritten.softness_of(sites)
    example = Example(target, args, kwargs, [*attributes, *softness], program.touched)
    try:
        check_spec(program, rewritten, exact=sites.exact, distributions=sites.gives_distributions, example=example)
    except SpecError as error:
        if executor == "graph":
            raise
        program.add_obstacle(f"the rewritten graph does not keep to its specification ({error.args[0]})")
        return None
    return rewritten


def _initialized(target: Any, args: Args, kwargs: Kwargs, *, in_place: bool) -> Any:
    """The target with its lazy modules initialised, as its first call does it."""
    if not is_uninitialized(target):
        return target
    try:
        return initialized(target, args, kwargs, in_place=in_place)
    except Exception as error:
        text = next(iter(str(error).strip().splitlines()), "")
        raise CaptureError(
            f"{name_of(target)}: its lazy modules cannot be initialised by these example inputs, the call raised "
            f"{type(error).__name__}: {text}. Correct the inputs, or call the module once before."
        ) from error
