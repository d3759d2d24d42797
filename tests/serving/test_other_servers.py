"""Servers of other programs: started, watched, restarted and ended by us; and one that runs already."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import shadownb as snb
from shadownb.errors import ConfigError, MissingDependencyError, RunError
from tests.serving.conftest import USER, WEB, post
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program ``vllm`` and one ``sglang`` on the PATH, which note what they are told."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("vllm", "sglang"):
        file = programs / name
        file.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.serving.scripted "$@"\n')
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("SCRIPTED_FOLDER", str(tmp_path))
    return tmp_path


def lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def vllm(scripted: Path, byte_model_dir: Path) -> Iterator[Any]:
    with snb.serve(str(byte_model_dir), engine="vllm", name="tiny", engine_options=["--max-model-len", "64"]) as server:
        yield server


def test_the_command_has_what_was_asked_and_requests_go_on_translated(
    vllm: Any, scripted: Path, byte_model_dir: Path
) -> None:
    arguments = lines(scripted / "started.jsonl")[0]["arguments"]
    assert arguments[:2] == ["serve", str(byte_model_dir)]
    assert arguments[-2:] == ["--max-model-len", "64"]
    assert vllm.decisions["engine"] == ("vllm", "asked for") and vllm.models == ["tiny"]
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    body = {"model": "tiny", "messages": USER, "guided_json": schema, "min_p": 0.1, "top_k": 5}
    assert post(vllm, "/chat/completions", body).status_code == 200
    assert post(vllm, "/chat/completions", {"model": "tiny", "messages": USER, "guided_regex": "a+"}).status_code == 200
    first, second = (each["body"] for each in lines(scripted / "seen.jsonl"))
    assert first["response_format"]["json_schema"]["schema"] == schema and "guided_json" not in first
    assert second["structured_outputs"] == {"regex": "a+"}
    assert vllm.log[0]["completion_tokens"] == 5, "what the server counted"
    for path, field in (("/chat/completions", "verbosity"), ("/chat/completions", "best_of")):
        refused = post(vllm, path, {"model": "tiny", "messages": USER, field: "low"})
        assert refused.status_code == 400 and field in refused.json()["error"]["message"]
    assert post(vllm, "/messages", {"model": "tiny", "messages": USER, "max_tokens": 3}).status_code == 404
    assert len(lines(scripted / "seen.jsonl")) == 2, "what is refused is not passed on"


def test_a_killed_engine_is_started_again_and_its_requests_get_a_typed_error(vllm: Any, scripted: Path) -> None:
    pid = lines(scripted / "started.jsonl")[0]["pid"]
    answers: list[Any] = []
    slow = threading.Thread(
        target=lambda: answers.append(
            post(
                vllm,
                "/chat/completions",
                {"model": "tiny", "messages": [{"role": "user", "content": "please be slow"}]},
            )
        )
    )
    slow.start()
    wait_for((scripted / "seen.jsonl").exists)
    os.kill(pid, signal.SIGKILL)
    slow.join()
    assert answers[0].status_code == 502 and answers[0].json()["error"]["code"] == "engine_failed"
    wait_for(lambda: not vllm.health and len(lines(scripted / "started.jsonl")) == 2)
    assert post(vllm, "/chat/completions", {"model": "tiny", "messages": USER}).status_code == 200
    again = lines(scripted / "started.jsonl")[1]["pid"]
    vllm.stop()
    assert not psutil.pid_exists(again), "nothing is left behind"


def test_an_engine_that_does_not_start_says_why(scripted: Path, byte_model_dir: Path) -> None:
    (scripted / "fail").touch()
    with pytest.raises(RunError, match="ended while it started") as caught:
        snb.serve(str(byte_model_dir), engine="sglang")
    assert "as they say" in caught.value.as_text()
    assert lines(scripted / "started.jsonl")[0]["arguments"][:3] == ["serve", "--model-path", str(byte_model_dir)]


def test_an_engine_that_is_not_installed_is_named(byte_model_dir: Path) -> None:
    with pytest.raises(MissingDependencyError, match="vllm is not installed"):
        snb.serve(str(byte_model_dir), engine="vllm")


def test_a_running_server_stands_behind_the_front(scripted: Path) -> None:
    from shadownb.engine.serving.managed import _free_port

    port = _free_port()
    command = [sys.executable, "-m", "tests.serving.scripted", "--served-model-name", "theirs", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_for(lambda: _answers(port))
        with snb.serve(f"http://127.0.0.1:{port}", name="ours") as server:
            assert server.models == ["ours"]
            assert post(server, "/chat/completions", {"model": "ours", "messages": USER, "seed": 1}).status_code == 200
            assert lines(scripted / "seen.jsonl")[0]["body"]["model"] == "theirs"
            refused = post(server, "/chat/completions", {"model": "ours", "messages": USER, "min_p": 0.5})
            assert refused.status_code == 400 and "min_p" in refused.json()["error"]["message"], "it might ignore this"
            process.kill()
            process.wait()
            gone = post(server, "/chat/completions", {"model": "ours", "messages": USER})
            assert gone.status_code == 502 and gone.json()["error"]["code"] == "engine_failed"
    finally:
        process.kill()
        process.wait()
    with pytest.raises(ConfigError, match="does not list its models"):
        snb.serve(f"http://127.0.0.1:{port}")


def _answers(port: int) -> bool:
    try:
        return WEB.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except Exception:
        return False
