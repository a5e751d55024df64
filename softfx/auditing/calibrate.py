"""`calibrate`: the softness of each site, and then its mode, method and estimator, chosen without labels.

What the original answers where a site's operands are moved does not depend on how the site is softened, so one
reference serves all settings, and settings are compared with the very same noise in them. A site moves away
from where it starts on evidence alone: better by more than two standard errors, and again on a second measure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from softfx.auditing.agreement import better, predicted
from softfx.auditing.arguments import check_arguments
from softfx.auditing.audit import Progress, softened_program, ticker
from softfx.auditing.bench import BLOCKS, Met, Reference, SiteBench
from softfx.auditing.calibration import Calibration, Row, Scores
from softfx.auditing.program import Loss, Program, batches_of, digest_of
from softfx.auditing.settings import START, other_ways, softnesses, written
from softfx.auditing.trials import with_decisions
from softfx.capture.preserve import Preserved
from softfx.decisions.policy import Policy
from softfx.decisions.policy.entry import Entry
from softfx.decisions.policy.presets import PRESETS
from softfx.decisions.policy.schema import AUTO
from softfx.decisions.site import Decision, SiteKey
from softfx.errors import TargetError, brief
from softfx.interpreter.soft_call import FAILURES
from softfx.pipeline.softened import softened
from softfx.report.record import Site

__all__ = ["calibrate"]

_TOLD = 2.0  # standard errors
_WORTH = 0.05  # of the agreement: less is no reason to leave the rule of thumb
_MEASURES = 2


def calibrate(
    target: Any,
    policy: Any = None,
    loader: Iterable[Any] | None = None,
    *,
    loss: Loss | None = None,
    scale: float = 0.3,
    samples: int = 512,
    budget: int = 100_000,
    seed: int = 0,
    scores: Scores | None = None,
    capture: str = "auto",
    allow_unused: bool = False,
    progress: Progress | None = None,
) -> Calibration:
    """Choose the softness of each site, and then its mode, method or estimator, by how right the gradient is.

    It starts from the policy, with softness = "auto" where that says none, and compares the gradient that each site's
    operands get with what the original answers where they are moved, as `softfx.audit` does: no labels are needed, and
    no training. A site leaves its start only where another setting agrees better, by a twentieth and
    two standard errors, on the first batch and again on the second. The agreement is the correlation of the answers
    with what the gradient predicts: settings compare by it as by their cosine, which is at least as large.

    Args:
        target: a Module or function, as for `soften`.
        policy: as for `soften`; one that keeps values.
        loader: batches: tuples of arguments, dicts of them by name, or tensors. Two are taken; where there is one, it
            is measured twice, with other noise.
        loss: a function of the target's result, a 0-dim tensor; as for `softfx.audit`.
        scale: the noise in spreads of what each site decides about; of decisions that are joined, less by as much as
            `softness = "auto"` is.
        samples: pairs of calls for each measure of a place, at least 64; rounded down to a multiple of 32.
        budget: the most calls of the original. Places whose sites pass on the longest gradients are measured first;
            those that nothing is left for stay as they are, and the table says so.
        seed: of the noise, and of what the program draws.
        scores: those of an earlier calibration (`Calibration.scores`, or "scores" of its `to_dict()`): what was
            measured for the same place, inputs and numbers is not measured again.
        capture: as for `soften`.
        allow_unused: as for `soften`.
        progress: as for `softfx.audit`.

    Returns:
        The calibration: `.policy` for `soften`, `.text` of it to paste with the evidence for each entry, `.table`.

    Raises:
        TargetError: no batch is given, no site acts, or a number is out of its range.

    Source: calibration by the agreement with a zeroth-order gradient, Spall 1992, doi 10.1109/9.119632.

    >>> x = torch.randn(32, generator=torch.Generator().manual_seed(0))
    >>> found = calibrate(lambda x: (x > 0.1).float().sum(), {"default": {"softness": 0.01}}, [x], samples=128)
    >>> found.rows[0].outcome, found.policy.entries[-1].fields["softness"]
    ('moved', {'relative': 0.2})
    """
    check_arguments("calibrate", loss, seed, scale, samples)
    if loader is None:
        raise TargetError("calibrate: no loader is given. It takes batches. Write calibrate(model, None, [(x,)]).")
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
        raise TargetError(f"calibrate: budget = {brief(budget)}. It is a whole number of calls, from 1 on.")
    batches = batches_of("calibrate", None, None, loader)[:_MEASURES]
    start = _starting(Policy.load(policy))
    program = softened_program("calibrate", target, start, batches[:1], loss, seed, capture, allow_unused)
    state = softened(program.soft, "calibrate")
    second = Program("calibrate", target, program.soft, batches[-1:], loss, seed)
    benches = [SiteBench(own, state.eager, scale, narrows=True) for own in (program, second)]
    work = _Work(benches, samples // BLOCKS, seed, dict(scores or {}), scale, digest_of([program, second]))
    with Preserved(target):
        places = work.places({site.id: site for site in state.report.sites})
        if not places:
            raise TargetError("calibrate: no site acts under this policy. `softfx check` says why. Give another one.")
        affordable = max(budget // (2 * _MEASURES * BLOCKS * work.pairs), 0)
        tried = [place for place in places if not place.is_selection]
        chosen = [place for place in tried if not place.saved][:affordable]
        measured = [place for place in tried if place.saved or place in chosen]
        work.tick = ticker(progress, _MEASURES * BLOCKS * work.pairs * len(chosen), 1, benches[0].seconds())
        rows = {place.site.id: work.row(place) for place in measured}
    rows |= {place.site.id: _unmeasured(place, budget) for place in places if place.site.id not in rows}
    found = tuple(rows[number] for number in sorted(rows))
    return Calibration(start, found, scale, work.pairs * BLOCKS, seed, work.runs, work.scores)


def _starting(policy: Policy) -> Policy:
    """The policy, with softness = "auto" where it says none."""
    if PRESETS[policy.preset]["default"].get("action") == "soft":
        raise TargetError(
            f"calibrate: {policy.name} changes values, and calibration compares derivatives alone. Legal are policies "
            'that keep values, such as "straight-through". Take one; its settings serve a soft policy, too.'
        )
    label = f'softness = "{AUTO}"'
    return Policy(
        policy.name, policy.preset, (Entry(label, label, {"softness": AUTO}, is_default=True), *policy.entries),
        policy.known,
    )  # fmt: skip


@dataclass
class _Place:
    """The sites of one operation on one line of one module.

    met: their operands, for each measure.
    """

    site: Site
    decisions: list[Decision]
    met: list[dict[SiteKey, Met]]
    length: float = 0.0
    name: str = ""
    saved: bool = False

    @property
    def is_selection(self) -> bool:
        """True if "auto" chooses k of many here.

        Two of its three widths are for what was not chosen, from however far (softfx.rules.units.SELECTION). What they
        are worth shows in training: at a start without them the gradient agrees better, and four of sixteen sensors
        then ended at 2.1 where they end at 0.08.
        """
        return any(decision.is_selection_by_auto for decision in self.decisions)


@dataclass
class _Work:
    """The measures of one calibration.

    benches: one for each measure.
    digest: of the inputs, parameters and buffers.
    moved: the decisions that were changed so far: what is measured later is measured beside them.
    """

    benches: list[SiteBench]
    pairs: int
    seed: int
    scores: dict[str, Mapping[str, Any]]
    scale: float
    digest: str
    tick: Callable[[], None] = lambda: None
    moved: dict[int, Decision] = field(default_factory=dict)
    runs: int = 0

    def places(self, sites: Mapping[int, Site]) -> list[_Place]:
        """The places with sites that act and were met, those that pass on most first."""
        met = [bench.met() for bench in self.benches]
        lengths = self.benches[0].passed(met[0])
        found: dict[tuple[object, ...], _Place] = {}
        for decision in self.benches[0].eager.sites:
            own = [each.get(decision.key) for each in met]
            if not decision.acts or decision.action == "guard" or not all(each and len(each.flat) for each in own):
                continue
            site = sites[decision.id]
            place = found.setdefault((site.op, site.module, site.file, site.line), _Place(site, [], [{} for _ in met]))
            place.decisions.append(decision)
            place.length += lengths[decision.key]
            for each, whole in zip(place.met, own, strict=True):
                assert whole is not None
                each[decision.key] = whole
        places = sorted(found.values(), key=lambda place: -place.length)
        for place in places:
            place.name = self._name(place)
            place.saved = START in self.scores.get(place.name, {})
        return places

    def _name(self, place: _Place) -> str:
        """The place with all that its scores depend on but for the settings of other places."""
        parts = [self.scale, self.pairs, self.seed, [str(written(each)) for each in place.decisions]]
        digest = hashlib.sha256(f"{parts!r} {self.digest}".encode())
        site = place.site
        return f"{site.op} {site.module} {site.source.strip()} {digest.hexdigest()[:16]}"

    def row(self, place: _Place) -> Row:
        """What is chosen for a place."""
        saved = self.scores.get(place.name, {})
        references = [] if place.saved else [self._reference(place, number) for number in range(_MEASURES)]
        score = _Scorer(self, place, references, dict(saved))
        score(START, place.decisions)
        self.scores[place.name] = score.known
        settings = dict(_settings(softnesses, place.decisions)) | self._in_spreads(place)
        name, decisions = score.best(START, place.decisions, settings)
        ways = {_joined(name, way): made for way, made in _settings(other_ways, decisions)}
        name, decisions = score.best(name, decisions, ways)
        if not score.tells:
            return Row(place.site, "cannot tell", START, None, None, None, (), None)
        if score.opposed(name):
            return Row(place.site, "best hard", "keep", score.mean(START), None, None, (), {"action": "keep"})
        ties = tuple(each for each in score.ties(name) if each != name)
        if name == START:
            return Row(place.site, "as it is", START, score.mean(START), score.mean(START), None, ties, None)
        self.moved |= {decision.id: decision for decision in decisions}
        fields = written(decisions[0])
        evidence = score.evidence(name, START)
        return Row(place.site, "moved", name, score.mean(START), score.mean(name), evidence, ties, fields)

    def _in_spreads(self, place: _Place) -> dict[str, list[Decision]]:
        """The softness that the rule of thumb has for what was measured, where the policy says a number of its own."""
        found = []
        for decision in place.decisions:
            unit = decision.rule.unit
            rows = unit is not None and "standardize" in unit.auto
            if unit is None or unit.measure is None or rows or decision.relative is not None:
                return {}
            found.append(decision.with_relative(unit.relative))  # measured where it is tried, for each threshold
        return {"softness of the rule of thumb": found}

    def _reference(self, place: _Place, number: int) -> Reference:
        bench, seed = self.benches[number], self.seed + 7919 * number  # another sequence of noise for each measure
        own = [bench.reference(key, met, self.pairs, seed, self._ticked) for key, met in place.met[number].items()]
        self.runs += 2 * BLOCKS * self.pairs * len(own)
        return Reference(torch.cat([each.blocks for each in own], 1), sum(each.size**2 for each in own) ** 0.5)

    def _ticked(self) -> None:
        self.tick()

    def gradient(self, place: _Place, number: int, decisions: list[Decision]) -> Tensor | None:
        """The gradient of a place's operands under these decisions, in units of the noise; None where it cannot be."""
        bench = self.benches[number]
        changed = self.moved | {decision.id: decision for decision in decisions}
        eager = with_decisions(bench.eager, changed.values())
        try:
            draws = bench.gradients(place.met[number], eager)
        except FAILURES:  # the setting does not fit these operands: it is none that could be chosen
            return None
        if any(not eager.sites[decision.id].acts for decision in decisions):
            return None
        return torch.cat([draws[key].mean(0) * met.flat for key, met in place.met[number].items()])


