"""The Capture panel over real proxies, clients and stores: recording, the token's secrecy, errors, paging, the snapshot."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipywidgets
import openai
import pytest
from panel_driver import press, wait_for
from recorded import Traffic, record, says, user

import shadownb
from shadownb.engine.capture.proxy import running_here
from shadownb.panels import CapturePanel, Studio, TrajectoriesPanel
from tests.capture.test_store import many
from tests.capture.upstream import Reply, Seen, Upstream, echo

KEY = "sk-canary-4f1b7c2e9d8a6b5c3e2f1a0b9c8d7e6f"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture
def panel(upstream: Upstream) -> Iterator[CapturePanel]:
    made = CapturePanel(upstream.url, namespace={})
    yield made
    press(made, "stop")
    made.close()


def ask(panel: CapturePanel, text: str, **options: Any) -> Any:
    with openai.OpenAI(base_url=panel.proxy.base_url, api_key=panel.proxy.token, max_retries=0) as client:
        return client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": text}], **options)


def seqs(panel: CapturePanel) -> list[int]:
    return [row["seq"] for row in panel.page["rows"]]


def test_it_starts_records_and_stops(panel: CapturePanel, upstream: Upstream) -> None:
    assert panel.recording["stage"] == "none" and panel.choices["keys"] == {
        "OPENAI_API_KEY": True,
        "ANTHROPIC_API_KEY": False,
    }
    press(panel, "start")
    assert panel.recording["stage"] == "recording", panel.error
    assert panel.recording["key_from"] == "OPENAI_API_KEY"
    ask(panel, "Where is my parcel?")
    wait_for(panel, "page", lambda page: page.get("rows"))
    row = panel.page["rows"][0]
    assert (row["title"], row["status"], row["model"]) == ("Where is my parcel?", "ok", "gpt-4o")
    press(panel, "open", call=row["id"])
    assert panel.call["answer"] == "echo: Where is my parcel?" and panel.call["error"] is None
    wait_for(panel, "totals", lambda totals: totals["calls"] == 1 and totals["cost"] > 0)
    press(panel, "stop")
    assert panel.recording["stage"] == "stopped" and panel.proxy is None and not running_here
    assert seqs(panel) == [row["seq"]], "what was recorded stays on screen"
    press(panel, "new")
    assert panel.recording["stage"] == "none" and panel.page == {}


def test_a_stop_in_a_cell_is_seen(panel: CapturePanel) -> None:
    press(panel, "start")
    episodes = TrajectoriesPanel(panel.store, namespace={})
    wait_for(episodes, "source", lambda source: source.get("live"))
    ask(panel, "hello")
    panel.proxy.stop()
    wait_for(panel, "recording", lambda recording: recording["stage"] == "stopped")
    wait_for(episodes, "source", lambda source: source.get("live") is False and source["read"] == 1)
    assert panel._follower is None and episodes._follower is None, "nobody looks any more"
    episodes.close()


def test_three_client_forms_reach_it(panel: CapturePanel) -> None:
    press(panel, "start")
    forms = {form["id"]: form["code"].replace("{token}", panel.proxy.token) for form in panel.recording["clients"]}
    assert set(forms) == {"environment", "openai", "anthropic"}
    environment = dict(line.removeprefix("export ").split("=", 1) for line in forms["environment"].splitlines())
    assert environment == panel.proxy.environment()
    for form in ("openai", "anthropic"):
        names: dict[str, Any] = {}
        exec(forms[form], names)
        with names["client"] as client:
            said: Any = [{"role": "user", "content": f"by {form}"}]
            if form == "openai":
                client.chat.completions.create(model="gpt-4o", messages=said)
            else:
                client.messages.create(model="claude-x", messages=said, max_tokens=9)
    assert {call.title for call in panel.store.calls()} == {"by openai", "by anthropic"}


def test_token_and_key_are_in_no_saved_state(panel: CapturePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(panel, "send", sent.append)
    press(panel, "start")
    ask(panel, "hello")
    assert not sent, "nobody asked for the token yet"
    press(panel, "token")
    token = panel.proxy.token
    assert sent == [{"kind": "token", "capture": panel.store.id, "token": token}]
    press(panel, "open", call=panel.store.calls()[0].id)
    studio = Studio(namespace={})
    assert studio.capture.proxy is panel.proxy, "a new panel shows what this kernel records"
    alive = [widget for widget in ipywidgets.widgets.widget._instances.values() if widget.comm is not None]
    state = ipywidgets.Widget.get_manager_state(drop_defaults=False, widgets=alive)["state"]
    saved = json.dumps(state, default=str)
    kept = saved + repr(panel) + panel._snapshot_text() + json.dumps(panel.code)
    assert panel.recording["base_url"] in kept
    assert token not in kept and KEY not in kept
    studio.close()


@pytest.mark.parametrize(
    ("values", "code", "said"),
    [
        ({"url": ""}, "config", "nothing to record against"),
        ({"url": "https://api.anthropic.com"}, "config", "ANTHROPIC_API_KEY"),
        ({"url": "api.openai.com"}, "config", "base URL"),
        ({"api_key_env": "NOT_SET_ANYWHERE"}, "config", "NOT_SET_ANYWHERE"),
        ({"name": "no/slash"}, "config", "no/slash"),
    ],
)
def test_what_cannot_start_is_a_card(panel: CapturePanel, values: dict[str, Any], code: str, said: str) -> None:
    press(panel, "set", values=values)
    press(panel, "start")
    assert panel.recording["stage"] == "none"
    assert panel.error["code"].startswith(code) and panel.error["fix"]
    assert said in panel.error["what"] + panel.error["fix"]


def test_failed_calls_are_cards_and_can_be_found(panel: CapturePanel, upstream: Upstream) -> None:
    async def limited(seen: Seen, reply: Reply) -> None:
        if b"too much" in seen.body:
            await reply.json({"error": {"message": "Slow down.", "type": "rate_limit"}}, status=429)
        else:
            await echo(seen, reply)

    upstream.answer = limited
    press(panel, "start")
    ask(panel, "fine")
    with pytest.raises(openai.RateLimitError):
        ask(panel, "too much")
    press(panel, "filter", status="error")
    assert [row["title"] for row in panel.page["rows"]] == ["too much"] and panel.page["total"] == 1
    press(panel, "open", call=panel.page["rows"][0]["id"])
    card = panel.call["error"]
    assert card["code"] == "call-error" and "429" in card["what"] and "Slow down." in card["why"]
    with (
        pytest.raises(openai.AuthenticationError),
        openai.OpenAI(base_url=panel.proxy.base_url, api_key="x" * 20) as bad,
    ):
        bad.models.list()
    press(panel, "refresh")
    assert panel.totals["refused"] == 1 and panel.totals["statuses"] == {"ok": 1, "error": 1}


def test_a_store_that_cannot_be_written_is_said(panel: CapturePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    press(panel, "start")
    writer = panel.proxy._writer
    connection, writer._connection = writer._connection, _FullDisk(writer._connection)
    ask(panel, "still answered")
    writer._connection = connection
    wait_for(panel, "totals", lambda totals: totals.get("failed"))
    assert "disk is full" in panel.totals["last_error"]


class _FullDisk:
    """A connection on a full disk, which cannot be had here: it refuses to write."""

    in_transaction = False

    def __init__(self, real: Any) -> None:
        self.real = real

    def execute(self, *_: Any) -> Any:
        import sqlite3

        raise sqlite3.OperationalError("database or disk is full")


def test_a_recording_in_a_process_of_its_own(upstream: Upstream) -> None:
    panel = CapturePanel(upstream.url, namespace={})
    press(panel, "set", values={"process": True, "redact": ["email"]})
    press(panel, "start")
    assert panel.recording["stage"] == "recording" and panel.recording["process"], panel.error
    panel.close()
    again = CapturePanel(panel.store.id, namespace={})
    try:
        assert again.proxy is not None, "it outlives its panel"
        ask(again, "write to me@example.com")
        wait_for(again, "page", lambda page: page.get("rows"))
        assert "me@example.com" not in again.page["rows"][0]["title"]
    finally:
        press(again, "stop")
    assert again.recording["stage"] == "stopped"
    again.close()


def test_a_loaded_model_of_the_notebook_answers(tiny_model_dir: Path) -> None:
    model = shadownb.load(str(tiny_model_dir), dtype="float32")
    panel = CapturePanel(namespace={"mine": model, "other": 3})
    assert [choice["id"] for choice in panel.choices["models"]] == ["var:mine"]
    press(panel, "set", values={"url": "", "model": "var:mine"})
    assert panel.code["python"] == "import shadownb as snb\n\nproxy = snb.capture(mine).start()\nproxy.base_url"
    press(panel, "start")
    answer = ask(panel, "Say 3.", max_tokens=4, seed=1)
    wait_for(panel, "page", lambda page: page.get("rows"))
    assert panel.page["rows"][0]["tokens_out"] == answer.usage.completion_tokens
    assert panel.page["rows"][0]["route"] == "local"
    press(panel, "stop")
    panel.close()


def test_the_code_does_the_same(panel: CapturePanel, upstream: Upstream, recwarn: pytest.WarningsRecorder) -> None:
    press(panel, "set", values={"name": "by-code", "redact": ["email", "key"]})
    names: dict[str, Any] = {}
    exec(panel.code["python"], names)
    with names["proxy"] as proxy:
        assert proxy.id == "by-code" and proxy.files.facts["target"] == f"{upstream.url}/v1"
        shown = CapturePanel(proxy, namespace={})
        ask(shown, "hello")
        exec(shown.code["python"], names)
        shown.close()
    assert len(names["data"]) == 1
    assert panel.code["magic"] == f"%shadow capture start {upstream.url} --as-name by-code --redact email --redact key"


def test_paging_stands_still_while_calls_come(panel: CapturePanel) -> None:
    store = record([([user(f"task {n}")], says("ok")) for n in range(50)])
    panel.show(store)
    assert seqs(panel) == list(range(50, 30, -1)) and panel.page["older"] and not panel.page["newer"]
    press(panel, "turn", to="older")
    assert seqs(panel) == list(range(30, 10, -1))
    record([([user("one more")], says("ok"))])
    press(panel, "refresh")
    assert seqs(panel) == list(range(30, 10, -1)) and panel.totals["calls"] == 51
    press(panel, "turn", to="older")
    assert seqs(panel) == list(range(10, 0, -1)) and not panel.page["older"]
    press(panel, "turn", to="newer")
    assert seqs(panel) == list(range(30, 10, -1))
    press(panel, "turn", to="newest")
    assert seqs(panel)[0] == 51 and not panel.page["newer"]
    press(panel, "filter", search="task 4")
    assert [row["title"] for row in panel.page["rows"]] == [f"task {n}" for n in (*range(49, 39, -1), 4)]


def test_20000_calls_stay_fluid(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes over the wire and what is read depends on what is on screen, not on how much there is."""
    panel = CapturePanel(namespace={})
    traffic = Traffic(panel, monkeypatch)
    store = many(20_000)
    store.index.catch_up()  # as whoever records does
    took: dict[str, float] = {}
    for kind, options in (
        ("show", {"capture": store.id}),
        ("turn", {"to": "older"}),
        ("filter", {"search": "title 99"}),
        ("open", {"call": "call_0010000"}),
    ):
        traffic.clear()
        began = time.perf_counter()
        press(panel, kind, **options)
        took[kind] = time.perf_counter() - began
        assert not panel.error
        assert traffic.rows < 100, (kind, traffic.rows)
        assert traffic.bytes < 16_000, (kind, traffic.bytes)
    assert panel.page["total"] == 111 and len(panel.page["rows"]) == 20
    assert max(took.values()) < 3, took  # measured: 0.02 to 0.3 s
    panel.close()


