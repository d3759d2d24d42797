"""For coding agents: the verbs as typed tools, in a server of the Model Context Protocol, and in that of a Jupyter server.

``shadownb mcp`` serves them over standard input and output (``pip install 'shadownb[mcp]'``). jupyter-server-mcp, which jupyter-ai
brings, loads the same functions by the entry point ``jupyter_server_mcp.tools``: it takes a list of ``"module:function"``.
"""

from __future__ import annotations

from pathlib import Path

NAMES = (
    "shadownb_data_report",
    "shadownb_preflight",
    "shadownb_train",
    "shadownb_status",
    "shadownb_runs",
    "shadownb_stop",
    "shadownb_ask",
    "shadownb_compare",
    "shadownb_evaluate",
    "shadownb_export",
)
JUPYTER_TOOLS = [f"shadownb.mcp.tools:{name}" for name in NAMES]
SKILL = Path(__file__).with_name("SKILL.md")
