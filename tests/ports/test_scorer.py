"""What a scorer owes: every registered one is run through this, and so are toy ones of each kind there may be.

Who writes a scorer adds an example of it to ``EXAMPLES``, or in a package of its own calls :func:`owes`.
"""

from __future__ import annotations

import copy
import math
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine import registry
from shadownb.engine.backends.torch.similarity import Similarity
from shadownb.engine.inference import Reply
from shadownb.engine.sandbox import find_wall
from shadownb.engine.scoring import Cached, Sample, Score, Scorer, ScorerFailed, Scoring, Weighted
from tests.engine.test_registry import installed
from tests.scoring.tiny_encoder import tiny_encoder

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
MESSAGES = [{"role": "system", "content": "Sort."}, {"role": "user", "content": "Where is it?"}]
ODD = ("", " ", "\ud800", "\x00", "[" * 100_000, "NaN", '{"a": 1e999}', "```json\n{}\n```", "ä" * 10_000, "{" * 50)


class RightTool:
    """A toy that looks at all that is shown: whether the tool that the row means was offered and called."""

    name = "right_tool"

    def __call__(
        self, output: str, expected: str, *, prompt: str, messages: Any, tools: Any, row: Any
    ) -> Score | float | None:
        wanted = row.get("must_call")
        if wanted is None:
            return Score(None, f"the row of {prompt!r} does not say which tool is meant")
        assert messages[-1]["content"] == prompt
        offered = [tool["function"]["name"] for tool in tools or ()]
        return Score(float(wanted in offered and wanted in output), f"{wanted} of {', '.join(offered)}")


def share_of_words(output: str, expected: str) -> float:
    """A toy that is a plain function."""
    wanted = set(expected.split())
    return len(wanted & set(output.split())) / len(wanted)


def in_a_batch(completions: list[str], answer: list[str]) -> list[float]:
    """A toy in the shape that trl's trainers know."""
    return [float(given == right) for given, right in zip(completions, answer, strict=True)]


# By name: (the scorer or its name, a sample whose output is right, an output that is wrong).
EXAMPLES: dict[str, tuple[Any, Sample, str]] = {
    "exact": ("exact", Sample("Red", "red"), "blue"),
    "json_exact": ("json_exact", Sample('{"a": 1}', '{"a": 1}'), '{"a": 2}'),
    "right_tool": (
        RightTool(),
        Sample(
            '[{"name": "look"}]', "it", "Where is it?", MESSAGES, TOOLS, {"must_call": "look", "messages": MESSAGES}
        ),
        "I cannot.",
    ),
    "json_fields": ("json_fields", Sample('{"a": 1}', '{"a": 1}'), '{"a": 2}'),
    "numeric": ("numeric", Sample("It is 1,000.", "1000"), "It is 1.000,5"),
    "contains": ("contains", Sample("It is red.", "red"), "blue"),
    "regex": ("regex", Sample("ab", "[a-b]+"), "abc"),
    "tool_call": ("tool_call", Sample('[{"name": "look", "arguments": {}}]', '[{"name": "look"}]'), "I cannot."),
    "code": ("code", Sample("def one(): return 1", "assert one() == 1"), "def one(): return 2"),
    "token_f1": ("token_f1", Sample("It is red", "it is red."), "blue"),
    "rouge": ("rouge", Sample("It is red", "it is red."), "blue"),
    "similarity": (lambda: Similarity(str(tiny_encoder())), Sample("red", "red"), "blue"),
    "tags": ("tags", Sample("<think>a</think><answer>b</answer>", ""), "<answer>b</answer>"),
    "format": ("format", Sample('{"a": 1}', ""), "none"),
    "reasoning_steps": (
        "reasoning_steps",
        Sample("1. one thing that is said\n2. other things that are said\n3. all that was not said", ""),
        "1. one thing that is said",
    ),
    "length": ("length", Sample("three words here", "these three words"), "one"),
    "repetition": ("repetition", Sample("nothing stands here twice", ""), "a a a a a a a"),
    "weighted": (Weighted({"exact": 1.0, "token_f1": 0.5}), Sample("it is red", "It is red"), "it is blue"),
    "cached": (Cached("exact"), Sample("red", "red"), "blue"),
    "a batch": (in_a_batch, Sample("red", "red", row={"answer": "red"}), "blue"),
    "share_of_words": (share_of_words, Sample("a b", "a b"), "c"),
}


def with_output(sample: Sample, output: str) -> Sample:
    return Sample(output, sample.expected, sample.prompt, sample.messages, sample.tools, sample.row)


