"""Names of idioms that rules in several files recognise, as reports tell them (RuleContext.recognise).

An idiom of one file has its name there. To tell another one, have the rule that meets its last call recognise it by
what its operands are, and add its spellings to tests/softfx/report/test_idioms.py.
"""

from __future__ import annotations

__all__ = ["CHOSEN", "MADE_OF_CHOICE"]

CHOSEN = "mask of a choice: each place is told whether it was chosen"
MADE_OF_CHOICE = "number made of a choice: compared for each place that it may be"
