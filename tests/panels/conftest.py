"""Fixtures of the panel tests: a home folder of their own and a run to write by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hand_runs import HandRun


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def hand_run() -> Iterator[HandRun]:
    made = HandRun()
    yield made
    made.close()
