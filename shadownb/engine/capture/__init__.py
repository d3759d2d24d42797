"""Capture: a proxy that records what an agent and a model say to each other, and the store it records to.

::

    with snb.capture("https://api.openai.com/v1") as proxy:
        client = openai.OpenAI(base_url=proxy.base_url, api_key=proxy.token)
        ...
    proxy.calls[0].messages
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shadownb.engine.capture.call import Call
from shadownb.engine.capture.calls import Calls
from shadownb.engine.capture.prices import PriceTable
from shadownb.engine.capture.store import CaptureStore

if TYPE_CHECKING:
    from shadownb.engine.capture.proxy import CaptureProxy
    from shadownb.engine.capture.proxy import CaptureProxy as capture

__all__ = ["Call", "Calls", "CaptureProxy", "CaptureStore", "PriceTable", "capture"]


def __getattr__(name: str) -> Any:
    if name in ("CaptureProxy", "capture"):  # imported when it is used: it needs httpx and starlette
        from shadownb.engine.capture.proxy import CaptureProxy

        return CaptureProxy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
