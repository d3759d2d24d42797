"""Training a loaded model: the verbs of :class:`~.model.Model` that start runs, one or a sweep of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shadownb.engine.loaded.model import LoadedModel

if TYPE_CHECKING:
    from shadownb.engine.data import Dataset
    from shadownb.engine.ports.run_store import RunStore
    from shadownb.engine.runs.handle import Run
    from shadownb.engine.sweeps.sweep import Sweep
    from shadownb.engine.trajectories import TrajectoryGroup


class Training(LoadedModel):
    """How a :class:`shadownb.Model` is trained."""

    def train(
        self,
        dataset: Dataset | list[dict[str, Any]] | TrajectoryGroup | list[TrajectoryGroup],
        method: str = "lora",
        background: bool | None = None,
        eval_dataset: Dataset | list[dict[str, Any]] | str | float | None = None,
        start: str | Path | Run | None = None,
        store: RunStore[Any] | None = None,
        callbacks: list[Any] | None = None,
        **fields: Any,
    ) -> Run:
        """Fine-tune on a dataset and return the run; afterwards the model answers with the result.

        Parameters
        ----------
        dataset
            A :class:`Dataset`, or a list of rows, a data frame, an Arrow table or a ``datasets.Dataset``; for
            ``grpo`` and its like also scored :class:`~shadownb.TrajectoryGroup` objects.
        method
            Name of a training method; ``shadownb.methods.available()`` lists them.
        background
            True returns at once, False blocks until the run has ended; None is True in a notebook and False in a script.
        eval_dataset
            Rows to evaluate on; ``"auto"`` holds out a tenth of the rows, ``0.15`` or ``"15%"`` that share of them.
        start
            What to begin with. ``"base"``: the fresh base, as if nothing had been trained (the result of an earlier run stays
            in its folder). ``"trained"``: the model as it is when the run begins, so that a second run continues from the
            first one's result. A run, its id, or the folder of an adapter or checkpoint: that result. None means
            ``"trained"``, with a :class:`ShadowWarning` if a run has trained this model since it was loaded.
            ``run.started_from`` says what it was.
        store
            Where the run is stored: ``runs.FolderStore(home)``. None is the home in ``SHADOWNB_HOME`` (``~/.shadownb``).
        callbacks
            Objects of ``transformers.TrainerCallback``, called in the training thread: when training begins and ends, after
            each step, and at each log, evaluation and checkpoint. ``control.should_training_stop``, ``should_save``,
            ``should_evaluate`` and ``should_log`` take effect. A callback that fails is named in the run's warnings and not
            called again. Only with ``executor="thread"``.
        **fields
            Any option of :class:`shadownb.TrainConfig`, including those of the method's objective.

        Raises
        ------
        ConfigError, DataError, MethodError, BusyError
            Raised before anything starts; the message names the option. With ``background=False`` also the error that made
            the run fail.

        Examples
        --------
        >>> second = model.train(rows, method="lora", start="base", lora_r=8, max_steps=4, eval_dataset="25%", background=False)
        >>> second.status, second.step, second.started_from
        ('succeeded', 4, 'the base')
        >>> model.answering == f"step 4 of run {second.id}"
        True
        """
        from shadownb.engine.runs.launch import launch

        return launch(
            self,
            dataset,
            method=method,
            background=background,
            eval_dataset=eval_dataset,
            start_from=start,
            fields=fields,
            callbacks=callbacks,
            store=store,
        )

    def sweep(
        self,
        dataset: Dataset | list[dict[str, Any]] | TrajectoryGroup | list[TrajectoryGroup],
        space: Mapping[str, Any],
        metric: str = "eval_loss",
        budget: int | str | None = None,
        *,
        direction: Literal["minimize", "maximize"] | None = None,
        sampler: Literal["auto", "grid", "tpe", "random"] = "auto",
        pruner: Literal["auto", "median", "halving", "none"] = "auto",
        seed: int = 0,
        name: str | None = None,
        method: str = "lora",
        eval_dataset: Dataset | list[dict[str, Any]] | str | float | None = "auto",
        start: str | Path | Run = "base",
        background: bool | None = None,
        **fields: Any,
    ) -> Sweep:
        """Train with different options, one run after the other, and return the sweep; afterwards the model answers with the best.

        It can be stopped, killed and gone on with, and comes to the same table. Lists of choices need nothing more; ranges, and
        giving trials up early, need Optuna (``pip install 'shadownb[sweep]'``).

        Parameters
        ----------
        dataset, eval_dataset, method, background
            As for :meth:`train`. Rows to evaluate on are held out once, the same for all trials.
        space
            By option: a list of choices, ``[4, 8, 16]``; a range, ``(0, 0.1)``; or a range in which factors count,
            ``(1e-5, 1e-3, "log")``. ``method`` can be one of the options.
        metric
            The number by which trials are compared: ``eval_loss``, ``loss`` or another of the run's metrics, the last one or,
            with ``.min`` and ``.max`` behind it, the lowest or highest.
        budget
            How many trials, or how long they may train together, such as ``"90 min"``; None tries every combination.
        direction
            Whether less or more of the metric is better; None tells it from the name.
        sampler
            How combinations are chosen: ``grid`` in order, ``random``, ``tpe`` by what earlier trials came to.
        pruner
            Which trials are given up early, by their evaluations: those worse than the ``median`` of earlier ones at the same
            step, or by successive ``halving``.
        seed
            Of the sampler; the runs have the option ``seed``, which can be swept, under this name in ``space``.
        name
            Of the sweep, for :func:`shadownb.sweeps.load`; None makes one.
        start
            What every trial begins with: ``"base"``, a run, or an adapter.
        **fields
            Options that all trials share.

        Raises
        ------
        ConfigError, DataError, MethodError, BusyError, MissingDependencyError
            Raised before anything starts; the message names the option.

        Examples
        --------
        >>> own = model.fresh_copy()
        >>> sweep = own.sweep(rows, {"learning_rate": (1e-3, 1e-1, "log")}, budget=3, max_steps=2, background=False)
        >>> len(sweep.table()), sweep.best is not None, own.state_now[0] == sweep.best.id
        (3, True, True)
        """
        from shadownb.engine.sweeps.starting import start as begin

        return begin(
            self,
            dataset,
            space,
            metric=metric,
            budget=budget,
            direction=direction,
            sampler=sampler,
            pruner=pruner,
            seed=seed,
            name=name,
            method=method,
            eval_dataset=eval_dataset,
            start_from=start,
            background=background,
            fields=fields,
        )
