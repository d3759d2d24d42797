"""Real runs whose events a test appends by hand, and a comm that keeps what a panel sends."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shadownb.engine.config import TrainConfig
from shadownb.engine.runs.handle import Run
from shadownb.engine.runs.journal import Journal
from shadownb.engine.runs.store import default_store


class HandRun:
    """A run folder that this process owns, its handle, and the journal to write to."""

    def __init__(self, **options: Any) -> None:
        folder = default_store().create(TrainConfig(**options), {"model": {"name": "tiny"}})
        self._lock = folder.owner_lock()
        self._lock.acquire(timeout=60)
        self.journal = Journal(folder.events)
        self.journal.append("created", run_id=folder.id)
        self.run = Run(folder)

    def begin(self, total: int) -> None:
        self.append("attempt", n=1, from_step=0)
        self.append("plan", total_steps=total)
        self.append("phase", name="training", done=0, total=total, unit="steps")

    def step(self, step: int, **extra: Any) -> None:
        values = {"loss": 2.0 * math.exp(-step / 20) + 0.1, "learning_rate": 2e-4, "grad_norm": 1.0 + step % 7 / 10}
        values |= {
            "tokens_per_s": 150.0 + step % 5,
            "peak_memory_gb": 1.25,
            "elapsed_s": 2.0 * step,
            "tokens": 300 * step,
        }
        self.append("step", step=step, **(values | extra))

    def evaluate(self, step: int) -> None:
        self.append("eval", step=step, eval_loss=2.0 * math.exp(-step / 20) + 0.2)

    def sample(self, step: int, completion: str) -> None:
        items = [{"prompt": f"question {i}", "completion": completion} for i in range(3)]
        path = self.run.folder.samples / f"{step}.json"
        path.write_text(json.dumps({"step": step, "items": items}), encoding="utf-8")
        self.append("sample", step=step, path=path.name, count=3)

    def append(self, kind: str, **fields: Any) -> None:
        self.journal.append(kind, **fields)

    def commands(self) -> list[dict[str, Any]]:
        path: Path = self.run.folder.commands
        return [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []

    def close(self) -> None:
        self.journal.close()
        self._lock.release()


class RecordingComm:
    """Stands in for the connection to a page."""

    comm_id = "recording"

    def __init__(self) -> None:
        self.messages: list[tuple[dict[str, Any], list[bytes]]] = []
        self.sent = threading.Condition()

    def send(self, data: Any = None, metadata: Any = None, buffers: Any = None) -> None:
        with self.sent:
            self.messages.append((data, [bytes(b) for b in buffers or []]))
            self.sent.notify_all()

    def on_msg(self, callback: Any) -> None: ...

    def close(self, **kwargs: Any) -> None: ...

    def updates(self) -> list[tuple[dict[str, Any], int]]:
        """Return (state, bytes on the wire) of each update."""
        return [
            (data["state"], len(json.dumps(data)) + sum(map(len, buffers)))
            for data, buffers in list(self.messages)
            if data.get("method") == "update"
        ]

    def wait_for(self, holds: Callable[[], bool], timeout: float = 60.0) -> None:
        with self.sent:
            assert self.sent.wait_for(holds, timeout), "the panel never sent it"
