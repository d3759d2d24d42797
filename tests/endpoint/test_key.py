"""The key of an endpoint is nowhere to be seen; options are checked when it is made."""

from __future__ import annotations

import logging
import pickle
import threading
import traceback
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.endpoint import Endpoint
from shadownb.errors import ConfigError, EndpointError, ModelError
from tests.endpoint.server import (
    KEY,
    Upstream,
    ask,
    by_text,
    refuses,
)


def test_the_key_is_nowhere_to_be_seen(made: Any, server: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    way = by_text(tell=refuses(401, f"Incorrect API key provided: {KEY} ({KEY[::-1]}).", x_key=KEY))
    endpoint = made(way)
    endpoint.chat(ask("fine"))
    list(endpoint.stream("fine"))
    shown = [repr(endpoint), endpoint._repr_html_(), repr(vars(endpoint)), str(vars(endpoint))]
    for act in (lambda: endpoint.chat(ask("tell me")), lambda: list(endpoint.stream("tell me"))):
        with pytest.raises(EndpointError, match="Incorrect API key provided") as caught:
            act()
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        shown += ["".join(told.format()), repr(pickle.dumps(caught.value)), repr(caught.value.to_dict())]
    shown += [repr(pickle.dumps(endpoint)), caplog.text]
    for text in shown:
        assert KEY not in text
    assert "HTTP Request" in caplog.text, "httpx said nothing, so nothing was looked at"


def test_a_pickle_takes_the_key_from_the_environment_or_asks_for_it(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-host-0123456789")
    given = pickle.loads(pickle.dumps(made(extra_body={"top_k": 3}, concurrency=2)))
    assert (given.extra_body, given.concurrency, given.name) == ({"top_k": 3}, 2, "gpt-4o")
    with pytest.raises(ConfigError, match="no pickle"):
        given.chat(ask())
    monkeypatch.setenv("MY_KEY", KEY)
    named = pickle.loads(pickle.dumps(made(api_key=None, api_key_env="MY_KEY")))
    assert named.chat(ask("x")).content == "echo: x"


@pytest.mark.parametrize(
    ("options", "says_"),
    [
        ({"base_url": "api.example.com"}, "base_url='api.example.com' is not a base URL"),
        ({"base_url": "https://api.openai.com/v1"}, "no key for api.openai.com"),
        ({"base_url": "http://u:p@localhost"}, "holds a password"),
        ({"model": ""}, "model=''"),
        ({"api_key": ""}, "api_key= is empty"),
        ({"api_key": f"{KEY}\r\nx: y"}, "api_key= holds characters"),
        ({"api_key": KEY, "api_key_env": "X"}, "both given"),
        ({"api_key_env": "NOT_THERE"}, "api_key_env='NOT_THERE' is not set"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"concurrency": 2.5}, r"concurrency=2\.5"),
        ({"timeout": 0}, "timeout=0"),
        ({"max_retries": -1}, "max_retries=-1"),
    ],
)
def test_options_are_checked_when_it_is_made(options: Any, says_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match=says_) as caught:
        Endpoint(**{"base_url": "http://localhost:1/v1", "model": "m", **options})
    assert KEY not in str(caught.value)


def test_an_address_is_taken_as_people_copy_it(server: Upstream) -> None:
    for url in (server.url, f"{server.url}/v1/", f"{server.url}/v1/chat/completions"):
        Endpoint(url, "m", api_key=KEY).chat(ask())
        assert server.seen[-1].path == "/v1/chat/completions"


def test_what_needs_weights_says_so(made: Any) -> None:
    before = set(threading.enumerate())
    with pytest.raises(ConfigError, match=r"'gpt-4o' is an endpoint(.|\n)*capture\('https"):
        snb.capture(made())
    with pytest.raises(ModelError, match=r"Chat panel cannot ask gpt-4o(.|\n)*%shadow chat"):
        snb.ChatPanel(made())
    assert {
        thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("ChatPanel")
    } == set()
