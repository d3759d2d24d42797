"""Where a server of this kernel is reached from: this machine, and through the Jupyter server where it can pass requests on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import util


@dataclass(frozen=True)
class Address:
    """How a server is reached.

    Attributes
    ----------
    local
        From this machine.
    proxied
        Path below the host that the notebook is opened at, through jupyter-server-proxy; None where that is not there.
    advice
        What to do where it is not; empty where nothing has to be done.
    """

    local: str
    proxied: str | None
    advice: str


def address_of(port: int) -> Address:
    """Return how a port of this machine is reached."""
    local = f"http://127.0.0.1:{port}/v1"
    if not _in_jupyter():
        return Address(local, None, "")
    base = os.environ.get("JUPYTERHUB_SERVICE_PREFIX") or os.environ.get("NB_PREFIX") or "/"
    if util.find_spec("jupyter_server_proxy") is not None:
        # The proxy passes on the Host of the browser, which is why the server was started with allow_hosts for others.
        return Address(local, f"{base.rstrip('/')}/proxy/{port}/v1", "")
    return Address(
        local, None,
        f"From another machine: pip install jupyter-server-proxy and restart the Jupyter server, or a tunnel: "
        f"ssh -L {port}:127.0.0.1:{port} THIS-HOST.",
    )  # fmt: skip


def _in_jupyter() -> bool:
    return any(name in os.environ for name in ("JPY_SESSION_NAME", "JPY_PARENT_PID", "JUPYTERHUB_SERVICE_PREFIX"))
