"""The journal of a run: ``events.jsonl``, one JSON object a line, written by one writer and read by anyone.

An event is ``{"seq": int, "time": float (unix seconds), "type": str, ...}``; ``seq`` rises by one. Appending only
puts the event on a queue (a few microseconds), because the training step pays for it; a thread writes what has
gathered. What the writer handed to the operating system survives ``kill -9``; :meth:`Journal.flush` waits for that, and
is called before anything else (a checkpoint's rename) may rely on the events before it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shadownb.engine.disk import open_to_append
from shadownb.engine.runs.tail import appended

Event = dict[str, Any]

BEAT_SECONDS = (
    20.0  # after so long without an event the file is touched, which tells another host that its writer is there
)
_RETRY_SECONDS = 1.0  # between attempts to write when the disk is full
_CLOSE_SECONDS = 10.0


class Journal:
    """The one writer of a run's events.

    A write that fails (full disk) is retried once a second and never raises into training; the events wait in memory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._queue: queue.SimpleQueue[Event | threading.Event | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._next_seq = last_seq(path) + 1
        self._file = open_to_append(path)
        self._pending = b"\n" if _ends_torn(path) else b""
        self._closed = False
        self.write_error: OSError | None = None
        self._thread = threading.Thread(target=self._write_loop, name=f"journal-{path.parent.name}", daemon=True)
        self._thread.start()

    def append(self, kind: str, /, **fields: Any) -> int:
        """Queue one event and return its sequence number. Cheap, thread-safe, never blocks on the disk."""
        now = time.time()
        with self._lock:
            seq = self._next_seq
            self._next_seq = seq + 1
            self._queue.put({"seq": seq, "time": now, "type": kind, **fields})
        return seq

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything appended so far is with the operating system; return whether it is."""
        if self._closed:
            return not self._pending
        reached = threading.Event()
        self._queue.put(reached)
        return reached.wait(timeout) and not self._pending

    def close(self) -> None:
        """Write what is queued and end the writer thread. On a full disk that thread goes on trying after this returns."""
        if self._closed:
            return
        self._queue.put(None)
        self._thread.join(timeout=_CLOSE_SECONDS)
        self._closed = True

    def _write_loop(self) -> None:
        ending = False
        while not ending or self._pending:
            # With unwritten bytes wait only a little before trying the disk again.
            try:
                items = [self._queue.get(timeout=_RETRY_SECONDS if self._pending else BEAT_SECONDS)]
            except queue.Empty:
                items = []
                with contextlib.suppress(OSError):
                    os.utime(self.path)
            while not self._queue.empty() and len(items) < 10_000:
                items.append(self._queue.get())
            lines, reached = [], []
            for item in items:
                if item is None:
                    ending = True
                elif isinstance(item, threading.Event):
                    reached.append(item)
                else:
                    lines.append(to_json(item))
            if lines:
                self._pending += ("\n".join(lines) + "\n").encode(errors="replace")
            self._write_pending()
            for event in reached:
                event.set()
        os.close(self._file)

    def _write_pending(self) -> None:
        try:
            while self._pending:
                written = os.write(self._file, self._pending)
                self._pending = self._pending[written:]
            self.write_error = None
        except OSError as error:
            self.write_error = error


class JournalReader:
    """Reads a journal from where it last stopped, while it may still be written.

    A line without its end is left for the next call; a line that is not JSON (torn by a kill) is skipped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0

    def read(self, limit: int = 16 * 2**20) -> list[Event]:
        """Return the events appended since the last call, at most ``limit`` bytes of them but at least one."""
        lines, self.offset = appended(self.path, self.offset, limit)
        return [event for line in lines if (event := _parse(line)) is not None]

    def __iter__(self) -> Iterator[Event]:
        while events := self.read():
            yield from events


def to_json(event: Event) -> str:
    """Return compact JSON; NaN and infinities, which JSON does not have, become null, unknown objects their text."""
    try:
        return json.dumps(event, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    except (ValueError, TypeError):
        return json.dumps(_finite(event), allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def last_seq(path: Path) -> int:
    """Return the highest sequence number in a journal, 0 where there is none."""
    event = last_event(path)
    return 0 if event is None else int(event["seq"])


def last_event(path: Path) -> Event | None:
    """Return a journal's newest event, read from its end; None where there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            size = file.tell()
            block = 65536
            while True:
                start = max(0, size - block)
                file.seek(start)
                lines = file.read(size - start).split(b"\n")
                for line in reversed(lines):
                    event = _parse(line)
                    if event is not None:
                        return event
                if start == 0:
                    return None
                block *= 8
    except FileNotFoundError:
        return None


def _ends_torn(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            if file.tell() == 0:
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except FileNotFoundError:
        return False


def _parse(line: bytes) -> Event | None:
    if not line.strip():
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "seq" in event and "type" in event else None


def _finite(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a number of numpy or torch
        return _finite(value.item())
    return str(value)
