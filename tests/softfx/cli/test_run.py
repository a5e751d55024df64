"""`softfx run`: a script with parts of the packages it uses softened."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.softfx.cli.programs import Run

SCRIPT = """
import sys
import torch
import router_models

scores = torch.tensor([0.1, 0.7, 0.3], requires_grad=True)
router_models.pick(scores, torch.arange(3.0)).backward()
print(sys.argv[1:], bool((scores.grad != 0).all()))
"""


def test_run_runs_a_script_with_parts_softened(softfx: Run) -> None:
    Path("train.py").write_text(SCRIPT)
    answer = softfx("run", "--soften", "router_models:pick", "-p", "gradients", "train.py", "--epochs", "3")
    assert (answer.status, answer.out) == (0, "['--epochs', '3'] True\n")
    assert "router_models:pick: 1 site: 1 straight-through." in answer.err


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("import sys; sys.exit(3)", 3, "router_models:pick was never called"),
        ("1 / 0", 1, 'train.py", line 1, in <module>'),
    ],
)
def test_the_end_of_a_script_is_its_own(softfx: Run, text: str, status: int, message: str) -> None:
    Path("train.py").write_text(text)
    answer = softfx("run", "--soften", "router_models:pick", "train.py")
    assert answer.status == status
    assert message in answer.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("router_models:pick", "missing.py"), "missing.py: there is no such file."),
        (("router_models:pik", "train.py"), "Did you mean 'pick'?"),
    ],
)
def test_a_script_or_a_name_that_is_not_there_is_told(softfx: Run, arguments: tuple[str, str], message: str) -> None:
    Path("train.py").write_text("print(1)")
    answer = softfx("run", "--soften", *arguments)
    assert (answer.status, answer.out) == (2, "")
    assert message in answer.err


# -- as python runs it -------------------------------------------------------------------------------------------------

SHOW = "import json, sys\nprint(json.dumps({values}), flush=True)\n"
SCRIPTS = {
    "arguments": (SHOW.replace("{values}", "sys.argv"), ["--", "-q", "--x", "--soften", "a:b", "--", ""]),
    "no arguments": (SHOW.replace("{values}", "sys.argv"), []),
    "names": (SHOW.replace("{values}", "sorted(globals())"), []),
    "the main module": (
        SHOW.replace(
            "{values}",
            "[__file__, __name__, __package__, __spec__, __doc__, type(__loader__).__name__, "
            "sys.modules['__main__'].__dict__ is globals(), type(__builtins__).__name__]",
        ),
        [],
    ),
    "the path": (SHOW.replace("{values}", "sys.path[0]"), []),
    "pickles": ("import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))) is A)\n", []),
    "a status": ("import sys\nsys.exit(7)\n", []),
    "no status": ("import sys\nsys.exit()\n", []),
    "a message": ("import sys\nsys.exit('it is over')\n", []),
    "true": ("import sys\nsys.exit(True)\n", []),
    "a number": ("import sys\nsys.exit(2.5)\n", []),
    "an error": ("def f():\n    raise ValueError('x')\nf()\n", []),
    "an error of syntax": ("def f(:\n", []),
    "a chain of errors": ("try:\n    1 / 0\nexcept Exception as e:\n    raise KeyError('k') from e\n", []),
    "a hook": ("import sys\nsys.excepthook = lambda *a: print('hook', a[0].__name__, a[2] is not None)\n1 / 0\n", []),
    "a hook that exits": ("import sys\nsys.excepthook = lambda *a: sys.exit(9)\n1 / 0\n", []),
    "another encoding": ("# -*- coding: latin-1 -*-\nprint(ascii('\xe9'))\n", []),
    "a thread": (
        "import threading, time\ndef late():\n    time.sleep(0.2)\n    print('late')\n"
        "threading.Thread(target=late).start()\nprint('early')\n",
        [],
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_as_python_runs_it(softfx: Run, name: str) -> None:
    text, arguments = SCRIPTS[name]
    Path("scripts").mkdir()
    script = "./scripts/../scripts/train.py"
    Path(script).write_text(text, encoding="latin-1")
    Path("empty.py").write_text("def loss(x):\n    return x\n")
    sys.path.insert(1, str(Path.cwd()))  # where the name that is softened lies; the script's own folder is another
    expected = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True)
    before = sys.argv, list(sys.path), sys.modules["__main__"], dict(os.environ)
    answer = softfx("run", "-q", "--soften", "router_models:pick", script, *arguments)
    assert (sys.argv, sys.path, sys.modules["__main__"], dict(os.environ)) == before
    assert (answer.status, answer.out) == (expected.returncode, expected.stdout)
    assert [line.strip(" ~^") for line in answer.err.splitlines()] == [
        line.strip(" ~^") for line in expected.stderr.splitlines()
    ]


@pytest.mark.parametrize("arguments", [(), ("--",)])
def test_a_run_of_no_script_is_a_mistake(softfx: Run, arguments: tuple[str, ...]) -> None:
    answer = softfx("run", "--soften", "router_models:pick", *arguments)
    assert answer.status == 2 and "run: no script is named." in answer.err


WORKERS = """
import multiprocessing
import sys
import torch
import router_models


def gradient(method):
    scores = torch.tensor([0.1, 0.7, 0.3], requires_grad=True)
    router_models.pick(scores, torch.arange(3.0)).backward()
    return method, __name__, bool((scores.grad != 0).all())


if __name__ == "__main__":
    torch.set_num_threads(1)
    for method in sys.argv[1:]:
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(*pool.map(gradient, [method]), flush=True)
"""


def test_spawned_workers_are_softened_too_and_told(models: Path) -> None:
    Path("train.py").write_text(WORKERS)
    methods = (
        ["spawn", "forkserver"] if "forkserver" in __import__("multiprocessing").get_all_start_methods() else ["spawn"]
    )
    command = [sys.executable, "-m", "softfx", "run", "--soften", "router_models:pick", "train.py", *methods]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.stdout.splitlines() == [f"('{method}', '__mp_main__', True)" for method in methods], run.stderr
    assert "router_models:pick was never called in this process" in run.stderr
    assert f"softened in the {len(methods)} spawned workers, too" in run.stderr.replace(
        "1 spawned worker,", "1 spawned workers,"
    )


def test_what_a_script_leaves_for_the_end_of_the_process_runs_softened(models: Path) -> None:
    Path("train.py").write_text(
        "import atexit, torch, router_models\n"
        "scores = torch.tensor([0.1, 0.7, 0.3], requires_grad=True)\n"
        "def last():\n"
        "    router_models.pick(scores, torch.arange(3.0)).backward()\n"
        "    print(__name__, bool((scores.grad != 0).all()))\n"
        "atexit.register(last)\n"
    )
    command = [sys.executable, "-m", "softfx", "run", "-q", "--soften", "router_models:pick", "train.py"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.stdout == "__main__ True\n", run.stderr
