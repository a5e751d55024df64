"""Which code a call runs: functions, lines, threads, and when it cannot be told."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from softfx.capture.executed import Ran, executed


def names_read(call: Callable[[], object]) -> set[str]:
    ran = executed(call, apart=lambda package: package == "pytest")
    assert ran is not None
    return {name for piece in ran if piece.scope is globals() for name in piece.names}


def branching(flag: bool) -> object:
    if flag:
        return sys.version
    return queue.Empty


def test_the_names_are_those_of_the_lines_that_ran() -> None:
    assert {"sys", "version"} <= names_read(lambda: branching(True))
    assert not {"queue", "Empty"} & names_read(lambda: branching(True))
    assert "queue" in names_read(lambda: branching(False))


def test_an_expression_over_several_lines_names_all_of_them() -> None:
    def call() -> object:
        return [
            sys.version,
            queue.Empty,
        ]

    assert {"sys", "version", "queue", "Empty"} <= names_read(call)


def test_where_a_debugger_is_at_work_all_lines_count() -> None:
    sys.settrace(tracer := lambda frame, event, argument: None)
    try:
        found = names_read(lambda: branching(True))
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(None)
    assert {"sys", "queue"} <= found


def test_threads_that_the_call_starts_are_seen() -> None:
    def call() -> None:
        thread = threading.Thread(target=branching, args=(False,))
        thread.start()
        thread.join()

    if threading.active_count() == 1:  # where others run, work may have been handed to them
        assert "queue" in names_read(call)
    assert threading.getprofile() is None and threading.gettrace() is None


def test_where_work_is_handed_to_a_pool_nothing_is_told() -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        assert executed(lambda: pool.submit(branching, True).result(), apart=lambda package: False) is None
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    assert executed(lambda: waiting.put(1), apart=lambda package: False) is None


def test_where_somebody_profiles_nothing_is_told_and_the_profile_goes_on() -> None:
    def profiler(frame: object, event: str, argument: object) -> None:
        """Look at nothing."""

    sys.setprofile(profiler)
    try:
        ran: list[Ran] | None = executed(lambda: branching(True), apart=lambda package: False)
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert ran is None


def test_what_is_left_out_is_so_with_what_it_calls_of_pythons_library() -> None:
    ran = executed(lambda: threading.Event().set(), apart=lambda package: package == "tests")
    assert ran == []


def test_an_error_of_the_call_leaves_no_hooks() -> None:
    with pytest.raises(ZeroDivisionError):
        executed(lambda: 1 / 0, apart=lambda package: False)
    assert sys.getprofile() is None and sys.gettrace() is None
