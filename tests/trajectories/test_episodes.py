"""Episodes: what belongs together becomes one trajectory, what does not stays apart."""

from __future__ import annotations

import time
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadownb.engine.trajectories import Episodes, episodes

from .calls import answer, call, conversations, echoed, identity, result, system, user

WEATHER = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


def kinds(found: list[Any]) -> list[str]:
    return [trajectory.metadata["kind"] for trajectory in found]


# -- one conversation -----------------------------------------------------------------------------------------------------


def test_a_tool_loop_of_two_calls_is_one_trajectory_with_two_assistant_turns() -> None:
    ask = [system("Be helpful."), user("Weather in Paris?")]
    wants = answer(None, ("call_1", "weather", {"city": "Paris", "unit": "C"}))
    history = [*ask, wants, result("call_1", "rain")]
    first = call(ask, wants, tools=WEATHER, usage={"prompt_tokens": 10, "completion_tokens": 3}, cost=0.01)
    second = call(
        history, answer("It rains."), tools=WEATHER, usage={"prompt_tokens": 20, "completion_tokens": 4}, cost=0.02
    )

    (found,) = episodes([first, second])

    assert [message["role"] for message in found.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert found.sampled_turns == [2, 4]
    assert found.call_ids == [first.id, second.id]
    assert found.tools == WEATHER
    assert found.usage == {"prompt_tokens": 30, "completion_tokens": 7}
    assert found.cost == pytest.approx(0.03)
    assert found.metadata == {"kind": "episode"}


ECHOES = {
    "other ids": lambda c: c | {"id": "other"},
    "no ids": lambda c: {k: v for k, v in c.items() if k != "id"},
    "arguments as an object": lambda c: (
        c | {"function": {"name": "weather", "arguments": {"unit": "C", "city": "Paris"}}}
    ),
    "other spaces and order": lambda c: (
        c | {"function": {"arguments": '{ "unit":"C",\n"city":"Paris" }', "name": "weather"}}
    ),
    "an index": lambda c: c | {"index": 0},
}


@pytest.mark.parametrize("change", ECHOES.values(), ids=list(ECHOES))
def test_the_way_a_tool_call_is_sent_back_does_not_matter(change: Any) -> None:
    ask = [user("Weather in Paris?")]
    wants = answer(None, ("call_1", "weather", {"city": "Paris", "unit": "C"}))
    back = {**wants, "tool_calls": [change(dict(wants["tool_calls"][0]))]}
    identifier = back["tool_calls"][0].get("id")
    (found,) = episodes([call(ask, wants), call([*ask, back, result(identifier, "rain")], answer("It rains."))])
    assert len(found.calls) == 2
    # The trajectory is consistent in itself: the result names the call as the recorded answer does.
    assert found.messages[1]["tool_calls"][0]["id"] == found.messages[2]["tool_call_id"] == "call_1"


ANSWERS = [
    {"role": "assistant", "content": "Hello."},
    {"role": "assistant", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}]},
    {"role": "assistant", "content": "Hello.", "refusal": None, "tool_calls": None, "audio": None, "name": None},
    {"content": "Hello.\n", "role": "assistant"},
    {"role": "assistant", "content": "Hello.", "tool_calls": []},
    {"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": "Hello."}]},
    {"role": "assistant", "content": [{"type": "output_text", "text": "Hello.", "annotations": []}]},
]


@pytest.mark.parametrize("back", ANSWERS, ids=range(len(ANSWERS)))
def test_the_way_a_text_is_sent_back_does_not_matter(back: dict[str, Any]) -> None:
    ask = [{"role": "developer", "content": "Be brief."}, user("Hi")]
    again = [system("Be brief."), {"role": "user", "content": [{"type": "text", "text": "Hi"}]}, back, user("Bye")]
    (found,) = episodes([call(ask, answer("Hello.", reasoning_content="A greeting.")), call(again, answer("Bye."))])
    assert len(found.sampled_turns) == 2
    assert found.messages[2]["reasoning_content"] == "A greeting."  # what was recorded is kept, not what came back


@pytest.mark.parametrize(
    "other",
    [
        answer("Hello!"),
        answer("Hello.", ("x", "weather", {})),
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": [{"type": "text", "text": "Hello."}, {"type": "image_url", "image_url": {}}]},
    ],
    ids=["another text", "a tool call more", "another role", "a picture more"],
)
def test_another_turn_is_another_conversation(other: dict[str, Any]) -> None:
    found = episodes([call([user("Hi")], answer("Hello.")), call([user("Hi"), other, user("Bye")], answer("Bye."))])
    assert len(found) == 2


