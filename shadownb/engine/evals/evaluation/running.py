"""evaluate(): any number of models on the same items of any number of suites."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Unpack

from shadownb.engine import live
from shadownb.engine.evals import suites as suite_names
from shadownb.engine.evals.answers import Asker
from shadownb.engine.evals.cases import Case, batches_of, fitting
from shadownb.engine.evals.evaluation.contenders import Contender, contenders
from shadownb.engine.evals.evaluation.evaluation import Evaluation
from shadownb.engine.evals.evaluation.folder import EvaluationFolder
from shadownb.engine.evals.suites.base import Item, Measured, Suite, Tabled
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.options import SamplingOptions
from shadownb.engine.inference.types import Sampling
from shadownb.engine.jsontext import dumps
from shadownb.engine.runs.journal import Journal
from shadownb.errors import ConfigError, DataError, EndpointError, ShadowError, ShadowWarning

Progress = Callable[[str, int, int], None]
Key = tuple[str, str, int, str]  # suite, side, sample, item
_MEASURED_AT_ONCE = 4  # texts between two looks at whether to stop


def _outcome(found: Evaluation) -> str:
    return f"Evaluated {', '.join(found.sides)}: {found.name}"


@dataclasses.dataclass(frozen=True)
class _Planned:
    suite: Suite
    items: Sequence[Item]
    sampling: Sampling


@live.shown(lambda *_, **__: "Evaluating", _outcome)
def evaluate(
    models: Any,
    suites: str | Suite | Sequence[str | Suite],
    *,
    limit: int | None = None,
    samples: int = 1,
    name: str | None = None,
    batch_rows: int = 32,
    reuse_answers: bool = True,
    grade: bool = True,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
    **sampling: Unpack[SamplingOptions],
) -> Evaluation:
    """Ask models the same items of suites and grade their answers; everything is kept in a folder while it comes.

    Examples
    --------
    >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
    >>> print(found)
    suite   items  base                   tuned                      tuned minus base
    queues  12     0.0 % (0.0 to 24.2)  100.0 % (75.8 to 100.0)  ...

    Parameters
    ----------
    models
        A loaded model (its base and its tuned weights), an endpoint, a :class:`Contender` (a checkpoint, a system prompt),
        several in a list, or a dict of them by name.
    suites
        Names (``snb.suites.available()``), suites of your rows (``snb.suites.rows(dataset, scorer)``), or objects of your own.
    limit
        Only so many items of each suite, drawn with a fixed seed.
    samples
        Answers to each item; more than one needs a temperature. ``evaluation.pass_at(k)`` goes up to so many.
    name
        Of the folder in ``SHADOWNB_HOME/evaluations``; one that was begun by this name goes on where it broke off.
    batch_rows
        Items a call of ``chat``.
    reuse_answers
        Take answers that the same weights gave to the same prompts before.
    grade
        False: the answers are kept and graded by the next call of this name, which may be on another machine.
    progress
        ``progress(suite, done, total)``, counted in answers; without it a line in the cell or terminal shows them.
    should_stop
        Asked again and again; soon after it is true the evaluation ends as far as it is, and goes on when it is called again by
        the same ``name``.
    **sampling
        ``max_new_tokens``, ``temperature``, ``top_p`` and so on, in the place of the suites' own; greedy unless they say otherwise.

    Returns
    -------
    Evaluation
        Also where a suite could not be asked or an endpoint failed: those are named in it, and are in no mean.

    Raises
    ------
    ConfigError
        An option is out of range, a suite is not known, two have one name, or an evaluation of this name asked something else.
    ShadowError
        Not a single suite could be asked.
    """
    found = work_through(
        models,
        suites,
        limit=limit,
        samples=samples,
        name=name,
        batch_rows=batch_rows,
        reuse_answers=reuse_answers,
        grade=grade,
        progress=progress,
        should_stop=should_stop,
        **sampling,
    )
    for problem in found.problems():
        warnings.warn(problem, ShadowWarning, stacklevel=3)
    return found


def work_through(
    models: Any,
    suites: str | Suite | Sequence[str | Suite],
    *,
    limit: int | None = None,
    samples: int = 1,
    name: str | None = None,
    batch_rows: int = 32,
    reuse_answers: bool = True,
    grade: bool = True,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
    folder: EvaluationFolder | None = None,
    **sampling: Unpack[SamplingOptions],
) -> Evaluation:
    """Do what :func:`evaluate` does and leave its warnings to whoever shows :meth:`Evaluation.problems`.

    Parameters
    ----------
    folder
        Where it is kept, in the place of that of ``name``.
    """
    for option, value in (("limit", limit), ("samples", samples), ("batch_rows", batch_rows)):
        if value is not None and value < 1:
            raise ConfigError(f"{option}={value} is out of range.", fix=f"Give {option} from 1 on.")
    sides = contenders(models)
    if samples == 1:  # files of samples say how many they hold
        samples = max(int(getattr(side.model, "samples", 1)) for side in sides)
    only_read = all(hasattr(side.model, "answer_to") for side in sides)
    listed: Sequence[Any] = suites if isinstance(suites, list | tuple) else [suites]
    chosen = [suite_names.get(suite) for suite in listed]
    names = [suite.name for suite in chosen]
    if double := next((each for each in names if names.count(each) > 1), None):
        raise ConfigError(f"Two suites are called {double!r}.", fix="Name yours: snb.suites.rows(..., name='mine').")
    folder = folder or EvaluationFolder.named(name)
    planned: list[_Planned] = []
    refused: dict[str, ShadowError] = {}
    for suite in chosen:
        told = _sampling(suite, 1 if only_read else samples, dict(sampling))
        try:
            planned.append(_Planned(suite, _drawn(_distinct(suite), limit), told))
        except ShadowError as error:
            refused[suite.name] = error
    if not planned:
        raise next(iter(refused.values()))
    with folder.lock():
        folder.begin(_spec(sides, planned, samples))
        journal = folder.journal()
        try:
            journal.append("attempt")
            for suite_name, why in refused.items():
                journal.append("refused", suite=suite_name, reason=why.what, why=why.why, fix=why.fix)
            for plan in planned:
                folder.write_items(plan.suite.name, plan.items)
            work = _Work(folder, journal, sides, samples, batch_rows, reuse_answers, progress, should_stop, grade=grade)
            work.run(planned)
            journal.append("end", stopped=work.stopped or not grade)
        finally:
            journal.flush()
            journal.close()
    return Evaluation(folder)


def _sampling(suite: Suite, samples: int, given: dict[str, Any]) -> Sampling:
    found = dataclasses.replace(suite.sampling, **given)
    if samples > 1 and found.greedy:
        raise ConfigError(
            f"samples={samples} of {suite.name} with temperature={found.temperature:g} are {samples} times the same answer.",
            fix="Give temperature=0.2 (for pass@1) to 0.8 (for pass@10), or samples=1.",
        )
    if not found.greedy and found.seed is None:
        found = dataclasses.replace(found, seed=0)
    return found


def _distinct(suite: Suite) -> Sequence[Item]:
    """Return a suite's items, each by a name of its own: answers are kept by it, and one of two would be lost."""
    items = suite.items()
    names = Counter(item.id for item in items)
    if double := next((name for name, count in names.items() if count > 1), None):
        raise DataError(f"Two items of {suite.name} are called {double!r}.", fix="Give each Item an id of its own.")
    return items


