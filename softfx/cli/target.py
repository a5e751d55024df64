"""The model or function that `package.module:name` or `path/to/file.py:name` names.

A name may be a Module, a Module class or a function that builds one; `name(key=value)` passes literals to the last two.
`Target.taken_as` tells how the name was understood; the command line prints it on stderr.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import torch

from softfx.cli.inputs import NOT_LITERAL
from softfx.errors import TargetError, brief, did_you_mean, listed

__all__ = ["Target", "check_call", "load_object", "load_target", "name_in", "raised_at", "summary"]

_FORM = "Write package.module:name or path/to/file.py:name."
# The name is behind the first colon that a dotted name and nothing but a call follow: a path may have colons and
# brackets of its own, and so may the literals of the call.
_SPEC = re.compile(r"(?P<place>.+?):(?P<name>[\w.]+)(?P<call>\(.*)?", re.DOTALL)


@dataclass(frozen=True)
class Target:
    """The model or function to be softened, and how it was found.

    args, kwargs: example inputs, if a factory returned (target, args) or (target, args, kwargs).
    definition: the file and line where the name is defined.
    """

    spec: str
    value: Callable[..., object]
    taken_as: str
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = field(default_factory=dict)
    definition: tuple[str, int] | None = None


def load_target(spec: str, *, as_function: bool = False, seed: int = 0) -> Target:
    """The target that `spec` names.

    Args:
        spec: package.module:name, path/to/file.py:name, either with (literal arguments) behind it.
        as_function: the function named is itself the target, even if it takes no arguments.
        seed: the start of the random numbers while a model is built.

    Raises:
        TargetError: there is no such module, file or name, or the target cannot be built.
    """
    place, name, call = _split(spec)
    module = _module(place, name)
    found = _attribute(module, name, place)
    definition = _definition(module, name, found)
    if not callable(found):
        kind = type(found).__name__
        raise TargetError(
            f"{spec}: {name} is a {kind}, not a model or a function. Name a Module, a class or a function."
        )
    if isinstance(found, torch.nn.Module) and call is None:
        return Target(spec, found, f"an instance of {type(found).__name__}", definition=definition)
    if call is None and (as_function or not _builds(found)):
        if inspect.isclass(found):
            raise TargetError(_needs_arguments(spec, name, found))
        return Target(spec, found, "the function itself", definition=definition)
    torch.manual_seed(seed)
    built = _build(spec, name, found, call or ast.Call(ast.Name(name), [], []))
    value, args, kwargs = _parts(built)
    if not callable(value):
        kind = type(value).__name__
        hint = (
            "If the function itself is meant, add --function." if not inspect.isclass(found) else "Name another class."
        )
        raise TargetError(f"{spec}: {name}() gives a {kind}, not a model or a function. {hint}")
    what = "an instance of" if inspect.isclass(found) else f"what {name}() returns, a"
    return Target(spec, value, f"{what} {type(value).__name__}", args, kwargs, definition)


def load_object(spec: str) -> object:
    """What `package.module:name` or `path/to/file.py:name` names, as it is; with brackets behind it, what a call gives.

    Raises:
        TargetError: there is no such module, file or name, or the call fails.
    """
    place, name, call = _split(spec)
    found = _attribute(_module(place, name), name, place)
    if call is None:
        return found
    if not callable(found):
        raise TargetError(
            f"{spec}: {name} is a {type(found).__name__}, which cannot be called. Leave out the brackets."
        )
    return _build(spec, name, found, call)


# -- reading the text ----------------------------------------------------------------------------------------


def _split(spec: str) -> tuple[str, str, ast.Call | None]:
    """The module or file, the dotted name, and the call behind it if there is one."""
    found = _SPEC.fullmatch(spec)
    if found is not None and all(part.isidentifier() for part in found["name"].split(".")):
        place, name = found["place"], found["name"]
        return place, name, _parse_call(spec, spec[len(place) + 1 :]) if found["call"] else None
    head = spec.partition("(")[0]
    place, colon, name = head.rpartition(":")
    if colon and place and name and not _is_file(Path(spec)):
        raise TargetError(f"{spec}: {name!r} is not a name. {_FORM}")
    names = _names_in(spec) or _names_in(place or head)
    there = f" It has: {listed(names)}." if names else ""
    raise TargetError(f"{spec}: no name in it. {_FORM}{there}")


def name_in(spec: str) -> str:
    """The name that a target's text gives, without its place and call; "" for none."""
    found = _SPEC.fullmatch(spec)
    return found["name"] if found is not None else ""


