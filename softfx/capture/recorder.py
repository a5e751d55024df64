"""The eager frontend: run the original once, on its example inputs, and write down every torch call it makes.

A torch function mode sees each call at the level users write (torch.topk, F.relu, x[i] = v) with its exact line,
through branches, loops, decorators and code no tracer enters. What it cannot promise is that another input takes
the same path: reads of values into Python, data-dependent shapes, custom autograd Functions and state kept between
calls are noted as obstacles, and a program with obstacles is not replayed from its graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from softfx import ops
from softfx import torch_private as private
from softfx.capture import left_attributes, left_buffers
from softfx.capture.compiled_parts import COMPILED, runs_compiled
from softfx.capture.effects import is_out_of_sight
from softfx.capture.escapes import escapes
from softfx.capture.example import function_of
from softfx.capture.later import computes_later, exhausted, holds_tensors
from softfx.capture.memories import Memories
from softfx.capture.preserve import Preserved, copied
from softfx.capture.program import GraphBuilder, Program, Seen
from softfx.capture.threads import watched_threads
from softfx.capture.unreached import inputs_of, sources_of, unreached_sources
from softfx.interpreter.backends import has_whole_elements
from softfx.interpreter.derivatives import Blockage, judged
from softfx.interpreter.host import HostMode
from softfx.interpreter.inline import inlined
from softfx.interpreter.settled import is_seen_finite
from softfx.locations import Location, Place, locate, module_paths, shown_place
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.operation import Effect
from softfx.ops.python_form import python_form
from softfx.ops.spelling import INDEX, Spelled, attribute_of, operand_first, spoken
from softfx.ops.trees import tensors_in
from softfx.report.record import SHAPED_BY_DATA, Break
from softfx.runtime.elements import has_strides
from softfx.values.histories import history_of, is_leaf

__all__ = ["Recorder", "capture", "record"]

_PLAIN_RESULTS = (Tensor, int, float, bool, str, type(None), torch.dtype, torch.device)


class Recorder(HostMode):
    """Writes down calls while they happen: those of the original, or of a graph traced from it."""

    def __init__(self, target: Any, preserved: Preserved, default: Place) -> None:
        super().__init__()
        self.builder = GraphBuilder()
        self.fake = private.FakeTensorMode(allow_non_fake_inputs=True)
        self.preserved = preserved
        self.paths = module_paths(target)
        self.default = default
        self.names = _names(target)
        self.attributes: dict[str, str] = {}
        self.breaks: list[Break] = []
        self.obstacles: dict[str, None] = {}
        self.dynamic: set[Any] = set()  # nodes that depend on an input, a parameter or a draw
        self.transformed = private.in_transform()
        self.memories = Memories()
        self.inference = torch.is_inference_mode_enabled()
        self.autocast = torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")
        self.finite = True  # no tensor has held an infinity or a NaN so far; of several processes each would see others
        self.compiled = False  # a part of it runs what torch.compile has made
        self.alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
        self.gradients = True  # what the calls in the graph so far leave the grad mode at

    def __torch_function__(self, func: Function, types: Any, args: Args = (), kwargs: Kwargs | None = None) -> Result:
        kwargs = kwargs or {}
        if (body := inlined(func)) is not None:
            with self:
                return body(*args, **kwargs)
        spelled = INDEX.of(func)
        args, kwargs = operand_first(spelled, args, kwargs)
        self._meet((args, kwargs))
        self._preserve(spelled, args, kwargs)
        blockage = judged(func, spelled, args, kwargs)  # before a call in place has changed its operands
        written = kwargs.get("out") if "out" in kwargs else args[0] if spelled.in_place and args else None
        form = _form(written)
        gradients = torch.is_grad_enabled()
        result = func(*args, **kwargs)
        self._follow_gradients(func, args, gradients)
        self._record(func, spelled, args, kwargs, result, blockage)
        if isinstance(written, Tensor) and form is not None and result is written and _form(written) != form:
            node = self.builder.last_call()  # x.unsqueeze_(0): it has another form from here on
            self.builder.bind(result, node)
            if "out" in kwargs and (0 not in form[0] or private.base_of(written) is not None):
                self.obstacles["out= gives a tensor another shape"] = None
        return result

    def _preserve(self, spelled: Spelled, args: Any, kwargs: Kwargs) -> None:
        """Save what the call is about to write or draw from, unless it lies in memory of the program's own making."""
        writes = spelled.writes(kwargs)
        for value in (*args, *kwargs.values()):
            if isinstance(value, torch.Generator):
                self.preserved.save(value)
                self.obstacles["it draws from a torch.Generator, whose state a graph would not follow"] = None
            elif writes and isinstance(value, Tensor):
                node = self.builder.node_of(value)
                if node is None:
                    continue
                if node.op != "call_function":
                    self.preserved.save(value)
                elif self.memories.is_outside(value):
                    self.preserved.save_part(value)

    # -- recording ---------------------------------------------------------------------------------------------

    def value(self, tree: Any) -> Any:
        """`tree` with real tensors replaced by fake ones of the same shape."""
        if isinstance(tree, Tensor):
            if not has_strides(tree) or tree.is_quantized:
                kind = tree.dtype if tree.is_quantized else f"{'nested ' * tree.is_nested}layout {tree.layout}"
                self.obstacles[f"a tensor of {kind}, whose elements a graph cannot name"] = None
                shape, dtype = () if tree.is_nested else tree.shape, torch.int32 if tree.is_quantized else tree.dtype
                with self.fake:
                    return torch.empty(shape, dtype=dtype, device=tree.device)
            self.finite = self.finite and (not self.alone or is_seen_finite(tree))
            memory = self.memories.fake(tree)
            empty = private.fake(self.fake, tree) if memory is None else private.fake_on(self.fake, tree, memory)
            if private.in_transform():  # it would stop a tensor from being marked; and no graph is replayed then
                return empty
            return empty.requires_grad_(tree.requires_grad and is_leaf(tree))
        if isinstance(tree, tuple | list) and not isinstance(tree, torch.Size):
            return [self.value(item) for item in tree]
        return tree

    def _meet(self, tree: Any) -> None:
        """Give every tensor among the operands a node."""
        for tensor in tensors_in(tree):
            if self.builder.node_of(tensor) is not None:
                self._check_history(tensor)
                continue
            self.memories.met(tensor)
            name = self.names.get(id(tensor))
            if name is not None:
                node = self.builder.placeholder("p_" + name.replace(".", "_"), tensor)
                self.attributes[node.name] = name
                self.dynamic.add(node)
            else:
                made = self._made_of(tensor)
                node = self.builder.constant(tensor)
                if made is not None:
                    self.obstacles[f"a tensor made out of sight of torch's function protocol ({made})"] = None
                    self.dynamic.add(node)
            node.meta["val"] = self.value(tensor)

    def _made_of(self, tensor: Tensor) -> str | None:
        """How a tensor was made that no call has given, if it depends on what the call computes with."""
        if (history := history_of(tensor)) is not None:
            return str(history.name())
        if any(node in self.dynamic for node in self.builder.sharing(tensor)):
            return "in the memory of another"
        return None

    def _check_history(self, tensor: Tensor) -> None:
        function = history_of(tensor)
        if function is not None and isinstance(function, torch.autograd.function.BackwardCFunction):
            name = type(function).__name__.removesuffix("Backward")
            if name.startswith("GeneratedBackwardFor_"):  # a torch.library operator, which the graph holds whole
                return
            self.obstacles[_custom(name)] = None

    def _record(
        self, func: Function, spelled: Spelled, args: Args, kwargs: Kwargs, result: Result, blockage: Blockage | None
    ) -> None:
        nodes = [self.builder.node_of(tensor) for tensor in tensors_in((args, kwargs))]
        dynamic = any(node in self.dynamic for node in nodes)
        attribute = attribute_of(func)
        if func is not private.set_grad_enabled and not isinstance(result, Tensor):
            made = any(True for _ in tensors_in(result))
            if result is NotImplemented:  # x == None: Python asks the other operand
                return
            read = attribute is not None and not attribute.is_set
            if not made and (result is not None or read):
                self._python_value(func, spelled, dynamic)
                return
        self._note_modes(func, spelled)
        location = self.where()
        if location.function:
            self.obstacles[_custom(location.function)] = None
        self._data_dependent_shape(spelled, args, kwargs, dynamic, location)
        target, arguments = python_form(func, args, kwargs)
        if attribute is not None and attribute.is_set:
            self.obstacles["an attribute of a tensor is replaced"] = None
            return
        if attribute is not None:
            target, arguments = getattr, (args[0], attribute.name)
        node = self.builder.call(target, arguments, kwargs, result, location=location)
        if blockage is not None:
            node.meta["blockage"] = blockage
        drawn = not nodes and bool(spelled.operation.effect & Effect.DRAWS)
        dynamic = dynamic or drawn or "generator" in kwargs
        if dynamic:
            self._mark(node)
        if spelled.writes(kwargs):
            self._mark_written(kwargs.get("out", args[0] if args else None), dynamic)
        elif not dynamic and isinstance(result, Tensor):
            node.meta["whole"] = has_whole_elements(result)
        self._replace(node, self.value(result))

    def _follow_gradients(self, func: Function, args: Args, gradients: bool) -> None:
        """Let the graph switch gradients where torch has done so itself, out of sight: around an autograd.Function."""
        if func is private.set_grad_enabled:
            self.gradients = args[0]
        elif gradients != self.gradients:
            self.gradients = gradients
            self.builder.call(private.set_grad_enabled, (gradients,), {}, None, location=self.where())

    def _note_modes(self, func: Function, spelled: Spelled) -> None:
        """Note what a call does to the autograd graph, and modes that are other than at the beginning."""
        self.compiled = self.compiled or runs_compiled(_run.__code__)
        operation = spelled.operation
        rewrites = spelled.in_place and operation.refuses_gradients  # by a function of Python, or to another size
        if operation.effect & Effect.AUTOGRAD or operation is ops.grad or rewrites or is_out_of_sight(func):
            self.obstacles[f"{_name(func)} inside the call"] = None
        if private.in_transform() and not self.transformed:
            self.obstacles["a torch.func transform inside the call, whose levels a graph would leave"] = None
        if torch.is_inference_mode_enabled() != self.inference:
            self.obstacles["inference mode is switched inside the call"] = None
        if (torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")) != self.autocast:
            self.obstacles["autocast is switched inside the call"] = None

    def _replace(self, node: Any, value: Any) -> None:
        """Metadata holds fake tensors only, in a call's node and in those of its parts."""
        node.meta["val"] = value
        for part in node.users:
            self._replace(part, value[part.args[1]])

    def _mark(self, node: Any) -> None:
        self.dynamic.add(node)
        for user in node.users:
            self._mark(user)

    def _mark_written(self, written: Any, dynamic: bool) -> None:
        """Mark the tensors that a call writes, and all that share their storage, as depending on what the call does."""
        for tensor in tensors_in(written):
            for node in self.builder.sharing(tensor):
                node.meta.pop("whole", None)
                if dynamic:
                    self.dynamic.add(node)

    def where(self) -> Location:
        """The user's call that is running now."""
        return locate(_run.__code__, self.paths, self.default)

    def received(self, name: str, result: Result) -> None:
        self._tell(f"{name} is softened already and runs by its own decisions, see its own report", self.where())
        for tensor in tensors_in(result):
            if self.builder.node_of(tensor) is None:
                node = self.builder.constant(tensor)
                node.meta["val"] = self.value(tensor)
                self.dynamic.add(node)

    def returned(self, leaf: Any) -> None:
        """Note a result that is not plain, and look at what it does later."""
        if isinstance(leaf, _PLAIN_RESULTS):
            return
        kind, place = type(leaf).__name__, Location(self.default.file, self.default.line)
        if isinstance(leaf, torch.Size):
            self.obstacles["it returns a torch.Size, of which a graph makes a tuple"] = None
        elif computes_later(leaf):
            self._tell(f"it returns a {kind}, which computes when it is used and is softened then", place)
            self._meet(_run(self, exhausted, (leaf,), {}))
        else:
            self.obstacles[f"it returns a {kind}, which may hold tensors"] = None
            if holds_tensors(leaf):
                reason = f"it returns a {kind}, which holds tensors: what its methods compute later runs as it is"
                self.breaks.append(Break(reason, place.file, place.line))

    def finished(self, arguments: list[Any], results: list[Any]) -> None:
        """For subclasses: the leaves of the call's arguments as it left them, and of its result."""

    # -- obstacles ---------------------------------------------------------------------------------------------

    def _python_value(self, func: Function, spelled: Spelled, dynamic: bool) -> None:
        if dynamic and not spelled.operation.effect & Effect.METADATA:
            self._obstruct(f"{spoken(spelled.operation, func) or _name(func)} reads a value into Python", self.where())

    def _data_dependent_shape(
        self, spelled: Spelled, args: Any, kwargs: Kwargs, dynamic: bool, location: Location
    ) -> None:
        if dynamic and spelled.operation.shaped_by_data(args, kwargs):
            self._obstruct(f"{spelled.operation.name} {SHAPED_BY_DATA}", location)

    def _tell(self, reason: str, location: Location) -> None:
        """Note a break behind which more may happen than was seen."""
        self.obstacles[reason] = None
        self.breaks.append(Break(reason, location.file, location.line))

    def _obstruct(self, reason: str, location: Location) -> None:
        self.obstacles[f"{reason} ({shown_place(location.file, location.line)})"] = None
        seen = Break(reason, location.file, location.line)
        if seen not in self.breaks:
            self.breaks.append(seen)


def capture(target: Function, args: Args, kwargs: Kwargs, place: Place) -> Program:
    """The calls that `target(*args, **kwargs)` makes. `place` stands in where no user line is involved."""
    return record(target, function_of(target), args, kwargs, lambda preserved: Recorder(target, preserved, place))


def record(
    target: Any, function: Function, args: Args, kwargs: Kwargs, recorder_for: Callable[[Preserved], Recorder]
) -> Program:
    """The program that a recorder sees in `function(*args, **kwargs)`: `target`'s call, or a traced form of it."""
    leaf = None
    with Preserved(target) as preserved:
        recorder = recorder_for(preserved)
        if isinstance(target, nn.Module) and private.has_forward_hooks(target):
            recorder.obstacles["hooks of the module run, which a graph would not call"] = None
        flat, structure = private.flatten((args, kwargs))
        copies = copied(flat)
        call_args, call_kwargs = private.unflatten(copies, structure)
        inputs = _inputs(recorder, copies, inputs_of(function, call_args, call_kwargs))
        before, attributes_before = left_buffers.state_of(target), left_attributes.state_of(target)
        result = _run(recorder, function, call_args, call_kwargs)
        buffers, before = left_buffers.changed(target, before), {}
        attributes, attributes_before = left_attributes.changed(target, attributes_before), {}
        leaves, result_structure = private.flatten(result)
        for leaf in leaves:
            recorder._meet(leaf)
            recorder.returned(leaf)
        recorder.builder.output(leaves)
        recorder.finished(copies, leaves)
        sources = sources_of(target, function, call_args, call_kwargs)
        unreached = unreached_sources(leaves, sources)
        names = {id(tensor): name for name, tensor in sources.items()}
        input_names = [names.get(id(leaf), "") for leaf in copies if isinstance(leaf, Tensor)]
        del result, leaves, leaf, copies, call_args, call_kwargs, sources
        if escaped := escapes(recorder.builder, recorder.dynamic):
            recorder.obstacles[escaped] = None
    for changed in preserved.changed:
        recorder.obstacles[f"the call replaces {changed}: it keeps state between calls"] = None
    for source in preserved.drawn:
        recorder.obstacles[f"the call draws from {source}, whose numbers a graph would repeat"] = None
    why = "every torch call was seen as the original ran" + (COMPILED if recorder.compiled else "")
    return Program(
        Seen("eager", why, tuple(recorder.breaks), tuple(recorder.obstacles), unreached=tuple(unreached)),
        recorder.builder.graph,
        inputs,
        recorder.attributes,
        recorder.builder.constants,
        result_structure,
        preserved.touched,
        preserved.written,
        input_names,
        recorder.finite,
        buffers,
        attributes,
    )


def _inputs(recorder: Recorder, leaves: list[Any], named: Mapping[str, Tensor]) -> list[fx.Node]:
    """A node for each tensor among the arguments, under the name of its argument."""
    names = {id(tensor): name.removesuffix("]") for name, tensor in named.items()}
    inputs: list[fx.Node] = []
    for tensor in (leaf for leaf in leaves if isinstance(leaf, Tensor)):
        node = recorder.builder.placeholder(names.get(id(tensor), "input"), tensor)
        node.meta["val"] = recorder.value(tensor)
        recorder.dynamic.add(node)
        inputs.append(node)
    return inputs


def _form(value: Any) -> Args | None:
    return (tuple(value.shape), value.stride(), value.storage_offset()) if isinstance(value, Tensor) else None


def _name(func: Function) -> str:
    """The name of a function, or of the attribute that it reads."""
    attribute = attribute_of(func)
    return str(getattr(func, "__name__", func)) if attribute is None else attribute.name


def _custom(name: str) -> str:
    return f"the custom autograd.Function {name}, whose backward a graph of its forward would lose"


def _run(recorder: Recorder, function: Function, args: Args, kwargs: Kwargs) -> Result:
    """The boundary: frames further out than this one are not the target's."""
    watched = watched_threads(
        lambda reason: recorder._tell(reason, Location(recorder.default.file, recorder.default.line))
    )
    with watched, torch.enable_grad(), private.PythonOnly(), recorder:
        return function(*args, **kwargs)


def _names(target: Any) -> dict[int, str]:
    """Dotted names of a module's parameters and buffers, by identity."""
    if not isinstance(target, nn.Module):
        return {}
    tensors = (*target.named_buffers(remove_duplicate=False), *target.named_parameters(remove_duplicate=False))
    return {id(tensor): name for name, tensor in tensors}
