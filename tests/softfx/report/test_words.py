"""The words that the formats share."""

from __future__ import annotations

from softfx.locations import short_path
from softfx.report.words import by_file
from tests.softfx.fakes import LAYER, ROUTER, full_report


def test_sites_that_differ_in_their_module_only_are_told_together() -> None:
    groups = by_file(full_report().sites)
    assert list(groups) == [ROUTER, LAYER]
    assert [(group.first.op, group.first.line, len(group.sites)) for group in groups[ROUTER]] == [
        ("gt", 98, 1),
        ("topk", 107, 2),
    ]
    assert groups[ROUTER][1].modules == ["layers.0.router", "layers.1.router"]


def test_paths_are_shown_without_what_leads_to_a_package() -> None:
    assert short_path(ROUTER) == "pkg/router.py"
    assert short_path("/elsewhere/model.py") == "/elsewhere/model.py"
