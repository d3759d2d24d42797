"""What an evaluation says, as plain values for panel and leaderboard, and in sentences for reports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shadownb.engine.evals.evaluation.parts import grid
from shadownb.engine.evals.intervals import Difference, Mean

if TYPE_CHECKING:
    from shadownb.engine.evals.evaluation.evaluation import Evaluation
    from shadownb.engine.evals.evaluation.graded import Cell


def summary(evaluation: Evaluation, to: str | None = None) -> dict[str, Any]:
    """Return means, differences and what is missing as JSON values; what is not known is None.

    Parameters
    ----------
    to
        The side that the others are compared with; the first by default.
    """
    first = to or evaluation.sides[0]
    others = [side for side in evaluation.sides if side != first]
    corrected = {side: evaluation.p_values(side, first) for side in others}
    suites = []
    for suite in evaluation.suites:
        cells = {side: evaluation.cell(suite, side) for side in evaluation.sides}
        suites.append(
            {
                "name": suite,
                "items": len(evaluation.items(suite, first)),
                "share": is_share(list(cells.values())),
                "cells": {side: _cell(cell) for side, cell in cells.items()},
                **_parts(evaluation, suite),
                "differences": {
                    side: difference(evaluation.difference(suite, side, first), corrected[side].get(suite))
                    for side in others
                },
            }
        )
    return {
        "name": evaluation.name,
        "sides": list(evaluation.sides),
        "origins": evaluation.origins,
        "to": first,
        "samples": evaluation.samples,
        "suites": suites,
        "refused": dict(evaluation.refused),
    }


def _parts(evaluation: Evaluation, suite: str) -> dict[str, Any]:
    """Return the means of a suite's parts by side, and whether parts share problems."""
    by_side = {side: evaluation.by_part(suite, side) for side in evaluation.sides}
    named = list(next(iter(by_side.values())))
    parts = [{"name": part, "cells": {side: _cell(found[part]) for side, found in by_side.items()}} for part in named]
    return {"parts": parts, "has_grid": bool(parts) and grid(evaluation.items(suite, evaluation.sides[0])) is not None}


def is_share(cells: Sequence[Cell]) -> bool:
    """Whether the scores of a suite lie between 0 and 1, and are shown in percent."""
    known = [cell.mean for cell in cells if not math.isnan(cell.mean.value)]
    return all(mean.low >= 0 and mean.high <= 1 for mean in known)


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        **mean(cell.mean),
        "answered": cell.answered,
        "unanswered": cell.unanswered,
        "ungraded": cell.ungraded,
        "outcomes": dict(cell.outcomes),
        "notes": dict(cell.notes),
        "rules": dict(cell.rules),
        "by_extraction": cell.by_extraction,
    }


def mean(of: Mean) -> dict[str, Any]:
    """Return a mean as JSON values."""
    numbers = {name: _number(getattr(of, name)) for name in ("value", "low", "high")}
    return {**numbers, "graded": of.items, "clusters": of.clusters}


def difference(gap: Difference, corrected: float | None) -> dict[str, Any]:
    """Return a difference as JSON values; ``p`` is corrected for the number of suites, ``needed`` the items that would show it."""
    return {
        **{name: _number(getattr(gap, name)) for name in ("value", "low", "high")},
        "items": gap.items,
        "wins": gap.wins,
        "losses": gap.losses,
        "ties": gap.ties,
        "p": corrected,
        "p_alone": gap.p_value,
        "needed": gap.items_needed,
        "direction": direction(gap),
    }


def direction(gap: Difference) -> str:
    """Return ``better``, ``worse``, or ``undecided``: the interval holds 0; empty where nothing was compared."""
    if not gap.items:
        return ""
    return "better" if gap.low > 0 else "worse" if gap.high < 0 else "undecided"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def findings(evaluation: Evaluation, to: str | None = None) -> list[str]:
    """Return in sentences what changed from one side to the others: what got worse first, then gains with what they cost."""
    first = to or evaluation.sides[0]
    worse, better, undecided = [], [], []
    measured = _measured(evaluation)
    for side in (side for side in evaluation.sides if side != first):
        forgot = _forgotten(evaluation, side, first)
        for suite in evaluation.suites:
            gap = evaluation.difference(suite, side, first)
            share = is_share([evaluation.cell(suite, each) for each in (side, first)])
            size, interval = said(gap.value, share, signed=False), f"{_range(gap, share)}, {gap.items} items"
            lost = f"; {gap.losses} items got worse" if gap.losses else ""
            match direction(gap):
                case "worse":
                    worse.append(f"{suite}: {side} is {size} below {first} ({interval}){lost}.")
                case "better":
                    cost = f" {forgot}" if forgot and suite not in measured else ""
                    better.append(f"{suite}: {side} is {size} above {first} ({interval}){lost}.{cost}")
                case "undecided":
                    needed = ""
                    if gap.items_needed is not None and gap.items_needed > gap.items:
                        needed = f"; about {gap.items_needed:,} items would show a difference of this size"
                    undecided.append(
                        f"{suite}: whether {side} or {first} is better cannot be said ({interval}){lost}{needed}."
                    )
    unknown = (
        ["What was forgotten for it was not measured: ask the suite 'text', too."] if better and not measured else []
    )
    return [*worse, *better, *unknown, *undecided]


def _measured(evaluation: Evaluation) -> list[str]:
    """Return the suites whose texts are measured and not answered: they show what was forgotten."""
    return [
        suite
        for suite in evaluation.suites
        if (items := evaluation.items(suite, evaluation.sides[0])) and not any(each.item.messages for each in items)
    ]


def _forgotten(evaluation: Evaluation, side: str, first: str) -> str:
    told = []
    for suite in _measured(evaluation):
        gap = evaluation.difference(suite, side, first)
        if gap.items:
            lost = direction(gap) == "worse"
            verb = "lost" if lost else "changed by" if direction(gap) == "undecided" else "gained"
            value = said(gap.value, False, signed=not lost and direction(gap) == "undecided")
            told.append(f"On {suite} it {verb} {value} ({_range(gap, False)})")
    return "; ".join(told) + "." if told else ""


def said(value: float, share: bool, *, signed: bool = True) -> str:
    """Return a difference in its unit."""
    number = 100 * value if share else value
    text = f"{number:+.1f}" if share else f"{number:+.3g}"
    return (text if signed else text.lstrip("+-")) + (" points" if share else "")


def _range(gap: Difference, share: bool) -> str:
    low, high = (said(each, share).removesuffix(" points") for each in (gap.low, gap.high))
    return f"{low} to {high}"


def progress(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return for each suite how far it is: what was answered (or measured), graded and failed, of how many."""
    found = []
    for suite in evaluation.suites:
        graded = [each for side in evaluation.sides for each in evaluation.items(suite, side)]
        measured = suite in _measured(evaluation)
        slots = 1 if measured else evaluation.samples
        verdicts = sum(verdict is not None for each in graded for verdict in each.verdicts)
        answers = verdicts if measured else sum(turn is not None for each in graded for turn in each.turns)
        failed = sum(bool(error) for each in graded for error in each.errors)
        found.append(
            {
                "suite": suite,
                "done": answers + failed,
                "graded": verdicts,
                "failed": failed,
                "total": len(graded) * slots,
                "refused": evaluation.refused.get(suite, ""),
            }
        )
    return found
