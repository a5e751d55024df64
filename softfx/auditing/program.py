"""A target and its softened copy as functions of the tensors that are audited: losses, gradients, random steps.

What is measured is the mean of the loss over the batches. A parameter is one in all of them; an input is its batch's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from softfx import torch_private
from softfx.capture.example import function_of
from softfx.capture.preserve import Preserved
from softfx.capture.unreached import inputs_of
from softfx.errors import TargetError, brief
from softfx.ops.calls import Args, Function, Kwargs, Options, Result
from softfx.pipeline.given import check_inputs

__all__ = ["Batch", "Loss", "Program", "batches_of", "digest_of", "is_missing"]

Loss = Callable[[Any], Tensor]
Batch = tuple[Args, Kwargs]
Runner = Callable[[Function, Args, Kwargs], Result]

_MOST_BATCHES = 4  # of a loader: each takes as many calls as the first


def batches_of(
    where: str, inputs: Sequence[Any] | None, kwargs: Options | None, loader: Iterable[Any] | None
) -> list[Batch]:
    """The calls that are measured: that of the example inputs, or those of the first batches of a loader."""
    if loader is None:
        check_inputs(where, inputs, kwargs)
        return [(tuple(inputs or ()), dict(kwargs or {}))]
    if inputs is not None or kwargs is not None:
        raise TargetError(f"{where}: both a loader and example inputs are given. Give one of them.")
    if isinstance(loader, Tensor) or not isinstance(loader, Iterable):
        raise TargetError(
            f"{where}: loader = {brief(loader)} gives no batches. Legal is an iterable of batches, such as a "
            "DataLoader; a batch is a tuple of arguments, a dict of them by name, or one tensor. Write loader=[(x, y)]."
        )
    found = [_call(batch) for batch in islice(loader, _MOST_BATCHES)]
    if not found:
        raise TargetError(f"{where}: the loader gives no batch. Give one that has at least one.")
    return found


def _call(batch: Any) -> Batch:
    if isinstance(batch, Mapping):
        return (), {str(name): value for name, value in batch.items()}
    return (tuple(batch), {}) if isinstance(batch, tuple | list) else ((batch,), {})


@dataclass
class _Call:
    """The arguments of one batch, and the tensors among them that are audited, by name.

    names: the name of each tensor by its place among the leaves of the arguments, as a report has it.
    """

    leaves: list[Any]
    structure: Any
    names: dict[int, str]

    @classmethod
    def of(cls, function: Function, batch: Batch, prefix: str) -> _Call:
        leaves, structure = torch_private.flatten(batch)
        unnamed: dict[int, list[str]] = {}  # a tensor that is given twice has two names
        for name, tensor in inputs_of(function, *batch).items():
            unnamed.setdefault(id(tensor), []).append(f"{prefix}input {name}")
        names = {
            place: unnamed[id(leaf)].pop(0)
            for place, leaf in enumerate(leaves)
            if isinstance(leaf, Tensor) and unnamed.get(id(leaf))
        }
        return cls(leaves, structure, names)

    @property
    def inputs(self) -> dict[str, Tensor]:
        """The tensors that can be audited."""
        named = {name: self.leaves[place] for place, name in self.names.items()}
        return {name: leaf for name, leaf in named.items() if leaf.is_floating_point() and leaf.numel()}

    def arguments(self, values: Mapping[str, Tensor]) -> Batch:
        """Copies of the arguments, these values in the place of the audited tensors."""
        found = [
            values.get(self.names.get(place, ""), leaf.detach().clone()) if isinstance(leaf, Tensor) else leaf
            for place, leaf in enumerate(self.leaves)
        ]
        args, kwargs = torch_private.unflatten(found, self.structure)
        return args, kwargs


@dataclass
class Program:
    """A target and its softened copy.

    values: the audited tensors by name: trainable parameters, and inputs.
    """

    where: str
    target: Any
    soft: Any
    batches: list[Batch]
    loss: Loss | None
    seed: int
    values: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        several = len(self.batches) > 1
        function = function_of(self.target)
        self.calls = [
            _Call.of(function, batch, f"batch {place}, " if several else "") for place, batch in enumerate(self.batches)
        ]
        floating = {name: leaf for call in self.calls for name, leaf in call.inputs.items()}
        module = self.target if isinstance(self.target, nn.Module) else nn.Module()
        self.parameters = {name: p for name, p in module.named_parameters() if p.requires_grad and p.numel()}
        self._buffers = dict(module.named_buffers())
        chosen = self.parameters | {name: leaf for name, leaf in floating.items() if leaf.requires_grad}
        tensors = chosen or floating
        if not tensors:
            raise TargetError(
                f"{self.where}: the target has no trainable parameter and no floating input, so there is no gradient "
                "to judge. Give an input that is a floating tensor."
            )
        self.values = {name: tensor.detach().clone() for name, tensor in tensors.items()}

    # -- one call ------------------------------------------------------------------------------------------------

    def loss_of(self, program: Any, place: int, values: Mapping[str, Tensor], seed: int) -> Tensor:
        """The loss of one call on a batch with these values in the place of the audited tensors."""
        torch.manual_seed(seed)
        args, kwargs = self.calls[place].arguments(values)
        if program is self.target and isinstance(program, nn.Module):
            own = {name: values[name] for name in self.parameters}
            result = functional_call(program, own | self._fresh_buffers(), args, kwargs)
        else:
            result = program(*args, **kwargs)
        return self.number(result)

    def run(self, run: Runner, place: int, seed: int) -> Tensor:
        """The loss of one call of the target on a batch, made by `run(function, args, kwargs)`."""
        torch.manual_seed(seed)
        inputs = self.calls[place].inputs.items()
        wanted = torch.is_grad_enabled()
        copies = {name: leaf.detach().clone().requires_grad_(wanted) for name, leaf in inputs}
        args, kwargs = self.calls[place].arguments(copies)
        function = function_of(self.target)
        if self._buffers:
            function = partial(_with_buffers, self.target, self._fresh_buffers())
        return self.number(run(function, args, kwargs))

    def _fresh_buffers(self) -> dict[str, Tensor]:
        return {name: buffer.clone() for name, buffer in self._buffers.items()}

    def number(self, result: Any) -> Tensor:
        """The loss of a result, ()."""
        if self.loss is not None:
            number = self.loss(result)
            if not isinstance(number, Tensor) or number.dim():
                raise TargetError(f"{self.where}: loss gives no 0-dim tensor. Return one number, such as a mean.")
            return number.double()
        leaves = [x for x in torch_private.leaves(result) if isinstance(x, Tensor) and x.is_floating_point()]
        if not leaves:
            raise TargetError(
                f"{self.where}: the target has no floating result, and others carry no gradient. Return a floating "
                "tensor."
            )
        if len(leaves) == 1 and leaves[0].numel() == 1:
            return leaves[0].double().sum()
        generator = torch.Generator().manual_seed(self.seed)
        factors = [torch.randn(leaf.shape, generator=generator).to(leaf.device) for leaf in leaves]
        return torch.stack([(leaf.double() * f).sum() for leaf, f in zip(leaves, factors, strict=True)]).sum()

    # -- the mean over the batches -------------------------------------------------------------------------------

    def gradients(self, program: Any, seed: int) -> dict[str, Tensor]:
        """The gradient of each audited tensor, flat; zeros where nothing leads to it."""
        found = {name: torch.zeros_like(value).flatten().double() for name, value in self.values.items()}
        for place in range(len(self.calls)):
            for name, gradient in self._gradients(program, place, seed).items():
                found[name] += gradient / len(self.calls)
        return found

    def _gradients(self, program: Any, place: int, seed: int) -> dict[str, Tensor]:
        inputs = {name: value.clone().requires_grad_() for name, value in self.values.items()}
        sources = inputs | self.parameters if program is self.soft else inputs
        with torch.enable_grad(), Preserved(program):
            handed = {name: value * 1 if name not in self.parameters else value for name, value in inputs.items()}
            loss = self.loss_of(program, place, handed, seed)
            wanted = [sources[name] for name in self.values]
            none: list[Tensor | None] = [None] * len(wanted)
            try:
                found = torch.autograd.grad(loss, wanted, allow_unused=True) if loss.requires_grad else none
            except RuntimeError as failure:
                if program is not self.target or not is_missing(failure):
                    raise
                found = none
        pairs = zip(self.values, found, strict=True)
        return {name: own.detach().flatten().double() for name, own in pairs if own is not None}

    def reference_block(
        self, sigmas: Mapping[str, float], pairs: int, seed: int, tick: Callable[[], None]
    ) -> dict[str, Tensor]:
        """The mean of some antithetic pairs of the smoothed original's gradient, for each audited tensor, flat.

        sigmas: the standard deviation of the steps.
        seed: of the steps, and of what the program draws.
        tick: is called after each pair.
        """
        generator = torch.Generator().manual_seed(seed)
        sums = {name: torch.zeros(value.numel(), dtype=torch.float64) for name, value in self.values.items()}
        for _ in range(pairs):
            steps = {name: torch.randn(value.shape, generator=generator) for name, value in self.values.items()}
            ends = [self._ends(steps, sigmas, sign, seed) for sign in (1.0, -1.0)]
            answers = [(end - other) / (2 * len(self.calls)) for end, other in zip(*ends, strict=True)]
            for name, step in steps.items():
                own = [a for call, a in zip(self.calls, answers, strict=True) if self._reaches(name, call)]
                sums[name] += step.flatten().double() * (sum(own) / sigmas[name])
            tick()
        return {name: total.to(self.values[name].device) / pairs for name, total in sums.items()}

    def _reaches(self, name: str, call: _Call) -> bool:
        """Return True if a batch's loss depends on this audited tensor: an input is its own batch's."""
        return name in self.parameters or name in call.inputs

    def _ends(self, steps: Mapping[str, Tensor], sigmas: Mapping[str, float], sign: float, seed: int) -> list[float]:
        moved = {name: value + (sign * sigmas[name] * steps[name]).to(value) for name, value in self.values.items()}
        with torch.no_grad():
            return [float(self.loss_of(self.target, place, moved, seed)) for place in range(len(self.calls))]


def is_missing(failure: RuntimeError) -> bool:
    """Return True for torch's word that an operation, such as heaviside, has no derivative: the original has none."""
    return "derivative for " in str(failure) and "not implemented" in str(failure)


def _with_buffers(module: nn.Module, buffers: dict[str, Tensor], *args: Any, **kwargs: Any) -> Result:
    """A call of a module that leaves its own buffers as they are."""
    return functional_call(module, buffers, args, kwargs)


def digest_of(programs: Sequence[Program]) -> str:
    """A hash of the batches of programs with one target, and of its parameters and buffers."""
    digest = hashlib.sha256()
    target = programs[0].target
    state = list(target.state_dict().values()) if isinstance(target, nn.Module) else []
    for value in torch_private.leaves((state, [program.batches for program in programs])):
        digest.update(_bytes(value))
    return digest.hexdigest()[:16]


def _bytes(value: object) -> bytes:
    if not isinstance(value, Tensor):
        return repr(value).encode()
    if not value.numel():
        return b""
    return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
