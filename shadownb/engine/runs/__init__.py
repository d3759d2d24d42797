"""Runs: list, load, compare and delete them, from any kernel.

Examples
--------
>>> newest = snb.runs.list()[0]
>>> snb.runs.load(run.id).status  # by its id, in any kernel
'succeeded'
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.displays import table_html, table_text
from shadownb.engine.runs import promoting
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.handle import Run
from shadownb.engine.runs.marks import Marks
from shadownb.engine.runs.queues import Queue
from shadownb.engine.runs.rows import Part, rows_of
from shadownb.engine.runs.starting import starts_in
from shadownb.engine.runs.store import FolderStore, default_store
from shadownb.engine.runs.table import RunTable
from shadownb.engine.runs.view import Metric
from shadownb.errors import RunError, RunNotFoundError

if TYPE_CHECKING:
    import pandas as pd

    from shadownb.engine.data import Dataset
    from shadownb.engine.ports.run_store import RunEntry, RunStore
    from shadownb.engine.runs.checkpoints import Checkpoint

__all__ = [
    "FolderStore",
    "Marks",
    "Metric",
    "Queue",
    "Run",
    "RunList",
    "active",
    "attach",
    "delete",
    "diff",
    "empty_trash",
    "latest",
    "list",
    "load",
    "promote",
    "queue",
    "restore",
    "rows",
    "search",
    "trash",
    "trashed",
]

_COLUMNS = ("id", "status", "method", "model", "step", "total_steps", "loss", "eval_loss", "elapsed_s")


class RunList(builtins.list[Run]):
    """A list of runs, newest first, that shows itself as a table.

    Examples
    --------
    >>> snb.runs.list(status="succeeded")
    id     status     method  model  step  total_steps  loss ...
    ...
    >>> snb.runs.list(status="succeeded").to_frame()["method"].iloc[-1]
    'lora'
    """

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas DataFrame with one row per run."""
        import pandas as pd

        return pd.DataFrame([entry.summary for entry in _entries(self)])

    def __repr__(self) -> str:
        if not self:
            return "no runs yet"
        return table_text(_COLUMNS, self._cells())

    def _repr_html_(self) -> str:
        if not self:
            return "<em>no runs yet</em>"
        return table_html(_COLUMNS, self._cells())

    def _cells(self) -> builtins.list[builtins.list[str]]:
        return [[_cell(entry.summary.get(name)) for name in _COLUMNS] for entry in _entries(self)]


def _entries(listed: Sequence[Run]) -> builtins.list[RunEntry]:
    """Return what is shown of runs, which may be of several stores."""
    by_home: dict[Any, builtins.list[RunFolder]] = {}
    for run in listed:
        by_home.setdefault(run.folder.home, []).append(run.folder)
    found = {
        (home, entry.id): entry for home, folders in by_home.items() for entry in folders[0].store.entries(folders)
    }
    return [found[run.folder.home, run.id] for run in listed]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def list(limit: int | None = None, *, status: str | None = None, store: RunStore[RunFolder] | None = None) -> RunList:
    """Return the runs, newest first. A run whose record cannot be read is listed and says so.

    Parameters
    ----------
    limit
        How many at most; None returns all.
    status
        Only runs with this status (see :attr:`Run.status`).
    store
        Another store than that of ``SHADOWNB_HOME``: ``FolderStore(home)``.

    Examples
    --------
    >>> finished = snb.runs.list(status="succeeded")
    >>> run.id in [each.id for each in finished]
    True
    """
    where = _store(store)
    folders = where.all()
    if status is not None:
        entries = where.entries(folders)
        folders = [folder for folder, entry in zip(folders, entries, strict=True) if entry.status == status]
    return RunList(Run(folder) for folder in folders[:limit])


