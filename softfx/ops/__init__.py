"""torch's operations as softfx knows them, without softness: `ops.topk` is the record of topk.

`operation` says what a record holds, `verbs` are the kinds of operation, `table` has the records, one a line, and
`spelling` finds the record of whatever function a program calls.
"""

from softfx.ops.table import *  # noqa: F403  # the records, by the names of torch
