"""Statements that set {v}: writes, blocks of Python, layers and state of a module.

Other placeholders as in elementwise.py.
"""

from __future__ import annotations

__all__ = ["BLOCKS", "LAYERS", "MODULE_STATE", "WRITES"]

WRITES = """
{v} = {f}.clone(); {v}[{b}] = 0.0
{v} = {f}.clone(); {v}[{b}] = {g}[{b}]
{v} = {f}.clone(); {v}[{b}] *= 2
{v} = {f} * 1; {v}[{i}] = 1.0
{v} = {f} * 1; {v}[{i}] += 1.0
{v} = {f} * 1; {v}[..., 0] = {s}
{v} = {f} * 1; {v}[..., {k}:] += 1.5
{v} = {f} * 1; {v}.clamp_(-0.5, 0.5)
{v} = {f} * 1; {v}.round_()
{v} = {f} * 1; {v}.masked_fill_({b}, 0.5)
{v} = {f} * 1; {v} += {g}
{v} = {f} * 1; {v} *= {g}.sign()
{v} = {f} * 1; {v} -= ({g} > 0).to({g}.dtype)
{v} = {f} * 1; {v}.relu_()
{v} = {f} * 1; {v}.add_({g}).mul_(0.5)
{v} = {f} * 1; {v}.copy_({g})
{v} = {f} * 1; {v}.floor_().sub_({f})
{v} = {f} * 1; {v}.sigmoid_(); {v} = {v} > 0.5
{v} = torch.zeros_like({f}); {v}[{b}] = 1.0
{v} = torch.zeros_like({f}); {v}[{b}] = {f}[{b}]
{v} = torch.zeros_like({f}); {v}.scatter_({d}, {i}, 1.0)
{v} = torch.zeros_like({f}); {v}.scatter_({d}, {f}.argmax({d}, keepdim=True), 1.0)
{v} = torch.zeros_like({f}); {v}.scatter_add_({d}, {i}, {f})
{v} = torch.zeros_like({f}); {v}.index_add_(0, {i}, {f})
{v} = torch.zeros_like({f}); {v}.index_put_(({i},), {g})
{v} = torch.zeros({f}.shape); {v}[{f} > 0] = 1
{v} = {f} * 1; view = {v}[..., :2]; view.round_()
{v} = {f} * 1; view = {v}.view(-1); view[0] = 2.0
{v} = {f} * 1; view = {v}.flatten(); view += 1
{v} = {f} * 1; view = {v}.transpose(0, -1); view.mul_({s})
{v} = {b}.clone(); {v}[..., 0] = True
{v} = {b}.clone(); {v} &= {c}
{v} = {b}.clone(); {v} |= {f} > 0
{v} = {b}.clone(); {v}.logical_not_()
{v} = {i}.clone(); {v}[{b}] = 0
{v} = {i}.clone(); {v} += 1
{v} = {i} * 1; {v}.clamp_(0, 2)
{v} = F.relu({f} * 1, inplace=True)
{v} = F.hardtanh({f} + 0, inplace=True)
{v} = {f} * 1; {v}[{f} > 0.3] = {v}[{f} > 0.3].round()
{v} = {f} * 1; {v}.fill_diagonal_(0)
{v} = {f} * 1; {v}[torch.arange({v}.shape[0]), {f}.argmax(-1)] = 0.0
{v} = {f}.detach().clone(); {v}.requires_grad_(); {v} = {v} * {f}
{v} = {f} * 1; {v}[{f} == {f}.max()] = 0
{v} = {f} * 1; {v}.sub_({v}.amin()).div_({v}.amax() + 0.1)
{v} = {f} * 1; {v} /= {v}.abs().max()
{v} = {f} * 1; {v}.index_fill_(0, {i}, 0.0)
{v} = {f} * 1; {v}.swapaxes_(0, -1)
{v} = torch.ones_like({b}); {v}[{b}] = False
{v} = {f} * 1; {v} = {v}.put_(torch.tensor([0]), torch.tensor([1.0], dtype={v}.dtype))
{v} = {f} * 1; {v}.zero_(); {v} += {f}.round()
""".strip().splitlines()