def _drawn(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    """Return ``limit`` items in their order, drawn by their ids: the same ones whoever asks."""
    if limit is None or limit >= len(items):
        return items
    kept = {item.id for item in sorted(items, key=_drawing)[:limit]}
    return [item for item in items if item.id in kept]


def _drawing(item: Item) -> bytes:
    return hashlib.sha256(item.id.encode()).digest()


def _spec(sides: list[Contender], planned: list[_Planned], samples: int) -> dict[str, Any]:
    def told(plan: _Planned) -> dict[str, Any]:
        asked = dumps([[item.id, item.messages, item.expected, item.tools] for item in plan.items])
        return {
            "items": len(plan.items),
            "hash": hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()[:16],
            "sampling": plan.sampling.as_dict(),
            "rules": list(plan.suite.rules),
            "skipped": int(getattr(plan.suite, "skipped", 0)),
            "options": dict(getattr(plan.suite, "options", {})),
        }

    return {
        "created": time.time(),
        "sides": [side.identity() for side in sides],
        "origins": {side.name: side.origin() for side in sides},
        "suites": {plan.suite.name: told(plan) for plan in planned},
        "samples": samples,
    }


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What one side is asked of a suite, in batches; ``unfit`` counts the items that it cannot be asked."""

    side: Contender
    batches: Sequence[list[Case]]
    ask: Callable[[list[Case]], None]
    unfit: int


class _Work:
    """Asks and grades what is not there yet, and writes it down while it comes."""

    def __init__(
        self,
        folder: EvaluationFolder,
        journal: Journal,
        sides: list[Contender],
        samples: int,
        batch_rows: int,
        reuse: bool,
        progress: Progress | None,
        should_stop: Callable[[], bool] | None,
        *,
        grade: bool,
    ) -> None:
        self._folder, self._journal, self._sides, self._samples = folder, journal, sides, samples
        self._batch_rows, self._reuse, self._progress, self._grades = batch_rows, reuse, progress, grade
        self._should_stop = should_stop
        self._answers: dict[Key, Turn] = {}
        graded: set[Key] = set()
        without_score: set[Key] = set()
        for event in folder.events():
            if event.get("type") == "answer" and "turn" in event:
                self._answers[_key(event)] = Turn(**event["turn"])
            elif event.get("type") == "verdict":
                scored = event.get("value") is not None
                (graded if scored else without_score).add(_key(event))
                (without_score if scored else graded).discard(_key(event))
        # A judge may answer again, a toolchain be there; what is measured and not answered has the same verdict each time.
        graded |= without_score - self._answers.keys()
        self._graded = graded
        self._ungraded = [key for key in self._answers if key not in graded]

    @property
    def stopped(self) -> bool:
        """Whether somebody wants it to end here."""
        return self._should_stop is not None and self._should_stop()

    def run(self, planned: list[_Planned]) -> None:
        """Ask and grade all that is planned, endpoints first: a wrong key shows before anything was computed here."""
        sides = sorted(self._sides, key=lambda side: side.side.totals is None)
        for plan in planned:
            if self.stopped:
                return
            if isinstance(plan.suite, Measured):
                self._measure(plan, plan.suite)
            else:
                self._answer(plan, sides)

    def _measure(self, plan: _Planned, suite: Measured) -> None:
        """Measure what a suite does not ask: once a side, whatever the number of samples."""
        done, total = 0, len(plan.items) * len(self._sides)
        for side in self._sides:
            left = [item for item in plan.items if (plan.suite.name, side.name, 0, item.id) not in self._graded]
            done += len(plan.items) - len(left)
            size = getattr(suite, "together", _MEASURED_AT_ONCE)
            for begin in range(0, len(left), size):
                if self.stopped:
                    return
                part = left[begin : begin + size]
                self._tell(plan.suite.name, side, done, total)
                for item, verdict in zip(part, suite.measure(side.model, side.use, part), strict=True):
                    told = {"suite": plan.suite.name, "side": side.name, "sample": 0, "item": item.id}
                    self._journal.append("verdict", **told, **verdict.to_dict())
                self._journal.flush()
                done += len(part)
            if left and isinstance(suite, Tabled) and (table := suite.table(side.use)):
                self._folder.write_table(plan.suite.name, side.name, table)
        self._tell(plan.suite.name, self._sides[-1], done, total)

    def _answer(self, plan: _Planned, sides: list[Contender]) -> None:
        """Have all sides answer one batch after the other, each graded before the next: who watches sees all of them grow."""
        items = {item.id: item for item in plan.items}
        total = len(plan.items) * len(sides) * self._samples
        if not self._grade(plan, items):
            return
        done = sum(key[0] == plan.suite.name and key[3] in items for key in self._answers)
        self._tell(plan.suite.name, sides[0], done, total)
        for sample in range(self._samples):
            asked = [self._batches(plan, side, sample) for side in sides]
            done += sum(each.unfit for each in asked)
            if not self._grade(plan, items):  # what was read from files
                return
            for batches in itertools.zip_longest(*(each.batches for each in asked)):
                for each, batch in zip(asked, batches, strict=True):
                    if batch is None:
                        continue
                    self._tell(plan.suite.name, each.side, done, total)
                    if self.stopped:
                        self._grade(plan, items)
                        return
                    each.ask(batch)
                    done += len(batch)
                if not self._grade(plan, items):
                    return
        self._tell(plan.suite.name, sides[-1], total, total)

    def _batches(self, plan: _Planned, side: Contender, sample: int) -> _Asked:
        """Return what a side has not answered."""
        suite = plan.suite.name
        left = [item for item in plan.items if (suite, side.name, sample, item.id) not in self._answers]
        if left and (given := getattr(side.model, "answer_to", None)) is not None:  # a file of samples
            for item in left:
                self._note(suite, side, sample, item, given(item, sample))
            self._journal.flush()
            return _Asked(side, [], lambda batch: None, len(left))
        by_index = dict(enumerate(left))
        cases = [Case(index, item.messages, Turn(""), item.tools, item.row) for index, item in by_index.items()]
        asked = side.cases(cases)
        try:
            asked, unfit = fitting(side.model, asked) if asked else (asked, [])
        except DataError as error:
            asked, unfit = [], [(case.index, error.what) for case in asked]
        for index, reason in unfit:
            self._journal.append(
                "answer", suite=suite, side=side.name, sample=sample, item=by_index[index].id, error=reason
            )
        if asked and hasattr(side.model, "catch_up"):
            side.model.catch_up()
        sampling = plan.sampling
        if sampling.seed is not None:
            sampling = dataclasses.replace(sampling, seed=sampling.seed + sample)
        asker = Asker(side.side, sampling, {}, reuse=self._reuse and bool(asked), should_stop=self._should_stop)

        def ask(batch: list[Case]) -> None:
            try:
                for case, answer in asker.ask(batch):
                    self._note(suite, side, sample, by_index[case.index], answer)
            except EndpointError as error:  # it answers nothing at all; the others go on
                for case in batch:
                    self._note(suite, side, sample, by_index[case.index], error)
            self._journal.flush()

        # Neighbours stay in one batch, since they often begin alike; batches come in no order, so that what is there so far is a
        # fair sample of a suite that is sorted by task.
        batches = sorted(batches_of(asked, self._batch_rows), key=lambda batch: _drawing(by_index[batch[0].index]))
        return _Asked(side, batches, ask, len(unfit))

    def _note(self, suite: str, side: Contender, sample: int, item: Item, answer: Turn | Exception) -> None:
        told: dict[str, Any] = {"suite": suite, "side": side.name, "sample": sample, "item": item.id}
        if isinstance(answer, Exception):
            error = getattr(answer, "what", None) or str(answer)
            self._journal.append("answer", **told, error=str(error).splitlines()[0])
            return
        if answer.finish == "cancelled" and self.stopped:
            return
        self._journal.append("answer", **told, turn=answer.to_dict())
        self._answers[suite, side.name, sample, item.id] = answer
        self._ungraded.append((suite, side.name, sample, item.id))

    def _grade(self, plan: _Planned, items: dict[str, Item]) -> bool:
        """Grade what has answers and no verdict; False where the suite cannot, which is written down."""
        suite = plan.suite.name
        if not self._grades:
            return True
        left = [key for key in self._ungraded if key[0] == suite and key[3] in items]
        # In parts, so that a kill loses little of what took long to run.
        size = max(1, self._batch_rows * 4)
        for begin in range(0, len(left), size):
            part = left[begin : begin + size]
            live.tell("grading", partial(_grading, suite, begin, len(left)))
            try:
                verdicts = plan.suite.grade([(items[key[3]], self._answers[key]) for key in part])
                if len(verdicts) != len(part):
                    raise ConfigError(f"{suite} gave {len(verdicts)} verdicts for {len(part)} answers.")
            except ShadowError as error:
                self._journal.append("refused", suite=suite, reason=error.what, why=error.why, fix=error.fix)
                return False
            except Exception as error:  # a suite of a user's; its answers are kept, and the other suites go on
                said = f"grading failed with {type(error).__name__}: {error}".splitlines()[0]
                fix = "Mend grade() and evaluate again by the same name: what was answered is not asked again."
                self._journal.append("refused", suite=suite, reason=said, why="", fix=fix)
                return False
            for (_, side, sample, item), verdict in zip(part, verdicts, strict=True):
                told = {"suite": suite, "side": side, "sample": sample, "item": item}
                self._journal.append("verdict", **told, **verdict.to_dict())
            self._graded.update(part)
            self._ungraded = [key for key in self._ungraded if key not in self._graded]
            self._journal.flush()
        return True

    def _tell(self, suite: str, side: Contender, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(suite, done, total)
        else:
            live.tell("answering", lambda: (f"{suite}: {side.name}, {done} of {total} answers", done, total))


def _grading(suite: str, done: int, total: int) -> tuple[str, float, float]:
    return f"{suite}: grading {done} of {total}", done, total


def _key(event: dict[str, Any]) -> Key:
    return event["suite"], event["side"], int(event["sample"]), event["item"]
