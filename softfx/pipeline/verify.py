"""The checks after a rewrite, before anything runs on it.

`check_spec` is what a rewrite may not do, as code: lose or reorder an effect of the program, change the number, shape
or (straight-through) dtype of its results, leave a malformed graph. `difference` runs a graph beside the original on
the example inputs: a captured one, and a rewritten one that is straight-through, must give its results bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from softfx import torch_private as private
from softfx.capture.preserve import Preserved
from softfx.capture.program import Program
from softfx.pipeline.rewrite import Rewritten
from softfx.rules import RULES, SPELLING

__all__ = ["SpecError", "check_spec", "difference"]


class SpecError(AssertionError):
    """A rewrite that broke the specification: a defect of softfx, never of the model."""


def check_spec(program: Program, rewritten: Rewritten, *, exact: bool, distributions: bool = False) -> None:
    """Raise if `rewritten` is not a legal rewrite of `program`.

    exact: its results keep their dtypes; distributions: an integer may come back over one axis more.
    """
    graph = rewritten.module.graph
    graph.lint()
    before, after = _effects(program.graph), _effects(graph)
    before = [name for name in before if name not in rewritten.lifted_blocks]
    lost = [name for name in before if name not in after]
    if lost:
        raise SpecError(f"verify: the rewrite lost {', '.join(lost)}, which the program does for its effect.")
    if [name for name in after if name in before] != before:
        raise SpecError("verify: the rewrite reordered effects of the program.")
    old, new = _outputs(program.graph), _outputs(graph)
    if len(old) != len(new):
        raise SpecError(f"verify: the program returns {len(old)} values, the rewrite {len(new)}.")
    for position, (was, now) in enumerate(zip(old, new, strict=True)):
        _check_output(position, was, now, exact, distributions)


def _check_output(position: int, was: Any, now: Any, exact: bool, distributions: bool) -> None:
    if not isinstance(was, fx.Node):
        if now is not was and now != was:
            raise SpecError(f"verify: result {position} was {was!r} and is {now!r}.")
        return
    old, new = was.meta["val"], now.meta["val"]
    if distributions and not old.is_floating_point() and old.shape == new.shape[:-1]:
        return
    if old.shape != new.shape:
        raise SpecError(f"verify: result {position} had shape {tuple(old.shape)} and has {tuple(new.shape)}.")
    if exact and old.dtype != new.dtype:
        raise SpecError(f"verify: result {position} was {old.dtype} and is {new.dtype}.")


def _effects(graph: fx.Graph) -> list[str]:
    """The names of the program's calls that write, draw, or switch a mode; writes of added code do not count."""
    names = []
    for node in graph.nodes:
        target: Any = node.target
        if node.op != "call_function" or node.meta.get("added") or target is getattr:
            continue
        spelled = SPELLING.find(target)
        draws = spelled is not None and RULES[spelled.op].family == "random"
        if draws or target is private.set_grad_enabled:
            names.append(node.name)
    return names


def _outputs(graph: fx.Graph) -> list[Any]:
    returned: Any = graph.output_node().args[0]
    return list(returned)


def difference(
    target: Any,
    module: fx.GraphModule,
    extra: Sequence[Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> str:
    """Where `module` does not give the original's results on the example inputs; empty if it does.

    module takes the tensors among the inputs, then `extra`.
    """
    function = target.forward if isinstance(target, torch.nn.Module) else target
    wanted = private.leaves(_run(target, function, args, kwargs))

    def replay(*tensors: Tensor) -> Any:
        return module(*tensors, *extra)

    tensors = tuple(leaf for leaf in private.leaves((args, kwargs)) if isinstance(leaf, Tensor))
    got = list(_run(target, replay, tensors, {}))
    different = [i for i, (x, y) in enumerate(zip(wanted, got, strict=True)) if not _same(x, y)]
    return f"its graph gives other values than the original for results {different}" if different else ""


def _run(target: Any, function: Any, args: Any, kwargs: Any) -> Any:
    leaves, structure = private.flatten((args, kwargs))
    copies = [leaf.detach().clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    args, kwargs = private.unflatten(copies, structure)
    with Preserved(target), torch.no_grad():
        return function(*args, **kwargs)


def _same(x: Any, y: Any) -> bool:
    if not isinstance(x, Tensor):
        return bool(x is y or x == y)
    if x.dtype != y.dtype or x.shape != y.shape:
        return False
    if not x.is_floating_point():
        return torch.equal(x, y)
    return bool((((x == y) & (x.signbit() == y.signbit())) | (x.isnan() & y.isnan())).all())
