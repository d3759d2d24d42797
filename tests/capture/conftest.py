"""An upstream on a real socket, a home of its own for every test, and a proxy between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shadownb.engine.capture import capture
from shadownb.engine.capture.proxy import CaptureProxy
from tests.capture.upstream import Upstream

# Certificates, which are not needed here, take a client 20 to 40 ms to read: so one for all, or ``verify=False``.
WEB = httpx.Client(timeout=120, trust_env=False)
CANARY = "sk-canary-4f1b7c2e9d8a6b5c3e2f1a0b9c8d7e6f"


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, CANARY)
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[CaptureProxy]:
    with capture(upstream.url) as running:
        yield running


@pytest.fixture
def openai_client(proxy: CaptureProxy) -> Iterator[Any]:
    import openai

    web = openai.DefaultHttpxClient(verify=False)
    with openai.OpenAI(base_url=proxy.base_url, api_key=proxy.token, max_retries=0, http_client=web) as client:
        yield client


@pytest.fixture
def anthropic_client(proxy: CaptureProxy) -> Iterator[Any]:
    import anthropic

    web = anthropic.DefaultHttpxClient(verify=False)
    with anthropic.Anthropic(base_url=proxy.root_url, api_key=proxy.token, max_retries=0, http_client=web) as client:
        yield client
