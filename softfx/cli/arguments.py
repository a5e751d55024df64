"""The arguments and help texts of the command line. The commands themselves are in `commands`."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, NoReturn, TypedDict

from softfx.cli.parser import Parser
from softfx.errors import did_you_mean
from softfx.vocabulary import FAMILIES, PRESET_NAMES, installed_version

if TYPE_CHECKING:
    # argparse has no public names for what add_subparsers and add_argument_group return.
    from argparse import _ArgumentGroup, _SubParsersAction

    Commands = _SubParsersAction[argparse.ArgumentParser]

__all__ = ["DEFAULT_FAIL_ON", "make_parser"]

_MAIN = """\
Find the operations that cut the gradient of a PyTorch model, rewrite them by a
policy, report every decision.

  softfx check  package.module:build --input 2x3x32x32
  softfx diff   package.module:build --input 2x3x32x32 --policy policy.toml
  softfx soften package.module:build --input 2x3x32x32 --out softened.py
  softfx check            every target of [tool.softfx] in pyproject.toml
"""
_REPORTS = ("rich", "text", "json", "markdown", "sarif", "html")
DEFAULT_FAIL_ON = ("blocked",)
_EXIT = """\
exit status:
  0  nothing to act on, or all of it acted on
  1  findings (see --fail-on)
  2  wrong usage, or a target that cannot be loaded, captured or run
"""
_TARGET = """\
target:
  package.module:name or path/to/file.py:name, where name is a Module, a Module
  class, a function that builds one, or a function to be softened itself.
  A class or function that needs arguments takes literals, in quotes:
    'vector_quantize_pytorch:VectorQuantize(dim=16, codebook_size=32)'
  A function that needs no arguments is called, and may return (model, inputs);
  with --function it is itself the target.
