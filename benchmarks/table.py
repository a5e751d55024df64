"""What is measured: the cases P1 to P13, each a call of ours, what it is compared with, and the target.

A target is a bound on ours / theirs: 3 means at most three times as long, 1 / 30 at least thirty times as fast. To add
a case: a line in one of the functions below.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

VALUE_MODES = ("c0", "c1", "c2")
SOFT_MODES = ("smooth", *VALUE_MODES)
ROWS = ((1000, 100), (128, 1000), (1, 100_000))


@dataclass(frozen=True)
class Call:
    """One call in one library; `function` is a dotted name or one of operations.SPECIAL."""

    library: str
    function: str
    shape: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)
    backward: bool = True

    def request(self) -> dict[str, Any]:
        """What worker.py is sent."""
        return asdict(self)


@dataclass(frozen=True)
class Case:
    """A call of ours and what it is measured against."""

    code: str
    name: str
    ours: Call
    others: tuple[tuple[Call, float | None], ...]
    """each with the bound on ours / theirs; None where it is shown for comparison only"""
    memory: float | None = None
    """bound on the extra memory at the peak, in vectors of the input's size"""


@dataclass(frozen=True)
class Growth:
    """A value operator whose time and memory are fitted over sizes."""

    code: str
    name: str
    ours: Call
    sizes: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    exponent: float = 1.1


def cases() -> Iterator[Case]:
    """Every comparison of the table."""
    for part in (_sorting, _windows, _neuralsort, _permutahedron, _networks, _lapsum, _argmax, _elementwise, _hard):
        yield from part()
    yield from _small()


def ours(function: str, shape: tuple[int, ...], backward: bool = True, **options: Any) -> Call:
    return Call("ours", f"softtorch.{function}" if "." not in function else function, shape, options, backward)


def torch_sort(shape: tuple[int, ...]) -> Call:
    return Call("torch", "torch.sort", shape)


def seed(call: Call) -> Call:
    """The same call in SoftTorch 0.1.1."""
    options = {name: value for name, value in call.options.items() if name not in ("return_indices", "method_")}
    if call.function == "softtorch.sort":
        options["return_indices"] = False
    return Call("SoftTorch 0.1.1", call.function, call.shape, options, call.backward)


# name of the operator, its options: what gives values alone, near-linear in n
_VALUES: dict[str, dict[str, Any]] = {
    "sort": {"return_indices": False},
    "rank": {"dim": -1},
    "quantile": {"q": 0.3, "dim": -1},
    "median": {"dim": -1, "return_indices": False},
    "topk": {"k": 100, "return_indices": False},
    "max": {"dim": -1, "return_indices": False},
}


def _sorting() -> Iterator[Case]:
    shape = (1, 1_000_000)
    for name, options in _VALUES.items():
        code, bound, memory = ("P1", 3.0, 40.0) if name == "sort" else ("P2", 5.0, None)
        call = ours(name, shape, method="softsort", **options)
        yield Case(code, f"{name}, softsort", call, ((torch_sort(shape), bound),), memory)
    sharp = ours("sort", shape, method="softsort", return_indices=False, softness=1e-4)
    yield Case("P1", "sort, softsort, softness 1e-4", sharp, ((torch_sort(shape), 3.0),), 40.0)
    raw = ours("sort", shape, method="softsort", return_indices=False, standardize=False)
    yield Case("P1", "sort, softsort, not standardized", raw, ((torch_sort(shape), 3.0),), 40.0)


def _windows() -> Iterator[Case]:
    shape = (1, 100_000)
    for mode in VALUE_MODES:
        for name, options in _VALUES.items():
            call = ours(name, shape, method="softsort", mode=mode, **options)
            yield Case("P3", f"{name}, softsort {mode}", call, ((torch_sort(shape), 15.0),))


def _neuralsort() -> Iterator[Case]:
    for name in ("sort", "rank"):
        for shape in ((2, 3000), (1, 4096)):
            call = ours(name, shape, method="neuralsort", **_VALUES[name])
            yield Case("P4", f"{name}, neuralsort", call, ((seed(call), 1 / 30),))
        large = ours(name, (1, 100_000), method="neuralsort", **_VALUES[name])
        yield Case("P4", f"{name}, neuralsort", large, ((torch_sort(large.shape), None),), memory=2**31 / 400_000)


def _permutahedron() -> Iterator[Case]:
    for shape in ROWS:
        for mode, regularization in (("c0", "l2"), ("smooth", "kl")):
            for name, function in (("sort", "soft_sort"), ("rank", "soft_rank")):
                call = ours(name, shape, method="fast_soft_sort", mode=mode, **_VALUES[name])
                strength = {"regularization": regularization, "regularization_strength": 0.1}
                yield Case(
                    "P5",
                    f"{name}, fast_soft_sort {mode}",
                    call,
                    ((Call("torchsort", f"torchsort.{function}", shape, strength), 4.0),),
                )


def _networks() -> Iterator[Case]:
    shape = (64, 128)
    call = ours("sort", shape, method="sorting_network", return_indices=False)
    network = Call("diffsort", "diffsort", shape, {"network": "bitonic", "steepness": 10.0})
    yield Case("P6", "sort, sorting_network", call, ((seed(call), 1 / 50), (network, 1 / 20)))
    for mode in ("smooth", "c0"):
        call = ours("sort", (64, 64), method="ot", mode=mode, return_indices=False)
        yield Case("P7", f"sort, ot {mode}", call, ((seed(call), 1 / 20),))


