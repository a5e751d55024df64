"""The arguments and errors that public functions share, documented once and put into the docstring of each.

A function documents what is particular to it. `completed` adds the arguments of its signature that it leaves out, in
the order of the signature, and its errors where it names none; `softtorch.boundary` does so for everything public, so
that `help(softtorch.topk)` reads whole. To add a shared argument: a line in one of the tables.
"""

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

WIDTH = 116
"""Of a completed docstring."""

USUAL: dict[str, str] = {
    "x": "shape (...).",
    "y": "a number, or shape (...).",
    "softness": "in units of x; a number or a tensor that broadcasts against x.",
    "mode": '"hard", "smooth", "c0", "c1", "c2" or "tailed".',
    "gated": "ramps x * sigmoidal(x) instead of the integral of sigmoidal.",
    "neighbor_radius": "how many integers on either side are summed over.",
    "return_log_probs": "give the soft index as log-probabilities; entries of probability 0 are -inf.",
    "log_prob_eps": "with return_log_probs, raise every probability to at least this, then renormalize.",
    "generator": "the source of the noise; torch's own by default.",
}
"""Arguments by name."""

ALONG_AN_AXIS: dict[str, str] = {
    **USUAL,
    "x": "input, (..., n, ...).",
    "dim": "the axis of length n.",
    "dim=None": "the axis of length n; None takes all entries of x as one axis.",
    "interpolation": '"linear", "lower", "higher", "midpoint" or "nearest", as in torch.quantile.',
    "keepdim": "keep dim as an axis of length 1, in a soft index before the trailing [n].",
    "descending": "largest first.",
    "stable": 'in mode "hard", keep the order of equal entries, as torch does.',
    "softness": (
        "how soft the choice is, in units of the standardized input, which lies in (0, 1), or of x with "
        "standardize=False. A positive number or a floating tensor, 0-dim or broadcastable to the batch (x's shape "
        "without dim); tensors may need a gradient and are never read back."
    ),
    "mode": (
        '"smooth", "c0", "c1" or "c2" for the smoothness of the relaxation, "hard" for torch\'s own result; "tailed" '
        "is as smooth here, for scores have no step, but for method lapsum: the mean of two softnesses, this and seven "
        "times as much, so that what is far from being chosen has a derivative, too."
    ),
    "method": "the relaxation, a name in `softtorch.methods.METHODS` or an instance with options of its own.",
    "standardize": (
        "compare sigmoid((x - mean) / sqrt(var + floor)) instead of x, with a floor of 1e-6, or of 1e-6 var where var "
        "is below 1e-3. Values are averages of x itself either way. Of two entries the choice does not depend on how "
        "far apart they are: take standardize=False there."
    ),
    "ot_kwargs": (
        'options of method "ot", which other methods do not read: its solver stops after `sinkhorn_max_iter` steps, or '
        "before where its columns are met to `sinkhorn_tol`."
    ),
    "kernel_size": "one number or one for each axis.",
    "stride": "one number or one for each axis; that of kernel_size by default.",
    "padding": "one number or one for each axis.",
    "dilation": "one number or one for each axis.",
    "ceil_mode": "let the last window reach over the end.",
    "output_size": "one number or one for each axis; None keeps the size of an axis.",
    "gated_grad": "False stops the gradient that flows through the weights of the averages.",
    "return_indices": "False leaves the index out of the pair.",
}
"""Arguments of functions that take a `method` or `keepdim`; "name=default" goes before "name"."""

ERRORS: dict[str, str] = {
    "keepdim": "ShapeError: there is nothing along dim.",
    "dim": "DimensionError: no such dim.",
    "softness": "OptionError: unknown mode, or a softness that is not positive.",
    "kernel_size": "ShapeError: x has too few axes, or a size does not fit them.",
    "output_size": "ShapeError: x has too few axes, or a size does not fit them.",
    "method": "MethodError: the method does not give what is asked of it, or is not defined in this mode.",
}
"""Errors by the argument that they are about."""


def completed(function: Callable[..., Any], soft: Callable[..., Any] | None = None) -> str | None:
    """The docstring of a function or class, with the arguments and errors that it shares with others.

    A straight-through form takes those of the `soft` operator that it is made from, and what that returns.

    >>> def double(x, softness=0.1):
    ...     '''Twice x.
    ...
    ...     Returns:
    ...         Shape (...).
    ...     '''
    >>> print(completed(double))
    Twice x.
    <BLANKLINE>
    Args:
        x: shape (...).
        softness: in units of x; a number or a tensor that broadcasts against x.
    <BLANKLINE>
    Returns:
        Shape (...).
    <BLANKLINE>
    Raises:
        OptionError: unknown mode, or a softness that is not positive.
    """
    if not function.__doc__:
        return function.__doc__
    parameters = inspect.signature(function).parameters
    sections = _sections(inspect.cleandoc(function.__doc__))
    if soft is not None and soft.__doc__:
        sections = {**_sections(inspect.cleandoc(soft.__doc__)), **sections}
        sections.pop("Example", None)
    arguments = _arguments(sections.get("Args", ""), parameters)
    errors = dict.fromkeys(error for name, error in ERRORS.items() if name in parameters)
    parts = {"": sections.pop("")}
    if arguments:
        parts["Args"] = "\n".join(arguments)
    if "Returns" in sections:
        parts["Returns"] = sections["Returns"]
    if errors and "softness" in parameters:
        own = sections.get("Raises", "")
        added = [_entry(error, 8) for error in errors if error.partition(":")[0] not in own]
        parts["Raises"] = "\n".join(filter(None, [own, *added]))
    parts |= {name: text for name, text in sections.items() if name not in parts}
    return "\n\n".join(f"{name}:\n{text}" if name and name != "Source" else text for name, text in parts.items())


def _sections(docstring: str) -> dict[str, str]:
    """A docstring's sections by their heading, and what is in front of the first one under ""."""
    found = re.split(r"\n\n(?=(?:Args|Returns|Raises|Example|Source):)", docstring)
    sections = {"": found[0]}
    for text in found[1:]:
        name, _, rest = text.partition(":")
        sections[name] = text if name == "Source" else rest.lstrip("\n")
    return sections


def _arguments(documented: str, parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    """The entries of all arguments, in the order of the signature."""
    entries = re.split(r"\n(?=    \S)", documented) if documented else []
    named = {name.lstrip("*"): entry for entry in entries for name in entry.partition(":")[0].strip().split(", ")}
    table = ALONG_AN_AXIS if "method" in parameters or "keepdim" in parameters else USUAL
    found = []
    for name, parameter in parameters.items():
        text = table.get(f"{name}={parameter.default}", table.get(name))
        if name in named:
            found.append(named[name])
        elif text is not None:
            found.append(_entry(f"{name}: {text}", 8))
    return list(dict.fromkeys(found))


@cache  # most operators share most of their arguments
def _entry(text: str, later: int) -> str:
    """A text of a section, its first line indented by 4 and those behind it by `later`."""
    return textwrap.fill(text, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * later)
