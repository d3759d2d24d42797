"""What tells one process from another, and whether it is still there."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from typing import Any

import psutil


def host() -> str:
    """Return the name of the machine (or container) that this process runs on."""
    return platform.node()


def detached(system: str = sys.platform) -> dict[str, Any]:
    """Return the arguments of Popen for a process that lives on when the one that starts it ends, or gets a Ctrl-C."""
    if system == "win32":
        # CREATE_NEW_PROCESS_GROUP and CREATE_NO_WINDOW, which subprocess has by name on Windows alone: no Ctrl-C of the group
        # that starts it, and a console of its own, so that closing the other one does not end it.
        return {"creationflags": 0x00000200 | 0x08000000}
    return {"start_new_session": True}  # Jupyter ends its process group


def process_mark(pid: int | None = None) -> dict[str, Any]:
    """Return what identifies a process even after its number is given to another: host, pid and start time."""
    pid = os.getpid() if pid is None else pid
    try:
        started = psutil.Process(pid).create_time()
    except psutil.Error:
        started = None
    return {"pid": pid, "started": started, "host": host()}


def is_elsewhere(mark: Mapping[str, Any] | None) -> bool:
    """Return whether a mark is of another host, whose processes cannot be looked at from here.

    Marks of before the host was noted are of this one.
    """
    return bool(mark) and mark.get("host", host()) != host()  # type: ignore[union-attr]


def is_alive(mark: Mapping[str, Any] | None) -> bool:
    """Return whether the marked process is there, on this host (a zombie is not, nor is any that runs elsewhere)."""
    if not mark or is_elsewhere(mark):
        return False
    try:
        process = psutil.Process(mark["pid"])
        return process.create_time() == mark["started"] and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
