"""The pages of tasks, as somebody follows them who copies one cell after the other: on a tiny model, without a network."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.building import ROOT

_CELLS = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TASKS = sorted(path.stem for path in (ROOT / "docs" / "tasks").glob("*.md"))

_ALL = """
import json, os, sys, traceback, warnings
import shadownb
warnings.simplefilter("error", shadownb.ShadowWarning)
warnings.filterwarnings("ignore", "Answers of m become training data")  # the page says so
cells, done = json.load(sys.stdin), {}
for page, sources in cells.items():
    os.makedirs(page, exist_ok=True)
    os.chdir(page)
    os.environ["SHADOWNB_HOME"] = os.path.abspath("home")
    names = {"__name__": "__main__"}
    done[page] = ""
    for number, source in enumerate(sources):
        try: exec(compile(source, f"{page}, cell {number + 1}", "exec"), names)
        except BaseException: done[page] += traceback.format_exc()
    os.chdir("..")
json.dump(done, open("done.json", "w"))
"""

# A model's API on this machine, and an agent that calls it through the proxy of the cell before.
_UPSTREAM = """
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
class Api(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = {"role": "assistant", "content": "Yes: " + asked["messages"][-1]["content"]}
        answer = {"id": "c", "object": "chat.completion", "model": "m", "created": 1,
                  "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
import json, os
os.environ["OPENAI_API_KEY"] = "a-key-of-nobody"
server = HTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
"""
_AGENT = """
import httpx
for n in range(10):
    asked = {"model": "m", "messages": [{"role": "user", "content": f"A refund for parcel {n}?"}]}
    key = {"Authorization": f"Bearer {proxy.token}"}
    httpx.post(f"{proxy.base_url}/chat/completions", json=asked, headers=key, timeout=60).raise_for_status()
"""


def cells(page: str, model: Path) -> list[str]:
    """Return the cells of a page as they can be run here."""
    found = _CELLS.findall((ROOT / "docs" / "tasks" / f"{page}.md").read_text(encoding="utf-8"))
    found = [cell.replace('"smollm2-135m"', f'{str(model)!r}, dtype="float32"') for cell in found]
    found = [cell.replace("max_steps=120", "max_steps=2").replace("max_steps=40", "max_steps=2") for cell in found]
    if page == "train-on-what-scores-well":
        found = [
            cell.replace("max_completion_length=20", "max_completion_length=4, num_generations=2") for cell in found
        ]
    if page == "keep-what-my-agent-does":
        found[0] = found[0].replace('"https://api.openai.com/v1"', 'f"http://127.0.0.1:{server.server_port}/v1"')
        found = [_UPSTREAM, found[0], _AGENT, *found[1:]]
        found = [cell.replace("train(train,", "train(train, max_steps=2,") for cell in found]
    return found


@pytest.fixture(scope="module")
def failures(byte_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What goes wrong on each page, in one process after the other's."""
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "train-on-a-csv").mkdir()
    rows = [f"Where is parcel {n}?,It is {'here' if n % 2 else 'there'}.,seen by Ann" for n in range(20)]
    table = "\n".join(["message,answer,agent notes", *rows, ""])
    (folder / "train-on-a-csv" / "tickets.csv").write_text(table, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", _ALL],
        cwd=folder, input=json.dumps({page: cells(page, byte_model_dir) for page in TASKS}),
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    with contextlib.suppress(FileNotFoundError):
        found: dict[str, str] = json.loads((folder / "done.json").read_text(encoding="utf-8"))
        return found
    raise AssertionError(done.stderr[-3000:])


@pytest.mark.parametrize("page", TASKS)
def test_every_cell_of_a_task_does_what_it_says(page: str, failures: dict[str, str]) -> None:
    assert not failures[page], failures[page]
