"""Runs of today's agent frameworks come out as one tree a task: who handed what to whom, how sure that is, and which rows it makes.

``data/agents`` has small runs against a scripted upstream, recorded through a capture: smolagents 1.26, openai-agents 0.24,
langgraph 1.2 with langchain 1.5, deepagents 0.7 and pydantic-ai 2.68. Texts of the vendors are placeholders of the same shape.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shadownb import Dataset
from shadownb.engine.capture.dialects import dialect
from shadownb.engine.trajectories import Trajectory
from shadownb.engine.trajectories.episodes import episodes
from shadownb.engine.trajectories.linking import says_the_same
from tests.trajectories.calls import Recorded, answer, call, result, system, user

RUNS = Path(__file__).parent / "data" / "agents"
WHOLE = ("episode", None, None)  # kind, number of the call that it comes from, confidence
# For each run: of each conversation the numbers of its calls, and what it is.
TREES: dict[str, list[tuple[list[int], tuple[str, int | None, str | None]]]] = {
    "smolagents-tools": [([0, 1, 2], WHOLE)],
    "smolagents-code": [([0, 1, 2], WHOLE)],
    "smolagents-managed": [([0, 4], WHOLE), ([1, 2, 3], ("subagent", 0, "certain"))],
    "agents-loop": [([0, 1, 2], WHOLE)],
    "agents-chat-loop": [([0, 1, 2], WHOLE)],
    "agents-handoff": [([0], WHOLE), ([1, 2, 3], ("handoff", 0, "certain"))],
    "agents-chat-handoff": [([0], WHOLE), ([1, 2, 3], ("handoff", 0, "certain"))],
    "agents-as-tool": [([0, 4], WHOLE), ([1, 2, 3], ("subagent", 0, "certain"))],
    "langgraph-loop": [([0, 1, 2], WHOLE)],
    "langgraph-subtool": [([0, 4], WHOLE), ([1, 2, 3], ("subagent", 0, "certain"))],
    "langchain-anthropic": [([0, 4], WHOLE), ([1, 2, 3], ("subagent", 0, "certain"))],
    "langchain-summary": [([0, 1], WHOLE), ([2], ("summary", 1, "certain")), ([3], ("rewritten", 1, "certain"))],
    "deepagents": [([0, 4], WHOLE), ([1, 2, 3], ("subagent", 0, "certain"))],
    "deepagents-parallel": [
        ([0, 5], WHOLE),
        ([1, 4], ("subagent", 0, "certain")),
        ([2, 3], ("subagent", 0, "certain")),
    ],
    "pydantic-structured": [([0, 1, 2, 3], WHOLE)],
    "pydantic-delegate": [([0, 4], WHOLE), ([1, 2, 3], ("subagent", 0, "certain"))],
    "pydantic-retry": [([0, 1, 2], WHOLE)],
}


def recorded(name: str) -> list[Recorded]:
    found = []
    for number, given in enumerate(json.loads((RUNS / f"{name}.json").read_text(encoding="utf-8"))):
        speaks = dialect(given["dialect"])
        choices = speaks.choices(given["response"])
        tools = speaks.tools(given["request"]) or None
        found.append(Recorded(speaks.messages(given["request"]), choices, given["session"], tools, id=str(number)))
    return found


def tree(found: list[Trajectory]) -> list[tuple[list[int], tuple[str, int | None, str | None]]]:
    def number(text: str | None) -> int | None:
        return None if text is None else int(text)

    shapes = [
        (
            list(map(int, t.call_ids)),
            (t.metadata["kind"], number(t.metadata.get("parent_call")), t.metadata.get("confidence")),
        )
        for t in found
    ]
    assert {t.root_call for t in found} == {"0"}  # one task
    return shapes


@pytest.mark.parametrize("name", sorted(path.stem for path in RUNS.glob("*.json")))
def test_a_run_is_one_tree(name: str) -> None:
    assert tree(episodes(recorded(name))) == TREES[name]


def test_a_history_that_is_written_anew_trains_behind_the_prompts_that_were_sent() -> None:
    calls = recorded("smolagents-tools")
    data = Dataset.from_captures(calls)
    assert len(data) == 3
    assert data.report.ok
    for row, made in zip(data.rows, calls, strict=True):
        *prompt, last = row["messages"]
        assert [(m["role"], m["content"]) for m in prompt] == [(m["role"], m["content"]) for m in made.messages]
        assert last["tool_calls"] == made.choices[0]["message"]["tool_calls"]
        assert [m.get("weight", 1) for m in row["messages"] if m["role"] == "assistant"] == [0] * (
            len(prompt) // 2 - 1
        ) + [1]
    (trajectory,) = episodes(calls)
    assert [c["name"] for c in trajectory.tool_calls] == ["weather", "weather", "final_answer"]  # as they were said
    again = Trajectory.from_json(trajectory.to_json())
    assert len(Dataset.from_trajectories([again])) == 3


def claude_code() -> list[Recorded]:
    """A session with two sub-agents that run at once, as Claude Code sends them: one session, an agent id for each."""
    here = "0f0e0d0c-1111-2222-3333-444455556666"
    lead, scout = [system("You lead."), user("Compare both.")], system("You look.")
    tasks = [
        ("t1", "Task", {"prompt": "Look at the first file."}),
        ("t2", "Task", {"prompt": "Look at the second file."}),
    ]
    asked = answer("Two agents look.", *tasks)
    first, second = ([scout, user(arguments["prompt"])] for _, _, arguments in tasks)
    look = answer(None, ("r", "Read", {"path": "x"}))

    def sub(agent: str) -> dict[str, str]:
        return {"x-claude-code-agent-id": agent}

    return [
        call(lead, asked, session=here, id="0"),
        call(first, look, session=here, id="1", headers=sub("a")),
        call(second, look, session=here, id="2", headers=sub("b")),
        call(
            [*second, look, result("r", "short")],
            answer("The second file is short."),
            session=here,
            id="3",
            headers=sub("b"),
        ),
        call(
            [*first, look, result("r", "long")],
            answer("The first file is long."),
            session=here,
            id="4",
            headers=sub("a"),
        ),
        call(
            [*lead, asked, result("t1", "The first file is long."), result("t2", "The second file is short.")],
            answer("They differ."),
            session=here,
            id="5",
        ),
    ]


def test_sub_agents_of_claude_code() -> None:
    expected = [([0, 5], WHOLE), ([1, 4], ("subagent", 0, "certain")), ([2, 3], ("subagent", 0, "certain"))]
    assert tree(episodes(claude_code())) == expected


def test_agents_with_one_prompt_are_told_apart_by_their_ids() -> None:
    calls = claude_code()
    for made in calls[1:5]:
        made.messages[1] = user("Look.")
    found = episodes(calls)
    assert [t.call_ids for t in found] == [["0", "5"], ["1", "4"], ["2", "3"]]


def test_what_only_looks_alike_is_not_linked() -> None:
    asked = answer(None, ("c", "search", {"query": "weather", "text": "How is the weather in Rome today?"}))
    begun = call([system("You lead."), user("Find out.")], asked, session="a")
    others = [
        call([system("Other."), user("weather")], answer("Warm."), session="a2"),  # a short argument
        call([system("Other."), user("How is the weather in Rome today?")], answer("Warm."), session="b"),
        call([system("Other."), user("Quite another question, of somebody else.")], answer("Yes.")),
        call([system("Other."), user("hi"), answer("Hello!"), user("bye")], answer("Bye.")),  # an answer from elsewhere
    ]
    found = episodes([begun, *others])
    assert [t.metadata["kind"] for t in found] == ["episode"] * 5
    assert len({t.root_call for t in found}) == 5


def test_each_call_starts_one_sub_agent() -> None:
    asked = answer(None, ("c", "ask", {"request": "How is the weather?"}))
    prompt = [system("You know."), user("How is the weather?")]
    found = episodes(
        [
            call([user("Go.")], asked, id="0"),
            call(prompt, answer("Warm."), id="1"),
            call(prompt, answer("Cold."), id="2"),
        ]
    )
    assert [(t.metadata["kind"], t.metadata.get("confidence")) for t in found] == [
        ("episode", None), ("subagent", "likely"), ("regenerate", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "given", "same"),
    [
        (answer(None, ("c", "f", {"a": "x y"})), {"content": "Calling tools: f(a='x y')"}, True),
        (answer(None, ("c", "f", {"a": "x y"})), {"content": "Calling tools: f(a='x z')"}, False),
        (answer(None, ("c", "f", {"a": "x"})), answer(None, ("c", "g", {"a": "x"})), False),
        (answer("print(1 + 2, 3)"), {"content": "print(1 + 2, 3)\nran: 'print(1 + 2, 3)'"}, True),
        (answer("print(1 + 2, 3)"), {"content": "print(1 + 2, 3) and something else"}, False),
        (answer("Hello."), {"content": "Hello!"}, False),
        (answer(""), {"content": "anything"}, False),
        (answer("Hello."), {"content": [{"type": "text", "text": "Hello."}, {"type": "image_url"}]}, False),
    ],
)
def test_when_a_message_is_an_answer_in_other_words(said: Any, given: Any, same: bool) -> None:
    assert says_the_same(said, {"role": "assistant", **given}) is same