def owes(scorer: Any, right: Sample, wrong: str) -> None:
    """Run a scorer through what the port asks of every one."""
    scoring = Scoring(scorer)
    assert scoring.name.strip() and scoring.name == Scoring(scorer).name
    before = copy.deepcopy(right)
    best, worse = scoring.ask(right), scoring.ask(with_output(right, wrong))
    for score in (best, worse):
        assert isinstance(score.value, float) and math.isfinite(score.value) and isinstance(score.reason, str)
    assert best.value is not None and worse.value is not None and worse.value < best.value
    assert scoring.refusal(right.expected) is None

    for output in ODD:  # a verdict for whatever a model writes: nothing is raised, and nothing that is no number comes
        score = scoring.ask(with_output(right, output))
        assert score.value is None or score.value <= best.value, output[:20]
        assert score.value is not None or score.reason

    elsewhere: list[Score] = []
    thread = threading.Thread(target=lambda: elsewhere.append(scoring.ask(right)))
    thread.start()
    thread.join()
    assert elsewhere == [best] == [scoring.ask(right)]
    assert right == before, "the arguments are as they were"


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_scorer_gives_what_the_port_asks_for(name: str) -> None:
    if name == "code":
        try:
            find_wall()
        except snb.ShadowError as error:
            pytest.skip(error.as_text())
    scorer, right, wrong = EXAMPLES[name]
    owes(scorer() if name == "similarity" else scorer, right, wrong)


def test_every_registered_scorer_is_among_them() -> None:
    """All but that of a package that need not be here, which ``tests/environments/test_play.py`` looks at."""
    assert set(registry.names("scorer")) - set(EXAMPLES) == {"reasoning_gym"}


@pytest.mark.parametrize("name", registry.names("scorer"))
def test_the_registered_ones_are_scorers_and_are_called_as_they_are_registered(name: str) -> None:
    made = registry.resolve("scorer", name)()
    assert isinstance(made, Scorer) and made.name == name == Scoring(name).name


def upside_down(output: str, expected: str) -> float:
    return float(output != expected)


def raises(output: str, expected: str) -> float:
    return len(output) / 0


def changes(output: str, expected: str, messages: Any) -> float:
    messages.append({})
    return float(output == expected)


def only_in_the_main_thread(output: str, expected: str) -> float:
    return float(output == expected and threading.current_thread() is threading.main_thread())


def likes_length(output: str, expected: str) -> float:
    return float(len(output) if output != "bb" else 0)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (upside_down, "1.0 < 0.0"),
        (raises, "ZeroDivisionError"),
        (changes, "as they were"),
        (only_in_the_main_thread, r"\[Score\(value=0.0, reason=''\)\] == \[Score\(value=1.0"),
        (likes_length, "100000.0 <= 1.0"),
    ],
)
def test_the_suite_notices(broken: Any, says: str) -> None:
    with pytest.raises((AssertionError, ScorerFailed), match=says):
        owes(broken, Sample("a", "a", "q", [{"role": "user", "content": "q"}]), "bb")


# -- a verdict that is missing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (Score(None, "no key of the exam"), "no key of the exam"),
        (None, "returned None"),
        (Score(None), "returned None"),
        (math.nan, "gave nan"),
        (Score(math.inf, "very good"), "gave inf"),
        ("good", "returned 'good', not a number"),
        (ValueError("no such row"), "raised no such row"),
        (MemoryError(), "raised MemoryError"),
    ],
)
def test_a_missing_verdict_is_none_with_the_reason_and_never_a_number(returned: Any, reason: str) -> None:
    def scorer(output: str, expected: str) -> Any:
        if isinstance(returned, Exception):
            raise returned
        return returned

    score = Scoring(scorer).score(Sample("a", "a"))
    assert score.value is None and reason in score.reason


class Table:
    """A model that answers from a table."""

    trained = ("run", 1)

    def __init__(self, **answers: str) -> None:
        self.answers = answers

    def chat(self, conversations: list[list[dict[str, Any]]], *, use: str, **_: Any) -> list[Reply]:
        return [Reply(self.answers[turns[-1]["content"]] if use == "tuned" else "?") for turns in conversations]


def row(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **more}


