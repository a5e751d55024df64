"""The form in which a recorded call reads best in written code: x - y rather than torch.Tensor.sub(x, y).

torch's function protocol hands over method descriptors and wrapped double-underscore methods, some of which have no
importable name; the functions of `operator` do the same and print as operators. Which operation has which operator is a
fact of its record.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from torch import Tensor

from softfx.ops.calls import Args, Function, Kwargs
from softfx.ops.operation import Infix, Operation
from softfx.ops.spelling import INDEX, OLD_NAMES

__all__ = ["INFIX", "IN_PLACE", "PREFIX", "python_form"]


class _Form(NamedTuple):
    """The function of `operator` that a method stands for, and how many operands it then has."""

    function: Function
    operands: int
    reflected: bool = False


def _forms(operations: Iterable[Operation]) -> dict[Any, _Form]:
    found: dict[Any, _Form] = {}
    for operation in operations:
        if (python := operation.python) is None:
            continue
        names = [f"__{name}__" for name in (python.name, *OLD_NAMES.get(python.name, ()))]
        for name in (*names, *python.methods):
            if (method := getattr(Tensor, name, None)) is not None:
                found[method] = _Form(python.function, python.operands)
        reflected = [f"__r{name.strip('_')}__" for name in names] if isinstance(python, Infix) else []
        for name in [] if operation.commutes else reflected:
            if (method := getattr(Tensor, name, None)) is not None:
                found[method] = _Form(python.function, python.operands, reflected=True)
        in_place = python.in_place if isinstance(python, Infix) else None
        if in_place is not None and (method := getattr(Tensor, f"__{in_place.__name__}__", None)) is not None:
            found[method] = _Form(in_place, python.operands)
    return found


_FORMS = _forms(INDEX)
# The functions of `operator` and the symbols that they are written with.
INFIX = {o.python.function: o.python.symbol for o in INDEX if isinstance(o.python, Infix)}
PREFIX = {o.python.function: o.python.symbol for o in INDEX if o.python is not None and o.python.operands == 1}
IN_PLACE = {o.python.in_place: o.python.symbol + "=" for o in INDEX if isinstance(o.python, Infix)}


def python_form(func: Function, args: Args, kwargs: Kwargs) -> tuple[Function, Args]:
    """A function and arguments that do the same and print well.

    >>> import torch
    >>> python_form(torch.Tensor.gt, (torch.ones(1), 0), {})[0]
    <built-in function gt>
    """
    form = None if kwargs else _FORMS.get(func)
    if form is None or len(args) != form.operands:
        return func, args
    return form.function, (args[1], args[0]) if form.reflected else args
