"""Ratings, corrections and rankings of people: kept beside the calls, taken back, counted, and trained on."""

from __future__ import annotations

import time
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.capture import CaptureStore, captures
from shadownb.errors import ConfigError, DataError, ShadowWarning
from tests.panels.recorded import loop, record, says, tool, user


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [str(message.get("content")) for message in messages]


@pytest.fixture
def store() -> CaptureStore:
    """Three attempts at one task, an agent with a tool, a chat of two turns, an answer that broke off."""
    ask = [user("Name a colour.")]
    record([(ask, says(text)) for text in ("blue", "seven", "red")])
    record(loop("find the parcel", steps=1), tools=[tool("look")])
    chat = [user("Hi."), says("Hello."), user("And now?")]
    record([(chat[:1], chat[1]), (chat, says("Now what?"))])
    return record([([user("long")], says("cut"))], finish_reason="length", status="cut")


def ending(store: CaptureStore, text: str) -> Any:
    return next(each for each in store.trajectories() if each.final_content() == text)


@pytest.mark.filterwarnings("ignore:Answers of gpt-4o")
def test_what_people_click_becomes_verdicts_pairs_and_demonstrations(store: CaptureStore) -> None:
    for text, value in (("Done: find the parcel", 1.0), ("Now what?", 0.0), ("cut", 0.0)):
        store.score(ending(store, text), value)
    store.correct(ending(store, "Now what?"), "Now we talk about parcels.")
    store.rank([ending(store, "red"), [ending(store, "blue")], ending(store, "seven")])
    assert store.clicks() == {"rated": 3, "corrected": 1, "ranked": 3}
    with pytest.warns(ShadowWarning, match="1 rated answers broke off"):
        verdicts = store.to_verdicts()
    assert [(texts(row["prompt"])[-1], texts(row["completion"])[-1], row["label"]) for row in verdicts] == [
        ("find the parcel", "Done: find the parcel", True),
        ("And now?", "Now what?", False),
    ]
    assert [m["role"] for m in verdicts[0]["completion"]] == ["assistant", "tool", "assistant"] and verdicts[0]["tools"]
    pairs = store.to_preferences()
    assert sorted((texts(row["chosen"])[0], texts(row["rejected"])[0]) for row in pairs) == [
        ("Now we talk about parcels.", "Now what?"), ("blue", "seven"), ("red", "blue"), ("red", "seven"),
    ]  # fmt: skip
    told = store.to_demonstrations()
    assert [texts(row["messages"])[-1] for row in told] == ["Now we talk about parcels.", "Done: find the parcel"]
    assert [m.get("weight") for m in told[0]["messages"]] == [None, 0, None, None], "the correction alone is trained"
    assert len(store.to_demonstrations(threshold=None)) == 1
    for rows, format in ((verdicts, "unpaired_preference"), (pairs, "preference"), (told, "chat")):
        data = snb.Dataset.from_list(rows)
        assert (data.format, data.report.valid) == (format, len(rows)), data.report


def test_what_was_clicked_is_taken_back_also_in_the_list(store: CaptureStore) -> None:
    blue, red = ending(store, "blue"), ending(store, "red")
    first = store.score(blue, 1.0, note="nice")
    second = store.score(blue, 0.0)
    ranked = store.rank([red, blue])
    assert [row["score"] for row in store.episodes(sort="best", limit=1)] == [0.0]
    assert store.take_back(second) == 1 and store.take_back(second) == 0
    assert [row["score"] for row in store.episodes(sort="best", limit=1)] == [1.0]
    assert ending(store, "blue").reward == 1.0
    assert store.take_back(*ranked, first) == 3
    assert store.scores() == {} and store.clicks() == {"rated": 0, "corrected": 0, "ranked": 0}
    assert [row["score"] for row in store.episodes(sort="best", limit=1)] == [None]
    assert store.count(scored=True) == 0 and store.count(scored=False) == store.count()
    assert ending(store, "blue").metrics == {}


@pytest.mark.filterwarnings("ignore:Answers of gpt-4o")
def test_a_new_ranking_says_nothing_of_who_was_ranked_before(
    store: CaptureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    blue, seven, red = (ending(store, text) for text in ("blue", "seven", "red"))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    store.rank([blue, red, seven])
    monkeypatch.setattr(time, "time", lambda: now + 1)
    store.rank([red, blue])
    assert [(texts(row["chosen"]), texts(row["rejected"])) for row in store.to_preferences()] == [(["red"], ["blue"])]


def test_a_correction_goes_with_its_person_and_without_keys(store: CaptureStore) -> None:
    kept = store.correct(ending(store, "blue"), "Ask Ada Quillfeather, " + "sk-proj-" + "a1B2" * 12)
    assert kept.note.startswith("Ask Ada Quillfeather, ") and "a1B2" not in kept.note
    planned = captures.delete(store.id, where="Ada Quillfeather", dry_run=True)
    assert planned is not None and sum(planned.calls.values()) == 1


def test_clicks_that_make_no_sense_are_refused_and_leave_nothing(store: CaptureStore) -> None:
    blue, other = ending(store, "blue"), ending(store, "Now what?")
    for wrong, what in (([blue], "1 different"), ([blue, blue], "1 different"), ([blue, other], "2 different tasks")):
        with pytest.raises(ConfigError, match=what):
            store.rank(wrong)
    with pytest.raises(ConfigError, match="answer= is empty"):
        store.correct(blue, "  ")
    with pytest.raises(DataError, match="no call"):
        store.rank([blue, "call_no"])
    assert store.scores() == {}
    for rows in (store.to_verdicts, store.to_preferences, store.to_demonstrations):
        with pytest.raises(DataError, match="None of 0 episodes"):
            rows()
