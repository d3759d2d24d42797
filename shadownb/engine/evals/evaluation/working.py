"""Asking and grading what an evaluation has not yet, written down while it comes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from shadownb.engine import live
from shadownb.engine.evals.answers import Asker
from shadownb.engine.evals.cases import Case, batches_of, fitting
from shadownb.engine.evals.evaluation.contenders import Contender
from shadownb.engine.evals.evaluation.folder import EvaluationFolder
from shadownb.engine.evals.evaluation.planning import Planned, by_draw
from shadownb.engine.evals.suites.base import Item, Measured, Tabled
from shadownb.engine.evals.turns import Turn
from shadownb.engine.runs.journal import Journal
from shadownb.errors import ConfigError, DataError, EndpointError, ShadowError

Progress = Callable[[str, int, int], None]
Key = tuple[str, str, int, str]  # suite, side, sample, item
_LONGEST_REASON = 400  # characters
_MEASURED_AT_ONCE = 4  # texts between two looks at whether to stop


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What one side is asked of a suite, in batches; ``unfit`` counts the items that it cannot be asked."""

    side: Contender
    batches: Sequence[list[Case]]
    ask: Callable[[list[Case]], None]
    unfit: int


class Work:
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

    def run(self, planned: list[Planned]) -> None:
        """Ask and grade all that is planned, endpoints first: a wrong key shows before anything was computed here."""
        sides = sorted(self._sides, key=lambda side: side.side.totals is None)
        for plan in planned:
            if self.stopped:
                return
            if isinstance(plan.suite, Measured):
                self._measure(plan, plan.suite)
            else:
                self._answer(plan, sides)

    def _measure(self, plan: Planned, suite: Measured) -> None:
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

    def _answer(self, plan: Planned, sides: list[Contender]) -> None:
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

    def _batches(self, plan: Planned, side: Contender, sample: int) -> _Asked:
        """Return what a side has not answered."""
        suite = plan.suite.name
        left = [item for item in plan.items if (suite, side.name, sample, item.id) not in self._answers]
        if left and (given := getattr(side.model, "answer_to", None)) is not None:  # a file of samples
            for item in left:
                self._note(suite, side, sample, item, given(item, sample))
            self._journal.flush()
            return _Asked(side, [], lambda batch: None, len(left))
        if not left:
            return _Asked(side, [], lambda batch: None, 0)
        missing = {item.id for item in left}
        # Batches of all items, those that are answered among them: what a kill broke off is asked in the company that it had.
        by_index = dict(enumerate(plan.items))
        cases = [Case(index, item.messages, Turn(""), item.tools, item.row) for index, item in by_index.items()]
        asked = side.cases(cases)
        try:
            asked, unfit = fitting(side.model, asked)
        except DataError as error:
            asked, unfit = [], [(case.index, error.what) for case in asked]
        unfit = [(index, reason) for index, reason in unfit if by_index[index].id in missing]
        for index, reason in unfit:
            self._journal.append(
                "answer", suite=suite, side=side.name, sample=sample, item=by_index[index].id, error=reason
            )
        if asked and hasattr(side.model, "catch_up"):
            side.model.catch_up()
        sampling = plan.sampling
        if sampling.seed is not None:
            sampling = dataclasses.replace(sampling, seed=sampling.seed + sample)

        def note(case: Case, answer: Turn | Exception) -> None:
            self._note(suite, side, sample, by_index[case.index], answer)

        asker = Asker(
            side.side,
            sampling,
            {},
            reuse=self._reuse and bool(asked),
            should_stop=self._should_stop,
            arrived=note,
        )

        def ask(batch: list[Case]) -> None:
            whole = together[batch[0].index]
            known = asker.kept(whole) if len(batch) < len(whole) else None
            try:
                for case, answer in zip(whole, known, strict=True) if known is not None else asker.ask(batch):
                    note(case, answer)
            except EndpointError as error:  # it answers nothing at all; the others go on
                for case in batch:
                    note(case, error)
            self._journal.flush()

        # Neighbours stay in one batch, since they often begin alike; batches come in no order, so that what is there so far is a
        # fair sample of a suite that is sorted by task.
        wholes = sorted(batches_of(asked, self._batch_rows), key=lambda batch: by_draw(by_index[batch[0].index]))
        batches, together = [], {}
        for whole in wholes:
            if batch := [case for case in whole if by_index[case.index].id in missing]:
                batches.append(batch)
                together[batch[0].index] = whole
        return _Asked(side, batches, ask, len(unfit))

    def _note(self, suite: str, side: Contender, sample: int, item: Item, answer: Turn | Exception) -> None:
        told: dict[str, Any] = {"suite": suite, "side": side.name, "sample": sample, "item": item.id}
        if isinstance(answer, Exception):
            self._journal.append("answer", **told, error=_reason(answer))
            return
        if (suite, side.name, sample, item.id) in self._answers or (answer.finish == "cancelled" and self.stopped):
            return
        self._journal.append("answer", **told, turn=answer.to_dict())
        self._answers[suite, side.name, sample, item.id] = answer
        self._ungraded.append((suite, side.name, sample, item.id))

    def _grade(self, plan: Planned, items: dict[str, Item]) -> bool:
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


def _reason(error: Exception) -> str:
    """Return in a line why there is no answer; what a server says of it stands in the error's ``why``."""
    if not isinstance(error, ShadowError):
        return (str(error) or type(error).__name__).splitlines()[0]
    return " ".join(part.splitlines()[0] for part in (error.what, error.why) if part)[:_LONGEST_REASON]


def _grading(suite: str, done: int, total: int) -> tuple[str, float, float]:
    return f"{suite}: grading {done} of {total}", done, total


def _key(event: dict[str, Any]) -> Key:
    return event["suite"], event["side"], int(event["sample"]), event["item"]
