"""The records of further functions whose derivatives are infinite or NaN somewhere, a part of `table`."""

from __future__ import annotations

from softfx.ops.operation import Integral
from softfx.ops.verbs import computes, loses, reduces, runs_along

digamma = computes("digamma", "psi")
polygamma = computes("polygamma")
mvlgamma = computes("mvlgamma", "multigammaln")
entr = computes("entr")
erfinv = computes("erfinv")
ndtri = computes("ndtri")
log_ndtr = computes("log_ndtr")
i0 = computes("i0")
i1 = computes("i1")
xlogy = computes("xlogy")
xlog1py = computes("xlog1py")
logaddexp = computes("logaddexp")
logaddexp2 = computes("logaddexp2")
ldexp = computes("ldexp")
kl_div = loses("kl_div")
lgamma = computes("lgamma", "gammaln")
logit = computes("logit")
erfcx = computes("erfcx")
gammainc = computes("gammainc", "igamma")
gammaincc = computes("gammaincc", "igammac")
zeta = computes("zeta")
soft_margin_loss = loses("soft_margin_loss")
poisson_nll_loss = loses("poisson_nll_loss")
cosine_similarity = runs_along("cosine_similarity", dim=2)
group_norm = runs_along("group_norm")
local_response_norm = runs_along("local_response_norm")
corrcoef = reduces("corrcoef", integral=Integral.NEVER)
slogdet = runs_along("slogdet")
logdet = runs_along("logdet")
eigh = runs_along("eigh")
svd = runs_along("svd")
qr = runs_along("qr")
