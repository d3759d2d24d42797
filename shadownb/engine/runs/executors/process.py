"""The process executor: a worker in a session of its own, so that it survives the kernel and its process group.

A run that waits for its turn is a worker that waits, with nothing loaded yet: 62 MB, measured.
The worker reads everything from the run's folder and writes the journal; this process keeps nothing but the exit to reap.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from shadownb.engine.ports.executor import Attempt, Launch
from shadownb.engine.processes import detached
from shadownb.engine.runs.device_queue import STARTS_SECONDS
from shadownb.engine.runs.executors.base import FolderExecutor
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.turns import enter


class ProcessExecutor(FolderExecutor):
    """Trains in a worker process of this machine."""

    where = "a worker process"
    outlives = True

    def submit(self, folder: Path, attempt: Attempt, model: Any | None) -> None:
        """Start a worker for a run."""
        environment = {
            **os.environ,
            # Spinning threads of two torch processes on the same cores slow both: 16 instead of 61 tokens/s, measured.
            "OMP_WAIT_POLICY": "PASSIVE",
            "PYTHONUNBUFFERED": "1",
        }
        told = json.dumps(dataclasses.asdict(attempt))
        enter(folder)  # in the order of the calls, which those of the workers' starts may not be
        with open(RunFolder(folder).worker_log, "ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "shadownb.engine.runs.worker", str(folder), told],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                **detached(),
            )
        threading.Thread(target=worker.wait, name=f"reap-{folder.name}", daemon=True).start()

    def holds(self, folder: Path, launch: Launch) -> bool:
        """Whether the worker is there; before its first event, whether it may still be starting."""
        starting = launch.worker is None and not launch.is_elsewhere
        late = starting and time.time() - launch.time >= STARTS_SECONDS
        return not late and super().holds(folder, launch)
