"""The commands: each takes the parsed arguments, prints its result and returns its exit status."""

from __future__ import annotations

import argparse
import atexit
import sys
from contextlib import ExitStack, chdir
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from softfx import api
from softfx.cli import failures, light, measuring, output
from softfx.cli.arguments import DEFAULT_FAIL_ON, make_parser
from softfx.cli.files import check_out, write
from softfx.cli.formats import note
from softfx.cli.init import Candidate, append, candidates, has_table, table_text, target_text
from softfx.cli.on_target import check_out_of, run
from softfx.cli.policy_file import policy_text
from softfx.cli.project import FILE as PROJECT_FILE
from softfx.cli.project import Project, check_all, chosen, find_project
from softfx.cli.project_report import status_of
from softfx.cli.script import Run, run_script
from softfx.cli.target import name_in
from softfx.errors import TargetError, did_you_mean, listed
from softfx.patching import Patch
from softfx.plots import pictures
from softfx.plots.curves import Curve, curves, operator_of
from softfx.plots.metering import site_gradients
from softfx.plots.objectives import objectives
from softfx.report import Report
from softfx.report.baseline import read_baseline, read_baselines, since
from softfx.report.shown import json_text
from softfx.report.words import counts_line, plural
from softfx.visible import visible

__all__ = ["COMMANDS"]

FINDINGS = 1


def _check(arguments: argparse.Namespace) -> int:
    check_out_of(arguments)
    project = _project_of(arguments)
    if project is not None:
        return _check_project(arguments, project)
    baseline = _baseline(arguments)
    report = _fresh(arguments, run(arguments, api.check), baseline)
    moved = [] if arguments.lock is None else measuring.moved(arguments)
    with output.destination(arguments):
        output.print_report(arguments, report)
    for line in moved:
        print(f"softfx: moved since {arguments.lock}: {visible(line)}", file=sys.stderr)
    if arguments.lock is not None and not moved:
        note(arguments, f"gradients as in {arguments.lock}")
    return FINDINGS if moved else _status(arguments, report)


def _project_of(arguments: argparse.Namespace) -> Project | None:
    """The project whose targets are asked for: all of them, or the one of that name."""
    name = arguments.target
    if name is not None and (":" in name or "(" in name):
        return None
    project = find_project(Path.cwd())
    if project is None and name is None:
        raise TargetError(
            "check: no target is named, and no pyproject.toml from here upwards has a [tool.softfx]. "
            "Write softfx check TARGET, or softfx init."
        )
    names = [job.name for job in project.jobs] if project is not None else []
    if project is None or (name is not None and name not in names):
        if project is not None and name is not None:
            near = did_you_mean(name, names)
            note(arguments, f"[tool.softfx] has no target {name!r}.{near} It has: {listed(names)}.")
        return None
    return project if name is None else chosen(project, [name])


def _check_project(arguments: argparse.Namespace, project: Project) -> int:
    """Every target of a project: its report, one summary, one exit status."""
    _refuse_settings_of_a_target(arguments)
    with chdir(project.folder):
        known = read_baselines(path) if (path := arguments.baseline or project.baseline) else {}

    def message(error: Exception, target: str) -> str:
        return failures.message(error, target, arguments.traceback)

    processes = arguments.jobs or project.processes
    outcomes = check_all(project, make_parser(), lambda one: run(one, api.check), message, processes)
    fresh = []
    for outcome in outcomes:
        before = known.get(outcome.job.name)
        if outcome.report is not None and before is not None:
            outcome = replace(outcome, report=since(outcome.report, before))
        if arguments.fail_on != DEFAULT_FAIL_ON:
            outcome = replace(outcome, fail_on=arguments.fail_on)
        fresh.append(outcome)
    left_out = sum(outcome.report.known for outcome in fresh if outcome.report is not None)
    if known:
        note(arguments, f"{plural(left_out, 'site')} as in {arguments.baseline or project.baseline} left out")
    with chdir(project.folder):
        output.print_project(arguments, fresh)
    return max(status_of(outcome) for outcome in fresh)


_OF_A_TARGET = ("input", "value", "load", "function", "train", "eval", "policy", "set", "allow_unused", "lock")


def _refuse_settings_of_a_target(arguments: argparse.Namespace) -> None:
    given = [f"--{key.replace('_', '-')}" for key in _OF_A_TARGET if getattr(arguments, key)]
    if given:
        raise TargetError(
            f"check: {', '.join(given)} is for one target, and a project's targets have their own in [tool.softfx]. "
            "Name a target as module:name, or write the setting there."
        )


