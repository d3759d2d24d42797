"""Scorers on public data sets, where these are at hand: what their authors hold for right is right, and the lab finds nothing."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from shadownb.engine.sandbox import SandboxError, find_wall
from shadownb.engine.scoring import Sample, Scoring, lab, resolve, score_batch

DATA = Path(os.environ.get("SHADOWNB_DATA") or Path(__file__).parents[3] / "shared" / "data")


def rows(name: str) -> list[dict[str, Any]]:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{path} is not there; SHADOWNB_DATA says where data sets are")
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]


def test_every_solution_of_gsm8k_is_right_and_only_with_its_own_number() -> None:
    scoring, found = Scoring("numeric"), rows("gsm8k/test.jsonl")
    assert all(scoring.score(Sample(row["answer"], row["answer"])).value == 1.0 for row in found)
    for row, other in pairwise(found):
        alike = row["answer"].split("####")[1].strip() == other["answer"].split("####")[1].strip()
        assert scoring.score(Sample(other["answer"], row["answer"])).value == float(alike)
    report = lab(scoring, found, max_rows=30)
    assert report.sound and report.separation == 1.0, str(report)


def test_numbers_of_math_are_read_and_formulas_pay_nobody() -> None:
    scoring, answers = Scoring("numeric"), [row["final_answer"] for row in rows("math/math_500.jsonl")]
    numbers = [answer for answer in answers if scoring.refusal(answer) is None]
    assert 380 <= len(numbers) <= 400  # of 500; the others are formulas, points, intervals, matrices, words
    assert not {r"\pi", "x^2", "(15,-29)", r"2\sqrt{5}", "1+2i", "8n^2 + 4n + 1"} & set(numbers)
    assert all(scoring.score(Sample(rf"So it is \boxed{{{answer}}}.", answer)).value == 1.0 for answer in numbers)


def test_solutions_of_mbpp_pass_and_of_one_another_do_not() -> None:
    try:
        find_wall()
    except SandboxError as error:
        pytest.skip(error.as_text())
    found = rows("mbpp/sanitized-mbpp.json")[:160:10]
    columns = {name: [row[name] for row in found] for name in ("test_list", "test_imports")}
    prompts, code = [row["prompt"] for row in found], [f"```python\n{row['code']}\n```" for row in found]
    right, wrong = (
        score_batch([resolve("code")], prompts, answers, columns)[0] for answers in (code, [*code[1:], code[0]])
    )
    assert [score.value for score in right] == [1.0] * len(found) and [score.value for score in wrong] == [0.0] * len(
        found
    )
