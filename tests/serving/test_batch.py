"""Files of requests: every line answered once, whatever ends the process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.errors import BusyError, ConfigError, DataError
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]


def written(path: Path, count: int, **fields: Any) -> Path:
    def line(number: int) -> str:
        body = {"messages": [{"role": "user", "content": f"say {number}"}], "max_tokens": 3, "temperature": 0, **fields}
        return json.dumps({"custom_id": f"c{number}", "method": "POST", "url": "/v1/chat/completions", "body": body})

    path.write_text("\n".join(line(n) for n in range(count)) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_line_gets_its_answer_or_its_error(model: Any, tmp_path: Path) -> None:
    requests, answers = written(tmp_path / "in.jsonl", 6), tmp_path / "deep" / "out.jsonl"
    with open(requests, "a", encoding="utf-8") as file:
        file.write('{"custom_id":"bad","url":"/v1/chat/completions","body":{"messages":[],"nonsense":1}}\n')
        file.write('{"custom_id":"text","url":"/v1/completions","body":{"prompt":"x","max_tokens":2}}\n')
    result = snb.batch(requests, answers, model, at_once=4)
    assert (result.total, result.completed, result.failed, result.taken_over) == (8, 7, 1, 0)
    found = {each["custom_id"]: each for each in read(answers)}
    assert len(found) == 8
    assert found["bad"]["response"]["status_code"] == 400 and "messages" in found["bad"]["error"]["message"]
    assert found["c3"]["error"] is None
    said = model.chat([{"role": "user", "content": "say 3"}], max_new_tokens=3, temperature=0).content
    assert found["c3"]["response"]["body"]["choices"][0]["message"]["content"] == said
    assert found["text"]["response"]["body"]["object"] == "text_completion"
    before = answers.read_bytes()
    again = snb.batch(requests, answers, None)
    assert (again.taken_over, again.completed) == (8, 7) and answers.read_bytes() == before, "nobody was asked"
    assert not Path(f"{answers}.lock").exists()


def test_what_a_kill_left_is_kept_and_what_another_try_may_answer_is_asked_again(model: Any, tmp_path: Path) -> None:
    requests, answers = written(tmp_path / "in.jsonl", 3), tmp_path / "out.jsonl"
    snb.batch(requests, answers, model)
    lines = answers.read_text().splitlines(keepends=True)
    whole = {json.loads(line)["custom_id"]: line for line in lines}
    busy = json.loads(whole["c1"])
    busy["response"] = {"status_code": 503, "body": {}}
    answers.write_text(whole["c0"] + json.dumps(busy) + "\n" + whole["c2"][:20])
    result = snb.batch(requests, answers, model)
    assert (result.taken_over, result.completed) == (1, 3)
    kept = answers.read_text().splitlines(keepends=True)
    assert kept[0] == whole["c0"] and len(kept) == 3


def test_a_killed_batch_goes_on_with_each_line_answered_once(tiny_model_dir: Path, tmp_path: Path) -> None:
    requests, answers = written(tmp_path / "in.jsonl", 60, max_tokens=40), tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "shadownb", "batch", str(requests), str(answers), "--model", str(tiny_model_dir)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SHADOWNB_HOME": str(tmp_path / "home")}
    process = subprocess.Popen(
        [*command, "--at-once", "2"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: answers.exists() and answers.stat().st_size > 0, 120)
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = [line for line in answers.read_text().split("\n")[:-1]]
    assert 0 < len(first) < 60
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=300)
    lines = answers.read_text().splitlines()
    assert lines[: len(first)] == first
    assert sorted(json.loads(line)["custom_id"] for line in lines) == sorted(f"c{n}" for n in range(60))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nonsense\n", "line 1 is no JSON"),
        ('{"custom_id":"a","url":"/v1/chat/completions"}\n', "no custom_id, or no body"),
        ('{"custom_id":"a","url":"/v1/files","body":{}}\n', "/v1/files"),
        ('{"custom_id":"a","url":"/v1/chat/completions","body":{"stream":true}}\n', "stream"),
        ('{"custom_id":"a","url":"/v1/completions","body":{}}\n' * 2, "that of line 1"),
    ],
)
def test_a_file_that_is_none_is_refused_before_anything_is_asked(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "in.jsonl").write_text(text)
    with pytest.raises(DataError, match=says):
        snb.batch(tmp_path / "in.jsonl", tmp_path / "out.jsonl", "no-such-model")
    assert not (tmp_path / "out.jsonl").exists()


def test_other_peoples_files_and_a_second_writer_are_refused(model: Any, tmp_path: Path) -> None:
    from filelock import FileLock

    requests = written(tmp_path / "in.jsonl", 1)
    (tmp_path / "notes.txt").write_text("my notes\nmore\n")
    with pytest.raises(DataError, match="no answer of a batch"):
        snb.batch(requests, tmp_path / "notes.txt", model)
    assert (tmp_path / "notes.txt").read_text() == "my notes\nmore\n"
    with FileLock(f"{tmp_path / 'out.jsonl'}.lock"), pytest.raises(BusyError):
        snb.batch(requests, tmp_path / "out.jsonl", model)
    with pytest.raises(ConfigError, match="at_once=0"):
        snb.batch(requests, tmp_path / "out.jsonl", model, at_once=0)
    with pytest.raises(ConfigError, match="no model"):
        snb.batch(requests, tmp_path / "out.jsonl")
