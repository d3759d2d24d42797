"""The evaluations of the store: which there are, and each by its name.

Examples
--------
>>> _ = snb.evaluate(model, snb.suites.rows(rows[:3], snb.Exact(), name="queues"), name="nightly", max_new_tokens=8)
>>> "nightly" in snb.evaluations.list()
True
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from shadownb.engine.evals.evaluation.evaluation import Evaluation
from shadownb.engine.evals.evaluation.folder import EvaluationFolder
from shadownb.engine.home import home
from shadownb.errors import DataError

if TYPE_CHECKING:
    from shadownb.engine.evals.evaluation.leaderboard import Leaderboard

__all__ = ["delete", "leaderboard", "list", "open"]


def list() -> tuple[str, ...]:
    """Return the names of all evaluations, the newest first.

    Examples
    --------
    >>> _ = snb.evaluate(model, snb.suites.rows(rows[:3], snb.Exact(), name="queues"), name="newest", max_new_tokens=8)
    >>> snb.evaluations.list()[0]
    'newest'
    """
    found = [path.parent for path in (home() / "evaluations").glob("*/evaluation.json")]
    return tuple(path.name for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True))


def open(name: str) -> Evaluation:
    """Return an evaluation by its name, also while it is made elsewhere.

    Examples
    --------
    >>> _ = snb.evaluate(model, snb.suites.rows(rows[:3], snb.Exact(), name="queues"), name="mine", max_new_tokens=8)
    >>> snb.evaluations.open("mine").suites
    ('queues',)

    Raises
    ------
    DataError
        There is none of this name.
    """
    return Evaluation.open(name)


def leaderboard(suite: str | None = None) -> Leaderboard:
    """Return who did best on which suite, over all kept evaluations, and which runs were not evaluated yet.

    Examples
    --------
    >>> _ = snb.evaluate(model, snb.suites.rows(rows[:3], snb.Exact(), name="board3"), max_new_tokens=8)
    >>> [(entry.place, entry.side) for entry in snb.evaluations.leaderboard("board3").entries]
    [(1, 'tuned'), (2, 'base')]

    Parameters
    ----------
    suite
        Only of this suite; None is of all.
    """
    from shadownb.engine.evals.evaluation import leaderboard as boards

    return boards.leaderboard([EvaluationFolder.named(name) for name in list()], suite)


def delete(name: str) -> None:
    """Delete an evaluation with all its answers.

    Examples
    --------
    >>> _ = snb.evaluate(model, snb.suites.rows(rows[:3], snb.Exact(), name="queues"), name="old", max_new_tokens=8)
    >>> snb.evaluations.delete("old")
    >>> "old" in snb.evaluations.list()
    False

    Raises
    ------
    DataError
        There is none of this name.
    BusyError
        It is being made.
    """
    folder = EvaluationFolder.named(name)
    if not folder.exists:
        raise DataError(f"There is no evaluation {name!r}.", fix="snb.evaluations.list() shows those that there are.")
    with folder.lock():
        shutil.rmtree(folder.path)
