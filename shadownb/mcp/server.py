"""The server: the tools and the skill file over standard input and output."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from shadownb._version import __version__
from shadownb.errors import MissingDependencyError, ShadowError
from shadownb.mcp import NAMES, SKILL

_READ_ONLY = ("shadownb_data_report", "shadownb_preflight", "shadownb_status", "shadownb_runs", "shadownb_ask")


def make() -> Any:
    """Return the server.

    Raises
    ------
    MissingDependencyError
        The package ``mcp`` is not installed, or an older one.
    """
    try:
        from mcp.server import MCPServer
        from mcp_types import ToolAnnotations
    except ImportError:
        raise MissingDependencyError(
            "shadownb mcp needs the package mcp, 2.0 or later.", fix="pip install 'shadownb[mcp]'"
        ) from None
    from shadownb.mcp import tools

    skill = SKILL.read_text(encoding="utf-8")
    server = MCPServer("shadownb", version=__version__, instructions=skill.partition("---\n\n")[2], log_level="WARNING")
    for name in NAMES:
        server.add_tool(
            _telling(getattr(tools, name)),
            annotations=ToolAnnotations(read_only_hint=name in _READ_ONLY, destructive_hint=name == "shadownb_export"),
        )

    @server.resource("shadownb://skill", name="skill", mime_type="text/markdown")
    def read_skill() -> str:
        """How an agent works with ShadowNB."""
        return skill

    return server


def _telling(function: Callable[..., Any]) -> Callable[..., Any]:
    """Have what a tool raises reach the agent, with the next step: the server keeps the text of other errors to itself."""
    from mcp.server.mcpserver.exceptions import ToolError

    @functools.wraps(function)
    def called(**arguments: Any) -> Any:
        try:
            return function(**arguments)
        except ShadowError as error:
            raise ToolError(error.as_text()) from None
        except Exception as error:
            raise ToolError(f"{type(error).__name__}: {error}") from error

    return called


def serve() -> None:
    """Serve until standard input ends; runs that were started go on."""
    make().run("stdio")
