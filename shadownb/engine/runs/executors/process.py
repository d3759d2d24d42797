"""The process executor: a worker in a session of its own, so that it survives the kernel and its process group.

The worker reads everything from the run's folder and writes the journal; this process keeps nothing but the exit to reap.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading

from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.job import Attempt


def start(folder: RunFolder, attempt: Attempt) -> int:
    """Start a worker for a run and return its process id."""
    environment = {
        **os.environ,
        # Spinning threads of two torch processes on the same cores slow both: 16 instead of 61 tokens/s, measured.
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONUNBUFFERED": "1",
    }
    with open(folder.worker_log, "ab") as log:
        worker = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "shadownb.engine.runs.worker",
                str(folder.path),
                json.dumps(dataclasses.asdict(attempt)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    threading.Thread(target=worker.wait, name=f"reap-{folder.id}", daemon=True).start()
    return worker.pid
