"""Other programs that are run to their end, and that end with the work that waits for them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

from shadownb.engine import live

_LOOK_SECONDS = 0.2


def ran(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    input: str | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Return a program that has ended, with what it printed.

    Whoever stops this thread's work (:func:`shadownb.engine.live.stoppable`) ends it too, with the programs that it started.

    Raises
    ------
    subprocess.TimeoutExpired
        It took longer than ``timeout`` seconds, and was ended.
    shadownb.engine.live.Stopped
        It was ended, because the work was stopped.
    """
    child = subprocess.Popen(
        list(command), env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL, start_new_session=os.name == "posix",
    )  # fmt: skip
    waited = 0.0
    try:
        while True:
            live.check()
            try:
                out, err = child.communicate(input, timeout=_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                input = None  # what is left of it is sent by the next call
                waited += _LOOK_SECONDS
                if timeout is not None and waited >= timeout:
                    raise subprocess.TimeoutExpired(list(command), timeout) from None
            else:
                return subprocess.CompletedProcess(list(command), child.returncode, out, err)
    finally:
        if child.poll() is None:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                os.killpg(child.pid, signal.SIGKILL) if os.name == "posix" else child.kill()
            child.communicate()
