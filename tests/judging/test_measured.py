"""A judge measured over groups: position, disagreements, what was said before; rows and evaluations as what is judged."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.errors import ConfigError, DataError
from tests.evals.contestants import right_up_to, rows
from tests.judging.scripted import ScriptedJudge, verdicts


def attempts(task: str, *given: tuple[str, float | None]) -> list[Any]:
    asked = {"role": "user", "content": task}
    return [snb.Trajectory([asked, {"role": "assistant", "content": text}], reward=said) for text, said in given]


def right(text: str) -> bool:
    return "right" in text


def knows(errs: str = "") -> ScriptedJudge:
    """A judge that knows what is right, but for answers with a certain text in them."""
    return ScriptedJudge(
        lambda shown, _: verdicts(
            {name: 9 if right(text) != (bool(errs) and errs in text) else 1 for name, text in shown.items()}
        )
    )


def test_ratings_that_attempts_had_before_measure_the_judge() -> None:
    episodes = [
        each
        for n in range(12)
        for each in attempts(
            f"Task {n}", (f"right {n}", 1.0), (f"wrong {n}{'!' * (n % 5)}", 0.0), (f"right so {n}", None)
        )
    ]
    judged = snb.judge(episodes, knows("right 7"))
    found = judged.calibrate()
    assert (found.people, found.items) == (24, 36) and found.agreement == pytest.approx(23 / 24)
    assert (
        not found.by_chance and found.length is not None and found.position is not None and found.position.groups == 12
    )
    assert found.interval[0] <= found.mean <= found.interval[1] and found.kappa_interval is not None
    assert "No bias by position was seen" in str(found)
    first = judged.disagreements()[0]
    assert (first.kind, first.group, first.attempt) == ("people", 7, 0) and first.gap == pytest.approx(0.9)
    assert len(judged.disagreements()) == 1
    nobody = snb.judge(attempts("Task", ("right", None), ("wrong", None)), knows())
    with pytest.raises(DataError, match="judged 0 of 2 items"):
        nobody.calibrate()


def test_disagreements_with_rankings_and_with_itself_come_behind_those_with_people() -> None:
    ranked = attempts("Ranked", ("right", None), ("wrong", None))
    for place, each in enumerate(ranked):
        each.metrics["rank"] = 2.0 - place
    first_is_best = ScriptedJudge(
        lambda shown, prompt: verdicts(
            {
                name: 9 - 5 * place if "Moved" in prompt else 9 if right(text) else 1
                for place, (name, text) in enumerate(shown.items())
            }
        )
    )
    groups = [
        attempts("Moved", ("one", None), ("other", None)),
        ranked,
        attempts("Rated", ("wrong", 1.0), ("right", None)),
    ]
    judged = snb.judge([each for group in groups for each in group], first_is_best, orders=2)
    found = judged.disagreements()
    assert [(each.kind, each.group) for each in found] == [("people", 2), ("ranking", 1), ("orders", 0)]
    assert "People rank attempt 2 before attempt 1" in found[1].what
    assert judged.position is not None and judged.position.value == pytest.approx(5 / 30)
    many = [each for n in range(9) for each in attempts(f"Moved {n}", ("one", None), ("other", None))]
    moved = snb.judge(many, first_is_best, orders=2)
    assert str(moved.position).startswith("It favours what stands first: +0.50")


def test_rows_are_judged_with_what_they_say_themselves() -> None:
    pairs = [
        {
            "prompt": [{"role": "user", "content": f"Ask {n}"}],
            "chosen": [{"role": "assistant", "content": "right"}],
            "rejected": [{"role": "assistant", "content": "wrong"}],
        }
        for n in range(6)
    ]
    judged = snb.judge(pairs, knows())
    assert len(judged) == 6 and judged[0].rewards == [0.9, 0.1]
    assert judged.calibrate().agreement == 1.0
    told = [{"prompt": "Ask", "completion": "wrong", "label": False}]
    assert snb.judge(told, knows())[0][0].metrics["reward_before"] == 0.0
    chats = snb.Dataset.from_list(
        [{"messages": [{"role": "user", "content": "Ask"}, {"role": "assistant", "content": "right"}]}]
    )
    assert snb.judge(chats, knows())[0].rewards == [0.9]
    for nothing in ([{"prompt": "Only asked."}], [{"text": "Only told."}]):
        with pytest.raises(DataError, match="no answer"):
            snb.judge(nothing, knows())


def test_an_evaluation_is_judged_beside_its_grades(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path))
    suite = snb.suites.rows(rows(10), snb.Exact(), name="held_out")
    evaluation = snb.evaluate({"base": right_up_to("b", 3), "tuned": right_up_to("t", 8)}, suite)
    agrees = ScriptedJudge(
        lambda shown, prompt: verdicts({name: 9 if text.startswith("answer") else 1 for name, text in shown.items()})
    )
    judged = snb.judge(evaluation, agrees)
    assert len(judged) == 10 and all(len(group) == 2 for group in judged)
    assert [each.metadata["side"] for each in judged[0]] == ["base", "tuned"]
    assert sum(each.metrics["reward_before"] for group in judged for each in group) == 11


def test_a_part_is_drawn_progress_is_told_and_a_stop_keeps_what_was_judged() -> None:
    many = [each for n in range(40) for each in attempts(f"Task {n}", (f"right {n}", None), (f"wrong {n}", None))]
    seen: list[tuple[int, int]] = []
    part = snb.judge(many, knows(), limit=10, progress=lambda done, total: seen.append((done, total)))
    assert len(part) == 10 and [g.task for g in part] == [g.task for g in snb.judge(many, knows(), limit=10)]
    assert seen[-1] == (20, 20) and seen[0][1] == 20
    stop = threading.Event()
    half = snb.judge(
        many, knows(), progress=lambda done, _: stop.set() if done >= 32 else None, should_stop=stop.is_set
    )
    assert 0 < half.unscored < 80 and "it was stopped before" in repr(half)
    for wrong in (0, True, 1.5):
        with pytest.raises(ConfigError, match="limit="):
            snb.judge(many, knows(), limit=wrong)  # type: ignore[arg-type]
