"""The store of runs: folders below ``HOME/runs``, rows in ``HOME/datasets``, and an index of what was read of them.

See :class:`shadownb.engine.ports.run_store.RunStore` for what it owes. A folder is read only where :mod:`.index` has nothing
of it that is still true.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadownb.engine import registry
from shadownb.engine.disk import sha256_of, write_atomically
from shadownb.engine.home import home, make_private, not_yours
from shadownb.engine.ports.run_store import RunEntry, RunStore
from shadownb.engine.runs import marks, references
from shadownb.engine.runs.columns import read_columns, unreadable
from shadownb.engine.runs.entries import observed, read_entry
from shadownb.engine.runs.folder import FORMAT, RunFolder
from shadownb.engine.runs.index import RunIndex, is_settled, stamp_of
from shadownb.engine.runs.journal import last_event
from shadownb.engine.runs.state import ACTIVE
from shadownb.errors import RunError, RunNotFoundError, did_you_mean

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.data import Dataset

_SHORTEST_BEGINNING = 4  # characters of an id that is not given whole
_TRASH = ".trash-"  # what the name of a run's folder begins with while it can be restored


def default_store() -> RunStore[RunFolder]:
    """Return the store of ``SHADOWNB_HOME``, as it is set now."""
    made: RunStore[RunFolder] = registry.resolve("run_store", "folders")(home())
    return made


def chosen(store: RunStore[RunFolder] | None) -> RunStore[RunFolder]:
    """Return the store that was given, or the default one."""
    return default_store() if store is None else store


class FolderStore:
    """The runs in one home folder; ``train(store=)`` and ``runs.list(store=)`` take it.

    Examples
    --------
    >>> elsewhere = snb.runs.FolderStore("other-home")
    >>> fresh = model.fresh_copy()
    >>> there = fresh.train(rows, max_steps=2, background=False, store=elsewhere)
    >>> snb.runs.latest(store=elsewhere).id == there.id
    True
    """

    def __init__(self, home: str | Path) -> None:
        self.home = Path(home).expanduser().absolute()
        self._runs = self.home / "runs"
        self._index = RunIndex(self.home)

    def create(self, config: TrainConfig, record: dict[str, Any]) -> RunFolder:
        """Make the folder of a new run; the id is its time and method and a random part."""
        now = datetime.datetime.now(datetime.UTC)
        try:
            make_private(self._runs)
        except PermissionError as error:
            raise not_yours(self._runs, error) from error
        for _ in range(8):
            path = self._runs / f"{now:%Y%m%d-%H%M%S}-{_in_a_name(config.method)}-{uuid.uuid4().hex[:4]}"
            try:
                path.mkdir()
                break
            except FileExistsError:
                continue
        folder = RunFolder(path, self)
        facts = {
            "format": FORMAT,
            "id": folder.id,
            "created_at": now.timestamp(),
            "given": sorted(config.model_fields_set),  # config.yaml has every option, also those left at their default
        }
        try:
            folder.samples.mkdir()
            folder.checkpoints.mkdir()
            write_atomically(folder.options, config.to_yaml())
            folder.write_spec({**facts, **record})
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        return folder

    def all(self) -> list[RunFolder]:
        """Return the folders of all runs, the one that was launched last first."""
        try:
            names = os.listdir(self._runs)
        except FileNotFoundError:
            return []
        # A killed delete leaves a folder whose name begins with a dot.
        found = [RunFolder(self._runs / name, self) for name in names if name[:1] != "."]
        there = [(folder.launched, folder) for folder in found if os.path.isfile(folder.record)]
        return [folder for _, folder in sorted(there, key=lambda pair: pair[0], reverse=True)]

    def active(self) -> list[RunFolder]:
        """Return the runs that somebody works on, or will, the newest first; of the others only the last event is read."""
        going_on = [run for run in self.all() if not _has_ended(run)]
        return [run for run, entry in zip(going_on, self.entries(going_on), strict=True) if entry.status in ACTIVE]

    def find(self, run_id: str | os.PathLike[str], *, beginning: bool = False) -> RunFolder:
        """Return the folder of a run id (or of the path of a run's folder); never one outside ``runs/``.

        Raises
        ------
        RunNotFoundError
            There is no such run, with the closest id; or several begin so.
        """
        text = os.fspath(run_id)
        name = Path(text).name if Path(text).parent.resolve() == self._runs.resolve() else text
        if name[:1] not in ("", ".") and Path(name).name == name and os.path.isfile(self._runs / name / "run.json"):
            return RunFolder(self._runs / name, self)
        known = [folder.id for folder in self.all()]
        begun = [known_id for known_id in known if known_id.startswith(text)] if beginning else []
        if len(begun) == 1 and len(text) >= _SHORTEST_BEGINNING:
            return RunFolder(self._runs / begun[0], self)
        if len(begun) > 1:
            several = f"There is no run {text!r}; {len(begun)} begin so, the newest is {begun[0]!r}."
            raise RunNotFoundError(several, fix="Give more of the id; shadownb.runs.list() shows the runs.")
        raise RunNotFoundError(
            f"There is no run {text!r}.{did_you_mean(text, known)}", fix="shadownb.runs.list() shows the runs."
        )

    def entries(self, runs: Sequence[RunFolder] | None = None) -> list[RunEntry]:
        """Return what a list shows of the given runs, or of all; folders that are as they were are not read."""
        kept = self._kept("summary", runs, lambda run: (run.record, run.options, run.events), read_entry)
        return [observed(run, found) for run, found in kept]

    def columns(self, runs: Sequence[RunFolder] | None = None) -> list[dict[str, Any]]:
        """Return all that a table can show of the given runs, or of all; see :func:`.columns.read_columns`."""
        kept = self._kept(
            "columns", runs, lambda run: (run.record, run.options, run.events, run.path / marks.NAME), read_columns
        )
        going_on = [run for run, row in kept if row is not None and row["status"] in ACTIVE]
        status = {entry.id: entry.status for entry in self.entries(going_on)} if going_on else {}
        return [
            unreadable(run) if row is None else {**row, "status": status.get(run.id, row["status"])}
            for run, row in kept
        ]

    def starts(self) -> dict[str, tuple[Path, ...]]:
        """Return, by id, the weights that each run starts from."""
        found = self._kept("start", None, lambda run: (run.record,), _places_of_start)
        return {
            run.id: tuple(Path(references.absolute(place, self.home)) for place in places or ())
            for run, places in found
        }

    def delete(self, run: RunFolder) -> None:
        """Delete a run's folder."""
        # Renamed first, so that a kill in the middle leaves nothing that is listed.
        run.path.rename(run.path.with_name(f".deleted-{run.id}-{time.time_ns()}"))
        for left in self._runs.glob(".deleted-*"):  # also what a delete that was killed has left
            shutil.rmtree(left, ignore_errors=True)

    def trash(self, run: RunFolder) -> None:
        """Take a run out of the lists, so that it can be restored."""
        run.path.rename(self._runs / f"{_TRASH}{run.id}")

    def trashed(self) -> list[RunFolder]:
        """Return the runs that can be restored, the newest first; their ids are those that they had."""
        found = [_Trashed(path, self) for path in self._runs.glob(f"{_TRASH}*") if (path / "run.json").is_file()]
        return sorted(found, key=lambda run: run.launched, reverse=True)

    def restore(self, run_id: str) -> RunFolder:
        """Put a run back into the lists.

        Raises
        ------
        RunNotFoundError
            It is not in the trash.
        """
        known = [run.id for run in self.trashed()]
        if run_id not in known:
            raise RunNotFoundError(
                f"There is no run {run_id!r} in the trash.{did_you_mean(run_id, known)}",
                fix="shadownb.runs.trashed() lists what is there.",
            )
        (self._runs / f"{_TRASH}{run_id}").rename(self._runs / run_id)
        return RunFolder(self._runs / run_id, self)

    def store_rows(self, dataset: Dataset) -> dict[str, Any]:
        """Write a dataset's usable rows in canonical form once, named by their sha256, and return the reference a run keeps.

        The name is of what is written: the same rows read as another format are other canonical rows.
        """
        rows = dataset.canonical_rows()
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        digest = hashlib.sha256(text.encode()).hexdigest()
        path = self.home / "datasets" / f"{digest}.jsonl"
        make_private(path.parent)
        if not path.exists() or sha256_of(path) != digest:
            write_atomically(path, text)
        return {
            "sha256": digest,
            "path": str(path),
            "name": dataset.name,
            "format": dataset.format,
            "rows": len(rows),
        }

    def _kept(
        self,
        kind: str,
        runs: Sequence[RunFolder] | None,
        files: Callable[[RunFolder], tuple[Path, ...]],
        read: Callable[[RunFolder], Any],
    ) -> list[tuple[RunFolder, Any]]:
        """Return what ``read`` gives of each run, from the index where the files are as they were when it was read."""
        listed = self.all() if runs is None else list(runs)
        known = self._index.read(kind, None if runs is None else [run.id for run in listed])
        found, fresh = [], {}
        for run in listed:
            stamp = stamp_of(*files(run))  # before reading: what is changed meanwhile is read again the next time
            then, text = known.get(run.id, ("", ""))
            value = None
            if then == stamp:
                with contextlib.suppress(ValueError):
                    value = json.loads(text)
            if value is None:
                value = read(run)
                if value is not None and is_settled(stamp):
                    fresh[run.id] = (stamp, json.dumps(value))
            found.append((run, value))
        gone = known.keys() - {run.id for run in listed} if runs is None else ()
        self._index.write(kind, fresh, gone)
        return found

    def __repr__(self) -> str:
        return f"FolderStore({str(self.home)!r})"


def _in_a_name(method: str) -> str:
    """Return a method's name as every file system takes it in one of its own: Windows refuses ``:``, and ``/`` is two folders."""
    return re.sub(r"[^\w.+-]", "-", method)


def _has_ended(run: RunFolder) -> bool:
    """Whether the journal's last event is the end; whoever goes on writes another one first."""
    try:
        event = last_event(run.events)
    except OSError:
        return False
    return event is not None and event["type"] == "end"


class _Trashed(RunFolder):
    """A run in the trash."""

    def __init__(self, path: Path, store: FolderStore) -> None:
        super().__init__(path, store)
        self.id = path.name.removeprefix(_TRASH)


def _places_of_start(run: RunFolder) -> list[str] | None:
    try:
        return references.places_of_start(run.record_as_written())
    except (RunError, KeyError, TypeError):  # a record that cannot be read
        return None
