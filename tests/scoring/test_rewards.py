"""Rewards as a training asks them: every shape that a scorer may have, and all that one may do wrong."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.scoring import Cached, Exact, Score, Scoring, Weighted, resolve, score_batch

PROMPTS = ["2 + 2?", "3 + 3?", "4 + 4?"]
ANSWERS = ["4", "6", "9"]
COLUMNS = {"answer": ["4", "6", "8"], "hard": [False, False, True]}


def values(scores: list[Score]) -> list[float | None]:
    return [score.value for score in scores]


def asked(scorer: Any, timeout: float | None = 20.0, **more: Any) -> list[Score]:
    return score_batch([resolve(scorer)], PROMPTS, ANSWERS, COLUMNS, timeout=timeout, **more)[0]


def of_a_batch(prompts: list[str], completions: list[str], answer: list[str], **columns: Any) -> list[float]:
    assert prompts == PROMPTS and columns == {"hard": [False, False, True]}
    return [float(said == right) for said, right in zip(completions, answer, strict=True)]


async def later(completions: list[str], answer: list[str]) -> list[float]:
    await asyncio.sleep(0)
    return [float(said == right) for said, right in zip(completions, answer, strict=True)]


async def one_later(output: str, expected: str) -> float:
    await asyncio.sleep(0)
    return float(output == expected)


class AnObject:
    name = "object"

    def __call__(self, output: str, expected: str, *, row: Any) -> Score:
        assert set(row) == {"answer", "hard"}
        return Score(float(output == expected), "compared")


@pytest.mark.parametrize("timeout", [None, 20.0])
@pytest.mark.parametrize(
    "scorer",
    [
        "exact", Exact(), AnObject(), of_a_batch, later, one_later, lambda output, expected: output == expected,
        f"{__name__}:of_a_batch", {"exact": 2.0, of_a_batch: 1.0}, [later, one_later], Cached(later), Cached(Weighted(["exact"])),
    ],
)  # fmt: skip
def test_every_shape_of_a_scorer_says_the_same(scorer: Any, timeout: float | None) -> None:
    assert values(asked(scorer, timeout)) == [1.0, 1.0, 0.0]

    async def in_a_notebook() -> list[Score]:  # where an event loop runs in the thread that asks
        return asked(scorer, timeout)

    with ThreadPoolExecutor(1) as thread:  # in this one a browser's event loop may run
        assert values(thread.submit(lambda: asyncio.run(in_a_notebook())).result()) == [1.0, 1.0, 0.0]


def test_functions_of_a_batch_get_messages_as_they_are_and_others_their_text() -> None:
    completions = [[{"role": "assistant", "content": "<think>three?</think>4"}]]
    prompts = [[{"role": "user", "content": PROMPTS[0]}]]

    def whole(prompts: Any, completions: Any) -> list[float]:
        return [float(completions[0][0]["content"].startswith("<think>") and prompts[0][0]["role"] == "user")]

    def text(output: str, expected: str, *, prompt: str, messages: Any, completion: str) -> bool:
        return (output, prompt, messages, completion) == ("4", PROMPTS[0], prompts[0], "<think>three?</think>4")

    assert [
        values(s) for s in score_batch([resolve(whole), resolve(text)], prompts, completions, {"answer": ["4"]})
    ] == [[1], [1]]


def test_of_several_scorers_each_has_its_own_row_of_verdicts() -> None:
    found = score_batch([resolve("exact"), resolve(of_a_batch)], PROMPTS, ANSWERS, COLUMNS)
    assert [values(scores) for scores in found] == [[1, 1, 0], [1, 1, 0]]


# -- what one may do wrong ---------------------------------------------------------------------------------------------


def test_a_function_of_a_batch_that_cannot_be_read_gives_no_verdict_and_the_reason() -> None:
    def given(value: Any) -> Any:
        def function(completions: list[str]) -> Any:
            if isinstance(value, Exception):
                raise value
            return value

        return function

    for value, reason in (
        ([1.0, 0.0], "returned 2 values for 3 answers"),
        (None, "returned None, not a list"),
        (0.5, "returned 0.5, not a list"),
        (ZeroDivisionError("by zero"), "raised ZeroDivisionError: by zero"),
    ):
        scores = asked(given(value))
        assert values(scores) == [None] * 3 and all(reason in score.reason for score in scores), value
    scores = asked(given([1, None, math.nan]))
    assert values(scores) == [1.0, None, None] and "None" in scores[1].reason and "nan" in scores[2].reason
    assert values(asked(given([True, Score(None, "no key"), "good"]))) == [1.0, None, None]


def test_one_answer_that_hangs_spares_the_others_and_no_thread_stays() -> None:
    def hangs_at_six(output: str, expected: str) -> float:
        while output == "6":
            pass
        return 1.0

    before = set(threading.enumerate())
    scores = asked(hangs_at_six, timeout=3)
    assert values(scores) == [1.0, None, 1.0] and "took longer than 3 s" in scores[1].reason
    assert set(threading.enumerate()) <= before


def test_a_scorer_that_hangs_outside_of_python_is_not_called_again() -> None:
    calls, go = [], threading.Event()

    def sleeps(output: str, expected: str) -> float:
        calls.append(output)
        go.wait()
        return 1.0

    try:
        scores = asked(sleeps, timeout=0.2)
        assert values(scores) == [None] * 3 and calls == ["4"]
        assert "took longer" in scores[0].reason and "still at another" in scores[2].reason
    finally:
        go.set()


def test_async_scorers_that_hang_are_cancelled() -> None:
    cancelled = []

    async def hangs_at_six(output: str, expected: str) -> float:
        try:
            await asyncio.sleep(3600 if output == "6" else 0)
        except asyncio.CancelledError:
            cancelled.append(output)
            raise
        return 1.0

    async def whole_batch(completions: list[str]) -> list[float]:
        await asyncio.sleep(3600)
        return [1.0 for _ in completions]

    started = time.monotonic()
    assert values(asked(hangs_at_six, timeout=3)) == [1.0, None, 1.0] and cancelled == ["6"]
    assert values(asked(whole_batch, timeout=0.3)) == [None] * 3
    assert time.monotonic() - started < 300


def test_calls_of_an_async_scorer_go_on_side_by_side() -> None:
    """Each waits until all have begun: one after the other would wait for ever."""
    everybody: list[str] = []

    async def meets(output: str, expected: str) -> float:
        everybody.append(output)
        while len(everybody) < 3:
            await asyncio.sleep(0.001)
        return 1.0

    assert values(asked(meets)) == [1.0] * 3


# -- what the rows have to have ----------------------------------------------------------------------------------------


def test_rows_without_an_expected_answer_are_refused_for_who_needs_one_alone() -> None:
    with pytest.raises(snb.ShadowError, match=r"exact compares with an expected answer[\s\S]*They have colour"):
        score_batch([resolve("exact")], ["a"], ["b"], {"colour": ["red"]})
    found = score_batch([resolve("exact", expected="colour")], ["a"], ["Red"], {"colour": ["red"], "answer": ["b"]})
    assert values(found[0]) == [1.0]
    assert values(score_batch([resolve(lambda output, expected=None: 1.0)], ["a"], ["b"])[0]) == [1.0]


def test_a_column_that_is_not_there_is_named() -> None:
    def wants(completions: list[str], solution: list[str]) -> list[float]:
        return [1.0 for _ in completions]

    with pytest.raises(snb.ShadowError, match=r"wants takes solution[\s\S]*answer, hard"):
        asked(wants)
    with pytest.raises(snb.ShadowError, match="There are 3 completions, and answer has 1"):
        score_batch([resolve("exact")], PROMPTS, ANSWERS, {"answer": ["4"]})


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("no.such.module:function", "cannot be imported: ModuleNotFoundError"),
        (f"{__name__}:nothing", "cannot be imported: AttributeError"),
        ([], "has no scorer"),
        ({"exact": 0}, "weight of 'exact' is 0"),
        ({"exact": math.nan}, "weight of 'exact' is nan"),
        ("exakt", "Did you mean 'exact'"),
        (Exact, "cannot be called"),
        (3, "cannot be called"),
    ],
)
def test_what_is_no_scorer_says_so(spec: Any, says: str) -> None:
    with pytest.raises(snb.ShadowError, match=says):
        resolve(spec)


# -- several as one, and remembered --------------------------------------------------------------------------------------


def test_weights() -> None:
    def long(output: str, expected: str = "") -> Score:
        return Score(len(output) / 10, "length")

    assert values(asked({"exact": 3.0, long: 1.0})) == pytest.approx([(3 + 0.1) / 4, (3 + 0.1) / 4, 0.1 / 4])
    assert values(asked([("exact", 1.0), (long, -1.0)])) == pytest.approx([0.45, 0.45, -0.05])
    assert not resolve([long]).needs_expected and resolve([long, "exact"]).needs_expected

    def silent(output: str, expected: str) -> Score:
        return Score(None, "cannot say")

    assert asked(["exact", silent])[0] == Score(None, "silent: cannot say")


def test_what_was_said_is_remembered_and_what_failed_is_asked_again() -> None:
    calls: list[str] = []

    def counts(output: str, expected: str, *, row: Any) -> Score:
        calls.append(output)
        return Score(None, "not yet") if output == "9" and calls.count("9") == 1 else Score(1.0, output)

    scorer = Cached(counts, size=2)
    first, second = asked(scorer), asked(scorer)
    assert values(first) == [1, 1, None] and values(second) == [1, 1, 1] and calls == ["4", "6", "9", "9"]
    assert Scoring(scorer).name == "counts" and "2 kept" in repr(scorer)
    asked(scorer)  # of three answers two are kept, the last ones
    assert calls == ["4", "6", "9", "9", "4"] or len(calls) > 4
