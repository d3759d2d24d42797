"""Download: a model on its way from the hub, with how far it is; it can be stopped at any moment."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from shadownb import errors
from shadownb.engine.processes import detached
from shadownb.errors import ModelError, ShadowError

State = Literal["fetching", "done", "stopped", "failed"]
_END_SECONDS = 10.0  # to take away what is unfinished


class Download:
    """A model that is fetched in a process of its own, which ends with this one.

    Attributes
    ----------
    name
        What was asked for.
    hub_id
        ``owner/name`` on the hub.
    state
        ``fetching``, ``done``, ``stopped`` or ``failed``.
    path
        The folder it lies in, once it is whole.
    error
        Why it failed.

    Examples
    --------
    >>> download = snb.fetch("smollm2-135m", background=True)  # it is here already
    >>> download.state, download.wait() == download.path, download.error
    ('done', True, None)
    >>> download.stop()  # of what has ended does nothing
    >>> download.progress()  # words, bytes that are here, bytes in all
    ('on this machine', 0, None)
    """

    def __init__(self, name: str, hub_id: str, path: Path | None = None) -> None:
        self.name, self.hub_id, self.path = name, hub_id, path
        self.state: State = "done" if path is not None else "fetching"
        self.error: ShadowError | None = None
        self._files: list[tuple[str, int]] = []
        self._ended = threading.Event()
        self._listeners: list[Callable[[Download], None]] = []
        self._process: subprocess.Popen[str] | None = None
        if path is not None:
            self._ended.set()
            return
        from huggingface_hub import constants

        self._blobs = Path(constants.HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}" / "blobs"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "shadownb.engine.hub.child", hub_id],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **detached(),
        )  # fmt: skip
        threading.Thread(target=self._follow, name=f"shadownb-fetch-{hub_id}", daemon=True).start()

    def progress(self) -> tuple[str, int, int | None]:
        """Return (words, bytes that are here, bytes in all or None while the hub is being asked)."""
        if self.state == "done":
            return "on this machine", 0, None
        if self.state != "fetching":
            return self.state, 0, None
        if not self._files:
            return "asking the hub", 0, None
        here, total = sum(map(self._here, self._files)), sum(size for _, size in self._files)
        return f"fetching {megabytes(here)} of {megabytes(total)}", here, total

    def stop(self) -> None:
        """End it and wait until its process has ended; files that are whole stay, and the next one goes on behind them."""
        if self._process is not None and self.state == "fetching":
            self.state = "stopped"
            with contextlib.suppress(OSError):
                self._process.stdin.close()  # type: ignore[union-attr]
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._ended.wait(_END_SECONDS)

    def wait(self, timeout: float | None = None) -> Path:
        """Wait until it has ended and return the folder; Ctrl-C stops it.

        Raises
        ------
        ShadowError
            It failed: offline, gated, unknown, or no room on the disk.
        ModelError
            It was stopped, or has not ended within ``timeout`` seconds and goes on.
        """
        try:
            self._ended.wait(timeout)
        except KeyboardInterrupt:
            self.stop()
            raise
        if self.error is not None:
            raise self.error
        if self.path is None:
            how = "was stopped" if self.state == "stopped" else f"has not come within {timeout:g} seconds"
            raise ModelError(f"{self.hub_id!r} {how}.", fix=f"shadownb.fetch({self.name!r}) goes on with it.")
        return self.path

    def has_ended(self, timeout: float = 0) -> bool:
        """Return whether it has ended, after waiting for at most ``timeout`` seconds.

        Examples
        --------
        >>> snb.fetch("smollm2-135m", background=True).has_ended()
        True
        """
        return self._ended.wait(timeout)

    def on_end(self, listener: Callable[[Download], None]) -> None:
        """Call ``listener(download)`` when it has ended, on a thread of its own; at once where it has.

        Examples
        --------
        >>> ended = []
        >>> snb.fetch("smollm2-135m", background=True).on_end(lambda download: ended.append(download.state))
        >>> ended
        ['done']
        """
        self._listeners.append(listener)
        if self._ended.is_set() and listener in self._listeners:
            self._listeners.remove(listener)
            listener(self)

    def __repr__(self) -> str:
        return f"Download({self.name!r}, {self.progress()[0]})"

    def _follow(self) -> None:
        process = self._process
        assert process is not None and process.stdout is not None and process.stderr is not None
        told: dict[str, Any] = {}
        silent: list[str] = []
        reader = threading.Thread(target=lambda: silent.extend(process.stderr or ()), daemon=True)
        reader.start()
        for line in process.stdout:
            with contextlib.suppress(ValueError):
                told |= json.loads(line)
                self._files = [(str(digest), int(size)) for digest, size in told.get("files", ())]
        process.wait()
        reader.join(1)
        if self.state == "fetching":
            self._take(told, silent)
        with contextlib.suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr]
        self._ended.set()
        while self._listeners:
            self._listeners.pop(0)(self)

    def _take(self, told: dict[str, Any], silent: list[str]) -> None:
        if "path" in told:
            self.path, self.state = Path(told["path"]), "done"
            return
        self.state = "failed"
        facts = told.get("error")
        if facts is None:
            why = silent[-1].strip() if silent else "Its process ended at once."
            self.error = ModelError(f"{self.hub_id!r} could not be fetched.", why=why, fix="Try again.")
            return
        kind = getattr(errors, facts["kind"], ModelError)
        self.error = kind(facts["what"], why=facts["why"], fix=facts["fix"], code=facts["code"])

    def _here(self, file: tuple[str, int]) -> int:
        digest, size = file
        if (self._blobs / digest).is_file():
            return size
        found = 0
        with contextlib.suppress(OSError):
            for part in self._blobs.glob(f"{digest}.*incomplete"):
                stat = part.stat()
                # A file that is written in parts has its whole length from the start; its blocks say what is there.
                found = max(found, min(stat.st_size, getattr(stat, "st_blocks", stat.st_size) * 512))
        return min(found, size)


def megabytes(size: float) -> str:
    """Return a size as people read it."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
