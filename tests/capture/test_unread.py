"""One record never breaks a store: what cannot be read is one call that is counted, and all others are read as before."""

from __future__ import annotations

import json
import sqlite3
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shadownb.engine.capture import CaptureStore, PriceTable
from shadownb.engine.capture.dialects import dialect
from shadownb.engine.capture.exchange import Exchange, Record
from shadownb.engine.capture.folder import CaptureFolder
from shadownb.engine.capture.proxy import CaptureProxy
from shadownb.engine.capture.redaction import Redactor
from shadownb.engine.capture.schema import FILE
from shadownb.engine.capture.writer import Writer
from shadownb.engine.data import Dataset
from shadownb.engine.jsontext import MAX_DEPTH
from shadownb.engine.trajectories import trajectories_of
from shadownb.errors import ShadowWarning
from tests.capture.conftest import WEB
from tests.capture.test_pass_through import PATHS, auth
from tests.capture.upstream import Reply, Seen, Upstream, whole

CHAT, COMPLETIONS, RESPONSES, MESSAGES = PATHS
FINE = {"model": "m", "messages": [{"role": "user", "content": "fine"}]}
USER = '{"role": "user", "content": "x"}'


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def recorded(store_path: Path, *bodies: tuple[bytes, bytes, bool], name: str = "chat") -> CaptureStore:
    """Return a store with calls of these requests and answers, written as the proxy writes them."""
    store_path.mkdir(parents=True, exist_ok=True)
    writer = Writer(store_path / FILE, PriceTable({}), Redactor())
    for request, answer, streamed in bodies:
        try:
            value = json.loads(request)
        except (ValueError, RecursionError):
            value = {}
        exchange = Exchange(dialect(name), request, value if isinstance(value, dict) else {}, "upstream")
        exchange.http_status, exchange.sse = 200, streamed
        exchange.add(answer)
        writer.put(exchange, lambda problem: None)
    writer.close()
    assert writer.failed == 0
    return CaptureStore(CaptureFolder(store_path))


def read_everything(store: CaptureStore, folder: Path) -> Any:
    """Read a store in every way there is; returns its trajectories."""
    from shadownb.panels import TrajectoriesPanel
    from shadownb.panels._recording import detail_of, row_of

    for call in store.calls():
        json.dumps([row_of(call), detail_of(call)], allow_nan=False).encode()
        repr(call), call._repr_html_().encode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = trajectories_of(store)
        for trajectory in found:
            trajectory._repr_html_().encode()
            json.loads(trajectory.to_json(), parse_constant=pytest.fail)
            assert trajectory.from_json(trajectory.to_json()).messages
        if any(call.complete for t in found for call in t.calls):
            Dataset.from_captures(store)
    for line in store.export(folder / "calls.jsonl").read_text(encoding="utf-8").split("\n")[:-1]:
        json.loads(line, parse_constant=pytest.fail)
    assert len(store.to_dataset()) == store.count()
    panel = TrajectoriesPanel(store)
    assert panel.settle()
    assert panel.source["stage"] == "ready", panel.source
    assert (panel.source["unread"], panel.facets["episodes"]) == (len(found.unread), len(found))
    panel.close()
    store.summary()
    return found


