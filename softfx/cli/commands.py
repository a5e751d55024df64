"""The commands: each takes the parsed arguments, prints its result and returns its exit status."""

from __future__ import annotations

import argparse
import atexit
import sys
from collections.abc import Callable
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import TypeVar, cast

import torch

from softfx import api
from softfx.cli import output
from softfx.cli.files import check_out, write
from softfx.cli.inputs import load_inputs, make_inputs, with_gradients
from softfx.cli.policies import load_policy
from softfx.cli.policy_file import policy_text
from softfx.cli.script import Run, run_script
from softfx.cli.target import Target, check_call, load_target
from softfx.decisions.policy.schema import FAMILIES
from softfx.errors import TargetError
from softfx.locations import Place, handed_over_at
from softfx.patching import Patch
from softfx.plots import pictures
from softfx.plots.curves import curves, operator_of
from softfx.plots.metering import site_gradients
from softfx.report import Report
from softfx.report.baseline import read_baseline, since
from softfx.report.shown import json_text
from softfx.report.terminal import progress
from softfx.report.words import counts_line, plural
from softfx.rules import RULES, find
from softfx.rules.rule import Rule

__all__ = ["COMMANDS", "run"]

FINDINGS = 1

T = TypeVar("T")


def _check(arguments: argparse.Namespace) -> int:
    _check_out(arguments)
    baseline = _baseline(arguments)
    report = _fresh(arguments, run(arguments, api.check), baseline)
    with output.destination(arguments):
        output.print_report(arguments, report)
    return _status(arguments, report)


def _diff(arguments: argparse.Namespace) -> int:
    _check_out(arguments)
    text, report = run(arguments, api.diffed)
    report.target = arguments.target
    if not text.strip():
        output.note(arguments, "no code changes under this policy; `softfx check` says why")
        if arguments.out is None and arguments.format != "html":
            return 0
    with output.destination(arguments):
        output.print_diff(arguments, text, report)
    return 0


def _check_out(arguments: argparse.Namespace) -> None:
    if arguments.out is not None:
        check_out(arguments.out, force=arguments.force)


def _soften(arguments: argparse.Namespace) -> int:
    if arguments.out is not None:
        check_out(arguments.out, _report_beside(arguments.out), force=arguments.force)
    baseline = _baseline(arguments)
    text, report = run(arguments, api.written)
    report.target = arguments.target
    fresh = _fresh(arguments, report, baseline)
    if arguments.out is None:
        output.print_code(arguments, text)
        output.note(arguments, counts_line(report))
        return _status(arguments, fresh)
    beside = _report_beside(arguments.out)
    write(arguments.out, text, arguments.force)
    write(beside, json_text(report.to_dict()) + "\n", arguments.force)
    output.note(arguments, f"wrote {arguments.out} and {beside}")
    output.print_report(arguments, fresh)
    return _status(arguments, fresh)


def _report_beside(out: str) -> str:
    """The file of the report beside the written code."""
    return str(Path(out).with_suffix(".report.json")) if Path(out).name else out


def _plot(arguments: argparse.Namespace) -> int:
    name = arguments.target.partition("(")[0].rpartition(":")[2]
    out = arguments.out if arguments.out is not None else f"{name}.png"
    check_out(out, force=arguments.force)
    if ":" in arguments.target:
        _, passed = run(arguments, site_gradients)
        if not passed:
            output.note(arguments, "no site found: there is nothing to draw")
            return 0
        output.print_gradients(arguments, passed)
        figure = pictures.sites_figure(pictures.plain(arguments.target), passed)
    else:
        operator = operator_of(arguments.target, arguments.method)
        drawn = curves(operator, arguments.modes, arguments.softness, arguments.range)
        figure = pictures.operator_figure(operator, drawn)
    pictures.save(figure, out)
    output.note(arguments, f"wrote {out}")
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    name = arguments.name.removeprefix("@")
    if name in FAMILIES:
        output.print_rules(arguments, _rules_of(name))
        return 0
    try:
        rule = find(name)
    except KeyError as error:
        raise TargetError(f"explain: {error.args[0]}") from error
    output.print_page(arguments, rule)
    return 0


def _rules(arguments: argparse.Namespace) -> int:
    output.print_rules(arguments, _rules_of(arguments.family))
    return 0


def _rules_of(family: str | None) -> list[Rule]:
    rules = (rule for rule in RULES.values() if family in (None, rule.family))
    return sorted(rules, key=lambda rule: rule.code)


