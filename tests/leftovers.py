"""A test that fails ends what it left: a run that trains or is paused would have every later one of its process wait behind it."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """Discard the runs of this process once a test has failed."""
    report = yield
    if report.failed and "shadownb.engine.runs.executors.thread" in sys.modules:
        _discard_runs()
    return report


def _discard_runs() -> None:
    from shadownb.engine.runs import commands, executors

    line = executors.known_by("thread")._line  # type: ignore[attr-defined]
    for job in [*line._waiting, *([line._current] if line._current else [])]:
        commands.send(job.folder.commands, "discard")
