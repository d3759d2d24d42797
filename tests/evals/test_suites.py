"""Suites grade as the truth is: reference answers pass, wrong ones fail, and so do answers that were changed."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

import pytest

from shadownb.engine.evals import suites
from shadownb.engine.evals.suites.base import Item, Suite, Verdict
from shadownb.engine.evals.suites.coding import programs
from shadownb.engine.evals.suites.coding.humaneval import HumanEval, problem
from shadownb.engine.evals.suites.sql import sqlite
from shadownb.engine.evals.turns import Turn
from shadownb.engine.inference.types import Sampling


def data(suite: str) -> Any:
    """Return a suite, or skip where its data is not here."""
    found = suites.get(suite)
    try:
        found.items()
    except Exception as error:
        pytest.skip(f"SHADOWNB_DATA has no data of {suite}: {error}")
    return found


def graded(suite: Suite, asked: list[tuple[Item, str]]) -> list[Verdict]:
    return suite.grade([(item, Turn(answer)) for item, answer in asked])


@pytest.fixture(scope="module")
def humaneval() -> Any:
    return data("humaneval")


def function(item: Item) -> str:
    return f"{item.row['prompt']}{item.expected}"


def test_every_suite_that_is_registered_is_one() -> None:
    for name in suites.available():
        parts = {"lm_eval": ":gsm8k", "reasoning_gym": ":leg_counting"}.get(name, "")  # those two are many
        made = suites.get(f"{name}{parts}")
        assert (
            isinstance(made, Suite)
            and made.name == f"{name}{parts}".replace(":", "-")
            and isinstance(made.sampling, Sampling)
        )


def test_humaneval_reference_solutions_pass_and_buggy_ones_fail(humaneval: Any, request: pytest.FixtureRequest) -> None:
    items = humaneval.items()
    assert len(items) == 164
    # The bug of 160 never ends, which takes its whole limit of time.
    some = items if request.config.getoption("--full") else items[:160:8]
    assert {v.value for v in graded(humaneval, [(i, f"```python\n{function(i)}\n```") for i in some])} == {1.0}
    buggy = [(i, i.row["prompt"] + i.row["buggy_solution"]) for i in some if "buggy_solution" in i.row]
    assert {v.value for v in graded(humaneval, buggy)} <= {0.0}
    assert {v.value for v in graded(humaneval, [(i, "I cannot help with that.") for i in some[:5]])} == {0.0}


def test_an_answer_is_graded_for_what_it_computes(humaneval: Any) -> None:
    """Changed answers, each with the verdict that it deserves."""
    items = [i for i in humaneval.items()[::9] if "\n\n" not in i.expected.strip()]
    asked: list[tuple[Item, str]] = []
    right: list[float] = []
    for item in items:
        name, whole = item.row["entry_point"], function(item)
        changed = {
            f"Sure, here it is:\n\n```python\n{whole}\n```\nIt loops once.": 1.0,
            f"<think>First a draft: def {name}(): pass</think>```python\n{whole}\n```": 1.0,
            f"```python\n{whole}\n\nprint('done')\n```": 1.0,
            re.sub(rf"\b{name}\b", "renamed", whole): 0.0,
            f"{whole}\n\ndef {name}(*_, **__):\n    return object()\n": 0.0,
            f"```python\n{whole}\nraise SystemExit(0)\n```": 0.0,
            f"```python\nimport os\nos._exit(0)\n{whole}\n```": 0.0,
            f"```python\n{whole[: len(whole) // 3]}": 0.0,
        }
        asked += [(item, answer) for answer in changed]
        right += changed.values()
    found = graded(humaneval, asked)
    wrong = [(a[1][:80], v.reason) for a, v, r in zip(asked, found, right, strict=True) if v.value != r]
    assert not wrong, wrong


def test_rules_of_extraction_are_told_apart(humaneval: Any) -> None:
    item = humaneval.items()[0]
    (body,) = graded(humaneval, [(item, f"{item.expected}\nprint(has_close_elements([], 1))\nassert False\n")])
    assert body.rules == {"fence": 0.0, "whole": 0.0, "until the next block": 1.0}
    (fenced,) = graded(humaneval, [(item, f"Here:\n```python\n{function(item)}```")])
    assert fenced.rules["fence"] == 1.0 and fenced.rules["whole"] == 0.0
    assert fenced.extracted.startswith("from typing")


def test_a_body_is_put_below_its_signature() -> None:
    asked = programs.Problem("def f(x):\n    '''Return x.'''\n", ("assert f(3) == 3",), "f")
    for answer in ("    return x", "return x", "def f(x):\n    return x"):
        assert programs.program(answer, asked).count("def f") in (1, 2)
        namespace: dict[str, Any] = {}
        exec(programs.program(answer, asked), namespace)
        assert namespace["f"](3) == 3
    assert problem(Item("x", [], row={"prompt": "p", "test": "t", "entry_point": "f"})).tests == ("t\ncheck(f)",)
    assert HumanEval(style="continue").name == "humaneval-continue"


def test_mbpp_reference_solutions_pass() -> None:
    suite = data("mbpp")
    some = suite.items()[::25]
    assert len(suite.items()) == 426
    assert {v.value for v in graded(suite, [(i, i.expected) for i in some])} == {1.0}
    assert {v.value for v in graded(suite, [(i, "def f(): pass") for i in some[:6]])} == {0.0}


def test_every_sql_reference_is_right_and_constants_are_not() -> None:
    suite = data("sql")
    items = suite.items()
    assert len(items) == 190 and suite.skipped == 20
    assert {v.value for v in graded(suite, [(i, f"```sql\n{i.expected};\n```") for i in items])} == {1.0}
    for wrong in ("SELECT 1", "SELECT 0", "I do not know.", "SELECT NULL WHERE 0", ""):
        assert {v.value for v in graded(suite, [(i, wrong) for i in items])} <= {0.0, None}, wrong


def test_sql_answers_that_mean_the_same_are_right() -> None:
    suite = data("sql")
    generator = random.Random(0)
    # Of many rows none stands for another by chance, and today's date is in none.
    items = [i for i in suite.items() if "now" not in i.row["query"] and "LIMIT" not in i.expected.upper()]
    asked: list[tuple[Item, str]] = []
    expected: list[Any] = []
    for item in generator.sample(items, 50):
        query = item.expected
        for answer, value in (
            (
                f"SELECT * FROM ({query}) ORDER BY 1 DESC",
                (0.0, 1.0, None) if item.row["query_category"] == "order_by" else (1.0, None),
            ),
            (f"SELECT *, 'beside' FROM ({query})", (1.0, None)),
            (f"Here you are:\n\n{query};\n\nIt joins two tables.", (1.0,)),
            (f"SELECT * FROM ({query}) UNION ALL SELECT * FROM ({query})", (0.0, None)),
            (f"SELECT * FROM ({query}) LIMIT 0", (0.0, None)),
            (re.sub(r"FROM (\w+)", r"FROM \1_old", query, count=1), (0.0,)),
        ):
            asked.append((item, answer))
            expected.append(value)
    found = graded(suite, asked)
    wrong = [(a[0].id, a[1][-90:], v) for a, v, e in zip(asked, found, expected, strict=True) if v.value not in e]
    assert not wrong, wrong[:5]
    outcomes = Counter(v.outcome for v in found)
    assert outcomes["unknown table"] == 50 and outcomes["passed"] > 30


def test_a_query_can_only_read_and_only_for_so_long() -> None:
    suite = data("sql")
    item = suite.items()[0]
    for answer, outcome in (
        ("DROP TABLE author", "no query"),
        ("```sql\nDROP TABLE author\n```", "not a question"),
        ("```sql\nATTACH 'x.db' AS x\n```", "not a question"),
        ("```sql\nPRAGMA writable_schema=1\n```", "not a question"),
        ("SELECT 1; DELETE FROM author", "wrong tables"),
        ("SELECT nobody FROM author", "unknown column"),
        ("SELECT randomblob(1000000000) FROM author", "error"),
        (
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x, (SELECT count(*) FROM author) FROM n",
            "too many rows",
        ),
    ):
        (found,) = graded(suite, [(item, answer)])
        assert found.value == 0 and (found.outcome == outcome or outcome in found.reason), (answer, found)
    (again,) = graded(suite, [(item, item.expected)])
    assert again.value == 1.0
    database = suite._engine._databases["academic"]
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    assert sqlite.ask(database, endless, seconds=0.2, most_rows=10).error == "timed out"


@pytest.mark.parametrize(("name", "count"), [("gsm8k", 1319), ("math500", 500), ("bbh", 6511)])
def test_an_oracle_is_right_and_a_wrong_answer_is_not(name: str, count: int, request: pytest.FixtureRequest) -> None:
    if name == "math500":
        pytest.importorskip("math_verify", reason="math-verify is not installed: make setup-dev")
    suite = data(name)
    items = suite.items()
    assert len(items) == count and len({item.id for item in items}) == count
    if name == "math500" and not request.config.getoption("--full"):
        items = items[::5]
    says = {
        "gsm8k": "So it is.\n#### {}",
        "math500": "Hence $\\boxed{{{}}}$.",
        "bbh": "I think so.\nSo the answer is {}.",
    }[name]
    asked = [(item, says.format(item.expected)) for item in items]
    missed = [
        (item.id, item.expected, v) for (item, _), v in zip(asked, graded(suite, asked), strict=True) if v.value != 1
    ]
    assert not missed, missed[:5]
    others = [*items[1:], items[0]]
    wrong = [
        (item, says.format(other.expected))
        for item, other in zip(items, others, strict=True)
        if other.expected.removeprefix("x=") != item.expected.removeprefix("x=")
    ]
    right = [
        (item.id, item.expected, answer)
        for (item, answer), v in zip(wrong, graded(suite, wrong), strict=True)
        if v.value
    ]
    assert len(wrong) > len(items) / 4 and not right, right[:5]


def test_last_answers_are_read_as_people_write_them() -> None:
    from shadownb.engine.evals.suites.reasoning.bbh import last_answer

    for output, expected, value in (
        ("The answer is (B).", "(B)", 1),
        ("The answer is **(B) red**.", "(B)", 1),
        ("The answer is B.", "(B)", 1),
        ("(A) is wrong. So the answer is (C) then", "(B)", 0),
        ("The answer is (A) or (B).", "(B)", 0),
        ("So the answer is yes.", "Yes", 1),
        ("<think>the answer is no</think>So the answer is Yes.", "Yes", 1),
        ("So the answer is yes or no.", "Yes", 0),
        ("the answer is ] ) ]", "] ) ]", 1),
        ("Yes", "Yes", 1),
        ("", "Yes", 0),
    ):
        assert last_answer(output, expected).value == value, (output, expected)


def test_a_question_that_asks_for_an_order_is_answered_in_it() -> None:
    suite = data("sql")
    asked = [i for i in suite.items() if i.row["query_category"] == "order_by" and "LIMIT" not in i.expected.upper()]
    wrong, right, ties = [], [], []
    for item in asked:
        bare = re.sub(r"\s+ORDER BY [^()]*$", "", item.expected.strip(), flags=re.IGNORECASE)
        if bare != item.expected.strip():
            wrong.append((item, f"SELECT * FROM ({bare}) ORDER BY hex(randomblob(4))"))
            right.append((item, f"SELECT * FROM ({item.expected})"))
            ties.append((item, f"SELECT *, 1 FROM ({item.expected})"))
    assert len(wrong) > 15
    assert {v.value for v in graded(suite, right)} <= {1.0, None} and {v.value for v in graded(suite, ties)} <= {
        1.0,
        None,
    }
    outcomes = Counter(v.outcome for v in graded(suite, wrong))
    assert outcomes["other order"] > 0.7 * len(wrong), outcomes  # of few rows some come right by luck


def test_a_box_that_is_not_closed_is_no_answer() -> None:
    pytest.importorskip("math_verify", reason="math-verify is not installed: make setup-dev")
    from shadownb.engine.evals.suites.reasoning.math500 import SymbolicEquality

    scorer = SymbolicEquality()
    for output, value in (
        (r"\boxed{4} \boxed{", 0),
        (r"\boxed{\frac{8}{2}}", 1),
    ):
        assert scorer(output, "4").value == value, output
