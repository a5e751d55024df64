"""What Python decides by a value that it reads: no function of torch is called for it.

`branches` and `reads_number` are the calls that read; a membership is of a mask's element in what the mask selects.
These records are not in the index of spellings, for torch.linalg.cond is something else.
"""

from __future__ import annotations

from softfx.ops.verbs import decomposes

__all__ = ["CONTROL_FLOW", "branch", "cond", "membership", "read_integer", "read_real", "while_loop"]

branch = decomposes("branch")
read_integer = decomposes("read_integer")
read_real = decomposes("read_real")
cond = decomposes("cond")
while_loop = decomposes("while_loop")
membership = decomposes("membership")

_ALL = (branch, read_integer, read_real, cond, while_loop, membership)
CONTROL_FLOW = {operation.name: operation for operation in _ALL}
