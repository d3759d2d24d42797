"""ServePanel: servers are started, watched, asked and stopped on the page, and no trait ever holds a token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from panel_driver import press

import shadownb as snb


@pytest.fixture
def model(home: Path, byte_model_dir: Path) -> Any:
    return snb.load(str(byte_model_dir), dtype="float32")


def held(panel: Any) -> str:
    return json.dumps({key: str(value) for key, value in panel.get_state().items()})


def test_a_model_is_served_asked_and_stopped_on_the_page(model: Any) -> None:
    from shadownb.engine.serving.server import running_here

    panel = snb.ServePanel(namespace={"mine": model})
    assert panel.settle() and [each["id"] for each in panel.models] == ["var:mine"] and panel.servers == []
    press(panel, "start", source="var:mine", name="tiny")
    assert panel.state == {"stage": "ready"}, panel.state
    (shown,) = panel.servers
    server = running_here[shown["id"]]
    assert shown["models"] == ["tiny", "tiny-base"] and shown["url"] == server.url and shown["health"] == ""
    assert panel.code["python"].startswith("import shadownb as snb\n\nserver = snb.serve(mine, name='tiny')")
    assert panel.code["magic"] == "%shadow serve mine --name tiny"
    messages: list[Any] = []
    panel.send = lambda content, buffers=None: messages.append(content)
    press(panel, "token", server=shown["id"])
    assert messages == [{"kind": "token", "server": shown["id"], "token": server.token}]
    assert server.token not in held(panel) and "{token}" in shown["clients"][0]["code"]
    press(panel, "play", question="hello?", places=[[shown["id"], "tiny"], [shown["id"], "tiny-base"]])
    answers = panel.played["answers"]
    assert [each["model"] for each in answers] == ["tiny", "tiny-base"] and not any(each["error"] for each in answers)
    assert answers[0]["text"] is not None and panel.servers[0]["stats"]["requests"] >= 2
    assert "1 running" in panel._snapshot_text() and server.token not in panel._snapshot_text()
    press(panel, "stop", server=shown["id"])
    assert panel.servers == [] and not server.is_running
    panel.close()


def test_what_fails_is_said_and_the_form_stays(model: Any) -> None:
    panel = snb.ServePanel(namespace={})
    press(panel, "start", source="no-such-model")
    assert panel.state["stage"] == "failed" and "no-such-model" in panel.state["error"]["what"]
    press(panel, "start", source=" ")
    assert "No model" in panel.error["what"]
    press(panel, "stop", server="nobody")
    assert "does not run" in panel.error["what"]
    press(panel, "play", question="x", places=[])
    assert "No model is chosen" in panel.error["what"]
    server = panel.start(model, name="tiny")
    press(panel, "look")
    server.stop()
    press(panel, "play", question="x", places=[[server.id, "tiny"]])
    assert "does not run" in panel.error["what"]
    panel.close()
