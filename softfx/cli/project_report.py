"""The reports of a project's targets together: one text with a summary, one JSON, one SARIF run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from softfx.cli.project import Outcome
from softfx.errors import TargetError
from softfx.report.markdown import report_markdown
from softfx.report.sarif import report_sarif
from softfx.report.shown import json_text
from softfx.report.words import counts_line, plural
from softfx.visible import visible

__all__ = ["project_text", "status_of", "summary_lines"]

_WORDS = ("nothing to act on", "FINDINGS", "ERROR")


def status_of(outcome: Outcome) -> int:
    """The exit status of one target: 0, 1 for findings, 2 where it could not be checked."""
    if outcome.report is None:
        return 2
    counts = outcome.report.counts | {"break": len(outcome.report.breaks), "none": 0}
    return int(any(counts[kind] for kind in outcome.fail_on))


def summary_lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """A line for each target and one for all of them."""
    width = max(len(visible(outcome.job.name)) for outcome in outcomes)
    for outcome in outcomes:
        what = outcome.error if outcome.report is None else counts_line(outcome.report)
        yield f"{visible(outcome.job.name):{width}}  {('ok', *_WORDS[1:])[status_of(outcome)]:8}  {visible(what)}"
    statuses = [status_of(outcome) for outcome in outcomes]
    parts = [f"{statuses.count(0)} without findings"]
    parts += [f"{statuses.count(1)} with findings"] if 1 in statuses else []
    parts += [f"{statuses.count(2)} that could not be checked"] if 2 in statuses else []
    yield f"{plural(len(outcomes), 'target')}: {', '.join(parts)}."


def project_text(outcomes: Sequence[Outcome], kind: str) -> str:
    """The reports in a format for programs, or as markdown."""
    if kind == "json":
        return json_text({"version": 1, "targets": [_data(outcome) for outcome in outcomes]})
    if kind == "sarif":
        return _sarif(outcomes)
    if kind == "markdown":
        parts = [report_markdown(outcome.report) for outcome in outcomes if outcome.report is not None]
        return "\n\n".join([*parts, "## Summary\n\n```text\n" + "\n".join(summary_lines(outcomes)) + "\n```"])
    raise TargetError(
        f"check: --format {kind} shows one target, and this project has {len(outcomes)}. Name one of them: "
        f"softfx check {outcomes[0].job.name} --format {kind}"
    )


def _data(outcome: Outcome) -> dict[str, Any]:
    report = None if outcome.report is None else outcome.report.to_dict()
    return {"name": outcome.job.name, "status": status_of(outcome), "error": outcome.error, "report": report}


def _sarif(outcomes: Sequence[Outcome]) -> str:
    """One run with the results of every target: code hosts refuse several runs of one tool."""
    runs = [json.loads(report_sarif(outcome.report))["runs"][0] for outcome in outcomes if outcome.report is not None]
    if not runs:
        raise TargetError("check: no target could be checked, so there is no SARIF to write. " + outcomes[0].error)
    run = runs[0] | {"results": [result for each in runs for result in each["results"]]}
    run["properties"] = {"targets": [visible(outcome.job.name) for outcome in outcomes]}
    whole = json.loads(report_sarif(next(outcome.report for outcome in outcomes if outcome.report is not None)))
    return json_text(whole | {"runs": [run]})
