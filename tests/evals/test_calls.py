"""Calls and selected APIs are graded as they are meant: names, arguments, types, and what is no call at all."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.evals.suites.calls.bfcl import Bfcl
from shadownb.engine.evals.suites.calls.matching import calls_in, wrong_with
from shadownb.engine.evals.suites.calls.toolbench import ToolBench
from shadownb.engine.evals.turns import Turn
from shadownb.errors import ConfigError, DataError
from tests.evals.contestants import Says

REAL = os.environ.get("SHADOWNB_DATA", "")
AREA = {
    "name": "geometry.area",
    "description": "The area of a rectangle.",
    "parameters": {
        "type": "dict",
        "properties": {
            "base": {"type": "integer"}, "height": {"type": "float"}, "unit": {"type": "string"},
            "names": {"type": "array", "items": {"type": "string"}}, "day": {"type": "string"},
            "style": {"type": "dict", "properties": {"colour": {"type": "string"}}},
        },
        "required": ["base", "height"],
    },
}  # fmt: skip
SEND = {
    "name": "send",
    "description": "",
    "parameters": {"type": "dict", "properties": {"to": {"type": "string"}}, "required": ["to"]},
}
RIGHT = {
    "geometry.area": {
        "base": [10], "height": [5.0], "unit": ["cm", "centimetres", ""], "names": [["a", "b"], ""], "day": ["April 1, 2024", ""],
        "style": [{"colour": ["red", "blue"]}, ""],
    }
}  # fmt: skip
POSSIBLE: dict[str, Any] = {
    "simple_python": [RIGHT],
    "multiple": [RIGHT],
    "parallel": [RIGHT, {"geometry.area": {"base": [3], "height": [4]}}],
    "parallel_multiple": [RIGHT, {"send": {"to": ["me"]}}],
    "irrelevance": None,
    "live_irrelevance": None,
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "bfcl"
    (made / "possible_answer").mkdir(parents=True)

    def lines(path: Path, rows: list[Any]) -> None:
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    for task, truth in POSSIBLE.items():
        functions = [AREA, SEND] if "multiple" in task else [AREA]
        question = [[{"role": "user", "content": f"{task}?"}]]
        rows = [{"id": f"{task}_{n}", "question": question, "function": functions} for n in range(3)]
        lines(made / f"BFCL_v4_{task}.json", rows)
        if truth is not None:
            lines(
                made / "possible_answer" / f"BFCL_v4_{task}.json",
                [{"id": row["id"], "ground_truth": truth} for row in rows],
            )
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SHADOWNB_PROGRESS", "0")
    monkeypatch.setenv("SHADOWNB_DATA", str(tmp_path))
    return made


def graded(task: str, calls: list[tuple[str, Any]] | str) -> Any:
    suite = Bfcl(task)
    answer = Turn(calls) if isinstance(calls, str) else Turn("", [{"name": n, "arguments": a} for n, a in calls])
    (found,) = suite.grade([(suite.items()[0], answer)])
    return found


def area(**arguments: Any) -> list[tuple[str, Any]]:
    return [("geometry.area", {"base": 10, "height": 5.0, **arguments})]


@pytest.mark.parametrize(
    ("calls", "value"),
    [
        (area(), 1),
        ([("geometry_area", {"height": 5, "base": 10})], 1),  # as servers take names, in another order, a whole number
        (area(unit="CM"), 1),
        (area(day="april 1 2024"), 1),
        (area(names=["A", "b"]), 1),
        (area(style={"colour": "Blue"}), 1),
        (area(unit=""), 1),
        (area(base=10.0), 0),
        (area(base=True), 0),
        (area(base="10"), 0),
        (area(base=11), 0),
        (area(names=["b", "a"]), 0),
        (area(names="a"), 0),
        (area(style={"colour": "green"}), 0),
        (area(style={"colour": "red", "size": 1}), 0),
        (area(unit="m"), 0),
        (area(depth=1), 0),
        ([("geometry.area", {"base": 10})], 0),
        ([("geometry.volume", {"base": 10, "height": 5.0})], 0),
        ([*area(), *area()], 0),
        ([], 0),
    ],
)  # fmt: skip
def test_a_call_is_right_by_names_types_and_values(calls: list[tuple[str, Any]], value: float) -> None:
    assert graded("simple_python", calls).value == value


# Changes of one argument of a right call, each with the verdict; DROP leaves it out.
DROP = object()
CHANGES: list[tuple[dict[str, Any], float]] = [
    ({}, 1), ({"height": 5}, 1), ({"unit": "cm"}, 1), ({"unit": "C.M."}, 1), ({"unit": "Centi-metres"}, 1), ({"unit": ""}, 1),
    ({"day": "April 1, 2024"}, 1), ({"day": "april 1 2024"}, 1), ({"day": "April_1_2024"}, 1), ({"names": ["a", "b"]}, 1),
    ({"names": ["A", "B"]}, 1), ({"style": {"colour": "red"}}, 1), ({"style": {"colour": "BLUE"}}, 1),
    ({"unit": "cm", "day": "April 1, 2024"}, 1), ({"unit": "cm", "names": ["a", "b"], "style": {"colour": "red"}}, 1),
    ({"base": DROP}, 0), ({"height": DROP}, 0), ({"base": DROP, "height": DROP}, 0), ({"base": 11}, 0), ({"base": -10}, 0),
    ({"base": 10.0}, 0), ({"base": 10.5}, 0), ({"base": "10"}, 0), ({"base": True}, 0), ({"base": None}, 0), ({"base": [10]}, 0),
    ({"height": 5.1}, 0), ({"height": "5"}, 0), ({"height": False}, 0), ({"height": None}, 0), ({"base": 5, "height": 10.0}, 0),
    ({"unit": "m"}, 0), ({"unit": 1}, 0), ({"unit": ["cm"]}, 0), ({"unit": "cmm"}, 0), ({"unit": None}, 0),
    ({"day": "April 2, 2024"}, 0), ({"day": "2024"}, 0), ({"day": 20240401}, 0), ({"names": ["b", "a"]}, 0), ({"names": ["a"]}, 0),
    ({"names": ["a", "b", "c"]}, 0), ({"names": "a, b"}, 0), ({"names": []}, 0), ({"names": {"a": "b"}}, 0),
    ({"style": {"colour": "green"}}, 0), ({"style": {}}, 0), ({"style": "red"}, 0), ({"style": {"colour": "red", "size": 1}}, 0),
    ({"style": {"color": "red"}}, 0), ({"depth": 1}, 0), ({"Base": 10}, 0),
]  # fmt: skip


def _python(call: dict[str, Any]) -> str:
    return f"[{call['name']}({', '.join(f'{key}={value!r}' for key, value in call['arguments'].items())})]"


# How a call is written; the first as servers give it.
FORMS: dict[str, Any] = {
    "tool call": lambda call: Turn("", [call]),
    "JSON": lambda call: Turn(json.dumps(call)),
    "JSON in a fence, thought before": lambda call: Turn(
        f"<think>no_such()</think>\n```json\n{json.dumps([call])}\n```"
    ),
    "function": lambda call: Turn(json.dumps([{"type": "function", "function": call}])),
    "Python": lambda call: Turn(_python(call)),
    "Python in prose": lambda call: Turn(f"This is what is needed: {_python(call)} Shall I go on?"),
}


def test_changed_calls_get_the_verdicts_that_they_deserve() -> None:
    """Each change in each form, arguments in two orders: 624."""
    suite = Bfcl("simple_python")
    item = suite.items()[0]
    asked, expected = [], []
    for changes, value in CHANGES:
        arguments = {"base": 10, "height": 5.0, **changes}
        arguments = {key: each for key, each in arguments.items() if each is not DROP}
        for ordered in (arguments, dict(reversed(arguments.items()))):
            for form, written in FORMS.items():
                asked.append((item, written({"name": "geometry.area", "arguments": ordered})))
                expected.append((form, changes, float(value)))
    assert len(asked) >= 600
    wrong = [
        (*told, verdict.value, verdict.reason)
        for told, verdict in zip(expected, suite.grade(asked), strict=True)
        if verdict.value != told[2]
    ]
    assert not wrong, wrong[:6]


def test_parallel_calls_stand_in_any_order_and_each_once() -> None:
    other = [("geometry.area", {"base": 3, "height": 4})]
    assert graded("parallel", [*other, *area()]).value == 1
    assert graded("parallel", [*area(), *area()]).value == 0
    assert wrong_with([*area(), *other], [RIGHT, RIGHT], [AREA]), "one call is not two"
    assert graded("parallel", area()).reason == "1 calls, expected 2"
    assert graded("parallel_multiple", [("send", {"to": "me"}), *area()]).value == 1


def test_called_abstained_and_malformed_are_three_outcomes() -> None:
    """A call that cannot be read is not abstaining: it would be right where none is due."""
    for answer, value, outcome in (
        ("I cannot do this.", 1, "passed"),
        ("<tool_call>{bad", 0, "malformed"),
        ('{"name": "geometry.area", "arguments": {"base": 1', 0, "malformed"),
        ("[geometry.area(base=1, height=2)]", 0, "called"),
    ):
        found = graded("irrelevance", answer)
        assert (found.value, found.outcome) == (value, outcome), answer
    suite = Bfcl("irrelevance")
    (found,) = suite.grade([(suite.items()[0], Turn("", malformed=["{bad"]))])
    assert (found.value, found.outcome) == (0, "malformed")
    assert graded("simple_python", "I cannot.").outcome == "abstained"


def test_calls_are_read_out_of_text() -> None:
    wanted = [("geometry.area", {"base": 10, "height": 5.5, "unit": "cm"})]
    for text in (
        "[geometry.area(base=10, height=5.5, unit='cm')]",
        "geometry.area(base=10, height=5.5, unit='cm')",
        'Sure:\n```json\n[{"name": "geometry.area", "arguments": {"base": 10, "height": 5.5, "unit": "cm"}}]\n```',
        '{"name": "geometry.area", "parameters": {"base": 10, "height": 5.5, "unit": "cm"}}',
        "<think>[other()]</think>Here: [geometry.area(base=10, height=5.5, unit='cm')] as asked",
    ):
        assert calls_in(text) == (wanted, ""), text
    assert calls_in("[f(x=true, y=None, z=data, w=(1, 2))]") == (
        [("f", {"x": True, "y": None, "z": "data", "w": [1, 2]})],
        "",
    )
    assert calls_in("Nothing fits here.") == ([], "")
    assert calls_in("[f(1)]")[1] and calls_in("[f(x=__import__('os'))]")[1]


def test_tools_are_offered_as_models_know_them() -> None:
    item = Bfcl("simple_python").items()[0]
    assert item.tools is not None
    function = item.tools[0]["function"]
    assert function["name"] == "geometry_area" and function["parameters"]["type"] == "object"
    assert function["parameters"]["properties"]["height"]["type"] == "number"
    prompted = snb.suites.get("bfcl:simple_python,prompted").items()[0]
    assert prompted.tools is None and "geometry.area" in prompted.messages[0]["content"]
    whole = Bfcl()
    assert Counter(item.cluster for item in whole.items()) == dict.fromkeys(
        ("simple_python", "multiple", "parallel", "parallel_multiple", "irrelevance"), 3
    )


def test_possible_answers_of_the_package_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its 1,240 questions with an answer two name an argument that the function does not have."""
    monkeypatch.delenv("SHADOWNB_DATA")
    suite = Bfcl("simple_python", "multiple", "parallel", "parallel_multiple")
    try:
        items = suite.items()
    except DataError:
        pytest.skip("bfcl-eval is not installed")
    asked = [(item, Turn("", [call for each in item.row["ground_truth"] for call in _first(each)])) for item in items]
    wrong = [item.id for (item, _), found in zip(asked, suite.grade(asked), strict=True) if found.value != 1]
    assert len(items) == 1000 and len(wrong) <= 4, wrong


