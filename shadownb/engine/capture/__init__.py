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
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from shadownb.engine.capture.proxy import CaptureProxy
    from shadownb.engine.capture.redaction import Rule
    from shadownb.engine.models import Model

__all__ = ["Call", "Calls", "CaptureProxy", "CaptureStore", "PriceTable", "capture"]


def capture(
    target: str | Model | None = None,
    *,
    model: Model | None = None,
    api_key_env: str | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    allow_hosts: Iterable[str] = (),
    name: str | None = None,
    redact: str | Rule | Sequence[str | Rule] | None = None,
    sample: float = 1.0,
    prices: PriceTable | dict[str, Any] | str | Path | None = None,
    keep_days: float | None = None,
    keep_calls: int | None = None,
    keep_bytes: int | None = None,
    max_body: int = 64 * 2**20,
    timeout: float = 600.0,
) -> CaptureProxy:
    """Return a recording proxy; ``with`` or ``start()`` starts it.

    Parameters
    ----------
    target
        Base URL of the model's API, or a loaded model. The key comes from the environment: ``ANTHROPIC_API_KEY`` for
        Anthropic's API and ``/v1/messages``, else ``OPENAI_API_KEY``.
    model
        A loaded model beside the upstream: requests that name it are answered by it.
    api_key_env
        Another variable that holds the upstream's key.
    host, port
        Where to listen; 0 is any free port.
    token
        What clients give as their API key, 16 characters or more; made if left out.
    allow_hosts
        Names other than this machine's own by which clients may reach it, for containers.
    name
        Record under this name, going on with what it holds; made from the time if left out.
    redact
        ``"email"``, ``"phone"``, ``"card"``, ``"key"``, functions ``text -> text``, or a list of these; applied to what is
        recorded and never to what passes through.
    sample
        Share of the conversations to record, 0 to 1.
    prices
        Table, dict or YAML file laid over the shipped prices.
    keep_days, keep_calls, keep_bytes
        Delete the oldest calls beyond these limits.
    max_body
        Longest request body, in bytes.
    timeout
        Seconds the upstream may be silent.

    Raises
    ------
    ConfigError
        An option is wrong, or the upstream's key is not set.
    """
    from shadownb.engine.capture.proxy import CaptureProxy

    return CaptureProxy(
        target, model=model, api_key_env=api_key_env, host=host, port=port, token=token, allow_hosts=allow_hosts, name=name,
        redact=redact, sample=sample, prices=prices, keep_days=keep_days, keep_calls=keep_calls, keep_bytes=keep_bytes,
        max_body=max_body, timeout=timeout,
    )  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "CaptureProxy":
        from shadownb.engine.capture.proxy import CaptureProxy

        return CaptureProxy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
