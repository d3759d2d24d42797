"""SQL-Eval: 190 questions about seven databases (Defog), graded by what the query gives.

Asked in SQLite's dialect, or in Postgres' on a server that the suite starts (``sql:postgres``). A question has several right
queries; an answer is right where its rows are those of one of them, in the order that the question asks for and else in any, and
its columns hold those of it. An empty result is matched by no other empty result: it is right only as the same query, wrong where
rows came, and else cannot be graded. The outcome tells schema linking, execution and exactness apart.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from shadownb.engine.evals.suites import places, sql_tables
from shadownb.engine.evals.suites.base import Item, Verdict
from shadownb.engine.evals.suites.sql_postgres import Postgres, programs
from shadownb.engine.evals.suites.sql_tables import Result, Sqlite
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.types import Sampling
from shadownb.engine.scoring.answers import fences, without_reasoning
from shadownb.errors import ConfigError, DataError

RULES = ("fence", "first statement", "whole")
_FIX = "Set SHADOWNB_DATA to a folder that has sql/ with questions_gen_sqlite.csv, export/ and metadata/ (defog-ai/sql-eval)."
_ASKED = """Write a {dialect} query that answers the question. Answer with the query in one code block.

Question: {question}{instructions}

The tables of the database:

{tables}"""
_SECONDS, _MOST_ROWS = 10.0, 20_000
_STATEMENT = re.compile(r"\b(?:SELECT|WITH)\b.*?(?:;|\Z)", re.IGNORECASE | re.DOTALL)
_WIDEST = 8  # columns of an answer among which those of the reference are looked for


_ENGINES: Mapping[str, type[Sqlite] | type[Postgres]] = {"sqlite": sql_tables.Sqlite, "postgres": Postgres}


class SqlEval:
    """SQL-Eval. Where the data has no ``questions_gen_postgres.csv``, SQLite's reference queries are translated for Postgres.

    Parameters
    ----------
    engine
        ``sqlite``, or ``postgres`` where its programs are; see :mod:`shadownb.engine.evals.suites.sql_postgres`.

    Attributes
    ----------
    skipped : int
        Questions about databases of which there is no dump.
    """

    rules: Sequence[str] = RULES
    sampling = Sampling(temperature=0.0, max_new_tokens=256)

    def __init__(self, engine: str = "sqlite") -> None:
        if engine not in _ENGINES:
            raise ConfigError(f"engine={engine!r} is not known.", fix=f"Use {' or '.join(map(repr, _ENGINES))}.")
        self.name = "sql" if engine == "sqlite" else f"sql-{engine}"
        self._engine: Sqlite | Postgres = _ENGINES[engine]()
        self._native = True  # whether the references are written in its dialect
        self.skipped = 0

    @cached_property
    def _rows(self) -> places.Rows:
        if isinstance(self._engine, Postgres):
            programs()  # before anything is asked that cannot be graded here
        try:
            own = "sqlite" if isinstance(self._engine, Sqlite) else "postgres"
            path = places.file(f"sql/questions_gen_{own}.csv", of="SQL-Eval", fix=_FIX)
        except DataError:
            path, self._native = places.file("sql/questions_gen_sqlite.csv", of="SQL-Eval", fix=_FIX), False
        with path.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        there = [row for row in rows if (path.parent / "export" / f"{row['db_name']}.sql").exists()]
        self.skipped = len(rows) - len(there)
        return [{**row, "tables": self._tables(row["db_name"])} for row in there]

    def _tables(self, database: str) -> str:
        path = places.file(f"sql/metadata/{database}.json", of="SQL-Eval", fix=_FIX)
        tables = json.loads(path.read_text(encoding="utf-8"))["table_metadata"]
        return "\n".join(
            f"CREATE TABLE {table} ("
            + ", ".join(f"{column['column_name']} {column['data_type']}" for column in columns)
            + ");"
            for table, columns in tables.items()
        )

    def items(self) -> list[Item]:
        """Return the questions; those of one database are a cluster. Raises :class:`DataError` where they are not here."""
        found = []
        for number, row in enumerate(self._rows):
            hint = f"\n{row['instructions']}" if row.get("instructions") else ""
            asked = _ASKED.format(
                dialect=self._engine.dialect, question=row["question"], instructions=hint, tables=row["tables"]
            )
            found.append(
                Item(
                    f"{row['db_name']}/{number}",
                    [{"role": "user", "content": asked}],
                    row["query"].split(";")[0],
                    cluster=row["db_name"],
                    row=row,
                )
            )
        return found

    def grade(self, asked: Sequence[tuple[Item, Turn]]) -> list[Verdict]:
        """Return whether each query gives what one of the reference queries gives."""
        return [self._verdict(item, answer.text) for item, answer in asked]

    def _verdict(self, item: Item, answer: str) -> Verdict:
        by_rule = queries(answer)
        references = self._references(item)
        right = [self._ask(item, query) for query in references]
        if all(reference.rows is None for reference in right):
            return Verdict(
                None, f"no reference query runs on {self._engine.dialect}: {right[0].error}", "", "no reference"
            )
        ran = [(query, found) for query, found in zip(references, right, strict=True) if found.rows is not None]
        references, right = [query for query, _ in ran], [found for _, found in ran]
        graded = {
            query: _graded(query, self._result(item, query), references, right, ordered=_asks_for_order(item))
            for query in set(by_rule.values())
        }
        value, outcome, reason = graded[by_rule[RULES[0]]]
        scores = {rule: score for rule, query in by_rule.items() if (score := graded[query][0]) is not None}
        return Verdict(value, reason, by_rule[RULES[0]], outcome, scores)

    def _references(self, item: Item) -> list[str]:
        """Return the reference queries, as they are and, where they are of the other dialect, translated."""
        given = [query.strip() for query in item.row["query"].split(";") if query.strip()]
        if self._native:
            return given
        import sqlglot

        logging.getLogger("sqlglot").setLevel(logging.ERROR)
        found = list(given)
        for query in given:
            with contextlib.suppress(sqlglot.errors.SqlglotError):
                found += sqlglot.transpile(query, read="sqlite", write="postgres")
        return list(dict.fromkeys(found))

    def _result(self, item: Item, query: str) -> Result:
        return self._ask(item, query) if query else Result(None, "there is no query")

    def _ask(self, item: Item, query: str) -> Result:
        name = item.row["db_name"]
        dump = places.file(f"sql/export/{name}.sql", of="SQL-Eval", fix=_FIX)
        return self._engine.ask(name, dump, query, seconds=_SECONDS, most_rows=_MOST_ROWS)


def _asks_for_order(item: Item) -> bool:
    return item.row["query_category"] == "order_by" and "ORDER BY" in item.expected.upper()


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


def _graded(
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