def test_arguments_decide() -> None:
    wants = answer(None, ("a", "weather", {"id": 1, "at": 2.0}))
    same = answer(None, ("b", "weather", {"at": 2, "id": 1}))
    other = answer(None, ("a", "weather", {"id": 2, "at": 2.0}))
    assert identity([wants]) == identity([same]) != identity([other])


def test_a_message_that_contains_the_marks_of_two_is_not_two() -> None:
    assert identity([user("a"), user("b")]) != identity([user("a4:user1:b")])
    assert identity([answer("f({})")]) != identity([answer("", ("x", "f", {}))])


def test_parallel_tool_calls_come_out_right_whatever_the_order_of_the_results() -> None:
    ask = [user("Weather in Paris and Rome?")]
    wants = answer(None, ("p", "weather", {"city": "Paris"}), ("r", "weather", {"city": "Rome"}))
    results = [result("r", "sun"), result("p", "rain")]
    mixed_up = [result("p", "sun"), result("r", "rain")]
    found = episodes(
        [
            call(ask, wants),
            call([*ask, wants, *results], answer("Rain and sun.")),
            call([*ask, wants, *mixed_up], answer("Sun and rain.")),
        ]
    )
    assert [len(trajectory.calls) for trajectory in found] == [2, 2]
    assert [m.get("tool_call_id") for m in found[0].messages[2:4]] == ["r", "p"]
    assert [m.get("tool_call_id") for m in found[1].messages[2:4]] == ["p", "r"]


# -- leaves -----------------------------------------------------------------------------------------------------------------


def test_a_regenerate_is_a_branch_and_the_conversation_goes_on_from_the_answer_that_was_kept() -> None:
    ask = [user("A poem")]
    found = episodes(
        [
            call(ask, answer("Roses.")),
            call(ask, answer("Violets.")),
            call([*ask, answer("Violets."), user("More")], answer("Daisies.")),
        ]
    )
    assert [t.final_content() for t in found] == ["Roses.", "Daisies."]
    assert kinds(found) == ["episode", "regenerate"]
    assert found[1].metadata["shared_messages"] == 1


def test_an_edited_question_is_a_branch() -> None:
    begin = [user("Hi"), answer("Hello.")]
    found = episodes(
        [
            call(begin[:1], begin[1]),
            call([*begin, user("One")], answer("1")),
            call([*begin, user("Two")], answer("2")),
        ]
    )
    assert [t.final_content() for t in found] == ["1", "2"]
    assert kinds(found) == ["episode", "branch"]
    assert [call.message for call in found[1].calls] == [1, 3]


def test_retries_are_leaves_of_their_own_and_failed_calls_are_named() -> None:
    ask = [user("Hi")]
    cut = call(ask, answer("Hel"), status="cut")
    failed = call(ask, None, status="error")
    good = call(ask, answer("Hello."))
    graph = Episodes().extend([cut, failed, good])
    found = graph.trajectories()
    assert kinds(found) == ["episode", "retry"]
    assert found[1].metadata["failed_calls"] == [cut.id, failed.id]
    assert graph.unanswered == [failed.id]
    assert (found[0].trainable_turns, found[1].trainable_turns) == ([], [1])


def test_an_equal_answer_to_a_retry_is_another_attempt() -> None:
    ask = [user("Hi")]
    first = call(ask, answer("Hello."))
    again = call(ask, answer("Hello."), retry_of=first.id)
    found = episodes([first, again, call([*ask, answer("Hello."), user("Bye")], answer("Bye."))])
    assert kinds(found) == ["episode", "retry"]
    assert [t.call_ids[0] for t in found] == [first.id, again.id]
    assert len(found[1].messages) == 4  # the client has the later answer


def test_several_choices_are_leaves_and_the_one_that_was_used_goes_on() -> None:
    ask = [user("A colour")]
    several = call(ask, answer("red"), answer("blue"), answer("red"))
    found = episodes([several, call([*ask, answer("blue"), user("Why?")], answer("Sky."))])
    assert sorted(len(t.messages) for t in found) == [2, 2, 4]
    assert Counter(kinds(found)) == {"episode": 1, "choice": 2}
    assert {call.choice for t in found for call in t.calls if call.id == several.id} == {0, 1, 2}


def test_histories_from_elsewhere_are_kept_but_not_counted_as_answers() -> None:
    shot = [user("2+2?"), {"role": "assistant", "content": "4"}, user("3+3?")]
    (found,) = episodes([call(shot, answer("6"))])
    assert (found.assistant_turns, found.sampled_turns) == ([1, 3], [3])


# -- sessions ---------------------------------------------------------------------------------------------------------------


