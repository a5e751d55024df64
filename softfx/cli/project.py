"""`[tool.softfx]` of a pyproject.toml: the targets of a project, checked by one `softfx check` with one exit status.

A target's settings are the words that one would give on the command line, so that both mean the same; paths are taken
from the folder of the pyproject.toml. To add a setting, name it in `_SETTINGS`.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softfx.cli.project_processes import Processes
from softfx.errors import TargetError, brief, did_you_mean, listed
from softfx.report import Report

__all__ = ["FILE", "Job", "Outcome", "Project", "check_all", "chosen", "find_project"]

FILE = "pyproject.toml"
# Settings of a target, and the types that they may have; those of a project stand for targets that have none.
_SETTINGS: Mapping[str, tuple[type, ...]] = {
    "input": (list, str),
    "value": (dict, list),
    "load": (str,),
    "seed": (int,),
    "function": (bool,),
    "train": (bool,),
    "eval": (bool,),
    "capture": (str,),
    "policy": (str,),
    "set": (list, str),
    "allow-unused": (bool,),
    "fail-on": (list, str),
}
_OF_TARGETS: Mapping[str, tuple[type, ...]] = {"target": (str,), "name": (str,), **_SETTINGS}
_OF_PROJECTS: Mapping[str, tuple[type, ...]] = {
    "target": (list,),
    "baseline": (str,),
    "jobs": (int,),
    **{key: _SETTINGS[key] for key in ("seed", "capture", "policy", "set", "allow-unused", "fail-on")},
}
_TOML_WORDS = {list: "a list", str: "a text", dict: "a table", int: "a whole number", bool: "true or false"}


@dataclass(frozen=True)
class Job:
    """One target of a project: its name, and the words of `softfx check` for it."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Project:
    """The `[tool.softfx]` of a project."""

    folder: Path
    jobs: tuple[Job, ...]
    baseline: str | None
    processes: int


@dataclass(frozen=True)
class Outcome:
    """What came of one target: its report, or the message of what went wrong."""

    job: Job
    report: Report | None
    fail_on: tuple[str, ...] = ()
    error: str = ""


def find_project(start: Path) -> Project | None:
    """The project that a folder is in: of the nearest pyproject.toml above it that has a `[tool.softfx]`.

    Raises:
        TargetError: one with mistakes; all of them at once.
    """
    for folder in (start, *start.parents):
        path = folder / FILE
        if path.is_file():
            try:
                data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
            except (OSError, ValueError, RecursionError) as error:
                raise TargetError(f"{path}: it cannot be read: {error}. Correct it.") from error
            table = data.get("tool", {}).get("softfx")
            if table is not None:
                return _project(folder, table)
    return None


def _project(folder: Path, table: Any) -> Project:
    if not isinstance(table, dict):
        raise TargetError(f"{FILE}: tool.softfx is {brief(table)}. It is a table: write [tool.softfx].")
    mistakes = list(_mistakes("[tool.softfx]", table, _OF_PROJECTS))
    targets = table.get("target", [])
    targets = targets if isinstance(targets, list) else []
    for number, target in enumerate(targets, 1):
        where = f"[[tool.softfx.target]] {number}"
        if not isinstance(target, dict):
            mistakes.append(f"{where} is {brief(target)}. It is a table with a target and its inputs.")
            continue
        mistakes += _mistakes(where, target, _OF_TARGETS)
        if "target" not in target:
            mistakes.append(f"{where} has no target. Write target = 'package.module:name'.")
    names = [str(target.get("name", target.get("target"))) for target in targets if isinstance(target, dict)]
    twice = dict.fromkeys(name for name in names if names.count(name) > 1)
    mistakes += [f"two targets have the name {name!r}. Give each a name." for name in twice]
    if not targets:
        mistakes.append("it has no [[tool.softfx.target]]. Write one, or name a target: softfx check TARGET.")
    if mistakes:
        raise TargetError("\n".join(f"{folder / FILE}: {mistake}" for mistake in mistakes))
    shared = {key: value for key, value in table.items() if key in _SETTINGS}
    jobs = tuple(Job(name, _words({**shared, **target})) for name, target in zip(names, targets, strict=True))
    return Project(folder, jobs, table.get("baseline"), max(int(table.get("jobs", 1)), 1))


