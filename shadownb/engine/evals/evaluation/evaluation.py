"""Evaluation: what an evaluation's folder says, item by item and with intervals."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from shadownb.engine.evals.evaluation.folder import EvaluationFolder
from shadownb.engine.evals.evaluation.gates import Gate, GateError, judged
from shadownb.engine.evals.intervals import Difference, Mean, difference_of, holm, mean_of, pass_at_k
from shadownb.engine.evals.suites.base import Item
from shadownb.engine.evals.turns import Turn
from shadownb.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Cell:
    """One model on one suite.

    Attributes
    ----------
    mean
        Of the items' scores, each the mean of its samples, with a 95 % interval. Items without a verdict are in no mean.
    answered, unanswered, ungraded
        Answers that came, questions that got none, answers that could not be graded.
    outcomes
        How many answers passed, failed, and failed in which way.
    notes
        How many answers were cut at the limit, empty, or hold a malformed call.
    rules
        The mean score by each rule of extraction, where the suite has several.
    by_extraction
        Answers whose verdict another rule of extraction would change.
    """

    suite: str
    side: str
    mean: Mean
    answered: int
    unanswered: int
    ungraded: int
    outcomes: dict[str, int]
    notes: dict[str, int]
    rules: dict[str, float]
    by_extraction: int


@dataclass
class Graded:
    """An item with what one model answered and scored, a sample each.

    Attributes
    ----------
    score
        Mean of the samples that were graded; None where none was.
    """

    item: Item
    turns: list[Turn | None] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    verdicts: list[dict[str, Any] | None] = field(default_factory=list)

    @property
    def values(self) -> list[float]:
        """Scores of the samples that were graded."""
        return [verdict["value"] for verdict in self.verdicts if verdict is not None and verdict["value"] is not None]

    @property
    def score(self) -> float | None:
        return fmean(self.values) if self.values else None


class Evaluation:
    """Several models on the same items of several suites.

    Examples
    --------
    >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
    >>> found.sides, found.suites
    (('base', 'tuned'), ('queues',))
    >>> found.cell("queues", "tuned").mean.value
    1.0
    >>> found.difference("queues", "tuned", "base").wins
    12
    >>> found.problems()
    []
    >>> print(found.to_markdown())
    | suite | items | base | tuned | tuned minus base |
    ...

    Attributes
    ----------
    name : str
    path : Path
        Its folder.
    sides, suites : tuple of str
        Who was asked, and what. A suite that could not be asked is in ``refused`` and in none of the means.
    refused : dict
        Why suites could not be asked or graded, by name.
    ended : bool
        Whether all that was asked for was done.
    """

    def __init__(self, folder: EvaluationFolder) -> None:
        self._folder = folder
        self._spec = folder.spec()
        self.name = folder.name
        self.path: Path = folder.path
        self.samples = int(self._spec["samples"])
        self.sides = tuple(side["name"] for side in self._spec["sides"])
        self.suites = tuple(self._spec["suites"])
        self.refused: dict[str, str] = {}
        self.ended = False
        self._read = False
        self._reading = threading.Lock()
        self._reader = folder.reader()
        self._items: dict[tuple[str, str], dict[str, Graded]] = {}
        self._cells: dict[tuple[str, str], Cell] = {}
        self._differences: dict[tuple[str, str, str], Difference] = {}

    @classmethod
    def open(cls, name: str) -> Evaluation:
        """Return the evaluation of a name. Raises :class:`DataError` where there is none.

        Examples
        --------
        >>> _ = snb.evaluate(model, snb.suites.rows(rows[:3], snb.Exact(), name="queues"), name="first", max_new_tokens=8)
        >>> snb.Evaluation.open("first")
        Evaluation('first', 2 sides, 1 suites)
        """
        return cls(EvaluationFolder.named(name))

    @property
    def _graded(self) -> dict[tuple[str, str], dict[str, Graded]]:
        if not self._read:
            self.refresh()
        return self._items

    def refresh(self) -> bool:
        """Read what was answered and graded since; return whether there was anything.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows[:3], snb.Exact(), name="queues"), name="live", max_new_tokens=8)
        >>> found.refresh()  # nobody has answered more meanwhile
        False
        """
        with self._reading:
            self._read = True
            before = self._reader.offset
            if (spec := self._folder.spec()) != self._spec:
                self._spec, self.suites = spec, tuple(spec["suites"])
            for suite in self.suites:
                for side in self.sides:
                    if not self._items.get((suite, side)):  # of a suite that was added, or could not be asked before
                        self._items[suite, side] = self._empty(suite)
            for event in self._reader:
                self._take(event)
            return self._reader.offset != before

    def _empty(self, suite: str) -> dict[str, Graded]:
        return {
            item.id: Graded(item, [None] * self.samples, [""] * self.samples, [None] * self.samples)
            for item in self._folder.items(suite)
        }

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind == "attempt":
            self.refused.clear()
            self.ended = False
        elif kind == "end":
            self.ended = not event["stopped"]
        elif kind == "refused":
            self.refused[event["suite"]] = event["reason"] + (f" {event['fix']}" if event.get("fix") else "")
        elif kind in ("answer", "verdict"):
            suite, side, sample = event["suite"], event["side"], event["sample"]
            graded = self._items.get((suite, side), {}).get(event["item"])
            if graded is None or sample >= self.samples:
                return
            if kind == "verdict":
                graded.verdicts[sample] = event
            elif "turn" in event:
                graded.turns[sample], graded.errors[sample] = Turn(**event["turn"]), ""
            else:
                graded.errors[sample] = event["error"]
            self._cells.pop((suite, side), None)
            for key in [key for key in self._differences if key[0] == suite and side in key[1:]]:
                del self._differences[key]

    @property
    def status(self) -> str:
        """``working`` (somebody evaluates now), ``complete``, or ``incomplete``: it goes on when it is called again.

        Complete is also one in which an endpoint gave no answer to some items; those are asked again when it is called again.

        Examples
        --------
        >>> snb.evaluate(model, snb.suites.rows(rows[:3], snb.Exact(), name="queues"), max_new_tokens=8).status
        'complete'
        """
        if self._folder.is_owned:
            return "working"
        self._graded  # noqa: B018  how it ended is read with it
        return "complete" if self.ended else "incomplete"

    @property
    def origins(self) -> dict[str, dict[str, Any]]:
        """Where each side comes from: its model, run and step, or the address of its endpoint, as far as they are known.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows[:3], snb.Exact(), name="queues"), max_new_tokens=8)
        >>> found.origins["tuned"]["run"] == model.trained[0]
        True
        """
        return {side: dict(self._spec.get("origins", {}).get(side, {})) for side in self.sides}

    def items(self, suite: str, side: str) -> list[Graded]:
        """Return the items of a suite with what a model answered and scored.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
        >>> first = found.items("queues", "tuned")[0]
        >>> first.item.messages[-1]["content"], first.turns[0].text, first.score
        ('Where is my parcel?', 'shipping', 1.0)

        Raises
        ------
        ConfigError
            It was not asked this suite, or there is no such side.
        """
        return list(self._of(suite, side).values())

    def _of(self, suite: str, side: str) -> dict[str, Graded]:
        for what, value, known in (("suite", suite, self.suites), ("side", side, self.sides)):
            if value not in known:
                refused = self.refused.get(value)
                raise ConfigError(
                    f"{what}={value!r} is not in this evaluation.{did_you_mean(value, list(known))}",
                    why=refused or "",
                    fix=f"It has {', '.join(known)}.",
                )
        return self._graded[suite, side]

    def cell(self, suite: str, side: str) -> Cell:
        """Return the outcome of one model on one suite.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
        >>> found.cell("queues", "tuned").outcomes
        {'passed': 12}
        """
        if (suite, side) not in self._cells:
            self._cells[suite, side] = self._cell(suite, side)
        return self._cells[suite, side]

    def _cell(self, suite: str, side: str) -> Cell:
        graded = list(self._of(suite, side).values())
        scored = [each for each in graded if each.score is not None]
        verdicts = [verdict for each in graded for verdict in each.verdicts if verdict is not None]
        turns = [turn for each in graded for turn in each.turns if turn is not None]
        rules: dict[str, list[float]] = {}
        changed = 0
        for verdict in verdicts:
            for rule, value in verdict["rules"].items():
                rules.setdefault(rule, []).append(value)
            changed += any(value != verdict["value"] for value in verdict["rules"].values())
        return Cell(
            suite,
            side,
            mean_of([each.score for each in scored if each.score is not None], _clusters(scored)),
            len(turns),
            sum(bool(error) for each in graded for error in each.errors),
            sum(verdict["value"] is None for verdict in verdicts),
            dict(Counter(verdict["outcome"] for verdict in verdicts if verdict["outcome"]).most_common()),
            dict(Counter(note for turn in turns for note in turn.notes).most_common()),
            {rule: fmean(values) for rule, values in rules.items()},
            changed,
        )

    def pass_at(self, k: int, suite: str, side: str) -> Mean:
        """Return the share of problems of which one of ``k`` samples is right, without bias, with a 95 % interval.

        Only of items whose samples were all graded.

        Examples
        --------
        >>> mine = snb.suites.rows(rows, snb.Exact(), name="queues")
        >>> found = snb.evaluate(model, mine, samples=4, temperature=0.1, max_new_tokens=8)
        >>> found.pass_at(4, "queues", "tuned").value
        1.0

        Raises
        ------
        ConfigError
            There are fewer samples than ``k``.
        """
        whole = [each for each in self.items(suite, side) if len(each.values) == self.samples]
        right = [sum(value >= 1 for value in each.values) for each in whole]
        return mean_of([pass_at_k(count, self.samples, k) for count in right], _clusters(whole))

    def difference(self, suite: str, side: str, to: str) -> Difference:
        """Return how much higher ``side`` scored than ``to`` on the items that both have a verdict of.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
        >>> gap = found.difference("queues", "tuned", "base")
        >>> gap.value, gap.low > 0.5, gap.p_value < 0.01
        (1.0, True, True)
        """
        key = (suite, side, to)
        if key not in self._differences:
            pairs = self._pairs(suite, side, to)
            scores, others = [pair[0].score or 0.0 for pair in pairs], [pair[1].score or 0.0 for pair in pairs]
            self._differences[key] = difference_of(scores, others, _clusters([pair[0] for pair in pairs]))
        return self._differences[key]

    def _pairs(self, suite: str, side: str, to: str) -> list[tuple[Graded, Graded]]:
        others = self._of(suite, to)
        found = [(each, others[name]) for name, each in self._of(suite, side).items() if name in others]
        return [(a, b) for a, b in found if a.score is not None and b.score is not None]

    def p_values(self, side: str, to: str) -> dict[str, float]:
        """Return each suite's sign test of ``side`` against ``to``, corrected for their number (Holm).

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
        >>> found.p_values("tuned", "base")
        {'queues': 0.00048828125}
        """
        asked = [suite for suite in self.suites if self.difference(suite, side, to).items]
        return dict(zip(asked, holm([self.difference(suite, side, to).p_value for suite in asked]), strict=True))

    def sampling(self, suite: str) -> dict[str, Any]:
        """Return how a suite was answered: temperature, top_p, max_new_tokens and so on.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
        >>> found.sampling("queues")["max_new_tokens"]
        8
        """
        self._of(suite, self.sides[0])
        return dict(self._spec["suites"][suite]["sampling"])

    def regressions(self, suite: str, side: str, to: str) -> list[tuple[Graded, Graded]]:
        """Return the items on which ``side`` scored lower than ``to``, as (of ``to``, of ``side``), the largest loss first.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
        >>> found.regressions("queues", "tuned", "base")
        []
        """
        lost = [(b, a) for a, b in self._pairs(suite, side, to) if (a.score or 0.0) < (b.score or 0.0)]
        return sorted(lost, key=lambda pair: (pair[1].score or 0.0) - (pair[0].score or 0.0))

    def require(self, *gates: str, undecided: str = "raise") -> list[Gate]:
        """Return the outcome of conditions; for notebooks and tests of a pipeline.

        ::

            evaluation.require("rows >= base + 10 points", "humaneval >= base - 2 points", "rows of tuned >= 80 %")

        A condition holds where the whole 95 % interval lies on its right side, fails where it lies on the wrong side, and is
        undecided where the interval holds the border: there are not enough items to say, and it says how many would do.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
        >>> [gate.status for gate in found.require("queues >= base + 10 points")]
        ['passed']

        Parameters
        ----------
        gates
            ``SUITE [of SIDE] >= SIDE [+ or - N points]``, or ``SUITE [of SIDE] >= N %`` (also ``<=`` and scores such as 0.8). The
            side is ``tuned``, or the last one, where it is left out.
        undecided
            ``raise``, or ``allow``.

        Raises
        ------
        GateError
            One fails, or is undecided and that is not allowed; ``error.gates`` has all of them.
        ConfigError
            A condition cannot be read, or names no suite or side of this evaluation.
        """
        if undecided not in ("raise", "allow"):
            raise ConfigError(f"undecided={undecided!r} is not known.", fix="Use 'raise' or 'allow'.")
        found = [judged(self, gate) for gate in gates]
        bad = {"failed", "undecided"} if undecided == "raise" else {"failed"}
        if any(gate.status in bad for gate in found):
            raise GateError(found)
        return found

    def tables(self) -> dict[tuple[str, str], str]:
        """Return the tables that suites' own tools make, such as lm-eval's, by suite and side.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
        >>> found.tables()  # your own rows have no other tool
        {}
        """
        return {(suite, side): table for suite in self.suites for side, table in self._folder.tables(suite).items()}

    def problems(self) -> list[str]:
        """Return in sentences what is missing: suites that could not be asked, questions without an answer or a verdict."""
        self._graded  # noqa: B018  refusals are read with it
        told = [f"{suite} is in no mean: {reason}" for suite, reason in self.refused.items()]
        for suite in self.suites:
            for side in self.sides:
                cell = self.cell(suite, side)
                if cell.unanswered:
                    first = next(e for each in self.items(suite, side) for e in each.errors if e)
                    told.append(f"{suite}: {side} gave no answer to {cell.unanswered} questions ({first})")
                if cell.ungraded:
                    why = Counter(
                        v["reason"] for e in self.items(suite, side) for v in e.verdicts if v and v["value"] is None
                    )
                    most = f" ({why.most_common(1)[0][0]})" if any(why) else ""
                    told.append(
                        f"{suite}: {cell.ungraded} answers of {side} could not be graded and are in no mean{most}"
                    )
                waiting = cell.answered - cell.ungraded - sum(len(each.values) for each in self.items(suite, side))
                if waiting > 0 and suite not in self.refused and self.status != "working":
                    told.append(f"{suite}: {waiting} answers of {side} are not graded yet; evaluate again by this name")
        return told

    def findings(self, to: str | None = None) -> list[str]:
        """Return in sentences what changed from one side to the others: what got worse first, then gains with what they cost.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
        >>> print(found.findings()[0])
        queues: tuned is 100.0 points above base (+54.9 to +100.0, 12 items).

        Parameters
        ----------
        to
            The side that the others are compared with; the first by default.
        """
        from shadownb.engine.evals.evaluation.summary import findings

        return findings(self, to)

    def to_frame(self) -> pd.DataFrame:
        """Return one line an answer as a pandas DataFrame: suite, side, item, sample, score, outcome, extracted, answer.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
        >>> found.to_frame().groupby("side").score.mean().to_dict()
        {'base': 0.0, 'tuned': 1.0}
        """
        import pandas as pd

        lines = [
            {
                "suite": suite,
                "side": side,
                "item": each.item.id,
                "sample": sample,
                "score": (verdict or {}).get("value"),
                "outcome": (verdict or {}).get("outcome"),
                "reason": (verdict or {}).get("reason") or each.errors[sample],
                "extracted": (verdict or {}).get("extracted"),
                "answer": turn.raw or turn.text if turn is not None else None,
                "expected": each.item.expected,
            }
            for (suite, side), items in self._graded.items()
            for each in items.values()
            for sample, (turn, verdict) in enumerate(zip(each.turns, each.verdicts, strict=True))
        ]
        return pd.DataFrame(lines)

    def to_markdown(self, path: str | Path | None = None) -> str:
        """Return the report as Markdown: the table, what changed, what regressed; written to ``path`` where that is given.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
        >>> found.to_markdown("report.md").splitlines()[0]
        '| suite | items | base | tuned | tuned minus base |'
        """
        from shadownb.engine.evals.evaluation.report import markdown, written

        return written(markdown(self), path)

    def to_html(self, path: str | Path | None = None) -> str:
        """Return the report as HTML, in one page with all that regressed; written to ``path`` where that is given.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
        >>> found.to_html("report.html").startswith("<!doctype html>")
        True
        """
        from shadownb.engine.evals.evaluation.report import page, written

        return written(page(self), path)

    def __repr__(self) -> str:
        return f"Evaluation({self.name!r}, {len(self.sides)} sides, {len(self.suites)} suites)"

    def __str__(self) -> str:
        from shadownb.engine.evals.evaluation.report import text

        return text(self)

    def _repr_html_(self) -> str:
        from shadownb.engine.evals.evaluation.report import html

        return html(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


def _clusters(items: Sequence[Graded]) -> list[Any] | None:
    """Return what items share, an item of its own where it shares nothing; None where none shares anything."""
    if all(each.item.cluster is None for each in items):
        return None
    return [each.item.cluster if each.item.cluster is not None else (each.item.id,) for each in items]
