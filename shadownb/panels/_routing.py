"""Lets a panel answer while a cell runs.

A front end with subshells addresses what a user does in a widget to a thread of its own. ipykernel 7.4 sends it to the
shell that last published on the comm instead, which is the main one as soon as a cell or a thread has set a trait: a
Stop button would then wait for the running cell.
"""

from __future__ import annotations

from typing import Any


def answer_while_busy(widget: Any) -> None:
    """Have messages for ``widget`` go where their sender addressed them; does nothing on kernels that do so anyway."""
    comm: Any = getattr(widget, "comm", None)
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = None
