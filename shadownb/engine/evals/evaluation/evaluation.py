"""Evaluation: what an evaluation's folder says, item by item and with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shadownb.engine.evals.evaluation.contents import Place
from shadownb.engine.evals.evaluation.folder import EvaluationFolder
from shadownb.engine.evals.evaluation.gates import Gate, GateError, judged
from shadownb.engine.evals.evaluation.graded import Cell, Graded, cell_of, clusters
from shadownb.engine.evals.evaluation.kept import KeptAnswers
from shadownb.engine.evals.intervals import Difference, Mean, difference_of, holm, mean_of, pass_at_k
from shadownb.errors import ConfigError


class Evaluation(KeptAnswers):
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
        super().__init__(folder)
        self._cells: dict[Place, Cell] = {}
        self._differences: dict[tuple[str, str, str], Difference] = {}

    def refresh(self) -> bool:
        """Read what was answered and graded since; return whether there was anything.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows[:3], snb.Exact(), name="queues"), name="live", max_new_tokens=8)
        >>> found.refresh()  # nobody has answered more meanwhile
        False
        """
        anything, grown = self._contents.refresh()
        for place in grown:
            self._cells.pop(place, None)
        for key in [
            key for key in self._differences if any(key[0] == suite and side in key[1:] for suite, side in grown)
        ]:
            del self._differences[key]
        return anything

    def cell(self, suite: str, side: str) -> Cell:
        """Return the outcome of one model on one suite.

        Examples
        --------
        >>> found = snb.evaluate(model, snb.suites.rows(rows, snb.Exact(), name="queues"), max_new_tokens=8)
        >>> found.cell("queues", "tuned").outcomes
        {'passed': 12}
        """
        if (suite, side) not in self._cells:
            self._cells[suite, side] = cell_of(suite, side, self.items(suite, side))
        return self._cells[suite, side]

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
        return mean_of([pass_at_k(count, self.samples, k) for count in right], clusters(whole))

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
            self._differences[key] = difference_of(scores, others, clusters([pair[0] for pair in pairs]))
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

    def problems(self) -> list[str]:
        """Return in sentences what is missing: suites that could not be asked, questions without an answer or a verdict."""
        from shadownb.engine.evals.evaluation.missing import missing

        self._contents.items  # noqa: B018  refusals are read with it
        return missing(self)

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
