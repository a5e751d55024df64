"""What Python decides by a value that it reads: no function of torch is called for it.

`branches` and `reads_number` are the calls that read. These records are not in the index of spellings, for
torch.linalg.cond is something else.
"""

from __future__ import annotations

from softfx.ops.verbs import decomposes

__all__ = ["CONTROL_FLOW", "branch", "cond", "read_integer", "read_real", "while_loop"]

branch = decomposes("branch")
read_integer = decomposes("read_integer")
read_real = decomposes("read_real")
cond = decomposes("cond")
while_loop = decomposes("while_loop")

CONTROL_FLOW = {operation.name: operation for operation in (branch, read_integer, read_real, cond, while_loop)}
