"""`remeasure`: the spreads that softness is relative to, measured again on another batch."""

from __future__ import annotations

from typing import Any

from softfx.errors import PolicyError
from softfx.pipeline.softened import softened

__all__ = ["remeasure"]


def remeasure(soft: Any, *args: Any, **kwargs: Any) -> None:
    """Measure again the spreads of what the sites decide about, on one call that leaves no trace.

    Numbers that were measured when the model was softened are enough while the spread of its data stays. Where it moves
    by factors in training, from a last layer that starts small for example, measure again now and then. The softness of
    each site is as many spreads as before.

    Args:
        soft: the module or function that `soften` returned.
        *args: the arguments of one call of it, such as a batch of the data.
        **kwargs: the keyword arguments of that call.

    Raises:
        PolicyError: no site has a softness that is relative to the data.

    Source: Gini's mean difference as a scale, Gerstenberger and Vogel 2015, arXiv 1405.5027.

    >>> import torch, softfx
    >>> policy = {"default": {"softness": {"relative": 0.2}}}
    >>> soft = softfx.soften(lambda x: (x > 0).float().mean(), policy, example_inputs=(torch.randn(100),))
    >>> before = soft.report.sites[0].softness
    >>> softfx.remeasure(soft, 1000 * torch.randn(100))
    >>> soft.report.sites[0].softness > 500 * before
    True
    """
    state = softened(soft, "remeasure")
    if not state.sites.measures:
        raise PolicyError(
            "remeasure: no site has a softness that is relative to the data. Those of a policy with "
            'softness = "auto" or softness = { relative = 0.2 } have. Give such a policy to soften.'
        )
    state.measure(soft, args, kwargs)