def _first(possible: dict[str, Any]) -> list[dict[str, Any]]:
    def value(each: Any) -> Any:
        if isinstance(each, dict):
            return {key: value(values[0]) for key, values in each.items() if values[0] != ""}
        return [value(one) for one in each] if isinstance(each, list) else each

    ((name, arguments),) = possible.items()
    return [{"name": name, "arguments": {key: value(v[0]) for key, v in arguments.items() if v[0] != ""}}]


def test_bad_tasks_and_missing_answers_say_what_to_do(folder: Path) -> None:
    with pytest.raises(ConfigError, match="task='sql'"):
        Bfcl("sql")
    (folder / "possible_answer" / "BFCL_v4_multiple.json").unlink()
    with pytest.raises(DataError, match=r"data of BFCL is not here"):
        Bfcl("multiple").items()


@pytest.fixture
def toolbench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SHADOWNB_DATA", REAL)
    suite = ToolBench()
    try:
        suite.items()
    except DataError as error:
        pytest.skip(f"no ToolBench: {error.what}")
    return suite


def test_apis_are_selected_by_their_numbers(toolbench: Any) -> None:
    items = toolbench.items()
    assert len(items) + toolbench.skipped == 765 and len({item.id for item in items}) == len(items)
    oracle = toolbench.grade([(item, Turn(f"These: {item.expected}")) for item in items])
    assert {verdict.value for verdict in oracle} == {1.0}
    others = [(item, sorted(set(range(1, item.row["count"] + 1)) - set(item.row["right"]))) for item in items]
    assert {verdict.value for verdict in toolbench.grade([(item, Turn(str(each))) for item, each in others])} == {0.0}
    draw, right = random.Random(0), items[0]
    for answer, value, outcome in (
        ("none of them", 0, "no list"),
        (f"<think>[1, 2]</think>{right.expected}", 1, "passed"),
        (f"First [99], no: {right.expected}.", 1, "passed"),
        (str(draw.sample(right.row["right"], len(right.row["right"]))), 1, "passed"),
        ("[]", 0, "failed"),
    ):
        (found,) = toolbench.grade([(right, Turn(answer))])
        assert (found.value, found.outcome) == (value, outcome), (answer, found)
    everything = Turn(str(list(range(1, right.row["count"] + 1))))
    (found,) = toolbench.grade([(right, everything)])
    assert 0 < found.value < 1 and "needless" in found.reason


def test_an_evaluation_of_calls_counts_outcomes() -> None:
    model = Says("m", lambda question, _: "[geometry.area(base=10, height=5.0)]" if "simple" in question else "{bad")
    found = snb.evaluate(model, ["bfcl:simple_python,irrelevance"])
    cell = found.cell("bfcl-simple_python-irrelevance", "m")
    assert cell.outcomes == {"passed": 3, "malformed": 3} and cell.mean.value == 0.5