def test_a_row_that_cannot_be_judged_is_in_no_mean() -> None:
    """Of the right, the unjudged and the wrong answer the mean is a half: a third would count what is missing as wrong."""
    rows = [row(q, "x", must_call="look" if q != "b" else None, tools=TOOLS) for q in "abc"]
    found = snb.compare(Table(a="look", b="look", c="no"), snb.Dataset.of(rows, ignore=["must_call"]), RightTool())
    assert [r.index for r in found] == [0, 2] and (found.base, found.tuned) == (0.0, 0.5)
    assert [(r.index, r.reason) for r in found.unscored] == [(1, "the row of 'b' does not say which tool is meant")]


def test_rows_without_a_verdict_at_the_beginning_end_nothing() -> None:
    """A scorer that says why it cannot judge the first rows works; one that returns nothing at all has forgotten to."""
    rows = [row(q, "x", must_call="look" if q > "d" else None, tools=TOOLS) for q in "abcde"]
    found = snb.compare(
        Table(**dict.fromkeys("abcde", "look")), snb.Dataset.of(rows, ignore=["must_call"]), RightTool()
    )
    assert [r.index for r in found] == [4] and found.tuned == 1.0


# -- how one is given --------------------------------------------------------------------------------------------------


def test_a_scorer_goes_by_its_name() -> None:
    rows = [row("a", "1"), row("b", "2")]
    found = snb.compare(Table(a="1", b="3"), rows, "exact")
    assert (found.scorer, found.tuned) == ("exact", 0.5)
    with pytest.raises(snb.ShadowError, match=r"No scorer is named 'json_exat'\. Did you mean 'json_exact'"):
        snb.compare(Table(), rows, "json_exat")


@pytest.mark.parametrize(
    ("scorer", "shown"),
    [
        (lambda output, expected: 1.0, set()),
        (lambda output, expected, prompt=None: 1.0, {"prompt"}),
        (
            lambda prompt, row: 1.0,
            set(),
        ),  # the first two are the output and the expected answer, whatever they are called
        (lambda output, expected, /, row, *, tools: 1.0, {"row", "tools"}),
        (lambda output, expected, **more: 1.0, {"prompt", "messages", "tools", "row", "completion"}),
        (lambda *both: 1.0, set()),
        (max, set()),
    ],
)
def test_a_scorer_is_shown_what_it_names(scorer: Any, shown: set[str]) -> None:
    assert set(Scoring(scorer)._takes) == shown


@pytest.mark.parametrize("scorer", [lambda output: 1.0, lambda output, expected, question: 1.0, lambda: 1.0])
def test_what_cannot_be_called_says_what_a_scorer_may_take(scorer: Any) -> None:
    with pytest.raises(snb.ShadowError, match=r"scorer\(output, expected\)[\s\S]*prompt, messages, tools, row"):
        Scoring(scorer)


def test_a_registered_class_that_needs_arguments_says_how_to_make_it() -> None:
    registry.register("scorer", "needy", f"{__name__}:Needy")
    try:
        with pytest.raises(snb.ShadowError, match=r"scorer='needy'[\s\S]*scorer=Needy\(\.\.\.\)"):
            Scoring("needy")
    finally:
        registry.unregister("scorer", "needy")


class Needy:
    def __init__(self, key: str) -> None:
        self.key = key


OUTSIDE = '''
"""A package of somebody else's: one file, one entry point."""

import shadownb as snb
from shadownb.engine.scoring import Score


def register(add):
    add("scorer", "first_word", f"{__name__}:FirstWord")


class FirstWord:
    name = "first_word"

    def __call__(self, output, expected, *, row):
        if row.get("graded") is False:
            return Score(None, "left out by its teacher")
        return Score(float(output.split()[:1] == expected.split()[:1]), "the first word")
'''

USED = """
import sys, shadownb as snb
from tests.ports.test_scorer import Table, owes, row, Sample
owes("first_word", Sample("Yes, it is", "Yes, sir"), "No")
rows = snb.Dataset.of([row("a", "Yes, sir"), row("b", "No", graded=False), row("c", "No")], ignore=["graded"])
found = snb.compare(Table(a="Yes, it is", b="No", c="Why"), rows, "first_word")
print(found.scorer, found.tuned, [r.reason for r in found.unscored])
"""


def test_a_scorer_from_outside_is_one_file_and_an_entry_point(tmp_path: Path) -> None:
    environment = installed(tmp_path, teacher="outside_scorer:register")
    (tmp_path / "outside_scorer.py").write_text(OUTSIDE, encoding="utf-8")
    environment["PYTHONPATH"] += os.pathsep + str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", USED], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "first_word 0.5 ['left out by its teacher']", done.stderr
