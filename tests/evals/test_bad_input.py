"""What goes wrong costs what it concerns and nothing else: five kinds of trouble in one evaluation of real models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.endpoint import connection
from shadownb.engine.evals.suites import own_rows
from shadownb.engine.evals.suites.coding import installed
from shadownb.errors import ShadowWarning
from tests.endpoint.server import Upstream, completion, said_to
from tests.evals.contestants import table


def conversation(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


async def errs_half_of_the_time(seen: Any, reply: Any) -> None:
    """Refuse questions of one kind for good, and every other request for now."""
    errs_half_of_the_time.count += 1  # type: ignore[attr-defined]
    question = said_to(seen)
    if question.startswith("odd"):
        await reply.json({"error": {"message": "against the content policy", "type": "refused"}}, 400)
    elif errs_half_of_the_time.count % 2:  # type: ignore[attr-defined]
        await reply.json({"error": {"message": "overloaded", "type": "busy"}}, 503)
    else:
        await reply.json(completion({"role": "assistant", "content": question.upper()}))


def test_trouble_of_five_kinds_is_told_counted_and_the_rest_goes_on(
    byte_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SHADOWNB_DATA", str(tmp_path))
    monkeypatch.setenv("SHADOWNB_PROGRESS", "0")
    monkeypatch.setattr(connection, "_FIRST_WAIT", 0.0)
    monkeypatch.setattr(own_rows, "_SECONDS", 0.5)
    monkeypatch.setattr(installed, "_WORKING", {})
    there = shutil.which
    monkeypatch.setattr(shutil, "which", lambda tool, *a, **k: None if tool == "tsc" else there(tool, *a, **k))
    problem = {"name": "f", "language": "ts", "prompt": "function f() {", "tests": "f();", "stop_tokens": []}
    (tmp_path / "multipl_e").mkdir()
    (tmp_path / "multipl_e/humaneval-ts-reworded.jsonl").write_text(json.dumps(problem), encoding="utf-8")
    monkeypatch.setattr(errs_half_of_the_time, "count", 0, raising=False)

    def hangs(output: str, expected: str) -> float:
        while expected.endswith("2"):
            pass
        return float(output == expected)

    asked = [conversation(f"{kind} {n}", f"{kind} {n}".upper()) for n in range(4) for kind in ("even", "odd")]
    asked.append(conversation("long " * 400, "LONG"))
    suites: list[Any] = [
        "sql",
        "multipl_e:ts",
        snb.suites.rows(asked, snb.Exact(), name="mine"),
        snb.suites.rows(asked, hangs, name="hanging"),
    ]
    local = snb.load(str(byte_model_dir), dtype="float32")
    with Upstream(errs_half_of_the_time) as server, pytest.warns(ShadowWarning) as warned:
        rented = snb.Endpoint(server.url, model="m", api_key="k")
        found = snb.evaluate({"local": local, "rented": rented}, suites, max_new_tokens=2, name="trouble")
    assert found.status == "complete" and list(found.refused) == ["sql", "multipl_e-ts"]
    assert "data of SQL-Eval is not here" in found.refused["sql"] and "tsc" in found.refused["multipl_e-ts"]
    assert "npm install -g typescript" in found.refused["multipl_e-ts"]
    ours, theirs = found.cell("mine", "local"), found.cell("mine", "rented")
    assert (ours.answered, ours.unanswered, theirs.answered, theirs.unanswered) == (8, 1, 5, 4)
    assert theirs.mean.value == 0.8  # the long one was answered, and not as expected
    hung = found.cell("hanging", "rented")
    assert (hung.ungraded, hung.mean.items) == (1, 4)
    told = "\n".join(found.problems())
    assert "its prompt has 2,0" in told and "against the content policy" in told and "took longer than 0.5 s" in told
    assert {str(each.message) for each in warned} >= set(found.problems())
    assert ".." not in str(found)


def test_rows_that_are_not_asked_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is no JSON, a row without an answer, a reference that is no number: none of them goes by in silence."""
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SHADOWNB_PROGRESS", "0")
    rows = [conversation("one", "1"), conversation("two", "two"), {"messages": [{"role": "user", "content": "three"}]}]
    path = tmp_path / "strange.jsonl"
    path.write_text("\ufeff" + "\r\n".join([*map(json.dumps, rows), '{"messages": [']), encoding="utf-8")
    says = table("m", {"one": "1"})
    with pytest.warns(ShadowWarning) as warned:
        found = snb.evaluate(
            says, snb.suites.rows(snb.Dataset.from_jsonl(path), "numeric", name="mine"), name="strange"
        )
    assert found.cell("mine", "m").mean.items == 1
    told = found.problems()
    assert (
        told[0].startswith("mine: 2 rows are left out (line 3: ") and "1 row is left out, because the scorer" in told[1]
    )
    assert [str(each.message) for each in warned] == told and all(line in str(found) for line in told)
    assert snb.Evaluation.open("strange").problems() == told
