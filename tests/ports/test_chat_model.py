"""The suite of the port ChatModel: a loaded model, an endpoint that a real server answers, and a toy."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shadownb as snb
from shadownb.engine.inference import Reply
from shadownb.engine.ports.chat_model import ChatModel
from shadownb.errors import ConfigError, DataError, ShadowError
from tests.ports.toy_chat_model import ToyChatModel

GREEDY: dict[str, Any] = {"max_new_tokens": 6, "temperature": 0.0}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}]


def says(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def loaded(byte_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHADOWNB_HOME", str(tmp_path_factory.mktemp("home")))
        yield snb.load(str(byte_model_dir), max_length=512, dtype="float32")


@pytest.fixture(scope="module")
def endpoint(loaded: Any) -> Iterator[Any]:
    with snb.capture(loaded) as server:
        yield snb.Endpoint(server.base_url, model="any", api_key=server.token, max_retries=0)


@pytest.fixture(params=["loaded", "endpoint", "toy"])
def asked(request: pytest.FixtureRequest) -> ChatModel:
    model: ChatModel = ToyChatModel() if request.param == "toy" else request.getfixturevalue(request.param)
    return model


def test_every_conversation_gets_its_reply_in_their_order(asked: ChatModel) -> None:
    conversations = [says(f"number {n}") for n in range(9)]
    together = asked.chat(conversations, **GREEDY)
    assert [type(reply) for reply in together] == [Reply] * 9
    alone = [asked.chat([each], **GREEDY)[0] for each in (conversations[7], conversations[2])]
    assert [reply.content for reply in alone] == [together[7].content, together[2].content]
    assert len({reply.content for reply in together}) > 1, "the answers do not depend on the questions"
    assert asked.chat([], **GREEDY) == []


def test_it_says_why_it_ended(asked: ChatModel) -> None:
    (reply,) = asked.chat([says("a b c")], **GREEDY)
    assert reply.finish_reason == "length"
    assert "Cut off at max_new_tokens." in reply.notes


def test_a_stream_is_the_reply_in_pieces(asked: ChatModel) -> None:
    (whole,) = asked.chat([says("a b c")], **GREEDY)
    with asked.stream(says("a b c"), **GREEDY) as stream:
        assert stream.reply is None
        assert "".join(stream) == whole.content
        assert stream.reply is not None
        assert (stream.reply.content, stream.reply.finish_reason) == (whole.content, "length")
    kinds = {part.kind for part in asked.stream(says("a b c"), **GREEDY).parts()}
    assert kinds == {"content"}


def test_a_stream_that_is_closed_leaves_nothing_behind(asked: ChatModel) -> None:
    before = set(threading.enumerate())
    stream = asked.stream(says("a b c"), max_new_tokens=200, temperature=0.0)
    next(stream)
    stream.close()
    stream.close()
    assert list(stream) == []
    assert stream.reply is not None and stream.reply.finish_reason == "cancelled"
    assert {
        thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("shadownb-e")
    } == set()


def test_it_stops_in_the_middle_and_gives_what_there_is(asked: ChatModel) -> None:
    replies = asked.chat([says("a"), says("b")], max_new_tokens=200, temperature=0.0, should_stop=lambda: True)
    assert [reply.finish_reason for reply in replies] == ["cancelled"] * 2
    stream = asked.stream(says("a b c"), max_new_tokens=200, temperature=0.0, should_stop=lambda: True)
    for _ in stream.parts():
        pass
    assert stream.reply is not None and stream.reply.finish_reason == "cancelled"


@pytest.mark.parametrize(
    ("option", "says_"),
    [({"temprature": 1.0}, "temprature"), ({"temperature": -1.0}, r"temperature=-1\.0"), ({"top_p": 0}, "top_p=0"),
     ({"max_new_tokens": 0}, "max_new_tokens=0"), ({"use": "bass"}, "use='bass'")],
)  # fmt: skip
def test_an_option_that_it_cannot_honour_is_refused(asked: ChatModel, option: dict[str, Any], says_: str) -> None:
    with pytest.raises(ConfigError, match=says_):
        asked.chat([says("a")], **option)
    with pytest.raises(ConfigError, match=says_):
        asked.stream(says("a"), **option)


def test_use_is_taken_where_there_is_a_base_and_refused_elsewhere(asked: ChatModel) -> None:
    if asked.has_base:
        assert asked.chat([says("a")], use="base", **GREEDY) == asked.chat([says("a")], use="tuned", **GREEDY)
    else:
        with pytest.raises(ConfigError, match="use='base'"):
            asked.chat([says("a")], use="base", **GREEDY)


@pytest.mark.parametrize("broken", [["a text"], [[]], [["no message"]]])
def test_what_is_no_conversation_is_refused(asked: ChatModel, broken: Any) -> None:
    with pytest.raises(DataError):
        asked.chat(broken, **GREEDY)


def test_calls_and_results_of_earlier_turns_are_taken_as_rows_and_as_clients_have_them(asked: ChatModel) -> None:
    def turns(arguments: Any, **ids: Any) -> list[dict[str, Any]]:
        call = {"type": "function", "function": {"name": "weather", "arguments": arguments}, **ids}
        result = {"role": "tool", "content": "rain", **({"tool_call_id": ids["id"]} if ids else {})}
        return [*says("How is it in Rome?"), {"role": "assistant", "content": "", "tool_calls": [call]}, result]

    of_rows, of_clients = turns({"city": "Rome"}), turns('{"city": "Rome"}', id="call_1")
    given = copy.deepcopy([of_rows, of_clients])
    first, second = asked.chat([of_rows, of_clients], TOOLS, **GREEDY)
    assert [of_rows, of_clients] == given, "what it was given was changed"
    assert first.content == second.content


def seen(reply: Any) -> dict[str, Any]:
    """Return what a reply says; token ids go over no wire."""
    assert reply.token_ids == [] or len(reply.token_ids) == reply.usage["completion_tokens"]
    return {name: value for name, value in vars(reply).items() if name != "token_ids"}


def test_an_endpoint_gives_what_the_model_behind_it_gives(loaded: Any, endpoint: Any) -> None:
    """The same greedy questions, with a system prompt, tools and several turns among them, asked here and over HTTP."""
    conversations = [
        says("hello"),
        [{"role": "system", "content": "Be short."}, *says("hello")],
        [*says("hello"), {"role": "assistant", "content": "Yes?"}, *says("Go on. \U0001f600 é\n")],
    ]
    for tools in (None, TOOLS):
        here = loaded.chat(conversations, tools, max_new_tokens=24, temperature=0.0)
        there = endpoint.chat(conversations, tools, max_new_tokens=24, temperature=0.0)
        assert list(map(seen, there)) == list(map(seen, here))
    stop = here[0].content[3:5]
    options = {"max_new_tokens": 24, "temperature": 0.0, "stop": [stop]}
    assert seen(endpoint.chat(conversations[0], TOOLS, **options)) == seen(
        loaded.chat(conversations[0], TOOLS, **options)
    )
    seeded = {"max_new_tokens": 24, "temperature": 1.0, "top_p": 0.9, "seed": 7}
    assert endpoint.chat(conversations[0], **seeded).content == loaded.chat(conversations[0], **seeded).content


def test_what_the_model_refuses_the_endpoint_refuses(asked: ChatModel) -> None:
    if isinstance(asked, ToyChatModel):
        pytest.skip("it has no window")
    with pytest.raises(ShadowError, match="at most 1024 tokens"):
        asked.chat([says("x" * 2000)], **GREEDY)