def search(
    query: str = "",
    *,
    sort: str = "created_at",
    descending: bool = True,
    limit: int | None = None,
    archived: bool = False,
    store: RunStore[RunFolder] | None = None,
) -> RunList:
    """Return the runs that a query finds: those that go on first, then pinned ones, then by a column.

    Parameters
    ----------
    query
        Words that stand in id, status, method, model, data, tags or note, and conditions on any option, number of the summary
        or metric: ``tag:baseline method:lora learning_rate>=1e-4 eval_loss.min<0.5 -status:failed``. ``:`` finds a part of a
        text, ``=`` and ``!=`` the whole; ``.min`` and ``.max`` stand behind a metric; ``-`` turns a part round; quotes keep
        words together.
    sort
        A column: a key of :meth:`Run.to_dict`, an option, or a metric. Runs without a value come last.
    descending
        Whether the largest comes first.
    limit
        How many at most; None returns all.
    archived
        Whether to look among archived runs, too.
    store
        Another store than that of ``SHADOWNB_HOME``: ``FolderStore(home)``.

    Raises
    ------
    ConfigError
        No run has a column of that name, or what is compared is no number.

    Examples
    --------
    >>> found = snb.runs.search("method:lora loss<0.5", sort="loss", descending=False)
    >>> run.id in [each.id for each in found]
    True
    """
    where = _store(store)
    table = RunTable(where)
    table.refresh()
    page = table.page(query, sort=sort, descending=descending, count=max(1, len(table.rows)), archived=archived)
    return RunList(Run(where.find(row["id"])) for row in page.rows[:limit])


def active(*, store: RunStore[RunFolder] | None = None) -> RunList:
    """Return the runs that are running, paused or waiting to start, newest first.

    Examples
    --------
    >>> snb.runs.active()  # none is going on
    no runs yet
    """
    return RunList(Run(folder) for folder in _store(store).active())


def queue() -> Queue:
    """Return what trains on this machine and what waits, device by device; it shows itself as a table.

    Examples
    --------
    >>> snb.runs.queue()
    no run trains or waits
    """
    return Queue()


def load(run_id: str, *, store: RunStore[RunFolder] | None = None) -> Run:
    """Return a run by its id; the beginning of the id is enough if no other run begins with it.

    Raises
    ------
    RunNotFoundError
        No run has this id (the message suggests the closest one), or several ids begin with it.

    Examples
    --------
    >>> snb.runs.load(run.id).status
    'succeeded'
    >>> snb.runs.load("no-such-run")
    Traceback (most recent call last):
        ...
    shadownb.errors.RunNotFoundError: There is no run 'no-such-run'.
    Next: shadownb.runs.list() shows the runs.
    """
    return Run(_store(store).find(run_id, beginning=True))


def latest(*, store: RunStore[RunFolder] | None = None) -> Run:
    """Return the newest run.

    Raises
    ------
    RunNotFoundError
        There is none yet.

    Examples
    --------
    >>> last = model.train(rows, start="base", max_steps=2, background=False)
    >>> snb.runs.latest().id == last.id
    True
    """
    folders = _store(store).all()
    if not folders:
        raise RunNotFoundError("There are no runs yet.", fix="Start one with model.train(data).")
    return Run(folders[0])


def attach(run_id: str, *, store: RunStore[RunFolder] | None = None) -> Run:
    """Return a run that is active, in whichever process it trains.

    Raises
    ------
    RunError
        The run is not active any more.

    Examples
    --------
    >>> going = model.train(rows, start="base", max_steps=2000, save_steps=2000, background=True)
    >>> snb.runs.attach(going.id).is_active  # from any kernel
    True
    >>> going.discard().wait(timeout=60).status
    'discarded'
    """
    run = load(run_id, store=store)
    if not run.is_active:
        raise RunError(f"Run {run.id} is {run.status}, not active.", fix="run.resume() goes on with it.")
    return run


def diff(*run_ids: str | Run | Sequence[str | Run]) -> Any:
    """Compare runs: the options that differ, their results, and their losses in one chart.

    Returns a :class:`~shadownb.engine.runs.comparison.RunComparison`, which shows itself as a table.

    Examples
    --------
    >>> other = model.train(rows, start="base", max_steps=2, lora_r=4, background=False)
    >>> print(snb.runs.diff(run, other))
    run  eval_dataset  learning_rate  max_steps ... lora_r ... status ...
    ...  list, 3 rows  0.01  40 ... succeeded ...
    ...  none  0.0005  2 ... 4 ... succeeded ...
    """
    from shadownb.engine.runs.comparison import RunComparison

    flat: builtins.list[str | Run] = []
    for item in run_ids:
        flat.extend([item] if isinstance(item, str | Run) else item)
    return RunComparison([item if isinstance(item, Run) else load(item) for item in flat])


