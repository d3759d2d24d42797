"""A policy scored by the episodes that it plays, and tasks of reasoning-gym as rows with a scorer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.scoring import Sample, Scoring
from shadownb.errors import ConfigError, MissingDependencyError
from tests.environments import games

ROWS = [{"prompt": f"Number {n}?", "number": n} for n in range(4)]


@pytest.fixture
def model(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SHADOWNB_HOME", str(tmp_path / "home"))
    return snb.load(str(folder), max_length=400, dtype="float32")


def test_a_model_is_scored_with_an_interval_and_plays_the_same_again(model: Any) -> None:
    found = snb.environments.play(model, games.Vowels, ROWS, n=3, max_tokens=200, seed=1)
    assert len(found.episodes) == 12 and found.rows == (0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3)
    assert found.endings == {"done": 12} and found.unscored == 0 and found.turns == 3.0
    assert found.mean == pytest.approx(sum(episode.reward or 0 for episode in found.episodes) / 12)
    assert found.reward.low <= found.mean <= found.reward.high
    assert str(found).startswith(f"reward {found.mean:.3f}") and "12 done" in str(found)
    again = snb.environments.play(model, games.Vowels, ROWS, n=3, max_tokens=200, seed=1)
    other = snb.environments.play(model, games.Vowels, ROWS, n=3, max_tokens=200, seed=2)
    assert [e.token_ids for e in again.episodes] == [e.token_ids for e in found.episodes]
    assert [e.token_ids for e in other.episodes] != [e.token_ids for e in found.episodes]


def test_what_has_no_reward_is_counted_and_in_no_mean(model: Any) -> None:
    found = snb.environments.play(model, games.Breaks, ROWS, max_tokens=200)
    assert found.unscored == 2 and found.reasons == {"reset() raised RuntimeError: no board": 2}
    assert found.mean == 2.0 and "2 without a reward: reset() raised" in str(found)


def test_what_cannot_be_played_is_refused(model: Any) -> None:
    endpoint = snb.Endpoint("http://127.0.0.1:9/v1", model="x")
    for who, environment, message in (
        (endpoint, games.Vowels, "it has no token ids"),
        (model, games.Vowels(), "cannot be called"),
        (model, dict, "has no reset"),
    ):
        with pytest.raises(ConfigError, match=message):
            snb.environments.play(who, environment, ROWS)


def test_reasoning_gym_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(MissingDependencyError, match="reasoning-gym is not installed"):
        snb.environments.reasoning_gym("leg_counting", size=3)


def test_any_task_of_reasoning_gym_is_rows_with_a_scorer() -> None:
    pytest.importorskip("reasoning_gym")
    data = snb.environments.reasoning_gym("leg_counting", size=5, seed=3)
    assert data.format == "prompt" and len(data) == 5
    rows = [row["columns"] for row in data.keeping(["*"]).canonical_rows()]

    scorer = Scoring("reasoning_gym")
    assert [scorer.ask(Sample(f"<answer>{row['answer']}</answer>", "", row=row)).value for row in rows] == [1.0] * 5
    assert all(scorer.ask(Sample("<answer>-1</answer>", "", row=row)).value < 0.1 for row in rows)  # type: ignore[operator]
    with pytest.raises(ConfigError, match="task='leg_count' is not one of reasoning-gym"):
        snb.environments.reasoning_gym("leg_count")
    with pytest.raises(ConfigError, match="cannot be made with"):
        snb.environments.reasoning_gym("leg_counting", animals=1)
    assert "no column 'reasoning_gym'" in scorer.ask(Sample("x", "", row={})).reason
