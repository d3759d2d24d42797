"""A loaded model behind the proxy, in every dialect, through the vendors' clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shadownb.engine.capture import capture
from shadownb.engine.capture.proxy import CaptureProxy
from tests.capture.conftest import WEB
from tests.capture.test_pass_through import PATHS
from tests.capture.test_refusals import _FIELDS, _JSON, shaped
from tests.capture.upstream import Upstream
from tests.waiting import wait_for

USER: Any = [{"role": "user", "content": "hello there"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {"name": "look", "description": "d", "parameters": {"type": "object", "properties": {}}},
    }
]


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path) -> Any:
    import shadownb

    return shadownb.load(str(tiny_model_dir), dtype="float32")


@pytest.fixture
def proxy(model: Any) -> Iterator[CaptureProxy]:
    with capture(model) as running:
        yield running


def test_chat_whole_and_streamed_are_what_the_model_says(model: Any, proxy: CaptureProxy, openai_client: Any) -> None:
    options: Any = {"model": "gpt-4o", "messages": USER, "max_tokens": 12, "seed": 5, "temperature": 1.0}
    said = model.chat(USER, max_new_tokens=12, seed=5, temperature=1.0, top_p=1.0)
    answer = openai_client.chat.completions.create(**options)
    chunks = list(openai_client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    streamed = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert answer.choices[0].message.content == streamed == said.content
    assert answer.choices[0].finish_reason == said.finish_reason == "length"
    assert answer.usage.model_dump(exclude_none=True) == chunks[-1].usage.model_dump(exclude_none=True) == said.usage
    assert len(chunks) > 5
    first, second = proxy.store.calls()
    assert (first.text, second.text) == (said.content, said.content)
    assert (first.usage, second.usage, first.cost, first.route) == (said.usage, said.usage, None, "local")
    other = openai_client.chat.completions.create(**{**options, "seed": 6}).choices[0].message.content
    assert other != said.content


def test_choices_and_stop_strings(model: Any, proxy: CaptureProxy, openai_client: Any) -> None:
    options: Any = {"model": "m", "messages": USER, "max_tokens": 12, "seed": 5}
    answer = openai_client.chat.completions.create(**options, n=3)
    texts = [choice.message.content for choice in answer.choices]
    assert len(set(texts)) == 3
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.usage.completion_tokens == 36
    stop = texts[0].strip()[4:7]
    stopped = openai_client.chat.completions.create(**options, stop=[stop]).choices[0]
    assert stopped.message.content == texts[0][: texts[0].find(stop)]
    assert stopped.finish_reason == "stop"


def test_completions_responses_and_messages(
    model: Any, proxy: CaptureProxy, openai_client: Any, anthropic_client: Any
) -> None:
    said = model.chat(USER, max_new_tokens=10, temperature=0.0).content
    asked: Any = {"model": "m", "temperature": 0}
    for stream in (False, True):
        got = openai_client.responses.create(**asked, input=USER, max_output_tokens=10, stream=stream)
        if stream:
            events = list(got)
            assert [e.sequence_number for e in events] == list(range(len(events)))
            assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == said
            got = events[-1].response
        assert got.output_text == said
        assert (got.status, got.incomplete_details.reason, got.usage.output_tokens) == (
            "incomplete",
            "max_output_tokens",
            10,
        )
    message = anthropic_client.messages.create(**asked_of(asked), max_tokens=10, messages=USER)
    with anthropic_client.messages.stream(**asked_of(asked), max_tokens=10, messages=USER) as stream_:
        final = stream_.get_final_message()
    for each in (message, final):
        assert each.content[0].text == said
        assert (each.stop_reason, each.usage.output_tokens) == ("max_tokens", 10)
        assert each.usage.input_tokens == len(model.renderer.render_prompt(USER))
    stop = said.strip()[3:6]
    ended = anthropic_client.messages.create(**asked_of(asked), max_tokens=10, messages=USER, stop_sequences=[stop])
    assert (ended.stop_reason, ended.stop_sequence) == ("stop_sequence", stop)
    text = openai_client.completions.create(**asked, prompt=["one two", "three"], max_tokens=5)
    chunks = list(openai_client.completions.create(**asked, prompt="one two", max_tokens=5, stream=True))
    assert "".join(c.choices[0].text for c in chunks) == text.choices[0].text
    assert [c.index for c in text.choices] == [0, 1]
    assert anthropic_client.messages.count_tokens(model="m", messages=USER).input_tokens == message.usage.input_tokens
    assert {call.status for call in proxy.calls} == {"ok"}
    assert [call.text for call in proxy.store.calls(dialect=["responses", "messages"])[:4]] == [said] * 4


def asked_of(options: dict[str, Any]) -> dict[str, Any]:
    """Anthropic's client of today has no temperature parameter of its own for every model; it goes as a field."""
    return {"model": options["model"], "extra_body": {"temperature": options["temperature"]}}