def test_sessions_keep_equal_conversations_apart() -> None:
    calls = []
    for turn in (1, 2):
        for name in "abc":
            history = [user("Hi"), answer("Hello."), user("More")][: 2 * turn - 1]
            calls.append(call(history, answer("Hello."), session=name))
    found = episodes(calls)
    assert [t.metadata["session"] for t in found] == ["a", "b", "c"]
    assert [len(t.messages) for t in found] == [4, 4, 4]


def test_another_session_does_not_go_on_with_a_conversation() -> None:
    begin = [user("Hi"), answer("Hello.")]
    found = episodes(
        [call(begin[:1], begin[1], session="a"), call([*begin, user("Go on")], answer("Yes."), session="b")]
    )
    assert [len(t.sampled_turns) for t in found] == [1, 1]


def test_a_session_whose_name_occurs_in_a_trace_is_a_session_all_the_same() -> None:
    begin = [user("Hi"), answer("Hello.")]
    traced = {"traceparent": f"00-{'ab' * 16}-00f067aa0ba902b7-01"}
    found = episodes(
        [
            call(begin[:1], begin[1], session="a", headers=traced),
            call([*begin, user("Go on")], answer("Yes."), session="b", headers=traced),
        ]
    )
    assert [len(t.sampled_turns) for t in found] == [1, 1]


def test_a_trace_names_a_request_so_a_conversation_goes_on_in_the_next_trace() -> None:
    def traced(trace: str) -> dict[str, Any]:
        return {"session": trace, "headers": {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}}

    begin = [user("Hi"), answer("Hello.")]
    one, two, three = (letter * 32 for letter in "abc")
    found = episodes(
        [
            call(begin[:1], begin[1], **traced(one)),
            call(begin[:1], begin[1], **traced(two)),
            call([*begin, user("Go on")], answer("First."), **traced(one)),
            call([*begin, user("Go on")], answer("Second."), **traced(three)),
        ]
    )
    assert [t.final_content() for t in found] == ["First.", "Second."]
    assert [[c.session for c in t.calls] for t in found] == [[one, one], [two, three]]
    assert kinds(found) == ["episode", "episode"]


def test_subagents_in_one_session_are_trajectories_of_their_own() -> None:
    main = [system("You lead."), user("Do both.")]
    wants = answer(None, ("1", "agent", {"task": "a"}), ("2", "agent", {"task": "b"}))
    parent = call(main, wants, session="s")
    side = system("You help.")
    loop = answer(None, ("x", "look", {}))
    both = [result("1", "A"), result("2", "B")]
    found = episodes(
        [
            parent,
            call([side, user("a")], loop, session="s"),
            call([side, user("b")], answer("B"), session="s"),
            call([side, user("a"), loop, result("x", "seen")], answer("A"), session="s"),
            call([*main, wants, *both], answer("Done."), session="s"),
        ]
    )
    assert [t.final_content() for t in found] == ["Done.", "A", "B"]
    assert kinds(found) == ["episode", "subagent", "subagent"]
    assert [t.metadata.get("parent_call") for t in found] == [None, parent.id, parent.id]
    assert [len(t.calls) for t in found] == [2, 2, 1]


def test_a_compacted_history_is_a_leaf_that_says_so() -> None:
    main = [system("You code."), user("Build it.")]
    wants = answer(None, ("1", "run", {}))
    short = [system("You code."), user("So far: built the half. Go on.")]
    before = call(main, wants, session="s")
    found = episodes([before, call(short, answer("Done."), session="s")])
    assert kinds(found) == ["episode", "rewritten"]
    assert found[1].metadata["parent_call"] == before.id


# -- many at once -------------------------------------------------------------------------------------------------------------

TURNS = 4


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("alike", [False, True], ids=["different", "alike"])
def test_fifty_interleaved_conversations_without_a_session_come_out_as_fifty(seed: int, alike: bool) -> None:
    random = Random(seed)
    state = {number: [system("Be helpful."), user("Hello" if alike else f"Task {number}")] for number in range(50)}
    calls = []
    open_ = [number for number in state for _ in range(TURNS)]
    random.shuffle(open_)
    for number in open_:
        turn = sum(message["role"] == "assistant" for message in state[number])
        reply = answer(f"Step {turn}", (f"id-{number}-{turn}", "look", {"at": turn}))
        calls.append(call(echoed(state[number], random), reply))
        state[number] += [reply, result(f"id-{number}-{turn}", f"seen {turn}")]
    found = episodes(calls)
    assert len(found) == 50
    assert conversations(found) == Counter(identity(messages[:-1]) for messages in state.values())
    assert all(len(trajectory.calls) == TURNS for trajectory in found)


