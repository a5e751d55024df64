"""Every operation of torch that softfx knows something of, one record a line.

To add an operation, write its line below the verb that fits; `softfx.ops.verbs` says what each verb means. An operation
that is not here is described by what torch's dispatcher declares of it (softfx.ops.spelling). Names stand as in torch,
further names follow. Nothing here knows of softness: an operation that is relaxed, or hands soft values on, has a Rule.
"""

from __future__ import annotations

import operator

from softfx.ops import shapes_from_data
from softfx.ops.operation import Effect, Infix, Integral, Linear, Prefix, Reads, Rows, Subscript, SubscriptAssignment
from softfx.ops.special_functions import *  # noqa: F403  # records as those below
from softfx.ops.verbs import (
    acts_on_autograd,
    allocates,
    branches,
    compares,
    computes,
    contracts,
    creates,
    decomposes,
    draws,
    keeps,
    loses,
    metadata,
    moves,
    orders,
    reads_history,
    reads_number,
    reduces,
    rewrites,
    rounds,
    runs_along,
    selects,
    shapes_by_data,
    shifts,
    shows,
    stops_gradient,
    writes_into,
)

# -- elementwise, whole numbers stay whole -----------------------------------------------------------------------------
add = keeps("add", python=Infix("+", operator.add, ("add",)), commutes=True, linear=Linear.JOINTLY)
sub = keeps("sub", "subtract", python=Infix("-", operator.sub, ("sub",)), linear=Linear.JOINTLY)
mul = keeps(
    "mul", "multiply", python=Infix("*", operator.mul, ("mul",)), commutes=True, spreads=True, linear=Linear.EACH
)
neg = keeps("neg", "negative", python=Prefix("-", operator.neg), linear=Linear.JOINTLY)
abs = keeps("abs", "absolute")
remainder = keeps("remainder", python=Infix("%", operator.mod))
fmod = keeps("fmod")
relu = keeps("relu")
clamp = keeps("clamp", "clip")
clamp_min = keeps("clamp_min")
clamp_max = keeps("clamp_max")
minimum = keeps("minimum", "fmin")
maximum = keeps("maximum", "fmax")
square = keeps("square")
rsub = keeps("rsub", linear=Linear.JOINTLY)
copysign = keeps("copysign")
relu6 = keeps("relu6")
hardtanh = keeps("hardtanh")
threshold = keeps("threshold")
hardshrink = keeps("hardshrink")
fill = keeps("fill")
addcmul = keeps("addcmul", spreads=True)
nan_to_num = keeps("nan_to_num")

# Words by which torch's functions are asked for averages: of groups, of neighbouring pixels.
AVERAGES = frozenset({"mean", "linear", "bilinear", "bicubic", "trilinear", "area"})

# -- elementwise, rounding ---------------------------------------------------------------------------------------------
round = rounds("round")
floor = rounds("floor")
ceil = rounds("ceil")
trunc = rounds("trunc", "fix")
sign = rounds("sign", "sgn")
floor_divide = rounds("floor_divide", python=Infix("//", operator.floordiv))

# -- elementwise, real results -----------------------------------------------------------------------------------------
div = computes("div", "divide", "true_divide", python=Infix("/", operator.truediv, ("div", "true_divide")),
               linear=Linear.FIRST)  # fmt: skip
pow = computes("pow", python=Infix("**", operator.pow, ("pow",)), integral=Integral.OF_NATURAL_POWERS)
sqrt = computes("sqrt")
log = computes("log")
asin = computes("asin", "arcsin")
acos = computes("acos", "arccos")
reciprocal = computes("reciprocal")
rsqrt = computes("rsqrt")
log2 = computes("log2")
log10 = computes("log10")
log1p = computes("log1p")
acosh = computes("acosh", "arccosh")
atanh = computes("atanh", "arctanh")
hypot = computes("hypot")
heaviside = computes("heaviside")
frac = computes("frac")
leaky_relu = computes("leaky_relu")
hardsigmoid = computes("hardsigmoid")
hardswish = computes("hardswish")
softshrink = computes("softshrink")
prelu = computes("prelu", rows=Rows.WEIGHED)
exp = computes("exp")
expm1 = computes("expm1")
exp2 = computes("exp2")
sigmoid = computes("sigmoid", "expit")
tanh = computes("tanh")
sin = computes("sin")
cos = computes("cos")
tan = computes("tan")
sinh = computes("sinh")
cosh = computes("cosh")
asinh = computes("asinh")
atan = computes("atan", "arctan")
atan2 = computes("atan2", "arctan2", spreads=True)
sinc = computes("sinc")
erf = computes("erf")
softplus = computes("softplus")
logsigmoid = computes("logsigmoid", "log_sigmoid")
softsign = computes("softsign")
silu = computes("silu")
gelu = computes("gelu")
mish = computes("mish")
elu = computes("elu")
selu = computes("selu")
celu = computes("celu")
addcdiv = computes("addcdiv")
lerp = computes("lerp", spreads=True)
float_power = computes("float_power")
trunc_divide = decomposes("trunc_divide", integral=Integral.ALWAYS, rows=Rows.EACH)
existing_straight_through = decomposes("existing_straight_through")
unruled = decomposes("unruled")