def rows(run_id: str, part: Part = "train", *, store: RunStore[RunFolder] | None = None) -> Dataset:
    """Return rows of a run as data: those that it was trained on, or those that it held out.

    Parameters
    ----------
    part
        ``train`` or ``held_out``.

    Raises
    ------
    ConfigError
        There is no such part.
    RunError
        The run held none out, or its rows are gone or were changed.

    Examples
    --------
    >>> len(snb.runs.rows(run.id)), len(snb.runs.rows(run.id, "held_out"))
    (12, 3)
    >>> model.loss(snb.runs.rows(run.id, "held_out")) < model.loss(snb.runs.rows(run.id, "held_out"), use="base")
    True
    """
    return rows_of(load(run_id, store=store).folder, part)


def promote(run_id: str, step: int, *, store: RunStore[RunFolder] | None = None) -> Checkpoint:
    """Make the checkpoint of a step the result of a run: what ``load(run_id)``, an export and a run that starts from it take.

    It holds until the run is resumed. Nothing is copied or deleted: promote the last step to have the run's own result again.

    Raises
    ------
    RunError
        The run is active: what it ends with is not there yet.
    CheckpointError
        There is no checkpoint of that step; the message lists the steps that have one.

    Examples
    --------
    >>> snb.runs.promote(run.id, 20).step, run.result().step
    (20, 20)
    >>> snb.runs.promote(run.id, 40).step
    40
    """
    run = load(run_id, store=store)
    if run.is_active:
        raise RunError(f"Run {run.id} is {run.status}.", fix="Stop it first, or wait: run.wait().")
    chosen = run.checkpoint_at(step)
    promoting.promote(run.folder, chosen.path.name)
    return chosen


def delete(run_id: str, *, store: RunStore[RunFolder] | None = None) -> None:
    """Delete a run's folder with all its checkpoints, for good; :func:`trash` is what can be undone.

    Raises
    ------
    RunError
        The run is still active, or an unfinished run started from its result.

    Examples
    --------
    >>> short = model.train(rows, start="base", max_steps=2, background=False)
    >>> snb.runs.delete(short.id)
    >>> short.path.exists()
    False
    """
    where = _store(store)
    where.delete(_unneeded(where.find(run_id), where))


def trash(run_id: str, *, store: RunStore[RunFolder] | None = None) -> None:
    """Delete a run so that :func:`restore` brings it back; its disk space is free after :func:`empty_trash`.

    Raises
    ------
    RunError
        The run is still active, or an unfinished run started from its result.

    Examples
    --------
    >>> short = model.train(rows, start="base", max_steps=2, background=False)
    >>> snb.runs.trash(short.id)
    >>> snb.runs.trashed() == [short.id]
    True
    >>> snb.runs.restore(short.id).status
    'succeeded'
    """
    where = _store(store)
    where.trash(_unneeded(where.find(run_id), where))


def trashed(*, store: RunStore[RunFolder] | None = None) -> builtins.list[str]:
    """Return the ids of the runs that :func:`restore` brings back, newest first.

    Examples
    --------
    >>> snb.runs.trashed()
    []
    """
    return [run.id for run in _store(store).trashed()]


def restore(run_id: str, *, store: RunStore[RunFolder] | None = None) -> Run:
    """Bring a run back from the trash and return it.

    Raises
    ------
    RunNotFoundError
        It is not in the trash.

    Examples
    --------
    >>> short = model.train(rows, start="base", max_steps=2, background=False)
    >>> snb.runs.trash(short.id)
    >>> snb.runs.restore(short.id).id == short.id
    True
    """
    return Run(_store(store).restore(run_id))


def empty_trash(*, store: RunStore[RunFolder] | None = None) -> int:
    """Delete the runs in the trash for good; returns how many there were.

    Examples
    --------
    >>> snb.runs.empty_trash()
    0
    """
    where = _store(store)
    gone = where.trashed()
    for run in gone:
        where.delete(run)
    return len(gone)


def _unneeded(folder: RunFolder, where: RunStore[RunFolder]) -> RunFolder:
    """Return a run's folder; one that works, or that another one needs to go on, is refused."""
    run = Run(folder)
    if run.is_active:
        raise RunError(f"Run {run.id} is {run.status}.", fix="Stop it first: run.discard().")
    for other in map(where.find, starts_in(run.folder)):
        if (status := Run(other).status) not in ("succeeded", "discarded"):
            raise RunError(
                f"Run {other.id} ({status}) began with the result of {run.id}, and cannot be resumed without it.",
                fix=f"Resume that one to its end, or delete it first: shadownb.runs.delete({other.id!r}).",
            )
    return folder


def _store(given: RunStore[RunFolder] | None) -> RunStore[RunFolder]:
    return default_store() if given is None else given
