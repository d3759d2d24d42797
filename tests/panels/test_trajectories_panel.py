"""The Trajectories panel: the same episodes as the engine's, found, opened, paged, coloured, live; little on the wire."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from panel_driver import press, wait_for
from recorded import Traffic, calls, loop, record, result, says, tool, user

import shadownb
from shadownb import Dataset, Trajectory
from shadownb.engine.capture import CaptureStore
from shadownb.engine.capture.index import upkeep
from shadownb.engine.trajectories import trajectories_of
from shadownb.panels import Studio, TrajectoriesPanel, _conversation


def shown(source: Any, **options: Any) -> TrajectoriesPanel:
    panel = TrajectoriesPanel(source, namespace=options.pop("namespace", {}), **options)
    wait_for(panel, "source", lambda source: source["stage"] in ("ready", "failed"))
    assert panel.source["stage"] == "ready" and panel.settle(120), panel.source
    return panel


def titles(panel: TrajectoriesPanel) -> list[str]:
    return [row["title"] for row in panel.page["rows"]]


def open_titled(panel: TrajectoriesPanel, title: str, kind: str | None = None) -> dict[str, Any]:
    row = next(row for row in panel.page["rows"] if row["title"] == title and kind in (None, row["kind"]))
    press(panel, "open", episode=row["id"])
    assert not panel.error, panel.error
    return panel.conversation


def varied() -> CaptureStore:
    """Return a store with a tool loop, a regenerated answer, a retry, a branch, parallel tools and a subagent."""
    record(loop("find the parcel"), tools=[tool("look")])
    base = [user("Tell a joke.")]
    record([(base, says("One.")), (base, says("Two."))])
    record([([user("flaky")], says("cut"))], status="cut")
    record([([user("flaky")], says("whole"))])
    longer = [*base, says("One."), user("More.")]
    record([(longer, says("Three.")), ([*base, says("One."), user("Less.")], says("Four."))])
    boss = [{"role": "system", "content": "You lead."}, user("Plan a trip.")]
    two = {**calls("ask", 0), "tool_calls": calls("ask", 0)["tool_calls"] + calls("ask", 1)["tool_calls"]}
    record([(boss, two)], session="s1", tools=[tool("ask")])
    for number, place in enumerate(("Rome", "Oslo")):
        record([([{"role": "system", "content": "You search."}, user(place)], says(f"{number} hotels"))], session="s1")
    results = [result("1 hotel", "ask", 0), result("2 hotels", "ask", 1)]
    record([([*boss, two, *results], says("Go to Rome."))], session="s1", tools=[tool("ask")])
    return CaptureStore.open("recorded")


@pytest.mark.parametrize("pages_of", [500, 3, 1])
def test_the_list_holds_what_the_engine_makes_of_the_calls(monkeypatch: pytest.MonkeyPatch, pages_of: int) -> None:
    monkeypatch.setattr(upkeep, "AT_ONCE", pages_of)
    store = varied()
    panel = shown(store)
    engine = {t.call_ids[-1]: t for t in trajectories_of(store)}
    assert panel.facets["episodes"] == len(engine) == panel.page["total"]
    kinds: dict[str, int] = {}
    for row in panel.page["rows"]:
        press(panel, "open", episode=row["id"])
        found = panel.trajectory
        expected = engine.pop(found.call_ids[-1])
        assert (found.messages, found.calls, found.metadata) == (expected.messages, expected.calls, expected.metadata)
        assert (row["messages"], row["cost"], row["kind"]) == (len(found), expected.cost, expected.metadata["kind"])
        kinds[row["kind"]] = kinds.get(row["kind"], 0) + 1
    assert not engine
    assert kinds == panel.facets["kinds"]
    assert {"regenerate", "retry", "branch", "subagent"} <= set(kinds) and kinds["subagent"] == 2


def test_a_conversation_with_tools_branches_and_subagents() -> None:
    panel = shown(varied())
    found = open_titled(panel, "find the parcel")
    assert [message["role"] for message in found["messages"]] == [
        "system", "user", "assistant", "tool", "assistant", "tool", "assistant",
    ]  # fmt: skip
    assert found["messages"][2]["calls"] == [{"name": "look", "arguments": '{\n "at": 0\n}', "length": 12}]
    assert found["messages"][3]["name"] == "look" and [t["name"] for t in found["tools"]] == ["look"]
    assert [m["at"] for m in found["messages"] if m["recorded"]] == [2, 4, 6]

    joke = open_titled(panel, "Tell a joke.", "regenerate")
    assert {(other["kind"], other["at"]) for other in joke["related"]} == {("episode", 1), ("branch", 1)}
    branch = open_titled(panel, "Tell a joke.", "branch")
    assert ("episode", 2) in {(other["kind"], other["at"]) for other in branch["related"]}

    boss = open_titled(panel, "Plan a trip.")
    children = [other for other in boss["related"] if other["relation"] == "child"]
    assert sorted(child["title"] for child in children) == ["Oslo", "Rome"] and {child["at"] for child in children} == {
        3
    }
    press(panel, "open", episode=children[0]["id"])
    assert [(o["relation"], o["title"]) for o in panel.conversation["related"]] == [("parent", "Plan a trip.")]

    broken = open_titled(panel, "flaky", "episode")
    assert not broken["messages"][1]["trained"] and broken["messages"][1]["recorded"]


def test_search_filters_order_and_pages() -> None:
    for number in range(30):
        record(
            loop(f"task {number}", steps=number % 4), cost=0.001 * number, session=f"s{number}", tools=[tool("look")]
        )
    panel = shown("recorded")
    assert titles(panel) == [f"task {n}" for n in range(29, 9, -1)] and panel.page["total"] == 30
    press(panel, "query", values={"offset": 20})
    assert titles(panel) == [f"task {n}" for n in range(9, -1, -1)]
    press(panel, "query", values={"search": "task 2"})
    assert panel.query["offset"] == 0 and panel.page["total"] == 11
    press(panel, "query", values={"search": "100%"})
    assert panel.page["rows"] == []
    press(panel, "query", values={"search": "", "min_messages": "9", "sort": "costliest"})
    assert titles(panel) == [f"task {n}" for n in range(27, 2, -4)]
    press(panel, "query", values={"min_messages": "", "tool": "look", "sort": "shortest"})
    assert panel.page["total"] == 22 and panel.page["rows"][0]["messages"] == 5
    press(panel, "query", values={"model": "gpt", "tool": ""})
    assert panel.page["total"] == 0, "a model is a whole name"


def test_the_code_gives_what_the_filters_show(recwarn: pytest.WarningsRecorder) -> None:
    store = varied()
    panel = shown(store)
    press(panel, "query", values={"search": "joke", "kind": "regenerate", "model": "gpt-4o"})
    names: dict[str, Any] = {}
    exec(panel.code["python"], names)
    assert len(names["data"]) == panel.page["total"] == 1
    open_titled(panel, "Tell a joke.")
    exec(panel.code["python"].replace("data.inspect(model)", ""), names)
    assert names["data"][0]["messages"][-1]["content"] == "Two."


def test_what_goes_to_the_page_is_what_is_on_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    for number in (400, 4000):
        record(
            exchange
            for at in range(number)
            for exchange in (loop(f"task {number}-{at}", 3) if at % 20 == 0 else [([user(f"ask {at}")], says("a"))])
        )
        panel = shown("recorded")
        assert panel.source["read"] == len(CaptureStore.open("recorded"))
        traffic = Traffic(panel, monkeypatch)
        for kind, options in (
            ("query", {"values": {"search": "task", "sort": "longest"}}),
            ("open", {}),
            ("query", {"values": {"search": "", "offset": 20}}),
        ):
            chosen = {"episode": panel.page["rows"][0]["id"]} if kind == "open" else options
            traffic.clear()
            press(panel, kind, **chosen)
            # Of the conversation that is opened its four calls, each with its bodies; whether there are new ones, and scores.
            assert traffic.rows <= 16, f"{kind} read {traffic.rows} rows of the store"
            assert traffic.bytes < 16_000
            sizes.append(traffic.bytes)
        panel.close()
    assert all(large < 1.2 * small for small, large in zip(sizes[:3], sizes[3:], strict=True)), sizes


def test_a_list_of_20000_episodes_stays_fluid(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = shown([Trajectory([user("task 0"), says("done")])])
    assert panel._index is not None
    like = panel._index.table.find(0)
    panel._index.table.write(
        [
            {**like, "id": n, "tip": n, "root": n, "title": f"task {n}", "messages": n % 90, "cost": n / 1e6}
            for n in range(20_000)
        ]
    )
    traffic = Traffic(panel, monkeypatch)
    for values, first in (
        ({"sort": "costliest"}, "task 19999"),
        ({"offset": 10_000}, "task 9999"),
        ({"search": "task 77"}, "task 7799"),
        ({"search": "", "min_messages": 89, "sort": "oldest"}, "task 89"),
    ):
        traffic.clear()
        began = time.process_time()
        press(panel, "query", values=values)
        assert time.process_time() - began < 3, values  # measured: 0.02 to 0.2 s
        assert titles(panel)[0] == first and len(titles(panel)) == 20
        assert traffic.bytes < 16_000


def test_a_long_conversation_comes_in_windows_and_long_texts_cut() -> None:
    messages = [user("x" * 40_000)]
    for number in range(60):
        messages += [says(f"answer {number}"), user(f"go on {number}")]
    record([(messages, {**calls("look", at="y" * 9_000), "reasoning_content": "z" * 5_000})])
    panel = shown("recorded")
    found = open_titled(panel, ("x" * 140))
    assert (len(found["messages"]), found["total"]) == (_conversation.MESSAGES, 122)
    assert (len(found["messages"][0]["text"]), found["messages"][0]["length"]) == (1500, 40_000)
    press(panel, "whole", at=0, part="text")
    assert panel.conversation["messages"][0]["text"] == "x" * 40_000
    press(panel, "window", begin=120)
    last = panel.conversation["messages"][-1]
    assert last["at"] == 121 and len(last["reasoning"]) == 1500 and len(last["calls"][0]["arguments"]) == 1500
    press(panel, "whole", at=121, part="0")
    assert json.loads(panel.conversation["messages"][-1]["calls"][0]["arguments"]) == {"at": "y" * 9_000}
    press(panel, "window", begin=9_999)
    assert panel.conversation["begin"] == 121


def test_tokens_of_the_open_episode(tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_conversation, "TOKENS", 40)
    model = shadownb.load(str(tiny_model_dir), dtype="float32")
    store = varied()
    panel = shown(store, namespace={"mine": model})
    open_titled(panel, "find the parcel")
    press(panel, "inspect")
    assert panel.error["code"] == "model", "none is chosen yet"
    press(panel, "model", choice="var:mine")
    assert panel.inspection["stage"] == "ready", panel.inspection
    whole = Dataset.from_captures(store, where=lambda t: t.first_user_content() == "find the parcel").inspect(model)
    expected = [list(token) for sequence in whole.to_dict()["sequences"] for token in sequence]
    tokens: list[Any] = []
    while len(tokens) < panel.inspection["total"]:
        assert len(panel.inspection["tokens"]) <= 40 and panel.inspection["begin"] == len(tokens)
        tokens += [list(token) for token in panel.inspection["tokens"]]
        press(panel, "inspect", begin=len(tokens))
    assert tokens == expected
    trained = "".join(text for _, text, is_trained, *_ in tokens if is_trained)
    assert "Done: find the parcel" in trained and "seen 0" not in trained and "look" in trained
    open_titled(panel, "Tell a joke.", "branch")
    assert panel.inspection == {"stage": "none"}, "those were of another episode"


def test_new_calls_join_their_episodes_while_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = loop("find it")
    store = record([first])
    store.files.own()
    try:
        panel = shown(store)
        assert panel.source["live"] and panel.page["rows"][0]["messages"] == 3
        record([second, third])
        wait_for(panel, "page", lambda page: page["rows"][0]["messages"] == 7)
        assert panel.page["total"] == 1
        record([([user("another")], says("yes"))])
        wait_for(panel, "page", lambda page: page["total"] == 2)
        panel.close()
    finally:
        store.files.disown()


def test_trajectories_in_memory_with_scores() -> None:
    made = [
        Trajectory([user(f"task {n}"), says(f"answer {n}")], reward=(n * 7) % 5, metrics={"f1": n}) for n in range(5)
    ]
    panel = shown(made)
    assert panel.facets["scored"]
    press(panel, "query", values={"sort": "best"})
    assert [row["score"] for row in panel.page["rows"]] == [4, 3, 2, 1, 0]
    press(panel, "open", episode=panel.page["rows"][0]["id"])
    assert panel.trajectory is made[2] and panel.conversation["metrics"] == {"f1": 2}


def test_an_episode_is_judged_where_it_is_read() -> None:
    panel = shown(varied())
    open_titled(panel, "find the parcel")
    press(panel, "score", value=1, note="")
    press(panel, "score", value=None, note="Found at once.")
    assert panel.facets["scored"] and panel.conversation["facts"]["score"] == 1 and panel.trajectory.reward == 1
    assert {(note["value"], note["note"]) for note in panel.conversation["notes"]} == {
        (1, ""),
        (None, "Found at once."),
    }
    press(panel, "query", values={"sort": "best"})
    assert titles(panel)[0] == "find the parcel"
    assert [t.reward for t in trajectories_of(panel.store)].count(1.0) == 1
    press(panel, "score", value=0)
    assert panel.page["rows"][0]["score"] == 0
    panel.close()


def test_trajectories_that_nothing_has_scored_have_no_score() -> None:
    made = [Trajectory([user(f"task {n}"), says("a")]) for n in range(3)]
    made[1].reward, made[2].reward = 0.0, 0.5
    panel = shown(made)
    press(panel, "query", values={"sort": "worst"})
    assert [row["score"] for row in panel.page["rows"]] == [0.0, 0.5, None]
    assert not shown(made[:1]).facets["scored"]


def test_what_is_gone_is_a_card() -> None:
    store = varied()
    panel = shown(store)
    store.clear()
    press(panel, "open", episode=panel.page["rows"][0]["id"])
    assert panel.error["code"] == "data" and "deleted" in panel.error["what"]
    press(panel, "refresh")
    assert panel.facets["episodes"] == 0 and panel.page["rows"] == []
    press(panel, "show", capture="nowhere")
    assert "nowhere" in panel.error["what"]


def test_studio_reads_what_capture_shows_once_its_tab_is_open() -> None:
    store = varied()
    studio = Studio(namespace={})
    studio.capture.show(store)
    assert studio.settle() and studio.trajectories.store is None
    studio.tab = "trajectories"
    assert studio.settle(60) and studio.trajectories.store is store
    assert studio.trajectories.facets["episodes"] == 9
    studio.close()


def test_the_verb_lists_the_same_episodes(capsys: pytest.CaptureFixture[str]) -> None:
    from shadownb.cli import main

    varied()
    assert main(["capture", "trajectories", "recorded"]) == 0
    said = capsys.readouterr().out
    assert len(said.strip().splitlines()) == 1 + 9
    assert "regenerate" in said and "find the parcel" in said
