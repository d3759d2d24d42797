"""Which runs there are: all of them, those that a query finds, those that go on; each list shows itself as a table."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.displays import table_html, table_text
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.handle import Run
from shadownb.engine.runs.store import chosen
from shadownb.engine.runs.table import RunTable

if TYPE_CHECKING:
    import pandas as pd

    from shadownb.engine.ports.run_store import RunEntry, RunStore

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
    where = chosen(store)
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
    where = chosen(store)
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
    return RunList(Run(folder) for folder in chosen(store).active())


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
