"""Traces: exports of every convention become the same episode, and the report says what became of every span.

The files in ``data/`` tell of one conversation, the weather example of OpenTelemetry's GenAI convention, each as an exporter
of that convention writes it, with the spans around it that are no model calls.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shadownb as snb
from shadownb.engine.traces.chat import chat_messages, tool_schemas
from shadownb.engine.traces.spans import Attributes
from shadownb.errors import ConfigError, DataError, ShadowWarning

from .calls import answer, identity, result, system, user

DATA = Path(__file__).parent / "data"
THOUGHT = "The user wants live weather, so I need the tool."
CONVERSATION = [
    system("You are a helpful bot"),
    user("What's the weather in Paris?"),
    answer(None, ("call_VSPygqKTWdrhaFErNvMV18Yl", "get_weather", {"location": "Paris"})),
    result("call_VSPygqKTWdrhaFErNvMV18Yl", "rainy, 57°F"),
    answer("The weather in Paris is currently rainy with a temperature of 57°F."),
]
# File, convention, spans in all, form they came in.
EXPORTS = [
    ("otel_genai.json", "otel-genai", 6, "otlp"),
    ("openinference.json", "openinference", 4, "otlp"),
    ("openllmetry.jsonl", "openllmetry", 4, "otlp"),
    ("openai_wire.json", "openai-wire", 3, "sdk"),
    ("span_events.json", "span-events", 2, "otlp"),
    ("span_events_logs.jsonl", "span-events", 2, "otlp"),
    ("langfuse_trace.json", "langfuse", 4, "langfuse"),
    ("langfuse_observations.json", "langfuse", 4, "langfuse"),
    ("phoenix_spans.json", "phoenix", 4, "phoenix"),
    ("phoenix_frame.jsonl", "phoenix", 4, "phoenix"),
]


@pytest.mark.parametrize(("file", "convention", "spans", "source"), EXPORTS, ids=[entry[0] for entry in EXPORTS])
def test_every_export_gives_the_same_episode(file: str, convention: str, spans: int, source: str) -> None:
    imported = snb.traces.from_otlp(DATA / file)

    (found,) = imported
    assert identity(found.messages) == identity(CONVERSATION)
    assert [message["role"] for message in found.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert found.messages[3]["tool_call_id"] == found.messages[2]["tool_calls"][0]["id"]
    assert found.sampled_turns == found.trainable_turns == [2, 4]
    assert found.call_ids == ["00f067aa0ba902b7", "00f067aa0ba902b9"]
    (tool,) = found.tools or []
    assert tool["function"]["name"] == "get_weather"
    assert tool["function"]["description"] == "Get the weather in a given location"
    assert list(tool["function"]["parameters"]["properties"]) == ["location"]
    assert found.usage == {"prompt_tokens": 144, "completion_tokens": 69, "total_tokens": 213}
    assert found.models[0] == "gpt-4-0613"
    assert found.started_at == pytest.approx(1767225600.1)
    assert found.duration_s == pytest.approx(2.2)
    assert found.metadata["convention"] == convention
    assert found.metadata["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert THOUGHT not in found.to_json()

    report = imported.report
    assert dict(report.understood) == {convention: 2}
    assert report.total == spans and sum(entry.count for entry in report.left_out.values()) == spans - 2
    assert dict(report.sources) == {source: spans}
    assert f"2 of {spans} spans" in str(report)


# What these instrumentations wrote when the loop was run under them; the names say which and in which version.
REAL = [
    ("openinference_openai.jsonl", "openinference", True),
    ("openinference_openai_console.json", "openinference", True),
    ("openinference_responses.jsonl", "openinference", True),
    ("openllmetry_openai_0_40.jsonl", "openllmetry", True),
    ("openllmetry_anthropic_0_40.jsonl", "openllmetry", True),
    ("otel_genai_openllmetry_0_62.jsonl", "otel-genai", True),
    ("otel_genai_logfire_5_2.jsonl", "otel-genai", True),
    ("openai_wire_logfire_5_2.jsonl", "openai-wire", True),
    ("otel_openai_v2_2_1.jsonl", "span-events", False),  # that version records no tool schemas
    ("langfuse_sdk_5.jsonl", "langfuse", True),
    ("phoenix_12_spans.json", "phoenix", True),
    ("phoenix_12_frame.jsonl", "phoenix", True),
    ("phoenix_12_otlp.json", "openinference", True),
    ("langfuse_sdk_5_responses.jsonl", "langfuse", True),
    ("openinference_langchain.jsonl", "openinference", True),
    ("mlflow_3_17_openai.json", "mlflow", True),
    ("mlflow_3_17_responses.json", "mlflow", True),
    ("mlflow_3_17_langchain.json", "mlflow", True),
    ("langsmith_0_15_wrap_openai.jsonl", "langsmith", True),
    ("langsmith_0_15_wrap_responses.jsonl", "langsmith", True),
    ("langsmith_0_15_langchain.jsonl", "langsmith", True),
]
# Of these sources an agent's own steps are other kinds of records, or none.
RECORDS = [
    ("agents_sdk_0_24_chat.jsonl", "agents-sdk", False, 8),  # its spans of chat hold no schemas
    ("agents_sdk_0_24_responses.jsonl", "agents-sdk", True, 7),  # of living spans
    ("litellm_1_110_chat.jsonl", "litellm", True, 2),
    ("helicone_helpers_1_2_chat.jsonl", "helicone", True, 2),
    ("helicone_helpers_1_2_stream.jsonl", "helicone", True, 2),
    ("langfuse_sdk_5_langchain.jsonl", "langfuse", True, 5),  # each call twice, of its model and of the client below
]
# Anthropic's answer has a text beside its call.
ANTHROPIC = [
    "openinference_anthropic_3_1.jsonl", "mlflow_3_17_anthropic.json", "langsmith_0_15_langchain_anthropic.jsonl",
    "litellm_1_110_anthropic_stream.jsonl",
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "convention", "tools", "total"),
    [(*entry, 3) for entry in REAL] + RECORDS,
    ids=[e[0] for e in REAL + RECORDS],
)
def test_what_instrumentations_really_write_is_understood(file: str, convention: str, tools: bool, total: int) -> None:
    imported = snb.traces.from_otlp(DATA / "real" / file)
    (found,) = imported
    assert identity(found.messages) == identity(CONVERSATION)
    assert found.trainable_turns == [2, 4]
    assert [tool["function"]["name"] for tool in found.tools or []] == ["get_weather"] * tools
    assert (found.usage["prompt_tokens"], found.usage["completion_tokens"]) == (144, 69)
    assert dict(imported.report.understood) == {convention: 2}
    assert imported.report.total == total  # with the span around both
    assert found.duration_s is not None and 0 < found.duration_s < 60


@pytest.mark.parametrize("file", ANTHROPIC)
def test_a_call_beside_a_text_is_one_call(file: str) -> None:
    (found,) = snb.traces.from_otlp(DATA / "real" / file)
    first = answer("I'll look.", ("toolu_1", "get_weather", {"location": "Paris"}))
    assert identity(found.messages) == identity(
        [*CONVERSATION[:2], first, result("toolu_1", "rainy, 57°F"), CONVERSATION[4]]
    )
    assert found.trainable_turns == [2, 4]
    assert [tool["function"]["name"] for tool in found.tools or []] == ["get_weather"]
    assert snb.traces.to_dataset(DATA / "real" / file).report.ok


def test_what_records_cannot_say_is_told() -> None:
    kept_by_the_api = snb.traces.from_otlp(DATA / "real" / "agents_sdk_0_24_responses_export.jsonl")
    assert kept_by_the_api == []
    assert any("names the answer, which the API keeps" in reason for reason in kept_by_the_api.report.left_out)
    failed = snb.traces.from_otlp(DATA / "real" / "litellm_1_110_failed.jsonl")
    assert failed == [] and list(failed.report.left_out) == ["the call failed and has no answer"]
    (unpriced,) = snb.traces.from_otlp(DATA / "real" / "litellm_1_110_anthropic_stream.jsonl")
    assert unpriced.cost is None  # LiteLLM says 0 of a model that it has no price of
    (priced,) = snb.traces.from_otlp(DATA / "real" / "litellm_1_110_chat.jsonl")
    assert priced.cost == pytest.approx(0.00846)
    (asked,) = snb.traces.from_otlp(DATA / "real" / "litellm_1_110_responses.jsonl")
    assert identity(asked.messages) == identity(CONVERSATION[:3]) and len(asked.tools or []) == 1


def test_living_spans_of_the_agents_sdk_hold_what_their_export_does_not() -> None:
    lines = (DATA / "real" / "agents_sdk_0_24_responses.jsonl").read_text().splitlines()
    spans = [_living(json.loads(line)) for line in lines]
    (found,) = snb.traces.from_spans(spans)
    assert identity(found.messages) == identity(CONVERSATION)


def _living(export: dict[str, Any]) -> Any:
    data = dict(export["span_data"])
    response = data.pop("response", None)
    dumped = SimpleNamespace(model_dump=lambda exclude_none: response) if response else None
    span_data = SimpleNamespace(input=data.pop("input", None), response=dumped)
    return SimpleNamespace(trace_id="t", span_data=span_data, export=lambda: {**export, "span_data": data})


def test_a_data_frame_of_phoenix() -> None:
    import pandas as pd

    frame = pd.read_json(DATA / "real" / "phoenix_12_frame.jsonl", lines=True)
    (found,) = snb.traces.from_spans(frame)
    assert identity(found.messages) == identity(CONVERSATION)


def test_calls_whose_content_was_not_recorded_are_named() -> None:
    imported = snb.traces.from_otlp(DATA / "real" / "otel_openai_v2_2_3_without_content.jsonl")
    assert imported == []
    reasons = [reason for reason in imported.report.left_out if "switch on the recording of content" in reason]
    assert sum(imported.report.left_out[reason].count for reason in reasons) == 2


@pytest.mark.parametrize("file", [entry[0] for entry in EXPORTS])
def test_thoughts_are_kept_where_that_is_asked_for(file: str) -> None:
    (found,) = snb.traces.from_otlp(DATA / file, thinking=True)
    assert found.messages[2]["reasoning_content"] == THOUGHT
    assert identity(found.messages) == identity(CONVERSATION)


@pytest.mark.parametrize("file", [entry[0] for entry in EXPORTS])
@pytest.mark.filterwarnings("ignore::shadownb.ShadowWarning")
def test_every_export_is_a_data_set(file: str) -> None:
    data = snb.traces.to_dataset(str(DATA / file), name="weather")
    assert (data.name, data.format, data.report.valid) == ("weather", "chat", 1)
    assert data.canonical_rows()[0]["tools"][0]["function"]["name"] == "get_weather"


@pytest.mark.parametrize("file", [entry[0] for entry in EXPORTS])
def test_sources_of_any_kind(file: str) -> None:
    text = (DATA / file).read_text()
    lines = [json.loads(line) for line in text.splitlines()] if file.endswith("l") else json.loads(text)
    padded = text + "\n" * 5000  # longer than any path; a text this long must not be looked for as a file
    for source in (text, padded, text.encode(), "\ufeff" + text, lines, [lines], str(DATA / file)):
        assert len(snb.traces.from_otlp(source)) == 1
    assert len(snb.traces.from_spans(lines)) == 1
    assert len(snb.traces.from_spans(iter([lines]))) == 1


def test_per_request() -> None:
    first, second = snb.traces.from_otlp(DATA / "otel_genai.json", builder="per_request")
    assert [len(first.messages), len(second.messages)] == [3, 5]
    assert (first.sampled_turns, second.sampled_turns) == ([2], [4])
    with pytest.raises(ConfigError, match="builder"):
        snb.traces.from_otlp([], builder="other")  # type: ignore[arg-type]


def test_rewards_come_from_an_attribute_or_a_score() -> None:
    (found,) = snb.traces.from_otlp(DATA / "otel_genai.json", reward_key="score")
    assert found.reward == 0.75
    (found,) = snb.traces.from_otlp(DATA / "langfuse_trace.json", reward_key="helpfulness")
    assert (found.reward, found.cost) == (0.75, pytest.approx(0.006))
    with pytest.raises(DataError, match="min_reward"):
        snb.traces.to_dataset(DATA / "otel_genai.json", reward_key="score", min_reward=0.9)
    with pytest.warns(ShadowWarning, match="terms"):
        assert len(snb.traces.to_dataset([*_fresh("gpt-x")], min_reward=0.5)) == 1


def test_a_reward_that_the_export_does_not_have_is_none() -> None:
    spans = [_span("a", model="gpt-y", trace="a", score=0.0), _span("b", "Other", model="gpt-y", trace="b")]
    found = snb.traces.from_spans(spans, reward_key="score")
    assert [t.reward for t in found] == [0.0, None]
    assert [t.reward for t in snb.traces.from_spans(spans)] == [None, None]
    with pytest.warns(ShadowWarning, match="terms"):
        assert len(snb.traces.to_dataset(found, min_reward=-1.0)) == 1
    with pytest.raises(DataError, match="None of them has a reward"):
        snb.traces.to_dataset(snb.traces.from_spans(spans), min_reward=0.0)


def _fresh(model: str) -> list[snb.Trajectory]:
    found = snb.traces.from_spans([_span("a", model=model, score=0.5)], reward_key="score")
    assert found[0].reward == 0.5
    return found


def test_the_report_says_why_spans_were_left_out() -> None:
    report = snb.traces.from_otlp(DATA / "otel_genai.json").report
    assert {reason: entry.count for reason, entry in report.left_out.items()} == {
        "not written in a known convention": 1,
        "not a model call (execute_tool)": 1,
        "a model call without its content; switch on the recording of content in the instrumentation": 1,
        "not a model call (invoke_agent), and its calls have spans of their own": 1,
    }
    example = report.left_out["not written in a known convention"].examples[0]
    assert "b7ad6b7169203331" in example and "http.request.method" in example
    assert report.to_dict()["understood"] == {"otel-genai": 2}
    assert "switch on the recording" in str(report) and "<li>" in report._repr_html_()


def test_lines_that_are_no_json_are_counted() -> None:
    text = (DATA / "openllmetry.jsonl").read_text() + '{"resourceSpans": [\n7\n{"hello": 1}\n'
    imported = snb.traces.from_otlp(text)
    assert len(imported) == 1
    assert {reason: entry.count for reason, entry in imported.report.left_out.items()} == {
        "the line is not valid JSON": 1,
        "it is no object with fields": 1,
        "it is no span": 1,
        "not a model call (tool)": 1,
        "not a model call (workflow)": 1,
    }
    assert "line 4" in imported.report.left_out["the line is not valid JSON"].examples[0]


@pytest.mark.parametrize("source", ["no-such-file.json", "x" * 5000, "{broken", Path("no-such-file.json")])
def test_what_is_neither_json_nor_a_file_is_refused(source: Any) -> None:
    with pytest.raises(DataError):
        snb.traces.from_otlp(source)


def test_an_export_without_a_call_is_no_data_set() -> None:
    with pytest.raises(DataError, match="No model call") as caught:
        snb.traces.to_dataset({"data": [{"traceId": "t", "spanId": "s", "attributes": {"http.request.method": "GET"}}]})
    assert "not written in a known convention" in caught.value.why


# -- conversations ------------------------------------------------------------------------------------------------------------


def _span(
    identifier: str,
    ask: str | list[dict[str, Any]] = "Hi",
    reply: str = "Hello.",
    *,
    trace: str = "t1",
    model: str = "gpt-4",
    **attributes: Any,
) -> dict[str, Any]:
    prompt = [user(ask)] if isinstance(ask, str) else ask
    given = {"llm.request.model": model, "llm.input_messages": json.dumps(prompt)}
    out = {"llm.output_messages": json.dumps([{"role": "assistant", "content": reply}])}
    number = int.from_bytes(identifier.encode(), "big")
    return {
        "trace_id": trace,
        "span_id": identifier,
        "start_time": number,
        "attributes": given | out | {name.replace("__", "."): value for name, value in attributes.items()},
    }


def test_a_conversation_through_several_traces_is_one_trajectory() -> None:
    begin = [user("Hi"), {"role": "assistant", "content": "Hello."}, user("Go on")]
    both = [_span("a", trace="t1"), _span("b", trace="t2"), _span("c", begin, "Yes.", trace="t3")]
    found = snb.traces.from_spans(both)
    assert sorted(len(trajectory.messages) for trajectory in found) == [2, 4]
    named = [{**span, "attributes": span["attributes"] | {"session.id": span["trace_id"]}} for span in both]
    assert sorted(len(trajectory.messages) for trajectory in snb.traces.from_spans(named)) == [2, 2, 4]


def test_two_instrumentations_of_one_call_are_one_call() -> None:
    outer = _span("a")
    middle = {"trace_id": "t1", "span_id": "m", "parent_id": "a", "attributes": {"http.request.method": "POST"}}
    tools = json.dumps([{"name": "f", "input_schema": {"type": "object"}}])
    inner = {**_span("b", llm__tools=tools), "parent_id": "m"}
    other = {**_span("c", reply="Another."), "parent_id": "m"}
    imported = snb.traces.from_spans([outer, middle, inner, other])
    assert [trajectory.call_ids for trajectory in imported] == [["a"], ["c"]]
    assert imported.report.left_out["it repeats the call of a span above it"].count == 1
    assert imported[0].tools == [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


def test_an_agent_span_counts_where_its_calls_have_none() -> None:
    whole = json.loads((DATA / "otel_genai.json").read_text())
    scope = whole["resourceSpans"][0]["scopeSpans"][0]
    scope["spans"] = [span for span in scope["spans"] if span["name"].startswith("invoke_agent")]
    (found,) = snb.traces.from_otlp(whole)
    assert found.first_user_content() == "What's the weather in Paris?"


def test_attempts_at_one_task_are_grouped() -> None:
    spans = [_span(name, reply=name, trace=name, score=score) for name, score in (("a", 1), ("b", 0), ("c", 0.5))]
    (group,) = snb.traces.group(snb.traces.from_spans([*spans, _span("d", "Other")], reward_key="score"))
    assert group.advantages()[0] > 0 > group.advantages()[1]
    assert len(group.preference_rows()) == 3


# -- forms --------------------------------------------------------------------------------------------------------------------


def test_attributes_are_found_in_every_container_and_values_are_left_alone() -> None:
    entries = [{"key": "llm.tools.0.tool.name", "value": {"stringValue": "f"}}]
    entries.append({"key": "llm.count", "value": {"intValue": "7"}})
    forms: list[Any] = [
        entries,
        {"llm.tools.0.tool.name": "f", "llm.count": 7},
        {"llm": {"tools": [{"tool": {"name": "f"}}], "count": 7}},
        {"llm": {"tools.0.tool.name": "f", "count": 7}},
        {"llm.tools": [{"tool.name": "f"}], "llm": {"count": 7}},
        {"llm.tools": {"0": {"tool.name": "f"}}, "llm.count": 7},
    ]
    for form in forms:
        attributes = Attributes(form)
        assert [entry.get("tool.name") for entry in attributes.indexed("llm.tools")] == ["f"]
        assert attributes.get("llm.count") == 7
        assert attributes.get("llm.tool") is None
    # A dict with one key that OTLP also knows is a value like any other outside OTLP's list.
    odd = {"metadata": {"stringValue": "x"}, "arguments": {"user.name": 1, "key": "k"}}
    assert Attributes(odd).to_dict() == odd


def test_ten_messages_stay_in_order() -> None:
    flat = {f"gen_ai.prompt.{n}.content": str(n) for n in range(12)} | {
        f"gen_ai.prompt.{n}.role": "user" if n % 2 == 0 else "assistant" for n in range(12)
    }
    flat |= {"gen_ai.completion.0.content": "end", "gen_ai.completion.0.role": "assistant"}
    (found,) = snb.traces.from_spans([{"trace_id": "t", "span_id": "s", "attributes": flat}])
    assert [message["content"] for message in found.messages] == [*map(str, range(12)), "end"]


BLOCKS: list[Any] = [
    # Anthropic
    [
        user("Weather?"),
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Look.", "signature": "x"},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "p", "name": "w", "input": {"c": "P"}},
                {"type": "tool_use", "id": "r", "name": "w", "input": {"c": "R"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "r", "content": [{"type": "text", "text": "sun"}]},
                {"type": "tool_result", "tool_use_id": "p", "content": "rain"},
                {"type": "text", "text": "Well?"},
            ],
        },
    ],
    # Bedrock
    [
        {"role": "user", "content": [{"text": "Weather?"}]},
        {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "Look."}}},
                {"text": "Let me look."},
                {"toolUse": {"toolUseId": "p", "name": "w", "input": {"c": "P"}}},
                {"toolUse": {"toolUseId": "r", "name": "w", "input": {"c": "R"}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "r", "content": [{"text": "sun"}]}},
                {"toolResult": {"toolUseId": "p", "content": [{"text": "rain"}]}},
                {"text": "Well?"},
            ],
        },
    ],
    # OpenAI Responses
    [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "Look."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me look."}]},
        {"type": "function_call", "id": "fc1", "call_id": "p", "name": "w", "arguments": '{"c": "P"}'},
        {"type": "function_call", "id": "fc2", "call_id": "r", "name": "w", "arguments": '{"c": "R"}'},
        {"type": "function_call_output", "call_id": "r", "output": "sun"},
        {"type": "function_call_output", "call_id": "p", "output": "rain"},
        user("Well?"),
    ],
]


@pytest.mark.parametrize("given", BLOCKS, ids=["anthropic", "bedrock", "responses"])
def test_messages_of_every_provider(given: Any) -> None:
    wants = answer("Let me look.", ("p", "w", {"c": "P"}), ("r", "w", {"c": "R"}))
    expected = [user("Weather?"), wants, result("r", "sun"), result("p", "rain"), user("Well?")]
    found = chat_messages(json.dumps(given))
    assert identity(found) == identity(expected)
    assert found[1]["reasoning_content"] == "Look."
    assert [message.get("tool_call_id") for message in found] == [None, None, "r", "p", None]


def test_gemini_and_langchain_messages() -> None:
    gemini = [
        {"role": "user", "parts": [{"text": "Weather?"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "w", "args": {"c": "P"}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "w", "response": {"sky": "rain"}}}]},
    ]
    expected = [user("Weather?"), answer(None, ("x", "w", {"c": "P"})), result("x", '{"sky": "rain"}')]
    assert identity(chat_messages(gemini)) == identity(expected)
    call = {"name": "w", "args": {"c": "P"}, "id": "x", "type": "tool_call"}
    chain = [
        {"lc": 1, "type": "constructor", "id": ["langchain", "HumanMessage"], "kwargs": {"content": "Weather?"}},
        {"type": "ai", "content": "", "tool_calls": [call]},
        {"type": "tool", "content": '{"sky": "rain"}', "tool_call_id": "x"},
    ]
    assert identity(chat_messages(chain)) == identity(expected)


def test_a_text_that_looks_like_json_stays_text() -> None:
    for text in ('{"a": 1}', '[{"a": 1}]', "[1, 2]", "[{broken"):
        (message,) = chat_messages([user(text)])
        assert message["content"] == text


def test_tool_schemas_of_every_provider() -> None:
    parameters = {"type": "object", "properties": {"c": {"type": "string"}}}
    expected = [{"type": "function", "function": {"name": "w", "description": "W", "parameters": parameters}}]
    plain = {"name": "w", "description": "W"}
    forms: list[Any] = [
        expected,
        json.dumps(expected),
        [json.dumps(expected[0])],
        [{"type": "function", **plain, "parameters": parameters}],
        [{**plain, "input_schema": parameters}],
        [{**plain, "parameters": json.dumps(parameters)}],
        [{"toolSpec": {**plain, "inputSchema": {"json": parameters}}}],
        [{"functionDeclarations": [{**plain, "parameters": parameters}]}],
        {"tools": expected},
    ]
    for form in forms:
        assert tool_schemas(form) == expected
    assert tool_schemas([{"type": "web_search"}, 7, None]) == []


def test_bodies_of_other_apis_and_frames_with_gaps() -> None:
    def told(request: Any, response: Any, **more: Any) -> snb.Trajectory:
        given, answered = (value if isinstance(value, str) else json.dumps(value) for value in (request, response))
        attributes = {"input.value": given, "output.value": answered, **more}
        (found,) = snb.traces.from_spans([{"trace_id": "t", "span_id": "s", "attributes": attributes}])
        return found

    anthropic = told(
        {"system": "Be brief.", "messages": [user("Hi")], "tools": [{"name": "f", "input_schema": {}}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Hello."}], "stop_reason": "max_tokens"},
    )
    responses = told(
        {"instructions": "Be brief.", "input": "Hi"},
        {"model": "gpt-5", "output": [{"type": "message", "role": "assistant", "content": "Hello."}]},
    )
    expected = identity([system("Be brief."), user("Hi"), answer("Hello.")])
    assert identity(anthropic.messages) == identity(responses.messages) == expected
    assert anthropic.trainable_turns == []  # it ran into the limit
    assert (responses.models, len(anthropic.tools or [])) == (["gpt-5"], 1)
    plain = told("Hi", "Hello.")
    assert identity(plain.messages) == identity([user("Hi"), answer("Hello.")])

    row = json.loads((DATA / "phoenix_frame.jsonl").read_text().splitlines()[1])
    gaps = {key: math.nan if value is None else value for key, value in row.items()}
    assert len(snb.traces.from_spans([gaps])) == 1


# -- damage -------------------------------------------------------------------------------------------------------------------

FILES = sorted([*DATA.glob("*.json*"), *(DATA / "real").iterdir(), *(DATA / "sessions").rglob("*.jsonl")])
ODD: list[Any] = [
    None, 7, -1.5, 10**400, math.nan, "", "x", "[{", [], {}, [1], [None], {"a": 1}, {"role": None}, [{"role": 3}],
    {"stringValue": None}, {"intValue": "x"}, {"arrayValue": None}, {"kvlistValue": {"values": None}},
]  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield (*path, key)
        yield from _places(entry, (*path, key))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(FILES), st.randoms(use_true_random=False))
def test_damaged_exports_are_reported_and_never_break_the_import(file: Path, random: Random) -> None:
    text = file.read_text()
    whole = [json.loads(line) for line in text.splitlines()] if file.suffix == ".jsonl" else json.loads(text)
    holder: Any = whole
    *path, last = random.choice(list(_places(whole)))
    for key in path:
        holder = holder[key]
    holder[last] = deepcopy(random.choice(ODD))
    imported = snb.traces.from_otlp(whole, reward_key="score", thinking=True)
    # Every span that was understood is in a trajectory, and none but these.
    assert imported.report.understood.total() == len({facts.id for t in imported for facts in t.calls})
    assert imported.report.total >= len(imported)
    for trajectory in imported:
        assert snb.Trajectory.from_json(trajectory.to_json()).call_ids == trajectory.call_ids
    assert imported._repr_html_()


def test_spans_of_a_file_are_read_and_a_missing_one_is_said(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps([_span("a", score=0.5)]), encoding="utf-8")
    for source in (path, str(path), path.read_text(encoding="utf-8")):
        assert [t.reward for t in snb.traces.from_spans(source, reward_key="score")] == [0.5]
    with pytest.raises(DataError, match=r"no-such\.json"):
        snb.traces.from_spans(str(tmp_path / "no-such.json"))
