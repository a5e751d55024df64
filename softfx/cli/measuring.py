"""The commands that measure gradients: each says what it will cost before it runs, and shows how far it is."""

from __future__ import annotations

import argparse
import functools
import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from softfx.auditing.audit import Progress, audit
from softfx.auditing.calibrate import calibrate
from softfx.auditing.calibration import Calibration
from softfx.auditing.fingerprint import Lock
from softfx.auditing.lock import lock
from softfx.capture.example import function_of
from softfx.cli import output
from softfx.cli.files import check_out, write
from softfx.cli.formats import note
from softfx.cli.on_target import check_out_of, run
from softfx.cli.target import load_object
from softfx.errors import TargetError
from softfx.report.shown import json_text
from softfx.report.terminal import counting
from softfx.report.words import plural
from softfx.visible import visible

__all__ = ["LOCK", "audit_command", "calibrate_command", "lock_command", "moved"]

LOCK = "softfx.lock.json"


def audit_command(arguments: argparse.Namespace) -> int:
    """`softfx audit`."""
    check_out_of(arguments)
    with _counted(arguments) as progress:
        options = _options(arguments) | {"sites": arguments.sites, "progress": progress}
        report = _run(arguments, functools.partial(audit, **options))
    report.report.target = arguments.target
    with output.destination(arguments):
        output.print_audit(arguments, report)
    return 0


def calibrate_command(arguments: argparse.Namespace) -> int:
    """`softfx calibrate`."""
    check_out_of(arguments)
    known = _read_scores(arguments.scores)
    with _counted(arguments) as progress:
        options = _options(arguments) | {"budget": arguments.budget, "scores": known, "progress": progress}
        found: Calibration = _run(arguments, functools.partial(_calibrated, **options))
    if arguments.scores is not None:
        Path(arguments.scores).write_text(json_text(found.to_dict()) + "\n", encoding="utf-8")
        note(arguments, f"wrote {arguments.scores}")
    if arguments.out is None:
        output.print_calibration(arguments, found)
    else:
        write(arguments.out, found.text, arguments.force)
        note(arguments, f"wrote {arguments.out}, use it with --policy {arguments.out}")
        print(visible(found.table, keep="\n"))
    return 0


def lock_command(arguments: argparse.Namespace) -> int:
    """`softfx lock`."""
    out = arguments.out or LOCK
    check_out(out, force=arguments.force)
    options = {"samples": arguments.samples, "seed": arguments.seed}
    found = run(arguments, functools.partial(lock, **options))
    write(out, json_text(found.to_dict()) + "\n", arguments.force)
    note(arguments, f"wrote {out}: {plural(len(found.parameters), 'gradient')}, {plural(len(found.sites), 'site')}")
    note(arguments, f"`softfx check {arguments.target} --lock {out}` with the same inputs holds it against that")
    return 0


def moved(arguments: argparse.Namespace) -> list[str]:
    """What is another way than the lock behind `softfx check --lock` has it."""
    path = arguments.lock
    try:
        before = Lock.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        if isinstance(error, TargetError):
            raise
        raise TargetError(
            f"--lock {path}: it cannot be read: {error}. `softfx lock {arguments.target} --out {path}` writes one."
        ) from error
    now = run(arguments, functools.partial(lock, seed=before.seed), again=True)
    found = before.moved(now, arguments.tolerance)
    if found and before.samples:  # the agreement takes thousands of calls: it is measured where something moved
        now = run(arguments, functools.partial(lock, seed=before.seed, samples=before.samples), again=True)
        found = before.moved(now, arguments.tolerance)
    return found


def _calibrated(
    target: Any,
    policy: Any,
    *,
    example_inputs: Any = None,
    example_kwargs: Any = None,
    loader: Any = None,
    **options: Any,
) -> Calibration:
    """A calibration on a loader, or on one batch of example inputs."""
    if loader is None and example_kwargs:
        named = inspect.signature(function_of(target)).bind(*example_inputs, **example_kwargs).arguments
        loader = [dict(named)]
    return calibrate(target, policy, [example_inputs] if loader is None else loader, **options)


def _read_scores(path: str | None) -> Any:
    """The scores of an earlier calibration, if there are any yet."""
    if path is None or not Path(path).exists():
        return None
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TargetError(f"--scores {path}: it cannot be read as JSON: {error}. Name another file.") from error
    if not isinstance(data, dict) or not isinstance(data.get("scores"), dict):
        raise TargetError(f"--scores {path}: it holds no scores of softfx calibrate. Name another file.")
    return data["scores"]


def _run(arguments: argparse.Namespace, function: Any) -> Any:
    return run(arguments, function, takes_inputs=arguments.loader is None, shows=False)


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments that all measures have in common."""
    options: dict[str, Any] = {"scale": arguments.scale, "samples": arguments.samples, "seed": arguments.seed}
    if arguments.loader is not None:
        options["loader"] = _loader(arguments)
    if arguments.loss is not None:
        loss = load_object(arguments.loss)
        if not callable(loss):
            raise TargetError(f"--loss {arguments.loss}: a {type(loss).__name__} is no function. Name a function.")
        options["loss"] = loss
    return options


def _loader(arguments: argparse.Namespace) -> object:
    given = [name for name in ("input", "value", "load") if getattr(arguments, name)]
    if given:
        raise TargetError(f"--loader and --{given[0]} both give inputs. Use one of them.")
    loader = load_object(arguments.loader)
    return loader() if callable(loader) and not hasattr(loader, "__iter__") else loader


@contextmanager
def _counted(arguments: argparse.Namespace) -> Iterator[Progress]:
    """Shows how far the calls are; the first time they are counted, what they will cost is said."""
    with counting(f"measuring {arguments.target}") as count:

        def progress(done: int, total: int, seconds: float) -> None:
            if not done:
                note(arguments, f"measuring by {total} calls of the original, about {_shown(seconds)}")
            if not arguments.quiet:
                count(done, total)

        yield progress


def _shown(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
