"""Answers go to other tools and come from them: as files of samples, graded as those tools grade."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb import cli
from shadownb.errors import DataError
from tests.evals.contestants import Says

# What HumanEval's harness does with a sample: the prompt, the completion, the test and the call, executed.
HARNESS = """
import json, sys
problem, completion = json.load(sys.stdin)
exec(problem["prompt"] + completion + "\\n" + problem["test"] + "\\n" + f"check({problem['entry_point']})", {})
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SHADOWNB_PROGRESS", "0")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def problems() -> list[Any]:
    suite = snb.suites.get("humaneval")
    try:
        return list(suite.items())
    except DataError as error:
        pytest.skip(f"no HumanEval: {error.what}")


def harness(item: Any, completion: str) -> bool:
    """Whether the reference harness passes a completion; the programs here are our own, so it runs outside of the sandbox."""
    told = json.dumps([{key: item.row[key] for key in ("prompt", "test", "entry_point")}, completion])
    done = subprocess.run(
        [sys.executable, "-c", HARNESS], input=told, text=True, capture_output=True, timeout=60, check=False
    )
    return done.returncode == 0


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def of_many_kinds(item: Any) -> list[str]:
    """Completions of a problem as models leave them, right and wrong."""
    body = item.expected
    return [
        body,
        body.replace("return", "return not", 1),
        "\n".join(line.strip() for line in body.splitlines()),
        f"    pass\n\n{item.row['prompt']}{body}",
        f"{body}\n\nprint('done')",
        f"```python\n{body}```",
        body.rstrip()[:-3],
        f"{body}\n\nraise ValueError",
        f"{body}\n# The end",
    ]


def test_a_file_of_samples_gets_the_verdicts_of_the_harness(
    problems: list[Any], home: Path, request: pytest.FixtureRequest
) -> None:
    some = problems if request.config.getoption("--full") else problems[::40]
    given = [{"task_id": item.id, "completion": each} for item in some for each in of_many_kinds(item)]
    (home / "samples.jsonl").write_text("\n".join(map(json.dumps, given)), encoding="utf-8")
    found = snb.evaluate(snb.suites.samples("samples.jsonl"), "humaneval", name="theirs")
    assert found.samples == 9 and found.sides == ("samples",)
    ours = {each.item.id: [v["value"] for v in each.verdicts if v] for each in found.items("humaneval", "samples")}
    theirs = {item.id: [float(harness(item, each)) for each in of_many_kinds(item)] for item in some}
    differing = [(name, theirs[name], ours[name]) for name in theirs if theirs[name] != ours[name]]
    assert not differing, differing
    assert sum(map(sum, theirs.values())) >= 3 * len(some)


def test_what_is_written_is_what_the_harness_takes(problems: list[Any], home: Path) -> None:
    answers = {
        item.messages[-1]["content"]: f"Here:\n```python\n{item.row['prompt']}{item.expected}\n```"
        if number % 2
        else "No."
        for number, item in enumerate(problems)
    }
    model = Says("m", lambda question, _: answers[question])
    found = snb.evaluate(model, "humaneval", limit=12, name="ours", grade=False)
    assert any("not graded yet" in problem for problem in found.problems())
    snb.suites.write_samples(found, "humaneval", "ungraded.jsonl")
    assert "passed" not in lines(home / "ungraded.jsonl")[0]
    again = snb.evaluate(Says("m", lambda *_: "asked again"), "humaneval", limit=12, name="ours")
    assert not again.problems()
    path = snb.suites.write_samples(again, "humaneval", "samples.jsonl.gz")
    told = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert {line["passed"] for line in told} == {True, False}
    assert len(told) == 12 and {"task_id", "completion", "passed", "result"} <= set(told[0])
    by_id = {each.id: each for each in problems}
    for line in told:
        assert harness(by_id[line["task_id"]], line["completion"]) is line["passed"], line
    round_trip = snb.evaluate(snb.suites.samples(path), "humaneval", limit=12)
    assert round_trip.cell("humaneval", "samples").mean.value == again.cell("humaneval", "m").mean.value