"""


class _Version(argparse.Action):
    """Prints the version, which is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(f"softfx {installed_version() or '(not installed)'}")
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser: argparse.ArgumentParser = Parser(prog="softfx", description=_MAIN, epilog=_EXIT, **_style())
    parser.add_argument("--version", action=_Version, nargs=0, help="show program's version number and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = _add(
        commands,
        "check",
        "find and explain what cuts the gradient; change nothing",
        _target("TARGET", "module:name or file.py:name, see below; without one, every target of [tool.softfx]", "?"),
        _format(*_REPORTS),
        _fail_on(),
    )
    check.add_argument(
        "--lock",
        nargs="?",
        const="softfx.lock.json",
        metavar="FILE",
        help="status 1 where gradients moved since softfx lock",
    )
    check.add_argument(
        "--tolerance", type=_number, default=0.01, help="the change of a length that --lock allows (default 0.01)"
    )
    check.add_argument("--jobs", type=_count, metavar="N", help="check so many targets of a project at once")
    _out(check, "FILE", "where to write the report, such as report.html. Default: stdout")
    diff = _add(
        commands, "diff", "show the code before and after softening", _target(), _format("rich", "text", "html")
    )
    _out(diff, "FILE", "where to write the diff. Default: stdout")
    soften = _add(commands, "soften", "soften and write the code", _target(), _format(*_REPORTS), _fail_on())
    _out(soften, "FILE.py", "where to write the code; a report goes beside it. Default: stdout")
    _run(commands)
    _plot(commands)
    _audit(commands)
    _calibrate(commands)
    _lock(commands)
    explain = _add(commands, "explain", "explain one operation or family", _format("rich", "text", "json"))
    explain.add_argument("name", metavar="CODE|NAME", help="a code (SX206), an operation (topk) or a family (@kink)")
    rules = _add(commands, "rules", "list the operations softfx knows", _format("rich", "text", "json", "markdown"))
    rules.add_argument("--family", choices=FAMILIES, metavar="FAMILY", help=f"only one of {', '.join(FAMILIES)}")
    _policy(commands)
    text = "write a first [tool.softfx] to pyproject.toml, of a target or of what is found"
    found = _target("TARGET", "a target, which is checked first; without one the project is searched", "?")
    _add(commands, "init", text, found)
    shell = _add(commands, "completions", "print the completions of the command line for a shell")
    shell.add_argument("shell", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")
    return parser


def _run(commands: Commands) -> None:
    parser = _add(commands, "run", "run a script with parts of the packages it uses softened")
    _policy_options(parser)
    parser.add_argument(
        "--soften",
        action="append",
        required=True,
        metavar="NAME",
        help="package.module:name of a function or a Module class, once for each; softened where it is called",
    )
    parser.add_argument(
        "script",
        nargs=argparse.REMAINDER,  # the script among them, for "--" behind it is the script's own
        metavar="SCRIPT.py ...",
        help="the script, unchanged, and its own arguments",
    )


def _plot(commands: Commands) -> None:
    parser = _add(
        commands,
        "plot",
        "draw an operator and its derivative, or the gradient that each site passes",
        _target("OPERATOR|TARGET", "an operator of softtorch (relu, topk), or a target, see below"),
    )
    curves = parser.add_argument_group("operators")
    curves.add_argument("--modes", type=_names, metavar="MODES", help="joined by commas (default: all it has)")
    curves.add_argument(
        "--softness",
        type=_numbers,
        default=(0.5, 0.1, 0.05),
        metavar="NUMBERS",
        help="joined by commas (default 0.5,0.1,0.05)",
    )
    curves.add_argument("--range", type=_span, default=(-2.0, 2.0), metavar="A..B", help="of x: --range=-2..2")
    curves.add_argument("--method", help="of operators that choose: softsort, neuralsort, ot ...")
    text = "of a target of one number: its result over --range, hard and with its branches smoothed"
    curves.add_argument("--objective", action="store_true", help=text)
    _out(parser, "FILE.png", "default: the operator's or the target's name")


def _audit(commands: Commands) -> None:
    text = "compare the softened gradients of sites and parameters with measured ones"
    parser = _add(commands, "audit", text, _target(), _format("text", "json", "html"))
    _measures(parser)
    parser.add_argument(
        "--sites", choices=("every", "acting", "none"), default="every", help="those measured (default every)"
    )
    _out(parser, "FILE", "where to write it, such as audit.html. Default: stdout")


def _calibrate(commands: Commands) -> None:
    text = "choose the softness of each site by measuring gradients; needs no labels"
    parser = _add(commands, "calibrate", text, _target(), _format("text", "json"))
    group = _measures(parser)
    group.add_argument(
        "--budget", type=_calls, default=100_000, metavar="N", help="at most so many calls (default 100000)"
    )
    group.add_argument("--scores", metavar="FILE.json", help="earlier scores, used and written again")
    _out(parser, "FILE.toml", "where to write the policy. Default: stdout")


def _lock(commands: Commands) -> None:
    text = "write a fingerprint of the softened gradients, for `softfx check --lock`"
    parser = _add(commands, "lock", text, _target())
    parser.add_argument(
        "--samples", type=_samples, default=0, help="pairs of calls for the agreement, at least 64 (default: none)"
    )
    _out(parser, "FILE.json", "where to write it. Default: softfx.lock.json")


def _measures(parser: argparse.ArgumentParser) -> _ArgumentGroup:
    """The arguments of the commands that measure gradients."""
    group = parser.add_argument_group("measuring")
    group.add_argument("--loader", metavar="NAME", help="module:name of batches, or of a function that gives them")
    group.add_argument("--loss", metavar="NAME", help="module:name of a function of the result that gives one number")
    group.add_argument("--scale", type=_number, default=0.3, help="the perturbations, in spreads (default 0.3)")
    group.add_argument(
        "--samples", type=_samples, default=512, help="pairs of calls for each verdict, at least 64 (default 512)"
    )
    return group


def _policy(commands: Commands) -> None:
    parser = commands.add_parser("policy", help="write a policy, or show what one comes to", **_style())
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    init = _add(
        actions,
        "init",
        "write a policy with one commented entry for each site",
        _target(),
        _format("rich", "text"),
    )
    _out(init, "FILE.toml", "where to write it. Default: stdout")
    show = _add(
        actions,
        "show",
        "show the decision for each site and the entry that made it",
        _target(),
        _format("rich", "text", "json", "html"),
    )
    _out(show, "FILE", "where to write it. Default: stdout")


def _add(commands: Commands, name: str, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
    has_target = any(action.dest == "target" for parent in parents for action in parent._actions)
    parser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=_TARGET + "\n" + _EXIT if has_target else None,
        parents=[*parents, _common()],
        **_style(),
    )
    return parser


def _target(
    metavar: str = "TARGET", text: str = "module:name or file.py:name, see below", nargs: str | None = None
) -> argparse.ArgumentParser:
    """The arguments of every command that looks at a model."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("target", metavar=metavar, help=text, nargs=nargs)
    inputs = parser.add_argument_group("example inputs")
    inputs.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="SHAPE",
        help="a random tensor, once for each input: 2x3x32x32, 4x10:int64:0..100, mask=2x8:bool, scalar",
    )
    inputs.add_argument(
        "--value", action="append", default=[], metavar="NAME=LITERAL", help="an input that is no tensor"
    )
    inputs.add_argument("--load", metavar="FILE.pt", help="saved inputs: a tuple or list, or a dict by name")
    inputs.add_argument("--seed", type=_seed, default=0, help="what random numbers start from (default 0)")
    model = parser.add_argument_group("model")
    model.add_argument(
        "--function",
        action="store_true",
        help="the function named is the target, it is not called to build one",
    )
    state = model.add_mutually_exclusive_group()
    state.add_argument("--train", action="store_true", help="call .train() first; without it the model is as built")
    state.add_argument("--eval", action="store_true", help="call .eval() first")
    model.add_argument(
        "--capture", choices=("auto", "fx", "dynamo", "eager"), default="auto", help="how the model is seen"
    )
    policy = _policy_options(parser)
    policy.add_argument("--allow-unused", action="store_true", help="allow policy entries that match nothing")
    return parser


def _policy_options(parser: argparse.ArgumentParser) -> _ArgumentGroup:
    group = parser.add_argument_group("policy")
    group.add_argument(
        "-p",
        "--policy",
        metavar="FILE|PRESET",
        help=f"a TOML file or one of {', '.join(PRESET_NAMES)} (default gradients)",
    )
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="[OP.]KEY=VALUE",
        help="override a field everywhere or for one operation: softness=0.05, topk.method=lapsum",
    )
    return group


def _out(parser: argparse.ArgumentParser, metavar: str, text: str) -> None:
    parser.add_argument("--out", metavar=metavar, help=text)
    parser.add_argument("--force", action="store_true", help="replace files that are there already")


def _format(*formats: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--format", choices=formats, help="default: rich in a terminal, text elsewhere")
    return parser


def _fail_on() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--fail-on",
        type=_kinds,
        default=DEFAULT_FAIL_ON,
        metavar="KINDS",
        help="what makes the exit status 1: blocked, keep, break joined by commas, or none (default blocked)",
    )
    parser.add_argument(
        "--baseline",
        metavar="FILE.json",
        help="an earlier report (--format json): what is in it is neither shown nor counted",
    )
    return parser


def _common() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-q", "--quiet", action="store_true", help="no notes on stderr")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of an error")
    return parser


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(part.strip() for part in text.split(",") if part.strip())
    legal = ("blocked", "keep", "break", "none")
    strange = [kind for kind in kinds if kind not in legal]
    if strange or not kinds:
        near = did_you_mean(strange[0], legal) if strange else ""
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of blocked, keep, break (or none).{near}")
    return kinds


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("a number of processes is a whole number from 1 on")
    return int(text)


def _calls(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("a number of calls is a whole number from 1 on")
    return int(text)


def _samples(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 64:
        raise argparse.ArgumentTypeError("a number of pairs is a whole number from 64 on")
    return int(text)


def _number(text: str) -> float:
    numbers = _numbers(text)
    if len(numbers) != 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0, such as 0.3")
    return numbers[0]


def _seed(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number < 2**63:  # what every generator of torch takes
        raise argparse.ArgumentTypeError("a seed is a whole number from 0 to 2**63 - 1")
    return number


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _numbers(text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(0 < number < math.inf for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers above 0, such as 0.5,0.1")
    return numbers


def _span(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(".."))
    except ValueError:
        low = high = 0.0
    if not -math.inf < low < high < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a range, such as -2..2")
    return low, high


class _Style(TypedDict):
    formatter_class: type[argparse.HelpFormatter]
    allow_abbrev: bool


def _style() -> _Style:
    return {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
