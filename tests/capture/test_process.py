"""A capture in a process of its own, from Python and from the shell."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shadownb import cli
from shadownb.engine.capture import CaptureStore, captures
from shadownb.errors import BusyError, ConfigError, DataError, RunError
from tests.capture.conftest import CANARY, WEB
from tests.capture.upstream import Upstream

ASKED: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


def ask(url: str, token: str) -> str:
    got = WEB.post(url + "/chat/completions", json=ASKED, headers={"x-api-key": token})
    assert got.status_code == 200
    return str(got.json()["choices"][0]["message"]["content"])


def test_it_outlives_who_started_it_and_is_found_again(upstream: Upstream) -> None:
    code = f"from shadownb import captures; print(captures.start({upstream.url!r}, name='agent', redact=['email']).base_url)"
    started = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    found = captures.attach("agent")
    try:
        assert found.base_url == started.stdout.strip()
        assert ask(found.base_url, found.token) == "echo: hi"
        assert upstream.seen[0].headers["authorization"] == f"Bearer {CANARY}"
        assert [call.text for call in found.calls] == ["echo: hi"]
        assert [each.id for each in captures.running()] == ["agent"]
        assert found.environment()["OPENAI_BASE_URL"] == found.base_url
        with pytest.raises(BusyError, match="agent"):
            captures.start(upstream.url, name="agent")
        for file in ("token", "process.json", "capture.json"):
            assert (found.folder / file).stat().st_mode & 0o077 == 0
        arguments = Path(f"/proc/{found._state['mark']['pid']}/cmdline")
        shown = repr(found) + found._repr_html_() + (arguments.read_text() if arguments.exists() else "")
        assert found.token not in shown
        assert CANARY not in shown + "".join(
            f.read_text() for f in found.folder.iterdir() if f.suffix in (".json", ".log")
        )
    finally:
        found.stop()
    assert not found.is_running
    assert not (found.folder / "token").exists()
    assert captures.running() == []
    with pytest.raises(RunError, match="agent"):
        captures.attach("agent")
    assert [call.text for call in CaptureStore.open("agent").calls()] == ["echo: hi"]


def test_what_it_counts_is_told_in_another_process(upstream: Upstream) -> None:
    found = captures.start(upstream.url, name="agent")
    try:
        with sqlite3.connect(found.store.files.database) as connection:
            connection.execute("CREATE TRIGGER full BEFORE INSERT ON calls BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        assert ask(found.base_url, found.token) == "echo: hi"
        assert WEB.get(found.root_url + "/shadownb/counters").status_code == 401, "only with the token"
        counted = captures.attach("agent").counters
        assert (counted["failed"], counted["refused"], counted["recorded"]) == (1, 1, 0)
        assert "1 calls: IntegrityError: disk full" in captures.attach("agent")._repr_html_()
        assert CaptureStore.open("agent").count() == 0, "asking is not recorded"
    finally:
        found.stop()
    assert found.counters == {}


def test_what_is_wrong_is_said_where_it_was_asked_for(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="sample"):
        captures.start(upstream.url, sample=7)
    with pytest.raises(ConfigError, match="redact"):
        captures.start(upstream.url, redact=str.lower)
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        captures.start("https://api.openai.com/v1")
    with pytest.raises(DataError):
        captures.attach("nobody")
    assert captures.running() == []


def run(capsys: Any, *args: str) -> tuple[int, str, str]:
    code = cli.main(["capture", *args])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_verb(upstream: Upstream, capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prices.yaml").write_text(
        "models: {gpt-4o: {input: 0, output: 1000000}}"
    )  # a dollar for each token of an answer
    code, out, err = run(
        capsys, "start", upstream.url, "--as-name", "shell", "--redact", "email", "--redact", "key",
        "--prices", "prices.yaml", "--keep-bytes", "1000000",
    )  # fmt: skip
    try:
        assert code == 0, err
        assert "shell" in out
        assert "capture env shell" in err
        code, out, _ = run(capsys, "env")
        names = dict(line.removeprefix("export ").split("=", 1) for line in out.splitlines())
        assert ask(names["OPENAI_BASE_URL"], names["OPENAI_API_KEY"]) == "echo: hi"
        assert names["ANTHROPIC_API_KEY"] == names["OPENAI_API_KEY"]
        (call,) = captures.attach("shell").calls
        assert call.cost == call.usage["completion_tokens"] > 0
        code, out, _ = run(capsys, "status")
        assert "recording" in out
        assert upstream.url in out
        assert captures.attach("shell").files.facts["redact"] == ["email", "key"]
        code, out, err = run(capsys, "stop", "--sample", "0.5")
        assert (code, "--sample" in err) == (2, True)
        code, out, err = run(capsys, "stop")
        assert (code, "stopped" in out) == (0, True)
    finally:
        for capture in captures.running():
            capture.stop()
    assert "stopped" in run(capsys, "status", "shell")[1]
    code, out, _ = run(capsys, "export", "shell", "--to", "calls.jsonl")
    assert (code, out.strip()) == (0, "calls.jsonl")
    assert json.loads(Path("calls.jsonl").read_text())["choices"][0]["message"]["content"] == "echo: hi"
    code, out, _ = run(capsys, "calls", "shell", "--search", "hi")
    assert (code, len(out.strip().splitlines()), "gpt-4o" in out) == (0, 2, True)
    assert "No call fits" in run(capsys, "calls", "shell", "--status", "error")[1]
    assert len(run(capsys, "trajectories", "--kind", "episode", "--search", "HI")[1].strip().splitlines()) == 2
    assert "No episode fits" in run(capsys, "trajectories", "--kind", "branch")[1]
    code, _, err = run(capsys, "calls", "--redact", "email")
    assert (code, "--redact belongs to capture start" in err) == (2, True)
    assert run(capsys, "stop")[0] == 1
    code, _, err = run(capsys, "strat", upstream.url)
    assert (code, "start" in err) == (2, True)
    code, _, err = run(capsys, "export", "shel")
    assert (code, "'shell'" in err) == (1, True)
    assert run(capsys, "delete")[0] == 2
    assert run(capsys, "delete", "shell", "--yes")[0] == 0
    assert captures.list() == []


def test_importing_stays_light() -> None:
    heavy = "torch", "httpx", "starlette", "uvicorn", "openai", "datasets"
    code = f"import shadownb, sys; shadownb.captures; shadownb.CaptureStore; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"


def test_the_magic_records_in_the_kernel(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell = InteractiveShell()
    try:
        shell.run_line_magic("load_ext", "shadownb")
        shell.run_cell(f"proxy = %shadow capture start {upstream.url} --as-name kernel")
        proxy = shell.user_ns["proxy"]
        assert ask(proxy.base_url, proxy.token) == "echo: hi"
        assert proxy.is_running
        shown = shell.display_formatter.format(proxy)[0]
        assert not any(proxy.token in text for text in shown.values())
        for name in proxy.environment():
            monkeypatch.setenv(name, "before")
        with capture_output() as printed:
            assert shell.run_cell("%shadow capture env kernel").result is None
        assert {name: os.environ[name] for name in proxy.environment()} == proxy.environment()
        assert "OPENAI_BASE_URL" in printed.stdout + printed.stderr
        assert proxy.token not in printed.stdout + printed.stderr  # what a cell prints is saved with the notebook
        assert [call.title for call in shell.run_cell("%shadow capture calls kernel").result] == ["hi"]
        shell.run_cell("stopped = %shadow capture stop kernel")
        assert shell.user_ns["stopped"] is proxy
        assert not proxy.is_running
        listed = shell.run_cell("%shadow capture status").result
        assert [row["id"] for row in listed] == ["kernel"]
    finally:
        shell.run_line_magic("unload_ext", "shadownb")
        if "proxy" in shell.user_ns:
            shell.user_ns["proxy"].stop()
