"""What the suites of the ports share: a home of their own, a model that loads at once, and implementations made here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine import registry
from tests.ports import inline_executor


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A SHADOWNB_HOME that is empty."""
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def model(home: Path, byte_model_dir: Path) -> Iterator[Any]:
    """A tiny model; whatever trains it is ended afterwards."""
    made = snb.load(str(byte_model_dir), max_length=256, dtype="float32")
    yield made
    while (run := made.active_run) is not None:
        run.discard()
        run.wait(timeout=60)


@pytest.fixture
def inline() -> Iterator[str]:
    """The name of an executor that is not ours."""
    registry.register("executor", "inline", inline_executor.TARGET)
    yield "inline"
    registry.unregister("executor", "inline")