def _parse_call(spec: str, text: str) -> ast.Call:
    legal = "Only literals may stand between the brackets, such as Model(16, dim=2, name='x')."
    try:
        node = ast.parse(text, mode="eval").body
    except NOT_LITERAL as error:
        raise TargetError(
            f"{spec}: {brief(text)} is not a call: {getattr(error, 'msg', type(error).__name__)}. {legal}"
        ) from error
    if not isinstance(node, ast.Call):
        raise TargetError(f"{spec}: {text!r} is not a call. {legal}")
    for value in (*node.args, *(keyword.value for keyword in node.keywords)):
        try:
            ast.literal_eval(value)
        except NOT_LITERAL as error:
            part = ast.get_source_segment(text, value)
            raise TargetError(f"{spec}: {brief(part)} is not a literal. {legal}") from error
    if any(keyword.arg is None for keyword in node.keywords):
        raise TargetError(f"{spec}: ** cannot be used here. {legal}")
    return node


def _names_in(place: str) -> list[str]:
    """The public functions and classes that a file defines, for a message."""
    path = Path(place)
    try:
        if not path.is_file():
            return []
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return []
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]


# -- finding -------------------------------------------------------------------------------------------------


def _module(place: str, name: str) -> ModuleType:
    """The imported module, or the module of an imported file."""
    if place.endswith(".py") or os.sep in place or "/" in place:
        return _import_file(place)
    if not all(part.isidentifier() for part in place.split(".")):
        raise TargetError(f"{place}: not a module name. {_FORM}")
    _prepend(Path.cwd())
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and (place == error.name or place.startswith(error.name + ".")):
            file = Path(place.replace(".", os.sep)).with_suffix(".py")
            hint = f" Did you mean {file}:{name}?" if _is_file(file) else ""
            raise TargetError(
                f"{place}: there is no module {error.name!r} in this Python environment or folder.{hint} "
                "Check the spelling, or install the package it is in."
            ) from error
        raise TargetError(_import_failed(place, error)) from error
    except Exception as error:
        raise TargetError(_import_failed(place, error)) from error


def _import_file(place: str) -> ModuleType:
    path = Path(place)
    if not _is_file(path):
        near = did_you_mean(path.name, [item.name for item in path.parent.glob("*.py")])
        raise TargetError(f"{place}: there is no such file.{near} The path is taken from {Path.cwd()}.")
    path = path.resolve()
    folder, dotted = path.parent, path.stem
    while (folder / "__init__.py").is_file():  # inside a package relative imports need its name
        folder, dotted = folder.parent, f"{folder.name}.{dotted}"
    _prepend(folder)
    loaded = sys.modules.get(dotted)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    try:
        return importlib.import_module(dotted) if "." in dotted else _execute(path, dotted)
    except Exception as error:
        raise TargetError(_import_failed(place, error)) from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is too long
        return False


def _execute(path: Path, name: str) -> ModuleType:
    """The module of a single file, under its own name unless that means another module."""
    found = None if name in sys.modules else importlib.util.find_spec(name)
    if found is None or found.origin != str(path):
        name = f"softfx_target_{name}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # a file ending in .py always has a loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _prepend(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _import_failed(place: str, error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{place}: importing it needs the module {error.name!r}, which is not installed. Install it."
    text = summary(error)
    return f"{place}: importing it failed: {text}. Make sure that `import` of it works by itself."


def _attribute(module: ModuleType, name: str, place: str) -> object:
    found: object = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            known = [key for key in vars(found) if not key.startswith("_")] if hasattr(found, "__dict__") else []
            near = did_you_mean(part, known)
            mine = [key for key in known if getattr(getattr(found, key, None), "__module__", None) == module.__name__]
            there = "" if near or not mine else f" It defines: {listed(mine)}."
            raise TargetError(f"{place}: it has no {part!r}.{near}{there}") from error
    return found


def _definition(module: ModuleType, name: str, found: object) -> tuple[str, int] | None:
    """The file and line of the definition of `name`, or of the line that assigns it."""
    try:
        plain = inspect.unwrap(found) if callable(found) else found
        if inspect.isclass(plain) or inspect.isfunction(plain):
            return str(inspect.getsourcefile(plain)), inspect.getsourcelines(plain)[1]
        file = str(inspect.getsourcefile(module))
        lines = inspect.getsource(module).splitlines()
    except (OSError, TypeError):
        return None
    first = name.split(".")[0]
    places = (number for number, line in enumerate(lines, 1) if line.split("=")[0].split(":")[0].strip() == first)
    return file, next(places, 1)


