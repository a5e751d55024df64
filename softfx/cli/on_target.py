"""The target of a command: loaded, with its inputs and its policy, and handed to a function of the api."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from typing import TypeVar, cast

import torch

from softfx.cli.files import check_out
from softfx.cli.formats import note
from softfx.cli.inputs import load_inputs, make_inputs, with_gradients
from softfx.cli.policies import load_policy
from softfx.cli.target import Target, check_call, load_target
from softfx.errors import TargetError
from softfx.locations import Place, handed_over_at
from softfx.report import Report
from softfx.report.terminal import progress

__all__ = ["check_out_of", "run"]

T = TypeVar("T")


def check_out_of(arguments: argparse.Namespace) -> None:
    """Refuse the file behind --out where it cannot be written, before the work begins."""
    if arguments.out is not None:
        check_out(arguments.out, force=arguments.force)


def run(
    arguments: argparse.Namespace, function: Callable[..., T], *, takes_inputs: bool = True, shows: bool = True,
    again: bool = False,
) -> T:  # fmt: skip
    """Load the target and its inputs and hand them to one of the functions of the api.

    takes_inputs: the function is given example inputs; else it has batches of its own.
    shows: a message is shown while it works; else it shows itself how far it is.
    again: the same command has told what is taken.

    A model that prints while it is built and run prints to stderr, for stdout is for the result.
    """
    policy = load_policy(arguments.policy, arguments.set)
    with redirect_stdout(sys.stderr), progress(f"loading {arguments.target}"):
        target = load_target(arguments.target, as_function=arguments.function, seed=arguments.seed)
    if not again:
        note(arguments, f"taking {target.taken_as}")
    inputs: dict[str, object] = {}
    if takes_inputs:
        args, kwargs = _inputs(arguments, target)
        check_call(target, args, kwargs)
        inputs = {"example_inputs": args, "example_kwargs": kwargs}
    if (arguments.train or arguments.eval) and isinstance(target.value, torch.nn.Module):
        target.value.train(arguments.train)
    torch.manual_seed(arguments.seed)
    place = handed_over_at(Place(*target.definition) if target.definition else None)
    shown = progress(f"capturing {arguments.target}") if shows else nullcontext()
    with redirect_stdout(sys.stderr), shown, place:
        result = function(
            target.value, policy, **inputs, capture=arguments.capture, allow_unused=arguments.allow_unused
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
