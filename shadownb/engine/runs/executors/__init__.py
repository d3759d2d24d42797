"""Where a run is trained: in a thread of this process, or in a worker process that outlives it."""

from __future__ import annotations

from shadownb.engine.runs.executors import process, thread

__all__ = ["process", "thread"]
