"""The contracts of softfx on one program: every deviation from them, as a kind and a detail.

The identity (I1), exact values and finite gradients under straight-through policies (I2), accounts that add up (I4),
places that are lines of the program (I5), a target and a random state that stay as they were (I7), two executors that
agree, and a soft policy that keeps shapes, types and finiteness.

Of programs whose inputs hold NaN and infinities, derivatives are asked of results that are finite, where the original
has some, and of soft values no more than their shapes and types.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import softfx
from tests.generated.running import Built
from tests.helpers import EXECUTORS, Outcome, difference, identical, outcome

__all__ = ["EXACT", "Deviation", "deviations"]

EXACT = ("gradients", "straight-through", "lifted")
_RELATIVE = {torch.float64: 1e-9, torch.float32: 2e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}


class Deviation(NamedTuple):
    """Something that is not as a contract says."""

    kind: str
    detail: str


def deviations(built: Built) -> list[Deviation]:
    """All deviations found for one program under every preset."""
    found: list[Deviation] = []
    target = built.target()
    original = outcome(target, built.inputs(), catch=True, of_finite=built.program.is_special)
    state = _state(target)
    for policy in ("keep", *EXACT, "smooth"):
        by_executor: dict[str, Outcome] = {}
        for executor in ("eager",) if policy == "keep" else EXECUTORS:
            try:
                soft = _softened(built, policy, executor)
            except softfx.CaptureError:
                if executor == "graph":  # no graph holds it
                    continue
                raise
            except Exception as error:
                found.append(Deviation(f"soften raises: {policy}", _text(error)))
                continue
            found += _of_capture(built, soft, policy, executor)
            after = by_executor[executor] = _called(soft, built, original)
            found += _of_call(policy, original, after, executor, built.program.is_special)
            if policy != "smooth":
                found += [Deviation(f"state: {policy}", name) for name in _changed(_state(soft), state)]
            found += _of_report(built, soft.report)
            if executor == "eager" and policy in EXACT:
                found += _without_gradients(built, policy, soft)
        found += _of_executors(policy, by_executor, built.program.is_special)
    return found


def _softened(built: Built, policy: str, executor: str) -> Any:
    torch.manual_seed(0)
    return softfx.soften(built.target(), policy, example_inputs=built.inputs(), executor=executor)


def _called(function: Callable[..., Any], built: Built, original: Outcome) -> Outcome:
    """Where the original itself cannot be differentiated, the results alone are asked for."""
    special = built.program.is_special
    return outcome(
        function, built.inputs(), sources=None if original.error is None else [], catch=True, of_finite=special
    )


def _without_gradients(built: Built, policy: str, soft: Any) -> Iterator[Deviation]:
    """Exact values, too, where nothing is recorded; a module may have changed its state in the call before."""
    if built.program.is_module:
        soft = _softened(built, policy, "eager")
    with torch.no_grad():
        original, after = (outcome(function, built.inputs(), catch=True) for function in (built.target(), soft))
    if difference(original, after):
        yield Deviation(f"value under no_grad: {policy}", difference(original, after))


def _state(target: Any) -> dict[str, Tensor]:
    named = target.state_dict().items() if isinstance(target, nn.Module) else ()
    return {name: value.detach().clone() for name, value in named}


def _changed(new: dict[str, Tensor], old: dict[str, Tensor]) -> list[str]:
    return [name for name in old.keys() | new.keys() if name not in new or not identical(new[name], old[name])]


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:160]}"


def _of_capture(built: Built, soft: Any, policy: str, executor: str) -> Iterator[Deviation]:
    """What softening itself may have changed; the targets are fresh and equal."""
    state = torch.get_rng_state()
    torch.manual_seed(0)
    if not torch.equal(state, torch.get_rng_state()):
        yield Deviation("softening draws random numbers", f"{policy}, {executor}")
    for name in _changed(_state(soft), _state(built.target())):
        yield Deviation("softening changes the module", f"{policy}, {executor}: {name}")


def _of_call(policy: str, original: Outcome, after: Outcome, executor: str, is_special: bool) -> Iterator[Deviation]:
    if after.error is not None:
        yield Deviation(f"call raises: {policy}", f"{executor}: {after.error}")
        return
    if len(after.results) != len(original.results):
        yield Deviation(f"structure: {policy}", f"{len(after.results)} results for {len(original.results)}")
        return
    for number, (new, old) in enumerate(zip(after.results, original.results, strict=True)):
        if isinstance(old, Tensor) and (problem := _of_result(policy, new, old, is_special)):
            yield Deviation(f"value: {policy}", f"result {number}: {problem}")
    settled = not is_special and all(_is_finite(new) for new in after.results)
    for number, (new, old) in enumerate(zip(after.gradients, original.gradients, strict=False)):
        if is_special and old is None and policy != "keep":  # 0 times what a NaN gives
            continue
        for problem in _of_gradient(policy, new, old, settled):
            yield Deviation(f"gradient {problem}: {policy}", f"source {number}: {_head(new)} for {_head(old)}")


def _of_result(policy: str, new: Any, old: Tensor, is_special: bool) -> str:
    if not isinstance(new, Tensor):
        return f"a {type(new).__name__}"
    if new.shape != old.shape:
        return f"shape {tuple(new.shape)} for {tuple(old.shape)}"
    if policy != "smooth":
        return "" if identical(new, old) else f"{_head(new)} for {_head(old)}"
    if old.is_floating_point() and new.dtype != old.dtype:
        return f"{new.dtype} for {old.dtype}"
    if is_special or _is_finite(new) or not _is_finite(old):  # a probability of an infinite number is infinite
        return ""
    return f"not finite: {_head(new)} for {_head(old)}"


def _of_gradient(policy: str, new: Tensor | None, old: Tensor | None, settled: bool) -> Iterator[str]:
    if policy == "keep":
        if (new is None) != (old is None) or (new is not None and old is not None and not identical(new, old)):
            yield "changed"
        return
    if old is not None and not _is_finite(old):
        return
    if new is not None and not _is_finite(new) and (policy != "smooth" or settled):
        yield "not finite"
    if policy != "smooth" and old is not None and bool(old.any()) and (new is None or not bool(new.any())):
        yield "lost"


def _of_report(built: Built, report: softfx.Report) -> Iterator[Deviation]:
    lines = built.program.source.splitlines()
    counts = report.counts
    if counts["found"] != sum(number for action, number in counts.items() if action != "found"):
        yield Deviation("counts do not add up", str(counts))
    if len({site.id for site in report.sites}) != len(report.sites):
        yield Deviation("two sites with one number", str([site.id for site in report.sites]))
    for site in report.sites:
        text = lines[site.line - 1].strip() if 1 <= site.line <= len(lines) else None
        if site.file != built.file or site.source != text:
            yield Deviation("place", f"{site.op} at {site.file}:{site.line}: {site.source!r} for {text!r}")
        if site.action in ("keep", "blocked") and not site.reason:
            yield Deviation("no reason", f"{site.op}, {site.action}")


def _of_executors(policy: str, by_executor: dict[str, Outcome], is_special: bool) -> Iterator[Deviation]:
    """What differs between executors.

    For inputs with NaN that is asked of results alone: a NaN that the program's own derivative gives ends at the next
    straight-through value, and a graph has more of these, so that more of what stands beside it is kept. A derivative
    that comes through a result of a shorter type is rounded as that is.
    """
    if len(by_executor) < len(EXECUTORS) or any(after.error is not None for after in by_executor.values()):
        return
    graph, eager = (by_executor[executor] for executor in EXECUTORS)
    for kind in ("results",) if is_special else ("results", "gradients"):
        for number, (one, other) in enumerate(zip(getattr(graph, kind), getattr(eager, kind), strict=True)):
            if not _is_close(one, other, _coarsest(eager.results) if kind == "gradients" else 0.0):
                yield Deviation(f"executors differ: {policy}", f"{kind} {number}: {_head(one)} and {_head(other)}")


def _coarsest(results: Iterable[Any]) -> float:
    """The largest of the tolerances of the results' types."""
    return max((_RELATIVE.get(result.dtype, 0.0) for result in results if isinstance(result, Tensor)), default=0.0)


def _is_close(one: Any, other: Any, least: float) -> bool:
    """Return True if two values agree to the digits of their type, but for `least`, a part of their size."""
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return type(one) is type(other) and bool(one == other or one != one)
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if not one.is_floating_point():
        return torch.equal(one, other)
    a, b, relative = one.double(), other.double(), max(least, _RELATIVE[one.dtype])
    scale = float(b[b.isfinite()].abs().max()) if bool(b.isfinite().any()) else 1.0
    return bool(torch.isclose(a, b, rtol=relative, atol=relative * max(1.0, scale), equal_nan=True).all())


def _is_finite(value: Any) -> bool:
    if isinstance(value, Tensor):
        return bool(value.isfinite().all())
    return not isinstance(value, float) or math.isfinite(value)


def _head(value: Any) -> str:
    return str(value.flatten()[:4].tolist()) if isinstance(value, Tensor) else str(value)