# -- building ------------------------------------------------------------------------------------------------


def _builds(found: Callable[..., object]) -> bool:
    """Return True if the name is to be called: it can be called without arguments."""
    parameters = _parameters(found)
    return parameters is not None and not _required(parameters)


def _parameters(found: Callable[..., object]) -> Mapping[str, inspect.Parameter] | None:
    try:
        return inspect.signature(found).parameters
    except (TypeError, ValueError):  # built-in functions have no signature
        return None


def _takes(function: Callable[..., object]) -> str:
    """The signature as one would write it, without the return type."""
    return str(inspect.signature(function).replace(return_annotation=inspect.Signature.empty))


def _required(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [name for name, item in parameters.items() if item.default is item.empty and item.kind not in free]


def _needs_arguments(spec: str, name: str, found: Callable[..., object]) -> str:
    required = _required(_parameters(found) or {})
    example = ", ".join(f"{item}=..." for item in required)
    return (
        f"{spec}: {name} needs {listed(required)} to be built. Give literals, in quotes for the shell: "
        f"'{spec}({example})', or name a function that builds it."
    )


def _build(spec: str, name: str, found: Callable[..., object], call: ast.Call) -> object:
    args = [ast.literal_eval(value) for value in call.args]
    kwargs = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    parameters = _parameters(found)
    if parameters is not None:
        try:
            inspect.signature(found).bind(*args, **kwargs)
        except TypeError as error:
            raise TargetError(f"{spec}: {name} cannot be called so: {error}. It takes {_takes(found)}.") from error
    try:
        return found(*args, **kwargs)
    except Exception as error:
        raise TargetError(f"{spec}: building it failed: {summary(error)}.") from error


def _parts(built: object) -> tuple[object, tuple[object, ...], dict[str, object]]:
    """The target, and the example inputs that a factory may have returned with it."""
    if isinstance(built, tuple) and 2 <= len(built) <= 3 and callable(built[0]) and isinstance(built[1], tuple | list):
        kwargs = dict(built[2]) if len(built) == 3 else {}
        return built[0], tuple(built[1]), kwargs
    return built, (), {}


# -- calling -------------------------------------------------------------------------------------------------


def check_call(target: Target, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
    """Refuse inputs that the target's signature cannot take, before anything runs."""
    function = target.value.forward if isinstance(target.value, torch.nn.Module) else target.value
    parameters = _parameters(function)
    if parameters is None:
        return
    free = any(item.kind is item.VAR_KEYWORD for item in parameters.values())
    unknown = [name for name in kwargs if name not in parameters and not free]
    if unknown:
        raise TargetError(
            f"{target.spec}: it has no argument {listed(map(repr, unknown))}. It takes {_takes(function)}."
            f"{did_you_mean(unknown[0], parameters)} Name one of these, or give the inputs in their order, unnamed."
        )
    missing = [name for name in _required(parameters) if name not in kwargs][len(args) :]
    if missing:
        some = " ".join(f"--input {'' if number == 0 else name + '='}2x3" for number, name in enumerate(missing[:2]))
        count = len(args) + len(kwargs)
        given = f"{count} {'input was' if count == 1 else 'inputs were'} given"
        raise TargetError(
            f"{target.spec}: it needs {listed(missing)}, and {given}. "
            f"It takes {_takes(function)}. Give each a shape, such as {some}, a value that is no tensor "
            f"with --value {missing[0]}=LITERAL, or saved tensors with --load FILE.pt."
        )
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise TargetError(f"{target.spec}: the inputs do not fit: {error}. It takes {_takes(function)}.") from error


def summary(error: BaseException) -> str:
    """One line about an exception: its type, its first line, and its innermost place outside torch and softfx."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if len(text) > 300:
        text = text[:297] + "..."
    place = f" ({found})" if (found := raised_at(error)) else ""
    return f"{type(error).__name__}: {text.rstrip('.')}{place}" if text else f"{type(error).__name__}{place}"


def raised_at(error: BaseException) -> str:
    """The file:line of the innermost frame outside torch, softfx and the import system; empty if there is none."""
    packages = (torch, sys.modules["softfx"], importlib)
    hidden = (*(os.path.dirname(str(package.__file__)) + os.sep for package in packages), "<")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(hidden)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