@st.composite
def scripts(draw: st.DrawFn) -> tuple[list[tuple[str, int]], int]:
    """Steps of clients: begin a conversation, go on with a leaf, answer a leaf's prompt again, or go back and branch."""
    steps = draw(
        st.lists(
            st.tuples(st.sampled_from(["begin", "go on", "go on", "again", "branch"]), st.integers(0, 10_000)),
            min_size=1,
            max_size=25,
        )
    )
    return steps, draw(st.integers(0, 2**32))


@settings(max_examples=150, deadline=None)
@given(scripts(), st.booleans())
def test_random_trees_of_conversations_come_out_as_they_were(
    script: tuple[list[tuple[str, int]], int], alike: bool
) -> None:
    steps, seed = script
    random = Random(seed)
    leaves: list[list[dict[str, Any]]] = []
    calls = []

    def ask(prompt: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
        reply = answer(f"Answer {number}", *([(f"i{number}", "look", {"n": number})] if number % 3 == 0 else []))
        calls.append(call(echoed(prompt, random), reply))
        return [*prompt, reply]

    for number, (step, choice) in enumerate(steps):
        if step == "begin" or not leaves:
            leaves.append(ask([system("S"), user("Hello" if alike else f"Task {choice % 3}")], number))
            continue
        leaf = leaves[choice % len(leaves)]
        if step == "go on":
            wants = bool(leaf[-1].get("tool_calls"))
            more = result(leaf[-1]["tool_calls"][0]["id"], "ok") if wants else user(f"More {choice % 2}")
            leaves[choice % len(leaves)] = ask([*leaf, more], number)
        elif step == "again":
            leaves.append(ask(leaf[:-1], number))
        else:
            turns = [index for index, message in enumerate(leaf) if message["role"] == "user"]
            back = turns[choice % len(turns)]
            leaves.append(ask([*leaf[:back], user(f"Instead {number}")], number))

    graph = Episodes().extend(calls)
    found = graph.trajectories()
    assert conversations(found) == Counter(identity(leaf) for leaf in leaves)
    assert len(graph) == len(found)
    sampled = {(facts.id, facts.choice) for trajectory in found for facts in trajectory.calls}
    assert sampled == {(one.id, 0) for one in calls}  # no call is lost
    assert len(graph.nodes) <= sum(len(one.messages) + 1 for one in calls)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["yes", "no"]), min_size=1, max_size=5), min_size=1, max_size=12), st.randoms()
)
def test_any_interleaving_of_conversations_gives_the_same_ones(replies: list[list[str]], random: Random) -> None:
    """All begin with the same words and may say the same: only how many there are is left to tell them apart."""
    histories: list[list[dict[str, Any]]] = [[user("Go?")] for _ in replies]
    order = [number for number, texts in enumerate(replies) for _ in texts]
    random.shuffle(order)
    taken = [0] * len(replies)
    calls = []
    for number in order:
        reply = answer(replies[number][taken[number]])
        taken[number] += 1
        calls.append(call(echoed(histories[number], random), reply))
        histories[number] += [reply, user("And now?")]
    found = episodes(calls)
    assert conversations(found) == Counter(identity(history[:-1]) for history in histories)


def test_calls_can_be_added_as_they_come() -> None:
    random = Random(3)
    graph = Episodes()
    history = [user("Hi")]
    for turn in range(5):
        reply = answer(f"Answer {turn}")
        (node,) = graph.add(call(echoed(history, random), reply))
        assert graph.nodes[node].facts is not None
        history += [reply, user(f"Question {turn}")]
        (only,) = graph.trajectories()
        assert len(only.sampled_turns) == turn + 1
    assert len(graph.nodes) == 2 * 5  # each message once


def test_many_calls_take_seconds() -> None:
    """2,000 interleaved conversations of ten calls; the time is that of this process, as others use the machine."""
    histories = [[system("S" * 400), user(f"Task {number} " + "x" * 300)] for number in range(2_000)]
    calls = []
    for turn in range(10):
        reply = answer(f"Answer {turn}")
        for history in histories:
            calls.append(call(history, reply))
            history += [reply, user(f"Question {turn}")]
    started = time.process_time()
    graph = Episodes().extend(calls)
    took = time.process_time() - started
    assert len(graph) == 2_000
    assert len(graph.nodes) == 1 + 2_000 * (1 + 10 + 9)  # the system text, then tasks, answers and questions
    assert took < 15, f"{took:.1f} s"  # 2 s on a quiet machine; a search that grows with the calls takes minutes
