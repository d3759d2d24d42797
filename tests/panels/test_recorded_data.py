"""Recordings as data in Train: handed over by Capture and Trajectories, opened as the list shows them, and as the code says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from panel_driver import press
from recorded import loop, record, says, tool, user

import shadownb as snb
from shadownb.errors import DataError
from shadownb.panels import Studio
from shadownb.panels._recorded_data import Recorded


@pytest.fixture
def studio() -> Studio:
    record(loop("find the parcel"), tools=[tool("look")])
    for at in range(4):
        session = "night" if at % 2 else "day"
        record([([user(f"Where is lamp {at}?")], says(f"On shelf {at}."))], session=session)
    return Studio(namespace={})


def trained_on(studio: Studio) -> list[str]:
    """Return the first question of each row that Train has now; its code makes the same rows."""
    assert studio.settle(60) and studio.tab == "train", studio.train.data_state
    assert studio.train.data_state["stage"] == "ready", studio.train.data_state
    rows = studio.train.dataset.canonical_rows()
    press(studio.train, "choose_model", choice="alias:smollm2-135m")
    line = next(line for line in studio.train.code["python"].splitlines() if line.startswith("data = "))
    names: dict[str, Any] = {"shadownb": snb}
    exec(line, names)
    assert names["data"].canonical_rows() == rows
    return [next(m["content"] for m in row["messages"] if m["role"] == "user") for row in rows]


def test_what_capture_shows_is_trained_on_whole_or_filtered(studio: Studio) -> None:
    studio.capture.show("recorded")
    press(studio.capture, "train")
    assert sorted(trained_on(studio)) == [
        "Where is lamp 0?",
        "Where is lamp 1?",
        "Where is lamp 2?",
        "Where is lamp 3?",
        "find the parcel",
    ]
    press(studio.capture, "filter", search="lamp 2")
    press(studio.capture, "train")
    assert trained_on(studio) == ["Where is lamp 2?"]
    titles = {
        each["id"]: each["title"] for each in studio.train.choices["data"] if each["group"] == "From other panels"
    }
    assert list(titles.values()) == ["recorded: all episodes", "recorded: calls with text lamp 2"]


def test_what_a_search_finds_and_the_open_episode_are_trained_on(studio: Studio) -> None:
    episodes = studio.trajectories
    episodes.show("recorded")
    assert episodes.settle(60)
    press(episodes, "query", values={"search": "LAMP", "min_messages": "2"})
    listed = [row["title"] for row in episodes.page["rows"]]
    press(episodes, "train")
    assert sorted(trained_on(studio)) == sorted(listed) and len(listed) == 4
    press(episodes, "query", values={"search": "", "tool": "look", "min_messages": "0"})
    press(episodes, "train")
    assert trained_on(studio) == ["find the parcel"]
    press(episodes, "query", values={"tool": ""})
    row = next(row for row in episodes.page["rows"] if row["title"] == "Where is lamp 3?")
    press(episodes, "open", episode=row["id"])
    press(episodes, "train", only_open=True)
    assert trained_on(studio) == ["Where is lamp 3?"]


def test_recordings_are_in_the_list_of_data_and_a_broken_choice_is_refused(studio: Studio) -> None:
    press(studio.train, "refresh")
    assert "capture:recorded" in [each["id"] for each in studio.train.choices["data"]]
    with pytest.raises(DataError, match="no selection"):
        Recorded.of("capture:recorded#{nonsense")
    with pytest.raises(DataError, match="no selection"):
        Recorded.of('capture:recorded#{"where": "lambda: 1"}')


def test_the_model_of_a_studio_can_be_recorded(studio: Studio, byte_model_dir: Path) -> None:
    press(studio.train, "choose_model", choice=f"path:{byte_model_dir}")
    press(studio.train, "load_model")
    assert studio.settle(60)
    offered = [each["id"] for each in studio.capture.choices["models"]]
    assert offered == ["var:snb.Studio.newest().model"]
    press(studio.capture, "set", values={"url": "", "model": offered[0]})
    assert "snb.capture(snb.Studio.newest().model)" in studio.capture.code["python"]
    press(studio.capture, "start")
    assert studio.capture.proxy is not None, studio.capture.error
    press(studio.capture, "stop")
    studio.close()
