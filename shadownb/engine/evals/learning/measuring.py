"""learning_curve(): train on growing parts of the rows, and score each on the same held-out rows."""

from __future__ import annotations

import contextlib
import hashlib
import random
import time as clock  # an option is called time
import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from shadownb.engine import live, runs
from shadownb.engine.data.leakage import leakage
from shadownb.engine.data.splitting import values_of
from shadownb.engine.evals.evaluation.contenders import Contender
from shadownb.engine.evals.evaluation.running import work_through
from shadownb.engine.evals.learning.curve import LearningCurve
from shadownb.engine.evals.learning.folder import CurveFolder
from shadownb.engine.evals.suites import Rows
from shadownb.engine.jsontext import dumps
from shadownb.engine.runs.chosen_start import is_at, saved_state
from shadownb.engine.runs.store import default_store
from shadownb.engine.scoring import Scoring
from shadownb.errors import CheckpointError, ConfigError, DataError, RunError, RunNotFoundError, ShadowWarning

if TYPE_CHECKING:
    from shadownb.engine.data import Dataset
    from shadownb.engine.runs import Run

FRACTIONS = (0.125, 0.25, 0.5, 1.0)
_SUITE = "held_out"
Progress = Callable[[int, int], None]


def _outcome(curve: LearningCurve) -> str:
    return f"Learning curve {curve.name}: {curve.verdict}"


@live.shown(lambda *_, **__: "Learning curve", _outcome)
def learning_curve(
    model: Any,
    data: Any,
    scorer: Callable[..., Any] | str,
    *,
    held_out: Any = None,
    fractions: Sequence[float] = FRACTIONS,
    seeds: int | Sequence[int] = 2,
    test_size: float = 0.2,
    group: str | None = None,
    time: str | None = None,
    worth: float = 0.02,
    name: str | None = None,
    max_new_tokens: int = 256,
    progress: Progress | None = None,
    **options: Any,
) -> LearningCurve:
    """Say whether more rows are likely to pay: train on growing parts, and score each on the same held-out rows.

    Each part is trained from the base with the same options, so a part of a quarter sees a quarter of the steps an epoch. Parts of
    one seed lie in one another. Everything is kept: the same call with the same ``name`` goes on after a kill, a run where it was.

    Examples
    --------
    >>> train = dict(max_steps=20, learning_rate=1e-2, sample_max_new_tokens=0)
    >>> curve = snb.learning_curve(model, rows, "exact", fractions=(0.5, 1.0), test_size=4, max_new_tokens=8, **train)
    >>> [point.rows for point in curve.points], curve.verdict in ("more rows", "enough rows", "can't tell")
    ([0, 4, 8], True)

    Parameters
    ----------
    model
        A loaded model; afterwards it carries again what it carried before.
    data
        Rows to train on, as for :meth:`Model.train`; without ``held_out`` some of them are held out.
    scorer
        How answers to held-out rows are scored, as for :func:`shadownb.compare`.
    held_out
        Rows with an answer that are never trained on.
    fractions
        Shares of the training rows, above 0 to 1.
    seeds
        How many trainings each part gets, or their seeds. One alone draws the curve and cannot tell a rise from luck.
    test_size
        How much is held out without ``held_out``: a share, or a number of rows.
    group
        A column: rows with the same value are on one side of the split, in one part, and one source in the intervals.
    time
        A column with numbers or dates: the latest rows are held out.
    worth
        The least gain by twice as many rows that would be worth it: 0.02 are 2 points.
    name
        Of the folder in ``SHADOWNB_HOME/curves``; one that was begun by this name goes on where it broke off.
    max_new_tokens
        Longest answer in tokens.
    progress
        ``progress(done, total)``, in trainings.
    **options
        As for :meth:`Model.train`: ``method``, ``learning_rate``, ``num_train_epochs`` and so on.

    Raises
    ------
    ConfigError
        An option is out of range, or a curve of this name was begun with something else.
    DataError
        There are too few rows, or every held-out row was seen in training.
    RunError
        A training failed, or no answer of a part could be scored; the same call goes on once what it says is mended.
    """
    folder = CurveFolder.named(name)
    _check_fractions(fractions)
    drawn = list(range(seeds)) if isinstance(seeds, int) else [int(seed) for seed in seeds]
    if not drawn or len(set(drawn)) < len(drawn):
        raise ConfigError(f"seeds={seeds!r} are no seeds.", fix="Give a number from 1 on, or different whole numbers.")
    if group is not None and time is not None:
        raise ConfigError(
            f"group={group!r} and time={time!r} cannot both decide what is held out.", fix="Give one of them."
        )
    if held_out is not None and time is not None:
        raise ConfigError(
            f"time={time!r} decides what is held out, and held_out says that already.", fix="Give one of them."
        )
    if worth <= 0:
        raise ConfigError(f"worth={worth!r} is out of range.", fix="Give a gain above 0, such as 0.02 for 2 points.")
    for taken in ("seed", "start", "background", "eval_dataset", "dataset"):
        if taken in options:
            raise ConfigError(f"{taken}={options[taken]!r} is decided by the curve itself.", fix=f"Leave {taken} out.")
    rows, asked, clusters, leaked = _parts(data, held_out, test_size, group, time)
    sizes = _sizes(len(rows), fractions)
    suite = Rows(asked, scorer, name=_SUITE, max_new_tokens=max_new_tokens)
    spec = {
        "created": _now(),
        "model": {"name": model.name, "base": model.base_hash},
        "rows": _hash(rows.canonical_rows()),
        "held_out": _hash([[item.id, item.messages, item.expected] for item in suite.items()]),
        "sizes": sizes,
        "seeds": drawn,
        "scorer": Scoring(scorer).name,
        "max_new_tokens": max_new_tokens,
        "options": {key: _plain(value) for key, value in options.items()},
        "split": {"held_out": len(asked), "leaked": leaked, "group": group, "time": time},
        "clusters": {item.id: clusters(item.row) for item in suite.items()} if clusters is not None else None,
    }
    before = saved_state(model, default_store())
    with folder.lock():
        folder.begin(spec)
        journal = folder.journal()
        try:
            work = _Work(model, folder, journal, suite, options)
            planned = [(0, 0), *((size, seed) for size in sizes for seed in drawn)]
            for place, (size, seed) in enumerate(planned):
                if progress is not None:
                    progress(place, len(planned))
                work.tell(f"{size:,} rows, seed {seed}" if size else "the base", place, len(planned))
                work.measure(size, seed, partial(_part, rows, size, seed, group))
            if progress is not None:
                progress(len(planned), len(planned))
        finally:
            journal.flush()
            journal.close()
            if model.active_run is None and not is_at(model, before):
                model.restore_start(before)
    return LearningCurve.of(folder, worth)


