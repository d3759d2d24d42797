"""The tools for coding agents: an MCP client drives the whole loop over standard input and output, on a tiny model."""

from __future__ import annotations

import importlib
import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from shadownb.mcp import JUPYTER_TOOLS, NAMES
from tests.engine.methods_data import chats
from tests.waiting import run_async

mcp = pytest.importorskip("mcp")
OPTIONS = {"max_steps": 4, "eval_steps": 2, "sample_max_new_tokens": 0, "lora_r": 2}


async def whole_loop(model: str, data: str, folder: Path) -> dict[str, Any]:
    """Drive every tool as an agent would; the answers by tool."""
    from mcp import Client
    from mcp.client.stdio import StdioServerParameters

    environment = {**os.environ, "SHADOWNB_HOME": str(folder / "home")}
    command = ["-c", "from shadownb.cli import main; raise SystemExit(main(['mcp']))"]
    server = StdioServerParameters(command=sys.executable, args=command, env=environment, cwd=str(folder))
    got: dict[str, Any] = {}
    async with Client(server) as client:

        async def call(name: str, **arguments: Any) -> Any:
            answer = await client.call_tool(f"shadownb_{name}", arguments, read_timeout_seconds=240)
            got[name] = answer
            return answer.structured_content

        got["tools"] = (await client.list_tools()).tools
        got["skill"] = (await client.read_resource("shadownb://skill")).contents[0].text
        await call("data_report", data=data)
        await call("preflight", data=data, model=model, options={**OPTIONS, "lora_rank": 4})
        got["refused"] = got["preflight"]
        await call("preflight", data=data, model=model, options=OPTIONS)
        await call("train", data=data, model=model, options={"lora_rank": 4})
        got["mistake"] = got["train"]
        run = (await call("train", data=data, model=model, options=OPTIONS, tags=["agent"]))["run"]
        state = await call("status", run=run, wait_s=0)
        while state["active"]:
            state = await call("status", run=run, wait_s=60)
        await call("runs", query="tag:agent")
        await call("ask", model=run, prompt="Colour?", max_new_tokens=4)
        await call("compare", run=run, data=data, max_rows=4, max_new_tokens=4)
        await call("evaluate", model=run, data=data, limit=4, max_new_tokens=4)
        await call("export", run=run, folder=str(folder / "out"), format="merged")
        await call("stop", run=run)
    return got


@pytest.mark.timeout(600)
def test_an_agent_drives_the_whole_loop(tmp_path: Path, byte_model_dir: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in chats()), encoding="utf-8")
    got = run_async(whole_loop(str(byte_model_dir), str(data), tmp_path))
    assert [tool.name for tool in got["tools"]] == list(NAMES)
    train = next(tool for tool in got["tools"] if tool.name == "shadownb_train")
    assert (
        train.input_schema["required"] == ["data"]
        and "File (.jsonl" in train.input_schema["properties"]["data"]["description"]
    )
    assert "shadownb_preflight" in got["skill"]

    def content(name: str) -> dict[str, Any]:
        answer = got[name]
        assert not answer.is_error, answer.content
        return dict(answer.structured_content)

    assert content("data_report")["ok"] and content("data_report")["first_row"]["messages"]
    refused = content("refused")
    assert not refused["ok"] and "Did you mean 'lora_r'?" in refused["problems"][0]
    preflight = content("preflight")
    assert preflight["ok"] and preflight["steps"] == 4 and preflight["estimate"]["fits"]
    assert got["mistake"].is_error and "Did you mean 'lora_r'?" in got["mistake"].content[0].text
    status = content("status")
    assert (status["status"], status["step"], status["error"]) == ("succeeded", 4, None)
    assert [run["id"] for run in content("runs")["runs"]] == [status["run"]]
    assert content("ask")["answered_by"] == f"step 4 of run {status['run']}"
    compared = content("compare")
    assert compared["rows"] == 4 and len(compared["interval"]) == 2
    assert "|" in content("evaluate")["report"]
    exported = content("export")
    assert exported["format"] == "merged" and (Path(exported["path"]) / "model.safetensors").is_file()
    assert got["stop"].is_error and "nothing to stop" in got["stop"].content[0].text


def test_the_entry_point_gives_a_jupyter_server_the_same_functions() -> None:
    """jupyter-server-mcp loads the entry point, a list, and imports each "module:function" of it; names are the functions'."""
    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    module, _, name = pyproject["project"]["entry-points"]["jupyter_server_mcp.tools"]["shadownb"].partition(":")
    assert getattr(importlib.import_module(module), name) is JUPYTER_TOOLS
    for target in JUPYTER_TOOLS:
        where, _, function = target.partition(":")
        found = getattr(importlib.import_module(where), function)
        assert found.__name__ == function and found.__doc__ and found.__annotations__["return"]
