"""What agents do through the vendors' clients comes out as episodes: tool loops, interleaved conversations, branches, subagents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.capture import CaptureStore
from shadownb.engine.capture.proxy import CaptureProxy
from shadownb.engine.trajectories import trajectories_of
from shadownb.errors import DataError
from tests.capture.agents import LOOK, agent, chat_loop, found, messages_loop, responses_loop
from tests.capture.conftest import CANARY
from tests.capture.upstream import Reply, Seen, Upstream, said_to, whole
from tests.waiting import run_async

LOOPS: dict[str, Callable[[Any, Any], None]] = {
    "chat": lambda openai, _: chat_loop(openai),
    "chat, streamed": lambda openai, _: chat_loop(openai, streamed=True),
    "responses": lambda openai, _: responses_loop(openai),
    "responses by id": lambda openai, _: responses_loop(openai, kept="by id"),
    "responses by id, with a system item": lambda openai, _: responses_loop(openai, kept="by id, with a system item"),
    "responses in a conversation": lambda openai, _: responses_loop(openai, kept="in a conversation"),
    "messages": lambda _, anthropic: messages_loop(anthropic),
}


@pytest.mark.parametrize("kind", LOOPS)
@pytest.mark.filterwarnings("ignore::shadownb.ShadowWarning")
def test_a_tool_loop_is_one_episode_with_two_turns_and_a_data_set(
    kind: str,
    upstream: Upstream,
    proxy: CaptureProxy,
    openai_client: Any,
    anthropic_client: Any,
    smollm2_tokenizer: Any,
) -> None:
    upstream.answer = agent
    LOOPS[kind](openai_client, anthropic_client)
    assert len(proxy.calls) == 2
    (episode,) = proxy.trajectories()
    assert [m["role"] for m in episode.messages] == ["system", "user", "assistant", "tool", "tool", "assistant"]
    assert episode.sampled_turns == [2, 5]
    assert [(c["name"], c["arguments"]) for c in episode.tool_calls] == [("look", {"id": 7}), ("look", {"id": 8})]
    assert [m["tool_call_id"] for m in episode.messages[3:5]] == [c["id"] for c in episode.tool_calls]
    assert [m["content"] for m in episode.messages[3:5]] == ["found call_a", "found call_b"]
    assert episode.final_content().startswith("echo: ")
    assert episode.tools == [{"type": "function", "function": LOOK}]

    # The data set is the same from the proxy, its store, its id, its folder and its calls.
    sources = (proxy, proxy.store, proxy.id, Path(proxy.folder), proxy.calls, list(proxy.calls))
    sets = [snb.Dataset.from_captures(source) for source in sources]
    assert len({data.fingerprint for data in sets}) == 1
    trained = "".join(token.text for token in sets[0].inspect(smollm2_tokenizer).tokens if token.trained)
    assert "look" in trained and "echo:" in trained
    assert "be kind" not in trained and "found" not in trained and CANARY not in json.dumps(sets[0].rows)


@pytest.mark.parametrize("dialect", ["chat", "messages"])
def test_subagents_that_run_at_once_in_one_session(
    dialect: str, upstream: Upstream, proxy: CaptureProxy, openai_client: Any, anthropic_client: Any
) -> None:
    """The main agent calls two tools at once; each is an agent with tools of its own, and they run side by side."""
    upstream.answer = agent
    loop, client = (chat_loop, openai_client) if dialect == "chat" else (messages_loop, anthropic_client)
    mine = client.with_options(default_headers={"x-session-id": "s"})

    def delegate(ids: list[str]) -> list[str]:
        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(loop, mine, f"part {i}", system="you help") for i in ids]
            for job in jobs:
                job.result()
        return found(ids)

    loop(mine, "do both parts", work=delegate)
    episodes = proxy.trajectories()
    main = next(e for e in episodes if e.first_user_content() == "do both parts")
    parts = [e for e in episodes if e is not main]
    assert [e.metadata["kind"] for e in (main, *parts)] == ["episode", "subagent", "subagent"]
    assert sorted(e.first_user_content() for e in parts) == ["part call_a", "part call_b"]
    assert [e.metadata["parent_call"] for e in parts] == [main.call_ids[0]] * 2
    assert [(len(e.calls), len(e.tool_calls), e.metadata["session"]) for e in episodes] == [(2, 2, "s")] * 3
    assert {call for e in episodes for call in e.call_ids} == {call.id for call in proxy.calls}


Say = Callable[[Any, Any, list[Any]], str]
SAYS: dict[str, Say] = {
    "chat": lambda openai, _, turns: (
        openai.chat.completions.create(model="m", messages=turns).choices[0].message.content
    ),
    "responses": lambda openai, _, turns: openai.responses.create(model="m", input=turns).output_text,
    "messages": lambda _, anthropic, turns: (
        anthropic.messages.create(model="m", max_tokens=9, messages=turns).content[0].text
    ),
}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


@pytest.mark.parametrize("dialect", SAYS)
def test_50_interleaved_conversations_come_out_as_50(
    dialect: str, proxy: CaptureProxy, openai_client: Any, anthropic_client: Any
) -> None:
    """Every one of them has a twin with the very same words: only how many there are tells them apart."""

    async def talk(number: int) -> None:
        turns: list[Any] = [user(f"task {number % 25}")]
        for turn in range(3):
            said = await asyncio.to_thread(SAYS[dialect], openai_client, anthropic_client, turns)
            turns += [{"role": "assistant", "content": said}, user(f"more {turn}")]

    async def everybody() -> None:
        await asyncio.gather(*(talk(number) for number in range(50)))

    run_async(everybody())
    assert len(proxy.calls) == 150
    episodes = proxy.trajectories()
    assert sorted(e.first_user_content() for e in episodes) == sorted(f"task {n % 25}" for n in range(50))
    assert {len(e.calls) for e in episodes} == {3}
    assert {e.metadata["kind"] for e in episodes} <= {"episode", "regenerate"}  # of twins the second looks like one


@pytest.mark.parametrize("dialect", SAYS)
def test_a_regenerate_and_an_edit_are_branches_that_say_so(
    dialect: str, upstream: Upstream, proxy: CaptureProxy, openai_client: Any, anthropic_client: Any
) -> None:
    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.json(whole(seen.path, f"answer {len(upstream.seen)} to {said_to(seen)}"))

    def say(turns: list[Any]) -> list[Any]:
        return [*turns, {"role": "assistant", "content": SAYS[dialect](openai_client, anthropic_client, turns)}]

    upstream.answer = answer
    first = say([user("hi")])
    say([user("hi")])
    say([*first, user("go on")])
    say([*first, user("stop")])
    leaves = [(e.metadata["kind"], e.final_content(), e.sampled_turns) for e in proxy.trajectories()]
    assert sorted(leaves) == [
        ("branch", "answer 4 to stop", [1, 3]),
        ("episode", "answer 3 to go on", [1, 3]),
        ("regenerate", "answer 2 to hi", [1]),
    ]


def trace(letter: str) -> str:
    return f"00-{letter * 32}-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    "headers",
    [
        [{"x-session-id": "a"}, {"x-session-id": "b"}],
        # What instruments a client may add the trace of each request; the session is still what tells them apart.
        [{"x-session-id": "a", "traceparent": trace("a")}, {"x-session-id": "b", "traceparent": trace("b")}],
        [{"traceparent": trace("a")}, {"traceparent": trace("b")}],
    ],
    ids=["sessions", "sessions and traces", "traces"],
)
def test_twins_are_told_apart_by_what_the_client_sends(
    headers: list[dict[str, str]], proxy: CaptureProxy, openai_client: Any
) -> None:
    turns: list[Any] = [user("hi")]
    for order in ((0, 1), (1, 0), (0, 1)):
        for number in order:
            made = openai_client.chat.completions.create(model="m", messages=turns, extra_headers=headers[number])
        turns = [*turns, made.choices[0].message.model_dump(), user("more")]
    episodes = proxy.trajectories()
    assert [len(e.calls) for e in episodes] == [3, 3]
    assert [len({call.session for call in e.calls}) for e in episodes] == [1, 1]
    for e in episodes:
        (session,) = {call.session for call in e.calls}
        assert len(proxy.trajectories(session=session)) == 1


def test_a_conversation_goes_on_in_the_next_trace_whatever_the_upstream_answers(
    upstream: Upstream, proxy: CaptureProxy, openai_client: Any
) -> None:
    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.json(whole(seen.path, "hello"), traceparent=trace("f"))

    upstream.answer = answer
    turns: list[Any] = [user("hi")]
    for letter in "abc":
        made = openai_client.chat.completions.create(
            model="m", messages=turns, extra_headers={"traceparent": trace(letter)}
        )
        turns += [made.choices[0].message.model_dump(), user("more")]
    assert [len(e.calls) for e in proxy.trajectories()] == [3]


def test_calls_of_two_conversations_at_the_provider_do_not_mix(
    upstream: Upstream, proxy: CaptureProxy, openai_client: Any
) -> None:
    failures = iter([False, False, True])

    async def answer(seen: Seen, reply: Reply) -> None:
        if next(failures, False):
            await reply.json({"error": {"message": "busy", "type": "server_error", "param": None, "code": None}}, 400)
        else:
            await reply.json({**whole(seen.path, f"answer to {said_to(seen)}"), "id": f"resp_{len(upstream.seen)}"})

    def say(conversation: Any, text: str) -> None:
        openai_client.responses.create(model="m", input=text, conversation=conversation)

    import openai

    upstream.answer = answer
    say("conv_a", "one")
    say({"id": "conv_b"}, "uno")
    with pytest.raises(openai.BadRequestError):
        say("conv_a", "two")
    say("conv_a", "two")  # the one that failed is no part of the conversation
    say("conv_b", "due")
    texts = [[m["content"] for m in e.messages] for e in proxy.trajectories()]
    assert texts == [["one", "answer to one", "two", "answer to two"], ["uno", "answer to uno", "due", "answer to due"]]
    proxy.stop()
    with snb.capture(upstream.url, name=proxy.id) as again:  # and it goes on where another recording ended
        client = openai.OpenAI(base_url=again.base_url, api_key=again.token, max_retries=0)
        client.responses.create(model="m", input="three", conversation="conv_a")
        assert [m["content"] for m in again.calls[0].messages][-3:] == ["two", "answer to two", "three"]


def test_a_long_loop_by_id_reads_each_call_once(
    proxy: CaptureProxy, openai_client: Any, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(seen: Seen, reply: Reply) -> None:
        await reply.json({**whole(seen.path, f"answer to {said_to(seen)}"), "id": f"resp_{len(upstream.seen)}"})

    upstream.answer = answer
    previous = None
    for turn in range(40):
        made = openai_client.responses.create(model="m", input=f"turn {turn}", previous_response_id=previous)
        previous = made.id
    store = CaptureStore.open(proxy.id)
    bodies: list[str] = []
    body = CaptureStore.body
    monkeypatch.setattr(CaptureStore, "body", lambda self, call: bodies.append(call) or body(self, call))
    (episode,) = trajectories_of(store)
    assert len(episode.sampled_turns) == 40
    assert len(bodies) <= 5 * 40  # and not 40 * 41 / 2: for the index, for the episode, and as what others go on from
    first, *_, last = store.calls()
    last.messages[0]["content"] = "changed by somebody"
    assert store.calls()[-1].messages[0]["content"] == "turn 0"
    store.delete(first.id)
    assert store.calls()[-1].messages[0]["content"] == "turn 1"  # what is deleted is gone from what is remembered, too


def test_an_empty_capture_has_no_episodes_and_is_no_data_set(proxy: CaptureProxy) -> None:
    assert len(proxy.trajectories()) == 0
    with pytest.raises(DataError):
        snb.Dataset.from_captures(proxy)
    with pytest.raises(DataError):
        snb.Dataset.from_captures("no-such-capture")


def test_a_part_of_the_calls(proxy: CaptureProxy, openai_client: Any) -> None:
    for text in ("one", "two", "three"):
        SAYS["chat"](openai_client, None, [user(text)])
    second = proxy.store.calls()[1]
    assert [e.first_user_content() for e in proxy.trajectories(after=second.seq)] == ["three"]
    assert [call.text for call in proxy.store.iterate(after=second.seq)] == ["echo: three"]
    assert [call.text for call in proxy.store.iterate(before=second.seq)] == ["echo: one"]
