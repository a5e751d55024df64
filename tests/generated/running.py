"""Programs become things to call: the text compiled, a target built from it, and inputs made."""

from __future__ import annotations

import itertools
import linecache
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tests.generated.programs import Program

__all__ = ["Built", "build"]

_numbers = itertools.count()


@dataclass(frozen=True)
class Built:
    """A program ready to run.

    file: the name under which `linecache`, tracebacks and softfx's reports know its text.
    """

    program: Program
    file: str
    _namespace: dict[str, Any]

    def target(self) -> Callable[..., Any]:
        """A new module with the same parameters each time, or the function."""
        with torch.random.fork_rng(devices=[]):
            made: Callable[..., Any] = (
                self._namespace["Target"]() if self.program.is_module else self._namespace["target"]
            )
        return made

    def inputs(self) -> tuple[Tensor, ...]:
        """The same inputs each time; floats do not require a gradient yet."""
        made: tuple[Tensor, ...] = self._namespace["make_inputs"]()
        return made


def build(program: Program) -> Built:
    """Compile a program. Its text is kept in `linecache`, so that no file has to be written."""
    file = f"generated_{program.seed}_{next(_numbers)}.py"
    source = program.source
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace: dict[str, Any] = {"__name__": "generated"}
    exec(compile(source, file, "exec"), namespace)
    return Built(program, file, namespace)
