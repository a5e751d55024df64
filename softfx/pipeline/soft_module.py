"""Softened modules: a module of the original's own kind, in which whatever is called of it runs softened.

The class of a softened module is derived from the original's. Each method that the user's own classes define, and
`forward` and `__call__` in any case, is an entry: called from outside it is a softened run; called by another one of
the same module it is a part of that run, and as it was. Functions that are kept on the instance under such a name, or
that refer to the module, are entries, too.
"""

from __future__ import annotations

import copy
import functools
import types
from collections.abc import Callable, Iterator
from typing import Any, cast

from torch import Tensor, nn

from softfx import torch_private as private
from softfx.capture import sharded
from softfx.ops.calls import Kwargs, Result
from softfx.pipeline.rebinding import rebound_attributes
from softfx.pipeline.softened import Softened
from softfx.report import Report
from softfx.report.words import in_short
from softfx.values.histories import is_leaf

__all__ = ["SoftModule", "hard_copy", "hard_part", "made_soft"]

_FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)
# What torch itself calls of a module, or documents to be overridden, without running the model.
_NO_ENTRIES = frozenset(dir(nn.Module))
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class that Python code has made


class SoftModule:
    """Mixin before the original's class: its methods, softened. Made by `made_soft`."""

    _softfx: Softened
    _entry_names: frozenset[str]

    @property
    def report(self) -> Report:
        """The sites found in the module, and the decision about each."""
        return self._softfx.report

    def extra_repr(self) -> str:
        """What the original's repr says of itself, its sites and their softness."""
        own = cast(nn.Module, super()).extra_repr()
        return ", ".join(filter(None, (own, in_short(self._softfx.report))))

    def _repr_html_(self) -> str:
        return self._softfx.report._repr_html_()

    def __call__(self, *args: Any, **kwargs: Any) -> Result:
        this, original = cast(nn.Module, self), cast(Any, super())
        if type(self).__bases__[1].__call__ is not nn.Module.__call__:
            return self._softfx.run(self, "__call__", original.__call__, args, kwargs)
        if private.has_forward_hooks(this):
            return self._softfx.run(self, "__call__", private.python_call(this), args, kwargs)
        return original.__call__(*args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, _FUNCTIONS) and name in _entries(type(self)):
            value = Entry(self, name, value)
        super().__setattr__(name, value)

    def __reduce_ex__(self, protocol: Any) -> Result:
        return _rebuild, (type(self).__bases__[1],), {**cast(Any, self).__getstate__(), "_softfx": self._softfx}

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A copy; what calls have left in it that has a derivative, such as the state of a metric, by its values."""
        for module in cast(nn.Module, self).modules():
            memo.update({id(t): t.detach().clone() for t in private.leaves(vars(module)) if _has_history(t)})
        if (own := getattr(super(), "__deepcopy__", None)) is not None:
            return own(memo)
        rebuild, args, state = self.__reduce_ex__(4)
        copied = memo[id(self)] = rebuild(*args)
        copied.__setstate__(copy.deepcopy(state, memo))
        return copied


def _has_history(value: object) -> bool:
    """Return True for a tensor that torch copies by its values alone."""
    return isinstance(value, Tensor) and not is_leaf(value)


class Entry:
    """A function of one softened module that is no method of its class."""

    def __init__(self, owner: Any, name: str, function: Callable[..., Any]) -> None:
        self.owner, self.name, self.function = owner, name, function

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        return self.function

    def __call__(self, *args: Any, **kwargs: Any) -> Result:
        state: Softened = self.owner._softfx
        return state.run(self.owner, self.name, self.function, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("owner", "function"):  # what a copy asks before it has any
            raise AttributeError(name)
        return getattr(self.function, name)

    def __repr__(self) -> str:
        return f"Entry({self.function!r})"


# -- classes -----------------------------------------------------------------------------------------------------

_CLASSES: dict[type[nn.Module], type[nn.Module]] = {}


def _soft_class(original: type[nn.Module]) -> type[nn.Module]:
    """The softened class of a class; one each, so that copies and pickles share it."""
    if original not in _CLASSES:
        methods = dict(_methods(original))
        namespace: Kwargs = {"__doc__": original.__doc__, "__module__": original.__module__}
        namespace["_entry_names"] = frozenset(methods)
        made: type[nn.Module] = type(f"Soft{original.__name__}", (SoftModule, original), namespace)
        for name, attribute in methods.items():
            entry = _entry(made, name, attribute)
            if isinstance(entry, functools.cached_property):
                entry.__set_name__(made, name)
            setattr(made, name, entry)
        _CLASSES.setdefault(original, made)
    return _CLASSES[original]


def _entries(soft_class: Any) -> frozenset[str]:
    """The names of the methods of a softened class that are entries."""
    return cast(frozenset[str], soft_class._entry_names)


def _methods(original: type[nn.Module]) -> Iterator[tuple[str, Any]]:
    """The methods and properties of a class that are the user's, each as it stands in the class that defines it."""
    found: dict[str, Any] = {}
    for base in original.__mro__:
        if base is nn.Module or base is object:
            continue
        torchs = base.__module__.partition(".")[0] == "torch"
        for name, attribute in vars(base).items():
            named = name == "forward" or not (torchs or name in _NO_ENTRIES or name.startswith("__"))
            if named and name not in SoftModule.__dict__ and _is_method(attribute):
                found.setdefault(name, attribute)
    found.setdefault("forward", nn.Module.forward)
    yield from found.items()


