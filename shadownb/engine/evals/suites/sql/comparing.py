"""Queries out of answers, and whether what one gives is what one of the reference queries gives."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from shadownb.engine.evals.suites.sql.sqlite import Result
from shadownb.engine.scoring.answers import fences, without_reasoning

RULES = ("fence", "first statement", "whole")
_STATEMENT = re.compile(r"\b(?:SELECT|WITH)\b.*?(?:;|\Z)", re.IGNORECASE | re.DOTALL)
_WIDEST = 8  # columns of an answer among which those of the reference are looked for


def queries(answer: str) -> dict[str, str]:
    """Return the query that each rule takes out of an answer."""
    text = without_reasoning(answer).strip()
    found = fences(text)
    marked = [inside for language, inside in found if language in ("sql", "sqlite", "postgresql")]
    begun = _STATEMENT.search(text)
    statement = begun[0].split("```")[0] if begun else ""
    fenced = (marked or [inside for _, inside in found] or [statement])[0]
    return {
        rule: query.strip().rstrip(";").strip() for rule, query in zip(RULES, (fenced, statement, text), strict=True)
    }


def graded(
    query: str, result: Result, references: Sequence[str], right: Sequence[Result], *, ordered: bool
) -> tuple[float | None, str, str]:
    """Return value, outcome and reason; ``ordered`` says whether the question asks for an order."""
    if not query:
        return 0.0, "no query", "the answer holds no query"
    if _plain(query) in {_plain(reference) for reference in references}:
        return 1.0, "exact", "it is a reference query"
    if result.rows is None:
        return 0.0, _kind(result.error), result.error
    if not result.read and any(reference.read for reference in right):
        return 0.0, "wrong tables", "it reads no table"
    empty = True
    for reference in right:
        if not reference.rows:
            continue
        empty = False
        found = next(_projections(reference.rows, result.rows), None)
        if found is None:
            continue
        if ordered and not any(_in_order(reference.rows, each) for each in _projections(reference.rows, result.rows)):
            return 0.0, "other order", "the right rows, not in the order that was asked for"
        if len(result.rows[0]) == len(reference.rows[0]):
            return 1.0, "exact", "same rows and columns"
        return 1.0, "passed", "same rows, with columns beside"
    if empty and not result.rows:
        return None, "empty", "reference and answer give no rows, so whether they mean the same cannot be seen"
    if not any(reference.read <= result.read for reference in right):
        _, missing = min((len(each.read - result.read), sorted(each.read - result.read)) for each in right)
        return 0.0, "wrong tables", f"it does not read {', '.join(missing)}"
    return 0.0, "other result", f"{len(result.rows)} rows, not those of a reference query"


def _kind(error: str) -> str:
    for words, outcome in (
        ("no such table", "unknown table"),
        ("no such column", "unknown column"),
        ("ambiguous column", "unknown column"),
        ("timed out", "timed out"),
        ("not authorized", "not a question"),
        ("only execute one statement", "several statements"),
        ("multiple commands", "several statements"),
        ("relation", "unknown table"),
        ("missing FROM-clause", "unknown column"),
        ("column", "unknown column"),
        ("permission denied", "not a question"),
        ("read-only", "not a question"),
    ):
        if words in error:
            return outcome
    return "error"


def _plain(query: str) -> str:
    return re.sub(r"\s+", " ", query.strip().rstrip(";")).casefold()


def _cell(value: Any) -> Any:
    """Return a value so that equal numbers are equal: to six digits, whole or not, also written as text."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, int | float):
        return float(f"{value:.6g}")
    return value


def _bag(rows: Sequence[Sequence[Any]]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(map(_cell, row)) for row in rows)


def _projections(
    reference: Sequence[tuple[Any, ...]], rows: Sequence[tuple[Any, ...]]
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield columns of the answer, in some order, whose rows are those of the reference, as they are in the answer."""
    if len(reference) != len(rows) or len(rows[0]) < len(reference[0]):
        return
    wanted = [Counter(_cell(row[place]) for row in reference) for place in range(len(reference[0]))]
    given = [Counter(_cell(row[place]) for row in rows) for place in range(min(len(rows[0]), _WIDEST))]
    fits = [[place for place, column in enumerate(given) if column == want] for want in wanted]
    bag = _bag(reference)
    for chosen in itertools.islice(itertools.product(*fits), 5000):
        if len(set(chosen)) == len(chosen):
            projected = [tuple(row[place] for place in chosen) for row in rows]
            if _bag(projected) == bag:
                yield projected


def _in_order(reference: Sequence[tuple[Any, ...]], rows: Sequence[tuple[Any, ...]]) -> bool:
    """Whether rows come in the order of the reference, as far as that is asked: rows that tie may stand in any.

    The reference was asked by some column, which rises or falls in it; where none does, the order itself is compared.
    """
    columns = [([_cell(a[n]) for a in reference], [_cell(b[n]) for b in rows]) for n in range(len(reference[0]))]
    keys = [(wanted, given) for wanted, given in columns if _rises(wanted) or _rises(wanted[::-1])]
    if keys:
        return any(wanted == given for wanted, given in keys)
    return [tuple(map(_cell, row)) for row in reference] == [tuple(map(_cell, row)) for row in rows]


def _rises(column: Sequence[Any]) -> bool:
    known = [value for value in column if value is not None]
    try:
        return len(set(known)) > 1 and all(a <= b for a, b in itertools.pairwise(known))
    except TypeError:  # texts among numbers
        return False
