"""The run of a user's script as Python runs it, for `softfx run`: its arguments, its path, its errors, its exit status.

Processes that it starts through multiprocessing are softened, too: a forked one is a copy, a spawned one runs
`softfx.cli.worker` before the script. Those that it starts by other means run as they always did.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.machinery import SourceFileLoader
from multiprocessing import spawn
from pathlib import Path
from types import ModuleType

from softfx.cli.policies import load_policy
from softfx.errors import SoftfxError, TargetError
from softfx.patching import Patch, patched

__all__ = ["Run", "run_in_worker", "run_script"]

# The environment variable by which a worker process learns what its parent softens.
_VARIABLE = "SOFTFX_RUN"
_SERVER = "ignore"  # the name by which multiprocessing asks for its fork server, which is no worker
_INTERRUPTED = 130  # the status that a shell reports for a program ended by Ctrl-C


@dataclass(frozen=True)
class Run:
    """What is run and softened: a script, names as `patched` takes them, and the policy as the command line has it."""

    script: str
    soften: tuple[str, ...]
    policy: str | None = None
    settings: tuple[str, ...] = ()

    def patches(self, stack: ExitStack) -> dict[str, Patch]:
        """Soften the names until the stack is closed."""
        policy = load_policy(self.policy, self.settings)
        return {name: stack.enter_context(patched(name, policy)) for name in self.soften}


def run_script(run: Run, arguments: Sequence[str], stack: ExitStack) -> tuple[int, dict[str, Patch], int]:
    """Run the script as the main program.

    Args:
        run: the script, and what is softened.
        arguments: the script's own.
        stack: what is changed for the script is put back when it is closed.

    Returns:
        The script's exit status, what was softened by name, and how many worker processes were spawned.
    """
    if not Path(run.script).is_file():
        raise TargetError(f"{run.script}: there is no such file. The path is taken from {Path.cwd()}.")
    file = os.path.join(os.getcwd(), run.script)  # as python makes it absolute
    stack.enter_context(_as_main_program(file, [run.script, *arguments]))
    patches = run.patches(stack)
    workers = stack.enter_context(_soft_workers(run, file))
    status = _end(lambda: _execute(file, vars(sys.modules["__main__"])), file)
    for thread in threading.enumerate():  # python ends when they have
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    return status, patches, len(workers)


def run_in_worker(namespace: dict[str, object]) -> None:
    """Make the namespace of a worker's main module that of the script, with the parent's parts softened."""
    data = json.loads(os.environ[_VARIABLE])
    run = Run(**data | {"soften": tuple(data["soften"]), "settings": tuple(data["settings"])})
    stack = ExitStack()
    run.patches(stack)
    stack.enter_context(_soft_workers(run, run.script))
    atexit.register(stack.close)
    name = namespace["__name__"]
    namespace.clear()
    namespace.update(_main_names(run.script, str(name)))
    _execute(run.script, namespace)


def _main_names(file: str, name: str = "__main__") -> dict[str, object]:
    """The names that python gives a main module beside its own."""
    none = dict.fromkeys(("__cached__", "__doc__", "__package__", "__spec__"))
    return {
        "__name__": name,
        "__file__": file,
        "__loader__": SourceFileLoader(name, file),
        "__annotations__": {},
        **none,
    }


def _execute(file: str, namespace: dict[str, object]) -> None:
    exec(compile(Path(file).read_bytes(), file, "exec", dont_inherit=True), namespace)


@contextmanager
def _as_main_program(file: str, arguments: list[str]) -> Iterator[None]:
    """Make the script the main module, with its arguments and the folder that python looks in first."""
    before = sys.argv, sys.path[:], sys.modules["__main__"]
    main = ModuleType("__main__")
    vars(main).update(_main_names(file), __builtins__=sys.modules["builtins"])
    folder = str(Path(file).resolve().parent)
    launched = (os.path.dirname(os.path.realpath(sys.argv[0])), os.getcwd(), "")
    if not sys.flags.safe_path:  # the folder of softfx's own command, or of `python -m`, gives way
        sys.path[: 1 if sys.path[:1] and sys.path[0] in launched else 0] = [folder]
    sys.argv, sys.modules["__main__"] = arguments, main
    try:
        yield
    finally:
        sys.argv, sys.path[:], sys.modules["__main__"] = before


@contextmanager
def _soft_workers(run: Run, file: str) -> Iterator[list[str]]:
    """Let spawned processes soften the same parts; the names of those that were started."""
    policy = os.path.abspath(run.policy) if run.policy is not None and os.path.isfile(run.policy) else run.policy
    prepare, before = spawn.get_preparation_data, os.environ.get(_VARIABLE)
    started: list[str] = []

    def soft_preparation(name: str) -> dict[str, object]:
        data: dict[str, object] = prepare(name)
        data.pop("init_main_from_path", None)
        if name != _SERVER:
            started.append(name)
        return data | {"init_main_from_name": "softfx.cli.worker"}

    spawn.get_preparation_data = soft_preparation
    os.environ[_VARIABLE] = json.dumps(asdict(run) | {"script": file, "policy": policy})
    try:
        yield started
    finally:
        spawn.get_preparation_data = prepare
        os.environ.pop(_VARIABLE)
        if before is not None:
            os.environ[_VARIABLE] = before


# -- the end of a script -----------------------------------------------------------------------------------------------


def _end(run: Callable[[], None], file: str) -> int:
    """Call `run` and return the exit status; an error is shown by `sys.excepthook`, as python does."""
    try:
        run()
    except SystemExit as end:
        return _status(end)
    except SoftfxError:
        raise
    except BaseException as error:
        while error.__traceback__ is not None and error.__traceback__.tb_frame.f_code.co_filename != file:
            error.__traceback__ = error.__traceback__.tb_next  # from the script's own frame on
        shown = _show(error)
        return _INTERRUPTED if isinstance(error, KeyboardInterrupt) and shown == 1 else shown
    return 0


def _show(error: BaseException) -> int:
    """Hand an error to `sys.excepthook`; the exit status, which a hook may set by sys.exit."""
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except SystemExit as end:
        return _status(end)
    except Exception as failure:
        print("Error in sys.excepthook:", file=sys.stderr)
        traceback.print_exception(failure)
        print("\nOriginal exception was:", file=sys.stderr)
        traceback.print_exception(error)
    return 1


def _status(end: SystemExit) -> int:
    """The exit status that Python makes of the argument of sys.exit."""
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    print(end.code, file=sys.stderr)
    return 1
