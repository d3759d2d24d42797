"""The worker process of a run: ``python -m shadownb.engine.runs.worker FOLDER ATTEMPT``.

Started by the process executor. A stop that comes while libraries and weights are loading ends the process at once:
nothing has been trained, so nothing can be lost. ``torchrun`` may start several of it for one run (``shards=``).
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

from shadownb.engine.loaded.backends import DEFAULT, backend
from shadownb.engine.ports.executor import Attempt
from shadownb.engine.processes import process_mark
from shadownb.engine.runs.commands import STOPS, CommandReader
from shadownb.engine.runs.control import end_unstarted
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.following import follow
from shadownb.engine.runs.job import execute, load_model
from shadownb.engine.runs.journal import Journal
from shadownb.engine.runs.turns import Waiter

_LOOK_SECONDS = 0.1


def main() -> None:
    """Run one attempt."""
    folder = RunFolder(Path(sys.argv[1]))
    attempt = Attempt(**json.loads(sys.argv[2]))
    if int(os.environ.get("RANK", "0")) > 0:  # one of several that torchrun started: the first does all that is written
        follow(folder, attempt)
        return
    journal = Journal(folder.events)
    journal.append("worker", mark=process_mark())
    turn = Waiter(folder, attempt, journal).wait()  # before anything is loaded
    if turn is None:
        journal.close()
        return
    attempt = turn.attempt
    loaded = threading.Event()
    threading.Thread(target=_watch_while_loading, args=(folder, attempt, journal, loaded), daemon=True).start()
    lock = folder.owner_lock()
    lock.acquire(timeout=5)
    try:
        journal.append("phase", name="loading libraries", done=0, total=None, unit="")
        backend(folder.spec["model"].get("backend", DEFAULT)).warm_up()
        journal.append("phase", name="loading model", done=0, total=None, unit="")
        model = load_model(folder)
    except Exception:
        model = None  # the attempt loads it again and reports what is wrong
    finally:
        loaded.set()
        lock.release()
    execute(folder, attempt, journal, model, turn=turn)
    journal.close()


def _watch_while_loading(folder: RunFolder, attempt: Attempt, journal: Journal, loaded: threading.Event) -> None:
    commands = CommandReader(folder.commands, attempt.commands_from)
    while not loaded.wait(_LOOK_SECONDS):
        for command in commands.poll():
            if command["kind"] in STOPS and not loaded.is_set():
                end_unstarted(journal, command, "while loading")
                journal.flush()
                os._exit(0)


if __name__ == "__main__":
    main()