def _init(arguments: argparse.Namespace) -> int:
    path = Path(PROJECT_FILE)
    begun = has_table(path)
    if begun and arguments.target is None:
        raise TargetError(
            f"init: {path} has a [tool.softfx] already. Edit it, or name a target to add: softfx init TARGET --input "
            "SHAPE."
        )
    found: list[Candidate] = []
    if arguments.target is not None:
        note(arguments, counts_line(run(arguments, api.check)))
    else:
        found = candidates(Path.cwd())
    append(path, target_text(arguments) if begun else table_text(arguments, found))
    whole = sum(each.is_ready for each in found) + (arguments.target is not None)
    note(arguments, f"added to {path}" if begun else f"wrote [tool.softfx] to {path} with {plural(whole, 'target')}")
    if whole < len(found):
        note(
            arguments,
            f"{len(found) - whole} more as comments: write what they are built with, and the shapes of their inputs",
        )
    note(arguments, "`softfx check` checks them all" if whole else "add a target, then `softfx check` checks it")
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    check_out_of(arguments)
    text, report = run(arguments, api.diffed)
    report.target = arguments.target
    if not text.strip():
        note(arguments, "no code changes under this policy; `softfx check` says why")
        if arguments.out is None and arguments.format != "html":
            return 0
    with output.destination(arguments):
        output.print_diff(arguments, text, report)
    return 0


def _soften(arguments: argparse.Namespace) -> int:
    if arguments.out is not None:
        check_out(arguments.out, _report_beside(arguments.out), force=arguments.force)
    baseline = _baseline(arguments)
    text, report = run(arguments, partial(api.written, own_arguments=True))
    report.target = arguments.target
    fresh = _fresh(arguments, report, baseline)
    if arguments.out is None:
        output.print_code(arguments, text)
        note(arguments, counts_line(report))
        return _status(arguments, fresh)
    beside = _report_beside(arguments.out)
    write(arguments.out, text, arguments.force)
    write(beside, json_text(report.to_dict()) + "\n", arguments.force)
    note(arguments, f"wrote {arguments.out} and {beside}")
    output.print_report(arguments, fresh)
    return _status(arguments, fresh)


def _report_beside(out: str) -> str:
    """The file of the report beside the written code."""
    return str(Path(out).with_suffix(".report.json")) if Path(out).name else out


def _plot(arguments: argparse.Namespace) -> int:
    name = name_in(arguments.target) or arguments.target
    out = arguments.out if arguments.out is not None else f"{name}.png"
    check_out(out, force=arguments.force)
    if arguments.objective:
        figure = pictures.objective_figure(arguments.target, _objectives(arguments))
    elif ":" in arguments.target:
        _, passed = run(arguments, site_gradients)
        if not passed:
            note(arguments, "no site found: there is nothing to draw")
            return 0
        output.print_gradients(arguments, passed)
        figure = pictures.sites_figure(pictures.plain(arguments.target), passed)
    else:
        operator = operator_of(arguments.target, arguments.method)
        drawn = curves(operator, arguments.modes, arguments.softness, arguments.range)
        figure = pictures.operator_figure(operator, drawn)
    pictures.save(figure, out)
    note(arguments, f"wrote {out}")
    return 0


def _objectives(arguments: argparse.Namespace) -> list[Curve]:
    """The curves of a target of one number, which --range gives it."""
    given = [name for name in ("input", "value", "load", "policy", "set") if getattr(arguments, name)]
    if given:
        raise TargetError(
            f"plot: --objective gives the target its input from --range and smooths control flow alone, so that "
            f"--{given[0]} has no place. Leave it out."
        )

    def draw(target: Any, policy: object, *, capture: api.Capture, allow_unused: bool) -> list[Curve]:
        return objectives(target, softnesses=arguments.softness, span=arguments.range, capture=capture)

    return run(arguments, draw, takes_inputs=False)


def _policy(arguments: argparse.Namespace) -> int:
    check_out_of(arguments)
    report = run(arguments, api.check)
    if arguments.action == "show":
        with output.destination(arguments):
            output.print_decisions(arguments, report)
    elif arguments.out is None:
        print(policy_text(report), end="")
    else:
        write(arguments.out, policy_text(report), arguments.force)
        note(arguments, f"wrote {arguments.out}, use it with --policy {arguments.out}")
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
        note(arguments, f"{name}: {counts_line(report)}")
    if not patch.reports:
        where = " in this process" if workers else ""
        note(arguments, f"{name} was never called{where}: nothing was softened there")
    if workers:
        note(arguments, f"{name} is softened in the {plural(workers, 'spawned worker')}, too")


COMMANDS = {
    "check": _check,
    "diff": _diff,
    "soften": _soften,
    "plot": _plot,
    "audit": measuring.audit_command,
    "calibrate": measuring.calibrate_command,
    "lock": measuring.lock_command,
    "policy": _policy,
    "run": _script,
    "init": _init,
    **light.COMMANDS,
}


# -- shared by the commands ---------------------------------------------------------------------------------


def _baseline(arguments: argparse.Namespace) -> Report | None:
    """The baseline, read before the work begins."""
    return None if arguments.baseline is None else read_baseline(arguments.baseline)


def _fresh(arguments: argparse.Namespace, report: Report, baseline: Report | None) -> Report:
    """The report, without the findings of the baseline if there is one."""
    if baseline is None:
        return report
    fresh = since(report, baseline)
    left_out = len(report.sites) - len(fresh.sites)
    note(arguments, f"{plural(left_out, 'site')} as in {arguments.baseline} left out")
    return fresh


def _status(arguments: argparse.Namespace, report: Report) -> int:
    counts = report.counts | {"break": len(report.breaks), "none": 0}
    return FINDINGS if any(counts[kind] for kind in arguments.fail_on) else 0