@dataclass
class _Scorer:
    """The scores of the settings of one place: for each measure the cosines with one block left out."""

    work: _Work
    place: _Place
    references: list[Reference]
    known: dict[str, Any]

    def __call__(self, name: str, decisions: list[Decision]) -> list[Tensor] | None:
        """The score of a setting; None where there is none: no gradient, or a reference that tells nothing."""
        if name not in self.known and self.references:
            gradients = [self.work.gradient(self.place, number, decisions) for number in range(_MEASURES)]
            pairs = zip(gradients, self.references, strict=True)
            self.known[name] = [[] if own is None else _told(own, reference) for own, reference in pairs]
        return self._score(name)

    @property
    def tells(self) -> bool:
        """True if any setting agrees or disagrees by more than its noise, on both measures."""
        scores = [score for name in self.known if (score := self._score(name)) is not None]
        return any(all(abs(better(each, torch.zeros_like(each))) > _TOLD for each in score) for score in scores)

    def _score(self, name: str) -> list[Tensor] | None:
        found = self.known.get(name, [])
        if len(found) < _MEASURES or not all(found):
            return None
        return [torch.tensor(each, dtype=torch.float64) for each in found]

    def mean(self, name: str) -> float | None:
        """The agreement on the first measure."""
        score = self._score(name)
        return None if score is None else float(score[0].mean())

    def evidence(self, name: str, other: str) -> tuple[float, float]:
        """How many standard errors a setting is better than another, on both measures; one without gradient has 0."""
        one, two = self._score(name), self._score(other)
        if one is None:
            return (0.0, 0.0)
        zero = [torch.zeros_like(each) for each in one]
        first, second = (better(a, b) for a, b in zip(one, two or zero, strict=True))
        return (first, second)

    def best(
        self, start: str, decisions: list[Decision], settings: Mapping[str, list[Decision]]
    ) -> tuple[str, list[Decision]]:
        """The setting that is best on the first measure, if that and the second one say so; else the start.

        Of those that the first measure does not tell from the best, it is the first that they say so of.
        """
        for name, made in settings.items():
            self(name, made)
        scored = [name for name in settings if self._score(name) is not None]
        best = max(scored, key=lambda each: self.mean(each) or -1.0, default=start)
        alike = set(self.ties(best))
        for name in filter(alike.__contains__, scored):
            if self._is_worth_it(name, start):
                return name, settings[name]
        return start, decisions

    def _is_worth_it(self, name: str, start: str) -> bool:
        """Return True if a setting is better than the start by enough, and both measures say so."""
        most = self.mean(name) or 0.0
        gain = most - (self.mean(start) or 0.0)
        return gain >= _WORTH * most and min(self.evidence(name, start)) > _TOLD

    def opposed(self, name: str) -> bool:
        """Return True if on both measures the gradient leads the wrong way, by more than its noise."""
        score = self._score(name)
        return score is not None and all(better(each, torch.zeros_like(each)) < -_TOLD for each in score)

    def ties(self, name: str) -> Iterator[str]:
        """The settings that the first measure does not tell from this one."""
        one = self._score(name)
        for other in self.known:
            two = self._score(other)
            if one is not None and two is not None and better(one[0], two[0]) <= _TOLD:
                yield other


def _settings(
    made: Callable[[Decision], Iterator[tuple[str, Decision]]], decisions: list[Decision]
) -> Iterator[tuple[str, list[Decision]]]:
    """Each setting that all sites of a place can have."""
    found = [dict(made(decision)) for decision in decisions]
    for name in found[0]:
        if all(name in each for each in found):
            yield name, [each[name] for each in found]


def _told(gradient: Tensor, reference: Reference) -> list[float]:
    """The agreement with one block left out; none where there is no gradient, or the original does not answer."""
    found = predicted(gradient, reference.blocks, reference.size)
    return [] if found is None else [round(float(each), 6) for each in found]


def _joined(name: str, way: str) -> str:
    return way if name == START else f"{name} and {way}"


def _unmeasured(place: _Place, budget: int) -> Row:
    beyond = f"beyond the budget of {budget} calls"
    why = "what a wide choice is worth shows in training" if place.is_selection else beyond
    return Row(place.site, "not measured", f"{START}: {why}", None, None, None, (), None)
