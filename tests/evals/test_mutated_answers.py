"""Answers changed by rule, at least 300 a grader, each with the verdict that it deserves."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest

from shadownb.engine.evals import suites
from shadownb.engine.evals.suites.base import Item
from shadownb.engine.evals.turns import Turn
from shadownb.errors import ShadowError

Changed = tuple[Item, str, float]


def data(name: str) -> Any:
    found = suites.get(name)
    try:
        found.items()
    except ShadowError as error:
        pytest.skip(f"no data of {name}: {error.what}")
    return found


def verdicts_differ(suite: Any, changed: list[Changed]) -> list[Any]:
    found = suite.grade([(item, Turn(answer)) for item, answer, _ in changed])
    return [
        (item.id, answer[-80:], expected, verdict.value, verdict.reason)
        for (item, answer, expected), verdict in zip(changed, found, strict=True)
        if verdict.value != expected
    ]


def numbers(suite: Any) -> Iterator[Changed]:
    for item in suite.items()[::40]:
        n = int(item.expected.replace(",", ""))
        for answer, value in (
            (f"So it is.\n#### {n}", 1),
            (f"#### {n:,}", 1),
            (f"#### {n}.00", 1),
            (f"#### ${n}", 1),
            (f"<think>#### {n + 1}</think>\n#### {n}", 1),
            (f"As in the example: #### {n + 3}\n\nHere: #### {n}", 1),
            (f"The answer is **{n}**.", 1),
            (f"#### {n + 1}", 0),
            (f"#### -{n}", 0 if n else 1),
            (f"#### {n}0", 0 if n else 1),
            (f"Here: #### {n}\n\nNo, it is #### {n + 1}", 0),
            ("I cannot tell.", 0),
        ):
            yield item, answer, value


def formulas(suite: Any) -> Iterator[Changed]:
    plain = [item for item in suite.items() if re.fullmatch(r"-?\d+", item.expected)][:34]
    for item in plain:
        n = int(item.expected)
        half = Fraction(n, 2)
        for answer, value in (
            (rf"\boxed{{{n}}}", 1),
            (rf"Hence $\boxed{{{n}.0}}$.", 1),
            (rf"\boxed{{\frac{{{2 * n}}}{{2}}}}", 1),
            (rf"\boxed{{{n + 1} - 1}}", 1),
            (rf"<think>\boxed{{{n + 1}}}</think> \boxed{{{n}}}", 1),
            (rf"\boxed{{{n + 1}}}", 0),
            (rf"\boxed{{\frac{{{n}}}{{2}}}}", 0 if half != n else 1),
            (rf"\boxed{{{n}}} \boxed{{", 0),
            ("It cannot be known.", 0),
        ):
            yield item, answer, value


def last_answers(suite: Any) -> Iterator[Changed]:
    draw = random.Random(0)
    for item in draw.sample(suite.items(), 60):
        right = item.expected
        for answer, value in (
            (f"So the answer is {right}.", 1),
            (f"First I thought the answer is nothing.\nSo the answer is {right}.", 1),
            (f"<think>the answer is x</think>The answer is {right}", 1),
            (f"**The answer is: {right}**", 1),
            (f"So the answer is {right} or something else.", 1 if re.fullmatch(r"\([A-Z]\)", right) else 0),
            ("So the answer is unknown to me.", 0),
            (f"So the answer is {right}.\nNo: so the answer is none of these.", 0),
        ):
            yield item, answer, value


def selections(suite: Any) -> Iterator[Changed]:
    for item in suite.items()[::8]:
        right = item.row["right"]
        for answer, value in (
            (item.expected, 1),
            (f"They are {right[::-1]}, I think.", 1),
            (f"```json\n{right}\n```", 1),
            (f"<think>[1]</think>{right}", 1),
            (" ".join(map(str, right)), 0),
            ("[]", 0),
            ("All of them.", 0),
        ):
            yield item, answer, value


@pytest.mark.parametrize(
    ("name", "rule"), [("gsm8k", numbers), ("math500", formulas), ("bbh", last_answers), ("toolbench", selections)]
)
def test_changed_answers_get_the_verdicts_that_they_deserve(name: str, rule: Any) -> None:
    if name == "math500":
        pytest.importorskip("math_verify", reason="math-verify is not installed: make setup-dev")
    suite = data(name)
    changed = list(rule(suite))
    assert len(changed) >= 300, len(changed)
    wrong = verdicts_differ(suite, changed)
    assert not wrong, (len(wrong), wrong[:6])


def test_changed_programs_of_javascript(request: pytest.FixtureRequest) -> None:
    suite = data("humanevalpack:js")
    items = [item for item in suite.items() if item.row["prompt"].count("const ") == 1]
    some = items[:60] if request.config.getoption("--full") else items[3:40:9]
    changed: list[Changed] = []
    for item in some:
        name, whole = item.row["entry_point"], f"{item.row['prompt']}{item.expected}"
        as_function = whole.replace(f"const {name} = (", f"function {name}(", 1).replace(") => {", ") {", 1)
        for answer, value in (
            (f"Sure.\n```javascript\n{whole}\n```\nDone.", 1),
            (f"```js\n{as_function}\n```", 1),
            (f"```js\n{whole}\nmodule.exports = {{ {name} }};\nconsole.error('noise');\n```", 1),
            (whole.replace(f"const {name}", "const renamed"), 0),
            (f"```js\n{item.row['prompt']}  return undefined;\n}}\n```", 0),
            (f"```js\n{whole}\nprocess.exit(0);\n```", 0),
            (f"```js\nconsole.assert = () => {{}};\n{item.row['prompt']}{item.row['buggy_solution']}\n```", 0),
            (f"```js\n{whole[: len(whole) // 2]}", 0),
        ):
            changed.append((item, answer, value))
    wrong = verdicts_differ(suite, changed)
    assert not wrong, wrong[:5]


def test_made_questions_are_graded_by_their_own_verifier() -> None:
    pytest.importorskip("reasoning_gym", reason="reasoning-gym is not installed")
    suite = suites.get("reasoning_gym:leg_counting,simple_equations")
    items = suite.items()
    assert len(items) == 200 and {item.cluster for item in items} == {"leg_counting", "simple_equations"}
    again = suites.get("reasoning_gym:leg_counting,simple_equations").items()
    assert [item.expected for item in again] == [item.expected for item in items]
    right = [(item, f"I counted. <answer>{item.expected}</answer>", 1.0) for item in items]
    assert not verdicts_differ(suite, right)
    values = [v.value for v in suite.grade([(item, Turn("<answer>no idea</answer>")) for item in items])]
    assert max(v for v in values if v is not None) < 0.1


def test_a_suite_of_a_set_on_the_hub_is_a_short_file(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """HumanEval+, on three problems made by hand in the form of its rows."""
    import inspect
    import json

    from shadownb.engine.evals.suites.coding import humaneval_plus

    def row(number: int, name: str, body: str, inputs: list[Any], results: list[Any]) -> dict[str, Any]:
        test = (
            "import numpy as np\n\ndef same(a, b):\n    return np.allclose(a, b)\n\ndef check(candidate):\n"
            f"    for given, wanted in zip({inputs!r}, {results!r}):\n        assert same(candidate(*given), wanted)\n"
        )
        prompt = f'def {name}(x):\n    """{name}"""\n'
        return {
            "task_id": f"HumanEval/{number}",
            "prompt": prompt,
            "canonical_solution": body,
            "entry_point": name,
            "test": test,
        }

    made = [
        row(0, "double", "    return 2 * x\n", [[1], [0], [-3]], [2, 0, -6]),
        row(1, "half", "    return x / 2\n", [[1], [3]], [0.5, 1.5]),
        row(2, "total", "    return sum(x)\n", [[[1, 2]], [[]]], [3, 0]),
    ]
    (tmp_path / "evalplus").mkdir()
    (tmp_path / "evalplus/humanevalplus.jsonl").write_text("\n".join(map(json.dumps, made)), encoding="utf-8")
    monkeypatch.setenv("SHADOWNB_DATA", str(tmp_path))
    suite = suites.get("humaneval-plus")
    items = suite.items()
    answers = [(item, f"```python\n{item.row['prompt']}{item.expected}```", 1.0) for item in items]
    answers += [(item, "    return 0\n", 0.0) for item in items]
    assert not verdicts_differ(suite, answers)
    assert len(inspect.getsource(humaneval_plus).splitlines()) <= 50
