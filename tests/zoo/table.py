"""softfx/docs/zoo.md, from a real run: what softfx finds in each model of the zoo, and what it does about it.

    python -m tests.zoo.table [--only NAME,...] [--zoo PATH] [--timeout 300] [--out softfx/docs/zoo.md]

Each entry goes through every column of run_zoo.py, and once more through `soften`, for its report and the leaves that
gain a gradient. Entries whose package is missing are left out and named.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

import softfx
from tests.zoo.test_zoo import load

__all__ = ["Row", "page", "row"]

_PACKAGES = "site-packages/"
LIFTED = {"preset": "straight-through", "default": {"lift_no_grad": True}}
ATTACHED = "lifted"
# Entries whose results cannot depend differentiably on their inputs, and why that is so.
DEAD = {
    "vmas_env_reward": "the reward is the way that packages move, and its inputs push agents that touch none: "
    "vmas/simulator/core.py asks in Python whether two bodies are near, and computes no force if they are not. "
    "On these inputs the reward is exactly 0 and stays so around them.",
}
_COUNTED = ("soft", "straight_through", "keep", "blocked")


@dataclass
class Row:
    """What is known of one entry."""

    name: str
    failed: list[str] = field(default_factory=list)  # columns of run_zoo.py that do not hold
    counts: dict[str, int] = field(default_factory=dict)  # of the straight-through policy
    softened: int = 0  # sites made soft by a soft policy
    blocked: list[str] = field(default_factory=list)
    kept: Counter[str] = field(default_factory=Counter)  # why sites are kept, and how many
    gained: int = 0
    lifted: int = 0  # leaves that gain a gradient where the program's no_grad blocks are lifted as well
    attached: int = 0  # and where its detachments are lifted as well
    dead: bool = False  # it has float results, and no leaf gets a gradient from them in the original


def row(script: ModuleType, zoo: ModuleType, name: str, expected: dict[str, Any]) -> Row:
    """One entry, run."""
    columns = script.check(zoo, name, expected)
    result = Row(name, [c for c in script.COLUMNS if not str(columns[c]).startswith("ok")])
    before, floats = _gradients(script, zoo, name, None)
    after, report = _gradients(script, zoo, name, "straight-through")
    result.counts = report.counts
    result.blocked = [_told(site) for site in report.sites if site.action == "blocked"]
    result.kept = Counter(_kind(site.reason) for site in report.sites if site.action == "keep")
    result.gained = _gained(script, before, after)
    result.dead = floats and not any(script.alive(gradient) for gradient in before)
    result.lifted = _gained(script, before, _gradients(script, zoo, name, LIFTED)[0]) if result.dead else result.gained
    result.attached = result.lifted
    if result.dead and not result.lifted:
        result.attached = _gained(script, before, _gradients(script, zoo, name, ATTACHED)[0])
    _, report = _gradients(script, zoo, name, script.SOFT(0.1))
    result.softened = report.counts["soft"]
    return result


def _gradients(script: ModuleType, zoo: ModuleType, name: str, policy: Any) -> tuple[list[Any], Any]:
    """The gradients of an entry's leaves under a policy, and the report; None: as it is, and if it gives floats."""
    script.seed()
    function, args, kwargs = zoo.build(name)
    leaves = script.leaves(function, args, kwargs)
    if policy is None:
        results, gradients = script.run(function, args, kwargs, leaves)
        return gradients, any(result.is_floating_point() for result in results)
    soft = softfx.soften(function, policy, example_inputs=args, example_kwargs=kwargs)
    return script.run(soft, args, kwargs, leaves)[1], soft.report


def _gained(script: ModuleType, before: list[Any], after: list[Any]) -> int:
    return sum(script.alive(b) and not script.alive(a) for a, b in zip(before, after, strict=True))


def _kind(reason: str) -> str:
    """A reason without its places."""
    return reason.partition(":")[0].partition(" (")[0].partition(",")[0].partition(";")[0]


def _told(site: Any) -> str:
    return f"`{site.op}` {_short(site.file)}:{site.line}: {_short(site.reason)}"


def _short(text: str) -> str:
    """File names from the package on: where things are installed is nobody's business."""
    parts = text.split(" (")
    return " (".join(part.rpartition(_PACKAGES)[2] if _PACKAGES in part else _own(part) for part in parts)


def _own(text: str) -> str:
    return text.rpartition("/")[2] if text.startswith("/") else text


