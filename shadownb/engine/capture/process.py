"""A capture as a process of its own, which outlives the kernel: start it, find it, attach to it, stop it.

The process is ``python -m shadownb.engine.capture.process FOLDER``; it reads its options from its input, so that they are in no
list of processes, and its upstream's key from the environment it was started with.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from shadownb.engine import registry
from shadownb.engine.capture.folder import CaptureFolder, read_json, write_private
from shadownb.engine.capture.handle import Capture
from shadownb.engine.capture.redaction import Redactor
from shadownb.engine.capture.store import CaptureStore
from shadownb.engine.processes import detached
from shadownb.errors import ConfigError, RunError, did_you_mean, error_from_dict

_START_SECONDS = 120.0  # a model may have to be loaded
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.05
_LOOK_SECONDS = 0.5  # between two looks whether somebody asked for the end
# A signal ends the process at once, as it should; on Windows it would be killed by it, so there it finds out by a file alone.
BY_SIGNAL = os.name == "posix"
_COUNTERS_SECONDS = 1.0
_LONGEST_ERROR = 2000  # characters


class CaptureProcess(Capture):
    """A recording that runs (or ran) in a process of its own."""

    def __init__(self, folder: CaptureFolder) -> None:
        super().__init__(folder, CaptureStore(folder))
        self._counted: tuple[float, dict[str, Any]] = (-math.inf, {})  # when, what

    @property
    def counters(self) -> dict[str, Any]:
        """As :attr:`CaptureProxy.counters`, asked of the process at most once a second; empty if it does not answer."""
        if time.monotonic() - self._counted[0] >= _COUNTERS_SECONDS:
            self._counted = (time.monotonic(), self._ask_for_counters())
        return self._counted[1]

    def _ask_for_counters(self) -> dict[str, Any]:
        import httpx

        from shadownb.engine.capture.routes import COUNTERS

        if not self.is_running:
            return {}
        try:
            headers = {"authorization": f"Bearer {self.token}"}
            with httpx.Client(trust_env=False, timeout=_COUNTERS_SECONDS) as web:  # no proxy for our own address
                found = web.get(self.root_url + COUNTERS, headers=headers).raise_for_status().json()
        except (httpx.HTTPError, ValueError, RunError):  # it ends just now
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def _state(self) -> dict[str, Any]:
        return read_json(self.files.process)

    @property
    def root_url(self) -> str:
        return str(self._state.get("root_url", ""))

    @property
    def token(self) -> str:
        try:
            return self.files.token.read_text(encoding="utf-8")
        except OSError:
            raise RunError(
                f"The capture {self.id!r} is not running, so it has no token.", fix="Start it again."
            ) from None

    @property
    def is_running(self) -> bool:
        from shadownb.engine.processes import is_alive

        return is_alive(self._state.get("mark")) and not self._state.get("error")

    def stop(self) -> None:
        """Ask the process to end, and return when it has."""
        mark = self._state.get("mark")
        if not self.is_running or not mark:
            return
        self.files.end.touch()
        if BY_SIGNAL:
            os.kill(int(mark["pid"]), signal.SIGTERM)
        _wait(lambda: not self.is_running, _STOP_SECONDS, f"The capture {self.id!r} does not stop.")


def start(
    target: str | None = None,
    *,
    model: str | None = None,
    name: str | None = None,
    home: str | Path | None = None,
    **options: Any,
) -> CaptureProcess:
    """Start a capture in its own process, which outlives this one. Options are those of :func:`shadownb.capture`.

    Parameters
    ----------
    model
        Name, folder or run id of a model, which the process loads.

    Raises
    ------
    ConfigError
        An option is wrong or unknown, or is an object that cannot be given to another process.

    Examples
    --------
    >>> agent = snb.captures.start("http://127.0.0.1:11434/v1", name="agent")  # a server of Ollama, for example
    >>> agent.is_running, agent.base_url.endswith("/v1")
    (True, True)
    >>> agent.stop()
    >>> agent.is_running
    False
    """
    from shadownb.engine.capture.proxy import CaptureProxy

    known = list(inspect.signature(CaptureProxy).parameters)
    for unknown in [name for name in options if name not in known]:
        raise ConfigError(
            f"A capture has no option {unknown}=.{did_you_mean(unknown, known)}",
            fix=f"Options: {', '.join(known)}.",
        )
    given = {"target": target, "model": model, **options}
    try:
        text = json.dumps(given)
    except TypeError:
        odd = next(key for key, value in given.items() if not _is_plain(value))
        raise ConfigError(
            f"{odd}={given[odd]!r} cannot go to another process.",
            fix="Capture in the kernel: shadownb.capture(...).start().",
        ) from None
    folder = CaptureFolder.create(name, home)
    folder.own()
    folder.disown()  # to say at once that somebody else records here
    folder.process.unlink(missing_ok=True)
    folder.end.unlink(missing_ok=True)
    with open(folder.log, "ab") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "shadownb.engine.capture.process", str(folder.path)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
            **detached(),
        )
    assert worker.stdin is not None
    with contextlib.suppress(OSError):  # it has ended already, which is said below
        worker.stdin.write(text.encode())
        worker.stdin.close()
    threading.Thread(target=worker.wait, name=f"reap-{folder.id}", daemon=True).start()
    capture = CaptureProcess(folder)
    _wait(
        lambda: bool(capture._state) or worker.poll() is not None,
        _START_SECONDS,
        f"The capture {folder.id!r} does not start.",
    )
    if error := capture._state.get("error"):
        raise error_from_dict(error)
    if not capture.is_running:
        raise RunError(f"The capture {folder.id!r} ended while it started.", fix=f"See {folder.log}.")
    return capture


def attach(path_or_id: str, home: str | Path | None = None) -> CaptureProcess:
    """Return a capture that runs in its own process, to look at it or stop it.

    Raises
    ------
    RunError
        It is not running.

    Examples
    --------
    >>> agent = snb.captures.start("http://127.0.0.1:11434/v1", name="agent-2")
    >>> again = snb.captures.attach("agent-2")  # in another kernel, for example
    >>> again.stop()
    >>> agent.is_running
    False
    """
    capture = CaptureProcess(CaptureFolder.find(path_or_id, home))
    if not capture.is_running:
        raise RunError(
            f"The capture {capture.id!r} does not run in its own process.", fix="Start it, or open its store."
        )
    return capture


def running(home: str | Path | None = None) -> list[CaptureProcess]:
    """Return the captures that run in their own processes, newest first.

    Examples
    --------
    >>> agent = snb.captures.start("http://127.0.0.1:11434/v1", name="agent-3")
    >>> [each.id for each in snb.captures.running()]
    ['agent-3']
    >>> agent.stop()
    """
    return [capture for folder in CaptureFolder.all(home) if (capture := CaptureProcess(folder)).is_running]


def _keys_of_environment() -> list[str]:
    return [key for name, key in os.environ.items() if name.upper().endswith(("_KEY", "_TOKEN", "_SECRET"))]


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def _wait(done: Any, seconds: float, problem: str) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise RunError(problem, fix="See process.log in its folder.")
        time.sleep(_POLL_SECONDS)


def main() -> None:
    """The process: record until a signal, or the file that asks for the end."""
    from shadownb.engine.capture.proxy import CaptureProxy
    from shadownb.engine.processes import process_mark
    from shadownb.errors import ShadowError

    # The threads that write and index may keep the one that answers waiting for so long, ten times shorter than Python's own 5 ms.
    sys.setswitchinterval(0.0005)
    folder = CaptureFolder(Path(sys.argv[1]))
    options = json.loads(sys.stdin.buffer.read())
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        model = options.pop("model", None)
        if model is not None:
            model = registry.resolve("model", "load")(model)
        proxy = CaptureProxy(
            options.pop("target", None), model=model, name=folder.id, home=folder.path.parent.parent, **options
        ).start()
    except ShadowError as error:
        told = Redactor(secrets=_keys_of_environment()).value(error.to_dict(), _LONGEST_ERROR)
        write_private(folder.process, json.dumps({"mark": process_mark(), "error": told}))
        raise SystemExit(1) from None
    try:
        write_private(folder.token, proxy.token)
        write_private(folder.process, json.dumps({"mark": process_mark(), "root_url": proxy.root_url}))
        while not ended.wait(_LOOK_SECONDS) and not folder.end.exists():
            pass
        proxy.stop()
    finally:
        folder.end.unlink(missing_ok=True)
        folder.token.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
