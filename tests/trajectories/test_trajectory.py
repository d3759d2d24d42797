"""Trajectory and TrajectoryGroup: facts, JSON, advantages, pairs, groups, and how they look."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.trajectories import CallFacts, Trajectory, TrajectoryGroup, episodes, group, weighted_rows
from shadownb.errors import ConfigError, DataError, ShadowWarning

from .calls import answer, call, result, system, user


def attempt(text: str, reward: float, ask: str = "A poem", **more: Any) -> Trajectory:
    return Trajectory([user(ask), {"role": "assistant", "content": text}], reward=reward, **more)


@pytest.fixture
def loop() -> Trajectory:
    """An episode of two calls with a tool, reasoning and text that is no HTML."""
    ask = [system("Be <brief>."), user("Weather in <Paris>?")]
    wants = answer("Let me look.", ("c1", "weather", {"city": "<Paris>"}), reasoning_content="I need <the tool>.")
    tools = [{"type": "function", "function": {"name": "weather", "description": "The <weather>", "parameters": {}}}]
    facts: dict[str, Any] = {"usage": {"prompt_tokens": 5, "total_tokens": 9}, "cost": 0.5, "tools": tools}
    (found,) = episodes(
        [
            call(ask, wants, started_at=100.0, **facts),
            call([*ask, wants, result("c1", "<rain>")], answer("Rain & <wind>."), started_at=103.0, **facts),
        ]
    )
    return found


def test_facts(loop: Trajectory) -> None:
    assert loop.final_content() == "Rain & <wind>."
    assert loop.first_user_content() == "Weather in <Paris>?"
    assert loop.tool_calls == [{"id": "c1", "name": "weather", "arguments": {"city": "<Paris>"}}]
    assert loop.usage == {"prompt_tokens": 10, "total_tokens": 18}
    assert (loop.cost, loop.started_at, loop.duration_s) == (1.0, 100.0, 3.5)
    assert loop.models == ["frontier-1"]


def test_an_unknown_cost_is_not_zero(loop: Trajectory) -> None:
    free = Trajectory([user("Hi")], calls=[CallFacts("a", 1, cost=0.0)])
    unknown = Trajectory([user("Hi")], calls=[CallFacts("a", 1, cost=0.5), CallFacts("b", 3)])
    assert (free.cost, unknown.cost, Trajectory([user("Hi")]).cost) == (0.0, None, None)


def test_json_round_trip(loop: Trajectory) -> None:
    loop.reward, loop.metrics, loop.logs = 0.25, {"accuracy": 1.0}, ["scored"]
    assert Trajectory.from_json(loop.to_json()) == loop
    assert Trajectory.from_dict({**json.loads(loop.to_json()), "of_a_later_version": 1}) == loop
    both = TrajectoryGroup([loop, attempt("Roses", 1.0)], metrics={"spread": 0.75}, logs=["two"])
    again = TrajectoryGroup.from_dict(json.loads(json.dumps(both.to_dict())))
    assert (again.trajectories, again.metrics, again.logs) == (both.trajectories, both.metrics, both.logs)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"messages": "Hi"}', '{"messages": ["Hi"]}'])
def test_what_is_no_trajectory_is_refused(content: str) -> None:
    with pytest.raises(DataError):
        Trajectory.from_json(content)


# -- groups -----------------------------------------------------------------------------------------------------------------


def test_advantages() -> None:
    found = TrajectoryGroup([attempt("a", 1.0), attempt("b", 0.0), attempt("c", 0.5), attempt("d", 0.5)])
    assert sum(found.advantages()) == pytest.approx(0)
    assert found.advantages() == pytest.approx([2**0.5, -(2**0.5), 0, 0])
    assert found.advantages(scale=False) == [0.5, -0.5, 0, 0]
    assert (found.best().final_content(), found.worst().final_content()) == ("a", "b")


def test_ties_have_no_advantage() -> None:
    # 0.1 three times has a mean that is not 0.1 in floating point; the advantage must still be nothing at all.
    assert TrajectoryGroup([attempt("a", 0.1), attempt("b", 0.1), attempt("c", 0.1)]).advantages() == [0.0, 0.0, 0.0]
    assert TrajectoryGroup([attempt("a", 0.7)]).advantages() == [0.0]
    assert TrajectoryGroup([]).advantages() == []
    with pytest.raises(DataError):
        TrajectoryGroup([]).best()


UNSCORED = Trajectory([user("A poem"), {"role": "assistant", "content": "nobody looked"}])


def test_an_attempt_that_nothing_has_scored_is_no_failed_one() -> None:
    """It is in no mean, no spread and no pair; counted as 0 it would lift the good attempt from 0.5 to 0.67 over the mean."""
    found = TrajectoryGroup([attempt("a", 1.0), UNSCORED, attempt("b", 0.0)])
    assert found.rewards == [1.0, None, 0.0]
    assert found.advantages() == [1.0, 0.0, -1.0] and found.advantages(scale=False) == [0.5, 0.0, -0.5]
    assert (found.best().final_content(), found.worst().final_content()) == ("a", "b")
    with pytest.warns(ShadowWarning, match="1 of 3 attempts have no reward"):
        (pair,) = found.preference_rows()
    assert "nobody looked" not in json.dumps(pair)
    with pytest.warns(ShadowWarning, match="1 of 3 attempts have no reward"):
        assert [row["weight"] for row in weighted_rows([found])] == [1.0, -1.0]
    assert repr(found) == "TrajectoryGroup(3 trajectories, rewards 0 to 1, 1 without)"
    assert "none" in Balanced(found._repr_html_()).text


@pytest.mark.filterwarnings("error")
def test_attempts_of_which_none_is_scored_say_so() -> None:
    found = TrajectoryGroup([UNSCORED, UNSCORED])
    assert found.advantages() == [0.0, 0.0] and found.preference_rows() == []
    for ask in (found.best, found.worst):
        with pytest.raises(DataError, match="None of the 2 attempts has a reward"):
            ask()
    with pytest.raises(DataError, match="different rewards"):
        weighted_rows([found])


@pytest.mark.parametrize("reward", [None, 0.0, -1.5])
def test_a_missing_reward_and_one_of_zero_are_kept_apart(reward: float | None) -> None:
    made = Trajectory([user("Hi")], reward=reward)
    assert Trajectory.from_json(made.to_json()).reward == reward
    assert ("reward" in made.to_dict()) == (reward is not None)
    page = Trajectory([user("Hi")], reward=reward, metrics={"f1": 0.5})._repr_html_()
    assert ("reward" in page) == (reward is not None) and "f1 0.5" in page


def test_all_pairs_with_a_margin() -> None:
    found = TrajectoryGroup([attempt("low", 0.1), attempt("high", 1.0), attempt("middle", 0.6), attempt("same", 0.6)])
    rows = found.preference_rows()
    pairs = [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows]
    assert pairs[0] == ("high", "low")
    assert set(pairs) == {
        ("high", "low"), ("middle", "low"), ("same", "low"), ("high", "middle"), ("high", "same"),
    }  # fmt: skip
    assert [row["margin"] for row in rows] == pytest.approx([0.9, 0.5, 0.5, 0.4, 0.4])
    assert len(found.preference_rows(margin=0.45)) == 3
    assert len(found.preference_rows(pairs="best_worst")) == 1
    data = snb.Dataset.from_list(rows)
    assert (data.format, data.report.valid) == ("preference", 5)
    with pytest.raises(ConfigError, match="margin"):
        found.preference_rows(margin=-1)


def test_pairs_share_what_both_attempts_share() -> None:
    begin = [user("Hi"), {"role": "assistant", "content": "Hello."}, user("A poem")]
    good = Trajectory([*begin, {"role": "assistant", "content": "Roses"}], reward=1)
    bad = Trajectory([*begin, {"role": "assistant", "content": "No"}], reward=0)
    longer = Trajectory([*begin, {"role": "assistant", "content": "No"}, user("Why?"), answer("So.")], reward=0.5)
    (row,) = TrajectoryGroup([good, bad]).preference_rows()
    assert row["prompt"] == begin
    # One is the beginning of the other: the prompt ends before the last answer that both have.
    (row,) = TrajectoryGroup([longer, bad]).preference_rows()
    assert (row["prompt"], len(row["chosen"]), len(row["rejected"])) == (begin, 3, 1)
    other = Trajectory([*begin[:2], user("A joke"), {"role": "assistant", "content": "No"}], reward=0)
    (row,) = TrajectoryGroup([good, other]).preference_rows()
    assert row["prompt"] == begin[:1]  # where they part the user speaks, so the answer before belongs to both sides
    assert TrajectoryGroup([good, Trajectory(good.messages, reward=0)]).preference_rows() == []
    assert TrajectoryGroup([good, attempt("Roses", 0.0, ask="Something else")]).preference_rows() == []


def test_grouping_by_task() -> None:
    one = attempt("a", 1, metadata={"env": "x"})
    dated = Trajectory([system("Today is Monday."), user("A poem"), answer("b")])
    other = attempt("c", 1, ask="A story", metadata={"env": "x"})
    assert [g.trajectories for g in group([one, other, dated])] == [[one, dated]]
    assert [len(g) for g in group([one, other, dated], min_size=1)] == [2, 1]
    assert [g.trajectories for g in group([one, dated, other], by="env")] == [[one, other]]
    assert [len(g) for g in group([one, dated, other], by=lambda t: t.reward)] == [2]
    named = [attempt("a", 1, ask=str(n), metadata={"task": "t1"}) for n in range(2)]
    assert [len(g) for g in group(named)] == [2]
    with pytest.raises(ConfigError, match="min_size"):
        group([], min_size=0)


def test_weighted_rows() -> None:
    decided = TrajectoryGroup([attempt("a", 1), attempt("b", 0)])
    tied = TrajectoryGroup([attempt("a", 1), attempt("b", 1)])
    assert [row["weight"] for row in weighted_rows([tied, decided])] == [1.0, -1.0]
    with pytest.raises(DataError, match="different rewards"):
        weighted_rows([tied])


# -- display ----------------------------------------------------------------------------------------------------------------


class Balanced(HTMLParser):
    """Collects tags and text, and fails where tags are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.folded = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if "details" in self.open:
            self.folded += data


