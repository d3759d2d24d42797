"""What tells one process from another, and whether it is still there."""

from __future__ import annotations

import os
from typing import Any

import psutil


def process_mark(pid: int | None = None) -> dict[str, Any]:
    """Return what identifies a process even after its number is given to another: pid and start time."""
    pid = os.getpid() if pid is None else pid
    try:
        return {"pid": pid, "started": psutil.Process(pid).create_time()}
    except psutil.Error:
        return {"pid": pid, "started": None}


def is_alive(mark: dict[str, Any] | None) -> bool:
    """Return whether the marked process is still there (a zombie is not)."""
    if not mark:
        return False
    try:
        process = psutil.Process(mark["pid"])
        return process.create_time() == mark["started"] and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