# -- elementwise, bools ------------------------------------------------------------------------------------------------
gt = compares("gt", "greater", python=Infix(">", operator.gt, ("gt",)))
ge = compares("ge", "greater_equal", python=Infix(">=", operator.ge, ("ge",)))
lt = compares("lt", "less", python=Infix("<", operator.lt, ("lt",)))
le = compares("le", "less_equal", python=Infix("<=", operator.le, ("le",)))
eq = compares("eq", python=Infix("==", operator.eq, ("eq",)))
ne = compares("ne", "not_equal", python=Infix("!=", operator.ne, ("ne",)))
isclose = compares("isclose")
signbit = compares("signbit")
isnan = compares("isnan")
isinf = compares("isinf")
isfinite = compares("isfinite")
isposinf = compares("isposinf")
isneginf = compares("isneginf")
isreal = compares("isreal")
isin = compares("isin", rows=Rows.TOGETHER)
logical_and = compares("logical_and", "bitwise_and", python=Infix("&", operator.and_), commutes=True)
logical_or = compares("logical_or", "bitwise_or", python=Infix("|", operator.or_), commutes=True)
logical_xor = compares("logical_xor", "bitwise_xor", python=Infix("^", operator.xor), commutes=True)
logical_not = compares("logical_not", "bitwise_not", python=Prefix("~", operator.invert))
bitwise_left_shift = shifts("bitwise_left_shift", "__lshift__", "lshift", python=Infix("<<", operator.lshift))
bitwise_right_shift = shifts("bitwise_right_shift", "__rshift__", "rshift", python=Infix(">>", operator.rshift))

# -- conversion and identity -------------------------------------------------------------------------------------------
cast = moves(
    "cast", "to", "type", "type_as", "as_tensor", "float", "double", "half", "bfloat16", "long", "int", "short", "char",
    "byte", "bool", rows=Rows.EACH, keeps_fill=True, effect=Effect.CONVERTS | Effect.METADATA,
)  # fmt: skip
clone = moves("clone", rows=Rows.EACH, keeps_fill=True, linear=Linear.JOINTLY)
contiguous = moves("contiguous", rows=Rows.EACH, linear=Linear.JOINTLY)
cpu, cuda = moves("cpu"), moves("cuda")
requires_grad_ = moves("requires_grad_", rows=Rows.EACH, effect=Effect.AUTOGRAD)
pin_memory = moves("pin_memory")
alias = moves("alias")
resolve_neg, resolve_conj = moves("resolve_neg"), moves("resolve_conj")
positive = moves("positive")
detach, data = stops_gradient("detach"), stops_gradient("data")
apply_, map_, map2_ = rewrites("apply_"), rewrites("map_"), rewrites("map2_")
resize_, resize_as_ = rewrites("resize_"), rewrites("resize_as_")

