"""Code that is scored by running it: where the tests may stand, and that what goes wrong in grading is no score of 0."""

from __future__ import annotations

import math
from typing import Any

import pytest

from shadownb.engine import sandbox
from shadownb.engine.sandbox import Limits, SandboxError
from shadownb.engine.sandbox.scorer import CodeTests, code_of
from shadownb.engine.scoring import Sample, Scoring, resolve, score_batch

CODE = "def double(x):\n    return 2 * x if x > 0 else 0"


@pytest.fixture(autouse=True)
def _a_wall() -> None:
    try:
        sandbox.find_wall()
    except SandboxError as error:
        pytest.skip(error.as_text())


@pytest.mark.parametrize(
    ("row", "value", "partial"),
    [
        ({"tests": "assert double(2) == 4"}, 1.0, 1.0),
        ({"test_list": ["assert double(2) == 4", "assert double(-2) == -4"]}, 0.0, 0.5),
        ({"test": "def check(f):\n    assert f(3) == 6", "entry_point": "double"}, 1.0, 1.0),
        ({"test_list": ["assert math.isclose(double(2), 4)"], "test_imports": ["import math"]}, 1.0, 1.0),
        ({"test": "assert double(2) == 4", "entry_point": "double"}, 1.0, 1.0),
        ({"answer": '["assert double(1) == 2", "assert double(1) == 3", "assert undefined", "assert 1"]'}, 0.0, 0.5),
    ],
)
def test_tests_may_stand_in_several_columns(row: dict[str, Any], value: float, partial: float) -> None:
    columns = {name: [cell] for name, cell in row.items()}
    scorers = [resolve("code"), resolve(CodeTests(partial=True))]
    assert [scores[0].value for scores in score_batch(scorers, ["Write it."], [CODE], columns)] == [value, partial]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("Sure:\n```python\nx = 1\n```\nand\n```py\ny = 2\n```\n```\nuse(x)\n```", "x = 1\n\ny = 2\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        ('def f():\n    """Such as\n\n    ```\n    f()\n    ```\n    """', None),
        ("from the start:\n```python\nx = 1\n```", "x = 1\n"),
        ("<think>```python\nno\n```</think>import os\nx = 1", "import os\nx = 1"),
        ("x = 1", None),
    ],
)
def test_the_code_is_what_stands_in_its_fence(answer: str, code: str | None) -> None:
    assert code_of(answer) == (answer if code is None else code)


def test_what_goes_wrong_in_grading_is_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    scoring = Scoring(CodeTests())
    broken = scoring.score_many(
        [Sample(CODE, "assert double(("), Sample(CODE, ""), Sample(CODE, "assert double(1) == 2")]
    )
    assert [score.value for score in broken] == [None, None, 1.0]
    assert "cannot be compiled" in broken[0].reason and "no tests" in broken[1].reason

    def none(*_: Any, **__: Any) -> Any:
        raise SandboxError("Programs of a model cannot be enclosed on this machine, so none is run.")

    monkeypatch.setattr("shadownb.engine.sandbox.scorer.run_python", none)
    score = scoring.score_many([Sample(CODE, "assert double(1) == 2")])[0]
    assert score.value is None and "cannot be enclosed" in score.reason


def test_a_program_that_hangs_is_wrong_and_says_why() -> None:
    score = CodeTests(limits=Limits(wall_seconds=0.5))("while True: pass", "assert 1")
    assert score.value == 0.0 and "too long" in score.reason


def test_nothing_is_executed_here() -> None:
    """An answer that would change this process does not."""
    before = math.pi
    score = CodeTests()(
        "import math\nmath.pi = 3\ndef double(x): return 2 * x",
        "assert double(2) == 4\nimport math\nassert math.pi == 3",
    )
    assert score.value == 1.0 and math.pi == before
