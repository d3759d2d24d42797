"""SQL-Eval on a real Postgres: right as on SQLite, asked in a way that only reads, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from shadownb.engine.evals import suites
from shadownb.engine.evals.suites.sql import postgres as sql_postgres
from shadownb.engine.evals.suites.sql.sql_eval import SqlEval
from shadownb.engine.evals.turns import Turn
from shadownb.errors import ConfigError, MissingDependencyError, ShadowError

NOT_TRANSLATED = {*(f"advising/{n}" for n in (25, 26, 27, 28)), *(f"atis/{n}" for n in (57, 58, 59)), "yelp/162"}

try:
    sql_postgres.programs()
except MissingDependencyError as error:
    pytest.skip(f"{error.what} apt install postgresql", allow_module_level=True)


@pytest.fixture(scope="module")
def suite() -> Any:
    made = suites.get("sql:postgres")
    try:
        made.items()
    except ShadowError as error:
        pytest.skip(f"no SQL-Eval: {error.what}")
    return made


def graded(suite: Any, item: Any, answer: str) -> Any:
    (found,) = suite.grade([(item, Turn(answer))])
    return found


def test_reference_queries_are_right_where_they_run(suite: Any, request: pytest.FixtureRequest) -> None:
    """Eight of 190 call functions of dates that SQLite alone has; those are in no mean."""
    items = suite.items()
    assert len(items) == 190 and "Write a PostgreSQL query" in items[0].messages[0]["content"]
    dates = [item for item in items if item.row["query_category"] == "date_functions"]
    some = (
        items
        if request.config.getoption("--full")
        else list({item.id: item for item in [*items[::4], *dates]}.values())
    )
    found = [_best(suite, item) for item in some]
    counts = Counter(verdict.value for verdict in found)
    assert set(counts) <= {1.0, None} and counts[None] <= 8, [v for v in found if v.value == 0]
    assert {v.outcome for v in found if v.value is None} <= {"no reference"}
    assert {item.id for item, v in zip(some, found, strict=True) if v.value is None} <= NOT_TRANSLATED
    again = [item for item, verdict in zip(some, found, strict=True) if verdict.value][:20]
    asked = [(item, Turn(f"SELECT 'beside' AS x_, q.* FROM ({item.expected}) AS q")) for item in again]
    values = Counter(verdict.value for verdict in suite.grade(asked))
    assert values[1.0] >= 17, values  # ungraded where there are no rows, wrong where a column has no name of its own


def _best(suite: Any, item: Any) -> Any:
    """Return the verdict of the reference query that fares best: one of a question may be SQLite's alone."""
    asked = [(item, Turn(f"```sql\n{query};\n```")) for query in suite._references(item)]
    return max(suite.grade(asked), key=lambda verdict: -1.0 if verdict.value is None else verdict.value)


def test_an_answer_can_read_alone_and_says_what_is_wrong(suite: Any) -> None:
    item = suite.items()[0]
    for answer, outcome in (
        ("SELECT name FROM authors", "unknown table"),
        ("SELECT nobody FROM author", "unknown column"),
        ("```sql\nSELECT 1; DELETE FROM author\n```", "several statements"),
        ("SELECT pg_read_file('/etc/passwd') FROM author", "not a question"),
        ("```sql\nDROP TABLE author\n```", "error"),
        ("```sql\nCOPY author TO PROGRAM 'id'\n```", "error"),
        ("SELECT 1", "wrong tables"),
        ("SELECT lo_import('/etc/passwd') FROM author", "not a question"),
    ):
        found = graded(suite, item, answer)
        assert (found.value, found.outcome) == (0.0, outcome), (answer, found)
    assert graded(suite, item, item.expected).value == 1.0


def test_a_query_that_does_not_end_is_ended(suite: Any) -> None:
    dump = next(iter(Path(os.environ["SHADOWNB_DATA"], "sql", "export").glob("academic.sql")))
    result = suite._engine.ask("academic", dump, "SELECT pg_sleep(100) FROM author", seconds=0.3, most_rows=10)
    assert result.rows is None and result.error == "timed out"
    many = "SELECT a.aid FROM author a, author b, author c"
    assert suite._engine.ask("academic", dump, many, seconds=5, most_rows=10).error in ("too many rows", "")
    assert suite._engine.ask("academic", dump, "SELECT count(*) FROM author", seconds=5, most_rows=10).rows


def test_the_server_ends_with_whoever_asked_however_that_ends(tmp_path: Path, suite: Any) -> None:
    """Also after a kill -9: neither a process nor a folder stays."""
    program = """
        import sys, time
        from shadownb.engine.evals import suites
        from shadownb.engine.evals.turns import Turn
        suite = suites.get("sql:postgres")
        item = suite.items()[0]
        suite.grade([(item, Turn(item.expected))])
        print(suite._engine._folder, flush=True)
        time.sleep(600)
        """
    for ending in (signal.SIGKILL, signal.SIGINT):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert child.stdout is not None
        folder = Path(child.stdout.readline().strip())
        assert (folder / "data" / "postmaster.pid").exists()
        child.send_signal(ending)
        child.wait(timeout=60)
        child.stdout.close()
        end = time.monotonic() + 60
        while folder.exists() and time.monotonic() < end:
            time.sleep(0.05)
        assert not folder.exists()


def test_without_postgres_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise MissingDependencyError("The programs of Postgres are not here.", fix="apt install postgresql")

    monkeypatch.setattr("shadownb.engine.evals.suites.sql.sql_eval.programs", missing)
    with pytest.raises(MissingDependencyError, match="not here"):
        SqlEval("postgres").items()
    with pytest.raises(ConfigError, match="engine='oracle'"):
        suites.get("sql:oracle")