# -- shapes ------------------------------------------------------------------------------------------------------------
reshape = moves("reshape", rows=Rows.RESHAPED, keeps_fill=True, linear=Linear.JOINTLY)
view = moves("view", rows=Rows.RESHAPED, keeps_fill=True, linear=Linear.JOINTLY)
view_as = moves("view_as", reads=Reads.FIRST)
reshape_as = moves("reshape_as", reads=Reads.FIRST)
expand_as = moves("expand_as", reads=Reads.FIRST, keeps_fill=True)
expand = moves("expand", keeps_fill=True, linear=Linear.JOINTLY)
broadcast_to, broadcast_tensors = moves("broadcast_to", linear=Linear.JOINTLY), moves("broadcast_tensors")
flatten = moves("flatten", rows=Rows.RESHAPED, linear=Linear.JOINTLY)
unflatten = moves("unflatten", linear=Linear.JOINTLY)
squeeze = moves("squeeze", rows=Rows.RESHAPED, keeps_fill=True, linear=Linear.JOINTLY)
unsqueeze = moves("unsqueeze", rows=Rows.EXTENDED, keeps_fill=True, linear=Linear.JOINTLY)
permute = moves("permute", linear=Linear.JOINTLY)
transpose = moves("transpose", "swapaxes", "swapdims", linear=Linear.JOINTLY)
t = moves("t", linear=Linear.JOINTLY)
T = moves("T", linear=Linear.JOINTLY)
mT = moves("mT", linear=Linear.JOINTLY)
H = moves("H")
mH = moves("mH")
adjoint = moves("adjoint")
movedim = moves("movedim", "moveaxis", linear=Linear.JOINTLY)
repeat = moves("repeat", keeps_fill=True, linear=Linear.JOINTLY)
tile = moves("tile", linear=Linear.JOINTLY)
narrow = moves("narrow", linear=Linear.JOINTLY)
select = moves("select", linear=Linear.JOINTLY)
split = moves("split", rows=Rows.PARTED)
split_with_sizes = moves("split_with_sizes")
unsafe_split = moves("unsafe_split")
chunk = moves("chunk", rows=Rows.PARTED)
unsafe_chunk = moves("unsafe_chunk")
tensor_split = moves("tensor_split", rows=Rows.PARTED)
hsplit = moves("hsplit")
vsplit = moves("vsplit")
unbind = moves("unbind", rows=Rows.PARTED)
unfold = moves("unfold")
flip = moves("flip", linear=Linear.JOINTLY)
fliplr = moves("fliplr")
flipud = moves("flipud")
rot90 = moves("rot90")
roll = moves("roll", linear=Linear.JOINTLY)
ravel = moves("ravel", linear=Linear.JOINTLY)
diagonal = moves("diagonal", linear=Linear.JOINTLY)
atleast_1d = moves("atleast_1d")
atleast_2d = moves("atleast_2d")
atleast_3d = moves("atleast_3d")
pad = moves("pad")
cat = moves("cat", "concat", "concatenate", rows=Rows.JOINED)
stack = moves("stack", rows=Rows.STACKED)
hstack = moves("hstack")
vstack = moves("vstack", "row_stack")
interpolate = moves("interpolate", integral=Integral.UNLESS_AVERAGED)
pixel_shuffle, pixel_unshuffle, channel_shuffle = map(moves, ("pixel_shuffle", "pixel_unshuffle", "channel_shuffle"))
diag, diag_embed, diagflat = map(moves, ("diag", "diag_embed", "diagflat"))
column_stack, dstack, block_diag, meshgrid = map(moves, ("column_stack", "dstack", "block_diag", "meshgrid"))
tril = moves("tril")
triu = moves("triu")
repeat_interleave = moves("repeat_interleave", shaped_by_data=shapes_from_data.by_repeats_in_a_tensor)

# -- along axes --------------------------------------------------------------------------------------------------------
rrelu = runs_along("rrelu", effect=Effect.MAY_DRAW)
softmax = runs_along("softmax", dim=1)
log_softmax = runs_along("log_softmax", dim=1)
layer_norm = runs_along("layer_norm")
rms_norm = runs_along("rms_norm")
normalize = runs_along("normalize", dim=2)
norm = runs_along("norm", "vector_norm", dim=2)
scaled_dot_product_attention = runs_along("scaled_dot_product_attention", effect=Effect.MAY_DRAW, rows=Rows.TOGETHER)
matmul = contracts("matmul", "mm", "bmm", "mv", "dot", python=Infix("@", operator.matmul, ("matmul",)),
                   rows=Rows.OWN_AXES)  # fmt: skip
einsum = contracts("einsum")
linear = contracts("linear", rows=Rows.OWN_AXES)
outer = contracts("outer", "ger")
inner, vdot, vecdot, tensordot = map(contracts, ("inner", "vdot", "vecdot", "tensordot"))
kron, cross, trace = map(contracts, ("kron", "cross", "trace"))
addmm, addmv, addr, addbmm, baddbmm = map(contracts, ("addmm", "addmv", "addr", "addbmm", "baddbmm"))
conv1d, conv2d, conv3d = (contracts(f"conv{axes}d") for axes in (1, 2, 3))
conv_transpose1d, conv_transpose2d, conv_transpose3d = (contracts(f"conv_transpose{axes}d") for axes in (1, 2, 3))
avg_pool2d, avg_pool3d = (contracts(f"avg_pool{axes}d", integral=Integral.OF_UNDIVIDED_SUMS) for axes in (2, 3))
sum = reduces("sum", rows=Rows.TOTAL, linear=Linear.JOINTLY)
prod = reduces("prod", rows=Rows.OWN_AXES, spreads=True)
cumsum = reduces("cumsum", rows=Rows.OWN_AXES, linear=Linear.JOINTLY)
cumprod = reduces("cumprod", rows=Rows.OWN_AXES, spreads=True)
mean = reduces("mean", rows=Rows.MEAN, integral=Integral.NEVER, linear=Linear.JOINTLY)
var = reduces("var", rows=Rows.VARIANCE, integral=Integral.NEVER, spreads=True)
std = reduces("std", rows=Rows.DEVIATION, integral=Integral.NEVER, spreads=True)
count_nonzero = reduces("count_nonzero", rows=Rows.COUNT)
reduce_as_integers = decomposes("reduce_as_integers")
any = reduces("any", "_is_any_true")
all = reduces("all", "_is_all_true")
diff = contracts("diff")