BLOCKS = (
    "if {f}.sum() > 0:\n    {v} = {f} * 2\nelse:\n    {v} = {f} - 1",
    "if {b}.any():\n    {v} = {f}.round()\nelse:\n    {v} = {f}",
    "{v} = {f} * 1\nfor t in range(3):\n    {v} = {v} + ({v} > {s} * t).to({v}.dtype)",
    "{v} = {f} * 1\nfor t in range(2):\n    {v} = torch.where({v} > 0, {v} * 0.5, {v} + 1).round()",
    "{v} = []\nfor row in {f}:\n    {v}.append(row.max())\n{v} = torch.stack({v})",
    "with torch.no_grad():\n    {v} = {f}.round()",
    "with torch.no_grad():\n    {v} = {f}.argmax({d})",
    "with torch.no_grad():\n    {v} = {f} > {g}\n{v} = {v}.to({f}.dtype) * {f}",
    "with torch.enable_grad():\n    {v} = {f}.sign() * {g}",
    "{v}, n = {f}, 0\nwhile {v}.abs().sum() > 3 and n < 6:\n    {v} = ({v} * 0.5).floor() * 0.9\n    n += 1",
    "{v} = {f}.tolist()\n{v} = torch.tensor({v}, dtype={f}.dtype) + {f}",
    "{v} = int({f}.sum().item()) * {f}",
    "n = int(({f} > 0).sum())\n{v} = {f}.flatten()[: n + 1]",
    "n = {f}.argmax().item()\n{v} = {f}.flatten()[n] * {f}",
    "{v} = {f} if bool(({f} > 0).all()) else -{f}",
    "{v} = [x.round() for x in {f}]\n{v} = torch.stack({v}, dim=-1)",
    "{v}, n = {f}.topk(2, dim=-1)\n{v} = {g}.gather(-1, n) * {v}",
    "{v}, n = {f}.sort(dim=-1)\n{v} = {g}.gather(-1, n).cumsum(-1)",
    "{v}, n = {f}.max(dim=-1)\n{v} = {v} + n",
    "n = {f}.argsort(dim=-1, descending=True)\n{v} = torch.zeros_like({f}).scatter(-1, n, {g})",
    "n = {f}.argmax(-1)\n{v} = F.one_hot(n, {f}.shape[-1]).to({f}.dtype) * {g}",
    "n = {f}.argmax(-1)\n{v} = {m}[n % {m}.shape[0]]",
    "n = F.one_hot({f}.argmax(-1), {f}.shape[-1]).to({f}.dtype)\n{v} = n - {f}.softmax(-1).detach() + {f}.softmax(-1)",
    "n = ({f} > 0).long()\n{v} = n.cumsum(-1) * {f}",
    "n = ({f} > 0).sum(-1)\n{v} = n.float() / {f}.shape[-1]",
    "n = {f}.round().long().clamp(0, {m}.shape[0] - 1)\n{v} = {m}[n]",
    "n = {f}.argmax(-1, keepdim=True)\n{v} = {f}.gather(-1, n) - {g}.gather(-1, n)",
    "n = {f}.flatten().argmax()\n{v} = (n // {f}.shape[-1]) + (n % {f}.shape[-1])",
    "n = torch.arange({f}.shape[-1])\n{v} = (n < {f}.argmax(-1, keepdim=True)).to({f}.dtype) * {f}",
    "n = torch.arange({f}.shape[-1])[None] == {f}.argmax(-1)[..., None]\n{v} = torch.where(n, {f}, 0.0)",
    "n = torch.full_like({f}, 0.5)\n{v} = torch.where(n > {f}, n, {f})",
    "from functools import reduce\n{v} = reduce(torch.maximum, [{f}, {g}, {h}])",
    "def inner(z):\n    return z.sign() * z\n{v} = inner({f})",
    "{v} = (lambda z: z.clamp(0, 1).round())({f})",
    "try:\n    {v} = {f}.nonexistent()\nexcept AttributeError:\n    {v} = {f}.ceil()",
    "assert {f}.numel() >= 0\n{v} = {f}.floor()",
    "n = {f}.detach().round()\n{v} = {f} + (n - {f}).detach()",
    "n = (torch.sigmoid({f}) > 0.5).to({f}.dtype)\n{v} = n.detach() - torch.sigmoid({f}).detach() + torch.sigmoid({f})",
    "n = {f}.unbind(-1)\n{v} = sum(a.round() for a in n)",
    "class L(list): pass\n{v} = L([{f}.round(), {g}])\n{v} = {v}[0] + {v}[1]",
    "n = dict(a={f} > 0, b={f})\n{v} = n['a'] * n['b']",
    "n = ({f} > 0)\nn = n & (n.cumsum(-1) <= 1)\n{v} = (n * {f}).sum(-1)",
    "mask = {f} >= {f}.topk(2, dim=-1).values[..., -1:]\n{v} = {f}.masked_fill(~mask, float('-inf')).softmax(-1)",
    "n = ({f}.unsqueeze(-1) > {f}.unsqueeze(-2)).sum(-1)\n{v} = n.to({f}.dtype) * {g}",
    "order = {f}[..., 0].argsort()\n{v} = {g}[order]",
    "{v} = {f}[{f}[..., 0] > 0].sum(0)",
    "n = torch.searchsorted({f}.detach().sort(-1).values, {g})\n{v} = n.to({g}.dtype) * 0.1",
    "{v} = torch.tensor([1.0, 2.0, 3.0])[{f}.argmax() % 3] * {f}",
)

LAYERS = """
self.lin({f})
self.act({f})
self.norm({f})
self.drop({f})
self.w * {f}
{f} @ self.w2
self.w.sign() * {f}
(self.w > self.buf).to({f}.dtype) * {f}
torch.where({f} > self.thr, {f}, self.w)
F.linear({f}, self.w2.round())
self.emb({i})
self.emb({f}.argmax(-1))
self.pool({f}.unsqueeze(0))
self.seq({f})
""".strip().splitlines()

MODULE_STATE = (
    "self.buf.add_(1)\n{v} = {f} * (self.buf > 2)",
    "with torch.no_grad():\n    self.buf.copy_({f}.detach().mean())\n{v} = {f} > self.buf",
    "self.calls = self.calls + 1\n{v} = {f}.round() * self.calls",
    "if self.training:\n    {v} = {f}.round()\nelse:\n    {v} = {f}",
    "self.last = {f}.detach()\n{v} = {f}.sign()",
    "{v} = self.bn({f}) if {f}.dim() == 2 else {f}",
)