def test_multipl_e_reads_and_writes_its_folder(home: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    suite = snb.suites.get("multipl_e:js")
    try:
        items = [item for item in suite.items() if "_53_" in item.id or "_45_" in item.id]
    except DataError as error:
        pytest.skip(f"no MultiPL-E: {error.what}")
    rows = {item.id: item.row for item in items}
    completions = {
        "_53_": ["  return x + y;\n}", "  return x - y;\n}", "  return x"],
        "_45_": ["  return a * h / 2;\n}", "  }", "x"],
    }
    for row in rows.values():
        mine = next(each for part, each in completions.items() if part in row["name"])
        told = {**row, "temperature": 0.2, "top_p": 0.95, "max_tokens": 512, "completions": mine}
        (home / "given" / f"{row['name']}.json.gz").parent.mkdir(exist_ok=True)
        (home / "given" / f"{row['name']}.json.gz").write_bytes(gzip.compress(json.dumps(told).encode()))
    found = snb.evaluate(snb.suites.samples("given"), suite)
    graded = {each.item.id: [v["value"] for v in each.verdicts if v] for each in found.items(suite.name, "given")}
    assert [graded[name] for name in rows] == [[1.0, 0.0, 0.0]] * 2
    snb.suites.write_samples(found, suite, "results")
    (first, *_) = sorted((home / "results").rglob("*.results.json.gz"))
    told = json.loads(gzip.decompress(first.read_bytes()))
    passed = [each["status"] == "OK" and each["exit_code"] == 0 for each in told["results"]]
    assert told["language"] == "js" and passed == [True, False, False]
    assert told["results"][0]["program"].endswith(rows[f"js/{told['name']}"]["tests"])
    back = snb.suites.samples("results")
    assert back.samples == 3 and back.answer_to(items[0], 0).text in completions["_53_"] + completions["_45_"]  # type: ignore[union-attr]


def test_a_whole_function_is_written_as_what_its_braces_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    suite = snb.suites.get("multipl_e:js")
    try:
        suite.items()
    except DataError as error:
        pytest.skip(f"no MultiPL-E: {error.what}")
    whole = "Sure.\n```js\nfunction add(x, y){\n  if (x) { y += x; }\n  return sum(y);\n}\nfunction sum(z) { return z; }\n```"
    items = [item for item in suite.items() if "_53_" in item.id]
    monkeypatch.setattr(suite, "items", lambda: items)
    model = Says("m", lambda *_: whole)
    found = snb.evaluate(model, suite)
    assert found.cell(suite.name, "m").outcomes["passed"] == 1
    snb.suites.write_samples(found, suite, "told")
    graded = snb.evaluate(snb.suites.samples("told"), suite)
    assert graded.cell(suite.name, "told").outcomes["passed"] == 1


def test_bad_files_of_samples_say_where(home: Path, problems: list[Any]) -> None:
    for text, said in (
        ("", "holds no samples"),
        ('{"task_id": "HumanEval/0"}', "Line 1"),
        ('{"task_id": "HumanEval/0", "completion": "x"}\n{', "Line 2 of bad.jsonl is no JSON"),
        ("[1]", "no object"),
        ('{"task_id": "HumanEval/0", "completion": null}', r"completion \(NoneType\)"),
        ('{"task_id": "HumanEval/0", "completion": [{"text": "x"}]}', r"completion \(list\)"),  # as some APIs answer
    ):
        (home / "bad.jsonl").write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=said):
            snb.suites.samples("bad.jsonl")
    with pytest.raises(DataError, match="no file of samples"):
        snb.suites.samples("nowhere.jsonl")
    (home / "bad.jsonl.gz").write_bytes(b"none")
    with pytest.raises(DataError, match="cannot be read"):
        snb.suites.samples("bad.jsonl.gz")
    marked = '\ufeff{"task_id": "HumanEval/0", "solution": "x"}\r\n\r\n'  # as editors of Windows and EvalPlus write it
    (home / "marked.jsonl").write_text(marked, encoding="utf-8", newline="")
    assert snb.suites.samples("marked.jsonl").samples == 1
    line = '{"task_id": "HumanEval/0", "completion": "a\u2028b"}'  # a separator of lines for Unicode, none for JSON
    (home / "separated.jsonl").write_text(line, encoding="utf-8")
    assert snb.suites.samples("separated.jsonl").answer_to(snb.suites.Item("HumanEval/0", []), 0).content == "a\u2028b"
    (home / "few.jsonl").write_text('{"task_id": "HumanEval/0", "completion": "    return 1"}', encoding="utf-8")
    with pytest.warns(UserWarning, match="gave no answer to 3 questions"):
        found = snb.evaluate(snb.suites.samples("few.jsonl"), "humaneval", limit=3)
    assert found.cell("humaneval", "few").mean.items == 0


def test_the_command_line_generates_and_scores_apart(
    problems: list[Any], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [{"task_id": item.id, "completion": item.expected} for item in problems]
    (home / "given.jsonl").write_text("\n".join(map(json.dumps, given)), encoding="utf-8")
    words = ["eval", "given.jsonl", "humaneval", "--limit", "8", "--folder", "apart", "--samples-to", "told.jsonl"]
    assert cli.main([*words, "--generate-only"]) == 0
    assert "not graded yet" in capsys.readouterr().out and "passed" not in lines(home / "told.jsonl")[0]
    assert cli.main(words) == 0
    assert "100.0 %" in capsys.readouterr().out
    assert [line["passed"] for line in lines(home / "told.jsonl")] == [True] * 8
    assert cli.main(["eval", "given.jsonl", "humaneval", "--against", "told.jsonl", "--limit", "8"]) == 0
    assert "told minus given" in capsys.readouterr().out