class _Work:
    """Trains and scores what is not there yet, and writes it down while it comes."""

    def __init__(self, model: Any, folder: CurveFolder, journal: Any, suite: Rows, options: dict[str, Any]) -> None:
        self._model, self._folder, self._journal = model, folder, journal
        self._suite, self._options = suite, options
        self._training: Run | None = None
        self._runs: dict[tuple[int, int], str] = {}
        self._done: set[tuple[int, int]] = set()
        for event in folder.events():
            if event["type"] == "run":
                self._runs[event["rows"], event["seed"]] = event["run"]
            elif event["type"] == "point" and event["scores"]:
                self._done.add((event["rows"], event["seed"]))

    def tell(self, words: str, place: int, total: int) -> None:
        """Say which part is measured now; the line follows the run that trains it."""

        def measure() -> tuple[str, float, float | None]:
            run = self._training
            step = f", step {run.step} of {run.total_steps or '?'}" if run is not None else ""
            return f"{words}{step} ({place + 1} of {total})", place, total

        live.tell(words, measure)

    def measure(self, size: int, seed: int, part: Callable[[], Dataset]) -> None:
        """Train a part, unless that was done, and score it."""
        if (size, seed) in self._done:
            return
        began = _now()
        run = self._trained(size, seed, part) if size else None
        use: Any = "base"
        if run is not None:
            here = self._model.trained is not None and self._model.trained[0] == run.id
            use = "tuned" if here else run
        scores = self._scores(f"{size}-{seed}", use)
        self._journal.append(
            "point",
            rows=size,
            seed=seed,
            run=run.id if run is not None else None,
            scores=scores,
            loss=run.loss if run is not None else None,
            seconds=_now() - began,
        )
        self._journal.flush()

    def _trained(self, size: int, seed: int, part: Callable[[], Dataset]) -> Run:
        """Return the run of a part, ended: begun now, or gone on with where it was killed."""
        with live.quiet():  # the line says how far it is; a picture of each run would bury the curve
            return self._trained_quietly(size, seed, part)

    def _trained_quietly(self, size: int, seed: int, part: Callable[[], Dataset]) -> Run:
        run = self._begun(size, seed)
        if run is None or run.status == "discarded":
            run = self._model.train(part(), start="base", seed=seed, background=True, **self._options)
            self._journal.append("run", rows=size, seed=seed, run=run.id)
            self._journal.flush()
        elif run.status != "succeeded" and not run.is_active:
            run.resume(self._model)
        self._training = run
        try:
            return run.wait(raise_on_failure=True)
        except KeyboardInterrupt:
            with contextlib.suppress(RunError):
                run.stop(save=True).wait(timeout=60)
            raise
        finally:
            self._training = None

    def _begun(self, size: int, seed: int) -> Run | None:
        known = self._runs.get((size, seed))
        with contextlib.suppress(RunNotFoundError):  # somebody has deleted it
            return runs.load(known) if known is not None else None
        return None

    def _scores(self, key: str, use: Any) -> dict[str, float]:
        # Weights on the model and the same in a file are two contenders; each has an evaluation of its own.
        words = use if isinstance(use, str) else "run"
        side = Contender(self._model, use, name="part")
        try:
            found = work_through({"part": side}, self._suite, folder=self._folder.evaluation(f"{key}-{words}"))
        except CheckpointError as error:
            raise RunError(
                f"The result of a part cannot be asked: {error.what}", why=error.why, fix=error.fix
            ) from error
        scores = {each.item.id: each.score for each in found.items(_SUITE, "part") if each.score is not None}
        problems = found.problems()
        if not scores:
            raise RunError(
                "No held-out answer of a part has a score.",
                why="; ".join(problems),
                fix="Mend what it says, and make the same call with the same name again: nothing is trained twice.",
            )
        for problem in problems:
            warnings.warn(problem.replace(f"{_SUITE}: ", f"held-out rows, {key}: "), ShadowWarning, stacklevel=4)
        return scores


