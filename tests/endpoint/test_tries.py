"""When an endpoint asks again, when it gives up, and how several conversations fare."""

from __future__ import annotations

import asyncio
import email.utils
import pickle
import threading
import time
from typing import Any

import pytest

from shadownb.engine.endpoint import Endpoint, connection
from shadownb.errors import EndpointError
from tests.endpoint.server import (
    KEY,
    Upstream,
    answers,
    ask,
    by_text,
    drops,
    echoes,
    hangs,
    in_turn,
    refuses,
    said_to,
    says,
)


def test_what_passes_is_asked_again_and_counted(made: Any, server: Upstream) -> None:
    endpoint = made(
        in_turn(
            refuses(429, retry_after="0"), refuses(503), drops, answers({"choices": []}), refuses(529), says("At last.")
        )
    )
    assert endpoint.chat(ask()).content == "At last."
    assert len(server.seen) == 6
    assert endpoint.totals.retries == {"429": 1, "503": 1, "broke off": 1, "no answer in it": 1, "529": 1}
    assert "5 asked again (429: 1" in repr(endpoint)


def test_tries_are_bounded_and_the_error_says_all(made: Any, server: Upstream) -> None:
    endpoint = made(refuses(429, "Rate limit reached"), max_retries=3)
    with pytest.raises(EndpointError) as caught:
        endpoint.chat(ask())
    assert len(server.seen) == 4 and caught.value.status == 429
    said = str(caught.value)
    for part in (server.url, "answered 429", "model='gpt-4o'", "after 4 tries", "Rate limit reached", "concurrency="):
        assert part in said


@pytest.mark.parametrize(
    ("status", "all_alike"), [(400, False), (401, True), (403, False), (404, True), (422, False), (501, False)]
)
def test_other_statuses_are_errors_at_once(made: Any, server: Upstream, status: int, all_alike: bool) -> None:
    with pytest.raises(EndpointError, match=f"answered {status}(.|\n)*What a pity(.|\n)*Next: ") as caught:
        made(refuses(status, "What a pity")).chat(ask())
    assert len(server.seen) == 1 and caught.value.status == status and caught.value.for_all is all_alike


def test_an_empty_account_is_not_asked_again(made: Any, server: Upstream) -> None:
    way = answers({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}, 429)
    with pytest.raises(EndpointError, match="credit") as caught:
        made(way).chat(ask())
    assert len(server.seen) == 1 and caught.value.for_all


def test_a_redirect_is_not_followed_with_the_key(made: Any, server: Upstream) -> None:
    with pytest.raises(EndpointError, match="redirects"):
        made(answers({}, 307, location=f"{server.url}/elsewhere")).chat(ask())
    assert len(server.seen) == 1


def test_the_wait_is_the_server_s_or_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_FIRST_WAIT", 0.5)
    link = connection.Connection(Endpoint("http://localhost", "m", api_key=KEY)._settings())
    soon = email.utils.formatdate(time.time() + 50, usegmt=True)

    def wait(tries: int = 1, **headers: str) -> float | None:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return link._wait(connection.Trouble.of_status(429, b"", names), tries)

    assert wait(retry_after="7") == 7 and wait(retry_after_ms="250") == 0.25
    assert 45 < (wait(retry_after=soon) or 0) <= 50
    assert wait(retry_after="Mon, 01 Jan 2001 00:00:00 GMT") == 0
    assert wait(retry_after="3600") is None, "the notebook would stand still for an hour"
    for tries, most in ((1, 0.5), (2, 1.0), (4, 4.0)):
        assert 0.75 * most <= (wait(tries) or 0) <= most
    for odd in ("soon", "", "nan", "inf", "-3"):
        assert (wait(retry_after=odd) or 0) <= 0.5
    assert wait(6) is None, "tries are bounded"


def test_what_timed_out_is_not_charged_twice(made: Any, server: Upstream) -> None:
    with pytest.raises(EndpointError, match=r"within timeout=0\.2 s(.|\n)*timeout="):
        made(hangs, timeout=0.2).chat(ask())
    assert len(server.seen) == 1


