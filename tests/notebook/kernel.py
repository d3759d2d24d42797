"""A real kernel with blocking calls, for the notebook tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.kernels import PATIENCE


@dataclass
class Outcome:
    """Everything one cell put out."""

    stdout: str = ""
    stderr: str = ""
    results: list[dict[str, Any]] = field(default_factory=list)
    displays: list[dict[str, Any]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)  # of displays, also of earlier cells
    error: dict[str, Any] | None = None
    status: str = ""
    pieces: int = 0

    @property
    def silent(self) -> bool:
        return not (self.stdout or self.stderr or self.results or self.displays or self.error)


class Kernel:
    """A running kernel with blocking calls."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client

    def run(self, code: str) -> Outcome:
        outcome = Outcome()

        def collect(message: dict[str, Any]) -> None:
            content, kind = message["content"], message["header"]["msg_type"]
            if kind == "stream":
                outcome.pieces += content["name"] == "stdout"
                setattr(
                    outcome,
                    content["name"],
                    getattr(outcome, content["name"]) + content["text"],
                )
            elif kind == "execute_result":
                outcome.results.append(content["data"])
            elif kind == "display_data":
                outcome.displays.append(content["data"])
            elif kind == "update_display_data":
                outcome.updates.append(content["data"])
            elif kind == "error":
                outcome.error = content

        try:
            reply = self.client.execute_interactive(code, output_hook=collect, timeout=PATIENCE)
        except TimeoutError:
            self.manager.interrupt_kernel()  # so that the next test finds it idle
            raise
        outcome.status = reply["content"]["status"]
        return outcome

    def value(self, expression: str) -> str:
        """Return the repr of an expression in the kernel."""
        outcome = self.run(f"print(repr({expression}))")
        assert outcome.status == "ok", outcome
        return outcome.stdout.strip()

    def complete(self, line: str) -> list[str]:
        """Return what the line becomes with each completion, as a front end would insert it."""
        content = self.client.complete(line, len(line), reply=True, timeout=PATIENCE)["content"]
        start = content["cursor_start"]
        return [line[:start] + match + line[content["cursor_end"] :] for match in content["matches"]]

    def candidates(self, code: str, cursor: int | None = None) -> list[str]:
        """Return what is offered at a place in a cell, its end if none is given, in the order it is shown."""
        at = len(code) if cursor is None else cursor
        matches: list[str] = self.client.complete(code, at, reply=True, timeout=PATIENCE)["content"]["matches"]
        return matches
