"""Taking runs away: for good, or into the trash, from where they come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.handle import Run
from shadownb.engine.runs.starting import starts_in
from shadownb.engine.runs.store import chosen
from shadownb.errors import RunError

if TYPE_CHECKING:
    from shadownb.engine.ports.run_store import RunStore


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
    where = chosen(store)
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
    where = chosen(store)
    where.trash(_unneeded(where.find(run_id), where))


def trashed(*, store: RunStore[RunFolder] | None = None) -> list[str]:
    """Return the ids of the runs that :func:`restore` brings back, newest first.

    Examples
    --------
    >>> snb.runs.trashed()
    []
    """
    return [run.id for run in chosen(store).trashed()]


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
    return Run(chosen(store).restore(run_id))


def empty_trash(*, store: RunStore[RunFolder] | None = None) -> int:
    """Delete the runs in the trash for good; returns how many there were.

    Examples
    --------
    >>> snb.runs.empty_trash()
    0
    """
    where = chosen(store)
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