def _parts(
    data: Any, held_out: Any, test_size: float, group: str | None, time_column: str | None
) -> tuple[Dataset, Dataset, Callable[[Any], Hashable] | None, int | None]:
    """Return rows to train on, rows that are held out and were not seen in training, what those share, and how many were seen.

    The number is None where that cannot be looked for.
    """
    from shadownb.engine.data import as_dataset

    rows = _unread(as_dataset(data), group=group, time=time_column)
    if held_out is None:
        rows, asked = rows.split(test_size, group=group, time=time_column)
    else:
        asked = as_dataset(held_out)
        asked = asked.read_like(columns=rows.reading.columns, ignore=sorted(rows.reading.ignore | asked.reading.ignore))
    try:
        seen = set(leakage(rows, asked).leaked)
    except DataError:  # rows of another kind than conversations, such as pairs
        return rows.usable(), asked, None if group is None else partial(_source, group), None
    left = [index for index in range(len(asked)) if index not in seen]
    if not left:
        raise DataError(
            f"All {len(asked):,} held-out rows are in the training rows, or nearly.",
            why="A score on rows that were trained on says nothing about new ones.",
            fix="Take doubles out of the rows, or give held_out= other ones.",
        )
    asked = asked._part(left, asked.name) if seen else asked

    return rows.usable(), asked, None if group is None else partial(_source, group), len(seen)


def _source(group: str, row: Any) -> Hashable:
    value = row.get(group)
    return None if value is None else str(value)


def _unread(rows: Dataset, **named: str | None) -> Dataset:
    """Return rows of which the columns that decide the split are not read: they need no ``ignore=``."""
    reading = rows.reading
    for option, column in named.items():
        if column is not None and column not in reading.columns:
            values_of(rows.rows, column, option)  # raises where no row has it
            reading = replace(reading, ignore=reading.ignore | {column})
    if reading == rows.reading:
        return rows
    return rows.read_as(format=reading.format, columns=reading.columns, ignore=sorted(reading.ignore))


def _check_fractions(fractions: Sequence[float]) -> None:
    if not fractions or any(not 0 < fraction <= 1 for fraction in fractions):
        raise ConfigError(f"fractions={list(fractions)!r} are out of range.", fix="Give shares above 0, at most 1.")


def _sizes(count: int, fractions: Sequence[float]) -> list[int]:
    return sorted({max(1, round(count * fraction)) for fraction in fractions})


def _part(rows: Dataset, size: int, seed: int, group: str | None) -> Dataset:
    """Return ``size`` rows, those of a smaller part of the same seed among them; of groups whole ones, as far as they fit."""
    order = list(range(len(rows)))
    if group is None:
        random.Random(seed).shuffle(order)
    else:
        members: dict[str, list[int]] = {}
        for index, value in enumerate(values_of(rows.rows, group, "group")):
            members.setdefault(f"{index}" if value is None else f"={value}", []).append(index)
        drawn = list(members.values())
        random.Random(seed).shuffle(drawn)
        order = [index for each in drawn for index in each]
    return rows._part(sorted(order[:size]), f"{rows.name}, {size} rows")


def _hash(value: Any) -> str:
    return hashlib.sha256(dumps(value).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _now() -> float:
    return clock.time()
