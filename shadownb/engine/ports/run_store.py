"""Where runs are kept: what a store of runs has to do.

Suite: tests/ports/test_run_store.py.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from shadownb.engine.config import TrainConfig
    from shadownb.engine.data import Dataset


class StoredRun(Protocol):
    """The folder of one run, on a disk of this machine; its name is the run's id."""

    @property
    def id(self) -> str: ...

    @property
    def path(self) -> Path: ...


R = TypeVar("R", bound=StoredRun)


@dataclass(frozen=True)
class RunEntry:
    """What a list shows of a run.

    Attributes
    ----------
    id
        The run's id.
    status
        As an observer sees it now, so ``interrupted`` where nobody is left to go on; ``unreadable`` of a damaged folder.
    summary
        What :meth:`Run.to_dict` returns; of a damaged folder id and status alone.
    """

    id: str
    status: str
    summary: dict[str, Any]


class RunStore(Protocol[R]):
    """The runs of one home, and the rows they were trained on.

    It is made from its home, and two of them in one process share nothing. Whatever it keeps in order to answer quickly, an
    answer is what the folders say at this moment: several processes write to them at any time, and people delete and copy
    them by hand. A folder that cannot be read is shown as such and hides no other.
    """

    @property
    def home(self) -> Path:
        """What names it: two stores of one home hold the same runs."""

    def create(self, config: TrainConfig, record: dict[str, Any]) -> R:
        """Make the folder of a new run, whole or not at all; its id begins with time and method."""

    def all(self) -> list[R]:
        """Return all runs, the one that was launched last first."""

    def active(self) -> list[R]:
        """Return the runs that somebody works on, or will, the newest first."""

    def find(self, run_id: str | os.PathLike[str], *, beginning: bool = False) -> R:
        """Return the run of an id, or of the path of its folder; with ``beginning`` also the only one whose id begins so.

        Raises
        ------
        RunNotFoundError
            There is none, with the closest id, or several begin so.
        """

    def entries(self, runs: Sequence[R] | None = None) -> list[RunEntry]:
        """Return what a list shows of the given runs, or of all, in their order."""

    def columns(self, runs: Sequence[R] | None = None) -> list[dict[str, Any]]:
        """Return all that a table can show of the given runs, or of all, in their order; see ``runs/columns.py``."""

    def starts(self) -> dict[str, tuple[Path, ...]]:
        """Return, by id, the weights that each run starts from, as absolute paths; runs that start from the base have none."""

    def delete(self, run: R) -> None:
        """Delete a run with all that is in its folder; one that is killed in the middle leaves nothing that is listed."""

    def trash(self, run: R) -> None:
        """Take a run out of all lists, whole, so that it can be restored."""

    def trashed(self) -> list[R]:
        """Return the runs that can be restored, the newest first; :meth:`delete` takes them, too."""

    def restore(self, run_id: str) -> R:
        """Put a run back that is in the trash.

        Raises
        ------
        RunNotFoundError
            It is not there.
        """

    def store_rows(self, dataset: Dataset) -> dict[str, Any]:
        """Keep a dataset's usable rows, once for all runs, and return the reference for a run's record."""
