"""LearningCurve: scores by number of training rows, with intervals, and whether more rows are likely to pay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean
from typing import TYPE_CHECKING, Any

from shadownb.engine.displays import table_html, table_text
from shadownb.engine.evals.learning.folder import CurveFolder
from shadownb.engine.evals.learning.judgement import Estimate, Scores, Verdict, judged, luck, mean_over

if TYPE_CHECKING:
    import pandas as pd

_HEAD = ("rows", "held-out score", "95 % interval", "each training", "runs")
_WIDE, _HIGH, _LEFT, _BOTTOM = 480, 200, 48, 28  # of the picture, in pixels
_BLUE = "#2456c7"


@dataclass(frozen=True)
class Point:
    """A part of the rows, with the scores of what it trained.

    Attributes
    ----------
    rows
        How many; 0 is the base.
    value, low, high
        Mean held-out score and its 95 % interval: of held-out rows, and of trainings where there are several.
    scores
        The mean of each training.
    runs
        Their ids.
    """

    rows: int
    value: float
    low: float
    high: float
    scores: tuple[float, ...]
    runs: tuple[str, ...]


class LearningCurve:
    """What more rows of training data have brought.

    Examples
    --------
    >>> train = dict(max_steps=20, learning_rate=1e-2, sample_max_new_tokens=0)
    >>> curve = snb.learning_curve(model, rows, "exact", fractions=(0.5, 1.0), test_size=4, max_new_tokens=8, **train)
    >>> print(curve)
    rows  held-out score  95 % interval  each training ...
    >>> curve.verdict in ("more rows", "enough rows", "can't tell")
    True

    Attributes
    ----------
    name
        Of its folder in ``SHADOWNB_HOME/curves``.
    points : tuple of Point
        By number of rows, the base first.
    verdict : str
        ``"more rows"`` (are likely to pay), ``"enough rows"`` (more of this kind are not), or ``"can't tell"``.
    reason : str
        Why, in a sentence.
    gain : tuple of float or None
        What twice as many rows brought at the last step: value, low and high of the 95 % interval; None with a single part.
    held_out, leaked
        How many rows were asked, and how many were left out because they were seen in training; None where that cannot be
        looked for, in rows that are no conversations.
    """

    def __init__(
        self, name: str, points: Sequence[Point], verdict: Verdict, *, held_out: int, leaked: int | None, share: bool
    ) -> None:
        self.name, self.points = name, tuple(points)
        self.verdict, self.reason = verdict.word, verdict.reason
        self.gain = (verdict.gain.value, verdict.gain.low, verdict.gain.high) if verdict.gain is not None else None
        self.held_out, self.leaked, self._share = held_out, leaked, share

    @classmethod
    def open(cls, name: str, *, worth: float = 0.02) -> LearningCurve:
        """Return a curve that was measured, by its name.

        Examples
        --------
        >>> train = dict(max_steps=2, sample_max_new_tokens=0)
        >>> _ = snb.learning_curve(model, rows, "exact", fractions=(0.5, 1), seeds=1, name="c", max_new_tokens=4, **train)
        >>> snb.LearningCurve.open("c").verdict
        "can't tell"

        Parameters
        ----------
        worth
            As of :func:`shadownb.learning_curve`.

        Raises
        ------
        DataError
            There is none of this name.
        """
        return cls.of(CurveFolder.named(name), worth)

    @classmethod
    def of(cls, folder: CurveFolder, worth: float) -> LearningCurve:
        """Return what a folder says, also of one that broke off: of parts that were measured."""
        spec = folder.spec()
        parts: dict[int, list[tuple[str | None, Scores]]] = {}
        for event in folder.events():
            if event["type"] == "point" and event["scores"]:
                parts.setdefault(event["rows"], []).append((event["run"], event["scores"]))
        sizes = sorted(parts)
        by_part = {size: [scores for _, scores in parts[size]] for size in sizes}
        trained = [size for size in sizes if size]
        clusters = spec.get("clusters")
        between = luck([by_part[size] for size in trained])
        points = []
        for size in sizes:
            alone = (float("nan"), 0)
            estimate = mean_over(by_part[size], between if size else alone, clusters)
            points.append(_point(size, estimate, parts[size]))
        share = all(0 <= score <= 1 for part in by_part.values() for scores in part for score in scores.values())
        verdict = judged(trained, [by_part[size] for size in trained], worth, clusters)
        split = spec["split"]
        return cls(folder.name, points, verdict, held_out=split["held_out"], leaked=split["leaked"], share=share)

    def to_frame(self) -> pd.DataFrame:
        """Return one line a training as a pandas DataFrame: rows, run, score.

        Examples
        --------
        >>> train = dict(max_steps=2, sample_max_new_tokens=0)
        >>> curve = snb.learning_curve(model, rows, "exact", fractions=(0.5, 1), seeds=1, max_new_tokens=4, **train)
        >>> list(curve.to_frame().rows)
        [0, 5, 10]
        """
        import pandas as pd

        return pd.DataFrame(
            [
                {"rows": point.rows, "run": run, "score": score}
                for point in self.points
                for run, score in zip(point.runs or (None,), point.scores, strict=True)
            ]
        )

    def to_markdown(self) -> str:
        """Return the table and the verdict as Markdown.

        Examples
        --------
        >>> train = dict(max_steps=2, sample_max_new_tokens=0)
        >>> curve = snb.learning_curve(model, rows, "exact", fractions=(0.5, 1), seeds=1, max_new_tokens=4, **train)
        >>> curve.to_markdown().splitlines()[0]
        '| rows | held-out score | 95 % interval | each training | runs |'
        """
        lines = [list(_HEAD), ["---"] * len(_HEAD), *self._table()]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n**{self.verdict}**: {self._said()}\n"

    def _table(self) -> list[list[str]]:
        return [
            [
                f"{point.rows:,}" if point.rows else "0 (base)",
                self._number(point.value),
                f"{self._number(point.low)} to {self._number(point.high)}",
                ", ".join(map(self._number, point.scores)) if len(point.scores) > 1 else "",
                ", ".join(point.runs),
            ]
            for point in self.points
        ]

    def _number(self, value: float) -> str:
        return f"{100 * value:.1f} %" if self._share else f"{value:.3g}"

    def _said(self) -> str:
        seen = f" {self.leaked:,} held-out rows were seen in training and left out." if self.leaked else ""
        if self.leaked is None:
            seen = " Whether they were seen in training cannot be looked for in rows that are no conversations."
        return f"{self.reason} Scored on {self.held_out:,} held-out rows.{seen}"

    def __str__(self) -> str:
        return f"{table_text(_HEAD, self._table())}\n\n{self.verdict}: {self._said()}"

    def __repr__(self) -> str:
        return f"LearningCurve({self.name!r}, {len(self.points)} points, {self.verdict})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        told = f"<p><strong>{escape(self.verdict)}</strong>: {escape(self._said())}</p>"
        return f'<div style="color:inherit">{told}{self.svg()}{table_html(_HEAD, self._table())}</div>'

    def svg(self) -> str:
        """Return the curve as a picture: means over the number of rows, each with its interval.

        Examples
        --------
        >>> train = dict(max_steps=2, sample_max_new_tokens=0)
        >>> curve = snb.learning_curve(model, rows, "exact", fractions=(0.5, 1), seeds=1, max_new_tokens=4, **train)
        >>> curve.svg().startswith("<svg")
        True
        """
        if not self.points:
            return ""
        low = 0.0 if self._share else min(point.low for point in self.points)
        high = 1.0 if self._share else max(point.high for point in self.points)
        most = max(point.rows for point in self.points) or 1

        def x(rows: float) -> float:
            return round(_LEFT + (_WIDE - _LEFT - 16) * rows / most, 1)

        def y(value: float) -> float:
            return round(12 + (_HIGH - 12 - _BOTTOM) * (1 - (value - low) / (high - low or 1)), 1)

        ticks = [low, (low + high) / 2, high]
        marks = [
            f'<path d="M{_LEFT} {y(tick)}H{_WIDE - 8}" stroke="#8884"/>'
            f'<text x="{_LEFT - 6}" y="{y(tick) + 4}" text-anchor="end">{self._number(tick)}</text>'
            for tick in ticks
        ]
        for point in self.points:
            marks.append(
                f'<path d="M{x(point.rows)} {y(point.low)}V{y(point.high)}" stroke="{_BLUE}" stroke-width="2"/>'
                f'<circle cx="{x(point.rows)}" cy="{y(point.value)}" r="4" fill="{_BLUE}"/>'
            )
            marks += [
                f'<circle cx="{x(point.rows)}" cy="{y(score)}" r="2" fill="none" stroke="{_BLUE}"/>'
                for score in point.scores
                if len(point.scores) > 1
            ]
            marks.append(f'<text x="{x(point.rows)}" y="{_HIGH - 8}" text-anchor="middle">{point.rows:,}</text>')
        line = " ".join(f"{x(point.rows)},{y(point.value)}" for point in self.points)
        said = "; ".join(f"{point.rows} rows {self._number(point.value)}" for point in self.points)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {_HIGH}" width="{_WIDE}" height="{_HIGH}" role="img" '
            f'aria-label="Held-out score by training rows: {escape(said)}" style="color:inherit;max-width:100%">'
            f'<g fill="currentColor" font-size="11" font-family="sans-serif">{"".join(marks)}</g>'
            f'<polyline points="{line}" fill="none" stroke="{_BLUE}" stroke-width="1.5"/></svg>'
        )


def _point(rows: int, estimate: Estimate, trainings: list[tuple[str | None, Scores]]) -> Point:
    return Point(
        rows,
        estimate.value,
        estimate.low,
        estimate.high,
        tuple(fmean(scores.values()) for _, scores in trainings),
        tuple(run for run, _ in trainings if run is not None),
    )
