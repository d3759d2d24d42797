"""Writer: the one thread that writes calls, many of them in one transaction.

Whoever hands in an exchange is told when it is committed, and only then lets the client have the end of its answer. A
second hand-in of the same call (more bytes came after its end) replaces the first.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from shadownb.engine.capture.exchange import Exchange, Record
from shadownb.engine.capture.prices import PriceTable
from shadownb.engine.capture.redaction import Redactor
from shadownb.engine.capture.schema import connect
from shadownb.engine.jsontext import loads

Done = Callable[[Exception | None], None]

_MOST_IN_ONE_COMMIT = 256


def insert(connection: sqlite3.Connection, records: Iterable[Record]) -> None:
    """Put records in, or in the place of those of the same calls, within a transaction of whoever asks."""
    for record in records:
        names = list(record.columns)
        connection.execute(
            f"INSERT INTO calls ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
            f"ON CONFLICT(id) DO UPDATE SET {', '.join(f'{n}=excluded.{n}' for n in names if n != 'id')}",
            list(record.columns.values()),
        )
        if '"tags"' in (record.columns.get("extra") or ""):
            tags = loads(record.columns["extra"]).get("tags") or {}
            connection.executemany(
                "INSERT OR IGNORE INTO tags VALUES (?, ?, ?)", [(n, v, record.columns["id"]) for n, v in tags.items()]
            )
        connection.execute(
            "INSERT OR REPLACE INTO bodies (id, request, response, frames) VALUES (?, ?, ?, ?)",
            (record.columns["id"], record.request, record.response, record.frames),
        )


class Writer:
    """Stores exchanges in the order they are handed in.

    Attributes
    ----------
    written, commits
        Calls that are stored, and the transactions they took.
    failed, last_error
        Calls that could not be stored (disk full and the like), and why the last one was not.
    """

    def __init__(self, path: Path, prices: PriceTable, redactor: Redactor) -> None:
        self._connection = connect(path, write=True)
        self._prices = prices
        self.redactor = redactor
        self._queue: queue.SimpleQueue[tuple[Exchange, Done] | None] = queue.SimpleQueue()
        self.written = self.commits = self.failed = 0
        self.last_error = ""
        self._thread = threading.Thread(target=self._run, name="shadownb-capture-writer", daemon=True)
        self._thread.start()

    def put(self, exchange: Exchange, done: Done) -> None:
        """Hand in an exchange; ``done(None)`` or ``done(error)`` is called from the writer's thread."""
        self._queue.put((exchange, done))

    def close(self) -> None:
        """Write what is left and end."""
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        ended = False
        while not ended:
            batch = [self._queue.get()]
            while len(batch) < _MOST_IN_ONE_COMMIT and not self._queue.empty():
                batch.append(self._queue.get())
            ended = None in batch
            self._write([item for item in batch if item is not None])

    def _write(self, batch: list[tuple[Exchange, Done]]) -> None:
        pending: list[tuple[Record, Done]] = []
        for exchange, done in batch:
            try:
                pending.append((Record.of(exchange, self._prices, self.redactor), done))
            except Exception as error:
                self._tell(done, error)
        self._store(pending)

    def _store(self, pending: list[tuple[Record, Done]]) -> None:
        """Write records in one transaction; one that the database refuses takes no other along.

        Whatever goes wrong, this returns: the thread must live on, since the end of every answer waits for it.
        """
        if not pending:
            return
        problem: Exception | None = None
        try:
            self._commit([record for record, _ in pending])
        except sqlite3.OperationalError as error:  # no room, no lock: alone they would fare no better
            problem = error
        except Exception as error:
            if len(pending) > 1:
                for one in pending:
                    self._store([one])
                return
            problem = error
        for _, done in pending:
            self._tell(done, problem)

    def _commit(self, records: list[Record]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            insert(self._connection, records)
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        self.commits += 1

    def _tell(self, done: Done, problem: Exception | None) -> None:
        if problem is None:
            self.written += 1
        else:
            self.failed += 1
            self.last_error = self.redactor.without_keys(f"{type(problem).__name__}: {problem}")[:500]
        done(problem)
