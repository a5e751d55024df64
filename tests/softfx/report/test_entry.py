"""The entry that the page offers for a site does what it says: with it the site is decided otherwise."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import softfx
from softfx.report import Report
from softfx.report.entry import entry_for
from softfx.report.record import Site
from softfx.report.words import by_file, turned_lines
from softfx.rules import RULES

X = torch.tensor([0.3, -1.2, 0.8, 2.0], requires_grad=True)


def rounded(x: Tensor) -> Tensor:
    return x.round()


def clamped(x: Tensor) -> Tensor:
    return x.clamp(0.0, 1.0)


def rooted(x: Tensor) -> Tensor:
    return (x * x + 1).sqrt()


def counted(x: Tensor) -> Tensor:
    return torch.linalg.eigh(torch.outer((x > 0).long(), x.argsort()).float())[0] * x.unique().numel()


def under_no_grad(x: Tensor) -> Tensor:
    with torch.no_grad():
        mask = (x > 0).float()
    return mask * x


def detached(x: Tensor) -> Tensor:
    return x + (x.round() - x).detach()


def detached_before(x: Tensor) -> Tensor:
    return x * (x.detach() > 0).float()


def returned(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.argmax(), x


def selected(x: Tensor) -> Tensor:
    return x[(x > 0).nonzero()[:, 0]]


def unused(x: Tensor) -> Tensor:
    order = x.argsort()
    return x * 2 + 0 * len(order)


def branched(x: Tensor) -> Tensor:
    return x * 3 if x.sum() > 0.5 else x.exp()


def read(x: Tensor) -> Tensor:
    return x * int(x.argmax()) + x.argmin().item()


def read_real(x: Tensor) -> Tensor:
    return x * (x.abs().sum() + x.round().sum()).item()


def decided(report: Report) -> dict[tuple[str, int], tuple[str, str]]:
    return {(site.op, site.line): (site.action, site.reason) for site in report.sites}


PROGRAMS = (
    rounded,
    clamped,
    rooted,
    counted,
    under_no_grad,
    detached,
    detached_before,
    returned,
    selected,
    unused,
    branched,
    read,
    read_real,
)


@pytest.mark.parametrize("policy", ["gradients", "smooth", "keep"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_entry_changes_the_decision(program: Callable[[Tensor], Tensor], policy: str, tmp_path: Path) -> None:
    report = softfx.check(program, policy, example_inputs=(X,))
    before = decided(report)
    assert before
    for group in (group for groups in by_file(report.sites).values() for group in groups):
        entry = entry_for(group.sites, True)
        if not entry:
            continue
        path = tmp_path / "policy.toml"
        path.write_text(f'preset = "{policy}"\n{entry}')
        after = decided(softfx.check(program, path, example_inputs=(X,)))
        changed = {key for key in after.keys() | before.keys() if after.get(key) != before.get(key)}
        control = {key for key in changed if RULES[key[0]].family == "control" and after[key][0] == "straight_through"}
        assert control if "@control" in entry else (group.first.op, group.first.line) in changed, entry


def test_what_no_entry_changes_has_none() -> None:
    (site,) = softfx.check(unused, example_inputs=(X,)).sites
    assert (site.action, entry_for([site], True)) == ("keep", "")
    for entry in ("op = 'argsort'\naction = 'straight_through'", "op = '*'\nlift_detach = true\nlift_no_grad = true"):
        (again,) = softfx.check(unused, {"rule": [tomllib.loads(entry)]}, example_inputs=(X,)).sites
        assert again.action == "keep"


def test_what_is_turned_already_is_not_offered_again() -> None:
    report = softfx.check(branched, {"rule": [{"op": "branch", "action": "straight_through"}]}, example_inputs=(X,))
    (site,) = [site for site in report.sites if site.op == "gt"]
    assert "@control" in entry_for([site], True)
    assert entry_for([site], True, turned_lines(report.sites)) == ""
    assert 'name op = "branch" in a policy' not in str(report)
    assert 'name op = "branch" in a policy' in str(softfx.check(branched, example_inputs=(X,)))


def test_modules_are_named_where_others_share_the_line() -> None:
    sites = [Site(i, "SX201", "argmax", f"gate[{i}]", "/pkg/r.py", 7, "", "discrete", "soft") for i in range(2)]
    assert "module" not in entry_for(sites, True)
    assert 'module = ["gate[[]0]", "gate[[]1]"]' in entry_for(sites, False)
