"""Expressions that act on each element, of which programs.py makes programs.

Placeholders: {f} {g} {h} floats, {i} {j} integers, {b} {c} bools, {m} a matrix, {d} a dimension, {s} a number, {k} an
index. A placeholder that occurs twice is the same variable; the later ones like to have the shape of the first.
"""

from __future__ import annotations

__all__ = ["ARITHMETIC", "COMPARISONS", "KINKS", "LOGIC", "STAIRCASES"]

ARITHMETIC = """
{f} + {g}
{f} - {g} * {s}
{f} * {g}
{f} / ({g}.abs() + 0.5)
{f} / {g}
torch.add({f}, {g}, alpha=2)
torch.addcmul({f}, {g}, {h}, value=0.5)
torch.addcdiv({f}, {g}, {h}.abs() + 1)
torch.lerp({f}, {g}, 0.3)
{f} ** 2
{f}.abs() ** 0.5
{f}.pow(3)
torch.exp(-{f}.abs())
torch.expm1({f}.clamp(max=2))
torch.tanh({f})
torch.sigmoid({f})
torch.log({f}.abs())
torch.log1p({f}.abs())
torch.sqrt({f}.abs())
torch.sqrt({f}.relu())
torch.rsqrt({f}.abs() + 0.1)
torch.hypot({f}, {g})
torch.atan2({f}, {g})
{f}.reciprocal()
1 - {f}
-{f}
2 / {f}
{f}.square()
torch.sin({f})
torch.erf({f})
{f}.float()
{f}.double()
{f}.to(torch.bfloat16)
{f}.to({g}.dtype)
{f}.type_as({g})
{f} + {i}
{f} * {b}
{i} * {f}
{f} + {b}
{f}.nan_to_num()
torch.nan_to_num({f}, nan=1.0, posinf=2.0)
{f}.neg().abs()
torch.logaddexp({f}, {g})
torch.special.xlogy({f}.abs(), {g}.abs())
{f}.rsub(1.0)
torch.true_divide({f}, 3)
{f}.mul({s}).add({g})
{f}.addmv({m}, {f})
{f} @ {g}
{f} @ {g}.mT
torch.matmul({f}, {g}.transpose(-1, -2))
{f}.asin()
torch.acos({f}.clamp(-1, 1))
torch.atanh({f}.clamp(-0.9, 0.9))
""".strip().splitlines()

STAIRCASES = """
{f} % 1.0
{f} // 0.7
{f} // {g}
torch.fmod({f}, 0.7)
torch.remainder({f}, {g})
torch.remainder({f}, 0.6)
torch.floor_divide({f}, 0.3)
torch.div({f}, {g}, rounding_mode='floor')
torch.div({f}, 0.4, rounding_mode='trunc')
{f}.frac()
{f}.sign()
torch.sgn({f})
torch.copysign({f}, {g})
torch.heaviside({f}, {g})
{f}.round()
torch.round({f}, decimals=1)
{f}.floor()
torch.ceil({f})
{f}.trunc()
torch.fix({f})
{f}.int()
{f}.long()
{f}.to(torch.int32)
{f}.to(torch.int64) + 1
{f}.bool()
({f} * 3).short()
{f}.sign() * {f}.abs()
torch.signbit({f})
({f} * 4).round() / 4
{f}.floor().long()
{f}.round().int() % 3
{f} + ({f}.round() - {f}).detach()
divmod({f}, 0.5)[0]
{f}.round().clamp(0, 2).long()
""".strip().splitlines()

KINKS = """
{f}.abs()
F.relu({f})
torch.relu({f})
{f}.clamp(-0.5, 0.5)
{f}.clamp(min=0.1)
{f}.clamp(max={g})
torch.clamp({f}, {g}, {h})
torch.clip({f}, 0, 1)
{f}.clamp_min(0.2)
F.hardtanh({f})
F.relu6({f} * 4)
F.leaky_relu({f}, 0.2)
F.elu({f})
F.gelu({f})
F.hardsigmoid({f})
F.hardswish({f})
F.threshold({f}, 0.1, 0.0)
F.softshrink({f})
F.hardshrink({f})
torch.minimum({f}, {g})
torch.maximum({f}, {g})
torch.max({f}, {g})
torch.min({f}, {g})
torch.fmax({f}, {g})
torch.fmin({f}, {g})
{f}.amax(dim={d})
{f}.amin(dim={d}, keepdim=True)
torch.amax({f})
torch.aminmax({f}, dim={d})
F.max_pool1d({f}, 2)
F.max_pool1d({f}.unsqueeze(0), 2, stride=1)
F.softplus({f})
F.logsigmoid({f})
torch.linalg.norm({f})
{f}.norm()
{f}.norm(dim={d})
torch.norm({f}, p=1, dim={d})
F.normalize({f}, dim={d})
torch.cdist({f}, {g})
torch.dist({f}, {g})
F.l1_loss({f}, {g})
F.smooth_l1_loss({f}, {g})
F.huber_loss({f}, {g}, reduction='none')
F.prelu({f}, torch.tensor([0.25], dtype={f}.dtype))
""".strip().splitlines()

COMPARISONS = """
{f} > {g}
{f} >= 0.1
{f} < {g}
{f} <= {s}
0.3 < {f}
{f} == {g}
{f} != {g}
{f} == {f}.max()
torch.gt({f}, 0)
torch.eq({f}, {g})
{f}.le({g})
torch.isclose({f}, {g}, atol=0.2)
{f}.isnan()
torch.isfinite({f})
{f}.isinf()
{i} == {j}
{i} > 1
{i} < {f}
{i} == {k}
torch.isin({i}, torch.tensor([0, 2]))
{b} == {c}
{b} != True
{f}.ne(0)
({f} > 0) & ({f} < 1)
({f} > 0) | ({g} > 0)
(0 < {f}).logical_and({g} < 0.5)
{f}.gt({g}).logical_not()
~({f} > 0.2)
{f}.greater({g})
{f}.less_equal(0.5)
torch.ge({f}, {g})
""".strip().splitlines()

LOGIC = """
{b} & {c}
{b} | {c}
{b} ^ {c}
~{b}
torch.logical_and({b}, {c})
torch.logical_or({b}, {f})
torch.logical_xor({b}, {c})
torch.logical_not({b})
torch.logical_not({f})
{b}.any()
{b}.any(dim={d})
{b}.all(dim={d}, keepdim=True)
torch.all({b})
torch.any({f}, dim={d})
{b}.sum()
{b}.sum(dim={d})
{b}.sum({d}).float()
{b}.float()
{b}.float().mean()
{b}.to({f}.dtype)
{b}.long()
{b}.int().cumsum({d})
torch.cumsum({b}, dim={d})
{b}.float().cumsum({d}) - 1
{b}.double().prod({d})
{b}.type(torch.float32)
{b}.count_nonzero()
torch.count_nonzero({f}, dim={d})
{b}.nonzero()
{b} * {f}
{b}.bitwise_and({c})
torch.bitwise_not({b})
{b}.logical_and({c}).any({d})
{b}.cummax({d})[0]
{b}.argmax({d})
{b}.long().argmax({d})
{b}.to(torch.uint8)
{b}.numel() - {b}.sum()
""".strip().splitlines()
