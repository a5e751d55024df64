"""The models on which commands are tried, and the answer of a command."""

from __future__ import annotations

from collections.abc import Callable

MODEL = """
import torch
import torch.nn.functional as F


class Router(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = torch.nn.Linear(4, 3)

    def forward(self, x):
        print("printed by the model")
        index = self.gate(x).argmax(-1)
        return F.one_hot(index, 3) * torch.relu(x[..., :3])


def build():
    return Router()


def pick(scores, values):
    return values[scores.argmax()]


def raises(x):
    raise ValueError("the third size must be even")


plain = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())
linear = torch.nn.Linear(4, 2)
"""
ARGMAX, RELU = 13, 14  # lines of MODEL
X = ("--input", "2x4")


class Answer:
    """The output of a command, and its exit status."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


Run = Callable[..., Answer]  # softfx("check", "module:name") runs that command