def _policy(arguments: argparse.Namespace) -> int:
    _check_out(arguments)
    report = run(arguments, api.check)
    if arguments.action == "show":
        with output.destination(arguments):
            output.print_decisions(arguments, report)
    elif arguments.out is None:
        print(policy_text(report), end="")
    else:
        write(arguments.out, policy_text(report), arguments.force)
        output.note(arguments, f"wrote {arguments.out}, use it with --policy {arguments.out}")
    return 0


def _script(arguments: argparse.Namespace) -> int:
    words = arguments.script[1:] if arguments.script[:1] == ["--"] else arguments.script
    if not words:
        raise TargetError("run: no script is named. Write softfx run --soften package.module:name SCRIPT.py.")
    job = Run(words[0], tuple(arguments.soften), arguments.policy, tuple(arguments.set))
    with ExitStack() as outer:
        stack = ExitStack()
        # In a process of its own, what the script leaves for the end runs softened, too: later calls are made first.
        (atexit.register if arguments.is_process else outer.callback)(stack.close)
        status, patches, workers = run_script(job, words[1:], stack)
        for name, patch in patches.items():
            _note_softened(arguments, name, patch, workers)
    return status


def _note_softened(arguments: argparse.Namespace, name: str, patch: Patch, workers: int) -> None:
    for report in patch.reports:
        output.note(arguments, f"{name}: {counts_line(report)}")
    if not patch.reports:
        where = " in this process" if workers else ""
        output.note(arguments, f"{name} was never called{where}: nothing was softened there")
    if workers:
        output.note(arguments, f"{name} is softened in the {plural(workers, 'spawned worker')}, too")


COMMANDS = {
    "check": _check,
    "diff": _diff,
    "soften": _soften,
    "plot": _plot,
    "explain": _explain,
    "rules": _rules,
    "policy": _policy,
    "run": _script,
}


# -- shared by the commands ---------------------------------------------------------------------------------


def run(arguments: argparse.Namespace, function: Callable[..., T]) -> T:
    """Load the target and its inputs and hand them to one of the functions of the api.

    A model that prints while it is built and run prints to stderr, for stdout is for the result.
    """
    policy = load_policy(arguments.policy, arguments.set)
    with redirect_stdout(sys.stderr), progress(f"loading {arguments.target}"):
        target = load_target(arguments.target, as_function=arguments.function, seed=arguments.seed)
    output.note(arguments, f"taking {target.taken_as}")
    args, kwargs = _inputs(arguments, target)
    check_call(target, args, kwargs)
    if (arguments.train or arguments.eval) and isinstance(target.value, torch.nn.Module):
        target.value.train(arguments.train)
    torch.manual_seed(arguments.seed)
    place = handed_over_at(Place(*target.definition) if target.definition else None)
    with redirect_stdout(sys.stderr), progress(f"capturing {arguments.target}"), place:
        result = function(
            target.value,
            policy,
            example_inputs=args,
            example_kwargs=kwargs,
            capture=arguments.capture,
            allow_unused=arguments.allow_unused,
        )
    if isinstance(result, Report):
        result.target = arguments.target
    return result


def _inputs(arguments: argparse.Namespace, target: Target) -> tuple[tuple[object, ...], dict[str, object]]:
    args, kwargs = make_inputs(arguments.input, arguments.value, arguments.seed)
    if arguments.load is not None:
        loaded, named = load_inputs(arguments.load)
        if loaded and args:
            raise TargetError(
                "inputs: --load and --input both give inputs by position. Use one, or --input NAME=SHAPE."
            )
        args, kwargs = loaded or args, named | kwargs
    if not args and not kwargs and (target.args or target.kwargs):
        return target.args, dict(target.kwargs)
    return cast("tuple[tuple[object, ...], dict[str, object]]", with_gradients((args, kwargs)))


def _baseline(arguments: argparse.Namespace) -> Report | None:
    """The baseline, read before the work begins."""
    return None if arguments.baseline is None else read_baseline(arguments.baseline)


def _fresh(arguments: argparse.Namespace, report: Report, baseline: Report | None) -> Report:
    """The report, without the findings of the baseline if there is one."""
    if baseline is None:
        return report
    fresh = since(report, baseline)
    left_out = len(report.sites) - len(fresh.sites)
    output.note(arguments, f"{plural(left_out, 'site')} as in {arguments.baseline} left out")
    return fresh


def _status(arguments: argparse.Namespace, report: Report) -> int:
    counts = report.counts | {"break": len(report.breaks), "none": 0}
    return FINDINGS if any(counts[kind] for kind in arguments.fail_on) else 0