@pytest.mark.parametrize("levels", [150, 700, 960])
@pytest.mark.parametrize("where", ["content", "tools", "an unknown field"])
def test_a_request_nested_too_deeply_goes_through_and_is_one_unread_call(
    upstream: Upstream, proxy: CaptureProxy, tmp_path: Path, where: str, levels: int
) -> None:
    deep = nested(levels)
    body = {
        "content": f'{{"model": "m", "messages": [{{"role": "user", "content": [{{"type": "image_url", "image_url": {deep}}}]}}]}}',
        "tools": f'{{"model": "m", "messages": [{USER}], "tools": [{{"type": "function", "function": {{"p": {deep}}}}}]}}',
        "an unknown field": f'{{"model": "m", "messages": [{USER}], "x": {deep}}}',
    }[where].encode()

    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.json(whole(CHAT, "an answer"))

    upstream.answer = answer
    WEB.post(proxy.root_url + CHAT, json=FINE, headers=auth(proxy))
    assert WEB.post(proxy.root_url + CHAT, content=body, headers=auth(proxy)).status_code == 200
    assert upstream.seen[-1].body == body
    odd, fine = proxy.calls
    assert (odd.status, fine.status, odd.model) == ("unread", "ok", "m")
    assert odd.unread is not None
    assert f"nested deeper than the {MAX_DEPTH} levels" in odd.unread
    assert (odd.messages, odd.request_body, fine.unread) == ([], body, None)
    assert "not read" in odd._repr_html_()
    assert proxy.store.summary()["statuses"] == {"ok": 1, "unread": 1}
    with pytest.warns(
        ShadowWarning, match=f"1 call of this capture cannot be read and is left out, for example {odd.id}"
    ):
        found = proxy.trajectories()
    assert ([t.call_ids for t in found], list(found.unread)) == ([[fine.id]], [odd.id])  # type: ignore[attr-defined]
    with pytest.warns(ShadowWarning, match="cannot be read"):
        report = Dataset.from_captures(proxy).report
    assert (report.total, report.valid) == (2, 1)
    assert odd.id in str(report)
    read_everything(proxy.store, tmp_path)


def test_a_store_of_an_earlier_version_is_read_as_well(tmp_path: Path) -> None:
    """There the call is not marked; it is found when it is read."""
    deep = f'{{"model": "m", "messages": [{USER}], "x": {nested(700)}}}'.encode()
    fine = json.dumps(FINE).encode(), json.dumps(whole(CHAT, "hi")).encode(), False
    store = recorded(tmp_path / "old", fine, (deep, fine[1], False), fine)
    with sqlite3.connect(tmp_path / "old" / FILE) as db:
        db.execute("UPDATE calls SET status = 'ok', error = NULL")
        ids = [row[0] for row in db.execute("SELECT id FROM calls ORDER BY seq")]
        damaged = json.dumps({**FINE, "user": "x"}).encode(), fine[1], False
    db.close()
    found = read_everything(store, tmp_path)
    assert (len(found), list(found.unread)) == (2, [ids[1]])
    store.close()
    recorded(tmp_path / "old", damaged)
    with sqlite3.connect(tmp_path / "old" / FILE) as db:  # a page that the disk gave back wrongly
        db.execute("UPDATE bodies SET response = x'789c00' WHERE id = (SELECT id FROM calls ORDER BY seq DESC LIMIT 1)")
    db.close()
    with pytest.warns(ShadowWarning, match="2 calls of this capture cannot be read"):
        assert len(trajectories_of(store)) == 2


@pytest.mark.parametrize("finish", ["length", "tool_calls"])
def test_a_model_that_loops_on_a_bracket_costs_one_row(tmp_path: Path, finish: str) -> None:
    loop = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "[" * 1500}}
    answer = {
        "choices": [{"message": {"role": "assistant", "content": None, "tool_calls": [loop]}, "finish_reason": finish}]
    }
    fine = json.dumps(FINE).encode(), json.dumps(whole(CHAT, "hi")).encode(), False
    store = recorded(tmp_path / "s", fine, (json.dumps(FINE).encode(), json.dumps(answer).encode(), False))
    found = read_everything(store, tmp_path)
    assert (len(found), found.unread) == (2, {})
    assert found[1].tool_calls[0]["arguments"] == "[" * 1500
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = Dataset.from_captures(store).report
    assert report.valid == 1
    assert bool(report.bad) is (finish == "tool_calls")  # it claims to be whole, and is named as the row that it is


ODD_ANSWERS: dict[str, tuple[str, bool]] = {
    "no JSON": ("<html>hi</html>", False),
    "empty": ("", False),
    "too deep": (f'{{"choices": {nested(700)}}}', False),
    "deeper than Python reads": (f'{{"choices": {nested(30_000)}}}', False),
    "too many choices": (
        json.dumps({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}] * 3_000}),
        False,
    ),
    "a deep event": (
        f'data: {{"choices": [{{"delta": {{"content": "a"}}}}]}}\n\ndata: {{"x": {nested(700)}}}\n\ndata: [DONE]\n\n',
        True,
    ),
    "an event that is no JSON": (
        'data: {"choices": [{"delta": {"content": "a"}}]}\n\ndata: {"choi\n\ndata: [DONE]\n\n',
        True,
    ),
    "two events without a blank line": ('data: {"choices": []}\ndata: {"choices": []}\n\ndata: [DONE]\n\n', True),
}


