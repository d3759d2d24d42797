"""SQL-Eval: 190 questions about seven databases (Defog), graded by what the query gives.

Asked in SQLite's dialect, or in Postgres' on a server that the suite starts (``sql:postgres``). A question has several right
queries; an answer is right where its rows are those of one of them, in the order that the question asks for and else in any, and
its columns hold those of it. An empty result is matched by no other empty result: it is right only as the same query, wrong where
rows came, and else cannot be graded. The outcome tells schema linking, execution and exactness apart.
"""

from __future__ import annotations

import contextlib
import csv
import json
import logging
from collections.abc import Mapping, Sequence
from functools import cached_property

from shadownb.engine.evals.suites import places
from shadownb.engine.evals.suites.base import Item, Verdict
from shadownb.engine.evals.suites.sql.comparing import RULES, graded, queries
from shadownb.engine.evals.suites.sql.postgres import Postgres, programs
from shadownb.engine.evals.suites.sql.sqlite import Result, Sqlite
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.types import Sampling
from shadownb.errors import ConfigError, DataError

_FIX = "Set SHADOWNB_DATA to a folder that has sql/ with questions_gen_sqlite.csv, export/ and metadata/ (defog-ai/sql-eval)."
_ASKED = """Write a {dialect} query that answers the question. Answer with the query in one code block.

Question: {question}{instructions}

The tables of the database:

{tables}"""
_SECONDS, _MOST_ROWS = 10.0, 20_000


_ENGINES: Mapping[str, type[Sqlite] | type[Postgres]] = {"sqlite": Sqlite, "postgres": Postgres}


class SqlEval:
    """SQL-Eval. Where the data has no ``questions_gen_postgres.csv``, SQLite's reference queries are translated for Postgres.

    Parameters
    ----------
    engine
        ``sqlite``, or ``postgres`` where its programs are; see :mod:`shadownb.engine.evals.suites.sql.postgres`.

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
                    part=row["db_name"],
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
        by_query = {
            query: graded(query, self._result(item, query), references, right, ordered=_asks_for_order(item))
            for query in set(by_rule.values())
        }
        value, outcome, reason = by_query[by_rule[RULES[0]]]
        scores = {rule: score for rule, query in by_rule.items() if (score := by_query[query][0]) is not None}
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
