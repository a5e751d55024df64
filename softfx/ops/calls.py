"""Names for the parts of a call, which are anything that a program passes to torch: torch's own border."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

__all__ = ["Args", "Function", "Kwargs", "Options", "Result", "signature_of"]

# A function of torch, of a program, or of another library.
Function: TypeAlias = Callable[..., Any]
# The positional arguments of a call, and those by keyword: tensors in nested containers, numbers, anything else.
Args: TypeAlias = tuple[Any, ...]
Kwargs: TypeAlias = dict[str, Any]
# Keywords that are read and not handed on.
Options: TypeAlias = Mapping[str, Any]
# What a call returns: a tensor, a structure of tensors, a number, anything else.
Result: TypeAlias = Any


@lru_cache(maxsize=4096)
def signature_of(function: Function) -> inspect.Signature:
    """The signature of a function that lasts, such as a rule's; found once."""
    return inspect.signature(function)
