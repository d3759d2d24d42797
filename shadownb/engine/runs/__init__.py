"""Runs: list, load, compare and delete them, from any kernel.

Examples
--------
>>> newest = snb.runs.list()[0]
>>> snb.runs.load(run.id).status  # by its id, in any kernel
'succeeded'
"""

from __future__ import annotations

from shadownb.engine.runs.deleting import delete, empty_trash, restore, trash, trashed
from shadownb.engine.runs.finding import attach, diff, latest, load, promote, rows
from shadownb.engine.runs.handle import Run
from shadownb.engine.runs.listing import RunList, active, list, search
from shadownb.engine.runs.marks import Marks
from shadownb.engine.runs.queues import Queue, queue
from shadownb.engine.runs.store import FolderStore
from shadownb.engine.runs.view import Metric

__all__ = [
    "FolderStore",
    "Marks",
    "Metric",
    "Queue",
    "Run",
    "RunList",
    "active",
    "attach",
    "delete",
    "diff",
    "empty_trash",
    "latest",
    "list",
    "load",
    "promote",
    "queue",
    "restore",
    "rows",
    "search",
    "trash",
    "trashed",
]
