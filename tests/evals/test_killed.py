"""An evaluation that is killed at any moment goes on to the same table, and asks for nothing twice that it was given."""

from __future__ import annotations

import json
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

import shadownb as snb
from tests.capture.upstream import Upstream
from tests.endpoint.server import completion, hangs, said_to

ROOT = Path(__file__).parents[2]
# Evaluates two models on a suite that is asked and one that is measured, and dies at the n-th time that something happens: an
# answer in the middle of a batch, a call that grades or measures, a write to the journal (of which half arrives), a file put in
# its place. Each answer that a model hands over is a line in a file of its own.
PROGRAM = """
import os, sys
from shadownb.engine import disk
from shadownb.engine.evals.evaluation import folder
from shadownb.engine.runs import journal
import shadownb as snb
from tests.evals.contestants import Says, rows

what, number = sys.argv[1], int(sys.argv[2])
count = 0

def now(kind):
    global count
    count += kind == what
    return kind == what and count == number

def die():
    os.kill(os.getpid(), 9)

class Known(Says):
    kept = "kept"
    def __init__(self, name, right):
        super().__init__(name, self.say)
        self.right, self.kept_under = right, name
    def say(self, question, _):
        if now("answer"):
            die()
        number = int(question.split()[1])
        return f"answer {number}" if number < self.right else "no idea"
    def chat(self, messages, tools=None, **options):
        found = super().chat(messages, tools, **options)
        with open("given.txt", "a") as given:
            given.writelines(f"{self.name} {turns[-1]['content']}\\n" for turns in messages)
        return found
    def loss(self, rows, **_):
        if now("measure"):
            die()
        return self.right / 10 + len(rows[0]["text"]) / 1000

class Graded(snb.suites.Rows):
    def grade(self, asked):
        if now("grade"):
            die()
        return super().grade(asked)

write, put = os.write, folder.write_atomically
def torn(file, data):
    if now("journal"):
        write(file, data[: len(data) // 2])
        die()
    return write(file, data)
def half(path, content):
    if now("file"):
        path.with_name(f".{path.name}.aside").write_text(content[: len(content) // 2])
        die()
    put(path, content)
journal.os = type("Os", (), {"write": staticmethod(torn), "__getattr__": lambda self, name: getattr(os, name)})()
folder.write_atomically = half

mine = Graded(rows(24), snb.Exact(), name="mine")
texts = snb.suites.text([{"text": "word " * number} for number in range(2, 12)])
found = snb.evaluate({"base": Known("a", 8), "tuned": Known("b", 20)}, [mine, texts], name="killed", batch_rows=4)
print(found.to_frame().drop(columns=["reason"]).to_csv(index=False) + str(found))
"""
# Where it dies; the first three one after the other in every run of the tests.
POINTS = [
    ("answer", 3), ("grade", 2), ("journal", 6),
    ("answer", 30), ("grade", 1), ("journal", 1), ("measure", 1), ("measure", 13), ("file", 1), ("file", 3),
]  # fmt: skip


def evaluated(home: Path, what: str, number: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SHADOWNB_HOME": str(home), "SHADOWNB_PROGRESS": "0"}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), what, str(number)],
        check=False, env=environment, capture_output=True, text=True, cwd=home,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What comes out where nothing dies."""
    done = evaluated(tmp_path_factory.mktemp("whole"), "nothing", 0)
    assert done.returncode == 0, done.stderr
    return done.stdout


def resumed(home: Path, whole: str) -> None:
    """Evaluate to the end and look that the table is the same and no answer was given twice."""
    again = evaluated(home, "nothing", 0)
    assert again.returncode == 0 and again.stdout == whole, (home.name, again.stderr)
    given = Counter((home / "given.txt").read_text(encoding="utf-8").splitlines())
    assert len(given) == 48 and set(given.values()) == {1}, (home.name, given.most_common(3))


def test_killed_again_and_again_it_comes_to_the_same_table(whole: str, tmp_path: Path) -> None:
    for what, number in POINTS[:3]:
        died = evaluated(tmp_path, what, number)
        assert died.returncode == -signal.SIGKILL, (what, number, died.stderr)
    resumed(tmp_path, whole)


@pytest.mark.full
@pytest.mark.parametrize(("what", "number"), POINTS)
def test_killed_at_any_point_it_comes_to_the_same_table(whole: str, tmp_path: Path, what: str, number: int) -> None:
    died = evaluated(tmp_path, what, number)
    assert died.returncode == -signal.SIGKILL, died.stderr
    resumed(tmp_path, whole)


def test_what_an_endpoint_has_answered_is_kept_before_its_batch_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer was paid for: one that hangs must not hold back those that came."""
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path))
    monkeypatch.setenv("SHADOWNB_PROGRESS", "0")
    asked: Counter[str] = Counter()
    hanging = {"slow"}

    async def answer(seen: Any, reply: Any) -> None:
        question = said_to(seen)
        asked[question] += 1
        if question in hanging:
            await hangs(seen, reply)
        await reply.json(completion({"role": "assistant", "content": question.upper()}))

    own = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": text.upper()}]}
        for text in ("a", "b", "slow", "c", "d")
    ]
    program = """
import json, sys
import shadownb as snb
mine = snb.suites.rows(json.loads(sys.argv[2]), snb.Exact(), name="mine")
snb.evaluate(snb.Endpoint(sys.argv[1], model="m", api_key="k"), mine, name="paid")
"""
    with Upstream(answer) as server:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        evaluating = subprocess.Popen([sys.executable, "-c", program, server.url, json.dumps(own)], env=environment)
        events = tmp_path / "evaluations/paid/events.jsonl"
        end = time.monotonic() + 60
        while time.monotonic() < end and _answers(events) < 4:
            time.sleep(0.05)
        evaluating.kill()
        evaluating.wait()
        assert _answers(events) == 4
        hanging.clear()
        rented = snb.Endpoint(server.url, model="m", api_key="k")
        found = snb.evaluate(rented, snb.suites.rows(own, snb.Exact(), name="mine"), name="paid")
    assert found.cell("mine", found.sides[0]).mean.value == 1.0 and found.problems() == []
    assert {question: times for question, times in asked.items() if question != "slow"} == dict.fromkeys("abcd", 1)


def _answers(events: Path) -> int:
    return events.read_text(encoding="utf-8").count('"type":"answer"') if events.exists() else 0
