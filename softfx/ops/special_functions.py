"""The records of special functions whose derivatives are infinite somewhere, a part of `table`."""

from __future__ import annotations

from softfx.ops.verbs import computes, loses

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