def _mistakes(where: str, table: Mapping[str, object], known: Mapping[str, tuple[type, ...]]) -> list[str]:
    found = []
    for key, value in table.items():
        if key not in known:
            found.append(f"{where}: unknown key {key!r}.{did_you_mean(key, known)} Legal: {listed(known, 20)}.")
        elif type(value) not in known[key]:
            legal = " or ".join(_TOML_WORDS[kind] for kind in known[key])
            found.append(f"{where}: {key} = {brief(value)} is not {legal}. Write it so.")
    return found


def _words(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The words of `softfx check` that mean these settings."""
    words: list[str] = []
    for key, value in settings.items():
        if key == "fail-on" and isinstance(value, list):
            value = ",".join(map(str, value))
        if key == "value" and isinstance(value, dict):
            value = [f"{name}={item!r}" for name, item in value.items()]
        if isinstance(value, bool):
            words += [f"--{key}"] if value else []
        elif key not in ("target", "name"):
            words += [f"--{key}={item}" for item in (value if isinstance(value, list) else [value])]
    return (str(settings["target"]), *words)


# -- checking ------------------------------------------------------------------------------------------------


def check_all(
    project: Project, parser: argparse.ArgumentParser, check: Callable[[argparse.Namespace], Report],
    message: Callable[[Exception, str], str], processes: int,
) -> list[Outcome]:  # fmt: skip
    """The outcome of every target, in order.

    Args:
        parser: the parser of the command line, which the words of each target go through before anything runs.
        check: gives the report of one target in this process.
        message: turns what it raises into a message, given the target.
        processes: with more than one, so many processes check the targets between them.
    """
    parsed = [_parsed(parser, job) for job in project.jobs]
    if processes > 1:
        with Processes(project.folder) as running, ThreadPoolExecutor(processes) as pool:
            pairs = zip(project.jobs, parsed, strict=True)
            return list(pool.map(lambda pair: _in_process(running, *pair), pairs))
    with chdir(project.folder):
        return [_here(job, arguments, check, message) for job, arguments in zip(project.jobs, parsed, strict=True)]


def _parsed(parser: argparse.ArgumentParser, job: Job) -> argparse.Namespace:
    try:
        return parser.parse_args(["check", "--quiet", *job.words])
    except SystemExit as error:  # argparse has said what is wrong
        raise TargetError(
            f"{FILE}: the settings of target {job.name!r} are not those of `softfx check`: see above. Correct them."
        ) from error


def _here(
    job: Job, arguments: argparse.Namespace, check: Callable[[argparse.Namespace], Report],
    message: Callable[[Exception, str], str],
) -> Outcome:  # fmt: skip
    try:
        return Outcome(job, check(arguments), arguments.fail_on)
    except Exception as error:  # one target that cannot be checked does not hide the others
        return Outcome(job, None, error=message(error, job.words[0]))


def _in_process(running: Processes, job: Job, arguments: argparse.Namespace) -> Outcome:
    answer = running.answer(["check", *job.words, "--quiet", "--format=json", "--fail-on=none"])
    if answer.status != 0:
        said = answer.err.strip().splitlines() or [f"the process ended with status {answer.status}"]
        return Outcome(job, None, error=said[-1].removeprefix("softfx: "))
    return Outcome(job, Report.from_dict(json.loads(answer.out)), arguments.fail_on)


def chosen(project: Project, names: Sequence[str]) -> Project:
    """The same project with the targets of these names only."""
    jobs = tuple(job for job in project.jobs if job.name in names)
    return Project(project.folder, jobs, project.baseline, project.processes)
