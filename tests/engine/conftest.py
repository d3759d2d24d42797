"""Fixtures of the engine tests: a home of their own, a loaded tiny model, rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.runs import Run
from shadownb.engine.runs.state import RunState


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A SHADOWNB_HOME that is empty."""
    folder = tmp_path / "home"
    monkeypatch.setenv("SHADOWNB_HOME", str(folder))
    return folder


@pytest.fixture
def tiny(home: Path, tiny_model_dir: Path) -> Iterator[Any]:
    """The tiny model, loaded; whatever trains it is ended afterwards."""
    model = snb.load(str(tiny_model_dir), max_length=256, dtype="float32")
    yield model
    while (run := model.active_run) is not None:
        run.discard()
        run.wait(timeout=60)


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """Forty chats of one task, of different lengths."""
    return [
        {
            "messages": [
                {"role": "system", "content": "Name the colour that is asked for, in one word and in capitals."},
                {"role": "user", "content": f"Colour number {index}?" + " Please." * (index % 7)},
                {"role": "assistant", "content": f"COLOUR {index * 7 % 10}"},
            ]
        }
        for index in range(40)
    ]


def until(run: Run, condition: Any, timeout: float = 60.0) -> RunState:
    """Wait until the run's state fulfils a condition (told by the watcher), and return it."""
    import threading

    reached = threading.Event()
    found: list[RunState] = []

    def look(state: RunState) -> None:
        if condition(state):
            found.append(state)
            reached.set()

    unsubscribe = run.subscribe(look)
    try:
        assert reached.wait(timeout), f"not reached in {timeout} s: {run!r} {run.state.phase} {run.state.error}"
    finally:
        unsubscribe()
    return found[0]