# -- by order ----------------------------------------------------------------------------------------------------------
argmax = orders("argmax")
argmin = orders("argmin")
max = orders("max", rows=Rows.LARGEST)
min = orders("min", rows=Rows.SMALLEST)
amax = orders("amax", rows=Rows.LARGEST)
amin = orders("amin", rows=Rows.SMALLEST)
sort = orders("sort")
msort = orders("msort")
topk = orders("topk")
argsort = orders("argsort")
median = orders("median")
kthvalue = orders("kthvalue")
quantile = orders("quantile", integral=Integral.NEVER)
nanquantile = orders("nanquantile", integral=Integral.NEVER)
aminmax = orders("aminmax")
cummax = orders("cummax")
cummin = orders("cummin")
unique = orders("unique", effect=Effect.REFUSES_GRADIENTS, shaped_by_data=shapes_from_data.always)
max_pool1d = orders("max_pool1d", "max_pool1d_with_indices")
max_pool2d = orders("max_pool2d", "max_pool2d_with_indices")
max_pool3d = orders("max_pool3d", "max_pool3d_with_indices")
adaptive_max_pool1d = orders("adaptive_max_pool1d", "adaptive_max_pool1d_with_indices")
adaptive_max_pool2d = orders("adaptive_max_pool2d", "adaptive_max_pool2d_with_indices")
adaptive_max_pool3d = orders("adaptive_max_pool3d", "adaptive_max_pool3d_with_indices")
searchsorted = orders("searchsorted")
bucketize = orders("bucketize")
histc = orders("histc", integral=Integral.ALWAYS)

# -- selecting and writing ---------------------------------------------------------------------------------------------
where = selects("where", rows=Rows.EACH, shaped_by_data=shapes_from_data.by_number_of_hits)
masked_fill = selects("masked_fill", rows=Rows.EACH)
gather = selects("gather")
take_along_dim = selects("take_along_dim")
take = selects("take")
index_select = selects("index_select", rows=Rows.LOOKED_UP)
embedding = selects("embedding")
getitem = selects(
    "getitem", rows=Rows.INDEXED, python=Subscript("[]", operator.getitem), shaped_by_data=shapes_from_data.by_mask
)
unravel_index = selects("unravel_index")
one_hot = writes_into("one_hot", shaped_by_data=shapes_from_data.by_classes_of_data)
scatter = writes_into("scatter")
scatter_add = writes_into("scatter_add")
scatter_reduce = writes_into("scatter_reduce", integral=Integral.UNLESS_AVERAGED)
scatter_extremum = decomposes("scatter_extremum")
index_add = writes_into("index_add", rows=Rows.ADDED)
index_copy = writes_into("index_copy", rows=Rows.ADDED)
index_fill = writes_into("index_fill")
masked_scatter = writes_into("masked_scatter", rows=Rows.WRITTEN)
index_put = writes_into("index_put", rows=Rows.WRITTEN)
setitem = writes_into(
    "setitem", rows=Rows.WRITTEN, effect=Effect.WRITES_FIRST, python=SubscriptAssignment("[]=", operator.setitem)
)
copy_ = writes_into("copy_", effect=Effect.WRITES_FIRST)
zero_ = writes_into("zero_", effect=Effect.WRITES_FIRST)
bincount = writes_into("bincount", shaped_by_data=shapes_from_data.always)

# -- losses ------------------------------------------------------------------------------------------------------------
mse_loss = loses("mse_loss")
l1_loss = loses("l1_loss")
smooth_l1_loss = loses("smooth_l1_loss")
huber_loss = loses("huber_loss")
binary_cross_entropy = loses("binary_cross_entropy")
binary_cross_entropy_with_logits = loses("binary_cross_entropy_with_logits")
cross_entropy = loses("cross_entropy")
nll_loss = loses("nll_loss")

