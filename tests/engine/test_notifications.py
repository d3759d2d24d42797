"""Notifications: sent at an end to what the user set, beside the run; failures are counted, addresses stand nowhere else."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.notifications import telling
from shadownb.errors import ConfigError
from tests.engine.conftest import until
from tests.engine.methods_data import chats
from tests.waiting import wait_for

SHORT: dict[str, Any] = {"max_steps": 2, "sample_max_new_tokens": 0, "background": False}
SECRET = "T0K3N-of-the-hook"


@pytest.fixture
def model(home: Path, byte_model_dir: Path) -> Any:
    return snb.load(str(byte_model_dir), max_length=256, dtype="float32")


@pytest.fixture
def hook() -> Iterator[Any]:
    """A server that keeps what is posted to it; ``hook.answers`` with a code of its own."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(self.server.answers)  # type: ignore[attr-defined]
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server: Any = HTTPServer(("127.0.0.1", 0), Handler)
    server.got, server.answers = got, 200
    server.url = f"http://127.0.0.1:{server.server_port}/services/{SECRET}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def arrived(run: Any, count: int = 1) -> list[dict[str, Any]]:
    return wait_for(
        lambda: run.notifications if [each["problem"] for each in run.notifications].count("") >= count else None
    )


def test_a_run_tells_the_channels_it_names_and_no_file_of_it_has_the_address(model: Any, hook: Any, home: Path) -> None:
    snb.notifications.add("team", url=hook.url)
    told = home / "told.json"
    program = f"import sys, pathlib; pathlib.Path({str(told)!r}).write_text(sys.argv[1] + '\\n' + sys.stdin.read())"
    snb.notifications.add("desk", command=[sys.executable, "-c", program, "{status}: {text}"])
    assert stat.S_IMODE((home / "notify.json").stat().st_mode) == 0o600
    run = model.train(chats(), notify=["team", "desk"], **SHORT)
    assert [each["channel"] for each in arrived(run, 2)] == ["team", "desk"]
    (posted,) = hook.got
    assert posted["text"] == posted["content"] and posted["text"].startswith(f"ShadowNB: run {run.id} (")
    assert (posted["status"], posted["step"], posted["loss"]) == ("succeeded", 2, run.loss)
    line, message = told.read_text(encoding="utf-8").split("\n", 1)
    assert line == f"succeeded: {posted['text']}" and json.loads(message)["name"] == run.id
    for path in run.path.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in repr(snb.notifications.list())
    assert model.train(chats(), start="base", **SHORT).notifications == [], "never unasked"


def test_failures_are_noted_without_the_address_and_change_nothing_else(model: Any, hook: Any) -> None:
    hook.answers = 500
    snb.notifications.add("team", url=hook.url)
    snb.notifications.add("gone", url=f"http://127.0.0.1:1/{SECRET}")
    snb.notifications.add("unset", url_env="NO_SUCH_HOOK")
    snb.notifications.add("absent", command=["no-such-program"])
    snb.notifications.add("wrong", command=[sys.executable, "-c", "raise SystemExit(3)"])
    run = model.train(chats(), notify=["team", "gone", "unset", "absent", "wrong"], **SHORT)
    assert run.status == "succeeded"
    wait_for(lambda: len(run.notifications) == 5 and all(each["ok"] is not None for each in run.notifications))
    problems = telling.problems(run.path)
    assert problems[0] == "team: 127.0.0.1 answered 500" and "cannot be reached" in problems[1]
    assert "NO_SUCH_HOOK is not set" in problems[2] and "cannot be run" in problems[3] and "code 3" in problems[4]
    assert SECRET not in repr(problems) and "did not arrive" in run._repr_html_()
    with pytest.raises(ConfigError, match=r"no channel has this name\. Did you mean 'team'"):
        model.train(chats(), notify="teem", **SHORT)
    with pytest.raises(ConfigError) as caught:
        model.train(chats(), notify=hook.url, **SHORT)
    assert SECRET not in str(caught.value) and caught.value.fix
    for wrong in ({}, {"url": "ftp://host"}, {"url": hook.url, "command": ["x"]}):
        with pytest.raises(ConfigError) as caught:
            snb.notifications.add("wrong", **wrong)
        assert SECRET not in str(caught.value)


def test_who_is_told_of_every_run_hears_of_failures_and_not_of_stops(model: Any, hook: Any) -> None:
    snb.notifications.add("team", url=hook.url, always=True)
    options = {**SHORT, "background": True, "max_steps": 3000, "save_steps": 3000}
    stopped = model.train(chats(), **options)
    until(stopped, lambda state: state.step >= 1)
    stopped.stop().wait(timeout=60)
    wild = {"method": "full", "learning_rate": 10.0, "max_steps": 12, "per_device_train_batch_size": 8}
    failed = model.train(chats(), start="base", **{**SHORT, **wild, "background": True}).wait(timeout=60)
    assert failed.status == "failed"
    arrived(failed)
    (posted,) = hook.got
    assert posted["status"] == "diverged" and posted["error"] in posted["text"] and stopped.notifications == []


def test_a_sweep_tells_once_and_a_script_that_ends_with_its_run_still_sends(
    model: Any, hook: Any, byte_model_dir: Path
) -> None:
    snb.notifications.add("team", url=hook.url, always=True)
    sweep = model.sweep(chats(), {"lora_r": [2, 4]}, eval_steps=2, name="told", **SHORT)
    wait_for(lambda: hook.got and telling.problems(sweep.path) == [])  # noted once the answer has been read
    assert [each["kind"] for each in hook.got] == ["sweep"] and "sweep told succeeded, 2 trials" in hook.got[0]["text"]
    hook.got.clear()
    script = (
        "import shadownb as snb; from tests.engine.methods_data import chats\n"
        f"model = snb.load({str(byte_model_dir)!r}, max_length=256, dtype='float32')\n"
        f"model.train(chats(), **{SHORT!r})\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=True, timeout=120)
    assert [each["kind"] for each in hook.got] == ["run"]


def test_an_attempt_of_which_nothing_more_is_known_is_seen(home: Path) -> None:
    folder = home / "one"
    folder.mkdir(parents=True)
    (folder / telling.FILE).write_text(
        '\n{"id": "a", "channel": "team", "time": 1.0}\n\n{"id": "b", "cha', encoding="utf-8"
    )
    assert telling.problems(folder) == ["team: it is not known whether it arrived"]
