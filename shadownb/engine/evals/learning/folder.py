"""The folder of a learning curve: what is asked, which run trained each part, and how its answers scored; a killed one goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from shadownb.engine.disk import write_atomically
from shadownb.engine.evals.evaluation.folder import EvaluationFolder
from shadownb.engine.evals.places import place_of
from shadownb.engine.jsontext import dumps
from shadownb.engine.runs.journal import Journal, JournalReader
from shadownb.errors import BusyError, ConfigError, DataError

FORMAT = 1


class CurveFolder:
    """One learning curve on the disk: ``curve.json``, ``events.jsonl``, and an evaluation in ``points/`` for each training."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def named(cls, name: str | None) -> CurveFolder:
        """Return the folder of a name; a new one without a name. Raises :class:`ConfigError` where it cannot be a folder's."""
        return cls(place_of("curves", name))

    @property
    def name(self) -> str:
        """Its name."""
        return self.path.name

    def spec(self) -> dict[str, Any]:
        """Return what is asked. Raises :class:`DataError` where there is none that can be read."""
        try:
            found: dict[str, Any] = json.loads((self.path / "curve.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(
                f"There is no learning curve {self.name!r}.", why=f"{type(error).__name__} at {self.path}"
            ) from None
        return found

    def begin(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Write what is asked and return it; of one that was begun before, what was asked then.

        Raises
        ------
        ConfigError
            A curve of this name was begun with something else.
        """
        spec = json.loads(dumps({"format": FORMAT, **spec}))
        if (self.path / "curve.json").is_file():
            before = self.spec()
            differs = [key for key in spec if key != "created" and before.get(key) != spec[key]]
            if differs:
                raise ConfigError(
                    f"The learning curve {self.name!r} was begun with other {', '.join(differs)}.",
                    why="Parts of one curve are trained and scored in the same way.",
                    fix="Give another name, or the same model, rows and options as then.",
                )
            return before
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "curve.json", dumps(spec, indent=1))
        return spec

    def lock(self) -> FileLock:
        """Return the lock of whoever measures, taken. Raises :class:`BusyError` where somebody measures here."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / "owner.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise BusyError(
                f"The learning curve {self.name!r} is measured in another process or thread.", fix="Wait for it."
            ) from None
        return lock

    def journal(self) -> Journal:
        """Return the writer of its events."""
        return Journal(self.path / "events.jsonl")

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events."""
        yield from JournalReader(self.path / "events.jsonl")

    def evaluation(self, key: str) -> EvaluationFolder:
        """Return the folder of the evaluation of one training."""
        return EvaluationFolder(self.path / "points" / key)