def _is_method(attribute: object) -> bool:
    if isinstance(attribute, type):
        return False
    if isinstance(attribute, property | functools.cached_property | functools.partialmethod):
        return True
    return isinstance(attribute, staticmethod | classmethod) or (callable(attribute) and hasattr(attribute, "__get__"))


def _entry(soft_class: type[nn.Module], name: str, attribute: Any) -> Any:
    """The attribute of the softened class in place of one of the original's."""

    def hard(self: Any) -> Any:
        return getattr(super(soft_class, self), name)

    if isinstance(attribute, property):

        def get(self: Any) -> Any:
            return self._softfx.run(self, name, lambda: hard(self), (), {})

        return property(get, attribute.fset, attribute.fdel, attribute.__doc__)
    if isinstance(attribute, functools.cached_property):
        return functools.cached_property(lambda self: self._softfx.run(self, name, attribute.func, (self,), {}))
    if isinstance(attribute, staticmethod | classmethod):
        return _OfClass(name, attribute)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._softfx.run(self, name, hard(self), args, kwargs)

    return functools.update_wrapper(method, attribute) if callable(attribute) else method


class _OfClass:
    """A static or class method, which is softened where it is called on a softened module."""

    def __init__(self, name: str, method: Any) -> None:
        self._name, self._method = name, method

    def __get__(self, instance: Any, owner: type) -> Any:
        function = self._method.__get__(instance, owner)
        return function if instance is None else Entry(instance, self._name, function)


def _rebuild(original: type[nn.Module]) -> nn.Module:
    return _empty(_soft_class(original))


# -- modules -----------------------------------------------------------------------------------------------------


def hard_part(target: nn.Module) -> tuple[nn.Module, str]:
    """The module that runs in a target that torch.compile or `soften` has made of it, and what is to be said of that.

    >>> layer = nn.Linear(2, 2)
    >>> hard_part(layer) == (layer, "")
    True
    """
    said = ""
    while (inner := private.compiled_module(target)) is not None:
        target, said = inner, "torch.compile"
    if private.is_compiled_in_place(target):
        said = "its compile()"
    if not said:
        return target, ""
    return target, (
        f"the target was compiled by {said}: what is softened is the original beneath, uncompiled; torch.compile takes "
        "the softened module"
    )


def hard_copy(original: nn.Module, changed: frozenset[int] = frozenset()) -> nn.Module:
    """A shallow copy of a module, or of what a softened one is made of: it shares tensors and submodules, not state.

    changed: the identities of containers that a call changes, which are state.
    """
    kind: Any = type(original).__bases__[1] if isinstance(original, SoftModule) else type(original)
    copy = _empty(kind)
    copy.__dict__.update(rebound_attributes(original, copy, changed))
    copy.__dict__.pop("_softfx", None)
    for name, value in copy.__dict__.items():
        if isinstance(value, Entry):
            copy.__dict__[name] = value.function
    private.forget_compiled(copy)
    sharded.share_state(original, copy)
    return copy


def _empty(kind: Any) -> nn.Module:
    """An instance of just this class, by the `__new__` of the first class in C that it has: its own may do otherwise.

    That of a graph module makes a class for each instance, that of a sharded class one of the class beneath it.
    """
    base: Any = next(base for base in kind.__mro__ if not base.__flags__ & _HEAP_TYPE)
    made: nn.Module = base.__new__(kind)
    return made


def made_soft(copy: nn.Module, state: Softened) -> nn.Module:
    """`copy`, which `hard_copy` made, as a softened module that runs as `state` says."""
    soft = _soft_class(type(copy))
    for name, value in copy.__dict__.items():
        if isinstance(value, _FUNCTIONS) and (name in _entries(soft) or _is_over(value, copy)):
            copy.__dict__[name] = Entry(copy, name, value)
    copy.__class__ = soft
    copy.__dict__["_softfx"] = state
    return copy


def _is_over(function: Any, module: nn.Module) -> bool:
    """Return True for a bound method, a closure or a partial over the module itself."""
    if isinstance(function, types.MethodType):
        return function.__self__ is module
    if isinstance(function, functools.partial):
        return any(value is module for value in (*function.args, *function.keywords.values())) or (
            isinstance(function.func, _FUNCTIONS) and _is_over(function.func, module)
        )
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    return any(cell is module or (isinstance(cell, types.MethodType) and cell.__self__ is module) for cell in cells)


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018  # it raises where there is none
    except ValueError:
        return False
    return True
