"""The lab finds what fools a reward, and accuses none that is sound."""

from __future__ import annotations

import json
import time
from itertools import count
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.sandbox import SandboxError, find_wall
from shadownb.engine.scoring import Contains, Exact, JsonFields, Score, Weighted, lab, make
from tests.scoring.gameable import CALLS, CODE, GAMEABLE, NEWS, SUMS, contains_it, math_by_parts

COLOURS = [
    {"prompt": f"Which colour has {thing}?", "completion": colour}
    for thing, colour in (("snow", "white"), ("coal", "black"), ("blood", "red"), ("grass", "green"))
]
COMPLAINTS = (
    ("It burns!", "safety", True),
    ("Where is my bill?", "billing", False),
    ("It came broken.", "returns", False),
)
TICKETS = [
    {"prompt": f"Sort: {text}", "completion": json.dumps({"queue": queue, "urgent": urgent})}
    for text, queue, urgent in COMPLAINTS
]
PLATES = [{"prompt": f"Read plate {n}.", "completion": f"AB-{n}"} for n in (123, 456, 789)]


def is_the_colour(output: str, expected: str) -> Score:
    said = output.strip(" .!\n").lower()
    return Score(float(said == expected), f"said {said!r}")


SOUND: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "exact": (Exact(), COLOURS),
    "json_exact": ("json_exact", TICKETS),
    "json_fields": (JsonFields(weights={"queue": 3}), TICKETS),
    "numeric": ("numeric", SUMS),
    "contains": (Contains(options=[row["completion"] for row in COLOURS]), COLOURS),
    "regex": ("regex", PLATES),
    "tool_call": ("tool_call", CALLS),
    "code": ("code", CODE),
    "token_f1": ("token_f1", NEWS),
    "rouge": ("rouge", NEWS),
    "a function": (is_the_colour, COLOURS),
    "weighted": (Weighted({"numeric": 1.0, "repetition": 0.1}), SUMS),
}


def a_wall_for(name: str) -> None:
    if name == "code":
        try:
            find_wall()
        except SandboxError as error:
            pytest.skip(error.as_text())


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_scorer_is_accused_of_nothing(name: str) -> None:
    a_wall_for(name)
    scorer, rows = SOUND[name]
    report = lab(scorer, rows, expected="tests" if name == "code" else None)
    assert report.sound and report.separation == 1.0, str(report)
    assert len(report.good) == len(rows) and len(report.bad) >= len(rows)
    assert "Nothing found" in str(report)


@pytest.mark.parametrize("reward", GAMEABLE, ids=lambda reward: reward.__name__)
def test_the_loophole_of_a_gameable_reward_is_found_and_shown(reward: Any) -> None:
    rows, hack = GAMEABLE[reward]
    report = lab(reward, rows)
    assert not report.sound
    if hack is None:
        assert report.separation == 0.5 and "gives 0.5 to every answer" in report.findings[0]
        return
    found = {each.hack: each for each in report.fooled}
    assert hack in found, str(report)
    best = found[hack].best
    assert best.value is not None and report.median_good is not None
    assert found[hack].close == (best.value < report.median_good) and found[hack].close == (reward is math_by_parts)
    assert repr(best.text)[:100] in str(report)


def test_good_and_bad_may_be_texts_rows_or_preferences() -> None:
    texts = lab("exact", ["red", "blue", "green"])
    assert [each.expected for each in texts.good] == ["red", "blue", "green"]
    assert {each.text for each in texts.bad if each.expected == "red"} == {"blue", "green"}
    pairs = lab("exact", [{"prompt": "q", "chosen": "yes", "rejected": "no"}])
    assert [each.text for each in pairs.bad] == ["no"]
    chat = lab(
        "exact",
        snb.Dataset.of([{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "yes"}]}]),
        ["no", "never"],
    )
    assert [each.text for each in chat.bad] == ["no", "never"] and chat.good[0].prompt == "q"
    by_prompt = lab("exact", COLOURS, [{"prompt": COLOURS[2]["prompt"], "completion": "blue"}])
    assert [(each.text, each.expected) for each in by_prompt.bad] == [("blue", "red")]


def test_functions_of_trl_get_what_a_training_gives_them() -> None:
    seen: list[Any] = []

    def reward(prompts: Any, completions: Any, colour: Any) -> list[float]:
        seen.extend(completions)
        return [
            float(completion[0]["content"] == wanted) for completion, wanted in zip(completions, colour, strict=True)
        ]

    rows = [{"prompt": [{"role": "user", "content": row["prompt"]}], "colour": row["completion"]} for row in COLOURS]
    assert lab(reward, rows, expected="colour").sound
    assert seen[0] == [{"role": "assistant", "content": "white"}]


def test_a_scorer_that_is_not_steady_is_named() -> None:
    calls = count()

    def moody(output: str, expected: str) -> float:
        return float(output == expected) + next(calls) / 1e6

    report = lab(moody, COLOURS)
    assert len(report.unsteady) == 4 and any("Asked again" in finding for finding in report.findings)


def test_answers_without_a_score_are_counted_with_the_reason() -> None:
    def careful(output: str, expected: str) -> Score:
        return Score(None, "too short to judge") if len(output) < 4 else Score(float(output == expected))

    report = lab(careful, COLOURS)
    assert report.missing == {"too short to judge": sum(len(each.text) < 4 for each in (*report.good, *report.bad))}
    assert any("too short to judge" in finding for finding in report.findings)


def test_the_histogram_counts_every_score_once() -> None:
    report = lab(contains_it, SUMS)
    histogram = report.histogram()
    assert sum(histogram["good"]) == len(report.good) and sum(histogram["bad"]) == len(report.bad)
    assert sum(histogram["hacks"]) == len(report.hack_values) and len(histogram["edges"]) == len(histogram["good"]) + 1
    json.dumps(report.to_dict(), allow_nan=False)

    def wide(output: str, expected: str) -> float:
        return 10.0 if output == expected else -10.0

    edges = lab(wide, SUMS).histogram()["edges"]
    assert (edges[0], edges[-1]) == (-10.0, 10.0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("exact", []), "good has no answers"),
        (("exact", ["a", "a"]), r"no wrong answers[\s\S]*same answer"),
        (("exact", [3]), "Answer 0 is a int"),
        (("exact", [{"colour": "red"}]), r"Row 0 has no right answer[\s\S]*colour"),
        (("exact", ["a"], [{"colour": "red"}]), "bad: row 0 has no answer"),
        (("exakt", ["a"], ["b"]), "Did you mean 'exact'"),
        ((lambda output, expected: None, ["a"], ["b"]), "gave no score"),
    ],
)
def test_what_cannot_be_looked_at_says_why(arguments: Any, says: str) -> None:
    with pytest.raises(snb.ShadowError, match=says):
        lab(*arguments)


def test_many_rows_are_sampled_and_progress_is_told() -> None:
    rows = [{"prompt": f"{n}?", "completion": str(n)} for n in range(1000)]
    told: list[float] = []
    started = time.monotonic()
    report = lab("numeric", rows, max_rows=10, progress=told.append)
    assert [each.text for each in report.good] == [str(n) for n in range(0, 1000, 100)]
    assert told == sorted(told) and told[-1] == 1.0 and time.monotonic() - started < 120


def test_the_name_of_a_registered_scorer_is_enough() -> None:
    assert lab("token_f1", NEWS).scorer == "token_f1" == make("token_f1").name
