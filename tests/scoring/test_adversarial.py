"""Each built-in scorer against answers that want to be taken for right: ``adversarial.yaml`` has the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from shadownb.engine.sandbox import SandboxError, find_wall
from shadownb.engine.scoring import Sample, Score, Scoring, make
from shadownb.engine.scoring.samples import shown

TABLE = yaml.safe_load((Path(__file__).parent / "adversarial.yaml").read_text(encoding="utf-8"))
NAMES = list(TABLE["scorers"])


def task(name: str) -> tuple[Scoring, dict[str, Any]]:
    found = TABLE["scorers"][name]
    if name == "code":
        try:
            find_wall()
        except SandboxError as error:
            pytest.skip(error.as_text())
    return Scoring(make(name, **found.get("options", {}))), found


def scored(scoring: Scoring, found: dict[str, Any], answers: list[str]) -> list[Score]:
    samples: list[Sample] = [shown(found["prompt"], answer, {}, found["expected"]) for answer in answers]
    return scoring.score_many(samples)


@pytest.mark.parametrize("name", NAMES)
def test_right_answers_have_the_best_score_however_they_are_written(name: str) -> None:
    scoring, found = task(name)
    scores = scored(scoring, found, found["right"])
    assert {answer: score.value for answer, score in zip(found["right"], scores, strict=True)} == dict.fromkeys(
        found["right"], 1.0
    )


@pytest.mark.parametrize("name", NAMES)
def test_each_answer_is_worth_what_the_table_says(name: str) -> None:
    scoring, found = task(name)
    answers = list(found["scores"])
    values = {answer: score.value for answer, score in zip(answers, scored(scoring, found, answers), strict=True)}
    assert values == pytest.approx(found["scores"], abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_fifty_adversarial_answers_are_worth_less_than_the_right_one(name: str) -> None:
    scoring, found = task(name)
    assert len(TABLE["everybody"]) >= 50
    filled = [
        template.replace("[right]", found["right"][0])
        .replace("[wrong]", found["wrong"])
        .replace("[prompt]", found["prompt"])
        for template in TABLE["everybody"]
    ]
    fooled = {
        answer: score for answer, score in zip(filled, scored(scoring, found, filled), strict=True)
        if score.value is None or score.value >= 0.95
    }  # fmt: skip
    assert not fooled


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_wordy_answer_is_worth_less_than_a_right_terse_one(name: str) -> None:
    scoring, found = task(name)
    wordy = (
        f"<think>\nStep 1: I read the question with care.\nStep 2: I weighed everything that speaks for and against it.\n</think>\n"
        f"Thank you for the interesting question! After thorough thought, the answer is {found['wrong']}\n\n"
        f"**Why**: it follows from what was given, step by step, and every check confirms it."
    )
    terse, wrong, longer = scored(scoring, found, [found["right"][0], found["wrong"], wordy])
    assert terse.value == 1.0 and wrong.value is not None and wrong.value < 0.5
    assert longer.value is not None and longer.value < 0.5


@pytest.mark.parametrize("name", TABLE["shapes"])
def test_scorers_of_shape_are_not_fooled_by_what_has_it_in_name_only(name: str) -> None:
    found = TABLE["shapes"][name]
    scoring = Scoring(make(name.split(maxsplit=1)[0], **found["options"]))
    values = {answer: scoring.ask(shown("q", answer, {}, "")).value for answer in [*found["right"], *found["scores"]]}
    assert values == pytest.approx({**dict.fromkeys(found["right"], 1.0), **found["scores"]}, abs=1e-3)
    if name in ("repetition", "length"):  # a text that says one thing once, or has these words, is what they ask for
        return
    short = {"[right]": "red", "[wrong]": 'b"lue', "[prompt]": "Which colour is it?"}
    for template in TABLE["everybody"]:
        answer = template
        for mark, text in short.items():
            answer = answer.replace(mark, text)
        value = scoring.ask(shown("Which colour is it?", answer, {}, "")).value
        assert value is not None and (value < 1.0 or (name == "format code" and answer.startswith("```"))), answer


def test_every_built_in_scorer_is_in_the_table() -> None:
    from shadownb.engine import registry

    tested = {*TABLE["scorers"], *(name.split()[0] for name in TABLE["shapes"])}
    assert {
        name for name in registry.names("scorer") if registry.target("scorer", name).startswith("shadownb.")
    } - tested == {"similarity", "reasoning_gym"}  # the last asks another package's verifiers
