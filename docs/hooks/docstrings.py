"""For mkdocstrings: docstrings as Python has them at run time, their doctests as blocks of code.

The operators' docstrings are put together when softtorch is imported (softtorch.shared): each public name has one that
says all its arguments, and the function that it stands for has a shorter one.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import griffe

import softtorch

__all__ = ["Docstrings"]

# A doctest and what it prints: from ">>>" to the end of the paragraph, all indented alike.
_DOCTEST = re.compile(r"^(?P<indent> *)>>> .*\n?(?:(?P=indent)\S.*\n?|(?P=indent) +\S.*\n?)*", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Gives public operators their whole docstring, and puts a fence around each doctest."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change the docstring before it is read into sections."""
        if obj.docstring is None:
            return
        if obj.is_function and obj.path == f"{obj.module.path}.{obj.name}" and obj.path.startswith("softtorch."):
            public = getattr(softtorch, obj.name, None)
            obj.docstring.value = inspect.getdoc(public) or obj.docstring.value
        obj.docstring.value = _DOCTEST.sub(_fenced, obj.docstring.value)


def _fenced(match: re.Match[str]) -> str:
    indent = match["indent"]
    return f"{indent}```pycon\n{match[0].rstrip()}\n{indent}```\n"