def test_a_server_that_is_not_there() -> None:
    with Upstream() as gone:
        pass
    endpoint = Endpoint(gone.url, "m", api_key=KEY, max_retries=1)
    with pytest.raises(EndpointError, match=r"cannot be reached(.|\n)*base_url="):
        endpoint.chat(ask())
    assert endpoint.totals.retries == {"no connection": 1}


def test_several_are_asked_at_a_time_within_the_bound_and_answered_in_order(made: Any, server: Upstream) -> None:
    most = 0

    async def way(seen: Any, reply: Any) -> None:
        nonlocal most
        most = max(most, server.open)
        await asyncio.sleep(0.01 if int(said_to(seen)) % 2 else 0.03)
        await echoes(seen, reply)

    replies = made(way, concurrency=3).chat([ask(str(n)) for n in range(12)])
    assert [reply.content for reply in replies] == [f"echo: {n}" for n in range(12)]
    assert most == 3
    assert made().chat([]) == []


def test_one_that_fails_takes_nothing_from_the_others(made: Any) -> None:
    endpoint = made(by_text(bad=refuses(400, "Too long.")))
    with pytest.raises(
        EndpointError, match=r"1 of 3 conversations got no answer(.|\n)*Too long(.|\n)*error\.replies"
    ) as caught:
        endpoint.chat([ask("a"), ask("bad one"), ask("c")])
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert [getattr(each, "content", None) for each in error.replies] == ["echo: a", None, "echo: c"]
        assert isinstance(error.replies[1], EndpointError) and error.replies[1].status == 400
    assert (endpoint.totals.answered, endpoint.totals.failed) == (2, 1)


def test_a_wrong_key_is_sent_once_for_each_place_and_not_for_each_row(made: Any, server: Upstream) -> None:
    with pytest.raises(EndpointError, match="answered 401") as caught:
        made(refuses(401), concurrency=2).chat([ask(str(n)) for n in range(40)])
    assert len(server.seen) <= 2 and len(caught.value.replies) == 40 and caught.value.for_all


def test_a_server_that_is_down_is_left_alone_and_one_odd_row_is_not_taken_for_it(made: Any, server: Upstream) -> None:
    with pytest.raises(EndpointError) as caught:
        made(refuses(500), concurrency=1, max_retries=1).chat([ask(str(n)) for n in range(40)])
    assert len(server.seen) == 6 and caught.value.for_all, "three were given up after two tries each"
    server.seen.clear()
    way = by_text(bad=refuses(500))
    with pytest.raises(EndpointError) as caught:
        made(way, concurrency=1, max_retries=0).chat([ask(word) for word in ("bad", "bad", "a", "bad", "bad", "b")])
    assert len(server.seen) == 6 and not caught.value.for_all


def test_stopped_in_the_middle_it_gives_what_there_is_and_hangs_up(made: Any, server: Upstream) -> None:
    stop = threading.Event()

    async def way(seen: Any, reply: Any) -> None:
        if said_to(seen) == "slow":
            stop.set()
            await hangs(seen, reply)
        await echoes(seen, reply)

    endpoint = made(way, concurrency=2)
    replies = endpoint.chat([ask("a"), ask("b"), ask("slow"), ask("slow"), ask("never")], should_stop=stop.is_set)
    assert [reply.content for reply in replies[:2]] == ["echo: a", "echo: b"]
    assert [reply.finish_reason for reply in replies] == ["stop"] * 2 + ["cancelled"] * 3
    assert all(reply.notes for reply in replies[2:])
    assert endpoint.totals.stopped == 3 and "3 stopped" in repr(endpoint)


def test_what_should_stop_raises_ends_it(made: Any) -> None:
    def interrupted() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(hangs).chat(ask(), should_stop=interrupted)


def test_it_works_where_a_loop_runs(made: Any) -> None:
    async def cell() -> Any:
        return made().chat(ask("in a cell")).content

    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(asyncio.run(cell())))
    thread.start()
    thread.join(30)
    assert results == ["echo: in a cell"]
