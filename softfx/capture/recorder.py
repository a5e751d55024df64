"""The eager frontend: run the original once, on its example inputs, and write down every torch call it makes.

A torch function mode sees each call at the level users write (torch.topk, F.relu, x[i] = v) with its exact line,
through branches, loops, decorators and code no tracer enters. What it cannot promise is that another input takes
the same path: reads of values into Python, data-dependent shapes, custom autograd Functions and state kept between
calls are noted as obstacles, and a program with obstacles is not replayed from its graph.
"""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from softfx import torch_private as private
from softfx.capture.preserve import Preserved, copied
from softfx.capture.program import GraphBuilder, Program, Seen
from softfx.capture.unreached import unfed
from softfx.interpreter.inline import opened
from softfx.locations import Location, Place, locate, module_paths
from softfx.ops.python_form import readable
from softfx.report.record import Break
from softfx.rules import RULES, SPELLING
from softfx.values.domains import tensors_in

__all__ = ["METADATA", "Recorder", "capture", "is_write", "record"]

# What these return does not depend on the elements of their operands.
METADATA = frozenset({
    "__get__", "__set__", "size", "dim", "ndimension", "numel", "nelement", "stride", "storage_offset",
    "element_size", "is_floating_point", "is_complex", "is_contiguous", "is_signed", "is_same_size", "get_device",
    "__len__", "data_ptr", "untyped_storage", "storage", "has_names", "result_type", "can_cast", "broadcast_shapes",
    "is_tensor", "is_storage", "type", "is_inference", "is_pinned", "is_shared", "is_set_to", "is_conj", "is_neg",
    "_set_grad_enabled", "set_grad_enabled", "is_grad_enabled", "__repr__", "__hash__", "__format__", "__str__",
    "dense_dim", "sparse_dim", "set_default_dtype", "get_default_dtype", "is_autocast_enabled", "is_nested",
    "__dir__", "dim_order", "__reduce_ex__", "set_autocast_enabled", "manual_seed", "_has_compatible_shallow_copy_type",
})  # fmt: skip
# What these say differs between calls of one signature.
_HISTORY = frozenset({"requires_grad", "grad_fn", "is_leaf", "grad"})
_WRITES = frozenset({
    "batch_norm", "instance_norm", "__iadd__", "__isub__", "__imul__", "__itruediv__", "__ipow__",
})  # fmt: skip
_HIDDEN_EFFECTS = frozenset({
    "register_hook", "retain_grad", "backward", "grad", "register_post_accumulate_grad_hook",
})  # fmt: skip