def page(rows: list[Row], missing: list[str]) -> str:
    """The whole document."""
    total: Counter[str] = Counter()
    for entry in rows:
        total.update(entry.counts)
    dead = [entry for entry in rows if entry.dead]
    share = total["blocked"] / max(total["found"], 1)
    lines = [
        "# Real models through softfx",
        "",
        "Generated by `python -m tests.zoo.table` from a run of every entry of tests/zoo/zoo.py; not edited by hand.",
        "",
        f"- {sum(not entry.failed for entry in rows)} of {len(rows)} entries hold every column of run_zoo.py.",
        f"- {total['blocked']} of {total['found']} sites are blocked ({share:.1%}).",
        f"- {len(dead)} entries have float results without any gradient in the original. "
        f"{sum(e.gained > 0 for e in dead)} of them have one afterwards, {sum(e.lifted > 0 for e in dead)} where the "
        "policy lifts the program's own no_grad blocks as well (lift_no_grad = true), "
        f'{sum(e.attached > 0 for e in dead)} under the preset "lifted", which lifts its detachments too.',
        f"- {sum(entry.gained for entry in rows)} leaves (parameters and float inputs) gain a gradient, "
        f"{sum(entry.lifted for entry in rows)} with no_grad lifted.",
        *([f"- Left out, their packages were missing: {', '.join(missing)}."] if missing else []),
        "",
        'Sites, straight-through, kept and blocked are those of the preset "straight-through"; soft are the sites that '
        "a soft policy for the discrete family relaxes. Leaves gained: with no_grad blocks kept, and lifted.",
        "",
        "| entry | sites | soft | straight-through | guard | kept | blocked | leaves gained | lifted | had none |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_line(entry) for entry in rows),
        "",
        "Had none: entries that have float results and no gradient at all in the original.",
        "",
        *_remarks(dead),
        "## Kept, and why",
        "",
        *(f"- {entry.name}: {_reasons(entry.kept)}" for entry in rows if entry.kept),
        "",
        "## Blocked, and why",
        "",
        *(f"- {entry.name}: {reason}" for entry in rows for reason in entry.blocked),
        "",
    ]
    failed = [f"- {entry.name}: {', '.join(entry.failed)}" for entry in rows if entry.failed]
    return "\n".join([*lines, *(["## Columns that do not hold", "", *failed, ""] if failed else [])])


def _line(entry: Row) -> str:
    c = entry.counts
    cells = (entry.name, c["found"], entry.softened, c["straight_through"], c["guard"], c["keep"], c["blocked"])
    ends = (f"+{entry.gained}", f"+{entry.lifted}", "yes" if entry.dead else "")
    return "| " + " | ".join(str(cell) for cell in (*cells, *ends)) + " |"


def _remarks(dead: list[Row]) -> list[str]:
    """Of the entries without any gradient, those that do not gain one from straight-through alone."""
    told = []
    for entry in dead:
        if entry.attached > entry.lifted:
            told.append(f'- {entry.name}: the program detaches its inputs; {entry.attached} leaves under "lifted".')
        elif not entry.lifted:
            told.append(f"- {entry.name}, none: {DEAD.get(entry.name, 'See its kept sites below.')}")
        elif not entry.gained:
            told.append(f"- {entry.name}: the program computes in a no_grad block; {entry.lifted} with lift_no_grad.")
    return ["## Without a gradient until the policy says more", "", *told, ""] if told else []


def _reasons(kept: Counter[str]) -> str:
    return "; ".join(f"{count} {reason}" for reason, count in kept.most_common())


def _rows(script: ModuleType, zoo: ModuleType, names: list[str], timeout: int) -> tuple[list[Row], list[str]]:
    lines = Path(str(zoo.__file__)).with_name("expected.json")
    expected = json.loads(lines.read_text()) if lines.exists() else {}
    rows, missing = [], []

    def late(*_: object) -> None:
        raise script.Late

    signal.signal(signal.SIGALRM, late)
    for name in names:
        if not zoo.installed(zoo.ZOO[name].package):
            missing.append(name)
            continue
        signal.alarm(timeout)
        try:
            torch._dynamo.reset()
            rows.append(row(script, zoo, name, expected))
        except script.Late:
            print(f"{name}: no answer in {timeout} s", file=sys.stderr)
            rows.append(Row(name, list(script.COLUMNS), dict.fromkeys((*_COUNTED, "guard", "found"), 0)))
        finally:
            signal.alarm(0)
        print(name, rows[-1].counts, rows[-1].failed, file=sys.stderr, flush=True)
    return rows, missing


def main() -> None:
    """Run the entries and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="entries, comma-separated")
    parser.add_argument("--zoo", type=Path, help="another file in the form of zoo.py, expected.json beside it")
    parser.add_argument("--timeout", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("softfx/docs/zoo.md"))
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    script, zoo = load("run_zoo"), load("zoo", options.zoo)
    names = options.only.split(",") if options.only else list(zoo.ZOO)
    rows, missing = _rows(script, zoo, names, options.timeout)
    options.out.write_text(page(rows, missing))


if __name__ == "__main__":
    main()
