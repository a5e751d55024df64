"""torch's rule for the dtype of mixed operands, in Python: torch.compile cannot trace torch.result_type."""

import torch
from torch import Tensor


def promoted(*operands: Tensor | float) -> torch.dtype:
    """The dtype torch gives an operation on these: tensors with dims, then 0-dim ones, then Python numbers decide.

    A later group counts only where it is of a higher kind (bool, integer, floating, complex) than those before it.

    >>> promoted(torch.ones(2, dtype=torch.bfloat16), torch.ones((), dtype=torch.float64), 3)
    torch.bfloat16
    >>> promoted(torch.ones(2, dtype=torch.int64), 0.5), promoted(True, 2)
    (torch.float32, torch.int64)
    """
    tensors = [operand for operand in operands if isinstance(operand, Tensor)]
    groups = [
        [operand.dtype for operand in tensors if operand.dim() > 0],
        [operand.dtype for operand in tensors if operand.dim() == 0],
        [_dtype_of_number(operand) for operand in operands if not isinstance(operand, Tensor)],
    ]
    result = torch.bool
    for group in groups:
        if group:
            dtype = group[0]
            for other in group[1:]:
                dtype = torch.promote_types(dtype, other)
            result = dtype if _kind(dtype) > _kind(result) else result
    return result


def as_tensor(operand: Tensor | float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """`operand` as a tensor of this dtype, made or brought to the device when it is a number or 0-dim."""
    if not isinstance(operand, Tensor):
        return torch.full((), operand, dtype=dtype, device=device)
    return operand.to(device=device, dtype=dtype) if operand.dim() == 0 else operand.to(dtype)


def _dtype_of_number(number: float) -> torch.dtype:
    if isinstance(number, bool):
        return torch.bool
    return torch.int64 if isinstance(number, int) else torch.get_default_dtype()


def _kind(dtype: torch.dtype) -> int:
    if dtype.is_complex:
        return 3
    if dtype.is_floating_point:
        return 2
    return int(dtype != torch.bool)