def test_tool_calls_in_every_dialect(
    model: Any, proxy: CaptureProxy, openai_client: Any, anthropic_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The random model never calls a tool, so its tokens are replaced by those of a reply that does; all else is real.

    Greedy, as one that is drawn may be the end.
    """
    from shadownb.engine.inference.text import AnswerText

    reply = '<think>\nHm.\n</think>\n\nSure. <tool_call>{"name": "look", "arguments": {"id": 7}}</tool_call>'
    pieces = [reply[n : n + 3] for n in range(0, len(reply), 3)]

    def push(self: AnswerText, token_id: int) -> str:
        number = len(self._ids)
        self._ids.append(token_id)
        self._text = "".join(pieces[: number + 1])
        self.stop_string = reply[-1] if number + 1 >= len(pieces) else None
        return pieces[number] if number < len(pieces) else ""

    monkeypatch.setattr(AnswerText, "push", push)
    monkeypatch.setattr(AnswerText, "finish", lambda self: "")
    size = len(pieces) + 5
    asked: Any = {"model": "m", "messages": USER, "tools": TOOLS, "max_tokens": size, "temperature": 0}
    deltas = []
    whole = openai_client.chat.completions.create(**asked).choices[0]
    with openai_client.chat.completions.stream(**asked) as stream:
        for event in stream:
            deltas += [event.chunk.choices[0].delta] if event.type == "chunk" and event.chunk.choices else []
        streamed = stream.get_final_completion().choices[0]
    for choice in (whole, streamed):
        call = choice.message.tool_calls[0]
        assert (call.function.name, call.function.arguments) == ("look", '{"id": 7}')
        assert call.id
    assert whole.message.content == streamed.message.content == "Sure."
    assert "".join(delta.content or "" for delta in deltas) == "Sure.", "the markup is never shown"
    thoughts = [getattr(delta, "reasoning_content", None) or "" for delta in deltas]
    assert "".join(thoughts) == whole.message.reasoning_content == "Hm."
    tools = [{"type": "function", "name": "look", "parameters": TOOLS[0]["function"]["parameters"]}]
    with openai_client.responses.stream(
        model="m", input=USER, tools=tools, max_output_tokens=size, temperature=0
    ) as stream:
        list(stream)
        output = stream.get_final_response().output
    assert [item.type for item in output] == ["reasoning", "message", "function_call"]
    assert (output[0].content[0].text, output[1].content[0].text, output[2].arguments) == ("Hm.", "Sure.", '{"id": 7}')
    theirs: Any = {
        "model": "m", "messages": USER, "max_tokens": size, "extra_body": {"temperature": 0},
        "tools": [{"name": "look", "input_schema": TOOLS[0]["function"]["parameters"]}],
    }  # fmt: skip
    with anthropic_client.messages.stream(**theirs) as stream:
        blocks = stream.get_final_message().content
    unstreamed = anthropic_client.messages.create(**theirs).content
    for found in (blocks, unstreamed):
        assert [block.type for block in found] == ["thinking", "text", "tool_use"]
        assert (found[0].thinking, found[1].text, found[2].name, found[2].input) == ("Hm.", "Sure.", "look", {"id": 7})
    called = [c.response_message["tool_calls"][0]["function"] for c in proxy.calls]  # type: ignore[index]
    assert called == [{"name": "look", "arguments": '{"id": 7}'}] * 5
    assert {c.response_message["reasoning_content"] for c in proxy.calls} == {"Hm."}  # type: ignore[index]


def test_what_is_no_valid_call_stays_in_the_text_and_is_told(
    model: Any, proxy: CaptureProxy, openai_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shadownb.engine.inference.text import AnswerText

    reply = 'Sure.<tool_call>{"name": look}</tool_call>'
    monkeypatch.setattr(AnswerText, "push", lambda self, _: "")
    monkeypatch.setattr(AnswerText, "finish", lambda self: reply)
    asked: Any = {"model": "m", "messages": USER, "tools": TOOLS, "max_tokens": 2}
    message = openai_client.chat.completions.create(**asked).choices[0].message
    chunks = list(openai_client.chat.completions.create(**asked, stream=True))
    assert message.content == "".join(c.choices[0].delta.content or "" for c in chunks) == reply
    assert not message.tool_calls and "not valid JSON" in message.malformed_tool_calls[0]["reason"]
    assert chunks[-1].choices[0].delta.malformed_tool_calls == message.malformed_tool_calls


def test_thinking_is_a_choice_where_the_template_knows_it(model: Any, proxy: CaptureProxy, openai_client: Any) -> None:
    import openai

    asked: Any = {"model": "m", "messages": USER, "max_tokens": 2}
    for fields in ({"reasoning_effort": "low"}, {"extra_body": {"chat_template_kwargs": {"enable_thinking": True}}}):
        with pytest.raises(openai.BadRequestError, match="does not know it"):
            openai_client.chat.completions.create(**asked, **fields)
    off: Any = {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}
    assert openai_client.chat.completions.create(**asked, **off, reasoning_effort="none").choices
    with pytest.raises(openai.BadRequestError, match="chat_template_kwargs"):
        openai_client.chat.completions.create(**asked, extra_body={"chat_template_kwargs": {"other": 1}})


def test_previous_response_id_goes_on_with_the_conversation(
    model: Any, proxy: CaptureProxy, openai_client: Any
) -> None:
    first = openai_client.responses.create(
        model="m", input="hello there", instructions="be kind", max_output_tokens=6, temperature=0
    )
    second = openai_client.responses.create(
        model="m", input="and now?", previous_response_id=first.id, max_output_tokens=6, temperature=0
    )
    turns = [*USER, {"role": "assistant", "content": first.output_text}, {"role": "user", "content": "and now?"}]
    assert second.output_text == model.chat(turns, max_new_tokens=6, temperature=0.0).content
    call = proxy.calls[0]
    assert call.parent == proxy.calls[1].id
    assert call.messages == turns
    import openai

    with pytest.raises(openai.NotFoundError, match="previous_response_id"):
        openai_client.responses.create(model="m", input="x", previous_response_id="resp_nobody")


@pytest.mark.parametrize(
    ("path", "fields", "says"),
    [
        ("chat/completions", {"top_logprobs": 2}, "top_logprobs needs logprobs"),
        ("chat/completions", {"logprobs": True, "top_logprobs": 21}, "top_logprobs=21"),
        ("chat/completions", {"response_format": {"type": "xml"}}, "response_format"),
        (
            "chat/completions",
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"not": {}}}}},
            '"not"',
        ),
        ("chat/completions", {"tool_choice": "required"}, "tool_choice"),
        ("chat/completions", {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}}, "'x'"),
        ("chat/completions", {"grammar": "root = ::"}, "grammar"),
        ("chat/completions", {"guided_json": {"const": 1}, "guided_regex": "a"}, "guided_regex"),
        ("chat/completions", {"web_search_options": {}}, "web_search_options"),
        ("chat/completions", {"maximum_tokens": 5}, "maximum_tokens"),
        ("chat/completions", {"min_p": 2}, "min_p=2"),
        ("chat/completions", {"verbosity": "low"}, "verbosity"),
        ("chat/completions", {"temperature": -1}, "temperature"),
        ("chat/completions", {"max_tokens": 0}, "max_tokens=0"),
        ("chat/completions", {"max_tokens": -7}, "max_tokens=-7"),
        ("chat/completions", {"max_tokens": 10**9}, "max_tokens=1000000000"),
        ("chat/completions", {"stop": [""]}, "stop"),
        ("chat/completions", {"n": 1000}, "n=1000"),
        ("chat/completions", {"messages": [{"role": "user", "content": "word " * 600}]}, "tokens"),
        ("chat/completions", {"messages": [{"role": "wizard", "content": "x"}]}, "wizard"),
        ("completions", {"messages": None, "prompt": [1, -2]}, "prompt"),
        ("completions", {"messages": None, "prompt": [1, 10**7]}, "10000000"),
        ("completions", {"messages": None, "prompt": "x", "suffix": "y"}, "suffix"),
        ("responses", {"messages": None, "input": "x", "tools": [{"type": "web_search"}]}, "tools"),
        ("responses", {"messages": None, "input": "x", "include": ["file_search_call.results"]}, "file_search_call"),
        ("responses", {"messages": None, "input": "x", "truncation": "auto"}, "truncation"),
        ("messages", {"max_tokens": 5, "output_config": {"format": {"type": "json_schema"}}}, "output_config.format"),
        ("messages", {"max_tokens": 5, "thinking": {"type": "enabled", "budget_tokens": 9}}, "thinking"),
        ("embeddings", {"input": "x"}, "embeddings"),
    ],
)
def test_what_a_local_model_cannot_do_is_refused_by_name(
    proxy: CaptureProxy, path: str, fields: dict[str, Any], says: str
) -> None:
    body = {"model": "m", "messages": USER, **fields}
    for stream in (False, True):
        got = WEB.post(f"{proxy.base_url}/{path}", json={**body, "stream": stream}, headers={"x-api-key": proxy.token})
        assert 400 <= got.status_code < 500
        assert says in got.json()["error"]["message"]
    assert {call.status for call in proxy.calls} <= {"error"}


def test_no_option_that_changes_the_answer_is_ignored(proxy: CaptureProxy) -> None:
    """Each is held against the same request without it: another answer, or another prompt."""

    def asked(path: str, **fields: Any) -> Any:
        body = {"model": "m", "temperature": 0, **fields}
        got = WEB.post(f"{proxy.base_url}/{path}", json=body, headers={"x-api-key": proxy.token})
        assert got.status_code == 200, got.text
        return got.json()

    def said(**fields: Any) -> str:
        answer = asked("chat/completions", messages=USER, **{"max_tokens": 24, **fields})
        return str(answer["choices"][0]["message"]["content"])

    plain = said()
    hot: Any = {"temperature": 2, "seed": 3}
    assert said(**hot) != plain == said(**hot, top_k=1) == said(**hot, min_p=1.0)
    assert said(repetition_penalty=5.0) != plain and said(logit_bias={"40": 100}) != plain
    assert (said(grammar='root ::= "a"'), said(guided_json={"const": 1})) == ("a", "1")
    assert said(parallel_tool_calls=False) == plain, "there is nothing for it to change"
    stops = len(asked("completions", prompt="x", max_tokens=30, ignore_eos=True)["choices"][0]["text"])
    assert (
        stops and asked("completions", prompt="x", max_tokens=30, ignore_eos=True)["usage"]["completion_tokens"] == 30
    )

    schema = {"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["a"], "additionalProperties": False}
    form = {"format": {"type": "json_schema", "schema": schema}}
    held = asked("messages", messages=USER, max_tokens=60, output_config=form)["content"][0]["text"]
    assert json.loads(held) == {"a": 1}
    begun = [*USER, {"role": "assistant", "content": '{"a":'}]
    rest = asked("messages", messages=begun, max_tokens=60, output_config=form)["content"][0]["text"]
    assert json.loads('{"a":' + rest) == {"a": 1}

    asks = {"role": "user", "content": "What did the tool say?"}
    call = {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"}
    sizes = [
        asked(
            "responses",
            max_output_tokens=2,
            input=[asks, call, {**call, "type": f"{call['type']}_output", "output": out}],
        )
        for out in ("B", "BANANA")
    ]
    assert sizes[1]["usage"]["input_tokens"] > sizes[0]["usage"]["input_tokens"], "what the tool said is in the prompt"
    include = ["message.output_text.logprobs"]
    parts = asked("responses", max_output_tokens=4, input="hi", include=include)["output"][-1]["content"]
    assert len(parts[0]["logprobs"]) == 4


def test_a_stream_that_says_no_usage_is_recorded_with_it(proxy: CaptureProxy) -> None:
    body = {"model": "m", "messages": USER, "max_tokens": 5, "stream": True, "ignore_eos": True}
    got = WEB.post(f"{proxy.base_url}/chat/completions", json=body, headers={"x-api-key": proxy.token})
    assert '"usage":{' not in got.text
    told = WEB.post(
        f"{proxy.base_url}/chat/completions", json={**body, "stream": False}, headers={"x-api-key": proxy.token}
    )
    first, second = proxy.store.calls()
    assert (
        first.usage == second.usage
        and first.usage["completion_tokens"] == 5 == told.json()["usage"]["completion_tokens"]
    )


def test_beside_an_upstream_only_its_own_name_is_local(upstream: Upstream, model: Any) -> None:
    import openai

    with capture(upstream.url, model=model) as proxy:
        client = openai.OpenAI(base_url=proxy.base_url, api_key=proxy.token, max_retries=0)
        assert [m.id for m in client.models.list()] == [model.name, "gpt-4o"]
        for name in ("gpt-4o", model.name):
            client.chat.completions.create(model=name, messages=USER, max_tokens=4)
        assert [call.route for call in proxy.store.calls()] == ["upstream", "local"]
        assert len([seen for seen in upstream.seen if seen.method == "POST"]) == 1


def test_its_own_models_are_listed_where_the_upstream_is_down(upstream: Upstream, model: Any) -> None:
    upstream.stop_listening()
    with capture(upstream.url, model=model) as proxy:
        got = WEB.get(proxy.base_url + "/models", headers={"x-api-key": proxy.token})
        assert [each["id"] for each in got.json()["data"]] == [model.name]


def test_every_prompt_counts_once(model: Any, proxy: CaptureProxy, openai_client: Any) -> None:
    asked: Any = {"model": "m", "max_tokens": 2, "temperature": 0}
    one = openai_client.completions.create(**asked, prompt="one two").usage.prompt_tokens
    assert openai_client.completions.create(**asked, prompt=["one two"] * 3).usage.prompt_tokens == 3 * one
    assert openai_client.completions.create(**asked, prompt="one two", n=3).usage.prompt_tokens == one


_ASKED: dict[str, dict[str, Any]] = {
    PATHS[0]: {"model": "m", "messages": USER, "max_tokens": 2},
    PATHS[1]: {"model": "m", "prompt": "x", "max_tokens": 2},
    PATHS[2]: {"model": "m", "input": USER, "max_output_tokens": 2},
    PATHS[3]: {"model": "m", "messages": USER, "max_tokens": 2},
}
_ALSO = (
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "stop",
    "stop_sequences",
    "tool_choice",
    "response_format",
    "text",
    "logprobs",
)
_TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool", "developer"])},
        optional={"content": _JSON, "tool_calls": _JSON, "tool_call_id": _JSON, "name": _JSON, "type": _JSON},
    ),
    max_size=3,
)


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_generated_bodies_are_answered_or_refused_in_shape(proxy: CaptureProxy, path: str, data: st.DataObject) -> None:
    """240 bodies, as for an upstream: an answer, or a 4xx in the dialect's shape, never a 500."""
    changes = data.draw(st.dictionaries(st.sampled_from((*_FIELDS[path], *_ALSO)), _JSON, max_size=3))
    for field in {"messages", "input"} & set(_FIELDS[path]):
        if data.draw(st.booleans()):
            changes[field] = data.draw(_TURNS)
    if isinstance(changes.get("n"), int):
        changes["n"] %= 4
    for field in ("max_tokens", "max_output_tokens"):
        if isinstance(changes.get(field), int):
            changes[field] %= 4
    body = json.dumps({**_ASKED[path], **changes}).encode()
    got = WEB.post(proxy.root_url + path, content=body, headers={"x-api-key": proxy.token})
    if got.status_code != 200:
        shaped(got, path)
    elif changes.get("stream") is True:
        assert got.content.rstrip().rpartition(b"\n")[2].startswith(b"data: ")


def test_a_field_that_nobody_knows_is_refused_and_one_that_is_null_is_not(proxy: CaptureProxy) -> None:
    for path in PATHS[2:]:
        for value, status in ((None, 200), ("three", 400)):
            got = WEB.post(
                proxy.root_url + path, json={**_ASKED[path], "best_of": value}, headers={"x-api-key": proxy.token}
            )
            assert got.status_code == status
        shaped(got, path)
        assert "best_of" in got.text


def test_a_client_that_leaves_ends_the_generation(model: Any, proxy: CaptureProxy) -> None:
    body = {"model": "m", "messages": USER, "max_tokens": 400, "stream": True, "seed": 1}
    with WEB.stream("POST", proxy.base_url + "/chat/completions", json=body, headers={"x-api-key": proxy.token}) as got:
        next(iter(got.iter_raw()))
    call = wait_for(lambda: proxy.calls.page(0, 1))[0]
    assert call.status == "client_gone"
    assert len(call.response_body) < 60_000  # 400 tokens are about 90 kB
    again = {**body, "max_tokens": 3, "stream": False}
    assert (
        WEB.post(proxy.base_url + "/chat/completions", json=again, headers={"x-api-key": proxy.token}).status_code
        == 200
    )
