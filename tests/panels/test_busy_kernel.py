"""A click reaches a panel while a cell runs: a real kernel, and messages as a front end with subshells sends them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from tests.kernels import PATIENCE, start_kernel

SETUP = """
import threading
from shadownb.panels import TrainPanel
panel = TrainPanel()
panel.settle()
arrived = threading.Event()
panel.observe(lambda _: arrived.set(), names=["commands"])
print(panel.model_id)
"""
# The cell ends as soon as the click is there, so it has arrived while the cell ran.
BUSY = "print('clicked' if arrived.wait(60) else 'nothing came')"


@pytest.fixture
def client() -> Iterator[BlockingKernelClient]:
    manager, client = start_kernel()
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def send(client: BlockingKernelClient, kind: str, content: dict[str, Any], subshell: str | None = None) -> str:
    message = client.session.msg(kind, content)
    message["header"]["subshell_id"] = subshell
    client.shell_channel.send(message)
    return str(message["header"]["msg_id"])


def printed(client: BlockingKernelClient, parent: str, until: str = "idle") -> str:
    """Return what a request has printed once the kernel's status for it is ``until``."""
    text = ""
    while True:
        message = client.get_iopub_msg(timeout=PATIENCE)
        if message["parent_header"].get("msg_id") != parent:
            continue
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            text += message["content"]["text"]
        assert message["msg_type"] != "error", message["content"]
        if message["msg_type"] == "status" and message["content"]["execution_state"] == until:
            return text


def test_a_command_is_handled_while_a_cell_runs(client: BlockingKernelClient) -> None:
    client.control_channel.send(client.session.msg("create_subshell_request"))
    reply = client.get_control_msg(timeout=PATIENCE)["content"]
    if reply.get("status") != "ok":
        pytest.skip("this kernel has no subshells")
    run = {"silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False, "stop_on_error": True}
    comm_id = printed(client, send(client, "execute_request", {**run, "code": SETUP})).split()[-1]

    cell = send(client, "execute_request", {**run, "code": BUSY})
    printed(client, cell, until="busy")
    state = {"commands": [{"id": "c1", "kind": "refresh"}]}
    data = {"method": "update", "state": state, "buffer_paths": []}
    send(client, "comm_msg", {"comm_id": comm_id, "data": data}, subshell=reply["subshell_id"])
    assert printed(client, cell) == "clicked\n"
