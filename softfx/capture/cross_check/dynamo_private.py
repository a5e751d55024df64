"""The private interfaces of torch._dynamo that the Dynamo cross-check uses, with the reason; nothing else imports it.

They are apart from softfx/torch_private.py because importing torch._dynamo takes seconds.

- convert_frame.fullgraph_capture, CaptureOutput: what torch.compile and torch.export share. The public ways leave
  traces or lose what is needed: torch.compile puts its result into the cache of the function's code object, where it
  counts against the user's own recompile limit; torch._dynamo.export and torch.export reset every compiled function
  of the process; torch.export traces below torch's functions and loses custom autograd.Functions.
- config.patch: the settings of one capture.
- utils.get_metrics_context: fullgraph_capture must run inside of one.
- exc.TorchDynamoException: tells Dynamo's own refusals from its failures.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import fx
from torch._dynamo import config
from torch._dynamo.convert_frame import CaptureOutput, fullgraph_capture
from torch._dynamo.exc import TorchDynamoException
from torch._dynamo.utils import get_metrics_context

from softfx.ops.calls import Args, Function, Kwargs

__all__ = ["Refusal", "Traced", "trace", "tracing"]

# Shapes and numbers are those of the example, as everywhere in softfx; what depends on data is captured and then
# found by the recorder, which says so with its line, rather than refused.
_CONFIG = {
    "specialize_int": True,
    "specialize_float": True,
    "assume_static_by_default": True,
    "automatic_dynamic_shapes": False,
    "capture_dynamic_output_shape_ops": True,
    "capture_scalar_outputs": True,
}

Refusal = TorchDynamoException


@dataclass
class Traced:
    """Dynamo's account of one call, and the globals in which it left what the call needs."""

    output: CaptureOutput
    scope: dict[str, object]

    @property
    def has_graph(self) -> bool:
        """False if the call makes no torch call that Dynamo could write down."""
        return self.output.backend_input is not None

    def callable(self, run: Callable[[fx.GraphModule], Function]) -> Function:
        """The traced call as a function of the target's arguments, which Dynamo's bytecode hands to the graph."""
        assert self.output.backend_input is not None
        graph = run(self.output.backend_input.graph_module)
        return self.output.forward_callable(compiled_fn=graph, extra_globals=self.scope)


@contextmanager
def tracing() -> Iterator[None]:
    """The settings and the context that `trace` needs."""
    with config.patch(_CONFIG), get_metrics_context():
        yield


def trace(root: types.FunctionType, args: Args, kwargs: Kwargs) -> Traced:
    """One graph of the call `root(*args, **kwargs)`. Dynamo writes into the globals of `root`."""
    return Traced(fullgraph_capture(root, args, kwargs), root.__globals__)
