"""One run of those that there are, and what is asked of it by its id: its rows, its result, how it compares with others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.runs import promoting
from shadownb.engine.runs.folder import RunFolder
from shadownb.engine.runs.handle import Run
from shadownb.engine.runs.rows import Part, rows_of
from shadownb.engine.runs.store import chosen
from shadownb.errors import RunError, RunNotFoundError

if TYPE_CHECKING:
    from shadownb.engine.data import Dataset
    from shadownb.engine.ports.run_store import RunStore
    from shadownb.engine.runs.checkpoints import Checkpoint


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
    return Run(chosen(store).find(run_id, beginning=True))


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
    folders = chosen(store).all()
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

    flat: list[str | Run] = []
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
    checkpoint = run.checkpoint_at(step)
    promoting.promote(run.folder, checkpoint.path.name)
    return checkpoint
