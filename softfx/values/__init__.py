"""Values of a program: the kinds of soft value, the facts of a tensor, and the environment of a run."""

from softfx.values.chosen import SoftChoice
from softfx.values.domains import (
    Emit,
    Kind,
    SelectedRows,
    Soft,
    SoftBool,
    SoftCount,
    SoftIndex,
    SoftReal,
    SoftSign,
    SoftSum,
    Term,
)
from softfx.values.environment import Environment, TensorTable
from softfx.values.facts import (
    FactStore,
    HardHandle,
    Pending,
    ValueFacts,
    facts_by_flag,
    is_stepped,
    is_written_constant,
    unbounded_after,
    without_tensors,
)
from softfx.values.storages import SharedStorage, Storages, Write, was_freed
from softfx.values.tallies import SoftTally, tally_of

__all__ = [
    "Emit",
    "Environment",
    "FactStore",
    "HardHandle",
    "Kind",
    "Pending",
    "SelectedRows",
    "SharedStorage",
    "Soft",
    "SoftBool",
    "SoftChoice",
    "SoftCount",
    "SoftIndex",
    "SoftReal",
    "SoftSign",
    "SoftSum",
    "SoftTally",
    "Storages",
    "TensorTable",
    "Term",
    "ValueFacts",
    "Write",
    "facts_by_flag",
    "is_stepped",
    "is_written_constant",
    "tally_of",
    "unbounded_after",
    "was_freed",
    "without_tensors",
]
