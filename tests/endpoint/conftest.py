"""A server on a real socket that answers as a test wants, endpoints of it, and a home of its own for every test."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.endpoint import Endpoint, connection
from tests.endpoint.server import KEY, Upstream, echoes


@pytest.fixture(autouse=True)
def _no_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let nothing wait before it is asked again, and look that no thread is left."""
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path))
    monkeypatch.setattr(connection, "_FIRST_WAIT", 0.0)
    yield
    gc.collect()  # a stream that a test dropped
    for thread in threading.enumerate():
        if thread.name.startswith("shadownb-endpoint"):
            thread.join(60)
            assert not thread.is_alive(), "a thread was left"


@pytest.fixture
def server() -> Iterator[Upstream]:
    with Upstream(echoes) as running:
        yield running


@pytest.fixture
def made(server: Upstream) -> Callable[..., Endpoint]:
    """Let the server answer in a way, and return an endpoint of it."""

    def make(way: Any = echoes, **options: Any) -> Endpoint:
        server.answer = way
        return snb.Endpoint(server.url, **{"model": "gpt-4o", "api_key": KEY, **options})

    return make