@pytest.mark.parametrize("odd", ODD_ANSWERS)
def test_answers_that_cannot_be_read_are_counted(tmp_path: Path, odd: str) -> None:
    body, streamed = ODD_ANSWERS[odd]
    request = json.dumps(FINE).encode()
    store = recorded(
        tmp_path / "s", (request, json.dumps(whole(CHAT, "hi")).encode(), False), (request, body.encode(), streamed)
    )
    found = read_everything(store, tmp_path)
    assert (len(found), len(found.unread)) == (1, 1)
    call = store.calls()[1]
    assert call.unread is not None
    assert (call.response_body, call.choices) == (body.encode(), [])


HELLO = '{"choices": [{"delta": {"content": "hello"}, "finish_reason": "stop"}]}'
FINE_STREAMS = {
    "byte order mark": '\ufeffdata: {"choices": [{"delta": {"content": "hello"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n',
    "pings and comments": ': ping\n\nevent: ping\ndata: ping\n\ndata:\n\ndata: {"choices": [{"delta": {"content": "hello"}, '
    '"finish_reason": "stop"}]}\r\n\r\nid: 7\nretry: 1\n\ndata: [DONE]\n\n',
    "a pair in two halves": "".join(
        f'data: {{"choices": [{{"delta": {{"content": "{half}"}}, "finish_reason": {end}}}]}}\n\n'
        for half, end in (("hel\\ud83d", "null"), ("\\ude00lo", '"stop"'))
    ),
    "odd numbers": f'data: {HELLO[:-3]}, "logprobs": {{"x": [NaN, -Infinity, 1e999, 1' + "0" * 5000 + "]}}]}\n\n",
    "the end without a blank line": f'data: {HELLO}\n\ndata: {{"chunk',
}


@pytest.mark.parametrize("odd", FINE_STREAMS)
def test_odd_streams_that_say_everything_are_read(tmp_path: Path, odd: str) -> None:
    store = recorded(tmp_path / "s", (json.dumps(FINE).encode(), FINE_STREAMS[odd].encode(), True))
    (trajectory,) = read_everything(store, tmp_path)
    assert trajectory.final_content().replace("\U0001f600", "") == "hello"
    assert trajectory.calls[0].complete
    assert ("\U0001f600" in trajectory.final_content()) is (odd == "a pair in two halves")


def test_a_compressed_answer_that_claims_gigabytes_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shadownb.engine.capture.encodings.MAX_BYTES", 1 << 20)
    packer = zlib.compressobj(wbits=31)
    bomb = packer.compress(b"0" * (64 << 20)) + packer.flush()
    exchange = Exchange(dialect("chat"), json.dumps(FINE).encode(), FINE, "upstream", http_status=200, encoding="gzip")
    exchange.add(bomb)
    record = Record.of(exchange, PriceTable({}), Redactor())
    assert (record.columns["status"], len(record.response) < 100) == ("unread", True)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"prompt": ["a?", "b?"]}, "asks 2 prompts at once"),
        ({"prompt": ["a?", "b?"], "n": 2}, "asks 2 prompts at once"),
        ({"prompt": [1, 2, 3]}, "given as tokens"),
        ({"prompt": [[1, 2], [3]]}, "given as tokens"),
        ({"prompt": "def f():", "suffix": "return x"}, "a suffix"),
        ({"prompt": "a?", "echo": True}, "repeats the prompt"),
        ({"prompt": ["a?"], "echo": False, "suffix": None}, ""),
    ],
)
def test_a_completion_that_is_no_conversation_is_counted_and_trains_nothing(
    tmp_path: Path, fields: dict[str, Any], why: str
) -> None:
    """Its second answer would be trained as one to the first prompt."""
    choices = [{"index": n, "text": text, "finish_reason": "stop"} for n, text in enumerate("AB")]
    fine = (json.dumps({"model": "m", "prompt": "c?"}).encode(), json.dumps({"choices": choices[:1]}).encode(), False)
    odd = (json.dumps({"model": "m", **fields}).encode(), json.dumps({"choices": choices}).encode(), False)
    store = recorded(tmp_path / "s", fine, odd, name="completions")
    found = read_everything(store, tmp_path)
    assert len(found.unread) == bool(why) and why in "".join(found.unread.values())
    asked = {t.messages[0]["content"] for t in found}
    assert asked == ({"c?"} if why else {"c?", "a?"})


