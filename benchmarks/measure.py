"""Runs the workers: libraries take turns within a round, so that what else the machine does falls on all alike.

A ratio is the median over rounds of ours / theirs in the same round. A library that cannot be imported is missing, and
said to be so; a call that fails or takes too long is shown with its reason.
"""

import json
import math
import os
import select
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.table import Call, Case, Growth

HERE = Path(__file__).resolve().parent
PEERS = {"SoftTorch 0.1.1": "softtorch", "torchsort": "torchsort", "diffsort": "diffsort", "entmax": "entmax"}
PATIENCE = 120.0  # seconds that one request may take


class Failure(Exception):
    """A measurement that could not be made, and why."""


@dataclass(frozen=True)
class Setting:
    """How a run measures."""

    peers: Path | None
    device: str
    threads: int
    clock: str
    """"wall", or "cpu" for the processor time that the process used"""
    rounds: int
    budget: float
    """seconds for the repetitions of one side in one round"""
    largest: int
    """inputs with more entries along the last axis are left out"""


@dataclass
class Result:
    """One line of the report: a comparison or a growth."""

    code: str
    name: str
    shape: tuple[int, ...]
    seconds: float | None = None
    ratios: list[tuple[str, float | None, float | None, str]] = field(default_factory=list)
    """library, ours / theirs, bound, reason where there is none"""
    vectors: tuple[float, float | None] | None = None
    """extra memory at the peak in vectors of the input's size, and its bound"""
    exponents: tuple[float, float, float] | None = None
    """fitted exponents of time and memory, and their bound"""
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether all bounds are met; None where nothing could be compared."""
        pairs = [(ratio, bound) for _, ratio, bound, _ in self.ratios if bound is not None]
        if self.vectors and self.vectors[1] is not None:
            pairs.append(self.vectors)
        if self.exponents:
            pairs += [(exponent, self.exponents[2]) for exponent in self.exponents[:2]]
        known = [value <= bound for value, bound in pairs if value is not None]
        return None if self.note or len(known) < len(pairs) or not known else all(known)


class Worker:
    """A process that measures calls of one library."""

    def __init__(self, python: str, path: str, setting: Setting) -> None:
        command = [python, str(HERE / "worker.py"), setting.device, str(setting.threads)]
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(setting.threads)}
        if setting.clock == "cpu":
            environment["OMP_WAIT_POLICY"] = "passive"  # a thread that spins while it waits would be counted
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The worker's answer; Failure where it has none."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None and stdout is not None  # made with pipes above
        stdin.write(json.dumps(request).encode() + b"\n")
        stdin.flush()
        if not select.select([stdout], [], [], PATIENCE)[0]:
            self.stop()
            raise Failure(f"took longer than {PATIENCE:g} s")
        line = stdout.readline()
        if not line:
            raise Failure("the process died, perhaps for want of memory")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failure(answer["error"])
        return answer

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Bench:
    """The workers of one run, started when first asked for."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.workers: dict[str, Worker] = {}
        self.missing: dict[str, str] = {}
        for library, module in PEERS.items():
            self._look_for(library, module)

    def _look_for(self, library: str, module: str) -> None:
        if self.setting.peers is None:
            self.missing[library] = "missing: no --peers"
            return
        command = [str(self.setting.peers / "bin" / "python"), "-c", f"import {module}"]
        found = subprocess.run(command, capture_output=True, cwd=HERE, env={**os.environ, "PYTHONPATH": ""})
        if found.returncode:
            self.missing[library] = "missing: not installed there"

    def _start(self, library: str) -> Worker:
        """A peer's process sees nothing of ours, whose package has the name of one of them."""
        if library in PEERS and self.setting.peers:
            return Worker(str(self.setting.peers / "bin" / "python"), "", self.setting)
        return Worker(sys.executable, str(HERE.parent), self.setting)

    def ask(self, call: Call, do: str, fresh: bool = False) -> dict[str, Any]:
        """One request to the worker of the call's library, or to a fresh process."""
        if call.library in self.missing:
            raise Failure(self.missing[call.library])
        # torch alone is measured in the process of ours: what memory one process has at hand another has to ask for.
        home = call.library if call.library in PEERS else "ours"
        worker = self._start(home) if fresh else self.workers.get(home)
        if worker is None or worker.process.poll() is not None:
            worker = self.workers[home] = self._start(home)
        try:
            return worker.ask(
                {"do": do, "call": call.request(), "budget": self.setting.budget, "clock": self.setting.clock}
            )
        finally:
            if fresh:
                worker.stop()

    def close(self) -> None:
        for worker in self.workers.values():
            worker.stop()


def compare(bench: Bench, case: Case) -> Result:
    """Time in turns, then memory in a process of its own."""
    result = Result(case.code, case.name, case.ours.shape)
    samples: list[list[float]] = []
    reasons: dict[int, str] = {}
    calls = [case.ours, *(call for call, _ in case.others)]
    for _ in range(bench.setting.rounds):
        samples.append([_seconds(bench, call, place, reasons) for place, call in enumerate(calls)])
    if 0 in reasons:
        result.note = reasons[0]
        return result
    result.seconds = statistics.median(row[0] for row in samples)
    for place, (call, bound) in enumerate(case.others, 1):
        ratio = None if place in reasons else statistics.median(row[0] / row[place] for row in samples)
        result.ratios.append((call.library, ratio, bound, reasons.get(place, "")))
    if case.memory is not None:
        result.vectors = _vectors(bench, case.ours), case.memory
    return result


def _seconds(bench: Bench, call: Call, place: int, reasons: dict[int, str]) -> float:
    if place in reasons:
        return math.nan
    try:
        seconds: float = bench.ask(call, "time")["seconds"]
    except Failure as failure:
        reasons[place] = str(failure)
        return math.nan
    return seconds


def _vectors(bench: Bench, call: Call) -> float:
    size = 4.0 * math.prod(call.shape)  # float32
    used: float = bench.ask(call, "memory", fresh=True)["bytes"]
    return used / size


def grow(bench: Bench, growth: Growth) -> Result:
    """Least squares of log time and log memory over log n."""
    sizes = [n for n in growth.sizes if n <= bench.setting.largest]
    result = Result(growth.code, growth.name, (1, sizes[-1]))
    try:
        calls = [Call("ours", growth.ours.function, (1, n), growth.ours.options) for n in sizes]
        rounds = [[bench.ask(call, "time")["seconds"] for call in calls] for _ in range(bench.setting.rounds)]
        seconds = [statistics.median(row[place] for row in rounds) for place in range(len(sizes))]
        # Below a mebibyte the allocator's own steps are all there is to see.
        memory = [max(bench.ask(call, "memory", fresh=True)["bytes"], 2.0**20) for call in calls[1:]]
    except Failure as failure:
        result.note = str(failure)
        return result
    result.seconds = seconds[-1]
    result.exponents = _slope(sizes, seconds), _slope(sizes[1:], memory), growth.exponent
    return result


def _slope(sizes: list[int], amounts: list[float]) -> float:
    return statistics.linear_regression([math.log(n) for n in sizes], [math.log(a) for a in amounts]).slope


def fits(item: Case | Growth, setting: Setting) -> bool:
    """Whether the item is measured in this setting."""
    return isinstance(item, Growth) or item.ours.shape[-1] <= setting.largest


def measured(bench: Bench, items: list[Case | Growth], done: Callable[[Result], None]) -> list[Result]:
    """All results, each handed to `done` as it comes."""
    results = []
    for item in items:
        results.append(compare(bench, item) if isinstance(item, Case) else grow(bench, item))
        done(results[-1])
    return results
