"""Rows of many callers in one context of a GGUF file; see :class:`~shadownb.engine.inference.batcher.Side`.

A context stays open while the server runs, because making one writes all of its room. Its rows share one adapter, so nothing that
was computed with one is ever seen with another.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from shadownb.engine.backends.llamacpp.generation import MOST_ROWS, ROOM_TOKENS, Table
from shadownb.engine.backends.llamacpp.sequences import Sequences
from shadownb.engine.inference.draws import seed_of
from shadownb.engine.inference.rows import Row

if TYPE_CHECKING:
    from shadownb.engine.backends.llamacpp.generation import LlamaCppGenerator
    from shadownb.engine.inference.batcher import Job
    from shadownb.engine.inference.types import Use

_STEPS = 8  # passes between two looks at who has come
_SHORTEST = 1024  # tokens of room for a row, so that a longer prompt seldom needs another context
_KEPT = 2


class Rooms:
    """The contexts of a server, by the adapter that they compute with.

    The one that was not used for longest is closed where there are more than two.
    """

    def __init__(self) -> None:
        self._rooms: dict[Path | None, tuple[Sequences, int, int]] = {}

    def of(self, generator: LlamaCppGenerator, adapter: Path | None, longest: int) -> tuple[Sequences, int, int]:
        """Return a context whose rows have room for ``longest`` tokens, how many rows it has, and how long they may be."""
        known = self._rooms.pop(adapter, None)
        if known is not None and known[2] < longest:
            known[0].close()
            known = None
        if known is None:
            length = -(-max(longest, min(_SHORTEST, generator.file.positions)) // 256) * 256
            count = min(MOST_ROWS, max(1, ROOM_TOKENS // length))
            known = Sequences(generator.file, count, length, adapter), count, length
        self._rooms[adapter] = known
        while len(self._rooms) > _KEPT:
            self._rooms.pop(next(iter(self._rooms)))[0].close()
        return known

    def close(self) -> None:
        """Close them all."""
        for room, _, _ in self._rooms.values():
            room.close()
        self._rooms.clear()


class LlamaCppSide:
    """Rows on one side of the weights."""

    def __init__(self, generator: LlamaCppGenerator, use: Use, rooms: Rooms) -> None:
        self._generator, self._use, self._rooms = generator, use, rooms
        self._jobs: dict[Row, Job] = {}
        self._later: list[Row] = []  # too long for the context that is open; they wait until it is empty
        self._table: Table | None = None
        self._length = 0

    def add(self, job: Job) -> None:
        """Let a prompt be answered here too."""
        row = self._generator.row(0, job.prompt, job.sampling, job.use, seed_of(job.sampling), 0)
        row.listened_by(job.said, job.gone)
        self._jobs[row] = job
        self._later.append(row)

    def advance(self) -> bool:
        """Compute some passes; returns whether everybody is answered."""
        self._seat()
        assert self._table is not None
        for _ in range(_STEPS):
            if self._table.done:
                break
            self._table.step()
        for row in [row for row in self._jobs if row.reason is not None]:
            self._jobs.pop(row).answer.set_result(row.completion())
        return not self._jobs

    def _seat(self) -> None:
        if self._table is None or (self._table.done and self._later):
            longest = max((len(row.prompt) + row.limit for row in self._later), default=1)
            adapter = self._generator.adapter_of(self._use)
            room, count, self._length = self._rooms.of(self._generator, adapter, longest)
            self._table = Table(room, count, [], None)
        fits = [row for row in self._later if len(row.prompt) + row.limit <= self._length]
        if len(fits) == len(self._later) or self._table.done:
            self._table.add(fits)
            self._later = [row for row in self._later if row not in fits]

    def end(self, error: BaseException | None = None) -> None:
        """Break off what is left; its places in the context are given back."""
        for row, job in self._jobs.items():
            if error is not None:
                job.fail(error)
                continue
            if row.reason is None:
                row.cancel()
            job.answer.set_result(row.completion())
        if self._table is not None:
            self._table.clear()
        self._jobs, self._later, self._table = {}, [], None


class Speaking:
    """The generator as a batcher asks it: its gate, and sides over contexts that stay open."""

    def __init__(self, generator: LlamaCppGenerator, rooms: Rooms) -> None:
        self._generator, self._rooms, self.gate = generator, rooms, generator.gate

    def weights_of(self, use: Use) -> Path | None:
        """Return the adapter that answers for a side: with none the file and its base are one."""
        return self._generator.adapter_of(use)

    def side(self, use: Use) -> LlamaCppSide:
        """Return an empty side."""
        return LlamaCppSide(self._generator, use, self._rooms)
