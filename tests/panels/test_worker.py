"""A panel's worker: the order in which jobs run."""

from __future__ import annotations

import threading

from shadownb.panels._worker import Worker


def test_jobs_for_later_wait_for_all_others_and_a_key_counts_once() -> None:
    done: list[str] = []
    failed: list[BaseException] = []
    begun, go = threading.Event(), threading.Event()
    worker = Worker("test", failed.append)
    worker.submit(lambda: (begun.set(), go.wait(30)))
    assert begun.wait(30)
    worker.submit(lambda: done.append("memory"), key="memory", later=True)
    worker.submit(lambda: done.append("first"))
    worker.submit(lambda: done.append("memory, newer"), key="memory", later=True)
    worker.submit(lambda: done.append("dropped"), key="gone", later=True)
    worker.submit(lambda: done.append("second"))
    worker.cancel("gone")
    go.set()
    assert worker.wait(30)
    assert done == ["first", "second", "memory, newer"] and failed == []
