"""Straight-through: the value of a hard function, bit for bit, with the derivative of a soft one.

`straight_through` joins two tensors, `st` and `grad_replace` wrap functions. The straight-through form of every
operator is in operators_st.py, other choices of the derivative (identity, ReinMax, rotation, Gumbel) in estimators.py.
To add one for your own function: `my_function_st = st(my_function)`, where `my_function` takes `mode`.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from torch import Tensor

from softtorch.checks import check_pair
from softtorch.errors import OptionError, message
from softtorch.kernels.joined import joined
from softtorch.kernels.numeric.tracing import differentiating
from softtorch.modes import HARD
from softtorch.straight_through.estimators import Estimator, resolve_estimator

__all__ = ["grad_replace", "st", "straight_through"]

P = ParamSpec("P")
R = TypeVar("R")


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of `hard`, bit for bit, with the derivative of `soft`.

    Nothing is relaxed in the value: infinities, NaN and the sign of zero come through. Where `soft` is not finite,
    or the gradient that arrives is not, the derivative is taken as 0.

    Args:
        hard: the value. Shape (...), any dtype; an integer or bool value comes back in soft's dtype.
        soft: what is differentiated in its place. Shape (...).

    Returns:
        A new tensor like `hard`. Shape (...).

    Raises:
        ShapeError: the two shapes differ, or `soft` is not of a floating type and so has no derivative.

    Source: Bengio, Leonard, Courville 2013, arXiv 1308.3432, section 4.

    Example:
        >>> import torch, softtorch
        >>> x = torch.tensor([0.2, 1.7], requires_grad=True)
        >>> y = softtorch.straight_through(torch.round(x), 3 * x)
        >>> y.sum().backward()
        >>> y.tolist(), x.grad.tolist()
        ([0.0, 2.0], [3.0, 3.0])
    """
    check_pair("straight_through", hard, soft)
    return joined(hard, soft)


def st(fn: Callable[P, R], estimator: str | Estimator = "soft") -> Callable[P, R]:
    """The straight-through form of `fn`: the value of mode="hard" with the derivative of the mode given.

    Only the hard side runs where derivatives are disabled. Wrap a whole computation rather than its steps: the product
    of two straight-through factors has the derivative f' g_hard + f_hard g', their product wrapped as one has f' g_soft
    + f_soft g'.

    Args:
        fn: takes `mode` and returns tensors, alone or in tuples, lists and dicts, None among them allowed.
        estimator: what gives the derivative: "soft", or "identity", "reinmax", "rotation", "gumbel" for the functions
            that these fit.

    Returns:
        A function with the arguments and the structure of results of `fn` in mode "hard"; what is None in the mode
        given has no derivative.

    Raises:
        OptionError: `fn` takes no `mode`, or there is no such estimator; when called, the estimator does not fit.

    Source: Bengio, Leonard, Courville 2013, arXiv 1308.3432, section 4.

    Example:
        >>> import torch, softtorch
        >>> def count(x, mode="smooth"):
        ...     return softtorch.greater(x, 0.0, mode=mode).sum()
        >>> x = torch.tensor([0.1, -0.3], requires_grad=True)
        >>> total = softtorch.st(count)(x)
        >>> total.item(), torch.autograd.grad(total, x)[0].gt(0).all().item()
        (1.0, True)
    """
    place, default, along_dim = _find_mode(fn)
    chosen = resolve_estimator("st", estimator)
    call: Callable[..., R] = fn

    @functools.wraps(fn)
    def straight(*args: P.args, **kwargs: P.kwargs) -> R:
        by_place = place is not None and len(args) > place
        mode = args[place] if by_place and place is not None else kwargs.get("mode", default)
        inputs = chosen.inputs(args, along_dim)
        hard = _with_mode(call, place if by_place else None, inputs, kwargs)
        if mode in ("hard", HARD) or not differentiating():
            return hard
        return cast(R, _combine(hard, chosen.surrogate(hard, lambda: call(*inputs, **kwargs), inputs, along_dim)))

    return straight


def grad_replace(fn: Callable[P, R]) -> Callable[P, R]:
    """Value of `fn(..., forward=True)` with the derivative of `fn(..., forward=False)`.

    `st` for functions that choose between their two sides by something else than `mode`. Only the first side runs where
    derivatives are disabled.

    Args:
        fn: takes a keyword `forward` of type bool and returns tensors, alone or in tuples, lists and dicts.

    Returns:
        A function with the arguments of `fn` less `forward`, and its results.

    Source: Bengio, Leonard, Courville 2013, arXiv 1308.3432, section 4.

    Example:
        >>> import torch, softtorch
        >>> @softtorch.grad_replace
        ... def binarize(x, forward=True):
        ...     return torch.sign(x) if forward else torch.tanh(x)
        >>> x = torch.zeros(1, requires_grad=True)
        >>> torch.autograd.grad(binarize(x).sum(), x)[0].item()
        1.0
    """

    @functools.wraps(fn)
    def replaced(*args: P.args, **kwargs: P.kwargs) -> R:
        call: Callable[..., R] = fn
        hard = call(*args, **kwargs, forward=True)
        if not differentiating():
            return hard
        return cast(R, _combine(hard, call(*args, **kwargs, forward=False)))

    return replaced


def _find_mode(fn: Callable[..., Any]) -> tuple[int | None, Any, bool]:
    """The place of `mode` among the parameters of `fn` (None: by keyword only), its default, and if there is `dim`."""
    parameters = inspect.signature(fn).parameters
    if "mode" in parameters:
        mode = parameters["mode"]
        place = None if mode.kind is mode.KEYWORD_ONLY else list(parameters).index("mode")
        return place, "smooth" if mode.default is mode.empty else mode.default, "dim" in parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None, "smooth", "dim" in parameters
    wrong = f"{getattr(fn, '__name__', fn)!r} takes no argument named mode"
    remedy = "Use grad_replace or straight_through"
    raise OptionError(message("st", wrong, "A function to wrap takes mode", remedy))


def _with_mode(fn: Callable[..., R], place: int | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
    """Call `fn` with mode="hard", put where the caller has put the mode."""
    if place is None:
        return fn(*args, **{**kwargs, "mode": "hard"})
    return fn(*args[:place], "hard", *args[place + 1 :], **kwargs)


def _combine(hard: Any, soft: Any) -> Any:
    """straight_through over every tensor of two results of the same structure."""
    if hard is None or soft is None:
        return hard.detach() if isinstance(hard, Tensor) else hard
    if isinstance(hard, Tensor):
        return straight_through(hard, soft)
    if isinstance(hard, dict):
        return {key: _combine(value, soft[key]) for key, value in hard.items()}
    if isinstance(hard, tuple | list):
        parts = [_combine(one, other) for one, other in zip(hard, soft, strict=True)]
        # A NamedTuple takes its fields one by one, torch's own pairs and plain sequences take an iterable.
        return type(hard)(*parts) if hasattr(hard, "_fields") else type(hard)(parts)
    return hard