# -- making tensors ----------------------------------------------------------------------------------------------------
zeros = creates("zeros")
ones = creates("ones")
eye = creates("eye")
arange = creates("arange")
full = creates("full", fills=1)
zeros_like = creates("zeros_like", reads=Reads.NONE)
ones_like = creates("ones_like", reads=Reads.NONE)
full_like = creates("full_like", fills=1, reads=Reads.NONE)
new_zeros = creates("new_zeros", reads=Reads.NONE)
new_ones = creates("new_ones", reads=Reads.NONE)
new_full = creates("new_full", fills=2, reads=Reads.NONE)
tensor = creates("tensor", fills=0, integral=Integral.NEVER, effect=Effect.COPIES_VALUES)
scalar_tensor = creates("scalar_tensor", fills=0, integral=Integral.NEVER, effect=Effect.COPIES_VALUES)
deepcopy = creates("deepcopy", "__deepcopy__", integral=Integral.NEVER, effect=Effect.COPIES_VALUES)
new_tensor = creates("new_tensor", integral=Integral.NEVER, reads=Reads.NONE, effect=Effect.COPIES_VALUES)
empty = allocates("empty")
empty_like = allocates("empty_like", reads=Reads.NONE)
new_empty = allocates("new_empty", reads=Reads.NONE)

# -- random ------------------------------------------------------------------------------------------------------------
multinomial = draws("multinomial")
bernoulli = draws("bernoulli")
rand_like = draws("rand_like", reads=Reads.NONE)
randn_like = draws("randn_like", reads=Reads.NONE)
randint_like = draws("randint_like", reads=Reads.NONE)
# torch's dispatcher does not declare that these draw, or that they keep statistics.
gumbel_softmax = draws("gumbel_softmax")
dropout1d = draws("dropout1d")
dropout2d = draws("dropout2d")
dropout3d = draws("dropout3d")
fractional_max_pool2d = draws("fractional_max_pool2d", "fractional_max_pool2d_with_indices")
fractional_max_pool3d = draws("fractional_max_pool3d", "fractional_max_pool3d_with_indices")
batch_norm = runs_along("batch_norm", "native_batch_norm", effect=Effect.WRITES_OTHERS, rows=Rows.TOGETHER)
instance_norm = runs_along("instance_norm", effect=Effect.WRITES_OTHERS, rows=Rows.TOGETHER)

# -- leaving torch -----------------------------------------------------------------------------------------------------
item = reads_number("item", "__int__", "__float__", "__index__", "__complex__")
tolist = reads_number("tolist")
numpy = reads_number("numpy", "__array__", effect=Effect.REFUSES_GRADIENTS)
is_nonzero = branches("is_nonzero", "__bool__")
equal = branches("equal")
allclose = branches("allclose")
nonzero = shapes_by_data("nonzero")
argwhere = shapes_by_data("argwhere")
unique_consecutive = shapes_by_data("unique_consecutive", effect=Effect.REFUSES_GRADIENTS)
masked_select = shapes_by_data("masked_select", rows=Rows.SELECTED)

SHAPE_QUESTIONS = tuple(
    metadata(name, reads=Reads.NONE)
    for name in ("size", "numel", "dim", "stride", "storage_offset", "is_floating_point", "is_contiguous")
)
QUESTIONS = tuple(map(metadata, (
    "ndimension", "nelement", "element_size", "is_complex", "is_signed", "is_same_size", "get_device", "__len__",
    "data_ptr", "untyped_storage", "storage", "result_type", "can_cast", "broadcast_shapes", "is_tensor",
    "is_storage", "is_inference", "is_pinned", "is_shared", "is_set_to", "is_conj", "is_neg", "set_grad_enabled",
    "is_grad_enabled", "__hash__", "dim_order", "dense_dim", "sparse_dim", "set_default_dtype", "get_default_dtype",
    "is_autocast_enabled", "is_nested", "__dir__", "__reduce_ex__", "set_autocast_enabled", "manual_seed",
    "_has_compatible_shallow_copy_type",
)))  # fmt: skip
spell_out = shows("spell_out", "__format__", "__repr__", "__str__")
grad = reads_history("grad")
HISTORY = tuple(map(reads_history, ("requires_grad", "grad_fn", "is_leaf")))
differentiate = acts_on_autograd("differentiate", "autograd.grad")
backward = acts_on_autograd("backward")
AUTOGRAD = tuple(map(acts_on_autograd, ("register_hook", "retain_grad", "register_post_accumulate_grad_hook")))