def _lapsum() -> Iterator[Case]:
    shape = (1, 1_000_000)
    calls = {
        "topk_mask": ours("topk_mask", shape, k=1000),
        "rank": ours("rank", shape, method="lapsum", dim=-1),
        "sort (permutation product)": ours("sort", shape, method="lapsum", return_indices=False),
        "quantile": ours("quantile", shape, method="lapsum", q=0.3, dim=-1),
        "laplace_quantile": ours("laplace_quantile", shape, q=0.3, dim=-1),
    }
    for name, call in calls.items():
        yield Case("P8", f"{name}, lapsum", call, ((torch_sort(shape), 6.0),))


def _argmax() -> Iterator[Case]:
    for shape in ROWS:
        softmax = Call("torch", "torch.softmax", shape, {"dim": -1})
        chain = Call("torch, the definition", "standardized_softmax", shape, {"softness": 0.1})
        for name in ("argmax", "max"):
            yield Case("P9", f"{name} smooth", ours(name, shape, dim=-1), ((softmax, 2.5), (chain, None)))
        for mode, function in (("c0", "entmax.sparsemax"), ("c1", "entmax.entmax15")):
            call = ours("argmax", shape, dim=-1, mode=mode, standardize=False)
            yield Case("P10", f"argmax {mode}", call, ((Call("entmax", function, shape, {"dim": -1}), 1.0),))


def _elementwise() -> Iterator[Case]:
    shape = (1_000_000,)
    gelu = Call("torch", "torch.nn.functional.gelu", shape)
    softplus = Call("torch's softplus", "torch.nn.functional.softplus", shape, {"beta": 10.0, "threshold": 40.0})
    tight = ("abs", "relu", "sign", "clamp")
    for mode in SOFT_MODES:
        for name in ("sigmoidal", "softrelu", "heaviside", *tight, "eq", "greater", "isclose", "round"):
            bound = {"eq": 2.5, "isclose": 2.5, "round": 6.0}.get(
                name, 1.2 if mode == "smooth" and name in tight else 1.5
            )
            floor = ((softplus, None),) if mode == "smooth" and name in ("softrelu", "relu") else ()
            yield Case("P11", f"{name} {mode}", _pointwise(name, shape, mode=mode), ((gelu, bound), *floor))


def _pointwise(name: str, shape: tuple[int, ...], library: str = "ours", **options: Any) -> Call:
    if name == "clamp":
        return Call(library, "clamped", shape, {"function": "softtorch.clamp", **options})
    if name in ("eq", "greater", "isclose"):
        return Call(library, "compared", shape, {"function": f"softtorch.{name}", **options})
    return Call(library, f"softtorch.{name}", shape, options)


def _hard() -> Iterator[Case]:
    shape = (1_000_000,)
    functions = {"relu": "torch.relu", "round": "torch.round", "sign": "torch.sign", "abs": "torch.abs"}
    for name, function in functions.items():
        call = ours(f"softtorch.{name}_st", shape, backward=False)
        yield Case("P12", f"{name}_st", call, ((Call("torch", function, shape, {}, False), 1.05),))
    for name, function in {"sort": "torch.sort", "max": "torch.max"}.items():
        call = ours(f"softtorch.{name}_st", shape, backward=False, dim=-1, return_indices=False)
        yield Case("P12", f"{name}_st", call, ((Call("torch", function, shape, {"dim": -1}, False), 1.05),))
    small = ours("softtorch.argmax_st", (1000, 100), backward=False, dim=-1)
    hard = ours("argmax", (1000, 100), backward=False, dim=-1, mode="hard")
    yield Case("P12", "argmax_st (against mode hard)", small, ((hard, 1.05),))


def _small() -> Iterator[Case]:
    """Small inputs: no operator is slower than SoftTorch's."""
    shape = (1, 100)
    for mode in SOFT_MODES:
        for method in ("softsort", "neuralsort", "fast_soft_sort", "sorting_network", "ot"):
            for name in ("argmax", "max", "sort", "rank", "topk", "quantile", "median"):
                if (name == "argmax" and method == "fast_soft_sort") or (method == "ot" and name != "sort"):
                    continue
                options = (
                    {"dim": -1}
                    if name not in ("topk", "quantile")
                    else {"topk": {"k": 5}, "quantile": {"q": 0.3, "dim": -1}}[name]
                )
                call = ours(name, shape, method=method, mode=mode, **options)
                yield Case("small", f"{name}, {method} {mode}", call, ((seed(call), 1.0),))
        for name in ("sigmoidal", "abs", "relu", "sign", "clamp", "eq", "greater", "isclose", "round"):
            call = _pointwise(name, shape, mode=mode)
            yield Case("small", f"{name} {mode}", call, ((_pointwise(name, shape, "SoftTorch 0.1.1", mode=mode), 1.0),))


def growths() -> Iterator[Growth]:
    """P13: every value operator, by method and mode."""
    variants = [("softsort", mode) for mode in SOFT_MODES]
    variants += [("neuralsort", "smooth"), ("fast_soft_sort", "c0"), ("fast_soft_sort", "smooth"), ("lapsum", "smooth")]
    for method, mode in variants:
        for name, options in _VALUES.items():
            call = ours(name, (1, 1), method=method, mode=mode, **options)
            # Its time grows like n^1.5; a million entries take minutes.
            sizes = (1_000, 10_000, 100_000) if method == "neuralsort" else (1_000, 10_000, 100_000, 1_000_000)
            yield Growth("P13", f"{name}, {method} {mode}", call, sizes)
