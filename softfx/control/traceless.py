"""Runs that leave no trace: what a run may change is as it was at the start of the first, and at its end afterwards.

Random states, the attributes of modules and of other objects that the call is given, the containers among them, and
every tensor that is written in place: a mode saves it before. Files and sockets are not protected.
"""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor

from softfx import torch_private as private
from softfx.capture.held import HeldState, containers_in
from softfx.capture.preserve import RandomStates
from softfx.capture.reach import reached
from softfx.control.made import Made, owner_of
from softfx.control.versions_private import put_values
from softfx.interpreter.host import HostMode
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.trees import is_flat

__all__ = ["Drew", "Printed", "Traceless", "Writes", "silent"]


class Writes:
    """The tensors that runs have written and not made, and the generators that they drew from, as they were before.

    around: the writes of the run that this one is a part of; it is told the same.
    made: the tensors that the run which is on has made. What it writes of them is not put back: a derivative of the
        run may still ask for it.
    keys: the memory of the tensors.
    transformed: runs met tensors of torch.func transforms, which let nobody see what is saved for a derivative.
    """

    def __init__(self) -> None:
        self.around: Writes | None = None
        self.made, self._transformed = Made(), False
        self.tensors: dict[int, tuple[Tensor, Tensor, int]] = {}
        self.keys: set[int | None] = set()
        self.generators: dict[int, tuple[torch.Generator, Tensor]] = {}

    def begin(self) -> None:
        """A run begins, which has made no tensor yet."""
        self._transformed = self.transformed
        self.made = Made()

    @property
    def transformed(self) -> bool:
        return self._transformed or self.made.transformed

    def note(self, func: Function, operands: Args, result: Result) -> None:
        """Note the tensors that a call has made."""
        self.made.note(func, operands, result)
        if self.around is not None:
            self.around.note(func, operands, result)

    def save(self, tensor: Tensor) -> bool:
        """Remember a tensor that is about to be written; of a view, what it looks into.

        Returns:
            True if it was there before the run, or before the one that this is a part of.
        """
        owner = owner_of(tensor)
        was_there = owner not in self.made
        if was_there and id(owner) not in self.tensors:
            self.tensors[id(owner)] = (owner, owner.detach().clone(), private.version_of(owner))
            self.keys.add(private.storage_key(owner))
        return was_there if self.around is None else self.around.save(tensor)

    def save_generator(self, generator: torch.Generator) -> None:
        """Remember a generator that is about to be drawn from."""
        if self.around is not None:
            self.around.save_generator(generator)
        if id(generator) not in self.generators:
            self.generators[id(generator)] = (generator, generator.get_state())

    def now(self) -> tuple[list[tuple[Tensor, Tensor, int]], list[tuple[torch.Generator, Tensor]]]:
        """What was saved, as it is now."""
        tensors = [(owner, owner.detach().clone(), private.version_of(owner)) for owner, *_ in self.tensors.values()]
        return tensors, [(generator, generator.get_state()) for generator, _ in self.generators.values()]


class Drew(Exception):
    """Runs drew random numbers where none was known to: they have to be made again, each from a start.

    all: so does the first one.
    """

    def __init__(self, *, all: bool) -> None:
        super().__init__(all)
        self.all = all