def test_a_conversation_is_shown_whole_and_escaped_with_tools_folded(loop: Trajectory) -> None:
    page = Balanced(loop._repr_html_())
    for text in ("Weather in <Paris>?", "Rain & <wind>.", "calls weather", '"city": "<Paris>"', "I need <the tool>."):
        assert text in page.text
    for text in ('"city": "<Paris>"', "I need <the tool>.", "<rain>", "The <weather>", "Be <brief>."):
        assert text in page.folded
    assert "Weather in <Paris>?" not in page.folded
    assert not {"script", "style", "link", "paris", "rain"} & set(page.tags)
    # Nothing that only one of a light and a dark page can show: no solid background, no black or white.
    assert "background:#" not in loop._repr_html_() and "color:#" not in loop._repr_html_()


def test_a_group_and_odd_messages_are_shown(loop: Trajectory) -> None:
    page = Balanced(TrajectoryGroup([loop, attempt("Roses", 0.0)])._repr_html_())
    assert "2 attempts" in page.text and "Roses" in page.text
    odd = Trajectory(
        [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]},
            {"role": "assistant"},
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{broken"}}]},
            user("x" * 30_000),
        ]
    )
    page = Balanced(odd._repr_html_())
    assert "image_url" in page.text and "{broken" in page.text and "10,000 more characters" in page.text
    assert len(Balanced(Trajectory([user("Hi")] * 500)._repr_html_()).text) < 20_000
    Balanced(TrajectoryGroup([])._repr_html_())


def test_reprs_hold_no_content(loop: Trajectory) -> None:
    assert repr(loop) == "Trajectory(5 messages, 2 assistant turns, 1 tool calls)"
    loop.reward = 0.0
    assert repr(loop) == "Trajectory(5 messages, 2 assistant turns, 1 tool calls, reward=0)"
    assert (
        repr(TrajectoryGroup([attempt("a", 1), attempt("b", 0)])) == "TrajectoryGroup(2 trajectories, rewards 0 to 1)"
    )
