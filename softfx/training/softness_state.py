"""`softness_state` and `load_softness_state`: the softness of every site as plain data, beside a model's state_dict.

The softness is state of a training run, and no entry of `soft.state_dict()`, whose keys are the original's.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from softfx.decisions.site import Decision, Softness
from softfx.errors import PolicyError, brief, listed
from softfx.pipeline.softened import softened
from softfx.rules.spread import Spread
from softfx.training.softness import is_softness

__all__ = ["load_softness_state", "softness_parameters", "softness_state"]

_VERSION = 1
_KEYS = {"op", "module", "file", "line", "position", "softness", "relative"}
_TURNS = "turns"  # further spreads, of sites each of whose turns in a loop has one


def softness_state(soft: object) -> dict[str, Any]:
    """The softness of every site that acts, as plain numbers, strings and lists.

    Args:
        soft: the module or function that `soften` returned.

    Returns:
        A dict for `load_softness_state`, which JSON and `torch.load(weights_only=True)` take. A learned softness is in
        it by its value.

    Raises:
        TypeError: `soft` was not softened.

    Source: the decisions at this moment, those about sites met since `soften` included.

    >>> import torch, softfx
    >>> soft = softfx.soften(torch.sign, "smooth", example_inputs=(torch.zeros(3),))
    >>> softfx.set_softness(soft, 0.02)
    >>> again = softfx.soften(torch.sign, "smooth", example_inputs=(torch.zeros(3),))
    >>> softfx.load_softness_state(again, softfx.softness_state(soft))
    >>> again.report.sites[0].softness
    0.02
    """
    sites = softened(soft, "softness_state").sites
    return {"version": _VERSION, "sites": [_saved(decision) for decision in sites if decision.acts]}


def load_softness_state(soft: object, state: Mapping[str, Any], strict: bool = True) -> None:
    """Give each site the softness that `softness_state` saved.

    A site is found by its operation, module, file and line; where the file was edited since, by its order among those
    of the same operation in the same module. A tensor that is a site's softness now, learned or not, is filled in
    place, so that optimizers and schedules that hold it go on with it.

    Args:
        soft: what `soften` returned for the same target under the same policy.
        state: what `softness_state` returned.
        strict: refuse a state some of whose sites the target has not, or has not met yet; else these are left out.

    Raises:
        PolicyError: no such state, or that of another target: sites of one that the other has not. Nothing is changed.
        TypeError: `soft` was not softened.

    Source: as for `softness_state`, whose example loads a state.
    """
    sites = softened(soft, "load_softness_state").sites
    pairs = _paired([decision for decision in sites if decision.acts], _read(state), strict)
    for decision, saved in pairs:
        softness, relative = saved["softness"], saved["relative"]
        value = torch.tensor(softness) if isinstance(softness, list) else softness
        if isinstance(decision.softness, Tensor) and relative is None:
            with torch.no_grad():
                decision.softness.copy_(torch.as_tensor(value))
        else:
            sites.replace(_restored(decision, value, relative, tuple(saved.get(_TURNS, ()))))


def _restored(decision: Decision, softness: Softness, relative: float | None, turns: tuple[float, ...]) -> Decision:
    """The decision with a softness that was saved, and the spread behind it where that was relative to the data."""
    decision = replace(decision, softness=softness, relative=relative)
    if relative is None or not decision.is_measured:
        return decision
    of = decision.spread.of if decision.spread is not None else f"the data, of {decision.rule.name}"
    return decision.measured(Spread(softness / relative, of, turns))


def softness_parameters(soft: object) -> list[Tensor]:
    """The tensors that require gradients and are the softness of a site, each once: what an optimizer has to be given.

    `soft.parameters()` are the original's. A softness becomes learnable by `set_softness(soft, Parameter)`.

    Args:
        soft: the module or function that `soften` returned.

    Returns:
        Tensors without axes.

    Raises:
        TypeError: `soft` was not softened.

    Source: the decisions at this moment.

    >>> import torch, softfx
    >>> soft = softfx.soften(torch.sign, "smooth", example_inputs=(torch.zeros(3),))
    >>> softfx.set_softness(soft, torch.nn.Parameter(torch.tensor(0.5)))
    >>> optimizer = torch.optim.SGD(softfx.softness_parameters(soft), lr=0.1)
    >>> soft(torch.ones(3)).sum().backward()
    >>> optimizer.step()
    >>> soft.report.sites[0].softness > 0.5
    True
    """
    softnesses = (decision.softness for decision in softened(soft, "softness_parameters").sites if decision.acts)
    learned = {id(each): each for each in softnesses if isinstance(each, Tensor) and each.requires_grad}
    return list(learned.values())


def _saved(decision: Decision) -> dict[str, Any]:
    softness = decision.softness
    turns = {_TURNS: list(decision.spread.turns)} if decision.has_turns and decision.spread is not None else {}
    return {
        **turns,
        "op": decision.rule.name,
        "module": decision.location.module,
        "file": os.path.basename(decision.location.file),
        "line": decision.location.line,
        "position": list(decision.location.position),
        "softness": softness.detach().tolist() if isinstance(softness, Tensor) else softness,
        "relative": decision.relative,
    }


def _read(state: object) -> list[dict[str, Any]]:
    """The sites of a state, once it is known to be one."""
    sites = state.get("sites") if isinstance(state, Mapping) and state.get("version") == _VERSION else None
    if not isinstance(sites, list) or not all(
        isinstance(site, dict) and site.keys() - {_TURNS} == _KEYS for site in sites
    ):
        raise PolicyError(
            f"load_softness_state: {brief(state)} is no state of softness. Legal is what softfx.softness_state gave."
        )
    for site in sites:
        numbers = [*_numbers(site["softness"]), *_numbers(site.get(_TURNS, []))]
        relative = [] if site["relative"] is None else [site["relative"]]
        if wrong := [number for number in (*numbers, *relative) if not is_softness(number)]:
            raise PolicyError(
                f"load_softness_state: {brief(wrong[0])} of {site['op']} is no softness. Legal is a number above 0. "
                "Load what softfx.softness_state returned."
            )
    return sites


def _numbers(softness: object) -> Iterable[object]:
    """The numbers of a softness: itself, or one for each threshold in nested lists."""
    if not isinstance(softness, list):
        return [softness]
    return [number for part in softness for number in _numbers(part)]


def _paired(
    decisions: list[Decision], saved: list[dict[str, Any]], strict: bool
) -> list[tuple[Decision, dict[str, Any]]]:
    """Each site with what was saved of it: by its place, and where that moved by its order in its module."""
    present = [(decision, _saved(decision)) for decision in decisions]
    by_place = {_place(each): each for each in saved}
    pairs = [(decision, by_place.pop(_place(each))) for decision, each in present if _place(each) in by_place]
    found = {decision.id for decision, _ in pairs}
    moved, kept = _grouped(by_place.values()), defaultdict(list)
    for decision, each in present:
        if decision.id not in found:
            kept[each["module"], each["op"]].append((decision, each))
    different = {key for key in {*moved, *kept} if len(moved.get(key, ())) != len(kept.get(key, ()))}
    if different and strict:
        names = listed(sorted(f"{op} in {module}" if module else op for module, op in different))
        raise PolicyError(
            f"load_softness_state: the sites of the state and of the target differ: {names}. A state fits what was "
            "softened of the same target under the same policy. Run it once before, if calls meet further sites, or "
            "leave out what differs by strict=False."
        )
    for key in kept.keys() - different:
        entries = kept[key]
        in_order = sorted(entries, key=lambda entry: _order(entry[1]))
        pairs += [(decision, each) for (decision, _), each in zip(in_order, moved[key], strict=True)]
    return pairs


def _grouped(saved: Iterable[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for each in sorted(saved, key=_order):
        groups[each["module"], each["op"]].append(each)
    return groups


def _order(saved: dict[str, Any]) -> tuple[str, int, list[int]]:
    return saved["file"], saved["line"], saved["position"]


def _place(saved: dict[str, Any]) -> tuple[object, ...]:
    return saved["module"], saved["op"], saved["file"], saved["line"], tuple(saved["position"])
