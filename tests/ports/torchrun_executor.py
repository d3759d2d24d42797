"""An executor that has torchrun start two processes for a run; a file outside of the package."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from shadownb.engine.runs.executors.process import ProcessExecutor


class TorchrunExecutor(ProcessExecutor):
    """Two processes of one thread each, on this machine."""

    where = "two processes"
    started: subprocess.Popen[bytes]

    def submit(self, folder: Path, attempt: Any, model: Any | None) -> None:
        processes = ["--nproc-per-node", "2", "--master-port", os.environ["MASTER_PORT"]]
        worker = ["-m", "tests.ports.torchrun_worker", str(folder), json.dumps(dataclasses.asdict(attempt))]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        with open(folder / "torchrun.log", "wb") as log:
            self.started = subprocess.Popen(
                [sys.executable, "-m", "torch.distributed.run", *processes, *worker],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment,
            )
