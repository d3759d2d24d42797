"""The folder of an evaluation: what is asked, every answer and every verdict, so that nothing generated is ever lost.

``evaluation.json`` says who and what, ``items/SUITE.jsonl`` has the questions, and ``events.jsonl`` is a journal as a run's:
``answer``, ``verdict`` and ``refused`` events, written while they come. After a kill -9 the evaluation goes on from there.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from shadownb.engine.disk import write_atomically
from shadownb.engine.evals.places import place_of
from shadownb.engine.evals.suites.base import Item
from shadownb.engine.evals.suites.places import json_lines
from shadownb.engine.jsontext import dumps
from shadownb.engine.locks import is_held
from shadownb.engine.runs.journal import Journal, JournalReader
from shadownb.errors import BusyError, ConfigError, DataError, DiskFullError

FORMAT = 1
_LOOKS = 0.5  # seconds; whoever looks whether somebody is at work holds the lock for an instant


class EvaluationFolder:
    """One evaluation on the disk.

    Attributes
    ----------
    path
        Where it lies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def named(cls, name: str | None) -> EvaluationFolder:
        """Return the folder of a name, which need not be there yet; a new one without a name.

        Raises
        ------
        ConfigError
            The name cannot be that of a folder.
        """
        return cls(place_of("evaluations", name))

    @property
    def name(self) -> str:
        """Its name."""
        return self.path.name

    @property
    def exists(self) -> bool:
        """Whether anything was begun here."""
        return (self.path / "evaluation.json").is_file()

    def spec(self) -> dict[str, Any]:
        """Return who and what is asked.

        Raises
        ------
        DataError
            There is no evaluation, it cannot be read, or a later version wrote it.
        """
        try:
            found: dict[str, Any] = json.loads((self.path / "evaluation.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(
                f"There is no evaluation {self.name!r}.",
                why=f"{type(error).__name__} at {self.path}",
                fix="snb.evaluations.list() shows those that there are.",
            ) from None
        if found.get("format", 0) > FORMAT:
            raise DataError(
                f"The evaluation {self.name!r} has format {found['format']}, this version reads up to {FORMAT}.",
                fix="Update shadownb.",
            )
        return found

    def begin(self, spec: dict[str, Any]) -> None:
        """Write what is asked; suites are added to those that were asked before, of the same models.

        Raises
        ------
        ConfigError
            An evaluation of this name asked other models, or the same suite in another way.
        """
        spec = json.loads(dumps({"format": FORMAT, **spec}))
        if self.exists:
            before = self.spec()
            differs = [key for key in ("sides", "samples") if before.get(key) != spec[key]]
            suites = before["suites"]
            differs += [
                f"suite {name}"
                for name, told in spec["suites"].items()
                if any(suites.get(name, told).get(key, value) != value for key, value in told.items())
            ]
            if differs:
                raise ConfigError(
                    f"The evaluation {self.name!r} was begun with other {', '.join(differs)}.",
                    why="Answers of one evaluation are of the same models, items and sampling.",
                    fix="Give another name, or the same models and options as then.",
                )
            spec = {**before, "suites": {**suites, **spec["suites"]}}
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "evaluation.json", dumps(spec, indent=1))

    def lock(self) -> FileLock:
        """Return the lock of whoever evaluates, taken.

        Raises
        ------
        BusyError
            Somebody evaluates here.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / "owner.lock")
        try:
            lock.acquire(timeout=_LOOKS)
        except Timeout:
            raise BusyError(
                f"The evaluation {self.name!r} is at work in another process or thread.", fix="Wait for it."
            ) from None
        return lock

    @property
    def is_owned(self) -> bool:
        """Whether somebody evaluates here now."""
        return is_held(self.path / "owner.lock")

    def journal(self) -> Journal:
        """Return the writer of its events."""
        return Journal(self.path / "events.jsonl")

    def write_items(self, suite: str, items: Sequence[Item]) -> None:
        """Keep a suite's questions, once."""
        path = self.path / "items" / f"{suite}.jsonl"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            lines = [
                dumps(
                    {
                        "id": item.id,
                        "messages": item.messages,
                        "expected": item.expected,
                        "tools": item.tools,
                        "cluster": item.cluster,
                        "part": item.part,
                    }
                )
                for item in items
            ]
            write_atomically(path, "\n".join(lines) + "\n")

    def items(self, suite: str) -> list[Item]:
        """Return a suite's questions as they were asked; none where it could not be asked."""
        path = self.path / "items" / f"{suite}.jsonl"
        if not path.exists():
            return []
        return [Item(**row) for row in json_lines(path)]

    def reader(self) -> JournalReader:
        """Return a reader of its events that goes on from where it last stopped."""
        return JournalReader(self.path / "events.jsonl")

    def write_table(self, suite: str, side: str, table: str) -> None:
        """Keep the table that a suite's own tool makes of what it measured."""
        path = self.path / "tables" / f"{suite}.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, dumps({**known, side: table}, indent=1))

    def tables(self, suite: str) -> dict[str, str]:
        """Return the tables of a suite's own tool by side; none where it has no such tool."""
        path = self.path / "tables" / f"{suite}.json"
        found: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return found

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events; one that a kill cut off is left out, for it is asked again."""
        path = self.path / "events.jsonl"
        if not path.exists():
            return
        with path.open("rb") as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if isinstance(event, dict):
                    yield event

    def stamp(self) -> list[int]:
        """Return what tells whether events were written: size and time of their file."""
        try:
            found = (self.path / "events.jsonl").stat()
        except OSError:
            return [0, 0]
        return [found.st_size, found.st_mtime_ns]

    def summary(self) -> dict[str, Any] | None:
        """Return the summary that was kept; None where there is none that can be read."""
        try:
            found: dict[str, Any] = json.loads((self.path / "summary.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def keep_summary(self, summary: dict[str, Any]) -> None:
        """Keep a summary, which is only a convenience."""
        with contextlib.suppress(OSError, DiskFullError):
            write_atomically(self.path / "summary.json", dumps(summary))

    def choice(self) -> dict[str, Any] | None:
        """Return what a panel needs to go on with it; None where it was begun elsewhere."""
        try:
            found = json.loads((self.path / "choice.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def keep_choice(self, choice: dict[str, Any]) -> None:
        """Keep what a panel needs to go on with it."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "choice.json", dumps(choice))

    def bytes(self) -> int:
        """Return how much disk it takes."""
        return sum(os.path.getsize(file) for file in self.path.rglob("*") if file.is_file())