class Recorder(TorchFunctionMode):
    """Writes down calls while they happen: those of the original, or of a graph traced from it."""

    def __init__(self, target: Any, preserved: Preserved, default: Place) -> None:
        super().__init__()
        self.builder = GraphBuilder()
        self.fake = private.FakeTensorMode(allow_non_fake_inputs=True)
        self.preserved = preserved
        self.paths = module_paths(target)
        self.default = default
        self.names = _names(target)
        self.lifted: dict[str, str] = {}
        self.breaks: list[Break] = []
        self.obstacles: dict[str, None] = {}
        self.dynamic: set[Any] = set()  # nodes that depend on an input, a parameter or a draw
        self.inference = torch.is_inference_mode_enabled()
        self.autocast = torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if (body := opened(func)) is not None:
            with self:
                return body(*args, **kwargs)
        name = getattr(func, "__name__", "")
        self._meet((args, kwargs))
        self._preserve(func, name, args, kwargs)
        result = func(*args, **kwargs)
        self._record(func, name, args, kwargs, result)
        return result

    def _preserve(self, func: Callable[..., Any], name: str, args: Any, kwargs: dict[str, Any]) -> None:
        """Save what the call is about to write or draw from, unless the program made it itself."""
        writes = is_write(func, name, kwargs)
        for value in (*args, *kwargs.values()):
            if isinstance(value, torch.Generator):
                self.preserved.save(value)
                self.obstacles["it draws from a torch.Generator, whose state a graph would not follow"] = None
            elif writes and isinstance(value, Tensor):
                node = self.builder.node_of(value)
                if node is not None and node.op != "call_function":
                    self.preserved.save(value)

    # -- recording ---------------------------------------------------------------------------------------------

    def value(self, tree: Any) -> Any:
        """`tree` with real tensors replaced by fake ones of the same shape."""
        if isinstance(tree, Tensor):
            if tree.layout is not torch.strided:
                self.obstacles[f"a tensor of layout {tree.layout}, whose elements a graph cannot name"] = None
                with self.fake:
                    return torch.empty(tree.shape, dtype=tree.dtype, device=tree.device)
            empty = private.fake(self.fake, tree)
            return empty.requires_grad_(tree.requires_grad and tree.is_leaf)
        if isinstance(tree, tuple | list) and not isinstance(tree, torch.Size):
            return [self.value(item) for item in tree]
        return tree

    def _meet(self, tree: Any) -> None:
        """Give every tensor among the operands a node."""
        for tensor in tensors_in(tree):
            if self.builder.node_of(tensor) is not None:
                self._check_history(tensor)
                continue
            name = self.names.get(id(tensor))
            if name is not None:
                node = self.builder.placeholder("p_" + name.replace(".", "_"), tensor)
                self.lifted[node.name] = name
                self.dynamic.add(node)
            else:
                node = self.builder.constant(tensor)
                if tensor.grad_fn is not None:
                    self.obstacles[
                        f"a tensor made out of sight of torch's function protocol ({tensor.grad_fn.name()})"
                    ] = None
                    self.dynamic.add(node)
            node.meta["val"] = self.value(tensor)

    def _check_history(self, tensor: Tensor) -> None:
        function = tensor.grad_fn
        if function is not None and isinstance(function, torch.autograd.function.BackwardCFunction):
            name = type(function).__name__.removesuffix("Backward")
            if name.startswith("GeneratedBackwardFor_"):  # a torch.library operator, which the graph holds whole
                return
            self.obstacles[_custom(name)] = None

    def _record(self, func: Callable[..., Any], name: str, args: Any, kwargs: Any, result: Any) -> None:
        nodes = [self.builder.node_of(tensor) for tensor in tensors_in((args, kwargs))]
        dynamic = any(node in self.dynamic for node in nodes)
        if func is not private.set_grad_enabled and not isinstance(result, Tensor):
            made = any(True for _ in tensors_in(result))
            if result is NotImplemented:  # x == None: Python asks the other operand
                return
            if not made and (result is not None or name == "__get__"):
                self._python_value(func, name, dynamic)
                return
        if name in _HIDDEN_EFFECTS:
            self.obstacles[f"{name} inside the call"] = None
        if torch.is_inference_mode_enabled() != self.inference:
            self.obstacles["inference mode is switched inside the call"] = None
        if (torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")) != self.autocast:
            self.obstacles["autocast is switched inside the call"] = None
        location = self.where()
        if location.function:
            self.obstacles[_custom(location.function)] = None
        self._data_dependent_shape(func, args, kwargs, dynamic, location)
        target, arguments = readable(func, args, kwargs)
        if name == "__get__":
            target, arguments = getattr, (args[0], getattr(func, "__self__", func).__name__)
        if name == "__set__":
            self.obstacles["an attribute of a tensor is replaced"] = None
            return
        node = self.builder.call(target, arguments, kwargs, result, location=location)
        drawn = not nodes and name.startswith(("rand", "normal", "bernoulli", "multinomial", "poisson"))
        if dynamic or drawn or "generator" in kwargs:
            self._mark(node)
            if is_write(func, name, kwargs):
                self._mark_written(kwargs.get("out", args[0] if args else None))
        self._describe(node, result)

    def _describe(self, node: Any, result: Any) -> None:
        self._replace(node, self.value(result))

    def _replace(self, node: Any, value: Any) -> None:
        """Metadata holds fake tensors only, in a call's node and in those of its parts."""
        node.meta["val"] = value
        for part in node.users:
            self._replace(part, value[part.args[1]])

    def _mark(self, node: Any) -> None:
        self.dynamic.add(node)
        for user in node.users:
            self._mark(user)

    def _mark_written(self, written: Any) -> None:
        """What a call writes depends on what the call does, and so does all that shares its storage."""
        for tensor in tensors_in(written):
            node = self.builder.node_of(tensor)
            if node not in self.dynamic:
                self.dynamic.update(self.builder.sharing(tensor))

    def where(self) -> Location:
        """The user's call that is running now."""
        return locate(_run.__code__, self.paths, self.default)

    def finished(self, arguments: list[Any], results: list[Any]) -> None:
        """For subclasses: the leaves of the call's arguments as it left them, and of its result."""

    # -- obstacles ---------------------------------------------------------------------------------------------

    def _python_value(self, func: Callable[..., Any], name: str, dynamic: bool) -> None:
        reads_history = name == "__get__" and getattr(getattr(func, "__self__", None), "__name__", "") in _HISTORY
        if not dynamic or (name in METADATA and not reads_history):
            return
        if reads_history:
            name = func.__self__.__name__  # type: ignore[attr-defined]  # the getter's descriptor
        location = self.where()
        self._obstruct(f"{name} reads a value into Python", location)

    def _data_dependent_shape(
        self, func: Callable[..., Any], args: Any, kwargs: dict[str, Any], dynamic: bool, location: Location
    ) -> None:
        spelled = SPELLING.find(func)
        if dynamic and spelled is not None and _is_shaped_by_data(spelled.op, args, kwargs):
            self._obstruct(f"{spelled.op} has a shape that depends on data", location)

    def _obstruct(self, reason: str, location: Location) -> None:
        self.obstacles[f"{reason} ({location.file}:{location.line})"] = None
        seen = Break(reason, location.file, location.line)
        if seen not in self.breaks:
            self.breaks.append(seen)


def is_write(func: Callable[..., Any], name: str, kwargs: dict[str, Any]) -> bool:
    """Whether a call writes one of its operands."""
    spelled = SPELLING.find(func)
    writes = "out" in kwargs or name in _WRITES or (name.endswith("_") and not name.endswith("__"))
    return writes or (spelled is not None and spelled.in_place) or bool(kwargs.get("inplace"))


def _is_shaped_by_data(op: str, args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether the shape of a call's result depends on the elements of its operands."""
    if op == "getitem":
        return any(tensor.dtype in (torch.bool, torch.uint8) for tensor in tensors_in(args[1]))
    if op == "repeat_interleave":
        return any(isinstance(arg, Tensor) for arg in (*args[1:], kwargs.get("repeats")))
    if op == "one_hot":
        return bool((args[1] if len(args) > 1 else kwargs.get("num_classes", -1)) == -1)
    if op == "where":
        return len(args) == 1 and not kwargs
    return bool(op in ("bincount", "unique") or RULES[op].barrier == "shape")


def capture(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], place: Place) -> Program:
    """The calls that `target(*args, **kwargs)` makes. `place` stands in where no user line is involved."""
    return record(target, _function(target), args, kwargs, lambda preserved: Recorder(target, preserved, place))


def record(
    target: Any,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    recorder_for: Callable[[Preserved], Recorder],
) -> Program:
    """What a recorder sees of `function(*args, **kwargs)`, which is `target`'s call or a traced form of it."""
    leaf = None
    with Preserved(target) as preserved:
        recorder = recorder_for(preserved)
        flat, structure = private.flatten((args, kwargs))
        copies = copied(flat)
        inputs: list[fx.Node] = []
        for leaf in copies:
            if isinstance(leaf, Tensor):
                node = recorder.builder.placeholder(f"input_{len(inputs)}", leaf)
                node.meta["val"] = recorder.value(leaf)
                recorder.dynamic.add(node)
                inputs.append(node)
        call_args, call_kwargs = private.unflatten(copies, structure)
        result = _run(recorder, function, call_args, call_kwargs)
        leaves, result_structure = private.flatten(result)
        for leaf in leaves:
            recorder._meet(leaf)
            if not isinstance(leaf, Tensor | int | float | bool | str | type(None)):
                recorder.obstacles[f"it returns a {type(leaf).__name__}, which may hold tensors"] = None
        recorder.builder.output(leaves)
        recorder.finished(copies, leaves)
        starved = unfed(leaves, _sources(target, function, copies, structure))
        del result, leaves, leaf, copies, call_args, call_kwargs
        _note_escapes(recorder)
    for changed in preserved.changed:
        recorder.obstacles[f"the call replaces {changed}: it keeps state between calls"] = None
    for source in preserved.drawn:
        recorder.obstacles[f"the call draws from {source}, whose numbers a graph would repeat"] = None
    why = "every torch call was seen as the original ran"
    return Program(
        Seen("eager", why, recorder.breaks, list(recorder.obstacles), starved=starved),
        recorder.builder.graph,
        inputs,
        recorder.lifted,
        recorder.builder.constants,
        result_structure,
        preserved.touched,
    )


def _custom(name: str) -> str:
    return f"the custom autograd.Function {name}, whose backward a graph of its forward would lose"


def _function(target: Callable[..., Any]) -> Callable[..., Any]:
    return target.forward if isinstance(target, nn.Module) else target


def _run(recorder: Recorder, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The boundary: frames further out than this one are not the target's."""
    with torch.enable_grad(), recorder:
        return function(*args, **kwargs)


def _sources(target: Any, function: Callable[..., Any], copies: list[Any], structure: Any) -> dict[str, Tensor]:
    """Parameters by their dotted names, float inputs by the names of the arguments they are, or are part of."""
    args, kwargs = private.unflatten(copies, structure)
    try:
        arguments = inspect.signature(function).bind(*args, **kwargs).arguments
    except (TypeError, ValueError):  # a builtin without a signature
        arguments = {f"argument {position}": value for position, value in enumerate(args)} | kwargs
    inputs: dict[str, Tensor] = {}
    for name, value in arguments.items():
        tensors = [leaf for leaf in private.leaves(value) if isinstance(leaf, Tensor)]
        single = isinstance(value, Tensor)
        inputs |= {f"input {name}" if single else f"input {name}[{i}]": tensor for i, tensor in enumerate(tensors)}
    parameters = dict(target.named_parameters()) if isinstance(target, nn.Module) else {}
    return inputs | parameters


def _names(target: Any) -> dict[int, str]:
    """Dotted names of a module's parameters and buffers, by identity."""
    if not isinstance(target, nn.Module):
        return {}
    tensors = (*target.named_buffers(remove_duplicate=False), *target.named_parameters(remove_duplicate=False))
    return {id(tensor): name for name, tensor in tensors}


def _outlives(recorder: Recorder, node: fx.Node) -> bool:
    return node.op == "call_function" and node in recorder.dynamic


def _note_escapes(recorder: Recorder) -> None:
    """A tensor made during the call that somebody still holds is state kept between calls."""
    if any(_outlives(recorder, node) for node in recorder.builder.alive()):
        gc.collect()  # slow in a large program: only where something may be no more than a cycle
    for node in recorder.builder.alive():
        if _outlives(recorder, node):
            location = node.meta.get("location")
            where = f" ({location.file}:{location.line})" if location is not None else ""
            recorder.obstacles[
                f"a result of {getattr(node.target, '__name__', node.target)} outlives the call{where}"
            ] = None
            return