def test_long_and_odd_facts_do_not_fill_the_list(tmp_path: Path) -> None:
    """A page of the list reads the row of every call: what stands there is short."""
    request = json.dumps(
        {"model": "m" * 10**6, "messages": [{"role": "user", "content": "a\0b" + "c" * 10**6}], "user": "\ud800"}
    )
    answer = json.dumps(
        {**whole(CHAT, "x" * 10**6), "model": "\0" * 10**5, "id": "i" * 10**6, "error": {"message": "e" * 10**6}}
    )
    store = recorded(tmp_path / "s", (request.encode(), answer.encode(), False))
    read_everything(store, tmp_path)
    row = dict(store.read("SELECT * FROM calls")[0])
    assert sum(len(value) for value in row.values() if isinstance(value, str)) < 10_000
    assert not any("\0" in value for value in row.values() if isinstance(value, str))
    assert store.calls()[0].title.startswith("a bccc")


# -- whatever it is ----------------------------------------------------------------------------------------------------

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(
    ["", "\0", "\ud800", "user", "assistant", "tool", "stop", "text", "thinking", "tool_use", "{}", "[" * 300, '{"a": 1e999}',
     "message"]
)  # fmt: skip
_FIELDS = st.sampled_from(
    ["role", "content", "type", "text", "tool_calls", "function", "name", "arguments", "id", "tool_call_id", "choices", "message",
     "delta", "index", "finish_reason", "messages", "input", "system", "tools", "output", "item", "usage", "error", "thinking",
     "content_block", "prompt", "metadata", "conversation"]
)  # fmt: skip
_JSON = st.recursive(
    _SCALARS, lambda i: st.lists(i, max_size=3) | st.dictionaries(_FIELDS, i, max_size=4), max_leaves=15
)
_MESSAGES = st.lists(st.dictionaries(_FIELDS, _JSON, max_size=4) | _SCALARS, max_size=4)
_REQUESTS = st.fixed_dictionaries(
    {"model": st.just("m")}, optional={"messages": _MESSAGES, "input": _JSON, "prompt": _JSON, "tools": _JSON}
)
_DEEP = st.integers(MAX_DEPTH - 30, 3 * MAX_DEPTH).map(lambda n: json.loads(nested(n)))
_CHOICE = st.fixed_dictionaries({"message": _JSON | _DEEP, "finish_reason": _JSON})
_ANSWERS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("content", "output", "usage", "error"), _JSON) | {"choices": st.lists(_CHOICE | _JSON, max_size=3)}
)  # fmt: skip


@pytest.fixture(scope="module")
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["chat", "completions", "responses", "messages"]), _REQUESTS, _ANSWERS, st.booleans())
def test_whatever_was_recorded_every_reader_reads_on(
    _scratch: Path, name: str, request_: dict[str, Any], answer: dict[str, Any], streamed: bool
) -> None:
    folder = Path(tempfile.mkdtemp(dir=_scratch))
    sent = json.dumps(answer).encode()
    sent = b"data: " + sent + b"\n\ndata: [DONE]\n\n" if streamed else sent
    body = json.dumps(request_).encode()
    store = recorded(folder / "s", (body, sent, streamed), (body, sent, streamed), name=name)
    found = read_everything(store, folder)
    assert len(found.unread) + len(found.unanswered) + len({c.id for t in found for c in t.calls}) == 2
    store.close()