class Traceless:
    """The state at the start of a call, and at the end of its first run.

    draws: runs may draw random numbers, so that each has to begin with the states of the start. Where they are not
        known to, the states are looked at once, when all runs have ended: that takes as long as many a small run. So
        it does not take place where no run was watched: the others draw what watched ones did, nothing.
    """

    def __init__(self, root: object, function: Function, args: Args, kwargs: Kwargs, draws: bool = False) -> None:
        self.writes = Writes()
        self._args, self._structure = args, cast(private.TreeSpec | None, None)  # none where all arguments are leaves
        self.leaves: list[Any] = list(args)
        if kwargs or not is_flat(args, kwargs):
            self.leaves, self._structure = private.flatten((args, kwargs))
        self._reached = reached(root, function, *self.leaves)
        if self._structure is not None:
            self._reached.containers += containers_in((args, kwargs))
        self.start = self._end = HeldState.of(self._reached)
        self._random: RandomStates | None = None  # of the start
        self._random_after: RandomStates | None = None
        self.draws = draws
        if draws:
            self.may_draw()

    def may_draw(self) -> None:
        """A run is about to begin that may draw random numbers. The first one has the states of the start."""
        if self._random is None:
            self._random = RandomStates.now()

    def writes_so_far(self) -> list[int]:
        """How often each tensor that the call is given or reaches was written, for who cannot see a write itself."""
        held = (*self.leaves, *self.start.tensors())
        return [private.version_of(tensor) for tensor in held if isinstance(tensor, Tensor)]

    def undo(self) -> None:
        """Put everything back to where the first run began."""
        if self._random is not None:
            self._random.put_back()
        self.start.restore()
        self._put_written_back()

    def first_run_ended(self) -> None:
        """Remember the present state as the one that the call leaves."""
        self._end = HeldState.of(self._reached)
        self._written, self._drawn_from = self.writes.now()
        # What is written cannot be written by a first run again.
        if self._random is not None and (self.draws or self._written or self._drawn_from):
            after = self._random_after = RandomStates.now()
            self.draws = self.draws or not self._random.is_like(after)

    @contextlib.contextmanager
    def further(self) -> Iterator[None]:
        """A block of further runs, after which everything is as the first one left it.

        Raises:
            Drew: the runs drew random numbers, and did not begin with the states of the start; now they would.
        """
        try:
            with silent():
                yield
        finally:
            self._put_written_back()
            for owner, values, version in self._written:
                put_values(owner, values, version)
            for generator, state in self._drawn_from:
                generator.set_state(state)
            self._end.restore()
            if self.draws and self._random_after is not None:
                self._random_after.put_back()
        if not self.draws and self._random is not None:
            self._look_for_draws(self._random)

    def _look_for_draws(self, start: RandomStates) -> None:
        """Raise if the runs that have ended drew random numbers; of them all, where they may not be told apart."""
        after = self._random_after
        if RandomStates.now().is_like(start if after is None else after):
            return
        self.draws = True
        if after is None:
            self.undo()
        else:
            after.put_back()
        raise Drew(all=after is None)

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """A block for a further run whose derivative is taken later: it has what was written as the run saw it.

        What was not, torch keeps itself, and refuses it if it is written before the derivative is taken; so does this.
        """

        def pack(tensor: Tensor) -> tuple[Tensor, int | None]:
            with private.without_function_modes(HostMode):
                seen = tensor.detach()
                if private.storage_key(seen) in self.writes.keys:
                    return seen.clone(), None
                return seen, private.version_of(seen)

        with torch.autograd.graph.saved_tensors_hooks(pack, _unpacked):
            yield

    def from_the_start(self) -> tuple[Args, Kwargs]:
        """Put everything back for one more run; its arguments, in containers of their own."""
        if self.draws and self._random is not None:
            self._random.put_back()
        self.start.restore()
        self._put_written_back()
        if self._structure is None:
            return self._args, {}
        args, kwargs = private.unflatten(list(self.leaves), self._structure)
        return args, kwargs

    def _put_written_back(self) -> None:
        """Give what was written, in whatever run, the values that it had at the start."""
        for owner, values, version in reversed(self.writes.tensors.values()):  # of two aliases the first saw the start
            put_values(owner, values, version)
        for generator, state in self.writes.generators.values():
            generator.set_state(state)


def _unpacked(packed: tuple[Tensor, int | None]) -> Tensor:
    tensor, version = packed
    if version is not None and version != private.version_of(tensor):
        raise RuntimeError(
            "one of the variables needed for gradient computation has been modified by an inplace operation: a tensor "
            f"of shape {list(tensor.shape)} is at version {private.version_of(tensor)}; expected version {version}"
        )
    return tensor


class Printed:
    """A block in which what is printed is counted, so that, printed again, it is let through once."""

    def __enter__(self) -> Printed:
        self._streams = sys.stdout, sys.stderr
        self._counted = [_Counted(stream) for stream in self._streams]
        sys.stdout, sys.stderr = self._counted
        return self

    def __exit__(self, *error: object) -> None:
        sys.stdout, sys.stderr = self._streams

    def again(self) -> None:
        """From here on what was printed so far is printed again."""
        for stream in self._counted:
            stream.rest, stream.count = stream.count, 0


class _Counted:
    """A stream of text that counts what goes through, and holds back the first `rest` of it."""

    def __init__(self, stream: Any) -> None:
        self._stream, self.count, self.rest = stream, 0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Let a text through, but for what was let through before."""
        held = min(self.rest, len(text))
        self.rest -= held
        self.count += len(text)
        if held < len(text):
            self._stream.write(text[held:])
        return len(text)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """A block whose prints and warnings have been let through already."""
    nowhere = io.StringIO()
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