def test_the_snapshot_follows_in_an_output_of_its_own(panel: CapturePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display

    shown: list[dict[str, Any]] = []
    updated: list[str] = []

    class Handle:
        def update(self, data: dict[str, Any], **_: Any) -> None:
            updated.append(data["text/plain"])

    def display(data: dict[str, Any], **options: Any) -> Handle | None:
        shown.append(data)
        return Handle() if options.get("display_id") else None

    monkeypatch.setattr(IPython.display, "display", display)
    panel._ipython_display_()
    assert "application/vnd.jupyter.widget-view+json" in shown[0]
    assert shown[1] == {"text/plain": "ShadowNB capture: none yet"}
    press(panel, "start")
    ask(panel, "a private matter")
    press(panel, "stop")
    assert f"ShadowNB capture {panel.store.id}: stopped, 1 call" in updated[-1]
    assert "7 in, 4 out" in updated[-1] and "private" not in updated[-1]


def test_scores_tags_and_costs_of_a_capture(panel: CapturePanel, upstream: Upstream) -> None:
    press(panel, "start")
    ask(panel, "Where is my parcel?", extra_headers={"x-shadownb-tags": "feature=triage"})
    ask(panel, "And my refund?", extra_headers={"x-shadownb-tags": "feature=refunds"})
    ask(panel, "Hello?")
    wait_for(panel, "page", lambda page: len(page.get("rows") or ()) == 3)
    press(panel, "refresh")
    assert panel.page["tags"] == ["feature=refunds", "feature=triage"]

    first = panel.page["rows"][-1]
    press(panel, "open", call=first["id"])
    assert panel.call["tags"] == {"feature": "triage"} and panel.call["judged"] == []
    press(panel, "score", call=first["id"], value=0, note=f"Write to ada@example.com with {KEY}")
    assert panel.call["scores"] == {"score": 0.0}
    assert KEY not in panel.call["judged"][0]["note"] and "Write to" in panel.call["judged"][0]["note"]
    press(panel, "score", call=first["id"], value=1)
    assert [each["value"] for each in panel.call["judged"]] == [0.0, 1.0]
    assert [row["scores"] for row in panel.page["rows"]] == [{}, {}, {"score": 1.0}]
    assert panel.store.scores()[first["id"]][-1].value == 1.0
    press(panel, "score", call=first["id"], value="good")
    assert panel.error["what"].startswith("value='good' is not a number")

    press(panel, "filter", tag="feature=triage")
    assert [row["id"] for row in panel.page["rows"]] == [first["id"]] and panel.page["tag"] == "feature=triage"
    press(panel, "filter")
    press(panel, "costs", by="tag:feature")
    sites = {row["site"]: row["calls"] for row in panel.costs["rows"]}
    assert sites == {"triage": 1, "refunds": 1, "": 1} and panel.costs["newest"] == 0
    press(panel, "costs", by="nothing")
    assert "names no call site" in panel.error["what"] and panel.costs == {}
