"""OpenAI's and Anthropic's clients against the front, on every engine that runs here."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from tests.serving.conftest import USER, post

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"team": {"enum": ["billing", "shipping"]}, "urgent": {"type": "boolean"}},
    "required": ["team", "urgent"],
    "additionalProperties": False,
}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "route", "description": "Route it.", "parameters": SCHEMA},
}
OTHER: dict[str, Any] = {
    "type": "function",
    "function": {"name": "close", "description": "d", "parameters": {"enum": [{}]}},
}


def test_models_health_metrics_and_description(server: Any, openai_client: Any) -> None:
    assert [model.id for model in openai_client.models.list()] == ["tiny"], "a file's base is the file"
    assert openai_client.models.retrieve("tiny").engine == server.engine
    from tests.serving.conftest import WEB

    assert WEB.get(f"{server.root_url}/health").json() == {"status": "ok"}
    headers = {"authorization": f"Bearer {server.token}"}
    openai_client.chat.completions.create(model="tiny", messages=USER, max_tokens=2)
    text = WEB.get(f"{server.root_url}/metrics", headers=headers).text
    assert 'shadownb_requests_total{model="tiny",route="/chat/completions",status="200"}' in text
    assert 'shadownb_tokens_total{kind="completion",model="tiny"}' in text
    paths = WEB.get(f"{server.root_url}/openapi.json", headers=headers).json()["paths"]
    assert "/v1/responses" in paths


def test_chat_whole_and_streamed_with_log_probabilities(server: Any, openai_client: Any) -> None:
    asked: Any = {"model": "tiny", "messages": USER, "max_tokens": 9, "seed": 5, "temperature": 1}
    whole = openai_client.chat.completions.create(**asked, logprobs=True, top_logprobs=3)
    choice = whole.choices[0]
    parts = list(
        openai_client.chat.completions.create(
            **asked, logprobs=True, top_logprobs=3, stream=True, stream_options={"include_usage": True}
        )
    )
    streamed = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert choice.message.content == streamed
    assert choice.finish_reason == "length" and parts[-1].usage == whole.usage
    content = choice.logprobs.content
    assert len(content) == whole.usage.completion_tokens == 9
    assert "".join(each.token for each in content).replace("\ufffd", "") in (streamed, streamed.replace("\ufffd", ""))
    for each in content:
        assert each.logprob <= 0 and len(each.top_logprobs) == 3
        assert each.top_logprobs[0].logprob >= each.logprob - 1e-6
    at_end = [part.choices[0].logprobs for part in parts if part.choices and part.choices[0].logprobs]
    assert [each.token for each in at_end[-1].content] == [each.token for each in content]


def test_choices_seeds_stop_strings_and_limits(server: Any, openai_client: Any) -> None:
    asked: Any = {"model": "tiny", "messages": USER, "max_tokens": 12, "seed": 5}
    first = openai_client.chat.completions.create(**asked, n=3)
    texts = [choice.message.content for choice in first.choices]
    assert len(set(texts)) == 3 and first.usage.completion_tokens <= 36
    again = openai_client.chat.completions.create(**asked)
    assert again.choices[0].message.content == texts[0], "a seed gives the same answer, alone or beside others"
    stop = texts[0].strip()[4:7]
    cut = openai_client.chat.completions.create(**asked, stop=[stop]).choices[0]
    assert cut.message.content == texts[0][: texts[0].find(stop)] and cut.finish_reason == "stop"
    likely = openai_client.chat.completions.create(**asked, temperature=2, extra_body={"min_p": 1.0})
    greedy = openai_client.chat.completions.create(**asked, temperature=0)
    assert likely.choices[0].message.content == greedy.choices[0].message.content
    biased = openai_client.chat.completions.create(**asked, temperature=0, logit_bias={"40": 100})
    assert len(set(biased.choices[0].message.content)) == 1


def test_a_schema_holds_in_every_dialect(server: Any, openai_client: Any, anthropic_client: Any) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "ticket", "schema": SCHEMA, "strict": True}}
    chat = openai_client.chat.completions.create(
        model="tiny", messages=USER, max_tokens=200, response_format=form, temperature=1, seed=1
    )
    flat = {"type": "json_schema", "name": "ticket", "schema": SCHEMA}
    response = openai_client.responses.create(
        model="tiny", input="hello", text={"format": flat}, max_output_tokens=200, extra_body={"seed": 2}
    )
    message = anthropic_client.messages.create(
        model="tiny", messages=USER, max_tokens=200, extra_body={"output_config": {"format": flat}, "seed": 3}
    )
    for text in (chat.choices[0].message.content, response.output_text, message.content[0].text):
        jsonschema.validate(json.loads(text), SCHEMA)
    assert chat.choices[0].finish_reason == "stop"
    for field, value, accepts in (
        ("guided_regex", "[0-9]{4}", str.isdigit),
        ("guided_choice", ["yes", "no"], {"yes", "no"}.__contains__),
        ("grammar", 'root ::= "a" | "b"', {"a", "b"}.__contains__),
        ("structured_outputs", {"json": {"const": 7}}, "7".__eq__),
    ):
        got = post(server, "/chat/completions", {"model": "tiny", "messages": USER, field: value, "max_tokens": 60})
        assert accepts(got.json()["choices"][0]["message"]["content"]), field


def test_a_call_can_be_demanded_in_every_dialect(server: Any, openai_client: Any, anthropic_client: Any) -> None:
    asked: Any = {"model": "tiny", "messages": USER, "max_tokens": 300, "tools": [OTHER, TOOL]}
    named = {"type": "function", "function": {"name": "route"}}
    for choice, names in (("required", {"route", "close"}), (named, {"route"})):
        answer = openai_client.chat.completions.create(**asked, tool_choice=choice, seed=3).choices[0]
        assert answer.finish_reason == "tool_calls"
        (call,) = answer.message.tool_calls
        assert call.function.name in names
        if call.function.name == "route":
            jsonschema.validate(json.loads(call.function.arguments), SCHEMA)
    with openai_client.chat.completions.stream(**asked, tool_choice=named, seed=4) as stream:
        list(stream)
        assert stream.get_final_completion().choices[0].message.tool_calls[0].function.name == "route"
    flat = {"type": "function", **TOOL["function"]}
    item = openai_client.responses.create(model="tiny", input="hello", tools=[flat], tool_choice="required").output[-1]
    assert (item.type, item.name) == ("function_call", "route")
    theirs = [{"name": "route", "input_schema": SCHEMA}]
    block = anthropic_client.messages.create(
        model="tiny", messages=USER, max_tokens=300, tools=theirs, tool_choice={"type": "any"}
    ).content[-1]
    jsonschema.validate(block.input, SCHEMA)


def test_an_answer_goes_on_from_how_it_has_begun(server: Any, openai_client: Any, anthropic_client: Any) -> None:
    begun = [*USER, {"role": "assistant", "content": '{"team": "ship'}]
    flat = {"type": "json_schema", "schema": SCHEMA}
    rest = anthropic_client.messages.create(
        model="tiny", messages=begun, max_tokens=200, extra_body={"output_config": {"format": flat}}
    )
    assert json.loads('{"team": "ship' + rest.content[0].text)["team"] == "shipping"
    form = {"type": "json_schema", "json_schema": {"name": "t", "schema": SCHEMA}}
    chat = openai_client.chat.completions.create(
        model="tiny", messages=begun, max_tokens=200, response_format=form, extra_body={"continue_final_message": True}
    )
    assert json.loads('{"team": "ship' + chat.choices[0].message.content)["team"] == "shipping"
    wrong = [*USER, {"role": "assistant", "content": "no JSON"}]
    got = post(
        server, "/messages", {"model": "tiny", "messages": wrong, "max_tokens": 5, "output_config": {"format": flat}}
    )
    assert got.status_code == 400 and "does not allow" in got.json()["error"]["message"]


def test_completions_take_token_ids_echo_and_log_probabilities(server: Any, openai_client: Any) -> None:
    asked: Any = {"model": "tiny", "max_tokens": 5, "temperature": 0}
    text = openai_client.completions.create(**asked, prompt="one two").choices[0].text
    echoed = openai_client.completions.create(**asked, prompt="one two", echo=True, logprobs=2).choices[0]
    assert echoed.text == "one two" + text
    before = (
        len(echoed.logprobs.tokens) - 5
    )  # the prompt's own tokens stand before those of the answer, as OpenAI has it
    assert "".join(echoed.logprobs.tokens[:before]) == "one two" and echoed.logprobs.text_offset[before] == len(
        "one two"
    )
    assert echoed.logprobs.token_logprobs[0] is echoed.logprobs.top_logprobs[0] is None
    assert all(value < 0 for value in echoed.logprobs.token_logprobs[1:])
    chunks = openai_client.completions.create(**asked, prompt="one two", echo=True, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == echoed.text
    by_ids = openai_client.completions.create(**asked, prompt=[[40, 41], [42]])
    assert [choice.index for choice in by_ids.choices] == [0, 1] and by_ids.usage.prompt_tokens == 3


def test_responses_are_remembered_and_conversations_count(
    server: Any, openai_client: Any, anthropic_client: Any
) -> None:
    import openai

    first = openai_client.responses.create(
        model="tiny", input="hello there", instructions="be kind", max_output_tokens=6
    )
    second = openai_client.responses.create(
        model="tiny", input="and now?", previous_response_id=first.id, max_output_tokens=6
    )
    assert second.usage.input_tokens > first.usage.input_tokens - 10
    with pytest.raises(openai.NotFoundError, match="resp_nobody"):
        openai_client.responses.create(model="tiny", input="x", previous_response_id="resp_nobody")
    counted = anthropic_client.messages.count_tokens(model="tiny", messages=USER).input_tokens
    said = anthropic_client.messages.create(model="tiny", messages=USER, max_tokens=3)
    assert counted == said.usage.input_tokens
    streamed = openai_client.responses.create(
        model="tiny", input="x", max_output_tokens=4, stream=True, include=["message.output_text.logprobs"]
    )
    final = list(streamed)[-1].response
    assert len(final.output[0].content[0].logprobs) == 4


def test_greedy_text_is_that_of_the_generator(server: Any, openai_client: Any, model: Any) -> None:
    """All three engines compute the same 32-bit weights, so their greedy answers are the same."""
    for question in ("hello there", "one two three", "Where is it?"):
        asked = [{"role": "user", "content": question}]
        said = model.chat(asked, max_new_tokens=16, temperature=0).content
        got = openai_client.chat.completions.create(model="tiny", messages=asked, max_tokens=16, temperature=0)
        assert got.choices[0].message.content == said
